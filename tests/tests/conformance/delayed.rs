//! Delayed exchanges. RabbitMQ has them as a plugin of its community, which is not at hand: there
//! the kind is unknown, and what follows is held against ours alone.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::management::segment;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};
use serde_json::json;

leveret_tests::on_both_targets![
    the_inner_kind_is_mandatory_and_one_that_exists,
    the_inner_kind_is_compared,
    messages_come_when_they_are_due_in_the_order_of_their_times,
    a_message_without_a_delay_comes_at_once,
    the_delay_is_negative_afterwards,
    a_confirm_does_not_wait_for_the_delay,
    a_waiting_message_is_not_unroutable,
    the_inner_kind_routes_when_the_time_has_come,
    a_delayed_exchange_can_be_bound_to,
    dead_letters_can_be_delayed,
    what_waits_goes_with_its_exchange,
    a_transaction_may_delay,
    rights_on_topics_hold_for_what_is_delayed,
];

const KIND: &str = "x-delayed-message";

/// Whether the kind is known; ours always is.
async fn is_known(context: &Context, client: &mut Client) -> Result<bool> {
    let exchange = context.exchange("probe");
    let declare = method::exchange_declare(&exchange, KIND, 0, &one("x-delayed-type", "direct"));
    let outcome = client.call(1, declare).await?;
    let unknown = "406c unknown exchange type 'x-delayed-message'";
    let expected = context.differs("3.7.3", unknown, "ok")?;
    outcome.expect(expected)?;
    if expected != "ok" {
        client.open(1).await?;
    }
    Ok(expected == "ok")
}

/// A delayed exchange of an inner kind with one queue, bound by the key `key`.
async fn with_queue(context: &Context, kind: &str) -> Result<Option<(Client, String, String)>> {
    let mut client = context.client().await?;
    if !is_known(context, &mut client).await? {
        return Ok(None);
    }
    let (exchange, queue) = (context.exchange("delayed"), context.queue("q"));
    let declare = method::exchange_declare(&exchange, KIND, 2, &one("x-delayed-type", kind));
    client.ok(1, declare).await?;
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await?;
    let bind = method::queue_bind(&queue, &exchange, "key", &Table::new());
    client.ok(1, bind).await?;
    Ok(Some((client, exchange, queue)))
}

fn delay(delay: impl Into<Value>) -> Properties {
    Properties::with_headers(one("x-delay", delay.into()))
}

async fn publish(
    client: &mut Client,
    exchange: &str,
    key: &str,
    properties: &Properties,
    body: &str,
) -> Result<()> {
    let publish = method::basic_publish(exchange, key, 0);
    client.publish(1, publish, properties, body).await
}

