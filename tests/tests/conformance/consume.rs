//! basic.get, basic.consume, basic.cancel: how messages reach a client.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Options, Received};
use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::method::{self, Method, consume_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

leveret_tests::on_both_targets![
    get_ok_tells_all_and_what_is_left,
    get_empty_carries_an_empty_string,
    get_and_deliver_share_one_sequence_of_tags,
    get_does_not_count_against_prefetch,
    get_may_fetch_beside_an_exclusive_consumer,
    an_empty_consumer_tag_is_made_up_by_the_server,
    a_tag_may_not_be_used_twice_on_a_channel,
    a_tag_may_be_used_on_two_channels,
    consume_ok_precedes_the_first_delivery,
    an_exclusive_consumer_is_alone,
    an_exclusive_consumer_on_a_single_active_queue_is_refused,
    no_local_is_ignored,
    consuming_from_a_missing_queue_is_not_found,
    consumer_priority_must_be_an_integer,
    unknown_consumer_arguments_are_ignored,
    consumers_of_higher_priority_get_everything_they_can_take,
    equal_consumers_take_turns,
    cancel_stops_deliveries_and_keeps_unsettled_messages,
    cancel_of_an_unknown_tag_is_answered,
    a_clients_cancel_ok_is_tolerated,
    deleting_a_queue_cancels_its_consumers,
    a_client_without_the_capability_is_not_told_of_a_deletion,
    a_no_ack_consumer_settles_at_delivery,
    deliveries_keep_the_order_of_publishing,
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

async fn fill(client: &mut Client, queue: &str, count: u32) -> Result<()> {
    for n in 1..=count {
        client.put(1, queue, n.to_string()).await?;
    }
    client.await_ready(1, queue, count).await
}

async fn consume(client: &mut Client, channel: u16, queue: &str, tag: &str) -> Result<Received> {
    client
        .ok(channel, method::basic_consume(queue, tag, 0, &Table::new()))
        .await
}

fn short_argument(received: &Received) -> Result<String> {
    received.method.reader().short()
}

/// Spec 5.2.1.
async fn get_ok_tells_all_and_what_is_left(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    fill(&mut client, &queue, 3).await?;
    for (tag, left) in [(1, 2), (2, 1)] {
        let got = client.get(1, &queue, false).await?.context("empty")?;
        ensure!(
            (got.tag, got.left, got.redelivered) == (tag, left, false),
            "{got:?}"
        );
        ensure!(
            got.exchange.is_empty() && got.routing_key == queue,
            "{got:?}"
        );
    }
    client.send(1, &method::basic_reject(1, true)).await?;
    client.await_ready(1, &queue, 2).await?;
    let got = client.get(1, &queue, true).await?.context("empty")?;
    ensure!(
        (got.tag, got.left, got.redelivered) == (3, 1, true),
        "{got:?}"
    );
    ensure!(got.text() == "1", "{got:?}");
    client
        .expect(
            1,
            method::basic_ack(3, false),
            "406c unknown delivery tag 3",
        )
        .await
}

/// Spec 5.2.1.
async fn get_empty_carries_an_empty_string(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let reply = client.ok(1, method::basic_get(&queue, false)).await?;
    ensure!(
        reply.method == Method::new(method::BASIC_GET_EMPTY, Writer::new().short("")),
        "{reply:?}"
    );
    let missing = context.unique("nowhere");
    let expected = format!("404c no queue '{missing}' in vhost '/'");
    client
        .expect(1, method::basic_get(&missing, false), &expected)
        .await
}

/// Spec 5.2.1. Spec 5.3.11.
async fn get_and_deliver_share_one_sequence_of_tags(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let other = context.queue("other");
    client
        .ok(
            1,
            method::queue_declare(&other, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    fill(&mut client, &queue, 2).await?;
    client.put(1, &other, "x").await?;
    client.await_ready(1, &other, 1).await?;
    ensure!(
        client.get(1, &queue, true).await?.context("empty")?.tag == 1,
        "first"
    );
    consume(&mut client, 1, &queue, "c").await?;
    ensure!(client.delivery(1).await?.tag == 2, "second");
    ensure!(
        client.get(1, &other, false).await?.context("empty")?.tag == 3,
        "third"
    );
    client.open(2).await?;
    client.put(1, &other, "y").await?;
    client.await_ready(1, &other, 1).await?;
    ensure!(
        client.get(2, &other, false).await?.context("empty")?.tag == 1,
        "another channel"
    );
    Ok(())
}

/// Spec 5.2.1.
async fn get_does_not_count_against_prefetch(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    fill(&mut client, &queue, 4).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    for _ in 0..2 {
        client.get(1, &queue, false).await?.context("empty")?;
    }
    consume(&mut client, 1, &queue, "c").await?;
    ensure!(client.delivery(1).await?.text() == "3", "delivery");
    client.no_delivery(1, &queue).await?;
    ensure!(
        client.get(1, &queue, false).await?.context("empty")?.text() == "4",
        "get"
    );
    Ok(())
}

/// Spec 5.2.1.
async fn get_may_fetch_beside_an_exclusive_consumer(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    let bits = consume_bits::EXCLUSIVE;
    client
        .ok(1, method::basic_consume(&queue, "c", bits, &Table::new()))
        .await?;
    client.put(1, &queue, "1").await?;
    client.delivery(1).await?;
    client.put(1, &queue, "2").await?;
    let mut other = context.client().await?;
    other.await_ready(1, &queue, 1).await?;
    ensure!(other.take(1, &queue).await?.text() == "2", "get");
    Ok(())
}

/// Spec 5.3.1.
async fn an_empty_consumer_tag_is_made_up_by_the_server(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let mut tags = Vec::new();
    for _ in 0..5 {
        let tag = short_argument(&consume(&mut client, 1, &queue, "").await?)?;
        ensure!(tag.starts_with("amq.ctag-") && tag.len() >= 9 + 16, "{tag}");
        tags.push(tag);
    }
    tags.sort();
    tags.dedup();
    ensure!(tags.len() == 5, "{tags:?}");
    Ok(())
}

/// Spec 5.3.1.
async fn a_tag_may_not_be_used_twice_on_a_channel(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    consume(&mut client, 1, &queue, "c").await?;
    let again = method::basic_consume(&queue, "c", 0, &Table::new());
    client
        .expect(1, again, "530x attempt to reuse consumer tag 'c'")
        .await
}

/// Spec 5.3.1.
async fn a_tag_may_be_used_on_two_channels(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    client.open(2).await?;
    for channel in [1, 2] {
        let reply = consume(&mut client, channel, &queue, "c").await?;
        ensure!(short_argument(&reply)? == "c", "{reply:?}");
    }
    ensure!(client.counts(1, &queue).await?.1 == 2, "consumers");
    Ok(())
}

/// Spec 5.3.2.
async fn consume_ok_precedes_the_first_delivery(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    fill(&mut client, &queue, 20).await?;
    let consume = method::basic_consume(&queue, "c", consume_bits::NO_ACK, &Table::new());
    client.send(1, &consume).await?;
    ensure!(
        client.next().await?.method.id == method::BASIC_CONSUME_OK,
        "consume-ok"
    );
    for n in 1..=20 {
        ensure!(client.delivery(1).await?.text() == n.to_string(), "{n}");
    }
    Ok(())
}

/// Spec 5.3.3.
async fn an_exclusive_consumer_is_alone(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    client.open(2).await?;
    let exclusive = method::basic_consume(&queue, "", consume_bits::EXCLUSIVE, &Table::new());
    let shared = method::basic_consume(&queue, "", 0, &Table::new());
    let expected = format!("403c queue '{queue}' in vhost '/' in exclusive use");
    consume(&mut client, 1, &queue, "first").await?;
    client.refused(2, exclusive.clone(), &expected).await?;
    client.ok(1, method::basic_cancel("first")).await?;
    client.ok(1, exclusive.clone()).await?;
    client.refused(2, shared, &expected).await?;
    client.refused(2, exclusive.clone(), &expected).await?;
    client.ok(1, method::channel_close()).await?;
    client.ok(2, exclusive).await?;
    Ok(())
}

/// Spec 5.3.3.
async fn an_exclusive_consumer_on_a_single_active_queue_is_refused(
    context: &Context,
) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let single = one("x-single-active-consumer", true);
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &single),
        )
        .await?;
    let exclusive = method::basic_consume(&queue, "", consume_bits::EXCLUSIVE, &Table::new());
    let expected = format!("403c queue '{queue}' in vhost '/' in exclusive use");
    client.expect(1, exclusive, &expected).await
}

/// Spec 5.3.4.
async fn no_local_is_ignored(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let consume = method::basic_consume(&queue, "c", consume_bits::NO_LOCAL, &Table::new());
    client.ok(1, consume).await?;
    client.put(1, &queue, "own").await?;
    ensure!(client.delivery(1).await?.text() == "own", "delivery");
    Ok(())
}

/// Spec 5.3.4.
async fn consuming_from_a_missing_queue_is_not_found(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let missing = context.unique("nowhere");
    let consume = method::basic_consume(&missing, "", 0, &Table::new());
    client
        .expect(
            1,
            consume,
            &format!("404c no queue '{missing}' in vhost '/'"),
        )
        .await
}

/// Spec 5.3.5.
async fn consumer_priority_must_be_an_integer(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    for priority in [
        Value::I8(-5),
        Value::U8(5),
        Value::I16(-300),
        Value::I64(1 << 40),
    ] {
        let arguments = one("x-priority", priority);
        client
            .ok(1, method::basic_consume(&queue, "", 0, &arguments))
            .await?;
    }
    for (wrong, kind) in [
        (Value::text("5"), "longstr"),
        (Value::Bool(true), "bool"),
        (Value::F64(1.0), "double"),
        (Value::Void, "void"),
    ] {
        let consume = method::basic_consume(&queue, "", 0, &one("x-priority", wrong));
        let expected = format!(
            "406c invalid arg 'x-priority' for queue '{queue}' in vhost '/': \
             \"expected integer, got {kind}\""
        );
        client.refused(1, consume, &expected).await?;
    }
    Ok(())
}

/// Spec 5.3.5.
async fn unknown_consumer_arguments_are_ignored(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let arguments = one("x-cancel-on-ha-failover", true).with("whatever", one("a", 1));
    client
        .ok(1, method::basic_consume(&queue, "c", 0, &arguments))
        .await?;
    client.put(1, &queue, "body").await?;
    client.delivery(1).await?;
    Ok(())
}

/// Spec 5.3.6.
async fn consumers_of_higher_priority_get_everything_they_can_take(
    context: &Context,
) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    client.ok(1, method::basic_qos(0, 2, false)).await?;
    for (tag, priority) in [("low", -1), ("default", 0), ("high-1", 10), ("high-2", 10)] {
        let arguments = if priority == 0 {
            Table::new()
        } else {
            one("x-priority", Value::I32(priority))
        };
        client
            .ok(1, method::basic_consume(&queue, tag, 0, &arguments))
            .await?;
    }
    let mut per_stage = Vec::new();
    let mut first_of_high = 0;
    for n in 0..7 {
        client.put(1, &queue, n.to_string()).await?;
        let delivery = client.delivery(1).await?;
        if delivery.consumer == "high-1" && first_of_high == 0 {
            first_of_high = delivery.tag;
        }
        per_stage.push(delivery.consumer);
    }
    per_stage[..4].sort();
    let expected = [
        "high-1", "high-1", "high-2", "high-2", "default", "default", "low",
    ];
    ensure!(per_stage == expected, "{per_stage:?}");
    client
        .send(1, &method::basic_ack(first_of_high, false))
        .await?;
    client.flush(1, &queue).await?;
    client.put(1, &queue, "again").await?;
    let next = client.delivery(1).await?.consumer;
    ensure!(next == "high-1", "{next} though a higher one is free");
    Ok(())
}

