//! AMQP for services, against the embedded broker and RabbitMQ alike. The one file of the service that
//! knows the AMQP library; everything else speaks of [`Link`]s.

mod delivery;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::Delivery as LapinDelivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::runtime::default_runtime;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind,
    PublisherConfirm,
};
use leveret_client::message::properties::{
    BrokerUser, CONTENT_TYPE, CONVERSATION_HEADER, Properties, SENDER_HEADER, SEQ_HEADER,
};
use leveret_client::trust::Trust;
use tokio::time::timeout;

pub use self::delivery::{DeliveryTag, Depth, Incoming, Outgoing, Published, Reach};
use crate::topology::{Arguments, ExchangeKind, Queue, Topology, Value};

/// For everything that a broker should answer at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// Seconds between two signs of life, unless the URL says otherwise: a process that has stopped loses what it
/// has in its hands to others after two or three of these, if nobody notices sooner.
const HEARTBEAT_SECONDS: u16 = 5;

/// Where the broker is, with the service's login, and who may vouch for it. Not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    uri: AMQPUri,
    trust: Trust,
}

impl BrokerUrl {
    /// Reads `amqp://user:password@host:port/virtual-host`, or `amqps://…` for TLS.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri = url.parse()?;
        let trust = Trust::system();
        Ok(Self { uri, trust })
    }

    /// The same, with others who may vouch for the broker.
    #[must_use]
    pub fn trusting(mut self, trust: &Trust) -> Self {
        self.trust = trust.clone();
        self
    }

    /// The service's user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }

    /// The virtual host.
    #[must_use]
    pub fn virtual_host(&self) -> &str {
        &self.uri.vhost
    }

    /// The same without user and password, for a client.
    #[must_use]
    pub fn public(&self) -> String {
        let (scheme, authority) = (&self.uri.scheme, &self.uri.authority);
        let virtual_host = self.uri.vhost.replace('%', "%25").replace('/', "%2f");
        format!(
            "{scheme}://{}:{}/{virtual_host}",
            authority.host, authority.port
        )
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.public())
    }
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// There is no connection, or no more.
    #[error("no connection to the broker: {0}")]
    Closed(String),
    /// The broker does not let the service do it.
    #[error("the broker refuses: {0}")]
    Denied(String),
    /// What is to be used is not there.
    #[error("the broker does not have it: {0}")]
    NotFound(String),
    /// It is there, and is not as the chat needs it.
    #[error("set up otherwise than the chat needs it: {0}")]
    Drift(String),
    /// No answer came in time.
    #[error("the broker does not answer in time")]
    TimedOut,
}

impl From<lapin::Error> for LinkError {
    fn from(error: lapin::Error) -> Self {
        let text = error.to_string();
        let ErrorKind::ProtocolError(amqp) = error.kind() else {
            return Self::Closed(text);
        };
        match amqp.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Self::Denied(text),
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Self::NotFound(text),
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => Self::Drift(text),
            AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => Self::Closed(text),
        }
    }
}

async fn patiently<T>(
    answer: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, LinkError> {
    match timeout(PATIENCE, answer).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(LinkError::TimedOut),
    }
}

/// Writes a message, and gives the confirm that is to come.
type Writing = Pin<Box<dyn Future<Output = Result<PublisherConfirm, lapin::Error>> + Send>>;

/// A confirm that is to come.
pub struct Pending(Stage);

/// How far a message is.
enum Stage {
    /// It has its place among those to be written.
    Queued(Writing),
    Written(PublisherConfirm),
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pending")
    }
}

impl Pending {
    /// Waits for it.
    pub async fn wait(self) -> Result<Published, LinkError> {
        let confirm = match self.0 {
            Stage::Queued(writing) => patiently(writing).await?,
            Stage::Written(confirm) => confirm,
        };
        Ok(match patiently(confirm).await? {
            Confirmation::Ack(None) | Confirmation::NotRequested => Published::Confirmed,
            Confirmation::Ack(Some(_)) => Published::Unroutable,
            Confirmation::Nack(_) => Published::Refused,
        })
    }
}

