//! lapin: queues and their bindings.

use anyhow::ensure;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, ShortString};
use lapin::{BasicProperties, ExchangeKind};

use super::{
    bind, closed, connected, exchange_on, filled_queue, get, plain, publish, queue_on, refused,
    table, take, take_all, without_exchange,
};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    queue_declare_with_every_flag,
    queue_declare_passive_counts_messages,
    queue_declare_named_by_the_server,
    queue_declare_inequivalent,
    queue_declare_exclusive_to_the_connection,
    queue_bind_and_unbind,
    queue_bind_by_headers,
    queue_purge,
    queue_delete,
    queues_without_waiting_for_answers,
];

async fn queue_declare_with_every_flag(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let name = ShortString::from(fresh("queue"));
    let arguments = table(&[
        ("x-message-ttl", AMQPValue::LongInt(60_000)),
        ("x-max-length", AMQPValue::LongLongInt(10)),
        ("x-max-priority", AMQPValue::ShortShortUInt(5)),
    ]);
    let options = QueueDeclareOptions::durable().auto_delete();
    let queue = channel
        .queue_declare(name.clone(), options, arguments)
        .await?;
    assert_eq!(
        (queue.name(), queue.message_count(), queue.consumer_count()),
        (&name, 0, 0)
    );
    let consuming = BasicConsumeOptions::default();
    let consumer = channel
        .basic_consume(name.clone(), "".into(), consuming, plain())
        .await?;
    let passive = QueueDeclareOptions::default().passive();
    let queue = channel
        .queue_declare(name.clone(), passive, plain())
        .await?;
    assert_eq!(queue.consumer_count(), 1);
    channel
        .basic_cancel(consumer.tag(), BasicCancelOptions::default())
        .await?;
    refused(404, channel.queue_declare(name, passive, plain()).await)?;
    closed(connection).await
}

async fn queue_declare_passive_counts_messages(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["one", "two", "three"]).await?;
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions::default().passive();
    assert_eq!(
        channel
            .queue_declare(queue, passive, plain())
            .await?
            .message_count(),
        3
    );
    closed(connection).await
}

async fn queue_declare_named_by_the_server(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let exclusive = QueueDeclareOptions::exclusive();
    let first = channel.queue_declare("".into(), exclusive, plain()).await?;
    let second = channel.queue_declare("".into(), exclusive, plain()).await?;
    ensure!(first.name().as_str().starts_with("amq.gen-") && first.name() != second.name());
    publish(&channel, "", second.name().as_str(), "to the last one").await?;
    assert_eq!(
        take(&channel, &"".into()).await?.as_deref(),
        Some("to the last one")
    );
    closed(connection).await
}

async fn queue_declare_inequivalent(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let queue = queue_on(
        &channel,
        table(&[("x-message-ttl", AMQPValue::LongInt(1000))]),
    )
    .await?;
    let changed = table(&[("x-message-ttl", AMQPValue::LongInt(2000))]);
    let exclusive = QueueDeclareOptions::exclusive();
    refused(406, channel.queue_declare(queue, exclusive, changed).await)?;
    closed(connection).await
}

async fn queue_declare_exclusive_to_the_connection(stage: Stage) -> anyhow::Result<()> {
    let (owner, other) = (connected(&stage).await?, connected(&stage).await?);
    let owning = owner.create_channel().await?;
    let queue = queue_on(&owning, plain()).await?;
    let passive = QueueDeclareOptions::default().passive();
    let channel = other.create_channel().await?;
    refused(
        405,
        channel.queue_declare(queue.clone(), passive, plain()).await,
    )?;
    closed(owner).await?;
    let channel = other.create_channel().await?;
    refused(404, channel.queue_declare(queue, passive, plain()).await)?;
    closed(other).await
}

