//! ack, nack, reject, recover: how deliveries are settled or given back.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::method::{self, Method, consume_bits, queue_bits};
use leveret_tests::raw::value::Table;
use leveret_tests::raw::{Frame, bytes::Writer};

leveret_tests::on_both_targets![
    settling_an_unknown_tag_is_a_precondition_failure,
    settling_twice_is_a_precondition_failure,
    multiple_settles_all_up_to_its_tag,
    the_tag_of_a_multiple_must_itself_be_outstanding,
    tag_0_with_multiple_means_all_and_is_never_an_error,
    tag_0_without_multiple_is_unknown,
    a_failed_settlement_settles_nothing,
    requeue_puts_messages_back_in_their_places,
    rejected_and_nacked_without_requeue_are_gone,
    a_requeued_message_may_come_back_to_the_same_consumer,
    order_survives_channels_that_close_with_messages_in_hand,
    recover_requeues_everything_unsettled,
    recover_without_requeue_is_not_implemented,
    recover_async_recovers_without_a_reply,
    nack_with_multiple_gives_back_all_up_to_its_tag,
];

/// A client that holds messages `1` to `held` of a queue of `count`, tags the same.
async fn holding(context: &Context, count: u32, held: u32) -> Result<(Client, String)> {
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
    for n in 1..=held {
        let got = client.get(1, &queue, false).await?.context("empty")?;
        ensure!(got.tag == u64::from(n), "{got:?}");
    }
    Ok((client, queue))
}

fn each_settlement(tag: u64) -> [Method; 5] {
    [
        method::basic_ack(tag, false),
        method::basic_ack(tag, true),
        method::basic_nack(tag, false, true),
        method::basic_nack(tag, true, false),
        method::basic_reject(tag, true),
    ]
}

/// What is left after the channel was closed.
async fn ready_after_close(client: &mut Client, queue: &str) -> Result<Vec<String>> {
    client.open(2).await?;
    client.ok(1, method::channel_close()).await?;
    client.flush(2, queue).await?;
    client.take_all(2, queue).await
}

/// Spec 5.5.1.
async fn settling_an_unknown_tag_is_a_precondition_failure(context: &Context) -> Result<()> {
    for tag in [2, 77, u64::MAX] {
        for settle in each_settlement(tag) {
            let (mut client, _) = holding(context, 1, 1).await?;
            let expected = format!("406c unknown delivery tag {tag}");
            client.expect(1, settle, &expected).await?;
        }
    }
    Ok(())
}

/// Spec 5.5.1.
async fn settling_twice_is_a_precondition_failure(context: &Context) -> Result<()> {
    for settle in each_settlement(2) {
        let (mut client, _) = holding(context, 3, 3).await?;
        client.send(1, &method::basic_ack(2, false)).await?;
        client
            .expect(1, settle, "406c unknown delivery tag 2")
            .await?;
    }
    Ok(())
}

/// Spec 5.5.1.
async fn multiple_settles_all_up_to_its_tag(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 5, 5).await?;
    client.send(1, &method::basic_ack(1, false)).await?;
    client.send(1, &method::basic_ack(3, true)).await?;
    let left = ready_after_close(&mut client, &queue).await?;
    ensure!(left == ["4", "5"], "{left:?}");
    Ok(())
}

/// Spec 5.5.1. Spec 5.5.2.
async fn the_tag_of_a_multiple_must_itself_be_outstanding(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 3, 3).await?;
    client.send(1, &method::basic_ack(2, false)).await?;
    client
        .refused(1, method::basic_ack(2, true), "406c unknown delivery tag 2")
        .await?;
    client.flush(1, &queue).await?;
    let left = client.take_all(1, &queue).await?;
    ensure!(left == ["1", "3"], "{left:?}");
    Ok(())
}

/// Spec 5.5.1.
async fn tag_0_with_multiple_means_all_and_is_never_an_error(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 4, 3).await?;
    for _ in 0..2 {
        client.send(1, &method::basic_ack(0, true)).await?;
        client.send(1, &method::basic_nack(0, true, true)).await?;
    }
    let left = ready_after_close(&mut client, &queue).await?;
    ensure!(left == ["4"], "{left:?}");
    Ok(())
}

/// Spec 5.5.1.
async fn tag_0_without_multiple_is_unknown(context: &Context) -> Result<()> {
    for settle in [
        method::basic_ack(0, false),
        method::basic_nack(0, false, true),
        method::basic_reject(0, true),
    ] {
        let (mut client, _) = holding(context, 1, 1).await?;
        client
            .expect(1, settle, "406c unknown delivery tag 0")
            .await?;
    }
    Ok(())
}

/// Spec 5.5.2.
async fn a_failed_settlement_settles_nothing(context: &Context) -> Result<()> {
    for settle in [
        method::basic_ack(9, true),
        method::basic_nack(9, true, false),
    ] {
        let (mut client, queue) = holding(context, 3, 3).await?;
        client
            .refused(1, settle, "406c unknown delivery tag 9")
            .await?;
        client.await_ready(1, &queue, 3).await?;
        let left = client.take_all(1, &queue).await?;
        ensure!(left == ["1", "2", "3"], "{left:?}");
    }
    Ok(())
}

