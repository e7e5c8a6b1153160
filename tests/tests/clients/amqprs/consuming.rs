//! amqprs: getting and consuming.

use amqprs::channel::{
    BasicCancelArguments, BasicConsumeArguments, BasicGetArguments, BasicPublishArguments,
    BasicQosArguments, Channel, QueueBindArguments, QueueDeclareArguments, QueueDeleteArguments,
};
use amqprs::consumer::{BlockingConsumer, DefaultBlockingConsumer, DefaultConsumer};
use amqprs::{BasicProperties, Deliver, FieldTable, FieldValue};
use anyhow::{Context as _, ensure};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    Collector, Delivered, Told, ack, connected, exchange_on, filled_queue, line_on, publish,
    queue_on, table, take, take_all, without_exchange,
};
use crate::native::{Stage, Verb, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    get_messages,
    consume_and_cancel,
    consume_with_a_receiver,
    consume_blocking,
    consume_with_every_option,
    consume_exclusively,
    cancel_by_the_broker_is_notified,
    qos_for_each_consumer_and_for_the_channel,
    direct_reply_to,
];

async fn get_messages(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let line = line_on(&connection).await?;
    let channel = &line.channel;
    let exchange = exchange_on(channel, "fanout").await?;
    let queue = queue_on(channel, FieldTable::new()).await?;
    ensure!(
        channel
            .basic_get(BasicGetArguments::new(&queue))
            .await?
            .is_none()
    );
    channel
        .queue_bind(QueueBindArguments::new(&queue, &exchange, ""))
        .await?;
    publish(channel, &exchange, "key", "one").await?;
    publish(channel, &exchange, "key", "two").await?;
    let got = channel.basic_get(BasicGetArguments::new(&queue)).await?;
    let (ok, _, body) = got.context("the queue is empty")?;
    assert_eq!(
        (ok.exchange(), ok.routing_key().as_str()),
        (&exchange, "key")
    );
    assert_eq!(
        (ok.message_count(), ok.redelivered(), body.as_slice()),
        (1, false, &b"one"[..])
    );
    ack(channel, ok.delivery_tag()).await?;
    assert_eq!(take_all(channel, &queue).await?, ["two"]);
    without_exchange(channel, &exchange).await?;
    Ok(connection.close().await?)
}

async fn consume(
    channel: &Channel,
    how: BasicConsumeArguments,
) -> anyhow::Result<(String, UnboundedReceiver<Delivered>)> {
    let (sender, deliveries) = unbounded_channel();
    Ok((
        channel.basic_consume(Collector(sender), how).await?,
        deliveries,
    ))
}

async fn consume_and_cancel(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["one", "two", "three"]).await?;
    let line = line_on(&connection).await?;
    line.channel
        .basic_qos(BasicQosArguments::new(0, 2, false))
        .await?;
    let how = BasicConsumeArguments::new(&queue, "mine")
        .manual_ack(true)
        .finish();
    let (tag, mut deliveries) = consume(&line.channel, how).await?;
    assert_eq!(tag, "mine");
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(
            deliveries
                .recv()
                .await
                .context("the consumer ended")?
                .deliver,
        );
    }
    assert_eq!(
        (held[0].consumer_tag().as_str(), held[0].delivery_tag()),
        ("mine", 1)
    );
    line.channel
        .basic_cancel(BasicCancelArguments::new("mine"))
        .await?;
    ack(&line.channel, held[0].delivery_tag()).await?;
    ack(&line.channel, held[1].delivery_tag()).await?;
    assert_eq!(take_all(&line.channel, &queue).await?, ["three"]);
    let how = BasicConsumeArguments::new(&queue, "unheard")
        .no_wait(true)
        .finish();
    line.channel
        .basic_consume(DefaultConsumer::new(true), how)
        .await?;
    line.channel
        .basic_cancel(BasicCancelArguments::new("unheard").no_wait(true).finish())
        .await?;
    Ok(connection.close().await?)
}

async fn consume_with_a_receiver(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["one", "two"]).await?;
    let line = line_on(&connection).await?;
    let how = BasicConsumeArguments::new(&queue, "");
    let (tag, mut messages) = line.channel.basic_consume_rx(how).await?;
    for wanted in ["one", "two"] {
        let message = messages.recv().await.context("the consumer ended")?;
        assert_eq!(message.content.as_deref(), Some(wanted.as_bytes()));
        ack(
            &line.channel,
            message.deliver.context("no delivery")?.delivery_tag(),
        )
        .await?;
    }
    line.channel
        .basic_cancel(BasicCancelArguments::new(&tag))
        .await?;
    Ok(connection.close().await?)
}

/// Settles in the consumer's own thread.
struct Blocking(UnboundedSender<Vec<u8>>);

impl BlockingConsumer for Blocking {
    fn consume(&mut self, channel: &Channel, what: Deliver, _: BasicProperties, body: Vec<u8>) {
        use amqprs::channel::{BasicAckArguments, BasicNackArguments, BasicRejectArguments};
        let tag = what.delivery_tag();
        let settled = match body.as_slice() {
            b"acked" => channel.basic_ack_blocking(BasicAckArguments::new(tag, false)),
            b"nacked" => channel.basic_nack_blocking(BasicNackArguments::new(tag, false, false)),
            _ => channel.basic_reject_blocking(BasicRejectArguments::new(tag, false)),
        };
        if settled.is_ok() {
            self.0.send(body).ok();
        }
    }
}