/// Spec 5.3.6. Spec 5.3.11.
async fn equal_consumers_take_turns(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let tags = ["a", "b", "c"];
    for tag in tags {
        consume(&mut client, 1, &queue, tag).await?;
    }
    for n in 0..9 {
        client.put(1, &queue, n.to_string()).await?;
    }
    let mut counts = BTreeMap::new();
    for _ in 0..9 {
        *counts
            .entry(client.delivery(1).await?.consumer)
            .or_insert(0) += 1;
    }
    ensure!(
        tags.iter().all(|tag| counts.get(*tag) == Some(&3)),
        "{counts:?}"
    );
    Ok(())
}

/// Spec 5.3.8.
async fn cancel_stops_deliveries_and_keeps_unsettled_messages(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    client.ok(1, method::basic_qos(0, 2, false)).await?;
    fill(&mut client, &queue, 4).await?;
    consume(&mut client, 1, &queue, "c").await?;
    let reply = client.ok(1, method::basic_cancel("c")).await?;
    ensure!(short_argument(&reply)? == "c", "{reply:?}");
    let held: Vec<_> = client.kept();
    let all = held
        .iter()
        .all(|kept| kept.method.id == method::BASIC_DELIVER);
    ensure!(
        all && held.len() == 2,
        "after cancel-ok nothing may come: {held:?}"
    );
    ensure!(
        client.counts(1, &queue).await? == (2, 0),
        "the held ones must stay held"
    );
    client.no_delivery(1, &queue).await?;
    client.send(1, &method::basic_ack(1, false)).await?;
    client.send(1, &method::basic_nack(2, false, true)).await?;
    client.await_ready(1, &queue, 3).await?;
    consume(&mut client, 1, &queue, "c").await?;
    ensure!(
        client.delivery(1).await?.redelivered,
        "the tag is free again"
    );
    Ok(())
}

