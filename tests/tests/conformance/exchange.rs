//! Exchanges: declare, delete, auto-delete, internal, alternate exchange, bindings.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::PATIENCE;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, Method, exchange_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

use exchange_bits::{AUTO_DELETE, DURABLE, INTERNAL, PASSIVE};

leveret_tests::on_both_targets![
    the_standard_exchanges_are_there,
    an_unknown_type_is_refused,
    the_default_exchange_is_out_of_bounds,
    the_reserved_prefix_is_refused_for_new_exchanges,
    a_passive_declare_compares_nothing,
    a_passive_declare_of_a_missing_exchange_is_not_found,
    unequal_properties_are_refused_in_order,
    an_unequal_alternate_exchange_is_refused,
    other_arguments_never_conflict,
    an_alternate_exchange_must_be_text,
    deleting_a_missing_exchange_is_answered,
    system_exchanges_cannot_be_deleted,
    delete_if_unused_heeds_bindings_from_it_only,
    deleting_an_exchange_removes_its_bindings,
    an_auto_delete_exchange_goes_with_its_last_binding_as_source,
    an_auto_delete_exchange_stays_while_it_never_had_a_binding,
    auto_delete_follows_the_chain,
    an_internal_exchange_takes_no_publish_but_routes,
    the_alternate_exchange_gets_what_finds_no_destination,
    alternate_exchanges_may_form_chains_and_cycles,
    a_missing_alternate_exchange_is_ignored,
    a_message_routed_by_the_alternate_exchange_is_not_returned,
];

fn declare(exchange: &str, kind: &str, bits: u8) -> Method {
    method::exchange_declare(exchange, kind, bits, &Table::new())
}

fn not_found(exchange: &str) -> String {
    format!("404c no exchange '{exchange}' in vhost '/'")
}

const DEFAULT_REFUSED: &str = "403c operation not permitted on the default exchange";

async fn publish(client: &mut Client, exchange: &str, key: &str, body: &str) -> Result<()> {
    let publish = method::basic_publish(exchange, key, 0);
    client
        .publish(1, publish, &Properties::default(), body)
        .await
}

/// A durable queue, bound.
async fn bound(
    context: &Context,
    client: &mut Client,
    exchange: &str,
    key: &str,
) -> Result<String> {
    let queue = context.queue("bound");
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    client
        .ok(1, method::queue_bind(&queue, exchange, key, &Table::new()))
        .await?;
    Ok(queue)
}

/// Spec 3.1.1. Spec 3.1.4.
async fn the_standard_exchanges_are_there(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for (name, kind, bits) in [
        ("amq.direct", "direct", DURABLE),
        ("amq.fanout", "fanout", DURABLE),
        ("amq.topic", "topic", DURABLE),
        ("amq.headers", "headers", DURABLE),
        ("amq.match", "headers", DURABLE),
        ("amq.rabbitmq.trace", "topic", DURABLE | INTERNAL),
    ] {
        client.ok(1, declare(name, kind, bits)).await?;
        client.ok(1, declare(name, "", PASSIVE)).await?;
    }
    Ok(())
}

/// Spec 3.1.2.
async fn an_unknown_type_is_refused(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    // RabbitMQ says "unknown" or "invalid", depending on whether its virtual machine has met the name before.
    for (kind, words) in [
        ("unheard-of", ["unknown", "invalid"]),
        ("Direct", ["unknown", "invalid"]),
        ("", ["invalid"; 2]),
    ] {
        let expected = words.map(|word| format!("406c {word} exchange type '{kind}'"));
        let expected = expected.join(" || ");
        client
            .refused(1, declare(&context.unique("x"), kind, DURABLE), &expected)
            .await?;
    }
    for kind in ["direct", "fanout", "topic", "headers"] {
        client
            .ok(1, declare(&context.exchange("x"), kind, DURABLE))
            .await?;
    }
    Ok(())
}

