//! Duplicates that a queue keeps out. RabbitMQ has that as a plugin of its community, which is not at
//! hand: there the arguments mean nothing, and what follows is held against ours alone.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

leveret_tests::on_both_targets![
    a_duplicate_is_dropped_while_the_first_is_in_the_queue,
    a_duplicate_is_confirmed,
    whatever_has_no_key_is_never_a_duplicate,
    keys_are_values_of_a_header,
    a_window_outlasts_the_messages,
    a_window_ends_with_its_time,
    a_window_knows_the_last_keys,
    a_refused_message_leaves_no_key,
    a_dead_letter_that_comes_back_is_no_duplicate,
    a_transaction_drops_duplicates,
    a_quorum_queue_tells_duplicates,
    wrong_arguments_are_refused,
    a_redeclaration_says_the_same,
];

/// Whether duplicates are told; ours always does.
fn is_known(context: &Context) -> Result<bool> {
    let told = context.differs("4.3.2", "no", "yes")?;
    Ok(told == "yes")
}

fn on() -> Table {
    one("x-message-deduplication", true)
}

/// A queue with these arguments on a target that tells duplicates.
async fn with_queue(context: &Context, arguments: Table) -> Result<Option<(Client, String)>> {
    if !is_known(context)? {
        return Ok(None);
    }
    let (mut client, queue) = (context.client().await?, context.queue("q"));
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &arguments);
    client.ok(1, declare).await?;
    Ok(Some((client, queue)))
}

fn keyed(key: impl Into<Value>) -> Properties {
    let headers = one("x-deduplication-header", key.into());
    Properties {
        headers: Some(headers),
        ..Properties::persistent()
    }
}

async fn publish(
    client: &mut Client,
    queue: &str,
    properties: &Properties,
    body: &str,
) -> Result<()> {
    let publish = method::basic_publish("", queue, 0);
    client.publish(1, publish, properties, body).await
}

async fn acknowledge_next(client: &mut Client, queue: &str) -> Result<()> {
    let tag = client.get(1, queue, false).await?.map(|got| got.tag);
    let acknowledge = method::basic_ack(tag.unwrap_or_default(), false);
    client.send(1, &acknowledge).await?;
    client.flush_channel(1).await
}

/// Spec 4.3.2.
async fn a_duplicate_is_dropped_while_the_first_is_in_the_queue(context: &Context) -> Result<()> {
    let Some((mut client, queue)) = with_queue(context, on()).await? else {
        return Ok(());
    };
    for (key, body) in [("a", "first"), ("a", "again"), ("b", "other")] {
        publish(&mut client, &queue, &keyed(key), body).await?;
    }
    client.await_ready(1, &queue, 2).await?;
    let first = client.get(1, &queue, false).await?;
    ensure!(first.is_some_and(|got| got.text() == "first"), "the first");
    // Unacknowledged, it is still in the queue.
    publish(&mut client, &queue, &keyed("a"), "again").await?;
    client.expect_ready(1, &queue, 1).await?;
    client.send(1, &method::basic_ack(1, false)).await?;
    publish(&mut client, &queue, &keyed("a"), "later").await?;
    client.await_ready(1, &queue, 2).await?;
    let all = client.take_all(1, &queue).await?;
    ensure!(all == ["other", "later"], "{all:?}");
    // Taken without acknowledgement, they are gone, and so are their keys.
    publish(&mut client, &queue, &keyed("b"), "new").await?;
    client.await_ready(1, &queue, 1).await?;
    client.ok(1, method::queue_purge(&queue)).await?;
    publish(&mut client, &queue, &keyed("b"), "newest").await?;
    client.await_ready(1, &queue, 1).await
}

/// Spec 4.3.2. Spec 6.1.3.
async fn a_duplicate_is_confirmed(context: &Context) -> Result<()> {
    let Some((mut client, queue)) = with_queue(context, on()).await? else {
        return Ok(());
    };
    client.ok(1, method::confirm_select()).await?;
    for _ in 0..5 {
        publish(&mut client, &queue, &keyed("a"), "x").await?;
    }
    let mut confirmed = BTreeSet::new();
    while confirmed.len() < 5 {
        let ack = client.next_of(1, method::BASIC_ACK).await?;
        let mut reader = ack.method.reader();
        let (number, multiple) = (reader.u64()?, reader.u8()? == 1);
        confirmed.extend(if multiple {
            1..=number
        } else {
            number..=number
        });
    }
    client.expect_ready(1, &queue, 1).await
}

/// Spec 4.3.2.
async fn whatever_has_no_key_is_never_a_duplicate(context: &Context) -> Result<()> {
    let Some((mut client, queue)) = with_queue(context, on()).await? else {
        return Ok(());
    };
    let other = Properties::with_headers(one("x-deduplication", "a"));
    for properties in [Properties::default(), other, keyed(Value::Void)] {
        for _ in 0..2 {
            publish(&mut client, &queue, &properties, "x").await?;
        }
    }
    client.await_ready(1, &queue, 6).await
}