/// Spec 5.3.8.
async fn cancel_of_an_unknown_tag_is_answered(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let reply = client.ok(1, method::basic_cancel("nobody")).await?;
    ensure!(short_argument(&reply)? == "nobody", "{reply:?}");
    Ok(())
}

/// Spec 5.3.8.
async fn a_clients_cancel_ok_is_tolerated(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let cancel_ok = Method::new(method::BASIC_CANCEL_OK, Writer::new().short("c"));
    client.send(1, &cancel_ok).await?;
    let expected = context.differs("5.3.8", "541x…", "ok")?;
    client
        .call(1, method::basic_qos(0, 1, false))
        .await?
        .expect(expected)
}

/// Spec 4.2.5. Spec 5.3.9.
async fn deleting_a_queue_cancels_its_consumers(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let mut other = context.client().await?;
    consume(&mut client, 1, &queue, "c").await?;
    client.put(1, &queue, "held").await?;
    let held = client.delivery(1).await?.tag;
    other.ok(1, method::queue_delete(&queue, 0)).await?;
    let cancel = client.next_of(1, method::BASIC_CANCEL).await?;
    let expected = Writer::new().short("c").u8(1);
    ensure!(
        cancel.method == Method::new(method::BASIC_CANCEL, expected),
        "{cancel:?}"
    );
    client.send(1, &method::basic_ack(held, false)).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    Ok(())
}

