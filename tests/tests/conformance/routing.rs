//! Bindings, and what each exchange type makes of them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, exchange_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

leveret_tests::on_both_targets![
    equal_bindings_are_one_and_different_arguments_make_another,
    a_queue_gets_a_message_once_whatever_the_number_of_bindings,
    binding_what_is_missing_is_not_found,
    unbinding_what_is_missing_is_answered,
    every_queue_is_bound_to_the_default_exchange_by_its_name,
    a_queue_cannot_be_bound_to_a_reply_address,
    exchanges_routed_through_exchanges_are_each_visited_once,
    a_direct_exchange_compares_keys,
    a_fanout_exchange_ignores_keys,
    topic_words_and_wildcards,
    wildcards_in_the_published_key_are_literal,
    a_topic_binding_removed_no_longer_routes,
    many_hash_wildcards_in_one_key,
    headers_match_all_any_and_the_x_variants,
    headers_compare_decoded_values,
    headers_without_comparable_keys,
    a_wrong_x_match_is_refused,
    headers_exchanges_ignore_the_routing_key,
];

/// An exchange of this type, and a client.
async fn exchange(context: &Context, kind: &str) -> Result<(Client, String)> {
    let mut client = context.client().await?;
    let exchange = context.exchange("x");
    let bits = exchange_bits::DURABLE;
    client
        .ok(
            1,
            method::exchange_declare(&exchange, kind, bits, &Table::new()),
        )
        .await?;
    Ok((client, exchange))
}

async fn queue(context: &Context, client: &mut Client) -> Result<String> {
    let queue = context.queue("q");
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    Ok(queue)
}

async fn publish(client: &mut Client, exchange: &str, key: &str) -> Result<()> {
    let publish = method::basic_publish(exchange, key, 0);
    client
        .publish(1, publish, &Properties::default(), key)
        .await
}

/// Spec 3.4.1.
async fn equal_bindings_are_one_and_different_arguments_make_another(
    context: &Context,
) -> Result<()> {
    let (mut client, exchange) = exchange(context, "direct").await?;
    let queue = queue(context, &mut client).await?;
    let (none, some) = (Table::new(), one("a", 1));
    for arguments in [&none, &none, &some] {
        client
            .ok(1, method::queue_bind(&queue, &exchange, "key", arguments))
            .await?;
    }
    let unbind = |arguments| method::queue_unbind(&queue, &exchange, "key", arguments);
    client.ok(1, unbind(&none)).await?;
    publish(&mut client, &exchange, "key").await?;
    client.await_ready(1, &queue, 1).await?;
    client.ok(1, unbind(&some)).await?;
    publish(&mut client, &exchange, "key").await?;
    client.expect_ready(1, &queue, 1).await?;
    Ok(())
}

/// Spec 3.4.1.
async fn a_queue_gets_a_message_once_whatever_the_number_of_bindings(
    context: &Context,
) -> Result<()> {
    let (mut client, exchange) = exchange(context, "topic").await?;
    let queue = queue(context, &mut client).await?;
    for key in ["#", "a.*", "*.b", "a.b", "a.#"] {
        client
            .ok(1, method::queue_bind(&queue, &exchange, key, &Table::new()))
            .await?;
    }
    client
        .ok(
            1,
            method::exchange_bind(&exchange, &exchange, "#", &Table::new()),
        )
        .await?;
    publish(&mut client, &exchange, "a.b").await?;
    client.await_ready(1, &queue, 1).await?;
    ensure!(
        client.take_all(1, &queue).await?.len() == 1,
        "more than one copy"
    );
    Ok(())
}

