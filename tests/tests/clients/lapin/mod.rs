//! lapin (crates.io): the scene of its verbs.

mod connection;
mod consuming;
mod exchanges;
mod publishing;
mod queues;
mod restart;
mod settlement;

use std::fmt::Debug;

use anyhow::{Context as _, bail};
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ErrorKind, ExchangeKind,
};

use crate::native::{Native, Stage, fresh};

pub(crate) const LAPIN: Native = Native {
    client: "lapin",
    verbs: &[
        connection::VERBS,
        exchanges::VERBS,
        queues::VERBS,
        publishing::VERBS,
        consuming::VERBS,
        settlement::VERBS,
        restart::VERBS,
    ],
};

async fn connected(stage: &Stage) -> anyhow::Result<Connection> {
    Ok(Connection::connect(&stage.url, ConnectionProperties::default()).await?)
}

async fn closed(connection: Connection) -> anyhow::Result<()> {
    Ok(connection.close(200, "done".into()).await?)
}

/// The name of a queue that goes with the connection.
async fn queue_on(channel: &Channel, arguments: FieldTable) -> anyhow::Result<ShortString> {
    let options = QueueDeclareOptions::exclusive();
    let queue = channel
        .queue_declare(fresh("queue").into(), options, arguments)
        .await?;
    Ok(queue.name().clone())
}

/// The name of an exchange; [`without_exchange`] removes it.
async fn exchange_on(channel: &Channel, kind: ExchangeKind) -> anyhow::Result<ShortString> {
    let name = ShortString::from(fresh("exchange"));
    let options = ExchangeDeclareOptions::default();
    channel
        .exchange_declare(name.clone(), kind, options, FieldTable::default())
        .await?;
    Ok(name)
}

async fn without_exchange(channel: &Channel, exchange: ShortString) -> anyhow::Result<()> {
    Ok(channel
        .exchange_delete(exchange, ExchangeDeleteOptions::default())
        .await?)
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &str) -> anyhow::Result<()> {
    let options = BasicPublishOptions::default();
    let (exchange, key, body) = (exchange.into(), key.into(), body.as_bytes());
    channel
        .basic_publish(exchange, key, options, body, BasicProperties::default())
        .await?
        .await?;
    Ok(())
}

/// A queue with these messages in it, each of them confirmed.
async fn filled_queue(connection: &Connection, bodies: &[&str]) -> anyhow::Result<ShortString> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let queue = queue_on(&channel, FieldTable::default()).await?;
    for body in bodies {
        publish(&channel, "", queue.as_str(), body).await?;
    }
    channel.close(200, "filled".into()).await?;
    Ok(queue)
}

async fn get(channel: &Channel, queue: &ShortString) -> anyhow::Result<BasicGetMessage> {
    let options = BasicGetOptions::default();
    channel
        .basic_get(queue.clone(), options)
        .await?
        .context("the queue is empty")
}

/// The body of the next message, settled.
async fn take(channel: &Channel, queue: &ShortString) -> anyhow::Result<Option<String>> {
    let message = channel
        .basic_get(queue.clone(), BasicGetOptions { no_ack: true })
        .await?;
    message.map(|message| body(&message.delivery)).transpose()
}

async fn take_all(channel: &Channel, queue: &ShortString) -> anyhow::Result<Vec<String>> {
    let mut bodies = Vec::new();
    while let Some(body) = take(channel, queue).await? {
        bodies.push(body);
    }
    Ok(bodies)
}

fn body(delivery: &Delivery) -> anyhow::Result<String> {
    Ok(String::from_utf8(delivery.data.clone())?)
}

async fn next(consumer: &mut Consumer) -> anyhow::Result<Delivery> {
    use futures_util::StreamExt as _;
    Ok(consumer.next().await.context("the consumer ended")??)
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

/// Expects the broker to refuse with this code.
fn refused<T: Debug>(code: u16, outcome: lapin::Result<T>) -> anyhow::Result<()> {
    match outcome {
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(refusal) if refusal.kind().get_id() == code => Ok(()),
            _ => bail!("expected {code}, got {error}"),
        },
        Ok(value) => bail!("expected {code}, got {value:?}"),
    }
}

fn plain() -> FieldTable {
    FieldTable::default()
}

async fn bind(
    channel: &Channel,
    queue: &ShortString,
    exchange: &ShortString,
    key: &str,
) -> lapin::Result<()> {
    let (queue, exchange) = (queue.clone(), exchange.clone());
    channel
        .queue_bind(
            queue,
            exchange,
            key.into(),
            QueueBindOptions::default(),
            plain(),
        )
        .await
}