/// A connection of a service: one channel that publishes with confirms, and one for each subscription.
#[derive(Debug)]
pub struct Link {
    connection: Connection,
    publishing: Channel,
}

impl Link {
    /// Connects. The name is shown among the broker's connections.
    pub async fn open(url: &BrokerUrl, name: &str) -> Result<Self, LinkError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let mut uri = url.uri.clone();
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        let tls = OwnedTLSConfig {
            identity: None,
            cert_chain: url.trust.own_pem(),
        };
        let connecting =
            Connection::connect_uri_with_config(uri, properties, tls, default_runtime()?);
        let connection = patiently(connecting).await?;
        let publishing = patiently(connection.create_channel()).await?;
        patiently(publishing.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(Self {
            connection,
            publishing,
        })
    }

    /// Whether it can still be used.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.connection.status().connected() && self.publishing.status().connected()
    }

    /// Ends it in order.
    pub async fn close(&self) {
        // It may be closed already, which is as good.
        let _ = timeout(PATIENCE, self.connection.close(200, "bye".into())).await;
    }

    /// Declares everything but policies. What is there already must be the same; all that is not is
    /// named in one [`LinkError::Drift`].
    pub async fn declare(&self, topology: &Topology) -> Result<(), LinkError> {
        let mut drift = Vec::new();
        for exchange in &topology.exchanges {
            let kind = match exchange.kind {
                ExchangeKind::Direct => lapin::ExchangeKind::Direct,
                ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
                ExchangeKind::Topic => lapin::ExchangeKind::Topic,
            };
            let options = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            let channel = patiently(self.connection.create_channel()).await?;
            let arguments = table(&exchange.arguments);
            let declared = channel.exchange_declare(exchange.name.into(), kind, options, arguments);
            note_drift(patiently(declared).await, &mut drift)?;
            drop(channel);
        }
        for queue in &topology.queues {
            note_drift(self.declare_queue(queue).await, &mut drift)?;
        }
        if !drift.is_empty() {
            return Err(LinkError::Drift(drift.join("; ")));
        }
        let channel = patiently(self.connection.create_channel()).await?;
        for binding in &topology.bindings {
            let options = QueueBindOptions::default();
            let (queue, key) = (binding.queue.as_str(), binding.key.as_str());
            let table = FieldTable::default();
            let bound = channel.queue_bind(
                queue.into(),
                binding.exchange.into(),
                key.into(),
                options,
                table,
            );
            patiently(bound).await?;
        }
        patiently(channel.close(200, "done".into())).await
    }

    /// Declares one durable queue.
    pub async fn declare_queue(&self, queue: &Queue) -> Result<(), LinkError> {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        // A refusal closes the channel: each has its own.
        let channel = patiently(self.connection.create_channel()).await?;
        let arguments = table(&queue.arguments);
        patiently(channel.queue_declare(queue.name.as_str().into(), options, arguments)).await?;
        patiently(channel.close(200, "done".into())).await
    }

    /// Declares a queue of this connection's own, which goes with it, bound to an exchange if one is
    /// given.
    pub async fn declare_own(&self, name: &str, exchange: Option<&str>) -> Result<(), LinkError> {
        let options = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(200_000));
        let channel = patiently(self.connection.create_channel()).await?;
        patiently(channel.queue_declare(name.into(), options, arguments)).await?;
        if let Some(exchange) = exchange {
            let (options, table) = (QueueBindOptions::default(), FieldTable::default());
            let bound = channel.queue_bind(name.into(), exchange.into(), "".into(), options, table);
            patiently(bound).await?;
        }
        patiently(channel.close(200, "done".into())).await
    }

    /// Deletes a queue; nothing happens if there is none.
    pub async fn delete_queue(&self, name: &str) -> Result<(), LinkError> {
        let channel = patiently(self.connection.create_channel()).await?;
        patiently(channel.queue_delete(name.into(), QueueDeleteOptions::default())).await?;
        patiently(channel.close(200, "done".into())).await
    }

    /// Publishes, `mandatory`. Messages go out in the order of the calls. This does not wait until the
    /// message is written, which would cost a turn of the connection's task for each; whoever publishes many
    /// waits for the confirms of some before it goes on.
    pub async fn publish(&self, message: Outgoing<'_>) -> Result<Pending, LinkError> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = basic_properties(&message.properties, message.also);
        let exchange = ShortString::from(message.address.exchange.as_str());
        let routing_key = ShortString::from(message.address.routing_key.as_str());
        let (channel, body) = (self.publishing.clone(), message.body.to_vec());
        let mut writing: Writing = Box::pin(async move {
            let published =
                channel.basic_publish(exchange, routing_key, options, &body, properties);
            published.await
        });
        // The library gives a message its place when it is first asked.
        let begun = poll_fn(|context| Poll::Ready(writing.as_mut().poll(context))).await;
        match begun {
            Poll::Ready(written) => Ok(Pending(Stage::Written(written?))),
            Poll::Pending => Ok(Pending(Stage::Queued(writing))),
        }
    }

    /// How much is in a queue, and how many consume it.
    pub async fn depth(&self, queue: &str) -> Result<Depth, LinkError> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let channel = patiently(self.connection.create_channel()).await?;
        let table = FieldTable::default();
        let found = patiently(channel.queue_declare(queue.into(), options, table)).await?;
        let depth = Depth {
            ready: found.message_count(),
            consumers: found.consumer_count(),
        };
        patiently(channel.close(200, "done".into())).await?;
        Ok(depth)
    }

    /// Takes what is in a queue into the hand, one after the other.
    pub async fn inspect(&self, queue: &str) -> Result<Inspection, LinkError> {
        Ok(Inspection {
            channel: patiently(self.connection.create_channel()).await?,
            queue: queue.to_owned(),
        })
    }

    /// Consumes a queue, on a channel of its own, with so many unsettled deliveries at most.
    pub async fn consume(&self, queue: &str, prefetch: u16) -> Result<Subscription, LinkError> {
        let channel = patiently(self.connection.create_channel()).await?;
        patiently(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let (tag, arguments) = (ShortString::from(""), FieldTable::default());
        let consume = BasicConsumeOptions::default();
        let consumer =
            patiently(channel.basic_consume(queue.into(), tag, consume, arguments)).await?;
        Ok(Subscription { channel, consumer })
    }
}

