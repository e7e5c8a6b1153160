//! lapin: publishing and its confirms.

use anyhow::{Context as _, ensure};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};

use super::{body, closed, connected, filled_queue, get, queue_on, refused, table, take_all};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    publish_every_property,
    publish_a_body_of_many_frames,
    publish_to_a_missing_exchange,
    publish_immediate_is_refused,
    confirms_of_routed_and_unroutable_messages,
    confirms_refuse_what_overflows,
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
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let (to, options) = (fresh("missing").into(), BasicPublishOptions::default());
    let properties = BasicProperties::default();
    let sent = channel
        .basic_publish(to, "key".into(), options, b"lost", properties)
        .await?;
    refused(404, sent.await)?;
    closed(connection).await
}

async fn publish_immediate_is_refused(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let options = BasicPublishOptions {
        immediate: true,
        ..Default::default()
    };
    let properties = BasicProperties::default();
    let sent = channel.basic_publish(
        "".into(),
        "key".into(),
        options,
        b"now or never",
        properties,
    );
    refused(540, sent.await?.await)
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