/// Spec 4.3.2.
async fn keys_are_values_of_a_header(context: &Context) -> Result<()> {
    let arguments = on().with("x-deduplication-header", "id");
    let Some((mut client, queue)) = with_queue(context, arguments).await? else {
        return Ok(());
    };
    let values = [
        Value::I32(7),
        Value::I64(7),
        Value::text("7"),
        Value::text("8"),
        Value::U8(8),
    ];
    for value in values {
        let properties = Properties::with_headers(one("id", value));
        publish(&mut client, &queue, &properties, "x").await?;
    }
    // Two are the same number.
    client.await_ready(1, &queue, 4).await?;
    for _ in 0..2 {
        publish(&mut client, &queue, &keyed("a"), "x").await?;
    }
    client.await_ready(1, &queue, 6).await
}

/// Spec 4.3.2.
async fn a_window_outlasts_the_messages(context: &Context) -> Result<()> {
    let arguments = on().with("x-cache-size", 10);
    let Some((mut client, queue)) = with_queue(context, arguments).await? else {
        return Ok(());
    };
    publish(&mut client, &queue, &keyed("a"), "x").await?;
    client.await_ready(1, &queue, 1).await?;
    acknowledge_next(&mut client, &queue).await?;
    publish(&mut client, &queue, &keyed("a"), "again").await?;
    publish(&mut client, &queue, &keyed("b"), "new").await?;
    client.await_ready(1, &queue, 1).await?;
    let all = client.take_all(1, &queue).await?;
    ensure!(all == ["new"], "{all:?}");
    Ok(())
}

/// Spec 4.3.2.
async fn a_window_ends_with_its_time(context: &Context) -> Result<()> {
    let arguments = on().with("x-cache-ttl", Value::I32(3_600_000));
    let Some((mut client, queue)) = with_queue(context, arguments).await? else {
        return Ok(());
    };
    let headers = |key| one("x-deduplication-header", key).with("x-cache-ttl", Value::I32(1));
    let short = |key| Properties::with_headers(headers(key));
    publish(&mut client, &queue, &keyed("long"), "x").await?;
    let mut ready = 1;
    // However slow this is, the time is over at last; the other's is not.
    while ready < 4 {
        publish(&mut client, &queue, &short("short"), "x").await?;
        publish(&mut client, &queue, &keyed("long"), "x").await?;
        client.flush(1, &queue).await?;
        ready = client.counts(1, &queue).await?.0;
    }
    let all = client.take_all(1, &queue).await?;
    ensure!(all.len() == 4, "{all:?}");
    Ok(())
}

/// Spec 4.3.2.
async fn a_window_knows_the_last_keys(context: &Context) -> Result<()> {
    let arguments = on().with("x-cache-size", 2);
    let Some((mut client, queue)) = with_queue(context, arguments).await? else {
        return Ok(());
    };
    for key in ["a", "b", "c", "b", "c", "a"] {
        publish(&mut client, &queue, &keyed(key), key).await?;
    }
    client.await_ready(1, &queue, 4).await?;
    let all = client.take_all(1, &queue).await?;
    ensure!(all == ["a", "b", "c", "a"], "{all:?}");
    Ok(())
}

/// Spec 4.3.2. Spec 7.3.2.
async fn a_refused_message_leaves_no_key(context: &Context) -> Result<()> {
    let arguments = on()
        .with("x-max-length", 1)
        .with("x-overflow", "reject-publish");
    let Some((mut client, queue)) = with_queue(context, arguments).await? else {
        return Ok(());
    };
    for (key, body) in [("a", "first"), ("b", "refused")] {
        publish(&mut client, &queue, &keyed(key), body).await?;
    }
    client.await_ready(1, &queue, 1).await?;
    ensure!(
        client.take(1, &queue).await?.text() == "first",
        "the wrong one"
    );
    publish(&mut client, &queue, &keyed("b"), "again").await?;
    client.await_ready(1, &queue, 1).await
}

