//! Transactions: what is held until commit, what commit and rollback do.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::Frame;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, one};

leveret_tests::on_both_targets![
    select_is_answered_also_when_repeated,
    a_confirming_channel_cannot_become_transactional,
    commit_and_rollback_need_a_select,
    publishes_appear_at_commit_in_their_order,
    publishes_vanish_at_rollback,
    a_refused_publish_is_refused_at_once,
    unroutable_messages_come_back_before_commit_ok,
    unroutable_messages_do_not_come_back_before_the_commit,
    acks_take_effect_at_commit,
    rollback_makes_settled_tags_outstanding_again,
    an_unknown_tag_is_refused_at_the_ack,
    a_tag_settled_twice_within_a_transaction,
    closing_the_channel_rolls_back,
    a_commit_covers_what_came_since_the_last_one,
    a_queue_that_refuses_fails_the_commit,
    methods_sent_behind_a_commit,
];

async fn transactional(context: &Context) -> Result<(Client, String)> {
    let mut client = context.client().await?;
    client.open(2).await?;
    client.ok(1, method::tx_select()).await?;
    let queue = context.queue("q");
    client
        .ok(
            2,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    Ok((client, queue))
}

/// A queue of messages `1` to `count`, all held by channel 1 under the same tags.
async fn holding(context: &Context, count: u32) -> Result<(Client, String)> {
    let (mut client, queue) = transactional(context).await?;
    for n in 1..=count {
        client.put(2, &queue, n.to_string()).await?;
    }
    client.await_ready(2, &queue, count).await?;
    for _ in 0..count {
        client.get(1, &queue, false).await?.context("empty")?;
    }
    Ok((client, queue))
}

/// What the queue has when channel 1 is gone.
async fn left(client: &mut Client, queue: &str) -> Result<Vec<String>> {
    client.ok(1, method::channel_close()).await?;
    client.flush(2, queue).await?;
    client.take_all(2, queue).await
}

/// Spec 6.2.1.
async fn select_is_answered_also_when_repeated(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for _ in 0..3 {
        client.ok(1, method::tx_select()).await?;
    }
    client.ok(1, method::tx_commit()).await?;
    client.ok(1, method::tx_rollback()).await?;
    Ok(())
}

/// Spec 6.2.1.
async fn a_confirming_channel_cannot_become_transactional(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client.ok(1, method::confirm_select()).await?;
    let expected = "406c cannot switch from confirm to tx mode";
    client.expect(1, method::tx_select(), expected).await
}

/// Spec 6.2.1.
async fn commit_and_rollback_need_a_select(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for method in [method::tx_commit(), method::tx_rollback()] {
        client
            .refused(1, method, "406c channel is not transactional")
            .await?;
    }
    Ok(())
}

/// Spec 6.2.2. Spec 6.2.3.
async fn publishes_appear_at_commit_in_their_order(context: &Context) -> Result<()> {
    let (mut client, queue) = transactional(context).await?;
    for n in 0..20 {
        client.put(1, &queue, n.to_string()).await?;
    }
    client.flush(1, &queue).await?;
    client.expect_ready(2, &queue, 0).await?;
    client.ok(1, method::tx_commit()).await?;
    client.await_ready(2, &queue, 20).await?;
    let order = client.take_all(2, &queue).await?;
    let expected: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    ensure!(order == expected, "{order:?}");
    Ok(())
}

/// Spec 6.2.4.
async fn publishes_vanish_at_rollback(context: &Context) -> Result<()> {
    let (mut client, queue) = transactional(context).await?;
    client.put(1, &queue, "dropped").await?;
    client.ok(1, method::tx_rollback()).await?;
    client.put(1, &queue, "kept").await?;
    client.ok(1, method::tx_commit()).await?;
    client.await_ready(2, &queue, 1).await?;
    ensure!(client.take(2, &queue).await?.text() == "kept", "body");
    Ok(())
}

/// Spec 6.2.2.
async fn a_refused_publish_is_refused_at_once(context: &Context) -> Result<()> {
    let (mut client, queue) = transactional(context).await?;
    client.put(1, &queue, "before").await?;
    let nowhere = method::basic_publish(&context.unique("nowhere"), "", 0);
    client
        .publish(1, nowhere, &Properties::default(), "body")
        .await?;
    client.reply(1).await?.expect("404c…")?;
    client.flush(2, &queue).await?;
    client.expect_ready(2, &queue, 0).await?;
    Ok(())
}

/// Spec 6.2.2.
async fn unroutable_messages_come_back_before_commit_ok(context: &Context) -> Result<()> {
    let (mut client, _) = transactional(context).await?;
    let publish = method::basic_publish("", &context.unique("nowhere"), 1);
    client
        .publish(1, publish, &Properties::default(), "body")
        .await?;
    client.send(1, &method::tx_commit()).await?;
    for expected in [method::BASIC_RETURN, method::TX_COMMIT_OK] {
        let received = client.next().await?;
        ensure!(
            received.method.id == expected,
            "{received:?} instead of {expected:?}"
        );
    }
    Ok(())
}

/// Spec 6.2.2. Spec 6.2.4.
async fn unroutable_messages_do_not_come_back_before_the_commit(context: &Context) -> Result<()> {
    let (mut client, queue) = transactional(context).await?;
    let nowhere = context.unique("nowhere");
    for end in [method::tx_rollback(), method::tx_commit()] {
        let publish = method::basic_publish("", &nowhere, 1);
        let properties = Properties::default();
        client.publish(1, publish, &properties, "body").await?;
        client.flush(1, &queue).await?;
        let kept = client.kept();
        ensure!(kept.is_empty(), "{kept:?}");
        client.ok(1, end).await?;
    }
    let returned: Vec<_> = client.kept().iter().map(|kept| kept.method.id).collect();
    ensure!(returned == [method::BASIC_RETURN], "{returned:?}");
    Ok(())
}

/// Spec 6.2.2. Spec 6.2.3.
async fn acks_take_effect_at_commit(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 3).await?;
    client.send(1, &method::basic_ack(1, false)).await?;
    client.send(1, &method::basic_reject(2, true)).await?;
    client.send(1, &method::basic_nack(3, false, false)).await?;
    client.flush(1, &queue).await?;
    client.expect_ready(2, &queue, 0).await?;
    client.ok(1, method::tx_commit()).await?;
    client.await_ready(2, &queue, 1).await?;
    let left = left(&mut client, &queue).await?;
    ensure!(left == ["2"], "{left:?}");
    Ok(())
}

