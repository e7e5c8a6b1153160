//! AMQP, against the embedded broker and RabbitMQ alike. The one file of the client that knows the
//! AMQP library.
//!
//! One connection, two channels: one publishes with confirms, one consumes the device's inbox and the
//! answers to requests. Nothing is declared, since a device has no right to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lapin::message::Delivery as LapinDelivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::runtime::default_runtime;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{AckToken, Arrived, ClientTransport, ConnectError, Connector, TransportError};
use crate::message::properties::{
    Address, BrokerUser, CONTENT_TYPE, CONVERSATION_HEADER, DIRECT_REPLY_TO, Properties,
    REQUEST_EXCHANGE, REQUEST_KEY, SENDER_HEADER, SEQ_HEADER,
};
use crate::message::{
    Command, Delivery, Event, MessageId, Reply, Request, ShardCount, Timestamp, envelope,
};
use crate::trust::Trust;

/// Events on their way to a client that has not acknowledged them.
const PREFETCH: u16 = 200;
/// For everything that should be answered at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a confirm; then the post is sent again.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(5);

/// Where to connect, and as whom.
#[derive(Clone)]
pub struct AmqpOptions {
    /// `amqp://host:port/virtual-host`, or `amqps://…` for TLS; a user and password in it are not used.
    pub url: String,
    /// The device.
    pub user: BrokerUser,
    /// The device's password for the broker.
    pub password: String,
    /// How many send shards the service has.
    pub shards: ShardCount,
}

impl std::fmt::Debug for AmqpOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AmqpOptions")
            .field("user", &self.user)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

/// Connects a device over AMQP.
#[derive(Clone, Debug)]
pub struct AmqpConnector {
    options: AmqpOptions,
    uri: AMQPUri,
    trust: Trust,
}

impl AmqpConnector {
    /// With these options; an error says what is wrong with the URL.
    pub fn new(options: AmqpOptions) -> Result<Self, String> {
        let mut uri: AMQPUri = options.url.parse()?;
        uri.authority.userinfo.username = options.user.name();
        uri.authority
            .userinfo
            .password
            .clone_from(&options.password);
        Ok(Self {
            options,
            uri,
            trust: Trust::system(),
        })
    }

    /// The same, with others who may vouch for the broker.
    #[must_use]
    pub fn trusting(mut self, trust: &Trust) -> Self {
        self.trust = trust.clone();
        self
    }

    fn unreachable(&self, reason: impl ToString) -> ConnectError {
        ConnectError::Unreachable {
            peer: self.peer(),
            reason: reason.to_string(),
        }
    }

    fn connect_error(&self, error: &lapin::Error) -> ConnectError {
        let (peer, reason) = (self.peer(), error.to_string());
        match error.kind() {
            ErrorKind::ProtocolError(amqp) => match amqp.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => {
                    ConnectError::Forgotten { peer, reason }
                }
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                    ConnectError::Denied { peer, reason }
                }
                AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => self.unreachable(reason),
            },
            _ => self.unreachable(reason),
        }
    }

    async fn open(&self) -> Result<Amqp, lapin::Error> {
        let properties =
            ConnectionProperties::default().with_connection_name(self.options.user.name().into());
        let tls = OwnedTLSConfig {
            identity: None,
            cert_chain: self.trust.own_pem(),
        };
        let (uri, runtime) = (self.uri.clone(), default_runtime()?);
        let connection = Connection::connect_uri_with_config(uri, properties, tls, runtime).await?;
        let publishing = connection.create_channel().await?;
        publishing
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let consuming = connection.create_channel().await?;
        consuming
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let inbox = self.options.user.inbox();
        let events = consume(&consuming, &inbox, BasicConsumeOptions::default()).await?;
        let no_ack = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        // Direct reply-to wants requests on the channel that consumes the answers.
        let asking = connection.create_channel().await?;
        let answers = consume(&asking, DIRECT_REPLY_TO, no_ack).await?;
        let waiting = Waiting::default();
        Ok(Amqp {
            options: self.options.clone(),
            connection,
            publishing,
            asking,
            consuming,
            events: tokio::sync::Mutex::new(events),
            reader: tokio::spawn(read_answers(answers, waiting.clone())),
            waiting,
        })
    }
}

async fn consume(
    channel: &Channel,
    queue: &str,
    options: BasicConsumeOptions,
) -> Result<Consumer, lapin::Error> {
    let table = FieldTable::default();
    channel
        .basic_consume(queue.into(), ShortString::from(""), options, table)
        .await
}

#[async_trait]
impl Connector for AmqpConnector {
    async fn connect(&self) -> Result<Box<dyn ClientTransport>, ConnectError> {
        match timeout(PATIENCE, self.open()).await {
            Ok(Ok(transport)) => Ok(Box::new(transport)),
            Ok(Err(error)) => Err(self.connect_error(&error)),
            Err(_) => Err(self.unreachable("no answer in time")),
        }
    }

