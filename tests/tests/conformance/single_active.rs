//! Single active consumer: one consumer gets everything, and hands over in order.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Options, close_ok};
use leveret_tests::management::segment;
use leveret_tests::raw::PATIENCE;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

leveret_tests::on_both_targets![
    only_the_first_consumer_gets_messages,
    the_others_wait_though_the_active_one_can_take_no_more,
    a_cancelled_consumer_hands_over_and_keeps_what_it_holds,
    a_closed_channel_hands_over_what_it_held_first,
    a_connection_that_ends_hands_over,
    a_connection_closed_by_an_operator_hands_over_though_its_client_is_silent,
    the_next_is_the_waiting_one_of_highest_priority,
    a_higher_priority_does_not_take_over_a_classic_queue,
    a_higher_priority_takes_over_a_quorum_queue_once_all_is_settled,
    get_takes_what_the_active_consumer_leaves,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Classic,
    Quorum,
}

const KINDS: [Kind; 2] = [Kind::Classic, Kind::Quorum];

async fn with_queue(context: &Context, kind: Kind) -> Result<(Client, String)> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let name = match kind {
        Kind::Classic => "classic",
        Kind::Quorum => "quorum",
    };
    let arguments = one("x-single-active-consumer", true).with("x-queue-type", name);
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &arguments);
    client.ok(1, declare).await?;
    Ok((client, queue))
}

async fn consume(client: &mut Client, queue: &str, tag: &str, priority: i32) -> Result<()> {
    consume_on(client, 1, queue, tag, priority).await
}

async fn consume_on(
    client: &mut Client,
    channel: u16,
    queue: &str,
    tag: &str,
    priority: i32,
) -> Result<()> {
    let arguments = match priority {
        0 => Table::new(),
        other => one("x-priority", Value::I32(other)),
    };
    let consume = method::basic_consume(queue, tag, 0, &arguments);
    client.ok(channel, consume).await?;
    Ok(())
}

/// The next delivery on the channel is `text` for the consumer `tag`; its delivery tag.
async fn delivered(client: &mut Client, channel: u16, tag: &str, text: &str) -> Result<u64> {
    let delivery = client.delivery(channel).await?;
    ensure!(
        (delivery.consumer.as_str(), delivery.text().as_str()) == (tag, text),
        "expected {text} for {tag}: {delivery:?}"
    );
    Ok(delivery.tag)
}

/// Spec 5.3.7. Spec 4.1.3.
async fn only_the_first_consumer_gets_messages(context: &Context) -> Result<()> {
    for kind in KINDS {
        let (mut client, queue) = with_queue(context, kind).await?;
        for tag in ["a", "b", "c"] {
            consume(&mut client, &queue, tag, 0).await?;
        }
        let counted = match kind {
            Kind::Classic => 3,
            Kind::Quorum => context.differs("4.1.3", 1, 3)?,
        };
        ensure!(client.counts(1, &queue).await?.1 == counted, "consumers");
        for n in 0..6 {
            client.put(1, &queue, n.to_string()).await?;
        }
        for n in 0..6 {
            delivered(&mut client, 1, "a", &n.to_string()).await?;
        }
    }
    Ok(())
}

/// Spec 5.3.7. Spec 5.3.6.
async fn the_others_wait_though_the_active_one_can_take_no_more(context: &Context) -> Result<()> {
    for kind in KINDS {
        let (mut client, queue) = with_queue(context, kind).await?;
        client.ok(1, method::basic_qos(0, 1, false)).await?;
        for tag in ["a", "b"] {
            consume(&mut client, &queue, tag, 0).await?;
        }
        for text in ["1", "2"] {
            client.put(1, &queue, text).await?;
        }
        let held = delivered(&mut client, 1, "a", "1").await?;
        client.await_ready(1, &queue, 1).await?;
        client.no_delivery(1, &queue).await?;
        client.send(1, &method::basic_ack(held, false)).await?;
        delivered(&mut client, 1, "a", "2").await?;
    }
    Ok(())
}

/// Spec 5.3.7. Spec 5.3.8.
async fn a_cancelled_consumer_hands_over_and_keeps_what_it_holds(context: &Context) -> Result<()> {
    for kind in KINDS {
        let (mut client, queue) = with_queue(context, kind).await?;
        client.ok(1, method::basic_qos(0, 1, false)).await?;
        for tag in ["a", "b"] {
            consume(&mut client, &queue, tag, 0).await?;
        }
        for text in ["1", "2"] {
            client.put(1, &queue, text).await?;
        }
        let held = delivered(&mut client, 1, "a", "1").await?;
        client.ok(1, method::basic_cancel("a")).await?;
        let second = delivered(&mut client, 1, "b", "2").await?;
        client
            .send(1, &method::basic_nack(held, false, true))
            .await?;
        client.await_ready(1, &queue, 1).await?;
        client.send(1, &method::basic_ack(second, false)).await?;
        delivered(&mut client, 1, "b", "1").await?;
    }
    Ok(())
}

/// Spec 5.3.7. Spec 2.6.
async fn a_closed_channel_hands_over_what_it_held_first(context: &Context) -> Result<()> {
    for kind in KINDS {
        let (mut client, queue) = with_queue(context, kind).await?;
        client.open(2).await?;
        client.ok(1, method::basic_qos(0, 3, false)).await?;
        consume_on(&mut client, 1, &queue, "a", 0).await?;
        consume_on(&mut client, 2, &queue, "b", 0).await?;
        for n in 1..=6 {
            client.put(2, &queue, n.to_string()).await?;
        }
        for n in 1..=3 {
            delivered(&mut client, 1, "a", &n.to_string()).await?;
        }
        client.await_ready(2, &queue, 3).await?;
        client.ok(1, method::channel_close()).await?;
        for n in 1..=6 {
            let delivery = client.delivery(2).await?;
            let actual = (delivery.text(), delivery.redelivered);
            ensure!(actual == (n.to_string(), n <= 3), "{n}: {delivery:?}");
        }
    }
    Ok(())
}

