//! lapin: getting and consuming.

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use lapin::message::DeliveryResult;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
    BasicQosOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer, ExchangeKind};

use super::{
    body, closed, connected, exchange_on, filled_queue, get, next, publish, queue_on, refused,
    table, take, take_all, without_exchange,
};
use crate::native::{Stage, Verb, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    get_messages,
    consume_and_cancel,
    consume_with_a_delegate,
    consume_with_every_option,
    consume_exclusively,
    cancel_by_the_broker_is_notified,
    qos_for_each_consumer_and_for_the_channel,
    direct_reply_to,
];

async fn get_messages(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let exchange = exchange_on(&channel, ExchangeKind::Fanout).await?;
    let queue = queue_on(&channel, FieldTable::default()).await?;
    ensure!(
        channel
            .basic_get(queue.clone(), BasicGetOptions::default())
            .await?
            .is_none()
    );
    let options = QueueBindOptions::default();
    let (from, arguments) = (exchange.clone(), FieldTable::default());
    channel
        .queue_bind(queue.clone(), from, "".into(), options, arguments)
        .await?;
    publish(&channel, exchange.as_str(), "key", "one").await?;
    publish(&channel, exchange.as_str(), "key", "two").await?;
    let message = get(&channel, &queue).await?;
    assert_eq!(
        (&message.exchange, message.routing_key.as_str()),
        (&exchange, "key")
    );
    assert_eq!(
        (
            message.message_count,
            message.redelivered,
            message.delivery_tag
        ),
        (1, false, 1)
    );
    ensure!(message.acker.usable() && message.ack(BasicAckOptions::default()).await?);
    assert_eq!(take_all(&channel, &queue).await?, ["two"]);
    without_exchange(&channel, exchange).await?;
    closed(connection).await
}

async fn consume(
    channel: &Channel,
    queue: &ShortString,
    tag: &str,
    options: BasicConsumeOptions,
) -> lapin::Result<Consumer> {
    channel
        .basic_consume(queue.clone(), tag.into(), options, FieldTable::default())
        .await
}

async fn consume_and_cancel(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["one", "two", "three"]).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(2, BasicQosOptions::default()).await?;
    let mut consumer = consume(&channel, &queue, "mine", BasicConsumeOptions::default()).await?;
    assert_eq!(
        (consumer.tag().as_str(), consumer.queue()),
        ("mine", queue.clone())
    );
    let (first, second) = (next(&mut consumer).await?, next(&mut consumer).await?);
    assert_eq!((first.delivery_tag, second.delivery_tag), (1, 2));
    channel
        .basic_cancel("mine".into(), BasicCancelOptions::default())
        .await?;
    ensure!(consumer.next().await.is_none());
    first.ack(BasicAckOptions::default()).await?;
    second.ack(BasicAckOptions::default()).await?;
    assert_eq!(take_all(&channel, &queue).await?, ["three"]);
    let options = BasicConsumeOptions {
        nowait: true,
        ..Default::default()
    };
    consume(&channel, &queue, "unheard", options).await?;
    channel
        .basic_cancel("unheard".into(), BasicCancelOptions { nowait: true })
        .await?;
    closed(connection).await
}

async fn consume_with_a_delegate(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["one", "two"]).await?;
    let channel = connection.create_channel().await?;
    let consumer = consume(&channel, &queue, "", BasicConsumeOptions::default()).await?;
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    consumer.set_delegate(move |delivery: DeliveryResult| {
        let sender = sender.clone();
        async move {
            if let Ok(Some(delivery)) = delivery {
                let acked = delivery.ack(BasicAckOptions::default()).await;
                sender.send((delivery.data, acked.is_ok())).ok();
            }
        }
    });
    let mut bodies = Vec::new();
    for _ in 0..2 {
        bodies.push(received.recv().await.context("the delegate is gone")?);
    }
    bodies.sort();
    assert_eq!(bodies, [(b"one".to_vec(), true), (b"two".to_vec(), true)]);
    closed(connection).await
}

async fn consume_with_every_option(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let (low, high) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue_on(&low, FieldTable::default()).await?;
    let options = BasicConsumeOptions {
        no_local: true,
        no_ack: true,
        ..Default::default()
    };
    let _lower = consume(&low, &queue, "", options).await?;
    let arguments = table(&[("x-priority", AMQPValue::LongInt(5))]);
    let mut higher = high
        .basic_consume(queue.clone(), "".into(), options, arguments)
        .await?;
    for _ in 0..4 {
        publish(&low, "", queue.as_str(), "to the higher").await?;
    }
    for _ in 0..4 {
        assert_eq!(body(&next(&mut higher).await?)?, "to the higher");
    }
    closed(connection).await
}

async fn consume_exclusively(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let (owner, other) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue_on(&owner, FieldTable::default()).await?;
    let exclusive = BasicConsumeOptions {
        exclusive: true,
        ..Default::default()
    };
    let _consumer = consume(&owner, &queue, "", exclusive).await?;
    refused(
        403,
        consume(&other, &queue, "", BasicConsumeOptions::default()).await,
    )?;
    closed(connection).await
}

async fn cancel_by_the_broker_is_notified(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let queue = queue_on(&channel, FieldTable::default()).await?;
    let mut consumer = consume(&channel, &queue, "", BasicConsumeOptions::default()).await?;
    channel
        .queue_delete(queue, QueueDeleteOptions::default())
        .await?;
    ensure!(consumer.next().await.is_none());
    ensure!(channel.status().connected());
    closed(connection).await
}

async fn qos_for_each_consumer_and_for_the_channel(stage: Stage) -> anyhow::Result<()> {
    for (global, wanted) in [(false, 4), (true, 2)] {
        let connection = connected(&stage).await?;
        let queue = filled_queue(&connection, &["message"; 10]).await?;
        let channel = connection.create_channel().await?;
        channel.basic_qos(2, BasicQosOptions { global }).await?;
        let first = consume(&channel, &queue, "", BasicConsumeOptions::default()).await?;
        let second = consume(&channel, &queue, "", BasicConsumeOptions::default()).await?;
        let mut both = futures_util::stream::select(first, second);
        for _ in 0..wanted {
            both.next().await.context("a consumer ended")??;
        }
        let passive = QueueDeclareOptions::default().passive();
        let left = channel
            .queue_declare(queue, passive, FieldTable::default())
            .await?;
        assert_eq!(left.message_count(), 10 - wanted);
        closed(connection).await?;
    }
    Ok(())
}

async fn direct_reply_to(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let (client, server) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let questions = queue_on(&server, FieldTable::default()).await?;
    let options = BasicConsumeOptions {
        no_ack: true,
        ..Default::default()
    };
    let mut answers = consume(&client, &"amq.rabbitmq.reply-to".into(), "", options).await?;
    let properties = BasicProperties::default().with_reply_to("amq.rabbitmq.reply-to".into());
    let options = BasicPublishOptions::default();
    client
        .basic_publish(
            "".into(),
            questions.clone(),
            options,
            b"question",
            properties,
        )
        .await?;
    let mut asked = consume(&server, &questions, "", BasicConsumeOptions::default()).await?;
    let question = next(&mut asked).await?;
    let to = question
        .properties
        .reply_to()
        .clone()
        .context("nowhere to reply to")?;
    publish(&server, "", to.as_str(), "answer").await?;
    assert_eq!(body(&next(&mut answers).await?)?, "answer");
    ensure!(take(&server, &questions).await?.is_none());
    closed(connection).await
}
