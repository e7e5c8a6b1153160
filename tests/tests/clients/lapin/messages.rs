//! lapin: publishing and consuming.

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use lapin::message::DeliveryResult;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
    BasicQosOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Consumer, ExchangeKind};

use super::{
    body, closed, connected, exchange_on, filled_queue, get, next, publish, queue_on, refused,
    table, take, take_all, without_exchange,
};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    publish_every_property,
    publish_a_body_of_many_frames,
    publish_to_a_missing_exchange,
    publish_immediate_is_refused,
    confirms_of_routed_and_unroutable_messages,
    confirms_refuse_what_overflows,
    get_messages,
    consume_and_cancel,
    consume_with_a_delegate,
    consume_with_every_option,
    consume_exclusively,
    cancel_by_the_broker_is_notified,
    qos_for_each_consumer_and_for_the_channel,
    direct_reply_to,
];

fn headers() -> FieldTable {
    let array = vec![
        AMQPValue::LongInt(1),
        AMQPValue::LongString("two".into()),
        AMQPValue::Void,
    ];
    let deep = table(&[(
        "deeper",
        AMQPValue::FieldArray(FieldArray::from(array.clone())),
    )]);
    table(&[
        ("boolean", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-7)),
        ("u8", AMQPValue::ShortShortUInt(200)),
        ("i16", AMQPValue::ShortInt(-3000)),
        ("u16", AMQPValue::ShortUInt(60_000)),
        ("i32", AMQPValue::LongInt(-2_000_000_000)),
        ("u32", AMQPValue::LongUInt(4_000_000_000)),
        ("i64", AMQPValue::LongLongInt(1 << 40)),
        ("float", AMQPValue::Float(0.25)),
        ("double", AMQPValue::Double(3.5)),
        (
            "decimal",
            AMQPValue::DecimalValue(DecimalValue {
                scale: 2,
                value: 325,
            }),
        ),
        ("text", AMQPValue::LongString("grüße".into())),
        ("timestamp", AMQPValue::Timestamp(1_790_000_000)),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
        ("void", AMQPValue::Void),
        ("array", AMQPValue::FieldArray(FieldArray::from(array))),
        ("table", AMQPValue::FieldTable(deep)),
    ])
}

async fn publish_every_property(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let queue = queue_on(&channel, FieldTable::default()).await?;
    let sent = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers())
        .with_delivery_mode(2)
        .with_priority(9)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_expiration("60000".into())
        .with_message_id("message".into())
        .with_timestamp(1_790_000_000)
        .with_type("kind".into())
        .with_user_id("guest".into())
        .with_app_id("application".into())
        .with_cluster_id("cluster".into());
    let options = BasicPublishOptions::default();
    channel
        .basic_publish("".into(), queue.clone(), options, b"body", sent.clone())
        .await?;
    let received = get(&channel, &queue).await?;
    assert_eq!(
        (
            &received.delivery.properties,
            body(&received.delivery)?.as_str()
        ),
        (&sent, "body")
    );
    closed(connection).await
}

async fn publish_a_body_of_many_frames(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let long = "a body of many frames ".repeat(50_000);
    let queue = filled_queue(&connection, &[&long, ""]).await?;
    let channel = connection.create_channel().await?;
    assert_eq!(take_all(&channel, &queue).await?, [long, String::new()]);
    closed(connection).await
}

async fn publish_to_a_missing_exchange(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    publish(&channel, &fresh("missing"), "key", "lost").await?;
    let options = QueueDeclareOptions::exclusive();
    refused(
        404,
        channel
            .queue_declare("".into(), options, FieldTable::default())
            .await,
    )?;
    closed(connection).await
}

async fn publish_immediate_is_refused(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let options = BasicPublishOptions {
        immediate: true,
        ..Default::default()
    };
    let properties = BasicProperties::default();
    channel
        .basic_publish(
            "".into(),
            "key".into(),
            options,
            b"now or never",
            properties,
        )
        .await?;
    let options = QueueDeclareOptions::exclusive();
    refused(
        540,
        channel
            .queue_declare("".into(), options, FieldTable::default())
            .await,
    )
}

async fn confirms_of_routed_and_unroutable_messages(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    ensure!(!channel.status().confirm());
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    ensure!(channel.status().confirm());
    let queue = queue_on(&channel, FieldTable::default()).await?;
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let mut confirms = Vec::new();
    for _number in 0..20 {
        let properties = BasicProperties::default();
        let sent = channel.basic_publish(
            "".into(),
            queue.clone(),
            mandatory,
            b"one of many",
            properties,
        );
        confirms.push(sent.await?);
    }
    for confirm in confirms {
        assert_eq!(confirm.await?, Confirmation::Ack(None));
    }
    assert_eq!(take_all(&channel, &queue).await?.len(), 20);
    let missing = ShortString::from(fresh("missing"));
    let properties = BasicProperties::default().with_message_id("returned".into());
    let sent = channel.basic_publish(
        "".into(),
        missing.clone(),
        mandatory,
        b"come back",
        properties,
    );
    let confirmation = sent.await?.await?;
    ensure!(confirmation.is_ack());
    let returned = confirmation.take_message().context("nothing came back")?;
    assert_eq!(
        (returned.reply_code, returned.reply_text.as_str()),
        (312, "NO_ROUTE")
    );
    assert_eq!(
        (&returned.routing_key, body(&returned)?.as_str()),
        (&missing, "come back")
    );
    drop(publish_unroutable(&channel, mandatory).await?);
    assert_eq!(channel.wait_for_confirms().await?.len(), 1);
    closed(connection).await
}

async fn publish_unroutable(
    channel: &Channel,
    options: BasicPublishOptions,
) -> lapin::Result<lapin::PublisherConfirm> {
    let (key, properties) = (fresh("missing").into(), BasicProperties::default());
    channel
        .basic_publish("".into(), key, options, b"come back", properties)
        .await
}

async fn confirms_refuse_what_overflows(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let arguments = table(&[
        ("x-max-length", AMQPValue::LongInt(1)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ]);
    let queue = queue_on(&channel, arguments).await?;
    for fits in [true, false] {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let sent = channel.basic_publish("".into(), queue.clone(), options, b"message", properties);
        let confirmation = sent.await?.await?;
        assert_eq!(
            (confirmation.is_ack(), confirmation.is_nack()),
            (fits, !fits)
        );
    }
    assert_eq!(take_all(&channel, &queue).await?.len(), 1);
    closed(connection).await
}

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
