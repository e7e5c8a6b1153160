//! Queues that go when nobody uses them.

use std::time::Duration;

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, one};

use super::dying::{dying_to, queue};

leveret_tests::on_both_targets![
    an_unused_queue_expires_with_what_is_in_it,
    an_expired_queue_dead_letters_nothing,
    a_consumer_keeps_the_queue_and_its_end_starts_the_clock,
    asking_for_the_queue_or_its_messages_keeps_it,
    a_queue_of_any_kind_may_expire,
];

const SOON_MS: i32 = 400;

/// Waits until the queue is gone. Publishing does not keep it.
async fn await_gone(client: &mut Client, queue: &str) -> Result<()> {
    loop {
        let mandatory = method::basic_publish("", queue, 1);
        client
            .publish(1, mandatory, &Properties::default(), "anybody?")
            .await?;
        client.flush_channel(1).await?;
        let returned =
            |kept: &leveret_tests::client::Received| kept.method.id == method::BASIC_RETURN;
        if client.kept().iter().any(returned) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Spec 4.2.4.
async fn an_unused_queue_expires_with_what_is_in_it(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = queue(context, &mut client, "q", &one("x-expires", SOON_MS)).await?;
    client.put(1, &queue, "forgotten").await?;
    await_gone(&mut client, &queue).await?;
    let passive = method::queue_declare(&queue, queue_bits::PASSIVE, &Table::new());
    let expected = format!("404c no queue '{queue}' in vhost '/'");
    client.refused(1, passive, &expected).await
}

/// Spec 4.2.4. Spec 7.2.1.
async fn an_expired_queue_dead_letters_nothing(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let dead = queue(context, &mut client, "dead", &Table::new()).await?;
    let arguments = dying_to(&dead).with("x-expires", SOON_MS);
    let queue = queue(context, &mut client, "q", &arguments).await?;
    client.put(1, &queue, "forgotten").await?;
    await_gone(&mut client, &queue).await?;
    client.expect_ready(1, &dead, 0).await
}

/// Spec 4.2.4.
async fn a_consumer_keeps_the_queue_and_its_end_starts_the_clock(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let clock = queue(
        context,
        &mut client,
        "clock",
        &one("x-expires", 3 * SOON_MS),
    )
    .await?;
    let queue = queue(context, &mut client, "q", &one("x-expires", SOON_MS)).await?;
    let consume = method::basic_consume(&queue, "c", 0, &Table::new());
    client.ok(1, consume).await?;
    await_gone(&mut client, &clock).await?;
    client.put(1, &queue, "still there").await?;
    ensure!(client.delivery(1).await?.text() == "still there");
    client.ok(1, method::basic_cancel("c")).await?;
    await_gone(&mut client, &queue).await
}

/// Spec 4.1.4. Spec 4.2.4. Spec 5.2.1.
async fn asking_for_the_queue_or_its_messages_keeps_it(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let expires = one("x-expires", 1500);
    let queue = queue(context, &mut client, "q", &expires).await?;
    let passive = method::queue_declare(&queue, queue_bits::PASSIVE, &Table::new());
    let again = method::queue_declare(&queue, queue_bits::DURABLE, &expires);
    for ask in [passive, again, method::basic_get(&queue, true)] {
        let later = one("x-expires", 2500);
        let clock = super::dying::queue(context, &mut client, "clock", &later).await?;
        loop {
            client.ok(1, ask.clone()).await?;
            let mandatory = method::basic_publish("", &clock, 1);
            client
                .publish(1, mandatory, &Properties::default(), "")
                .await?;
            client.flush_channel(1).await?;
            if !client.kept().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        client.ok(1, ask).await?;
    }
    Ok(())
}

/// Spec 4.2.4.
async fn a_queue_of_any_kind_may_expire(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let bits = [
        queue_bits::EXCLUSIVE,
        queue_bits::DURABLE | queue_bits::AUTO_DELETE,
    ];
    for bits in bits {
        let queue = context.unique("q");
        let declare = method::queue_declare(&queue, bits, &one("x-expires", SOON_MS));
        client.ok(1, declare).await?;
        await_gone(&mut client, &queue).await?;
    }
    Ok(())
}