/// Spec 4.2.5. Spec 1.2.5.
async fn a_client_without_the_capability_is_not_told_of_a_deletion(
    context: &Context,
) -> Result<()> {
    let options = Options {
        properties: Table::new(),
        ..Options::default()
    };
    let mut client = context.client_with(&options).await?;
    let mut told = context.client().await?;
    let queue = context.queue("q");
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    consume(&mut client, 1, &queue, "c").await?;
    consume(&mut told, 1, &queue, "c").await?;
    told.ok(1, method::queue_delete(&queue, 0)).await?;
    told.next_of(1, method::BASIC_CANCEL).await?;
    let again = context.queue("again");
    client
        .ok(
            1,
            method::queue_declare(&again, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    client.flush(1, &again).await?;
    ensure!(
        client.kept().is_empty(),
        "a cancel for a client that cannot take it"
    );
    Ok(())
}

/// Spec 5.2.1. Spec 5.4.4.
async fn a_no_ack_consumer_settles_at_delivery(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    fill(&mut client, &queue, 3).await?;
    let consume = method::basic_consume(&queue, "c", consume_bits::NO_ACK, &Table::new());
    client.ok(1, consume).await?;
    let last = [
        client.delivery(1).await?,
        client.delivery(1).await?,
        client.delivery(1).await?,
    ];
    ensure!(last[2].tag == 3, "{last:?}");
    let expected = "406c unknown delivery tag 3";
    client
        .refused(1, method::basic_ack(3, false), expected)
        .await?;
    ensure!(
        client.counts(1, &queue).await? == (0, 0),
        "messages came back"
    );
    Ok(())
}

/// Spec 5.3.11. Spec 5.5.3.
async fn deliveries_keep_the_order_of_publishing(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    consume(&mut client, 1, &queue, "c").await?;
    for n in 0..500 {
        client.put(1, &queue, n.to_string()).await?;
    }
    for n in 0..500_u64 {
        let delivery = client.delivery(1).await?;
        ensure!(
            (delivery.text(), delivery.tag) == (n.to_string(), n + 1),
            "{n}: {delivery:?}"
        );
    }
    Ok(())
}
