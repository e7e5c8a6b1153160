//! Queues of limited length.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

use super::dying::{died, dying_to, put_many, queue, take_dead};

leveret_tests::on_both_targets![
    the_oldest_go_when_there_are_too_many,
    the_oldest_go_when_there_are_too_many_bytes,
    the_stricter_limit_counts,
    what_is_in_hand_does_not_count,
    what_goes_straight_to_a_consumer_does_not_count,
    what_comes_back_may_push_out_the_oldest,
    a_refused_publish_is_nacked_and_the_queue_is_as_it_was,
    a_refused_publish_is_dead_lettered_if_the_queue_says_so,
    a_refusing_queue_of_length_0_takes_nothing_at_all,
    what_comes_back_to_a_refusing_queue_fits,
    a_large_message_may_push_out_many_small_ones,
    the_mode_of_a_queue_is_accepted_and_has_no_effect,
];

async fn left(client: &mut Client, queue: &str, expected: &[&str]) -> Result<()> {
    client.flush(1, queue).await?;
    let left = client.take_all(1, queue).await?;
    ensure!(left == expected, "{left:?}");
    Ok(())
}

/// Spec 7.3.1.
async fn the_oldest_go_when_there_are_too_many(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for mode in [None, Some("drop-head")] {
        let mut arguments = one("x-max-length", 3);
        if let Some(mode) = mode {
            arguments = arguments.with("x-overflow", mode);
        }
        let queue = queue(context, &mut client, "q", &arguments).await?;
        put_many(&mut client, &queue, 10).await?;
        client.expect_ready(1, &queue, 3).await?;
        left(&mut client, &queue, &["8", "9", "10"]).await?;
    }
    Ok(())
}

/// Spec 7.3.1.
async fn the_oldest_go_when_there_are_too_many_bytes(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &one("x-max-length-bytes", 10)).await?;
    // Only bodies count.
    let headers = one("long", "header".repeat(100).as_str());
    for body in ["1234", "5678", "90"] {
        let publish = method::basic_publish("", &queue, 0);
        let properties = Properties::with_headers(headers.clone());
        client.publish(1, publish, &properties, body).await?;
    }
    client.await_ready(1, &queue, 3).await?;
    client.put(1, &queue, "x").await?;
    left(&mut client, &queue, &["5678", "90", "x"]).await?;
    client.put(1, &queue, "longer than that").await?;
    left(&mut client, &queue, &[]).await
}

/// Spec 7.3.1.
async fn the_stricter_limit_counts(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for (length, bytes, expected) in [(2, 100, &["4444", "55555"][..]), (100, 5, &["55555"])] {
        let arguments = one("x-max-length", length).with("x-max-length-bytes", bytes);
        let queue = queue(context, &mut client, "q", &arguments).await?;
        for body in ["1", "22", "333", "4444", "55555"] {
            client.put(1, &queue, body).await?;
        }
        left(&mut client, &queue, expected).await?;
    }
    Ok(())
}

/// Spec 7.3.1.
async fn what_is_in_hand_does_not_count(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &one("x-max-length", 1)).await?;
    client.put(1, &queue, "in hand").await?;
    client.await_ready(1, &queue, 1).await?;
    client.get(1, &queue, false).await?.context("empty")?;
    client.put(1, &queue, "ready").await?;
    client.expect_ready(1, &queue, 1).await?;
    left(&mut client, &queue, &["ready"]).await
}

/// Spec 7.3.1.
async fn what_goes_straight_to_a_consumer_does_not_count(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &one("x-max-length", 0)).await?;
    client.put(1, &queue, "nobody there").await?;
    client.expect_ready(1, &queue, 0).await?;
    client.ok(1, method::basic_qos(0, 2, false)).await?;
    let consume = method::basic_consume(&queue, "c", 0, &Table::new());
    client.ok(1, consume).await?;
    put_many(&mut client, &queue, 3).await?;
    for expected in ["1", "2"] {
        let delivery = client.delivery(1).await?;
        ensure!(delivery.text() == expected, "{delivery:?}");
    }
    client.no_delivery(1, &queue).await?;
    client.send(1, &method::basic_ack(0, true)).await?;
    client.no_delivery(1, &queue).await
}

/// Spec 7.3.1. Spec 7.3.2.
async fn what_comes_back_may_push_out_the_oldest(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &one("x-max-length", 2)).await?;
    put_many(&mut client, &queue, 2).await?;
    client.await_ready(1, &queue, 2).await?;
    let first = client.get(1, &queue, false).await?.context("empty")?;
    client.put(1, &queue, "3").await?;
    client.await_ready(1, &queue, 2).await?;
    client
        .send(1, &method::basic_nack(first.tag, false, true))
        .await?;
    client.expect_ready(1, &queue, 2).await?;
    left(&mut client, &queue, &["2", "3"]).await
}

