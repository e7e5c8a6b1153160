//! basic.publish: what is checked, what is returned, what arrives unchanged.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Received};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

leveret_tests::on_both_targets![
    publishing_to_a_missing_exchange_is_not_found,
    the_exchange_is_checked_before_the_expiration,
    after_a_refused_publish_later_ones_are_lost_unconfirmed,
    a_message_above_the_size_limit_is_refused,
    a_message_of_the_size_limit_is_taken,
    immediate_is_not_implemented,
    an_unroutable_mandatory_message_comes_back_whole,
    a_return_comes_before_its_confirm,
    an_unroutable_message_that_is_not_mandatory_vanishes,
    an_expiration_must_be_a_decimal_integer,
    well_formed_expirations_are_taken,
    the_user_id_must_be_the_authenticated_user,
    cc_and_bcc_are_extra_keys_and_bcc_is_removed,
    a_queue_gets_one_copy_whatever_the_number_of_keys,
    cc_entries_that_are_no_text_are_ignored,
    cc_of_another_type_is_refused,
    cc_is_case_sensitive,
    cc_works_on_topic_exchanges,
];

async fn with_queue(context: &Context) -> Result<(Client, String)> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    Ok((client, queue))
}

/// A publish that must close the channel; the close names basic.publish.
async fn refused(
    client: &mut Client,
    key: &str,
    properties: &Properties,
    expected: &str,
) -> Result<()> {
    client
        .publish(1, method::basic_publish("", key, 0), properties, "body")
        .await?;
    let outcome = client.reply(1).await?;
    outcome
        .expect(expected)
        .with_context(|| format!("{properties:?}"))?;
    let close = outcome.close().context("a close")?;
    ensure!(
        close.method == method::BASIC_PUBLISH,
        "the close names {:?}",
        close.method
    );
    client.open(1).await
}

/// Spec 5.1.3. Spec 5.1.1.
async fn publishing_to_a_missing_exchange_is_not_found(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let exchange = context.unique("nowhere");
    let publish = method::basic_publish(&exchange, "key", 0);
    client
        .publish(1, publish, &Properties::default(), "body")
        .await?;
    let outcome = client.reply(1).await?;
    outcome.expect(&format!("404c no exchange '{exchange}' in vhost '/'"))?;
    ensure!(
        outcome.close().map(|close| close.method) == Some(method::BASIC_PUBLISH),
        "method"
    );
    Ok(())
}

/// Spec 5.1.1.
async fn the_exchange_is_checked_before_the_expiration(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let publish = method::basic_publish(&context.unique("nowhere"), "key", 0);
    let properties = Properties {
        expiration: Some("abc".to_owned()),
        ..Properties::default()
    };
    client.publish(1, publish, &properties, "body").await?;
    client.reply(1).await?.expect("404c no exchange …")?;
    client.open(1).await?;
    let both = Properties {
        user_id: Some("nobody".to_owned()),
        ..properties
    };
    refused(&mut client, "key", &both, "406c invalid expiration…").await
}

/// Spec 5.1.1. Spec 6.1.6.
async fn after_a_refused_publish_later_ones_are_lost_unconfirmed(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    client.ok(1, method::confirm_select()).await?;
    client.put(1, &queue, "before").await?;
    let ack = client.next().await?;
    ensure!(ack.method == method::basic_ack(1, false), "{ack:?}");
    let nowhere = method::basic_publish(&context.unique("nowhere"), "key", 0);
    client
        .publish(1, nowhere, &Properties::default(), "wrong")
        .await?;
    client.put(1, &queue, "after").await?;
    client.reply(1).await?.expect("404c…")?;
    client.open(1).await?;
    ensure!(client.kept().is_empty(), "a confirm after the close");
    ensure!(
        client.take_all(1, &queue).await? == ["before"],
        "more than the first"
    );
    Ok(())
}

/// Spec 5.1.2. Spec 13.2.
async fn a_message_above_the_size_limit_is_refused(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let body = vec![0; (16 << 20) + 1];
    let publish = method::basic_publish("", "nowhere", 0);
    client
        .publish(1, publish, &Properties::default(), body)
        .await?;
    let outcome = client.reply(1).await?;
    outcome.expect("406c message size 16777217 is larger than configured max size 16777216")?;
    ensure!(
        outcome.close().map(|close| close.method) == Some(method::BASIC_PUBLISH),
        "method"
    );
    client.open(1).await
}

/// Spec 5.1.2.
async fn a_message_of_the_size_limit_is_taken(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let body: Vec<u8> = (0..16_usize << 20).map(|n| (n % 251) as u8).collect();
    client.put(1, &queue, &body).await?;
    client.await_ready(1, &queue, 1).await?;
    let got = client.take(1, &queue).await?;
    ensure!(
        got.content.body == body,
        "another body of {} bytes",
        got.content.body.len()
    );
    Ok(())
}

/// Spec 5.1.4.
async fn immediate_is_not_implemented(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let publish = method::basic_publish("", "nowhere", 2);
    client
        .publish(1, publish, &Properties::default(), "body")
        .await?;
    client.reply(1).await?.expect("540x immediate=true")
}

