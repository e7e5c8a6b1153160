//! Messages that may live for a limited time.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::raw::method::{self, consume_bits};
use leveret_tests::raw::value::{Table, Value, one};

use super::dying::{
    causes, deaths, died, dying_to, put_expiring, put_many, queue, take_dead, with_graveyard,
};

leveret_tests::on_both_targets![
    messages_expire_after_their_queues_time,
    a_message_expires_after_its_own_time,
    the_shorter_time_counts,
    only_the_head_expires,
    a_living_head_keeps_the_expired_in_the_queue,
    messages_expire_although_nobody_looks,
    a_time_of_0_is_for_whoever_is_ready,
    a_message_in_hand_does_not_expire_until_it_comes_back,
    the_clock_starts_anew_in_the_next_queue,
    a_very_long_time_is_a_long_time,
    ten_thousand_messages_expire_at_once,
];

/// Spec 7.1.1. Spec 7.1.2.
async fn messages_expire_after_their_queues_time(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let ttl = [("x-message-ttl", Value::I32(100))];
    let (queue, dead) = with_graveyard(context, &mut client, &ttl).await?;
    put_many(&mut client, &queue, 3).await?;
    client.await_ready(1, &dead, 3).await?;
    ensure!(client.get(1, &queue, true).await?.is_none());
    Ok(())
}

/// Spec 7.1.1.
async fn a_message_expires_after_its_own_time(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (queue, dead) = with_graveyard(context, &mut client, &[]).await?;
    put_expiring(&mut client, &queue, "100", "short").await?;
    client.await_ready(1, &dead, 1).await?;
    client.put(1, &queue, "immortal").await?;
    client.expect_ready(1, &queue, 1).await
}

/// Spec 7.1.1.
async fn the_shorter_time_counts(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for (ttl, expiration) in [(600_000, "50"), (50, "600000")] {
        let ttl = [("x-message-ttl", Value::I32(ttl))];
        let (queue, dead) = with_graveyard(context, &mut client, &ttl).await?;
        put_expiring(&mut client, &queue, expiration, "short").await?;
        client.await_ready(1, &dead, 1).await?;
    }
    Ok(())
}

/// Spec 7.1.2.
async fn only_the_head_expires(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (queue, dead) = with_graveyard(context, &mut client, &[]).await?;
    client.put(1, &queue, "immortal").await?;
    put_expiring(&mut client, &queue, "1", "expired").await?;
    put_expiring(&mut client, &queue, "1", "expired too").await?;
    client.await_ready(1, &queue, 3).await?;
    let head = client.take(1, &queue).await?;
    ensure!(head.text() == "immortal", "{head:?}");
    client.await_ready(1, &dead, 2).await?;
    let bodies = client.take_all(1, &dead).await?;
    ensure!(bodies == ["expired", "expired too"], "{bodies:?}");
    client.expect_ready(1, &queue, 0).await
}

/// Spec 7.1.2.
async fn a_living_head_keeps_the_expired_in_the_queue(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let ttl = [("x-message-ttl", Value::I32(300))];
    let (clock, rung) = with_graveyard(context, &mut client, &ttl).await?;
    let queue = queue(context, &mut client, "q", &Table::new()).await?;
    put_expiring(&mut client, &queue, "600000", "alive").await?;
    put_expiring(&mut client, &queue, "1", "expired").await?;
    client.put(1, &clock, "clock").await?;
    client.await_ready(1, &rung, 1).await?;
    // Long expired, it still counts.
    client.expect_ready(1, &queue, 2).await?;
    let head = client.take(1, &queue).await?;
    ensure!(head.text() == "alive" && head.left == 0, "{head:?}");
    ensure!(client.get(1, &queue, true).await?.is_none());
    Ok(())
}

/// Spec 7.1.2. Spec 7.2.1.
async fn messages_expire_although_nobody_looks(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let ttl = [("x-message-ttl", Value::I32(150))];
    let (queue, dead) = with_graveyard(context, &mut client, &ttl).await?;
    put_many(&mut client, &queue, 5).await?;
    // Only the other queue is looked at.
    client.await_ready(1, &dead, 5).await?;
    let first = client.take(1, &dead).await?;
    died(&first, &queue, "expired")
}