/// Spec 3.7.3.
async fn the_inner_kind_is_mandatory_and_one_that_exists(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    if !is_known(context, &mut client).await? {
        return Ok(());
    }
    let missing = "406c Invalid argument, 'x-delayed-type' must be an existing exchange type";
    for (arguments, expected) in [
        (Table::new(), missing),
        (one("x-delayed-type", 5), missing),
        (
            one("x-delayed-type", "what"),
            "406c unknown exchange type 'what'",
        ),
        (
            one("x-delayed-type", KIND),
            "406c Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
    ] {
        let exchange = context.exchange("refused");
        let declare = method::exchange_declare(&exchange, KIND, 0, &arguments);
        client.refused(1, declare, expected).await?;
    }
    Ok(())
}

/// Spec 3.7.3. Spec 3.1.6.
async fn the_inner_kind_is_compared(context: &Context) -> Result<()> {
    let Some((mut client, exchange, _)) = with_queue(context, "direct").await? else {
        return Ok(());
    };
    let declare = |kind| method::exchange_declare(&exchange, KIND, 2, &one("x-delayed-type", kind));
    client.ok(1, declare("direct")).await?;
    let expected = format!(
        "406c inequivalent arg 'x-delayed-type' for exchange '{exchange}' in vhost '/': received \
         'topic' but current is 'direct'"
    );
    client.refused(1, declare("topic"), &expected).await
}

/// Spec 3.7.3.
async fn messages_come_when_they_are_due_in_the_order_of_their_times(
    context: &Context,
) -> Result<()> {
    let Some((mut client, exchange, queue)) = with_queue(context, "direct").await? else {
        return Ok(());
    };
    client
        .ok(1, method::basic_consume(&queue, "c", 2, &Table::new()))
        .await?;
    for (ms, body) in [(900, "third"), (300, "first"), (600, "second")] {
        publish(&mut client, &exchange, "key", &delay(ms), body).await?;
    }
    client.no_delivery(1, &queue).await?;
    for body in ["first", "second", "third"] {
        let delivery = client.delivery(1).await?;
        ensure!(
            delivery.text() == body && !delivery.redelivered,
            "{delivery:?}"
        );
    }
    Ok(())
}

/// Spec 3.7.3.
async fn a_message_without_a_delay_comes_at_once(context: &Context) -> Result<()> {
    let Some((mut client, exchange, queue)) = with_queue(context, "direct").await? else {
        return Ok(());
    };
    let late = delay(Value::I64(3_600_000));
    publish(&mut client, &exchange, "key", &late, "late").await?;
    let now = [
        Properties::default(),
        delay(0),
        delay(-5),
        delay("no number"),
        delay(Value::Void),
    ];
    for (number, properties) in (0_u32..).zip(&now) {
        publish(&mut client, &exchange, "key", properties, "now").await?;
        client.await_ready(1, &queue, number + 1).await?;
    }
    let all = client.take_all(1, &queue).await?;
    ensure!(all == ["now"; 5], "{all:?}");
    Ok(())
}

/// Spec 3.7.3.
async fn the_delay_is_negative_afterwards(context: &Context) -> Result<()> {
    let Some((mut client, exchange, queue)) = with_queue(context, "fanout").await? else {
        return Ok(());
    };
    let values = [
        Value::I32(50),
        Value::I64(50),
        Value::U8(50),
        Value::text("50"),
    ];
    for value in values {
        let headers = one("x-delay", value).with("other", "stays");
        let properties = Properties {
            correlation_id: Some("7".to_owned()),
            ..Properties::with_headers(headers)
        };
        publish(&mut client, &exchange, "any key", &properties, "x").await?;
        client.await_ready(1, &queue, 1).await?;
        let got = client.take(1, &queue).await?;
        ensure!(
            got.exchange == exchange && got.routing_key == "any key",
            "{got:?}"
        );
        let properties = got.content.properties;
        ensure!(
            properties.correlation_id.as_deref() == Some("7"),
            "{properties:?}"
        );
        let expected = one("x-delay", Value::I64(-50)).with("other", "stays");
        ensure!(
            properties.headers == Some(expected),
            "{:?}",
            properties.headers
        );
    }
    Ok(())
}

/// Spec 3.7.3. Spec 6.1.3.
async fn a_confirm_does_not_wait_for_the_delay(context: &Context) -> Result<()> {
    let Some((mut client, exchange, queue)) = with_queue(context, "direct").await? else {
        return Ok(());
    };
    client.ok(1, method::confirm_select()).await?;
    for _ in 0..3 {
        let late = delay(Value::I64(3_600_000));
        publish(&mut client, &exchange, "key", &late, "late").await?;
    }
    let mut confirmed = BTreeSet::new();
    while confirmed.len() < 3 {
        let ack = client.next_of(1, method::BASIC_ACK).await?;
        let mut reader = ack.method.reader();
        let (number, multiple) = (reader.u64()?, reader.u8()? == 1);
        confirmed.extend(if multiple {
            1..=number
        } else {
            number..=number
        });
    }
    ensure!(client.counts(1, &queue).await?.0 == 0, "too early");
    Ok(())
}

/// Spec 3.7.3. Spec 5.1.5.
async fn a_waiting_message_is_not_unroutable(context: &Context) -> Result<()> {
    let Some((mut client, exchange, _)) = with_queue(context, "direct").await? else {
        return Ok(());
    };
    let mandatory = |key| method::basic_publish(&exchange, key, 1);
    client
        .publish(1, mandatory("nobody"), &delay(50), "late")
        .await?;
    client
        .publish(1, mandatory("nobody"), &Properties::default(), "now")
        .await?;
    let returned = client.next_of(1, method::BASIC_RETURN).await?;
    let body = returned.content.map(|content| content.body);
    ensure!(body == Some(b"now".to_vec()), "{body:?}");
    ensure!(client.kept().is_empty(), "more than one return");
    Ok(())
}

/// Spec 3.7.3. Spec 3.5.1.
async fn the_inner_kind_routes_when_the_time_has_come(context: &Context) -> Result<()> {
    let Some((mut client, exchange, queue)) = with_queue(context, "topic").await? else {
        return Ok(());
    };
    let late = context.queue("late");
    let declare = method::queue_declare(&late, queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await?;
    publish(&mut client, &exchange, "a.b", &delay(700), "x").await?;
    publish(&mut client, &exchange, "key", &delay(50), "y").await?;
    // Bound after the publish, before its time.
    let bind = method::queue_bind(&late, &exchange, "a.*", &Table::new());
    client.ok(1, bind).await?;
    client.await_ready(1, &late, 1).await?;
    ensure!(client.take_all(1, &late).await? == ["x"], "late");
    ensure!(client.take_all(1, &queue).await? == ["y"], "key");
    Ok(())
}

/// Spec 3.7.3. Spec 3.4.8.
async fn a_delayed_exchange_can_be_bound_to(context: &Context) -> Result<()> {
    let Some((mut client, exchange, queue)) = with_queue(context, "direct").await? else {
        return Ok(());
    };
    let source = context.exchange("source");
    let declare = method::exchange_declare(&source, "fanout", 0, &Table::new());
    client.ok(1, declare).await?;
    let bind = method::exchange_bind(&exchange, &source, "", &Table::new());
    client.ok(1, bind).await?;
    publish(&mut client, &source, "key", &delay(100), "x").await?;
    client.await_ready(1, &queue, 1).await?;
    Ok(())
}

/// Spec 3.7.3. Spec 7.2.1.
async fn dead_letters_can_be_delayed(context: &Context) -> Result<()> {
    let Some((mut client, exchange, queue)) = with_queue(context, "direct").await? else {
        return Ok(());
    };
    let source = context.queue("source");
    let arguments =
        one("x-dead-letter-exchange", &exchange).with("x-dead-letter-routing-key", "key");
    let declare = method::queue_declare(&source, queue_bits::DURABLE, &arguments);
    client.ok(1, declare).await?;
    publish(&mut client, "", &source, &delay(100), "x").await?;
    client.await_ready(1, &source, 1).await?;
    let tag = client.get(1, &source, false).await?.map(|got| got.tag);
    let reject = method::basic_reject(tag.unwrap_or_default(), false);
    client.send(1, &reject).await?;
    client.await_ready(1, &queue, 1).await?;
    let got = client.take(1, &queue).await?;
    ensure!(got.text() == "x", "{got:?}");
    Ok(())
}

/// Spec 3.7.3.
async fn what_waits_goes_with_its_exchange(context: &Context) -> Result<()> {
    let Some((mut client, exchange, queue)) = with_queue(context, "direct").await? else {
        return Ok(());
    };
    publish(&mut client, &exchange, "key", &delay(300), "gone").await?;
    client.ok(1, method::exchange_delete(&exchange, 0)).await?;
    let declare = method::exchange_declare(&exchange, KIND, 2, &one("x-delayed-type", "direct"));
    client.ok(1, declare).await?;
    let bind = method::queue_bind(&queue, &exchange, "key", &Table::new());
    client.ok(1, bind).await?;
    publish(&mut client, &exchange, "key", &delay(600), "new").await?;
    client.await_ready(1, &queue, 1).await?;
    ensure!(
        client.take_all(1, &queue).await? == ["new"],
        "the old one came"
    );
    Ok(())
}

/// Spec 3.7.3. Spec 6.2.3.
async fn a_transaction_may_delay(context: &Context) -> Result<()> {
    let Some((mut client, exchange, queue)) = with_queue(context, "direct").await? else {
        return Ok(());
    };
    client.ok(1, method::tx_select()).await?;
    publish(&mut client, &exchange, "key", &delay(50), "rolled back").await?;
    client.ok(1, method::tx_rollback()).await?;
    publish(&mut client, &exchange, "key", &delay(100), "x").await?;
    client.ok(1, method::tx_commit()).await?;
    client.await_ready(1, &queue, 1).await?;
    ensure!(client.take(1, &queue).await?.text() == "x", "the wrong one");
    Ok(())
}

/// Spec 8.2.1. Spec 3.7.3. A delay is no way around them.
async fn rights_on_topics_hold_for_what_is_delayed(context: &Context) -> Result<()> {
    if !is_known(context, &mut context.client().await?).await? {
        return Ok(());
    }
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    context.grant(&host, &account, [".*", ".*", ".*"]).await?;
    let path = format!(
        "topic-permissions/{}/{}",
        segment(&host),
        segment(&account.name)
    );
    let body = json!({ "exchange": "later", "write": "^w\\.", "read": "^r\\." });
    let mut client = context.client_of(&account, &host).await?;
    let inner = one("x-delayed-type", "topic");
    client
        .ok(1, method::exchange_declare("later", KIND, 2, &inner))
        .await?;
    context.management()?.done("PUT", &path, Some(body)).await?;
    let declare = method::queue_declare("q", queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await?;
    let refused = |verb: &str, key: &str| {
        format!("403c {verb} access to topic '{key}' in exchange 'later' in vhost '{host}' …")
    };
    let bind = |key: &str| method::queue_bind("q", "later", key, &Table::new());
    client.ok(1, bind("r.*")).await?;
    client
        .refused(1, bind("w.*"), &refused("read", "w.*"))
        .await?;
    for (key, expected) in [("w.a", "ok".to_owned()), ("r.a", refused("write", "r.a"))] {
        let publish = method::basic_publish("later", key, 0);
        client.publish(1, publish, &delay(1), "x").await?;
        let outcome = client.call(1, method::basic_qos(0, 0, false)).await?;
        outcome.expect(&expected)?;
    }
    Ok(())
}