fn read_return(received: &Received) -> Result<(u16, String, String, String)> {
    ensure!(
        received.method.id == method::BASIC_RETURN,
        "no return: {received:?}"
    );
    let mut reader = received.method.reader();
    Ok((
        reader.u16()?,
        reader.short()?,
        reader.short()?,
        reader.short()?,
    ))
}

/// Spec 5.1.5. Spec 0.1.
async fn an_unroutable_mandatory_message_comes_back_whole(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let properties = Properties {
        content_type: Some("text/plain".to_owned()),
        message_id: Some("7".to_owned()),
        ..Properties::with_headers(one("CC", vec![Value::text("other")]))
    };
    let key = context.unique("nowhere");
    let body = vec![1; 300_000];
    for exchange in ["", "amq.direct", "amq.topic", "amq.fanout", "amq.headers"] {
        // A fanout, and headers without keys, could have bindings of somebody else's.
        if exchange == "amq.fanout" || exchange == "amq.headers" {
            continue;
        }
        let publish = method::basic_publish(exchange, &key, 1);
        client.publish(1, publish, &properties, &body).await?;
        let returned = client.next().await?;
        let (code, text, from, with) = read_return(&returned)?;
        ensure!((code, text.as_str()) == (312, "NO_ROUTE"), "{code} {text}");
        ensure!(from == exchange && with == key, "{from} {with}");
        let content = returned.content.context("no content")?;
        ensure!(content.properties == properties, "{:?}", content.properties);
        ensure!(content.body == body, "another body");
    }
    Ok(())
}

/// Spec 5.1.5. Spec 6.1.5. Spec 6.1.3.
async fn a_return_comes_before_its_confirm(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    client.ok(1, method::confirm_select()).await?;
    for number in 1..=20_u64 {
        let key = if number % 3 == 0 {
            queue.clone()
        } else {
            context.unique("nowhere")
        };
        let publish = method::basic_publish("", &key, 1);
        client
            .publish(1, publish, &Properties::persistent(), number.to_string())
            .await?;
    }
    let (mut settled, mut returned) = (BTreeSet::new(), Vec::new());
    while settled.len() < 20 {
        let received = client.next().await?;
        if received.method.id == method::BASIC_RETURN {
            let body = received.content.context("no content")?.body;
            returned.push(String::from_utf8(body)?.parse::<u64>()?);
            continue;
        }
        ensure!(received.method.id == method::BASIC_ACK, "{received:?}");
        let mut reader = received.method.reader();
        let (tag, multiple) = (reader.u64()?, reader.u8()? != 0);
        settled.extend(if multiple { 1..=tag } else { tag..=tag });
        let early = settled
            .iter()
            .find(|number| **number % 3 != 0 && !returned.contains(number));
        ensure!(early.is_none(), "{early:?} confirmed before its return");
    }
    ensure!(returned.len() == 14, "{returned:?}");
    Ok(())
}

/// Spec 5.1.5. Spec 6.1.4.
async fn an_unroutable_message_that_is_not_mandatory_vanishes(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client.ok(1, method::confirm_select()).await?;
    client.put(1, &context.unique("nowhere"), "body").await?;
    let ack = client.next().await?;
    ensure!(ack.method == method::basic_ack(1, false), "{ack:?}");
    Ok(())
}

fn expiring(expiration: &str) -> Properties {
    Properties {
        expiration: Some(expiration.to_owned()),
        ..Properties::default()
    }
}

/// Spec 5.1.6.
async fn an_expiration_must_be_a_decimal_integer(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for (expiration, detail) in [
        ("", "no_integer"),
        ("abc", "no_integer"),
        (" 5", "no_integer"),
        ("10x", "{leftover_string,\"x\"}"),
        ("1.5", "{leftover_string,\".5\"}"),
        ("-1", "{value_negative,-1}"),
        ("315360000001", "{value_too_large,315360000001}"),
        (
            "99999999999999999999",
            "{value_too_large,99999999999999999999}",
        ),
    ] {
        let expected = format!("406c invalid expiration '{expiration}': {detail}");
        refused(&mut client, "nowhere", &expiring(expiration), &expected).await?;
    }
    Ok(())
}

/// Spec 5.1.6.
async fn well_formed_expirations_are_taken(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    for expiration in ["+60000", "060000", "315360000000"] {
        let publish = method::basic_publish("", &queue, 0);
        client
            .publish(1, publish, &expiring(expiration), "body")
            .await?;
        client.await_ready(1, &queue, 1).await?;
        let got = client.take(1, &queue).await?;
        let passed_on = got.content.properties.expiration;
        let number = |text: &str| text.parse::<u64>().ok();
        let same = passed_on.as_deref().and_then(number) == number(expiration);
        ensure!(same, "{expiration} became {passed_on:?}");
    }
    Ok(())
}

/// Spec 5.1.7.
async fn the_user_id_must_be_the_authenticated_user(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let of = |user: &str| Properties {
        user_id: Some(user.to_owned()),
        ..Properties::default()
    };
    let user = context.address.user.clone();
    for other in ["nobody", ""] {
        let expected =
            format!("406c user_id property set to '{other}' but authenticated user was '{user}'");
        refused(&mut client, &queue, &of(other), &expected).await?;
    }
    client
        .publish(1, method::basic_publish("", &queue, 0), &of(&user), "body")
        .await?;
    client.await_ready(1, &queue, 1).await
}

