//! Prefetch limits.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::method::{self, Method, consume_bits, queue_bits};
use leveret_tests::raw::value::Table;

leveret_tests::on_both_targets![
    a_prefetch_size_is_not_implemented,
    a_count_of_0_is_unlimited,
    the_highest_count_is_taken,
    a_limit_holds_for_each_consumer_started_afterwards,
    a_global_limit_holds_for_all_consumers_of_the_channel,
    a_global_limit_counts_what_is_already_out,
    both_limits_hold_together,
    no_ack_consumers_ignore_limits,
    no_ack_consumers_beside_a_channel_at_its_limit,
    settling_makes_room,
    requeue_and_recover_make_room,
    lowering_the_limit_only_stops_deliveries,
];

/// A queue with messages `1` to `count`.
async fn filled(context: &Context, count: u32) -> Result<(Client, String)> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    for n in 1..=count {
        client.put(1, &queue, n.to_string()).await?;
    }
    client.await_ready(1, &queue, count).await?;
    Ok((client, queue))
}

async fn consume(client: &mut Client, queue: &str, tag: &str, bits: u8) -> Result<()> {
    client
        .ok(1, method::basic_consume(queue, tag, bits, &Table::new()))
        .await?;
    Ok(())
}

/// This many deliveries must come to channel 1, no more, and nothing else.
async fn expect_delivered(client: &mut Client, queue: &str, count: usize) -> Result<()> {
    for number in 1..=count {
        client
            .delivery(1)
            .await
            .with_context(|| format!("delivery {number} of {count}"))?;
    }
    client.flush(1, queue).await?;
    let more = client.kept().len();
    ensure!(more == 0, "{more} more than {count} deliveries");
    Ok(())
}

/// Spec 5.4.1.
async fn a_prefetch_size_is_not_implemented(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client
        .expect(
            1,
            method::basic_qos(7, 0, false),
            "540x prefetch_size!=0 (7)",
        )
        .await
}

/// Spec 5.4.1.
async fn a_count_of_0_is_unlimited(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 300).await?;
    client.ok(1, method::basic_qos(0, 5, false)).await?;
    client.ok(1, method::basic_qos(0, 0, false)).await?;
    consume(&mut client, &queue, "c", 0).await?;
    expect_delivered(&mut client, &queue, 300).await
}

/// Spec 5.4.1. Spec 13.5.
async fn the_highest_count_is_taken(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 3).await?;
    client.ok(1, method::basic_qos(0, u16::MAX, false)).await?;
    consume(&mut client, &queue, "c", 0).await?;
    expect_delivered(&mut client, &queue, 3).await
}

/// Spec 5.4.2.
async fn a_limit_holds_for_each_consumer_started_afterwards(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 20).await?;
    client.ok(1, method::basic_qos(0, 2, false)).await?;
    consume(&mut client, &queue, "two", 0).await?;
    expect_delivered(&mut client, &queue, 2).await?;
    client.ok(1, method::basic_qos(0, 3, false)).await?;
    expect_delivered(&mut client, &queue, 0).await?;
    consume(&mut client, &queue, "three", 0).await?;
    expect_delivered(&mut client, &queue, 3).await?;
    client.expect_ready(1, &queue, 15).await?;
    Ok(())
}

/// Spec 5.4.3.
async fn a_global_limit_holds_for_all_consumers_of_the_channel(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 20).await?;
    consume(&mut client, &queue, "one", 0).await?;
    expect_delivered(&mut client, &queue, 20).await?;
    client.ok(1, method::basic_recover(true)).await?;
    expect_delivered(&mut client, &queue, 20).await?;
    client.ok(1, method::basic_cancel("one")).await?;
    client.send(1, &method::basic_nack(0, true, true)).await?;
    client.await_ready(1, &queue, 20).await?;
    client.ok(1, method::basic_qos(0, 5, true)).await?;
    consume(&mut client, &queue, "one", 0).await?;
    consume(&mut client, &queue, "two", 0).await?;
    expect_delivered(&mut client, &queue, 5).await?;
    client.send(1, &method::basic_ack(0, true)).await?;
    expect_delivered(&mut client, &queue, 5).await
}