/// Spec 5.5.3. Spec 5.5.5.
async fn requeue_puts_messages_back_in_their_places(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 6, 5).await?;
    for settle in [
        method::basic_nack(4, false, true),
        method::basic_reject(2, true),
        method::basic_ack(3, false),
        method::basic_nack(1, false, true),
    ] {
        client.send(1, &settle).await?;
    }
    client.await_ready(1, &queue, 4).await?;
    for (body, redelivered) in [("1", true), ("2", true), ("4", true), ("6", false)] {
        let got = client.take(1, &queue).await?;
        ensure!(
            (got.text().as_str(), got.redelivered) == (body, redelivered),
            "{got:?}"
        );
    }
    Ok(())
}

/// Spec 5.5.3.
async fn rejected_and_nacked_without_requeue_are_gone(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 4, 4).await?;
    client.send(1, &method::basic_reject(1, false)).await?;
    client.send(1, &method::basic_nack(3, true, false)).await?;
    let left = ready_after_close(&mut client, &queue).await?;
    ensure!(left == ["4"], "{left:?}");
    Ok(())
}

/// Spec 5.5.4. Spec 5.5.5.
async fn a_requeued_message_may_come_back_to_the_same_consumer(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 1, 0).await?;
    client
        .ok(1, method::basic_consume(&queue, "c", 0, &Table::new()))
        .await?;
    for tag in 1..=5 {
        let delivery = client.delivery(1).await?;
        ensure!(
            (delivery.tag, delivery.redelivered) == (tag, tag > 1),
            "{delivery:?}"
        );
        client
            .send(1, &method::basic_nack(tag, false, true))
            .await?;
    }
    Ok(())
}

/// Spec 5.5.3.
async fn order_survives_channels_that_close_with_messages_in_hand(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 9, 0).await?;
    for channel in [2, 3, 4] {
        client.open(channel).await?;
    }
    for _ in 0..2 {
        for channel in [3, 2, 4] {
            client.get(channel, &queue, false).await?.context("empty")?;
        }
    }
    for channel in [4, 2, 3] {
        client.ok(channel, method::channel_close()).await?;
    }
    client.await_ready(1, &queue, 9).await?;
    let order = client.take_all(1, &queue).await?;
    ensure!(
        order == ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
        "{order:?}"
    );
    Ok(())
}

/// Spec 5.5.6. Spec 5.5.5.
async fn recover_requeues_everything_unsettled(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 4, 2).await?;
    client.open(2).await?;
    client
        .ok(1, method::basic_consume(&queue, "c", 0, &Table::new()))
        .await?;
    for tag in [3, 4] {
        ensure!(client.delivery(1).await?.tag == tag, "{tag}");
    }
    client.send(1, &method::basic_ack(3, false)).await?;
    client.ok(1, method::basic_recover(true)).await?;
    let mut again = Vec::new();
    for _ in 0..3 {
        let delivery = client.delivery(1).await?;
        ensure!(delivery.redelivered && delivery.tag > 4, "{delivery:?}");
        again.push(delivery.text());
    }
    ensure!(again == ["1", "2", "4"], "{again:?}");
    client
        .expect(
            1,
            method::basic_ack(1, false),
            "406c unknown delivery tag 1",
        )
        .await
}

/// Spec 5.5.6.
async fn recover_without_requeue_is_not_implemented(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client
        .expect(1, method::basic_recover(false), "540x requeue=false")
        .await
}

/// Spec 5.5.6.
async fn recover_async_recovers_without_a_reply(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 3, 3).await?;
    let recover = Method::new(method::BASIC_RECOVER_ASYNC, Writer::new().u8(1));
    client.send(1, &recover).await?;
    client.await_ready(1, &queue, 3).await?;
    ensure!(client.kept().is_empty(), "a reply");
    let got = client.take(1, &queue).await?;
    ensure!(got.redelivered && got.text() == "1", "{got:?}");
    let refused = Method::new(method::BASIC_RECOVER_ASYNC, Writer::new().u8(0));
    client.call(1, refused).await?.expect("540x requeue=false")
}

/// Spec 5.5.1. Spec 5.5.3. Sent in one write with what follows, as a client in a hurry does.
async fn nack_with_multiple_gives_back_all_up_to_its_tag(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 4, 4).await?;
    let mut bytes = Frame::method(1, &method::basic_nack(3, true, true)).encode();
    bytes.extend(Frame::method(1, &method::basic_ack(4, true)).encode());
    client.peer.send(&bytes).await?;
    client.await_ready(1, &queue, 3).await?;
    let consume = method::basic_consume(&queue, "c", consume_bits::NO_ACK, &Table::new());
    client.ok(1, consume).await?;
    for n in 1..=3 {
        let delivery = client.delivery(1).await?;
        ensure!(
            delivery.redelivered && delivery.text() == n.to_string(),
            "{delivery:?}"
        );
    }
    client.no_delivery(1, &queue).await
}
