//! amqprs (crates.io): the scene of its verbs.

mod connection;
mod consuming;
mod exchanges;
mod publishing;
mod queues;
mod restart;
mod settlement;

use amqprs::callbacks::{ChannelCallback, DefaultConnectionCallback};
use amqprs::channel::{
    BasicAckArguments, BasicGetArguments, BasicPublishArguments, Channel, ConfirmSelectArguments,
    ExchangeDeclareArguments, ExchangeDeleteArguments, QueueBindArguments, QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::consumer::AsyncConsumer;
use amqprs::error::Error;
use amqprs::{
    Ack, BasicProperties, Cancel, CloseChannel, Deliver, FieldTable, FieldValue, Nack, Return,
};
use anyhow::{Context as _, bail};
use async_trait::async_trait;
use lapin::uri::AMQPUri;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::native::{Native, Stage, fresh};

pub(crate) const AMQPRS: Native = Native {
    client: "amqprs",
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

/// What a channel's callbacks were told.
#[derive(Debug, PartialEq)]
enum Told {
    Closed(u16),
    Cancelled(String),
    Flow(bool),
    /// Up to and including this one, if it says so.
    Acked(u64, bool),
    Nacked(u64, bool),
    Returned(u16, String, Vec<u8>),
}

/// Passes on what the callbacks are told.
struct Teller(UnboundedSender<Told>);

impl Teller {
    fn tell(&self, told: Told) {
        // Nobody listens any more when the verb is over.
        self.0.send(told).ok();
    }
}

#[async_trait]
impl ChannelCallback for Teller {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), Error> {
        self.tell(Told::Closed(close.reply_code()));
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, cancel: Cancel) -> Result<(), Error> {
        self.tell(Told::Cancelled(cancel.consumer_tag().clone()));
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, Error> {
        self.tell(Told::Flow(active));
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.tell(Told::Acked(ack.delivery_tag(), ack.mutiple()));
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.tell(Told::Nacked(nack.delivery_tag(), nack.multiple()));
    }

    async fn publish_return(
        &mut self,
        _: &Channel,
        back: Return,
        _: BasicProperties,
        body: Vec<u8>,
    ) {
        self.tell(Told::Returned(
            back.reply_code(),
            back.reply_text().clone(),
            body,
        ));
    }
}

/// A channel, and what its callbacks are told.
struct Line {
    channel: Channel,
    told: UnboundedReceiver<Told>,
}

impl Line {
    async fn next(&mut self) -> anyhow::Result<Told> {
        self.told.recv().await.context("the channel is gone")
    }

    /// Expects the call to fail, and the broker to close the channel with this code.
    async fn refused<T, E>(&mut self, code: u16, outcome: Result<T, E>) -> anyhow::Result<()> {
        if outcome.is_ok() {
            bail!("expected {code}, got an answer");
        }
        assert_eq!(self.next().await?, Told::Closed(code));
        Ok(())
    }
}

/// What [`Connection::open`] needs to know of the broker.
fn arguments(stage: &Stage) -> anyhow::Result<OpenConnectionArguments> {
    let uri: AMQPUri = stage.url.parse().map_err(anyhow::Error::msg)?;
    let (who, place) = (&uri.authority.userinfo, &uri.authority);
    let mut arguments =
        OpenConnectionArguments::new(&place.host, place.port, &who.username, &who.password);
    Ok(arguments.virtual_host(&uri.vhost).finish())
}

async fn connected(stage: &Stage) -> anyhow::Result<Connection> {
    let connection = Connection::open(&arguments(stage)?).await?;
    connection
        .register_callback(DefaultConnectionCallback)
        .await?;
    Ok(connection)
}

async fn line_on(connection: &Connection) -> anyhow::Result<Line> {
    let channel = connection.open_channel(None).await?;
    let (sender, told) = unbounded_channel();
    channel.register_callback(Teller(sender)).await?;
    Ok(Line { channel, told })
}

/// The name of a queue that goes with the connection.
async fn queue_on(channel: &Channel, arguments: FieldTable) -> anyhow::Result<String> {
    let name = fresh("queue");
    let mut declare = QueueDeclareArguments::new(&name);
    channel
        .queue_declare(declare.exclusive(true).arguments(arguments).finish())
        .await?;
    Ok(name)
}

/// The name of an exchange; [`without_exchange`] removes it.
async fn exchange_on(channel: &Channel, kind: &str) -> anyhow::Result<String> {
    let name = fresh("exchange");
    channel
        .exchange_declare(ExchangeDeclareArguments::new(&name, kind))
        .await?;
    Ok(name)
}

async fn without_exchange(channel: &Channel, exchange: &str) -> anyhow::Result<()> {
    Ok(channel
        .exchange_delete(ExchangeDeleteArguments::new(exchange))
        .await?)
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &str) -> anyhow::Result<()> {
    let (properties, body) = (BasicProperties::default(), body.as_bytes().to_vec());
    Ok(channel
        .basic_publish(properties, body, BasicPublishArguments::new(exchange, key))
        .await?)
}

/// A queue with these messages in it, each of them confirmed.
async fn filled_queue(connection: &Connection, bodies: &[&str]) -> anyhow::Result<String> {
    let mut line = line_on(connection).await?;
    line.channel
        .confirm_select(ConfirmSelectArguments::default())
        .await?;
    let queue = queue_on(&line.channel, FieldTable::new()).await?;
    for body in bodies {
        publish(&line.channel, "", &queue, body).await?;
        line.next().await?;
    }
    line.channel.close().await?;
    Ok(queue)
}

/// A message that waits to be settled.
struct Held {
    tag: u64,
    redelivered: bool,
    properties: BasicProperties,
    body: String,
}

async fn get(channel: &Channel, queue: &str) -> anyhow::Result<Held> {
    let got = channel.basic_get(BasicGetArguments::new(queue)).await?;
    let (ok, properties, body) = got.context("the queue is empty")?;
    let body = String::from_utf8(body)?;
    Ok(Held {
        tag: ok.delivery_tag(),
        redelivered: ok.redelivered(),
        properties,
        body,
    })
}

/// The body of the next message, settled.
async fn take(channel: &Channel, queue: &str) -> anyhow::Result<Option<String>> {
    let got = channel
        .basic_get(BasicGetArguments::new(queue).no_ack(true).finish())
        .await?;
    Ok(got
        .map(|(_, _, body)| String::from_utf8(body))
        .transpose()?)
}

async fn take_all(channel: &Channel, queue: &str) -> anyhow::Result<Vec<String>> {
    let mut bodies = Vec::new();
    while let Some(body) = take(channel, queue).await? {
        bodies.push(body);
    }
    Ok(bodies)
}

async fn ack(channel: &Channel, tag: u64) -> anyhow::Result<()> {
    Ok(channel
        .basic_ack(BasicAckArguments::new(tag, false))
        .await?)
}

fn text(value: &str) -> anyhow::Result<FieldValue> {
    Ok(FieldValue::S(value.try_into()?))
}

fn table(entries: Vec<(&str, FieldValue)>) -> anyhow::Result<FieldTable> {
    let mut table = FieldTable::new();
    for (name, value) in entries {
        table.insert(name.try_into()?, value);
    }
    Ok(table)
}

/// A message as a consumer gets it.
struct Delivered {
    deliver: Deliver,
    properties: BasicProperties,
    body: Vec<u8>,
}

/// Gives every delivery to a channel of the test's own.
struct Collector(UnboundedSender<Delivered>);

#[async_trait]
impl AsyncConsumer for Collector {
    async fn consume(
        &mut self,
        _: &Channel,
        deliver: Deliver,
        properties: BasicProperties,
        body: Vec<u8>,
    ) {
        self.0
            .send(Delivered {
                deliver,
                properties,
                body,
            })
            .ok();
    }
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> anyhow::Result<()> {
    Ok(channel
        .queue_bind(QueueBindArguments::new(queue, exchange, key))
        .await?)
}

fn passive_exchange(name: &str) -> ExchangeDeclareArguments {
    ExchangeDeclareArguments::new(name, "direct")
        .passive(true)
        .finish()
}

fn passive_queue(name: &str) -> QueueDeclareArguments {
    QueueDeclareArguments::new(name).passive(true).finish()
}
