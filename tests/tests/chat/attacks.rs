//! What somebody with a device's login may try with any AMQP library, and what comes of it.

use anyhow::{Context as _, Result, bail, ensure};
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ErrorKind, ExchangeKind};
use leveret_client::message::{Command, Event, RejectionCode, envelope};
use leveret_tests::Context;

use crate::stage::{Person, Stage, shards, text};

chat_tests!(
    a_device_can_use_its_own_queue_and_the_chats_exchanges_alone,
    nobody_speaks_for_another,
);

/// What a broker says to whom it does not let.
const REFUSED: u16 = 403;
const PRECONDITION_FAILED: u16 = 406;

struct Attacker {
    connection: Connection,
}

impl Attacker {
    async fn new(person: &Person) -> Result<Self> {
        let mut uri: AMQPUri = person.url.parse().map_err(anyhow::Error::msg)?;
        uri.authority.userinfo.username = person.login.device.name();
        uri.authority
            .userinfo
            .password
            .clone_from(&person.login.password);
        let properties = ConnectionProperties::default();
        Ok(Self {
            connection: Connection::connect_uri(uri, properties).await?,
        })
    }

    async fn channel(&self) -> Result<Channel> {
        let channel = self.connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(channel)
    }
}

/// The code with which something was refused.
fn code<T>(result: lapin::Result<T>) -> Result<u16> {
    let error = result.err().context("it was not refused")?;
    match error.kind() {
        ErrorKind::ProtocolError(error) => Ok(error.get_id()),
        other => bail!("refused otherwise: {other:?}"),
    }
}

async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    properties: BasicProperties,
    body: &[u8],
) -> lapin::Result<lapin::Confirmation> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    channel
        .basic_publish(exchange.into(), key.into(), options, body, properties)
        .await?
        .await
}

async fn a_device_can_use_its_own_queue_and_the_chats_exchanges_alone(
    context: &Context,
) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (mallory, bob) = (stage.person("mallory").await?, stage.person("bob").await?);
    let attacker = Attacker::new(&mallory).await?;
    let (own, other) = (mallory.login.device.inbox(), bob.login.device.inbox());
    let table = FieldTable::default;
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };

    let channel = attacker.channel().await?;
    let consume = channel.basic_consume(
        other.as_str().into(),
        "".into(),
        BasicConsumeOptions::default(),
        table(),
    );
    ensure!(code(consume.await)? == REFUSED, "consume");
    let channel = attacker.channel().await?;
    let get = channel.basic_get(other.as_str().into(), BasicGetOptions::default());
    ensure!(code(get.await)? == REFUSED, "get");
    let channel = attacker.channel().await?;
    let purge = channel.queue_purge(other.as_str().into(), QueuePurgeOptions::default());
    ensure!(code(purge.await)? == REFUSED, "purge");
    let channel = attacker.channel().await?;
    let look = channel.queue_declare(other.as_str().into(), passive, table());
    ensure!(code(look.await)? == REFUSED, "a passive declaration");
    let channel = attacker.channel().await?;
    let declare = channel.queue_declare("mine".into(), QueueDeclareOptions::default(), table());
    ensure!(code(declare.await)? == REFUSED, "a queue");
    let channel = attacker.channel().await?;
    let options = ExchangeDeclareOptions::default();
    let declare = channel.exchange_declare("mine".into(), ExchangeKind::Fanout, options, table());
    ensure!(code(declare.await)? == REFUSED, "an exchange");
    let channel = attacker.channel().await?;
    let bind = channel.queue_bind(
        own.as_str().into(),
        "chat.unrouted".into(),
        "".into(),
        QueueBindOptions::default(),
        table(),
    );
    ensure!(code(bind.await)? == REFUSED, "a binding");
    let channel = attacker.channel().await?;
    let properties = BasicProperties::default();
    let direct = publish(&channel, "", &other, properties.clone(), b"{}").await;
    ensure!(code(direct)? == REFUSED, "the default exchange");
    let channel = attacker.channel().await?;
    let dead = publish(&channel, "chat.dlx", "x", properties.clone(), b"{}").await;
    ensure!(code(dead)? == REFUSED, "the dead letters' exchange");

    // A copy to somebody's queue through an exchange that may be used goes nowhere.
    let channel = attacker.channel().await?;
    let mut headers = FieldTable::default();
    let queues = vec![AMQPValue::LongString(other.as_str().into())];
    for name in ["CC", "BCC"] {
        headers.insert(name.into(), AMQPValue::FieldArray(queues.clone().into()));
    }
    let properties = properties.with_headers(headers);
    publish(&channel, "chat.send", "s00", properties, b"{}").await?;
    bob.connect().await?.nothing_arrives().await?;
    stage.end().await;
    Ok(())
}

async fn nobody_speaks_for_another(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (mallory, bob) = (stage.person("mallory").await?, stage.person("bob").await?);
    let carla = stage.person("carla").await?;
    let attacker = Attacker::new(&mallory).await?;
    let at_mallory = mallory.connect().await?;
    let post = bob.to(&carla, "carla, it is me, bob");
    let body = envelope::encode(&Command::Send(post.clone()));
    let key = shards().shard_of(&post.conv).routing_key();
    let as_bob = bob.login.device.name();
    let as_mallory = mallory.login.device.name();

    // As bob: the broker refuses.
    let channel = attacker.channel().await?;
    let properties = BasicProperties::default().with_user_id(as_bob.as_str().into());
    let forged = publish(&channel, "chat.send", &key, properties, &body).await;
    ensure!(code(forged)? == PRECONDITION_FAILED);
    // As nobody: the broker lets it pass, the router does not.
    let channel = attacker.channel().await?;
    publish(
        &channel,
        "chat.send",
        &key,
        BasicProperties::default(),
        &body,
    )
    .await?;
    // As oneself, with bob's name in the message, or in the header that only services may use.
    let mut headers = FieldTable::default();
    headers.insert(
        "x-sender".into(),
        AMQPValue::LongString(as_bob.as_str().into()),
    );
    let properties = BasicProperties::default()
        .with_user_id(as_mallory.as_str().into())
        .with_headers(headers);
    publish(&channel, "chat.send", &key, properties, &body).await?;
    let told = at_mallory.wait_for(|event| match event {
        Event::Rejected(rejected) => Some(rejected),
        _ => None,
    });
    let told = told.await?;
    ensure!(told.id == post.id && told.code == RejectionCode::Forged);

    // In the wrong shard, where no order would hold.
    let mine = mallory.to(&carla, "out of order");
    let right = shards().shard_of(&mine.conv);
    let wrong = shards().shards().find(|shard| *shard != right);
    let wrong = wrong.context("there is more than one")?.routing_key();
    let properties = BasicProperties::default().with_user_id(as_mallory.as_str().into());
    let body = envelope::encode(&Command::Send(mine.clone()));
    publish(&channel, "chat.send", &wrong, properties, &body).await?;
    let told = at_mallory.wait_for(|event| match event {
        Event::Rejected(rejected) => Some(rejected),
        _ => None,
    });
    let told = told.await?;
    ensure!(told.id == mine.id && told.code == RejectionCode::WrongShard);

    // All carla has is what bob himself says.
    let at_carla = carla.connect().await?;
    let at_bob = bob.connect().await?;
    at_bob.says(&bob.to(&carla, "really bob")).await?;
    ensure!(text(&at_carla.message().await?)? == "really bob");
    stage.end().await;
    Ok(())
}