fn note_drift(result: Result<(), LinkError>, drift: &mut Vec<String>) -> Result<(), LinkError> {
    match result {
        Err(LinkError::Drift(text)) => drift.push(text),
        other => other?,
    }
    Ok(())
}

/// Messages of a queue in an operator's hand. What is not [acknowledged](Self::ack) goes back to its place
/// at the end.
#[derive(Debug)]
pub struct Inspection {
    channel: Channel,
    queue: String,
}

impl Inspection {
    /// The next one, if there is one.
    pub async fn next(&mut self) -> Result<Option<Incoming>, LinkError> {
        let options = BasicGetOptions::default();
        let got = self.channel.basic_get(self.queue.as_str().into(), options);
        let got = patiently(got).await?;
        Ok(got.map(|got| incoming(got.delivery)))
    }

    /// It is not to go back.
    pub async fn ack(&self, tag: DeliveryTag) -> Result<(), LinkError> {
        patiently(self.channel.basic_ack(tag.0, BasicAckOptions::default())).await
    }

    /// The end.
    pub async fn end(self) -> Result<(), LinkError> {
        patiently(self.channel.close(200, "done".into())).await
    }
}

/// Deliveries from one queue.
#[derive(Debug)]
pub struct Subscription {
    channel: Channel,
    consumer: lapin::Consumer,
}

impl Subscription {
    /// The next one. Cancelling the call loses nothing. An error is the end.
    pub async fn next(&mut self) -> Result<Incoming, LinkError> {
        match self.consumer.next().await {
            Some(Ok(delivery)) => Ok(incoming(delivery)),
            Some(Err(error)) => Err(error.into()),
            None => Err(LinkError::Closed(
                "the broker ended the consumer".to_owned(),
            )),
        }
    }

    /// It was dealt with, and all before it if `Multiple`.
    pub async fn ack(&self, tag: DeliveryTag, reach: Reach) -> Result<(), LinkError> {
        let multiple = reach == Reach::UpTo;
        patiently(self.channel.basic_ack(tag.0, BasicAckOptions { multiple })).await
    }

