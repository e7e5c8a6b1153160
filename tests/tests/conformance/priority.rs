//! Priorities of messages.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method;
use leveret_tests::raw::value::{Table, Value, one};

use super::dying::{queue, with_graveyard};

leveret_tests::on_both_targets![
    higher_priorities_come_first_and_equal_ones_in_order,
    none_is_0_and_too_much_is_the_highest,
    without_the_argument_priorities_mean_nothing,
    what_comes_back_keeps_its_priority_and_its_place,
    what_is_expired_waits_behind_a_higher_priority,
    the_highest_priority_is_dropped_first,
    what_a_consumer_has_is_not_sorted_again,
];

async fn put(client: &mut Client, queue: &str, priority: Option<u8>, body: &str) -> Result<()> {
    let properties = Properties {
        priority,
        ..Properties::persistent()
    };
    let publish = method::basic_publish("", queue, 0);
    client.publish(1, publish, &properties, body).await
}

async fn put_all(client: &mut Client, queue: &str, messages: &[(u8, &str)]) -> Result<()> {
    for (priority, body) in messages {
        put(client, queue, Some(*priority), body).await?;
    }
    Ok(())
}

/// Spec 7.4.1.
async fn higher_priorities_come_first_and_equal_ones_in_order(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &one("x-max-priority", 5)).await?;
    let messages = [(1, "a"), (5, "b"), (0, "c"), (5, "d"), (1, "e"), (3, "f")];
    put_all(&mut client, &queue, &messages).await?;
    client.await_ready(1, &queue, 6).await?;
    let all = client.take_all(1, &queue).await?;
    ensure!(all == ["b", "d", "f", "a", "e", "c"], "{all:?}");
    Ok(())
}

/// Spec 7.4.1.
async fn none_is_0_and_too_much_is_the_highest(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &one("x-max-priority", 2)).await?;
    put(&mut client, &queue, None, "none").await?;
    put_all(
        &mut client,
        &queue,
        &[(0, "zero"), (2, "two"), (255, "much"), (1, "one")],
    )
    .await?;
    client.await_ready(1, &queue, 5).await?;
    let first = client.take(1, &queue).await?;
    ensure!(first.text() == "two", "{first:?}");
    let second = client.take(1, &queue).await?;
    let unchanged = second.content.properties.priority;
    ensure!(
        second.text() == "much" && unchanged == Some(255),
        "{second:?}"
    );
    let rest = client.take_all(1, &queue).await?;
    ensure!(rest == ["one", "none", "zero"], "{rest:?}");
    Ok(())
}

/// Spec 7.4.1.
async fn without_the_argument_priorities_mean_nothing(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for arguments in [Table::new(), one("x-max-priority", 0)] {
        let queue = queue(context, &mut client, "q", &arguments).await?;
        put_all(&mut client, &queue, &[(1, "a"), (9, "b"), (5, "c")]).await?;
        client.await_ready(1, &queue, 3).await?;
        let all = client.take_all(1, &queue).await?;
        ensure!(all == ["a", "b", "c"], "{all:?}");
    }
    Ok(())
}

/// Spec 7.4.1. Spec 5.5.3.
async fn what_comes_back_keeps_its_priority_and_its_place(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &one("x-max-priority", 9)).await?;
    put_all(
        &mut client,
        &queue,
        &[(9, "a"), (9, "b"), (1, "c"), (1, "d")],
    )
    .await?;
    client.await_ready(1, &queue, 4).await?;
    for _ in 0..3 {
        client.get(1, &queue, false).await?.context("empty")?;
    }
    put_all(&mut client, &queue, &[(5, "e")]).await?;
    client.await_ready(1, &queue, 2).await?;
    client.send(1, &method::basic_nack(0, true, true)).await?;
    client.await_ready(1, &queue, 5).await?;
    let all = client.take_all(1, &queue).await?;
    ensure!(all == ["a", "b", "e", "c", "d"], "{all:?}");
    Ok(())
}

/// Spec 7.4.2. Spec 7.1.2.
async fn what_is_expired_waits_behind_a_higher_priority(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let priorities = [("x-max-priority", Value::I32(5))];
    let (queue, dead) = with_graveyard(context, &mut client, &priorities).await?;
    put(&mut client, &queue, Some(5), "high").await?;
    let low = [("expired", Some("1")), ("alive", None), ("late", Some("1"))];
    for (body, expiration) in low {
        let properties = Properties {
            priority: Some(1),
            expiration: expiration.map(str::to_owned),
            ..Properties::default()
        };
        let publish = method::basic_publish("", &queue, 0);
        client.publish(1, publish, &properties, body).await?;
    }
    client.await_ready(1, &queue, 4).await?;
    let high = client.take(1, &queue).await?;
    ensure!(high.text() == "high", "{high:?}");
    client.await_ready(1, &dead, 1).await?;
    client.expect_ready(1, &queue, 2).await?;
    let letters = client.take_all(1, &dead).await?;
    ensure!(letters == ["expired"], "{letters:?}");
    Ok(())
}

/// Spec 7.4.2. Spec 7.3.1.
async fn the_highest_priority_is_dropped_first(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let arguments = one("x-max-priority", 5).with("x-max-length", 2);
    let queue = queue(context, &mut client, "q", &arguments).await?;
    put_all(
        &mut client,
        &queue,
        &[(1, "a"), (5, "b"), (2, "c"), (1, "d")],
    )
    .await?;
    client.expect_ready(1, &queue, 2).await?;
    let left = client.take_all(1, &queue).await?;
    ensure!(left == ["a", "d"], "{left:?}");
    Ok(())
}

/// Spec 7.4.3.
async fn what_a_consumer_has_is_not_sorted_again(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &one("x-max-priority", 5)).await?;
    client.ok(1, method::basic_qos(0, 2, false)).await?;
    let consume = method::basic_consume(&queue, "c", 0, &Table::new());
    client.ok(1, consume).await?;
    put_all(&mut client, &queue, &[(1, "a"), (1, "b")]).await?;
    ensure!(client.delivery(1).await?.text() == "a");
    ensure!(client.delivery(1).await?.text() == "b");
    put_all(&mut client, &queue, &[(1, "c"), (5, "d")]).await?;
    client.await_ready(1, &queue, 2).await?;
    client.send(1, &method::basic_ack(1, false)).await?;
    let next = client.delivery(1).await?;
    ensure!(next.text() == "d", "{next:?}");
    Ok(())
}