/// Spec 7.1.3.
async fn a_time_of_0_is_for_whoever_is_ready(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let ttl = [("x-message-ttl", Value::I32(0))];
    let (queue, dead) = with_graveyard(context, &mut client, &ttl).await?;
    put_many(&mut client, &queue, 2).await?;
    client.await_ready(1, &dead, 2).await?;
    client.expect_ready(1, &queue, 0).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    let consume = method::basic_consume(&queue, "c", 0, &Table::new());
    client.ok(1, consume).await?;
    client.put(1, &queue, "taken").await?;
    let taken = client.delivery(1).await?;
    ensure!(taken.text() == "taken" && !taken.redelivered, "{taken:?}");
    // Its prefetch is used up.
    client.put(1, &queue, "too late").await?;
    client.await_ready(1, &dead, 3).await?;
    client.expect_ready(1, &queue, 0).await
}

/// Spec 7.1.1. Spec 7.1.4.
async fn a_message_in_hand_does_not_expire_until_it_comes_back(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let later = [("x-message-ttl", Value::I32(500))];
    let (clock, rung) = with_graveyard(context, &mut client, &later).await?;
    let ttl = [("x-message-ttl", Value::I32(300))];
    let (queue, dead) = with_graveyard(context, &mut client, &ttl).await?;
    put_many(&mut client, &queue, 2).await?;
    let first = client.get(1, &queue, false).await?.context("empty")?;
    let second = client.get(1, &queue, false).await?.context("empty")?;
    client.put(1, &clock, "clock").await?;
    client.await_ready(1, &rung, 1).await?;
    client.expect_ready(1, &dead, 0).await?;
    client.send(1, &method::basic_ack(first.tag, false)).await?;
    client
        .send(1, &method::basic_nack(second.tag, false, true))
        .await?;
    let letter = take_dead(&mut client, &dead).await?;
    ensure!(letter.text() == "2", "{letter:?}");
    died(&letter, &queue, "expired")?;
    client.expect_ready(1, &queue, 0).await
}

/// Spec 7.1.1.
async fn the_clock_starts_anew_in_the_next_queue(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let last = queue(context, &mut client, "last", &Table::new()).await?;
    let arguments = dying_to(&last).with("x-message-ttl", 200);
    let second = queue(context, &mut client, "second", &arguments).await?;
    let first = queue(context, &mut client, "first", &dying_to(&second)).await?;
    put_expiring(&mut client, &first, "200", "twice").await?;
    let letter = take_dead(&mut client, &last).await?;
    let expired = |queue: &String| (queue.clone(), "expired".to_owned(), 1);
    let causes = causes(&letter)?;
    ensure!(causes == [expired(&second), expired(&first)], "{causes:?}");
    // Only the first death was by a time of its own.
    let originals: Vec<_> = deaths(&letter)?
        .iter()
        .map(|death| death.value("original-expiration").cloned())
        .collect();
    ensure!(
        originals == [None, Some(Value::text("200"))],
        "{originals:?}"
    );
    Ok(())
}

/// Spec 7.1.1.
async fn a_very_long_time_is_a_long_time(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let ten_years = one("x-message-ttl", 315_360_000_000_i64);
    let queue = queue(context, &mut client, "q", &ten_years).await?;
    put_expiring(&mut client, &queue, "315360000000", "old").await?;
    client.expect_ready(1, &queue, 1).await?;
    let consume = method::basic_consume(&queue, "c", consume_bits::NO_ACK, &Table::new());
    client.ok(1, consume).await?;
    ensure!(client.delivery(1).await?.text() == "old");
    Ok(())
}

/// Spec 7.1.2. Spec 7.2.9.
async fn ten_thousand_messages_expire_at_once(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let ttl = [("x-message-ttl", Value::I32(1))];
    let (queue, dead) = with_graveyard(context, &mut client, &ttl).await?;
    put_many(&mut client, &queue, 10_000).await?;
    client.await_ready(1, &dead, 10_000).await?;
    let consume = method::basic_consume(&dead, "c", consume_bits::NO_ACK, &Table::new());
    client.ok(1, consume).await?;
    for number in 1..=10_000 {
        let letter = client.delivery(1).await?;
        ensure!(letter.text() == number.to_string(), "{letter:?}");
    }
    Ok(())
}