    /// Changes how many unsettled deliveries there may be.
    pub async fn set_prefetch(&self, prefetch: u16) -> Result<(), LinkError> {
        patiently(self.channel.basic_qos(prefetch, BasicQosOptions::default())).await
    }

    /// Ends it: what is not settled goes back, to others or later.
    pub async fn cancel(self) -> Result<(), LinkError> {
        // The channel ends at once, and not the consumer first: another consumer would get what comes later
        // while what came earlier is still here.
        patiently(self.channel.close(200, "done".into())).await
    }
}

fn incoming(delivery: LapinDelivery) -> Incoming {
    let properties = &delivery.properties;
    let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let headers = properties.headers().as_ref();
    let header = |name: &str| headers.and_then(|headers| headers.inner().get(name));
    let sender = header(SENDER_HEADER).and_then(|value| match value {
        AMQPValue::LongString(name) => BrokerUser::parse(&name.to_string()),
        _ => None,
    });
    Incoming {
        tag: DeliveryTag(delivery.delivery_tag),
        redelivered: delivery.redelivered,
        delivery_count: header("x-delivery-count").map_or(0, count),
        user_id: text(properties.user_id()),
        sender,
        was_dead_lettered: header("x-death").is_some(),
        reply_to: text(properties.reply_to()),
        correlation_id: text(properties.correlation_id()),
        routing_key: delivery.routing_key.as_str().to_owned(),
        body: delivery.data,
    }
}

/// A number as brokers write it, in whichever width.
fn count(value: &AMQPValue) -> u32 {
    let number = match value {
        AMQPValue::LongLongInt(number) => *number,
        AMQPValue::LongInt(number) => i64::from(*number),
        AMQPValue::ShortInt(number) => i64::from(*number),
        AMQPValue::ShortShortInt(number) => i64::from(*number),
        AMQPValue::ShortShortUInt(number) => i64::from(*number),
        _ => 0,
    };
    u32::try_from(number).unwrap_or(0)
}

fn table(arguments: &Arguments) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Value::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Value::Number(number) => AMQPValue::LongLongInt(*number),
            Value::Flag(flag) => AMQPValue::Boolean(*flag),
        };
        table.insert((*name).into(), value);
    }
    table
}

fn basic_properties(properties: &Properties, also: &[String]) -> BasicProperties {
    let mut basic = BasicProperties::default()
        .with_type(properties.kind.as_str().into())
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(properties.delivery_mode.number())
        .with_timestamp(properties.timestamp)
        .with_app_id(properties.app_id.as_str().into());
    if let Some(id) = &properties.message_id {
        basic = basic.with_message_id(id.as_str().into());
    }
    if let Some(id) = &properties.correlation_id {
        basic = basic.with_correlation_id(id.as_str().into());
    }
    if let Some(queue) = &properties.reply_to {
        basic = basic.with_reply_to(queue.as_str().into());
    }
    if let Some(user) = &properties.user_id {
        basic = basic.with_user_id(user.as_str().into());
    }
    if let Some(time) = properties.expiration {
        basic = basic.with_expiration(time.as_millis().to_string().into());
    }
    let mut headers = FieldTable::default();
    if let Some(conversation) = &properties.conversation {
        let value = AMQPValue::LongString(conversation.as_str().into());
        headers.insert(CONVERSATION_HEADER.into(), value);
    }
    if let Some(seq) = properties.seq {
        let seq = i64::try_from(seq.0).unwrap_or(i64::MAX);
        headers.insert(SEQ_HEADER.into(), AMQPValue::LongLongInt(seq));
    }
    if let Some(sender) = &properties.sender {
        let value = AMQPValue::LongString(sender.name().into());
        headers.insert(SENDER_HEADER.into(), value);
    }
    if !also.is_empty() {
        let queues = also
            .iter()
            .map(|queue| AMQPValue::LongString(queue.as_str().into()));
        let queues = FieldArray::from(queues.collect::<Vec<_>>());
        headers.insert("BCC".into(), AMQPValue::FieldArray(queues));
    }
    basic.with_headers(headers)
}