/// Spec 5.4.3.
async fn a_global_limit_counts_what_is_already_out(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 10).await?;
    for _ in 0..2 {
        client.get(1, &queue, false).await?;
    }
    client.ok(1, method::basic_qos(0, 3, true)).await?;
    consume(&mut client, &queue, "c", 0).await?;
    expect_delivered(&mut client, &queue, 1).await
}

/// Spec 5.4.3.
async fn both_limits_hold_together(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 20).await?;
    client.ok(1, method::basic_qos(0, 2, false)).await?;
    client.ok(1, method::basic_qos(0, 5, true)).await?;
    for (tag, more) in [("a", 2), ("b", 2), ("c", 1)] {
        consume(&mut client, &queue, tag, 0).await?;
        expect_delivered(&mut client, &queue, more).await?;
    }
    Ok(())
}

/// Spec 5.4.4.
async fn no_ack_consumers_ignore_limits(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 50).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    client.ok(1, method::basic_qos(0, 1, true)).await?;
    consume(&mut client, &queue, "c", consume_bits::NO_ACK).await?;
    expect_delivered(&mut client, &queue, 50).await
}

/// Spec 5.4.4. Spec 5.4.3.
async fn no_ack_consumers_beside_a_channel_at_its_limit(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 1).await?;
    let other = context.queue("other");
    let declare = method::queue_declare(&other, queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await?;
    client.ok(1, method::basic_qos(0, 1, true)).await?;
    consume(&mut client, &other, "settled", consume_bits::NO_ACK).await?;
    consume(&mut client, &queue, "full", 0).await?;
    client.delivery(1).await?;
    client.put(1, &other, "x").await?;
    let ready = context.differs("5.4.4", 1, 0)?;
    client.expect_ready(1, &other, ready).await
}

/// Spec 5.4.2.
async fn settling_makes_room(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 20).await?;
    client.ok(1, method::basic_qos(0, 3, false)).await?;
    consume(&mut client, &queue, "c", 0).await?;
    expect_delivered(&mut client, &queue, 3).await?;
    for settle in [
        method::basic_ack(1, false),
        method::basic_reject(2, false),
        method::basic_nack(3, false, false),
    ] {
        client.send(1, &settle).await?;
        expect_delivered(&mut client, &queue, 1).await?;
    }
    client.send(1, &method::basic_ack(0, true)).await?;
    expect_delivered(&mut client, &queue, 3).await
}

/// Spec 5.4.5.
async fn requeue_and_recover_make_room(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 20).await?;
    client.ok(1, method::basic_qos(0, 2, false)).await?;
    consume(&mut client, &queue, "c", 0).await?;
    expect_delivered(&mut client, &queue, 2).await?;
    client.send(1, &method::basic_nack(2, true, true)).await?;
    expect_delivered(&mut client, &queue, 2).await?;
    let recover = Method::new(method::BASIC_RECOVER, Writer::new().u8(1));
    client.ok(1, recover).await?;
    expect_delivered(&mut client, &queue, 2).await
}

/// Spec 5.4.5.
async fn lowering_the_limit_only_stops_deliveries(context: &Context) -> Result<()> {
    let (mut client, queue) = filled(context, 20).await?;
    client.ok(1, method::basic_qos(0, 4, true)).await?;
    consume(&mut client, &queue, "c", 0).await?;
    expect_delivered(&mut client, &queue, 4).await?;
    client.ok(1, method::basic_qos(0, 2, true)).await?;
    for tag in [1, 2] {
        client.send(1, &method::basic_ack(tag, false)).await?;
        expect_delivered(&mut client, &queue, 0).await?;
    }
    client.send(1, &method::basic_ack(3, false)).await?;
    expect_delivered(&mut client, &queue, 1).await
}