/// Spec 3.4.2.
async fn binding_what_is_missing_is_not_found(context: &Context) -> Result<()> {
    let (mut client, exchange) = exchange(context, "direct").await?;
    let queue = queue(context, &mut client).await?;
    let missing = context.unique("nowhere");
    let none = Table::new();
    let no_queue = format!("404c no queue '{missing}' in vhost '/'");
    let no_exchange = format!("404c no exchange '{missing}' in vhost '/'");
    for (bind, expected) in [
        (
            method::queue_bind(&missing, &exchange, "", &none),
            &no_queue,
        ),
        (
            method::queue_bind(&queue, &missing, "", &none),
            &no_exchange,
        ),
        (
            method::queue_bind(&context.unique("neither"), &missing, "", &none),
            &no_exchange,
        ),
        (
            method::exchange_bind(&context.unique("neither"), &missing, "", &none),
            &no_exchange,
        ),
        (
            method::exchange_bind(&missing, &exchange, "", &none),
            &no_exchange,
        ),
        (
            method::exchange_bind(&exchange, &missing, "", &none),
            &no_exchange,
        ),
    ] {
        client.refused(1, bind, expected).await?;
    }
    Ok(())
}

/// Spec 3.4.2.
async fn unbinding_what_is_missing_is_answered(context: &Context) -> Result<()> {
    let (mut client, exchange) = exchange(context, "direct").await?;
    let queue = queue(context, &mut client).await?;
    let missing = context.unique("nowhere");
    let none = Table::new();
    for unbind in [
        method::queue_unbind(&queue, &exchange, "never bound", &none),
        method::queue_unbind(&missing, &exchange, "", &none),
        method::queue_unbind(&queue, &missing, "", &none),
        method::exchange_unbind(&exchange, &exchange, "never bound", &none),
        method::exchange_unbind(&missing, &exchange, "", &none),
        method::exchange_unbind(&exchange, &missing, "", &none),
    ] {
        client.ok(1, unbind).await?;
    }
    Ok(())
}

/// Spec 3.4.3.
async fn every_queue_is_bound_to_the_default_exchange_by_its_name(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client).await?;
    publish(&mut client, "", &queue).await?;
    publish(&mut client, "", &format!("{queue}.")).await?;
    client.await_ready(1, &queue, 1).await?;
    let got = client.take(1, &queue).await?;
    ensure!(
        got.exchange.is_empty() && got.routing_key == queue,
        "{got:?}"
    );
    Ok(())
}

/// Spec 3.4.5. Spec 13.12.
async fn a_queue_cannot_be_bound_to_a_reply_address(context: &Context) -> Result<()> {
    let (mut client, exchange) = exchange(context, "direct").await?;
    let none = Table::new();
    let forged = "amq.rabbitmq.reply-to.g2dkABByZXBseUAx";
    let refused = "403c cannot bind or unbind to a volatile (direct reply-to) queue";
    let plain = "amq.rabbitmq.reply-to";
    let missing = format!("404c no queue '{plain}' in vhost '/'");
    let missing = context.differs("3.4.5", missing.as_str(), refused)?;
    client
        .refused(
            1,
            method::queue_bind(plain, &exchange, "key", &none),
            missing,
        )
        .await?;
    client
        .refused(
            1,
            method::queue_bind(forged, &exchange, "key", &none),
            refused,
        )
        .await?;
    client
        .refused(
            1,
            method::queue_unbind(forged, &exchange, "key", &none),
            refused,
        )
        .await
}

/// Spec 3.4.8. Spec 13.11. A diamond, a cycle and a binding to itself.
async fn exchanges_routed_through_exchanges_are_each_visited_once(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let xs: Vec<_> = (0..5).map(|_| context.exchange("x")).collect();
    for x in &xs {
        client
            .ok(1, method::exchange_declare(x, "fanout", 2, &Table::new()))
            .await?;
    }
    for (from, to) in [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (4, 0), (2, 2)] {
        client
            .ok(
                1,
                method::exchange_bind(&xs[to], &xs[from], "", &Table::new()),
            )
            .await?;
    }
    let queue = queue(context, &mut client).await?;
    for x in [&xs[3], &xs[4]] {
        client
            .ok(1, method::queue_bind(&queue, x, "", &Table::new()))
            .await?;
    }
    publish(&mut client, &xs[0], "key").await?;
    client.await_ready(1, &queue, 1).await?;
    let got = client.take(1, &queue).await?;
    ensure!(got.exchange == xs[0] && got.routing_key == "key", "{got:?}");
    ensure!(
        client.take_all(1, &queue).await?.is_empty(),
        "more than one copy"
    );
    client
        .ok(
            1,
            method::exchange_unbind(&xs[4], &xs[3], "", &Table::new()),
        )
        .await?;
    Ok(())
}