async fn consume_blocking(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let bodies = ["acked", "nacked", "rejected"];
    let queue = filled_queue(&connection, &bodies).await?;
    let line = line_on(&connection).await?;
    let (sender, mut settled) = unbounded_channel();
    let how = BasicConsumeArguments::new(&queue, "");
    let tag = line
        .channel
        .basic_consume_blocking(Blocking(sender), how)
        .await?;
    for wanted in bodies {
        assert_eq!(settled.recv().await.as_deref(), Some(wanted.as_bytes()));
    }
    line.channel
        .basic_cancel(BasicCancelArguments::new(&tag))
        .await?;
    let how = BasicConsumeArguments::new(&queue, "");
    line.channel
        .basic_consume_blocking(DefaultBlockingConsumer::new(false), how)
        .await?;
    let mut passive = QueueDeclareArguments::new(&queue);
    let left = line
        .channel
        .queue_declare(passive.passive(true).finish())
        .await?;
    assert_eq!(left, Some((queue, 0, 1)));
    Ok(connection.close().await?)
}

async fn consume_with_every_option(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let (low, high) = (line_on(&connection).await?, line_on(&connection).await?);
    let queue = queue_on(&low.channel, FieldTable::new()).await?;
    let mut how = BasicConsumeArguments::new(&queue, "");
    let how = how.no_local(true).auto_ack(true).finish();
    let (_, mut lower) = consume(&low.channel, how.clone()).await?;
    let priority = table(vec![("x-priority", FieldValue::I(5))])?;
    let (_, mut higher) = consume(&high.channel, how.clone().arguments(priority).finish()).await?;
    for _ in 0..4 {
        publish(&low.channel, "", &queue, "to the higher").await?;
    }
    for _ in 0..4 {
        higher.recv().await.context("the consumer ended")?;
    }
    ensure!(lower.try_recv().is_err());
    Ok(connection.close().await?)
}

async fn consume_exclusively(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let (owner, mut other) = (line_on(&connection).await?, line_on(&connection).await?);
    let queue = queue_on(&owner.channel, FieldTable::new()).await?;
    let how = BasicConsumeArguments::new(&queue, "")
        .exclusive(true)
        .finish();
    let _consumer = consume(&owner.channel, how).await?;
    let outcome = consume(&other.channel, BasicConsumeArguments::new(&queue, "")).await;
    other.refused(403, outcome).await?;
    Ok(connection.close().await?)
}

async fn cancel_by_the_broker_is_notified(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let queue = queue_on(&line.channel, FieldTable::new()).await?;
    let how = BasicConsumeArguments::new(&queue, "deleted under it");
    let _consumer = consume(&line.channel, how).await?;
    line.channel
        .queue_delete(QueueDeleteArguments::new(&queue))
        .await?;
    assert_eq!(
        line.next().await?,
        Told::Cancelled("deleted under it".to_owned())
    );
    Ok(connection.close().await?)
}

async fn qos_for_each_consumer_and_for_the_channel(stage: Stage) -> anyhow::Result<()> {
    for (global, wanted) in [(false, 4), (true, 2)] {
        let connection = connected(&stage).await?;
        let queue = filled_queue(&connection, &["message"; 10]).await?;
        let line = line_on(&connection).await?;
        let mut qos = BasicQosArguments::default();
        line.channel
            .basic_qos(qos.prefetch_count(2).global(global).finish())
            .await?;
        let (sender, mut deliveries) = unbounded_channel();
        for _ in 0..2 {
            let how = BasicConsumeArguments::new(&queue, "");
            line.channel
                .basic_consume(Collector(sender.clone()), how)
                .await?;
        }
        for _ in 0..wanted {
            deliveries.recv().await.context("the consumers ended")?;
        }
        let passive = QueueDeclareArguments::new(&queue).passive(true).finish();
        let left = line.channel.queue_declare(passive).await?;
        assert_eq!(left, Some((queue, 10 - wanted, 2)));
        connection.close().await?;
    }
    Ok(())
}

async fn direct_reply_to(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let (client, server) = (line_on(&connection).await?, line_on(&connection).await?);
    let questions = queue_on(&server.channel, FieldTable::new()).await?;
    let how = BasicConsumeArguments::new("amq.rabbitmq.reply-to", "")
        .auto_ack(true)
        .finish();
    let (_, mut answers) = consume(&client.channel, how).await?;
    let how = BasicConsumeArguments::new(&questions, "");
    let (_, mut asked) = consume(&server.channel, how).await?;
    let properties = BasicProperties::default()
        .with_reply_to("amq.rabbitmq.reply-to")
        .finish();
    let to = BasicPublishArguments::new("", &questions);
    client
        .channel
        .basic_publish(properties, b"question".to_vec(), to)
        .await?;
    let question = asked.recv().await.context("the consumer ended")?;
    let to = question
        .properties
        .reply_to()
        .context("nowhere to reply to")?;
    publish(&server.channel, "", to, "answer").await?;
    let answer = answers.recv().await.context("the consumer ended")?;
    assert_eq!(answer.body, b"answer");
    assert_eq!(take(&server.channel, &questions).await?, None);
    Ok(connection.close().await?)
}