    fn peer(&self) -> String {
        let (scheme, authority) = (&self.uri.scheme, &self.uri.authority);
        format!(
            "{scheme}://{}:{}/{}",
            authority.host, authority.port, self.uri.vhost
        )
    }
}

/// Requests without an answer yet.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Vec<u8>>>>>;

async fn read_answers(mut answers: Consumer, waiting: Waiting) {
    while let Some(Ok(answer)) = answers.next().await {
        let correlation = answer.properties.correlation_id().as_ref();
        let request = correlation.and_then(|id| waiting.lock().remove(id.as_str()));
        if let Some(request) = request {
            // Whoever asked may have given up.
            let _ = request.send(answer.data);
        }
    }
    // Nobody is answered any more.
    waiting.lock().clear();
}

#[derive(Debug)]
struct Amqp {
    options: AmqpOptions,
    connection: Connection,
    publishing: Channel,
    asking: Channel,
    consuming: Channel,
    events: tokio::sync::Mutex<Consumer>,
    reader: JoinHandle<()>,
    waiting: Waiting,
}

impl Drop for Amqp {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn closed(error: lapin::Error) -> TransportError {
    TransportError::Closed(error.to_string())
}

impl Amqp {
    async fn publish(
        &self,
        channel: &Channel,
        address: &Address,
        properties: &Properties,
        body: &[u8],
    ) -> Result<Confirmation, TransportError> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let published = channel.basic_publish(
            address.exchange.as_str().into(),
            address.routing_key.as_str().into(),
            options,
            body,
            basic_properties(properties),
        );
        let confirmed = async { published.await?.await };
        match timeout(CONFIRM_PATIENCE, confirmed).await {
            Ok(confirmation) => confirmation.map_err(closed),
            Err(_) => Err(TransportError::TimedOut),
        }
    }
}

#[async_trait]
impl ClientTransport for Amqp {
    async fn hand_over(&self, command: &Command) -> Result<(), TransportError> {
        let address = Address::of(command, self.options.shards);
        let properties = Properties::of(command, &self.options.user.name(), Timestamp::now());
        let body = envelope::encode(command);
        let confirmation = self
            .publish(&self.publishing, &address, &properties, &body)
            .await?;
        match confirmation {
            Confirmation::Ack(None) | Confirmation::NotRequested => Ok(()),
            Confirmation::Nack(_) => Err(TransportError::Busy),
            Confirmation::Ack(Some(returned)) => {
                Err(TransportError::Unroutable(returned.reply_text.to_string()))
            }
        }
    }

    async fn ask(&self, request: &Request) -> Result<Reply, TransportError> {
        let now = Timestamp::now();
        let correlation = MessageId::new(now);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(correlation.to_string(), sender);
        let forget = Forget(&self.waiting, correlation);
        let address = Address {
            exchange: REQUEST_EXCHANGE.to_owned(),
            routing_key: REQUEST_KEY.to_owned(),
        };
        let properties = Properties::of_request(&correlation, &self.options.user.name(), now);
        let body = envelope::encode(request);
        self.publish(&self.asking, &address, &properties, &body)
            .await?;
        let answer = timeout(PATIENCE, answer)
            .await
            .map_err(|_| TransportError::TimedOut)?
            .map_err(|_| TransportError::Closed("the answers ended".to_owned()))?;
        drop(forget);
        envelope::decode(&answer).map_err(|error| TransportError::Unreadable(error.reason))
    }

    async fn next(&self) -> Result<Arrived, TransportError> {
        let mut events = self.events.lock().await;
        match events.next().await {
            Some(Ok(delivery)) => Ok(arrived(&delivery)),
            Some(Err(error)) => Err(closed(error)),
            None => Err(TransportError::Closed("the inbox ended".to_owned())),
        }
    }

    fn keeps_events(&self) -> bool {
        true
    }

    async fn acknowledge(&self, token: AckToken) -> Result<(), TransportError> {
        let up_to = BasicAckOptions { multiple: true };
        self.consuming
            .basic_ack(token.0, up_to)
            .await
            .map_err(closed)
    }

    async fn close(&self) {
        // It may be closed already, which is as good.
        let _ = timeout(PATIENCE, self.connection.close(200, "bye".into())).await;
    }
}

/// Takes a request out of the list when it is over, however it ends.
struct Forget<'a>(&'a Waiting, MessageId);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1.to_string());
    }
}

fn arrived(delivery: &LapinDelivery) -> Arrived {
    // What cannot be read is skipped like what is not known: it was checked by the service.
    let event = envelope::decode::<Delivery>(&delivery.data)
        .map(|delivery| delivery.event)
        .unwrap_or_else(|error| {
            tracing::warn!(reason = error.reason, "an event that cannot be read");
            Event::Unknown
        });
    Arrived {
        event,
        redelivered: delivery.redelivered,
        token: AckToken(delivery.delivery_tag),
    }
}

fn basic_properties(properties: &Properties) -> BasicProperties {
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
    basic.with_headers(headers)
}