/// Spec 3.1.3. Spec 3.2.1. Spec 3.4.3.
async fn the_default_exchange_is_out_of_bounds(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (exchange, none) = (context.exchange("x"), Table::new());
    client.ok(1, declare(&exchange, "direct", DURABLE)).await?;
    let queue = bound(context, &mut client, &exchange, "key").await?;
    for refused in [
        declare("", "direct", DURABLE),
        declare("", "direct", PASSIVE),
        method::exchange_delete("", 0),
        method::queue_bind(&queue, "", &queue, &none),
        method::queue_unbind(&queue, "", &queue, &none),
        method::exchange_bind("", &exchange, "key", &none),
        method::exchange_bind(&exchange, "", "key", &none),
        method::exchange_unbind("", &exchange, "key", &none),
        method::exchange_unbind(&exchange, "", "key", &none),
    ] {
        client.refused(1, refused, DEFAULT_REFUSED).await?;
    }
    publish(&mut client, "", &queue, "body").await?;
    client.await_ready(1, &queue, 1).await
}

/// Spec 3.1.4.
async fn the_reserved_prefix_is_refused_for_new_exchanges(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let name = format!("amq.{}", context.unique("x"));
    let expected = format!("403c exchange name '{name}' contains reserved prefix 'amq.*'");
    client
        .refused(1, declare(&name, "direct", DURABLE), &expected)
        .await?;
    client
        .refused(1, declare(&name, "direct", PASSIVE), &not_found(&name))
        .await
}

/// Spec 3.1.5.
async fn a_passive_declare_compares_nothing(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let exchange = context.exchange("x");
    client.ok(1, declare(&exchange, "direct", DURABLE)).await?;
    let other = one("alternate-exchange", 1);
    let bits = PASSIVE | AUTO_DELETE | INTERNAL;
    client
        .ok(
            1,
            method::exchange_declare(&exchange, "unheard-of", bits, &other),
        )
        .await?;
    Ok(())
}

/// Spec 3.1.5.
async fn a_passive_declare_of_a_missing_exchange_is_not_found(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let exchange = context.unique("nowhere");
    client
        .expect(
            1,
            declare(&exchange, "direct", PASSIVE),
            &not_found(&exchange),
        )
        .await
}

/// Spec 3.1.6.
async fn unequal_properties_are_refused_in_order(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let exchange = context.exchange("x");
    client.ok(1, declare(&exchange, "direct", DURABLE)).await?;
    client.ok(1, declare(&exchange, "direct", DURABLE)).await?;
    for (kind, bits, arg, received, current) in [
        ("topic", AUTO_DELETE | INTERNAL, "type", "topic", "direct"),
        ("direct", AUTO_DELETE | INTERNAL, "durable", "false", "true"),
        (
            "direct",
            DURABLE | AUTO_DELETE | INTERNAL,
            "auto_delete",
            "true",
            "false",
        ),
        ("direct", DURABLE | INTERNAL, "internal", "true", "false"),
    ] {
        let expected = format!(
            "406c inequivalent arg '{arg}' for exchange '{exchange}' in vhost '/': \
             received '{received}' but current is '{current}'"
        );
        client
            .refused(1, declare(&exchange, kind, bits), &expected)
            .await?;
    }
    Ok(())
}

/// Spec 3.1.6. Spec 3.1.7.
async fn an_unequal_alternate_exchange_is_refused(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let exchange = context.exchange("x");
    let declare =
        |arguments: &Table| method::exchange_declare(&exchange, "direct", DURABLE, arguments);
    let missing_is_fine = one("alternate-exchange", "not-there-yet");
    client.ok(1, declare(&missing_is_fine)).await?;
    client.ok(1, declare(&missing_is_fine)).await?;
    let unequal = |rest: &str| {
        format!(
            "406c inequivalent arg 'alternate-exchange' for exchange '{exchange}' in vhost '/': \
             {rest}"
        )
    };
    let other = one("alternate-exchange", "other");
    let expected = unequal("received 'other' but current is 'not-there-yet'");
    client.refused(1, declare(&other), &expected).await?;
    let expected =
        unequal("received none but current is the value 'not-there-yet' of type 'longstr'");
    client.refused(1, declare(&Table::new()), &expected).await
}