/// Spec 4.3.2. Spec 7.2.1. A message that waits elsewhere before it is tried again has the same key.
async fn a_dead_letter_that_comes_back_is_no_duplicate(context: &Context) -> Result<()> {
    let (work, wait) = (context.queue("work"), context.queue("wait"));
    for arguments in [on(), on().with("x-cache-size", 10)] {
        if !is_known(context)? {
            return Ok(());
        }
        let mut client = context.client().await?;
        let to = |arguments: Table, key: &str| {
            let arguments = arguments.with("x-dead-letter-exchange", "");
            arguments.with("x-dead-letter-routing-key", key)
        };
        let arguments = to(arguments, &wait);
        let declare = method::queue_declare(&work, queue_bits::DURABLE, &arguments);
        client.ok(1, declare).await?;
        let arguments = to(one("x-message-ttl", 1), &work);
        let declare = method::queue_declare(&wait, queue_bits::DURABLE, &arguments);
        client.ok(1, declare).await?;
        publish(&mut client, &work, &keyed("a"), "x").await?;
        client.await_ready(1, &work, 1).await?;
        let tag = client.get(1, &work, false).await?.map(|got| got.tag);
        let reject = method::basic_reject(tag.unwrap_or_default(), false);
        client.send(1, &reject).await?;
        client.await_ready(1, &work, 1).await?;
        for queue in [&work, &wait] {
            client.ok(1, method::queue_delete(queue, 0)).await?;
        }
    }
    Ok(())
}

/// Spec 4.3.2. Spec 6.2.3.
async fn a_transaction_drops_duplicates(context: &Context) -> Result<()> {
    let Some((mut client, queue)) = with_queue(context, on()).await? else {
        return Ok(());
    };
    client.ok(1, method::tx_select()).await?;
    publish(&mut client, &queue, &keyed("b"), "rolled back").await?;
    client.ok(1, method::tx_rollback()).await?;
    for key in ["a", "b", "a"] {
        publish(&mut client, &queue, &keyed(key), key).await?;
    }
    client.ok(1, method::tx_commit()).await?;
    client.await_ready(1, &queue, 2).await
}

/// Spec 4.3.2. Spec 4.4.1.
async fn a_quorum_queue_tells_duplicates(context: &Context) -> Result<()> {
    let arguments = on().with("x-queue-type", "quorum");
    let Some((mut client, queue)) = with_queue(context, arguments).await? else {
        return Ok(());
    };
    for (key, priority) in [("a", 1), ("b", 9), ("b", 3), ("a", 9)] {
        let properties = Properties {
            priority: Some(priority),
            ..keyed(key)
        };
        publish(&mut client, &queue, &properties, key).await?;
    }
    client.await_ready(1, &queue, 2).await?;
    let all = client.take_all(1, &queue).await?;
    ensure!(all == ["b", "a"], "{all:?}");
    Ok(())
}

/// Spec 4.3.2.
async fn wrong_arguments_are_refused(context: &Context) -> Result<()> {
    if !is_known(context)? {
        return Ok(());
    }
    let mut client = context.client().await?;
    let cases = [
        (
            one("x-message-deduplication", "true"),
            "x-message-deduplication",
            "{unacceptable_type,longstr}",
        ),
        (
            on().with("x-cache-size", 0),
            "x-cache-size",
            "{value_zero,0}",
        ),
        (
            on().with("x-cache-size", Value::I64(i64::MAX)),
            "x-cache-size",
            "{max_value_exceeded,9223372036854775807}",
        ),
        (
            on().with("x-cache-ttl", -1),
            "x-cache-ttl",
            "{value_negative,-1}",
        ),
        (
            on().with("x-deduplication-header", 5),
            "x-deduplication-header",
            "{unacceptable_type,signedint}",
        ),
    ];
    for (arguments, argument, detail) in cases {
        let queue = context.queue("refused");
        let declare = method::queue_declare(&queue, 0, &arguments);
        let expected =
            format!("406c invalid arg '{argument}' for queue '{queue}' in vhost '/': {detail}");
        client.refused(1, declare, &expected).await?;
    }
    // What is off means nothing.
    let queue = context.queue("off");
    let arguments = one("x-cache-size", "many").with("x-message-deduplication", false);
    let declare = method::queue_declare(&queue, queue_bits::EXCLUSIVE, &arguments);
    client.ok(1, declare).await?;
    Ok(())
}

/// Spec 4.3.2. Spec 4.1.5.
async fn a_redeclaration_says_the_same(context: &Context) -> Result<()> {
    let arguments = on().with("x-cache-size", 10);
    let Some((mut client, queue)) = with_queue(context, arguments).await? else {
        return Ok(());
    };
    let declare = |size: Value| {
        let arguments = on().with("x-cache-size", size);
        method::queue_declare(&queue, queue_bits::DURABLE, &arguments)
    };
    client.ok(1, declare(Value::I64(10))).await?;
    let expected = format!(
        "406c inequivalent arg 'x-cache-size' for queue '{queue}' in vhost '/': received '11' but \
         current is '10'"
    );
    client
        .refused(1, declare(Value::I64(11)), &expected)
        .await?;
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &Table::new());
    let expected = format!(
        "406c inequivalent arg 'x-message-deduplication' for queue '{queue}' in vhost '/': received \
         none but current is the value 'true' of type 'bool'"
    );
    client.refused(1, declare, &expected).await
}