/// Spec 6.2.4.
async fn rollback_makes_settled_tags_outstanding_again(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 3).await?;
    client.send(1, &method::basic_ack(2, true)).await?;
    client.ok(1, method::tx_rollback()).await?;
    client.flush(1, &queue).await?;
    client.expect_ready(2, &queue, 0).await?;
    ensure!(client.kept().is_empty(), "redelivered");
    client.send(1, &method::basic_ack(1, false)).await?;
    client.send(1, &method::basic_ack(3, false)).await?;
    client.ok(1, method::tx_commit()).await?;
    let left = left(&mut client, &queue).await?;
    ensure!(left == ["2"], "{left:?}");
    Ok(())
}

/// Spec 6.2.4.
async fn an_unknown_tag_is_refused_at_the_ack(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 1).await?;
    client
        .expect(
            1,
            method::basic_ack(9, false),
            "406c unknown delivery tag 9",
        )
        .await?;
    client.await_ready(2, &queue, 1).await
}

/// Spec 6.2.4. Spec 5.5.1.
async fn a_tag_settled_twice_within_a_transaction(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 2).await?;
    client.send(1, &method::basic_ack(1, false)).await?;
    client
        .expect(
            1,
            method::basic_ack(1, false),
            "406c unknown delivery tag 1",
        )
        .await?;
    client.await_ready(2, &queue, 2).await
}

/// Spec 6.2.4. Spec 2.6.
async fn closing_the_channel_rolls_back(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 3).await?;
    client.send(1, &method::basic_ack(2, false)).await?;
    client.put(1, &queue, "never").await?;
    let left = left(&mut client, &queue).await?;
    ensure!(left == ["1", "2", "3"], "{left:?}");
    Ok(())
}

/// Spec 6.2.3.
async fn a_commit_covers_what_came_since_the_last_one(context: &Context) -> Result<()> {
    let (mut client, queue) = holding(context, 2).await?;
    for (tag, body) in [(1, "a"), (2, "b")] {
        client.send(1, &method::basic_ack(tag, false)).await?;
        client.put(1, &queue, body).await?;
        client.ok(1, method::tx_commit()).await?;
        client.await_ready(2, &queue, tag as u32).await?;
    }
    let left = left(&mut client, &queue).await?;
    ensure!(left == ["a", "b"], "{left:?}");
    Ok(())
}

/// Spec 6.2.3.
async fn a_queue_that_refuses_fails_the_commit(context: &Context) -> Result<()> {
    let (mut client, _) = transactional(context).await?;
    let full = context.queue("full");
    let arguments = one("x-max-length", 0).with("x-overflow", "reject-publish");
    client
        .ok(
            2,
            method::queue_declare(&full, queue_bits::DURABLE, &arguments),
        )
        .await?;
    client.put(1, &full, "refused").await?;
    client
        .call(1, method::tx_commit())
        .await?
        .expect("406c partial tx completion")
}

/// Spec 6.2.5. Spec 1.6.11. Persistent messages, so that the commit takes its time.
async fn methods_sent_behind_a_commit(context: &Context) -> Result<()> {
    let (mut client, queue) = transactional(context).await?;
    let mut bytes = Vec::new();
    let publish = method::basic_publish("", &queue, 0);
    for _ in 0..100 {
        bytes.extend(Frame::method(1, &publish).encode());
        bytes.extend(Frame::header(1, 0, &Properties::persistent()).encode());
    }
    bytes.extend(Frame::method(1, &method::tx_commit()).encode());
    bytes.extend(Frame::method(1, &method::basic_qos(0, 1, false)).encode());
    client.peer.send(&bytes).await?;
    let too_early = "504x unexpected command while processing 'tx.commit' || ok";
    let first = client.reply(1).await?;
    first.expect(context.differs("6.2.5", too_early, "ok")?)?;
    if first.close().is_none() {
        client.reply(1).await?.expect("ok")?;
        client.await_ready(2, &queue, 100).await?;
    }
    Ok(())
}
