//! amqprs: settling messages, one and many; transactions.

use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicNackArguments, BasicRejectArguments, Channel,
    QueueBindArguments, QueueDeclareArguments, QueueDeleteArguments,
};
use amqprs::{FieldTable, FieldValue};
use anyhow::{Context as _, bail, ensure};

use super::{
    Told, ack, connected, exchange_on, filled_queue, get, line_on, publish, queue_on, table, take,
    take_all, text, without_exchange,
};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    ack_one_and_many,
    nack_one_and_many,
    reject_to_a_dead_letter_exchange,
    recover,
    ack_of_an_unknown_tag,
    transaction_commit_and_rollback,
];

async fn tags(channel: &Channel, queue: &str, count: usize) -> anyhow::Result<Vec<u64>> {
    let mut tags = Vec::new();
    for _ in 0..count {
        tags.push(get(channel, queue).await?.tag);
    }
    Ok(tags)
}

async fn ack_one_and_many(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["1", "2", "3", "4", "5"]).await?;
    let line = line_on(&connection).await?;
    let tags = tags(&line.channel, &queue, 5).await?;
    ack(&line.channel, tags[0]).await?;
    line.channel
        .basic_ack(BasicAckArguments::new(tags[2], true))
        .await?;
    line.channel.close().await?;
    let line = line_on(&connection).await?;
    assert_eq!(take_all(&line.channel, &queue).await?, ["4", "5"]);
    Ok(connection.close().await?)
}

async fn nack_one_and_many(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["1", "2", "3", "4"]).await?;
    let line = line_on(&connection).await?;
    let tags = tags(&line.channel, &queue, 4).await?;
    line.channel
        .basic_nack(BasicNackArguments::new(tags[0], false, false))
        .await?;
    line.channel
        .basic_nack(BasicNackArguments::new(tags[2], true, true))
        .await?;
    let again = get(&line.channel, &queue).await?;
    assert_eq!((again.redelivered, again.body.as_str()), (true, "2"));
    line.channel
        .basic_nack(BasicNackArguments::new(0, true, false))
        .await?;
    assert_eq!(take_all(&line.channel, &queue).await?, ["3"]);
    Ok(connection.close().await?)
}

async fn reject_to_a_dead_letter_exchange(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let line = line_on(&connection).await?;
    let channel = &line.channel;
    let dead_letters = exchange_on(channel, "fanout").await?;
    let graveyard = queue_on(channel, FieldTable::new()).await?;
    channel
        .queue_bind(QueueBindArguments::new(&graveyard, &dead_letters, ""))
        .await?;
    let arguments = table(vec![("x-dead-letter-exchange", text(&dead_letters)?)])?;
    let queue = queue_on(channel, arguments).await?;
    publish(channel, "", &queue, "twice").await?;
    let first = get(channel, &queue).await?;
    channel
        .basic_reject(BasicRejectArguments::new(first.tag, true))
        .await?;
    let again = get(channel, &queue).await?;
    ensure!(again.redelivered);
    channel
        .basic_reject(BasicRejectArguments::new(again.tag, false))
        .await?;
    let how = BasicConsumeArguments::new(&graveyard, "");
    let (_, mut buried) = channel.basic_consume_rx(how).await?;
    let dead = buried.recv().await.context("the consumer ended")?;
    assert_eq!(dead.content.as_deref(), Some(&b"twice"[..]));
    let properties = dead.basic_properties.context("no properties")?;
    let headers = properties.headers().context("no headers")?;
    let Some(FieldValue::A(deaths)) = headers.get(&"x-death".try_into()?) else {
        bail!("no x-death in {headers}")
    };
    let deaths: Vec<FieldValue> = deaths.clone().into();
    let Some(FieldValue::F(death)) = deaths.first() else {
        bail!("no table in {deaths:?}")
    };
    assert_eq!(death.get(&"queue".try_into()?), Some(&text(&queue)?));
    assert_eq!(death.get(&"reason".try_into()?), Some(&text("rejected")?));
    without_exchange(channel, &dead_letters).await?;
    Ok(connection.close().await?)
}

async fn recover(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["one", "two"]).await?;
    let line = line_on(&connection).await?;
    tags(&line.channel, &queue, 2).await?;
    line.channel.basic_recover(true).await?;
    let again = get(&line.channel, &queue).await?;
    assert_eq!((again.redelivered, again.body.as_str()), (true, "one"));
    Ok(connection.close().await?)
}

async fn ack_of_an_unknown_tag(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    ack(&line.channel, 99).await?;
    assert_eq!(line.next().await?, Told::Closed(406));
    Ok(connection.close().await?)
}

async fn transaction_commit_and_rollback(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let (line, observer) = (line_on(&connection).await?, line_on(&connection).await?);
    let queue = fresh("queue");
    line.channel
        .queue_declare(QueueDeclareArguments::durable_client_named(&queue))
        .await?;
    line.channel.tx_select().await?;
    publish(&line.channel, "", &queue, "rolled back").await?;
    line.channel.tx_rollback().await?;
    publish(&line.channel, "", &queue, "committed").await?;
    assert_eq!(take(&observer.channel, &queue).await?, None);
    line.channel.tx_commit().await?;
    let message = get(&line.channel, &queue).await?;
    assert_eq!(message.body, "committed");
    ack(&line.channel, message.tag).await?;
    line.channel.tx_commit().await?;
    line.channel.close().await?;
    assert_eq!(take(&observer.channel, &queue).await?, None);
    observer
        .channel
        .queue_delete(QueueDeleteArguments::new(&queue))
        .await?;
    Ok(connection.close().await?)
}