/// Spec 3.1.6.
async fn other_arguments_never_conflict(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let exchange = context.exchange("x");
    for arguments in [one("whatever", 1), one("whatever", "two"), Table::new()] {
        client
            .ok(
                1,
                method::exchange_declare(&exchange, "fanout", 0, &arguments),
            )
            .await?;
    }
    Ok(())
}

/// Spec 3.1.7.
async fn an_alternate_exchange_must_be_text(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for (value, kind) in [(Value::I32(1), "signedint"), (Value::Void, "void")] {
        let exchange = context.unique("x");
        let arguments = one("alternate-exchange", value);
        let declare = method::exchange_declare(&exchange, "direct", DURABLE, &arguments);
        let expected = format!(
            "406c invalid type '{kind}' for arg 'alternate-exchange' in \
             exchange '{exchange}' in vhost '/'"
        );
        client.refused(1, declare, &expected).await?;
    }
    Ok(())
}

/// Spec 3.2.1.
async fn deleting_a_missing_exchange_is_answered(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for bits in [0, 1] {
        client
            .ok(1, method::exchange_delete(&context.unique("x"), bits))
            .await?;
    }
    Ok(())
}

/// Spec 3.2.1.
async fn system_exchanges_cannot_be_deleted(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for name in ["amq.direct", "amq.rabbitmq.trace"] {
        for bits in [0, 1] {
            let expected =
                format!("403c deletion of system exchange '{name}' in vhost '/' not allowed");
            client
                .refused(1, method::exchange_delete(name, bits), &expected)
                .await?;
        }
    }
    Ok(())
}

/// Spec 3.2.2.
async fn delete_if_unused_heeds_bindings_from_it_only(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (source, middle) = (context.exchange("source"), context.exchange("middle"));
    let none = Table::new();
    client.ok(1, declare(&source, "fanout", DURABLE)).await?;
    client.ok(1, declare(&middle, "fanout", DURABLE)).await?;
    client
        .ok(1, method::exchange_bind(&middle, &source, "", &none))
        .await?;
    let expected = format!("406c exchange '{source}' in vhost '/' in use");
    client
        .refused(1, method::exchange_delete(&source, 1), &expected)
        .await?;
    client.ok(1, method::exchange_delete(&middle, 1)).await?;
    client.ok(1, method::exchange_delete(&source, 1)).await?;
    client
        .refused(1, declare(&source, "fanout", PASSIVE), &not_found(&source))
        .await
}

/// Spec 3.2.3.
async fn deleting_an_exchange_removes_its_bindings(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let exchange = context.exchange("x");
    client.ok(1, declare(&exchange, "fanout", DURABLE)).await?;
    let queue = bound(context, &mut client, &exchange, "").await?;
    client.ok(1, method::exchange_delete(&exchange, 0)).await?;
    client.ok(1, declare(&exchange, "fanout", DURABLE)).await?;
    publish(&mut client, &exchange, "", "lost").await?;
    client.expect_ready(1, &queue, 0).await?;
    client.ok(1, method::exchange_delete(&exchange, 1)).await?;
    Ok(())
}