fn texts(values: &[&str]) -> Value {
    Value::Array(values.iter().map(|value| Value::text(value)).collect())
}

async fn three_queues(context: &Context, client: &mut Client) -> Result<[String; 3]> {
    let queues = ["a", "b", "c"].map(|name| context.queue(name));
    for queue in &queues {
        client
            .ok(
                1,
                method::queue_declare(queue, queue_bits::DURABLE, &Table::new()),
            )
            .await?;
    }
    Ok(queues)
}

/// Spec 5.1.8.
async fn cc_and_bcc_are_extra_keys_and_bcc_is_removed(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let [a, b, c] = three_queues(context, &mut client).await?;
    let headers = one("CC", texts(&[&b]))
        .with("BCC", texts(&[&c]))
        .with("other", 1);
    let publish = method::basic_publish("", &a, 1);
    client
        .publish(1, publish, &Properties::with_headers(headers), "body")
        .await?;
    for queue in [&a, &b, &c] {
        client.await_ready(1, queue, 1).await?;
        let got = client.take(1, queue).await?;
        ensure!(got.routing_key == a, "{got:?}");
        let headers = got.content.properties.headers.context("no headers")?;
        ensure!(
            headers == one("CC", texts(&[&b])).with("other", 1),
            "{headers:?}"
        );
    }
    Ok(())
}

/// Spec 5.1.8. Spec 3.4.1.
async fn a_queue_gets_one_copy_whatever_the_number_of_keys(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let [a, b, _] = three_queues(context, &mut client).await?;
    let headers = one("CC", texts(&[&a, &b, &b, &a])).with("BCC", texts(&[&b]));
    let publish = method::basic_publish("", &a, 0);
    client
        .publish(1, publish, &Properties::with_headers(headers), "body")
        .await?;
    client.await_ready(1, &b, 1).await?;
    client.expect_ready(1, &a, 1).await?;
    client.expect_ready(1, &b, 1).await?;
    Ok(())
}

/// Spec 5.1.8.
async fn cc_entries_that_are_no_text_are_ignored(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let [a, b, _] = three_queues(context, &mut client).await?;
    let entries = vec![
        Value::I32(1),
        Value::text(&b),
        Value::Void,
        Value::Table(Table::new()),
    ];
    let publish = method::basic_publish("", &a, 0);
    let properties = Properties::with_headers(one("CC", entries));
    client.publish(1, publish, &properties, "body").await?;
    client.await_ready(1, &a, 1).await?;
    client.await_ready(1, &b, 1).await
}

/// Spec 5.1.8.
async fn cc_of_another_type_is_refused(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    for (value, kind) in [
        (Value::text("b"), "longstr"),
        (Value::I32(1), "signedint"),
        (Value::Table(Table::new()), "table"),
        (Value::Bool(true), "bool"),
    ] {
        for header in ["CC", "BCC"] {
            let properties = Properties::with_headers(one(header, value.clone()));
            let expected = format!(
                "406c invalid message: {{unacceptable_type_in_header,\"{header}\",{kind}}}"
            );
            refused(&mut client, &queue, &properties, &expected).await?;
        }
    }
    Ok(())
}

/// Spec 5.1.8.
async fn cc_is_case_sensitive(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let [a, b, _] = three_queues(context, &mut client).await?;
    let headers = one("cc", texts(&[&b]))
        .with("Bcc", texts(&[&b]))
        .with("bcc", 1);
    let publish = method::basic_publish("", &a, 0);
    let properties = Properties::with_headers(headers);
    client.publish(1, publish, &properties, "body").await?;
    client.await_ready(1, &a, 1).await?;
    client.expect_ready(1, &b, 0).await?;
    let got = client.take(1, &a).await?;
    let headers = got.content.properties.headers.context("no headers")?;
    ensure!(
        Some(headers.clone().sorted()) == properties.headers.map(Table::sorted),
        "{headers:?}"
    );
    Ok(())
}

/// Spec 5.1.8.
async fn cc_works_on_topic_exchanges(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let [a, b, c] = three_queues(context, &mut client).await?;
    let exchange = context.exchange("x");
    let none = Table::new();
    client
        .ok(1, method::exchange_declare(&exchange, "topic", 2, &none))
        .await?;
    for (queue, key) in [(&a, "one.*"), (&b, "two.#"), (&c, "three")] {
        client
            .ok(1, method::queue_bind(queue, &exchange, key, &none))
            .await?;
    }
    let headers = one("CC", texts(&["two.x.y"])).with("BCC", texts(&["one.z"]));
    let publish = method::basic_publish(&exchange, "one.x", 0);
    client
        .publish(1, publish, &Properties::with_headers(headers), "body")
        .await?;
    client.await_ready(1, &a, 1).await?;
    client.await_ready(1, &b, 1).await?;
    client.expect_ready(1, &c, 0).await?;
    Ok(())
}
