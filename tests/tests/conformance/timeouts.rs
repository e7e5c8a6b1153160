//! Consumer timeout: what a consumer does not settle in time goes back.

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Options};
use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::method::{self, Method, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};
use serde_json::json;

leveret_tests::on_both_targets![
    a_delivery_held_for_too_long_goes_back_and_its_consumer_is_cancelled,
    a_consumer_may_have_a_timeout_of_its_own,
    a_client_that_cannot_be_told_loses_its_channel,
    consumers_that_settle_in_time_go_on,
    classic_queues_may_have_a_timeout,
    a_policy_changes_what_consumers_may_hold_already,
];

async fn declare(client: &mut Client, queue: &str, kind: &str, timeout: bool) -> Result<()> {
    let arguments = one("x-queue-type", kind);
    let arguments = if timeout {
        arguments.with("x-consumer-timeout", Value::I32(1_000))
    } else {
        arguments
    };
    let declare = method::queue_declare(queue, queue_bits::DURABLE, &arguments);
    client.ok(1, declare).await?;
    Ok(())
}

/// Consumes, gets one message and holds it; its delivery tag.
async fn hold(client: &mut Client, queue: &str, tag: &str, arguments: &Table) -> Result<u64> {
    let consume = method::basic_consume(queue, tag, 0, arguments);
    client.ok(1, consume).await?;
    client.put(1, queue, tag).await?;
    let held = client.delivery(1).await?;
    ensure!(held.consumer == tag && !held.redelivered, "{held:?}");
    Ok(held.tag)
}

async fn cancelled(client: &mut Client, tag: &str) -> Result<()> {
    let cancel = client.next_of(1, method::BASIC_CANCEL).await?;
    let expected = Method::new(method::BASIC_CANCEL, Writer::new().short(tag).u8(1));
    ensure!(cancel.method == expected, "{cancel:?}");
    Ok(())
}

/// The held message is back, for anybody; settling it late is no mistake.
async fn is_back(context: &Context, client: &mut Client, queue: &str, held: u64) -> Result<()> {
    let mut other = context.client().await?;
    other.await_ready(1, queue, 1).await?;
    let again = other.take(1, queue).await?;
    ensure!(again.redelivered, "{again:?}");
    client.send(1, &method::basic_ack(held, false)).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    Ok(())
}

/// Spec 5.5.8. Spec 5.3.9.
async fn a_delivery_held_for_too_long_goes_back_and_its_consumer_is_cancelled(
    context: &Context,
) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    declare(&mut client, &queue, "quorum", true).await?;
    let held = hold(&mut client, &queue, "c", &Table::new()).await?;
    cancelled(&mut client, "c").await?;
    is_back(context, &mut client, &queue, held).await
}

/// Spec 5.5.8.
async fn a_consumer_may_have_a_timeout_of_its_own(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    declare(&mut client, &queue, "quorum", false).await?;
    let arguments = one("x-consumer-timeout", Value::I32(1_000));
    let held = hold(&mut client, &queue, "c", &arguments).await?;
    cancelled(&mut client, "c").await?;
    is_back(context, &mut client, &queue, held).await
}

/// Spec 5.5.8. Spec 1.2.5.
async fn a_client_that_cannot_be_told_loses_its_channel(context: &Context) -> Result<()> {
    let options = Options {
        properties: Table::new(),
        ..Options::default()
    };
    let mut client = context.client_with(&options).await?;
    let queue = context.queue("q");
    declare(&mut client, &queue, "quorum", true).await?;
    hold(&mut client, &queue, "c", &Table::new()).await?;
    let outcome = client.reply(1).await?;
    outcome.expect("406c …timed out…")?;
    let mut other = context.client().await?;
    other.await_ready(1, &queue, 1).await
}

/// Spec 5.5.8.
async fn consumers_that_settle_in_time_go_on(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (queue, other) = (context.queue("q"), context.queue("other"));
    declare(&mut client, &queue, "quorum", true).await?;
    declare(&mut client, &other, "quorum", true).await?;
    let settled = hold(&mut client, &queue, "prompt", &Table::new()).await?;
    client.send(1, &method::basic_ack(settled, false)).await?;
    hold(&mut client, &other, "slow", &Table::new()).await?;
    cancelled(&mut client, "slow").await?;
    client.put(1, &queue, "more").await?;
    let more = client.delivery(1).await?;
    ensure!(
        more.consumer == "prompt" && more.text() == "more",
        "{more:?}"
    );
    Ok(())
}

/// Spec 5.5.8. Spec 4.3.2.
async fn classic_queues_may_have_a_timeout(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let arguments = one("x-consumer-timeout", Value::I32(1_000));
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &arguments);
    let refused = format!(
        "406c invalid arg 'x-consumer-timeout' for queue '{queue}' in vhost '/' of queue type \
         rabbit_classic_queue"
    );
    let expected = context.differs("4.3.2", refused.as_str(), "ok")?;
    client.call(1, declare).await?.expect(expected)?;
    if expected != "ok" {
        return Ok(());
    }
    let held = hold(&mut client, &queue, "c", &Table::new()).await?;
    cancelled(&mut client, "c").await?;
    is_back(context, &mut client, &queue, held).await?;
    ensure!(client.counts(1, &queue).await? == (0, 0), "left over");
    Ok(())
}

/// Spec 5.5.8. Spec 7.7.6.
async fn a_policy_changes_what_consumers_may_hold_already(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    declare(&mut client, &queue, "quorum", false).await?;
    let held = hold(&mut client, &queue, "c", &Table::new()).await?;
    let policy = json!({
        "pattern": format!("^{queue}$"), "definition": { "consumer-timeout": 1_000 },
    });
    let path = format!("policies/%2F/{queue}");
    let api = context.management()?;
    api.done("PUT", &path, Some(policy)).await?;
    if context.differs("7.7.6", false, true)? {
        cancelled(&mut client, "c").await?;
        is_back(context, &mut client, &queue, held).await?;
    }
    api.done("DELETE", &path, None).await?;
    Ok(())
}