/// Spec 3.3.1. By unbind, by the queue's deletion, by its connection's end.
async fn an_auto_delete_exchange_goes_with_its_last_binding_as_source(
    context: &Context,
) -> Result<()> {
    let mut client = context.client().await?;
    let none = Table::new();
    for way in ["unbind", "queue delete", "connection end"] {
        let exchange = context.exchange("x");
        client
            .ok(1, declare(&exchange, "direct", AUTO_DELETE))
            .await?;
        let mut owner = context.client().await?;
        let queue = context.queue("q");
        owner
            .ok(
                1,
                method::queue_declare(&queue, queue_bits::EXCLUSIVE, &none),
            )
            .await?;
        for key in ["one", "two"] {
            owner
                .ok(1, method::queue_bind(&queue, &exchange, key, &none))
                .await?;
        }
        owner
            .ok(1, method::queue_unbind(&queue, &exchange, "one", &none))
            .await?;
        client.ok(1, declare(&exchange, "", PASSIVE)).await?;
        match way {
            "unbind" => {
                owner
                    .ok(1, method::queue_unbind(&queue, &exchange, "two", &none))
                    .await?;
            }
            "queue delete" => {
                owner.ok(1, method::queue_delete(&queue, 0)).await?;
            }
            _ => owner.close().await?,
        }
        await_gone(&mut client, &exchange)
            .await
            .with_context(|| way.to_owned())?;
    }
    Ok(())
}