async fn queue_bind_and_unbind(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let exchange = exchange_on(&channel, ExchangeKind::Topic).await?;
    let queue = queue_on(&channel, plain()).await?;
    bind(&channel, &queue, &exchange, "#.error").await?;
    bind(&channel, &queue, &exchange, "#.error").await?;
    publish(&channel, exchange.as_str(), "disk.error", "bound").await?;
    assert_eq!(take_all(&channel, &queue).await?, ["bound"]);
    channel
        .queue_unbind(queue.clone(), exchange.clone(), "#.error".into(), plain())
        .await?;
    publish(&channel, exchange.as_str(), "disk.error", "unbound").await?;
    assert_eq!(take(&channel, &queue).await?, None);
    without_exchange(&channel, exchange).await?;
    refused(
        404,
        bind(&channel, &queue, &fresh("missing").into(), "key").await,
    )?;
    closed(connection).await
}

async fn queue_bind_by_headers(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let exchange = exchange_on(&channel, ExchangeKind::Headers).await?;
    let queue = queue_on(&channel, plain()).await?;
    let format = ("format", AMQPValue::LongString("pdf".into()));
    let wanted = table(&[
        ("x-match", AMQPValue::LongString("all".into())),
        format.clone(),
        ("pages", AMQPValue::LongInt(3)),
    ]);
    let options = QueueBindOptions::default();
    channel
        .queue_bind(queue.clone(), exchange.clone(), "".into(), options, wanted)
        .await?;
    for pages in [3_i64, 4] {
        let headers = table(&[format.clone(), ("pages", AMQPValue::LongLongInt(pages))]);
        let properties = BasicProperties::default().with_headers(headers);
        let body = pages.to_string();
        let (to, options) = (exchange.clone(), BasicPublishOptions::default());
        channel
            .basic_publish(to, "".into(), options, body.as_bytes(), properties)
            .await?;
    }
    assert_eq!(take_all(&channel, &queue).await?, ["3"]);
    without_exchange(&channel, exchange).await?;
    closed(connection).await
}

async fn queue_purge(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["one", "two", "three"]).await?;
    let channel = connection.create_channel().await?;
    get(&channel, &queue).await?;
    let purged = channel
        .queue_purge(queue.clone(), QueuePurgeOptions::default())
        .await?;
    assert_eq!((purged, take(&channel, &queue).await?), (2, None));
    closed(connection).await
}

async fn queue_delete(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let always = QueueDeleteOptions::default();
    assert_eq!(
        channel
            .queue_delete(fresh("missing").into(), always)
            .await?,
        0
    );
    let queue = filled_queue(&connection, &["one", "two"]).await?;
    let if_empty = QueueDeleteOptions {
        if_empty: true,
        ..Default::default()
    };
    refused(406, channel.queue_delete(queue.clone(), if_empty).await)?;
    let busy = connection.create_channel().await?;
    let consuming = BasicConsumeOptions::default();
    let consumer = busy
        .basic_consume(queue.clone(), "busy".into(), consuming, plain())
        .await?;
    let if_unused = QueueDeleteOptions {
        if_unused: true,
        ..Default::default()
    };
    refused(406, busy.queue_delete(queue.clone(), if_unused).await)?;
    drop(consumer);
    let channel = connection.create_channel().await?;
    assert_eq!(channel.queue_delete(queue.clone(), always).await?, 2);
    let passive = QueueDeclareOptions::default().passive();
    refused(404, channel.queue_declare(queue, passive, plain()).await)?;
    closed(connection).await
}

async fn queues_without_waiting_for_answers(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let queue = ShortString::from(fresh("queue"));
    let exchange = exchange_on(&channel, ExchangeKind::Fanout).await?;
    let options = QueueDeclareOptions {
        exclusive: true,
        nowait: true,
        ..Default::default()
    };
    channel
        .queue_declare(queue.clone(), options, plain())
        .await?;
    let options = QueueBindOptions { nowait: true };
    let from = exchange.clone();
    channel
        .queue_bind(queue.clone(), from, "".into(), options, plain())
        .await?;
    publish(&channel, exchange.as_str(), "", "bound").await?;
    assert_eq!(take_all(&channel, &queue).await?, ["bound"]);
    let options = QueueDeleteOptions {
        nowait: true,
        ..Default::default()
    };
    channel.queue_delete(queue.clone(), options).await?;
    without_exchange(&channel, exchange).await?;
    let passive = QueueDeclareOptions::default().passive();
    refused(404, channel.queue_declare(queue, passive, plain()).await)?;
    closed(connection).await
}
