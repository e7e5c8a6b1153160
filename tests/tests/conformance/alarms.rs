//! What happens when memory or disk run short: publishers wait, consumers do not.

use std::time::Duration;

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Options, Tune};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::Table;
use leveret_tests::raw::{Frame, HEARTBEAT};
use leveret_tests::shortage::Needy;

leveret_tests::on_both_targets![
    whoever_publishes_while_memory_is_short_is_told_and_waits,
    the_content_header_alone_blocks,
    the_reason_names_what_is_short,
    a_client_that_does_not_understand_is_blocked_in_silence,
    consumers_and_their_acks_go_on,
    heartbeats_go_on_while_a_client_is_blocked,
    an_operators_close_reaches_a_blocked_client,
    nothing_is_read_from_a_blocked_client,
];

async fn declare(client: &mut Client, queue: &str) -> Result<()> {
    let declare = method::queue_declare(queue, queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await.map(drop)
}

/// The next thing that comes must be connection.blocked with this reason.
async fn expect_blocked(client: &mut Client, reason: &str) -> Result<()> {
    let next = client.next().await?;
    ensure!(next.method.id == method::CONNECTION_BLOCKED, "{next:?}");
    let told = next.method.reader().short()?;
    ensure!(told == reason, "blocked because {told:?}");
    Ok(())
}

async fn expect_unblocked(client: &mut Client) -> Result<()> {
    let next = client.next().await?;
    ensure!(next.method.id == method::CONNECTION_UNBLOCKED, "{next:?}");
    Ok(())
}

/// Spec 1.9.1. Spec 11.1. Spec 11.2. On a connection from before the alarm, and on a later one.
async fn whoever_publishes_while_memory_is_short_is_told_and_waits(
    context: &Context,
) -> Result<()> {
    let Some(broker) = Needy::start(context).await? else {
        return Ok(());
    };
    let queue = context.unique("q");
    let mut watcher = broker.client().await?;
    declare(&mut watcher, &queue).await?;
    let before = broker.client().await?;
    broker.lack_memory().await?;
    let after = broker.client().await?;
    let mut expected = 0;
    for mut publisher in [before, after] {
        publisher.ok(1, method::confirm_select()).await?;
        publisher.counts(1, &queue).await?;
        for body in ["taken", "held", "held too"] {
            publisher.put(1, &queue, body).await?;
        }
        expect_blocked(&mut publisher, "low on memory").await?;
        // The first message was complete before anybody was blocked, or was not.
        let (ready, _) = watcher.counts(1, &queue).await?;
        ensure!(
            ready <= expected + 1,
            "{ready} messages instead of {expected}"
        );
        broker.recover().await?;
        while publisher.next().await?.method.id != method::CONNECTION_UNBLOCKED {}
        expected += 3;
        watcher.await_ready(1, &queue, expected).await?;
        broker.lack_memory().await?;
    }
    broker.recover().await?;
    watcher
        .ok(1, method::queue_delete(&queue, 0))
        .await
        .map(drop)
}

/// Spec 1.9.1. A method alone does not: it is the content that takes memory.
async fn the_content_header_alone_blocks(context: &Context) -> Result<()> {
    let Some(broker) = Needy::start(context).await? else {
        return Ok(());
    };
    let mut client = broker.client().await?;
    broker.lack_memory().await?;
    client
        .send(1, &method::basic_publish("", "nobody", 0))
        .await?;
    client.open(2).await?;
    client
        .peer
        .send_frame(&Frame::header(1, 3, &Properties::default()))
        .await?;
    expect_blocked(&mut client, "low on memory").await?;
    client.peer.send_frame(&Frame::body(1, "abc")).await?;
    broker.recover().await?;
    expect_unblocked(&mut client).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await.map(drop)
}

/// Spec 1.9.1. Told once, although a second resource runs short later.
async fn the_reason_names_what_is_short(context: &Context) -> Result<()> {
    let Some(broker) = Needy::start(context).await? else {
        return Ok(());
    };
    let mut early = broker.client().await?;
    broker.lack_disk().await?;
    early.put(1, "nobody", "").await?;
    expect_blocked(&mut early, "low on disk").await?;
    broker.lack_memory().await?;
    let mut late = broker.client().await?;
    late.put(1, "nobody", "").await?;
    expect_blocked(&mut late, "low on disk & memory").await?;
    broker.recover().await?;
    expect_unblocked(&mut early).await?;
    expect_unblocked(&mut late).await
}

/// Spec 1.9.1. Spec 1.2.5.
async fn a_client_that_does_not_understand_is_blocked_in_silence(context: &Context) -> Result<()> {
    let Some(broker) = Needy::start(context).await? else {
        return Ok(());
    };
    let queue = context.unique("q");
    let mut watcher = broker.client().await?;
    declare(&mut watcher, &queue).await?;
    let options = Options {
        properties: Table::new(),
        ..Options::default()
    };
    let mut client = broker.client_with(&options).await?;
    client.ok(1, method::confirm_select()).await?;
    broker.lack_memory().await?;
    for body in ["one", "two"] {
        client.put(1, &queue, body).await?;
    }
    // Another connection's round trips give it time to read both, if it did.
    let mut told = broker.client().await?;
    told.put(1, "nobody", "").await?;
    expect_blocked(&mut told, "low on memory").await?;
    watcher.flush(1, &queue).await?;
    let (ready, _) = watcher.counts(1, &queue).await?;
    ensure!(ready <= 1, "{ready} messages came through");
    broker.recover().await?;
    watcher.await_ready(1, &queue, 2).await?;
    let first = client.next().await?;
    ensure!(first.method.id == method::BASIC_ACK, "{first:?}");
    watcher
        .ok(1, method::queue_delete(&queue, 0))
        .await
        .map(drop)
}

/// Spec 11.1.
async fn consumers_and_their_acks_go_on(context: &Context) -> Result<()> {
    let Some(broker) = Needy::start(context).await? else {
        return Ok(());
    };
    let queue = context.unique("q");
    let mut client = broker.client().await?;
    declare(&mut client, &queue).await?;
    for body in ["a", "b", "c"] {
        client.put(1, &queue, body).await?;
    }
    client.await_ready(1, &queue, 3).await?;
    broker.lack_memory().await?;
    let mut consumer = broker.client().await?;
    consumer.ok(1, method::basic_qos(0, 1, false)).await?;
    let consume = method::basic_consume(&queue, "c", 0, &Table::new());
    consumer.ok(1, consume).await?;
    for body in ["a", "b", "c"] {
        let delivery = consumer.delivery(1).await?;
        ensure!(delivery.text() == body, "{delivery:?}");
        consumer
            .send(1, &method::basic_ack(delivery.tag, false))
            .await?;
    }
    consumer.ok(1, method::queue_delete(&queue, 0)).await?;
    broker.recover().await?;
    consumer.close().await
}

/// Spec 1.7.3. The client sends none meanwhile, and is not taken for dead.
async fn heartbeats_go_on_while_a_client_is_blocked(context: &Context) -> Result<()> {
    let Some(broker) = Needy::start(context).await? else {
        return Ok(());
    };
    let options = Options {
        tune: Some(Tune {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 1,
        }),
        ..Options::default()
    };
    // Before there is a client that has to send heartbeats: an operator's command takes its time.
    broker.lack_memory().await?;
    let mut client = broker.client_with(&options).await?;
    for _ in 0..2 {
        client.put(1, "nobody", "x").await?;
    }
    expect_blocked(&mut client, "low on memory").await?;
    let mut heartbeats = 0;
    // Silence of more than three intervals would be the end of anybody else.
    let silence = tokio::time::Instant::now() + Duration::from_secs(5);
    while heartbeats < 5 || tokio::time::Instant::now() < silence {
        let frame = client.peer.frame().await?;
        ensure!(
            frame.as_ref().is_some_and(|frame| frame.kind == HEARTBEAT),
            "{frame:?}"
        );
        heartbeats += 1;
    }
    broker.recover().await?;
    expect_unblocked(&mut client).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await.map(drop)
}

/// Spec 1.8.3. Spec 1.9.1.
async fn an_operators_close_reaches_a_blocked_client(context: &Context) -> Result<()> {
    let Some(broker) = Needy::start(context).await? else {
        return Ok(());
    };
    let mut client = broker.client().await?;
    broker.lack_memory().await?;
    for _ in 0..2 {
        client.put(1, "nobody", "x").await?;
    }
    expect_blocked(&mut client, "low on memory").await?;
    let closing = broker.close_all_connections();
    let told = async { client.reply(1).await?.expect("320x …") };
    let (closed, told) = tokio::join!(closing, told);
    closed?;
    told
}

/// Spec 1.9.1. What follows the content waits with it.
async fn nothing_is_read_from_a_blocked_client(context: &Context) -> Result<()> {
    let Some(broker) = Needy::start(context).await? else {
        return Ok(());
    };
    let mut client = broker.client().await?;
    broker.lack_memory().await?;
    client.put(1, "nobody", "x").await?;
    expect_blocked(&mut client, "low on memory").await?;
    client.send(1, &method::basic_qos(0, 1, false)).await?;
    broker.recover().await?;
    expect_unblocked(&mut client).await?;
    let answer = client.next().await?;
    ensure!(answer.method.id == method::BASIC_QOS_OK, "{answer:?}");
    client.close().await
}