/// After a connection's end RabbitMQ takes its time for this.
async fn await_gone(client: &mut Client, exchange: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let outcome = client.call(1, declare(exchange, "", PASSIVE)).await?;
        if outcome.close().is_some() {
            outcome.expect(&not_found(exchange))?;
            return client.open(1).await;
        }
        ensure!(Instant::now() < deadline, "{exchange} stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Spec 3.3.1.
async fn an_auto_delete_exchange_stays_while_it_never_had_a_binding(
    context: &Context,
) -> Result<()> {
    let mut client = context.client().await?;
    let (exchange, source) = (context.exchange("x"), context.exchange("source"));
    let none = Table::new();
    client
        .ok(1, declare(&exchange, "direct", AUTO_DELETE))
        .await?;
    client.ok(1, declare(&source, "direct", DURABLE)).await?;
    // Being a destination is irrelevant.
    client
        .ok(1, method::exchange_bind(&exchange, &source, "key", &none))
        .await?;
    client
        .ok(1, method::exchange_unbind(&exchange, &source, "key", &none))
        .await?;
    client.close().await?;
    let mut client = context.client().await?;
    client.ok(1, declare(&exchange, "", PASSIVE)).await?;
    Ok(())
}

/// Spec 3.2.3. Spec 3.3.1.
async fn auto_delete_follows_the_chain(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let chain: Vec<_> = (0..4).map(|_| context.exchange("x")).collect();
    for exchange in &chain {
        client
            .ok(1, declare(exchange, "fanout", AUTO_DELETE))
            .await?;
    }
    for pair in chain.windows(2) {
        client
            .ok(
                1,
                method::exchange_bind(&pair[1], &pair[0], "", &Table::new()),
            )
            .await?;
    }
    client.ok(1, method::exchange_delete(&chain[3], 0)).await?;
    for exchange in &chain {
        client
            .refused(1, declare(exchange, "", PASSIVE), &not_found(exchange))
            .await?;
    }
    Ok(())
}

/// Spec 3.3.2.
async fn an_internal_exchange_takes_no_publish_but_routes(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (source, internal) = (context.exchange("source"), context.exchange("internal"));
    client
        .ok(1, declare(&internal, "fanout", DURABLE | INTERNAL))
        .await?;
    let queue = bound(context, &mut client, &internal, "").await?;
    client.ok(1, declare(&source, "direct", DURABLE)).await?;
    client
        .ok(
            1,
            method::exchange_bind(&internal, &source, "key", &Table::new()),
        )
        .await?;
    let with_alternate = context.exchange("with-alternate");
    let arguments = one("alternate-exchange", &internal);
    let declare = method::exchange_declare(&with_alternate, "direct", DURABLE, &arguments);
    client.ok(1, declare).await?;
    publish(&mut client, &source, "key", "by binding").await?;
    publish(&mut client, &with_alternate, "key", "by alternate").await?;
    client.await_ready(1, &queue, 2).await?;
    publish(&mut client, &internal, "key", "refused").await?;
    let expected = format!("403c cannot publish to internal exchange '{internal}' in vhost '/'");
    client.reply(1).await?.expect(&expected)
}

async fn with_alternate(
    client: &mut Client,
    exchange: &str,
    kind: &str,
    alternate: &str,
) -> Result<()> {
    let arguments = one("alternate-exchange", alternate);
    client
        .ok(
            1,
            method::exchange_declare(exchange, kind, DURABLE, &arguments),
        )
        .await?;
    Ok(())
}

/// Spec 3.3.3. A destination that is an exchange which itself routes nowhere is one all the same.
async fn the_alternate_exchange_gets_what_finds_no_destination(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let [main, fallback, dead_end] = ["main", "fallback", "dead-end"].map(|x| context.exchange(x));
    client.ok(1, declare(&fallback, "topic", DURABLE)).await?;
    client.ok(1, declare(&dead_end, "fanout", DURABLE)).await?;
    with_alternate(&mut client, &main, "direct", &fallback).await?;
    let own = bound(context, &mut client, &main, "known").await?;
    let caught = bound(context, &mut client, &fallback, "#").await?;
    client
        .ok(
            1,
            method::exchange_bind(&dead_end, &main, "dead", &Table::new()),
        )
        .await?;
    for key in ["known", "dead", "unknown"] {
        publish(&mut client, &main, key, key).await?;
    }
    client.await_ready(1, &caught, 1).await?;
    client.expect_ready(1, &own, 1).await?;
    let got = client.take(1, &caught).await?;
    ensure!(
        (got.exchange.as_str(), got.routing_key.as_str()) == (&*main, "unknown"),
        "{got:?}"
    );
    Ok(())
}

/// Spec 3.3.3. Spec 13.11.
async fn alternate_exchanges_may_form_chains_and_cycles(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let ring: Vec<_> = (0..4).map(|_| context.exchange("ring")).collect();
    for (n, exchange) in ring.iter().enumerate() {
        with_alternate(&mut client, exchange, "direct", &ring[(n + 1) % ring.len()]).await?;
    }
    let queue = bound(context, &mut client, &ring[3], "key").await?;
    let publish_mandatory = |key| method::basic_publish(&ring[0], key, 1);
    let properties = Properties::default();
    client
        .publish(1, publish_mandatory("key"), &properties, "body")
        .await?;
    client
        .publish(1, publish_mandatory("unknown"), &properties, "body")
        .await?;
    client.await_ready(1, &queue, 1).await?;
    client.next_of(1, method::BASIC_RETURN).await?;
    ensure!(
        client.take_all(1, &queue).await?.len() == 1,
        "the cycle went round again"
    );
    Ok(())
}

/// Spec 3.3.3.
async fn a_missing_alternate_exchange_is_ignored(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let main = context.exchange("main");
    with_alternate(&mut client, &main, "direct", &context.unique("nowhere")).await?;
    let publish = method::basic_publish(&main, "key", 1);
    client
        .publish(1, publish, &Properties::default(), "body")
        .await?;
    client.next_of(1, method::BASIC_RETURN).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    Ok(())
}

/// Spec 3.3.3.
async fn a_message_routed_by_the_alternate_exchange_is_not_returned(
    context: &Context,
) -> Result<()> {
    let mut client = context.client().await?;
    let (main, fallback) = (context.exchange("main"), context.exchange("fallback"));
    client.ok(1, declare(&fallback, "fanout", DURABLE)).await?;
    with_alternate(&mut client, &main, "direct", &fallback).await?;
    let queue = bound(context, &mut client, &fallback, "").await?;
    client.ok(1, method::confirm_select()).await?;
    let publish = method::basic_publish(&main, "key", 1);
    client
        .publish(1, publish, &Properties::default(), "body")
        .await?;
    ensure!(
        client.next().await?.method == method::basic_ack(1, false),
        "a return"
    );
    client.await_ready(1, &queue, 1).await
}
