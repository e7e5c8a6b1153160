//! What the suites about dying messages share.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Delivery};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, exchange_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

/// Declares a new durable queue with these arguments.
pub(crate) async fn queue(
    context: &Context,
    client: &mut Client,
    name: &str,
    arguments: &Table,
) -> Result<String> {
    let queue = context.queue(name);
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, arguments);
    client.ok(1, declare).await?;
    Ok(queue)
}

/// Declares a new exchange.
pub(crate) async fn exchange(
    context: &Context,
    client: &mut Client,
    name: &str,
    kind: &str,
) -> Result<String> {
    let exchange = context.exchange(name);
    let declare = method::exchange_declare(&exchange, kind, exchange_bits::DURABLE, &Table::new());
    client.ok(1, declare).await?;
    Ok(exchange)
}

/// Arguments that send dead letters straight to a queue.
pub(crate) fn dying_to(queue: &str) -> Table {
    one("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", queue)
}

/// A queue for dead letters, and one that sends them there and has these arguments beside.
pub(crate) async fn with_graveyard(
    context: &Context,
    client: &mut Client,
    arguments: &[(&str, Value)],
) -> Result<(String, String)> {
    let dead = queue(context, client, "dead", &Table::new()).await?;
    let mut table = dying_to(&dead);
    for (name, value) in arguments {
        table = table.with(name, value.clone());
    }
    let queue = queue(context, client, "q", &table).await?;
    Ok((queue, dead))
}

/// Puts a message that wants to live for so many milliseconds.
pub(crate) async fn put_expiring(
    client: &mut Client,
    queue: &str,
    expiration: &str,
    body: &str,
) -> Result<()> {
    let properties = Properties {
        expiration: Some(expiration.to_owned()),
        ..Properties::persistent()
    };
    let publish = method::basic_publish("", queue, 0);
    client.publish(1, publish, &properties, body).await
}

/// Puts messages `1` to `count`.
pub(crate) async fn put_many(client: &mut Client, queue: &str, count: u32) -> Result<()> {
    for number in 1..=count {
        client.put(1, queue, number.to_string()).await?;
    }
    Ok(())
}

/// Waits for one dead letter and takes it.
pub(crate) async fn take_dead(client: &mut Client, queue: &str) -> Result<Delivery> {
    client.await_ready(1, queue, 1).await?;
    client.take(1, queue).await
}

/// The headers of a message.
pub(crate) fn headers(delivery: &Delivery) -> Result<&Table> {
    let headers = delivery.content.properties.headers.as_ref();
    headers.context("no headers")
}

/// A header that is text.
pub(crate) fn header(delivery: &Delivery, name: &str) -> Result<String> {
    let value = headers(delivery)?.value(name);
    value
        .and_then(Value::as_text)
        .with_context(|| format!("no text {name} in {:?}", headers(delivery)))
}

/// The entries of `x-death`.
pub(crate) fn deaths(delivery: &Delivery) -> Result<Vec<Table>> {
    let Some(Value::Array(deaths)) = headers(delivery)?.value("x-death") else {
        anyhow::bail!("no list x-death in {:?}", headers(delivery)?);
    };
    deaths
        .iter()
        .map(|death| match death {
            Value::Table(table) => Ok(table.clone()),
            other => anyhow::bail!("{other:?} in x-death"),
        })
        .collect()
}

/// Queue, reason and count of each entry of `x-death`.
pub(crate) fn causes(delivery: &Delivery) -> Result<Vec<(String, String, i64)>> {
    deaths(delivery)?
        .iter()
        .map(|death| {
            let text = |name: &str| death.value(name).and_then(Value::as_text);
            let queue = text("queue").context("no queue")?;
            let reason = text("reason").context("no reason")?;
            let count = death.value("count").and_then(Value::integer);
            Ok((queue, reason, count.context("no count")?))
        })
        .collect()
}

/// The letter must have died once, there and for that reason.
pub(crate) fn died(delivery: &Delivery, queue: &str, reason: &str) -> Result<()> {
    let causes = causes(delivery)?;
    let expected = [(queue.to_owned(), reason.to_owned(), 1)];
    ensure!(causes == expected, "{causes:?}");
    Ok(())
}