/// Spec 5.3.7.
async fn a_connection_that_ends_hands_over(context: &Context) -> Result<()> {
    for kind in KINDS {
        let (mut client, queue) = with_queue(context, kind).await?;
        let mut first = context.client().await?;
        consume(&mut first, &queue, "a", 0).await?;
        consume(&mut client, &queue, "b", 0).await?;
        for n in 1..=3 {
            client.put(1, &queue, n.to_string()).await?;
        }
        for n in 1..=3 {
            delivered(&mut first, 1, "a", &n.to_string()).await?;
        }
        drop(first);
        for n in 1..=3 {
            delivered(&mut client, 1, "b", &n.to_string()).await?;
        }
    }
    Ok(())
}

/// The path of the connection to which its client gave this name.
async fn path_of_connection(context: &Context, name: &str) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = context.management()?.get("connections").await?.body;
        let mut all = list.as_array().into_iter().flatten();
        let found = all.find(|connection| connection["user_provided_name"] == name);
        if let Some(title) = found.and_then(|connection| connection["name"].as_str()) {
            return Ok(format!("connections/{}", segment(title)));
        }
        ensure!(Instant::now() < deadline, "no connection {name} in {list}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Spec 5.3.7. Spec 1.8.3. The client neither reads nor answers, as if it were stopped: nobody waits for it.
async fn a_connection_closed_by_an_operator_hands_over_though_its_client_is_silent(
    context: &Context,
) -> Result<()> {
    for kind in KINDS {
        let (mut client, queue) = with_queue(context, kind).await?;
        let name = context.unique("connection");
        let options = Options {
            properties: one("connection_name", &*name),
            ..Options::default()
        };
        let mut first = context.client_with(&options).await?;
        consume(&mut first, &queue, "a", 0).await?;
        consume(&mut client, &queue, "b", 0).await?;
        for n in 1..=3 {
            client.put(1, &queue, n.to_string()).await?;
        }
        for n in 1..=3 {
            delivered(&mut first, 1, "a", &n.to_string()).await?;
        }
        let path = path_of_connection(context, &name).await?;
        context.management()?.done("DELETE", &path, None).await?;
        for n in 1..=3 {
            delivered(&mut client, 1, "b", &n.to_string()).await?;
        }
        // The connection is still there, and waits for an answer: it was not ended because there was none.
        first.peer.expect(0, method::CONNECTION_CLOSE).await?;
        first.send(0, &method::connection_close()).await?;
        first.peer.expect(0, method::CONNECTION_CLOSE_OK).await?;
        first.send(0, &close_ok(0)).await?;
        first.peer.expect_end().await?;
    }
    Ok(())
}

/// Spec 5.3.7.
async fn the_next_is_the_waiting_one_of_highest_priority(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context, Kind::Classic).await?;
    for (tag, priority) in [("first", 0), ("low", 1), ("high", 5), ("high too", 5)] {
        consume(&mut client, &queue, tag, priority).await?;
    }
    for active in ["first", "high", "high too", "low"] {
        client.put(1, &queue, active).await?;
        let tag = delivered(&mut client, 1, active, active).await?;
        client.send(1, &method::basic_ack(tag, false)).await?;
        client.ok(1, method::basic_cancel(active)).await?;
    }
    Ok(())
}

/// Spec 5.3.7.
async fn a_higher_priority_does_not_take_over_a_classic_queue(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context, Kind::Classic).await?;
    consume(&mut client, &queue, "first", 0).await?;
    consume(&mut client, &queue, "high", 9).await?;
    client.put(1, &queue, "x").await?;
    delivered(&mut client, 1, "first", "x").await?;
    Ok(())
}

/// Spec 5.3.7.
async fn a_higher_priority_takes_over_a_quorum_queue_once_all_is_settled(
    context: &Context,
) -> Result<()> {
    let (mut client, queue) = with_queue(context, Kind::Quorum).await?;
    consume(&mut client, &queue, "first", 0).await?;
    client.put(1, &queue, "1").await?;
    let held = delivered(&mut client, 1, "first", "1").await?;
    consume(&mut client, &queue, "high", 9).await?;
    client.put(1, &queue, "2").await?;
    client.await_ready(1, &queue, 1).await?;
    client.no_delivery(1, &queue).await?;
    client.send(1, &method::basic_ack(held, false)).await?;
    delivered(&mut client, 1, "high", "2").await?;
    client.ok(1, method::basic_cancel("high")).await?;
    client.put(1, &queue, "3").await?;
    delivered(&mut client, 1, "first", "3").await?;
    Ok(())
}

/// Spec 5.2.1. Spec 5.3.7.
async fn get_takes_what_the_active_consumer_leaves(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context, Kind::Classic).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    consume(&mut client, &queue, "a", 0).await?;
    for text in ["1", "2"] {
        client.put(1, &queue, text).await?;
    }
    delivered(&mut client, 1, "a", "1").await?;
    client.await_ready(1, &queue, 1).await?;
    ensure!(client.take(1, &queue).await?.text() == "2", "get");
    Ok(())
}
