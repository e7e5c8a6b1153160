//! Queues bound to a connection or to their consumers: exclusive and auto-delete.

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, one};

use queue_bits::{AUTO_DELETE, DURABLE, EXCLUSIVE, PASSIVE};

leveret_tests::on_both_targets![
    exclusivity_is_compared_before_anything_else,
    durable_means_nothing_on_an_exclusive_queue,
    an_exclusive_queue_is_open_to_all_channels_of_its_connection,
    every_operation_of_another_connection_on_an_exclusive_queue_is_locked,
    publishing_to_anothers_exclusive_queue_is_allowed,
    an_auto_delete_queue_goes_with_its_last_consumer,
    an_auto_delete_queue_without_a_consumer_stays,
    an_auto_delete_queue_goes_with_the_channel_of_its_last_consumer,
    an_auto_delete_queue_goes_with_the_connection_of_its_last_consumer,
];

fn declare(queue: &str, bits: u8) -> method::Method {
    method::queue_declare(queue, bits, &Table::new())
}

fn not_found(queue: &str) -> String {
    format!("404c no queue '{queue}' in vhost '/'")
}

fn locked(queue: &str) -> String {
    format!(
        "405c cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be \
         originally declared on another connection or the exclusive property value does not match \
         that of the original declaration."
    )
}

/// Spec 4.1.5. Spec 4.2.2.
async fn exclusivity_is_compared_before_anything_else(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client.ok(1, declare(&queue, DURABLE)).await?;
    let other = method::queue_declare(&queue, EXCLUSIVE | AUTO_DELETE, &one("x-max-length", 1));
    client.refused(1, other, &locked(&queue)).await?;
    let exclusive = context.queue("exclusive");
    client.ok(1, declare(&exclusive, EXCLUSIVE)).await?;
    client
        .refused(1, declare(&exclusive, DURABLE), &locked(&exclusive))
        .await
}

/// Spec 4.1.6.
async fn durable_means_nothing_on_an_exclusive_queue(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (one, other) = (context.queue("one"), context.queue("other"));
    client.ok(1, declare(&one, EXCLUSIVE)).await?;
    client.ok(1, declare(&one, EXCLUSIVE | DURABLE)).await?;
    client.ok(1, declare(&other, EXCLUSIVE | DURABLE)).await?;
    client.ok(1, declare(&other, EXCLUSIVE)).await?;
    Ok(())
}

/// Spec 4.2.1.
async fn an_exclusive_queue_is_open_to_all_channels_of_its_connection(
    context: &Context,
) -> Result<()> {
    let mut client = context.client().await?;
    client.open(2).await?;
    let queue = context.queue("q");
    client.ok(1, declare(&queue, EXCLUSIVE)).await?;
    client.ok(2, declare(&queue, EXCLUSIVE)).await?;
    client.put(2, &queue, "body").await?;
    client.await_ready(2, &queue, 1).await?;
    client.ok(1, method::channel_close()).await?;
    ensure!(client.take(2, &queue).await?.text() == "body", "get");
    client
        .ok(2, method::basic_consume(&queue, "c", 0, &Table::new()))
        .await?;
    Ok(())
}

/// Spec 4.2.2. Spec 4.1.4. Spec 3.4.4.
async fn every_operation_of_another_connection_on_an_exclusive_queue_is_locked(
    context: &Context,
) -> Result<()> {
    let mut owner = context.client().await?;
    let mut other = context.client().await?;
    let queue = context.unique("q");
    owner.ok(1, declare(&queue, EXCLUSIVE)).await?;
    let none = Table::new();
    owner
        .ok(1, method::queue_bind(&queue, "amq.direct", "key", &none))
        .await?;
    for locked_out in [
        declare(&queue, EXCLUSIVE),
        declare(&queue, DURABLE),
        declare(&queue, PASSIVE),
        method::queue_bind(&queue, "amq.direct", "key", &none),
        method::queue_unbind(&queue, "amq.direct", "key", &none),
        method::basic_consume(&queue, "", 0, &none),
        method::basic_get(&queue, true),
        method::queue_purge(&queue),
        method::queue_delete(&queue, 0),
        method::queue_delete(&queue, 3),
    ] {
        other.refused(1, locked_out, &locked(&queue)).await?;
    }
    owner.counts(1, &queue).await?;
    Ok(())
}

/// Spec 4.2.2.
async fn publishing_to_anothers_exclusive_queue_is_allowed(context: &Context) -> Result<()> {
    let mut owner = context.client().await?;
    let mut other = context.client().await?;
    let queue = context.unique("q");
    owner.ok(1, declare(&queue, EXCLUSIVE)).await?;
    other.put(1, &queue, "body").await?;
    owner.await_ready(1, &queue, 1).await
}

async fn auto_delete_with_a_message(client: &mut Client, queue: &str) -> Result<()> {
    client.ok(1, declare(queue, AUTO_DELETE | DURABLE)).await?;
    client.put(1, queue, "body").await?;
    client.await_ready(1, queue, 1).await
}

async fn consume(client: &mut Client, queue: &str, tag: &str) -> Result<()> {
    client
        .ok(1, method::basic_consume(queue, tag, 0, &Table::new()))
        .await?;
    client.delivery(1).await?;
    Ok(())
}

/// Spec 4.2.3.
async fn an_auto_delete_queue_goes_with_its_last_consumer(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    auto_delete_with_a_message(&mut client, &queue).await?;
    consume(&mut client, &queue, "one").await?;
    client
        .ok(1, method::basic_consume(&queue, "two", 0, &Table::new()))
        .await?;
    client.ok(1, method::basic_cancel("one")).await?;
    client.counts(1, &queue).await?;
    client.ok(1, method::basic_cancel("two")).await?;
    client
        .refused(1, declare(&queue, PASSIVE), &not_found(&queue))
        .await
}

/// Spec 4.2.3.
async fn an_auto_delete_queue_without_a_consumer_stays(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    auto_delete_with_a_message(&mut client, &queue).await?;
    client.close().await?;
    let mut client = context.client().await?;
    ensure!(client.take(1, &queue).await?.text() == "body", "get");
    client.counts(1, &queue).await?;
    Ok(())
}

/// Spec 4.2.3.
async fn an_auto_delete_queue_goes_with_the_channel_of_its_last_consumer(
    context: &Context,
) -> Result<()> {
    let mut client = context.client().await?;
    client.open(2).await?;
    let queue = context.queue("q");
    auto_delete_with_a_message(&mut client, &queue).await?;
    consume(&mut client, &queue, "one").await?;
    client.ok(1, method::channel_close()).await?;
    client
        .refused(2, declare(&queue, PASSIVE), &not_found(&queue))
        .await
}

/// Spec 4.2.3.
async fn an_auto_delete_queue_goes_with_the_connection_of_its_last_consumer(
    context: &Context,
) -> Result<()> {
    let mut watcher = context.client().await?;
    let mut client = context.client().await?;
    let queue = context.queue("q");
    auto_delete_with_a_message(&mut client, &queue).await?;
    consume(&mut client, &queue, "one").await?;
    client.close().await?;
    watcher
        .refused(1, declare(&queue, PASSIVE), &not_found(&queue))
        .await
}