/// Which of the published keys reach a queue bound with `binding`.
async fn routed(
    context: &Context,
    kind: &str,
    binding: &str,
    keys: &[&'static str],
) -> Result<BTreeSet<String>> {
    let (mut client, exchange) = exchange(context, kind).await?;
    let queue = queue(context, &mut client).await?;
    client
        .ok(
            1,
            method::queue_bind(&queue, &exchange, binding, &Table::new()),
        )
        .await?;
    for key in keys {
        publish(&mut client, &exchange, key).await?;
    }
    client.flush(1, &queue).await?;
    Ok(client.take_all(1, &queue).await?.into_iter().collect())
}

async fn check_routed(
    context: &Context,
    kind: &str,
    binding: &str,
    hits: &[&'static str],
    misses: &[&'static str],
) -> Result<()> {
    let keys = [hits, misses].concat();
    let arrived = routed(context, kind, binding, &keys).await?;
    let expected: BTreeSet<_> = hits.iter().map(|key| (*key).to_owned()).collect();
    ensure!(
        arrived == expected,
        "{binding:?} let through {arrived:?} of {keys:?}"
    );
    Ok(())
}

/// Spec 3.1.2.
async fn a_direct_exchange_compares_keys(context: &Context) -> Result<()> {
    check_routed(
        context,
        "direct",
        "a.b",
        &["a.b"],
        &["a", "a.B", "a.b.", "", "#", "a.*"],
    )
    .await?;
    check_routed(context, "direct", "#", &["#"], &["a", ""]).await
}

/// Spec 3.1.2.
async fn a_fanout_exchange_ignores_keys(context: &Context) -> Result<()> {
    check_routed(context, "fanout", "a", &["a", "b", "", "a.b"], &[]).await
}

/// Spec 3.5.1.
async fn topic_words_and_wildcards(context: &Context) -> Result<()> {
    let topic = |binding, hits, misses| check_routed(context, "topic", binding, hits, misses);
    topic("a.b", &["a.b"], &["a", "a.B", "a.b.c", "a.b.", ".a.b"]).await?;
    topic("*", &["a", "ab"], &["", "a.b", "a.", "."]).await?;
    topic("#", &["", "a", "a.b", "..", "a."], &[]).await?;
    topic("", &[""], &["a", "."]).await?;
    topic("a.*", &["a.b", "a."], &["a", "a.b.c", "b.a"]).await?;
    topic("*.*", &["a.b", ".", "a.", ".b"], &["a", "", "a.b.c"]).await?;
    topic("a.#", &["a", "a.b", "a.b.c", "a."], &["", "b", "ab", ".a"]).await?;
    topic("#.b", &["b", "a.b", "a.c.b", ".b"], &["", "b.a", "ab"]).await?;
    topic(
        "a.#.b",
        &["a.b", "a.x.b", "a.x.y.b", "a.b.b", "a..b"],
        &["a", "b", "a.bb"],
    )
    .await?;
    topic("*.#", &["a", "a.b", ".", "a.b.c"], &[""]).await?;
    topic("#.*", &["a", "a.b", "a.b.c"], &[""]).await?;
    topic(
        "#.a.#",
        &["a", "x.a", "a.x", "x.y.a.z", "a.a"],
        &["", "x", "xa", "x.ya"],
    )
    .await?;
    topic("a*", &["a*"], &["ab", "a", "a.b"]).await?;
    topic("a#.*b", &["a#.*b"], &["ab.bb", "a.b"]).await?;
    topic("a..b", &["a..b"], &["a.b", "a.x.b"]).await?;
    topic("ü.*", &["ü.兎"], &["u.x", "Ü.x"]).await
}

/// Spec 3.5.3.
async fn wildcards_in_the_published_key_are_literal(context: &Context) -> Result<()> {
    let topic = |binding, hits, misses| check_routed(context, "topic", binding, hits, misses);
    topic("a.b", &["a.b"], &["a.*", "a.#", "#", "*.b"]).await?;
    topic("a.*", &["a.*", "a.#"], &["#", "*.#"]).await
}

/// Spec 3.5.1. Spec 3.4.1. Bindings that share a prefix must not take one another along.
async fn a_topic_binding_removed_no_longer_routes(context: &Context) -> Result<()> {
    let (mut client, exchange) = exchange(context, "topic").await?;
    let queue = queue(context, &mut client).await?;
    let none = Table::new();
    for key in ["a.b", "a.b.#", "a.*.c", "a.b.c"] {
        client
            .ok(1, method::queue_bind(&queue, &exchange, key, &none))
            .await?;
    }
    for key in ["a.b.#", "a.b.c"] {
        client
            .ok(1, method::queue_unbind(&queue, &exchange, key, &none))
            .await?;
    }
    for key in ["a.b", "a.b.c", "a.b.d"] {
        publish(&mut client, &exchange, key).await?;
    }
    client.flush(1, &queue).await?;
    let arrived = client.take_all(1, &queue).await?;
    ensure!(arrived == ["a.b", "a.b.c"], "{arrived:?}");
    Ok(())
}

/// Spec 3.5.2. Spec 13.11.
async fn many_hash_wildcards_in_one_key(context: &Context) -> Result<()> {
    let (mut client, exchange) = exchange(context, "topic").await?;
    let queue = queue(context, &mut client).await?;
    for (count, accepted) in [(2, true), (3, false), (100, false)] {
        let key = vec!["#"; count].join(".");
        let bind = method::queue_bind(&queue, &exchange, &key, &Table::new());
        let limit = format!("406c Topic binding key '{key}' uses {count} '…");
        let rabbitmq = if accepted { "ok" } else { &limit };
        let outcome = client.call(1, bind).await?;
        outcome.expect(context.differs("3.5.2", rabbitmq, "ok")?)?;
        if outcome.close().is_some() {
            client.open(1).await?;
        }
    }
    // A key that a combinatorial matcher would take for ever to try.
    let long = vec!["a"; 120].join(".");
    for _ in 0..50 {
        publish(&mut client, &exchange, &long).await?;
    }
    client.await_ready(1, &queue, 50).await
}

/// Publishes with these headers to a headers exchange with one binding; whether it arrived.
async fn headers_match(
    client: &mut Client,
    exchange: &str,
    queue: &str,
    binding: &Table,
    headers: Option<Table>,
) -> Result<bool> {
    client
        .ok(1, method::queue_bind(queue, exchange, "", binding))
        .await?;
    let properties = Properties {
        headers,
        ..Properties::default()
    };
    client
        .publish(
            1,
            method::basic_publish(exchange, "", 0),
            &properties,
            "body",
        )
        .await?;
    client.flush(1, queue).await?;
    let arrived = client.take_all(1, queue).await?.len();
    client
        .ok(1, method::queue_unbind(queue, exchange, "", binding))
        .await?;
    ensure!(arrived <= 1, "{arrived} copies");
    Ok(arrived == 1)
}

async fn check_headers(context: &Context, cases: Vec<(Table, Option<Table>, bool)>) -> Result<()> {
    let (mut client, exchange) = exchange(context, "headers").await?;
    let queue = queue(context, &mut client).await?;
    for (binding, headers, expected) in cases {
        let shown = format!("{binding:?} with {headers:?}");
        let matched = headers_match(&mut client, &exchange, &queue, &binding, headers).await;
        ensure!(
            matched.with_context(|| shown.clone())? == expected,
            "{shown}: not {expected}"
        );
    }
    Ok(())
}

/// Spec 3.6.1. Spec 3.6.2.
async fn headers_match_all_any_and_the_x_variants(context: &Context) -> Result<()> {
    let both = || one("a", 1).with("b", 2);
    let matching = |kind: &str| both().with("x-match", kind);
    let with_x = |kind: &str| one("a", 1).with("x-b", 2).with("x-match", kind);
    let only = |key: &str, value: i32| Some(one(key, value));
    check_headers(
        context,
        vec![
            (both(), Some(both()), true),
            (both(), Some(both().with("c", 3)), true),
            (both(), only("a", 1), false),
            (matching("all"), Some(both()), true),
            (matching("all"), Some(one("a", 1).with("b", 3)), false),
            (matching("any"), only("b", 2), true),
            (matching("any"), Some(one("a", 1).with("b", 3)), true),
            (matching("any"), only("b", 3), false),
            (matching("any"), only("c", 3), false),
            (matching("any"), None, false),
            (with_x("all"), only("a", 1), true),
            (with_x("any"), only("x-b", 2), false),
            (with_x("all-with-x"), only("a", 1), false),
            (with_x("all-with-x"), Some(one("a", 1).with("x-b", 2)), true),
            (with_x("any-with-x"), only("x-b", 2), true),
            (with_x("any-with-x"), only("x-b", 3), false),
        ],
    )
    .await
}

/// Spec 3.6.3.
async fn headers_compare_decoded_values(context: &Context) -> Result<()> {
    let timestamps = context.differs("3.6.3", false, true)?;
    let case =
        |bound: Value, sent: Value, expected| (one("a", bound), Some(one("a", sent)), expected);
    check_headers(
        context,
        vec![
            case(Value::U8(1), Value::I64(1), true),
            case(Value::I8(-1), Value::I32(-1), true),
            case(Value::U8(255), Value::I8(-1), false),
            case(Value::I32(1), Value::F64(1.0), false),
            case(Value::F32(0.5), Value::F64(0.5), true),
            case(Value::text("1"), Value::I32(1), false),
            case(Value::Bool(true), Value::Bool(true), true),
            case(Value::Bool(true), Value::Bool(false), false),
            case(Value::Bool(true), Value::I32(1), false),
            case(Value::text("x"), Value::Bytes(b"x".to_vec()), true),
            case(Value::text("x"), Value::text("X"), false),
            case(Value::Timestamp(1000), Value::Timestamp(1000), timestamps),
            case(Value::Timestamp(1000), Value::Timestamp(1001), false),
            case(Value::Void, Value::text("whatever"), true),
            case(Value::Void, Value::Void, true),
            (one("a", Value::Void), Some(one("b", 1)), false),
            (one("a", ""), None, false),
            (one("a", Value::Bool(false)), Some(Table::new()), false),
        ],
    )
    .await
}

/// Spec 3.6.4.
async fn headers_without_comparable_keys(context: &Context) -> Result<()> {
    let matching = |kind: &str| one("x-match", kind);
    check_headers(
        context,
        vec![
            (Table::new(), None, true),
            (Table::new(), Some(one("a", 1)), true),
            (matching("all"), None, true),
            (matching("all").with("x-a", 1), Some(one("b", 1)), true),
            (matching("any"), Some(one("a", 1)), false),
            (matching("any").with("x-a", 1), Some(one("x-a", 1)), false),
            (matching("all-with-x"), None, true),
            (matching("any-with-x"), Some(one("a", 1)), false),
        ],
    )
    .await
}

/// Spec 3.6.1.
async fn a_wrong_x_match_is_refused(context: &Context) -> Result<()> {
    let (mut client, exchange) = exchange(context, "headers").await?;
    let queue = queue(context, &mut client).await?;
    for (value, expected) in [
        (
            Value::text("some"),
            "406c Invalid x-match field value …; expected all, any, all-with-x, or any-with-x",
        ),
        (Value::I32(1), "406c Invalid x-match field type …"),
        (Value::Void, "406c Invalid x-match field type …"),
    ] {
        let bind = method::queue_bind(&queue, &exchange, "", &one("x-match", value));
        client.refused(1, bind, expected).await?;
    }
    Ok(())
}

/// Spec 3.6.4.
async fn headers_exchanges_ignore_the_routing_key(context: &Context) -> Result<()> {
    check_routed(context, "headers", "key", &["key", "other", ""], &[]).await
}