fn refusing(length: i32, overflow: &str) -> Table {
    one("x-max-length", length).with("x-overflow", overflow)
}

/// Spec 7.3.2. Spec 6.1.4.
async fn a_refused_publish_is_nacked_and_the_queue_is_as_it_was(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for overflow in ["reject-publish", "reject-publish-dlx"] {
        let arguments = refusing(2, overflow);
        let queue = queue(context, &mut client, "q", &arguments).await?;
        // Nobody waits for an answer here.
        put_many(&mut client, &queue, 3).await?;
        client.expect_ready(1, &queue, 2).await?;
        client.open(2).await?;
        client.ok(2, method::confirm_select()).await?;
        client.put(2, &queue, "4").await?;
        client.next_of(2, method::BASIC_NACK).await?;
        client.take(1, &queue).await?;
        client.put(2, &queue, "5").await?;
        client.next_of(2, method::BASIC_ACK).await?;
        client.ok(2, method::channel_close()).await?;
        left(&mut client, &queue, &["2", "5"]).await?;
    }
    Ok(())
}

/// Spec 7.3.2. Spec 7.2.1.
async fn a_refused_publish_is_dead_lettered_if_the_queue_says_so(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let dead = queue(context, &mut client, "dead", &Table::new()).await?;
    for (overflow, dies) in [("reject-publish-dlx", true), ("reject-publish", false)] {
        let mut arguments = dying_to(&dead);
        arguments.0.extend(refusing(1, overflow).0);
        let queue = queue(context, &mut client, "q", &arguments).await?;
        put_many(&mut client, &queue, 2).await?;
        if dies {
            let letter = take_dead(&mut client, &dead).await?;
            ensure!(letter.text() == "2", "{letter:?}");
            died(&letter, &queue, "maxlen")?;
        } else {
            client.expect_ready(1, &dead, 0).await?;
        }
        left(&mut client, &queue, &["1"]).await?;
    }
    Ok(())
}

/// Spec 7.3.1.
async fn a_refusing_queue_of_length_0_takes_nothing_at_all(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &refusing(0, "reject-publish")).await?;
    let consume = method::basic_consume(&queue, "c", 0, &Table::new());
    client.ok(1, consume).await?;
    client.open(2).await?;
    client.ok(2, method::confirm_select()).await?;
    client.put(2, &queue, "refused").await?;
    client.next_of(2, method::BASIC_NACK).await?;
    client.no_delivery(1, &queue).await
}

/// Spec 7.3.2.
async fn what_comes_back_to_a_refusing_queue_fits(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &refusing(1, "reject-publish")).await?;
    client.put(1, &queue, "1").await?;
    client.await_ready(1, &queue, 1).await?;
    let first = client.get(1, &queue, false).await?.context("empty")?;
    client.put(1, &queue, "2").await?;
    client.await_ready(1, &queue, 1).await?;
    client
        .send(1, &method::basic_nack(first.tag, false, true))
        .await?;
    client.expect_ready(1, &queue, 2).await?;
    left(&mut client, &queue, &["1", "2"]).await
}

/// Spec 7.3.1.
async fn a_large_message_may_push_out_many_small_ones(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &one("x-max-length-bytes", 2_000)).await?;
    for _ in 0..2_000 {
        client.put(1, &queue, "x").await?;
    }
    client.await_ready(1, &queue, 2_000).await?;
    client.put(1, &queue, "y".repeat(1_999)).await?;
    client.expect_ready(1, &queue, 2).await?;
    let left = client.take_all(1, &queue).await?;
    ensure!(left == ["x".to_owned(), "y".repeat(1_999)], "{left:?}");
    Ok(())
}

/// Spec 7.5.1.
async fn the_mode_of_a_queue_is_accepted_and_has_no_effect(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for mode in ["lazy", "default"] {
        let queue = context.queue("q");
        let arguments = one("x-queue-mode", Value::text(mode));
        let declare = method::queue_declare(&queue, queue_bits::DURABLE, &arguments);
        client.ok(1, declare).await?;
        put_many(&mut client, &queue, 2).await?;
        client.await_ready(1, &queue, 2).await?;
        left(&mut client, &queue, &["1", "2"]).await?;
    }
    Ok(())
}
