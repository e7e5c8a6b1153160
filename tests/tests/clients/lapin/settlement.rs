//! lapin: settling messages, one and many; transactions.

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicRecoverAsyncOptions,
    BasicRecoverOptions, BasicRejectOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::{
    body, closed, connected, exchange_on, filled_queue, get, next, publish, queue_on, refused,
    table, take, take_all, without_exchange,
};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    ack_one_and_many,
    nack_one_and_many,
    reject_to_a_dead_letter_exchange,
    recover_and_recover_async,
    ack_of_an_unknown_tag,
    transaction_commit_and_rollback,
];

async fn tags(channel: &Channel, queue: &ShortString, count: usize) -> anyhow::Result<Vec<u64>> {
    let mut tags = Vec::new();
    for _ in 0..count {
        tags.push(get(channel, queue).await?.delivery_tag);
    }
    Ok(tags)
}

async fn ack_one_and_many(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["1", "2", "3", "4", "5"]).await?;
    let channel = connection.create_channel().await?;
    let tags = tags(&channel, &queue, 5).await?;
    channel
        .basic_ack(tags[0], BasicAckOptions::default())
        .await?;
    channel
        .basic_ack(tags[2], BasicAckOptions { multiple: true })
        .await?;
    channel.close(200, "the rest goes back".into()).await?;
    let channel = connection.create_channel().await?;
    assert_eq!(take_all(&channel, &queue).await?, ["4", "5"]);
    closed(connection).await
}

async fn nack_one_and_many(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["1", "2", "3", "4"]).await?;
    let channel = connection.create_channel().await?;
    let first = get(&channel, &queue).await?;
    ensure!(first.nack(BasicNackOptions::default()).await?);
    let tags = tags(&channel, &queue, 3).await?;
    channel
        .basic_nack(
            tags[1],
            BasicNackOptions {
                multiple: true,
                requeue: true,
            },
        )
        .await?;
    let again = get(&channel, &queue).await?;
    assert_eq!((again.redelivered, body(&again)?.as_str()), (true, "2"));
    channel
        .basic_nack(
            0,
            BasicNackOptions {
                multiple: true,
                requeue: false,
            },
        )
        .await?;
    assert_eq!(take_all(&channel, &queue).await?, ["3"]);
    closed(connection).await
}

async fn reject_to_a_dead_letter_exchange(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let dead_letters = exchange_on(&channel, ExchangeKind::Fanout).await?;
    let graveyard = queue_on(&channel, FieldTable::default()).await?;
    let options = QueueBindOptions::default();
    let (from, arguments) = (dead_letters.clone(), FieldTable::default());
    channel
        .queue_bind(graveyard.clone(), from, "".into(), options, arguments)
        .await?;
    let to = AMQPValue::LongString(dead_letters.as_str().into());
    let queue = queue_on(&channel, table(&[("x-dead-letter-exchange", to)])).await?;
    publish(&channel, "", queue.as_str(), "twice").await?;
    let first = get(&channel, &queue).await?;
    ensure!(first.reject(BasicRejectOptions { requeue: true }).await?);
    let again = get(&channel, &queue).await?;
    ensure!(again.redelivered);
    channel
        .basic_reject(again.delivery_tag, BasicRejectOptions { requeue: false })
        .await?;
    let options = BasicConsumeOptions {
        no_ack: true,
        ..Default::default()
    };
    let arguments = FieldTable::default();
    let mut buried = channel
        .basic_consume(graveyard, "".into(), options, arguments)
        .await?;
    let dead = next(&mut buried).await?;
    assert_eq!(body(&dead)?, "twice");
    let headers = dead.properties.headers().clone().context("no headers")?;
    let deaths = headers.inner().get("x-death").context("no x-death")?;
    let deaths = deaths.as_array().context("x-death is no array")?;
    let death = deaths.as_slice()[0]
        .as_field_table()
        .context("a death is no table")?;
    let reason = AMQPValue::LongString("rejected".into());
    let origin = AMQPValue::LongString(queue.as_str().into());
    assert_eq!(death.inner().get("reason"), Some(&reason));
    assert_eq!(death.inner().get("queue"), Some(&origin));
    without_exchange(&channel, dead_letters).await?;
    closed(connection).await
}

async fn recover_and_recover_async(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["one", "two"]).await?;
    let channel = connection.create_channel().await?;
    tags(&channel, &queue, 2).await?;
    channel
        .basic_recover(BasicRecoverOptions { requeue: true })
        .await?;
    let again = get(&channel, &queue).await?;
    assert_eq!((again.redelivered, body(&again)?.as_str()), (true, "one"));
    channel
        .basic_recover_async(BasicRecoverAsyncOptions { requeue: true })
        .await?;
    assert_eq!(take_all(&channel, &queue).await?, ["one", "two"]);
    closed(connection).await
}

async fn ack_of_an_unknown_tag(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let queue = queue_on(&channel, FieldTable::default()).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel
        .basic_consume(queue, "".into(), options, arguments)
        .await?;
    channel.basic_ack(99, BasicAckOptions::default()).await?;
    refused(406, consumer.next().await.context("the consumer ended")?)?;
    closed(connection).await
}

async fn transaction_commit_and_rollback(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let (channel, observer) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let name = ShortString::from(fresh("queue"));
    let (options, arguments) = (QueueDeclareOptions::durable(), FieldTable::default());
    channel
        .queue_declare(name.clone(), options, arguments)
        .await?;
    channel.tx_select().await?;
    publish(&channel, "", name.as_str(), "rolled back").await?;
    channel.tx_rollback().await?;
    publish(&channel, "", name.as_str(), "committed").await?;
    assert_eq!(take(&observer, &name).await?, None);
    channel.tx_commit().await?;
    let message = get(&channel, &name).await?;
    assert_eq!(body(&message)?, "committed");
    message.ack(BasicAckOptions::default()).await?;
    channel.tx_commit().await?;
    channel.close(200, "nothing goes back".into()).await?;
    assert_eq!(take(&observer, &name).await?, None);
    observer
        .queue_delete(name, QueueDeleteOptions::default())
        .await?;
    closed(connection).await
}
