//! amqprs: publishing and consuming.

use amqprs::channel::{
    BasicCancelArguments, BasicConsumeArguments, BasicGetArguments, BasicPublishArguments,
    BasicQosArguments, Channel, ConfirmSelectArguments, QueueBindArguments, QueueDeclareArguments,
    QueueDeleteArguments,
};
use amqprs::consumer::{BlockingConsumer, DefaultBlockingConsumer, DefaultConsumer};
use amqprs::{
    BasicProperties, ByteArray, DecimalValue, Deliver, FieldArray, FieldTable, FieldValue,
};
use anyhow::{Context as _, ensure};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    Collector, Delivered, Told, ack, connected, exchange_on, filled_queue, get, line_on, publish,
    queue_on, table, take, take_all, text, without_exchange,
};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    publish_every_property,
    publish_a_body_of_many_frames,
    publish_returns_an_unroutable_message,
    publish_to_a_missing_exchange,
    confirms_of_many_messages,
    confirms_refuse_what_overflows,
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

fn headers() -> anyhow::Result<FieldTable> {
    let array: FieldArray = vec![FieldValue::I(1), text("two")?, FieldValue::V].try_into()?;
    let bytes: ByteArray = vec![0, 255].try_into()?;
    let deep = table(vec![("deeper", FieldValue::A(array.clone()))])?;
    table(vec![
        ("boolean", FieldValue::t(true)),
        ("i8", FieldValue::b(-7)),
        ("u8", FieldValue::B(200)),
        ("i16", FieldValue::s(-3000)),
        ("u16", FieldValue::u(60_000)),
        ("i32", FieldValue::I(-2_000_000_000)),
        ("u32", FieldValue::i(4_000_000_000)),
        ("i64", FieldValue::l(1 << 40)),
        ("float", FieldValue::f(0.25)),
        ("double", FieldValue::d(3.5)),
        ("decimal", FieldValue::D(DecimalValue::new(2, 325))),
        ("text", text("grüße")?),
        ("timestamp", FieldValue::T(1_790_000_000)),
        ("bytes", FieldValue::x(bytes)),
        ("void", FieldValue::V),
        ("array", FieldValue::A(array)),
        ("table", FieldValue::F(deep)),
    ])
}

async fn publish_every_property(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let line = line_on(&connection).await?;
    let queue = queue_on(&line.channel, FieldTable::new()).await?;
    let sent = BasicProperties::default()
        .with_content_type("text/plain")
        .with_content_encoding("utf-8")
        .with_headers(headers()?)
        .with_persistence(true)
        .with_priority(9)
        .with_correlation_id("correlation")
        .with_reply_to("reply")
        .with_expiration("60000")
        .with_message_id("message")
        .with_timestamp(1_790_000_000)
        .with_message_type("kind")
        .with_user_id("guest")
        .with_app_id("application")
        .with_cluster_id("cluster")
        .finish();
    let to = BasicPublishArguments::new("", &queue);
    line.channel
        .basic_publish(sent.clone(), b"body".to_vec(), to)
        .await?;
    let held = get(&line.channel, &queue).await?;
    assert_eq!(
        (held.body.as_str(), held.properties.headers()),
        ("body", sent.headers())
    );
    let rest = |properties: &BasicProperties| {
        let mut rest = properties.clone();
        // A map in no order, compared above.
        format!("{:?}", rest.with_headers(FieldTable::new()))
    };
    assert_eq!(rest(&held.properties), rest(&sent));
    Ok(connection.close().await?)
}

async fn publish_a_body_of_many_frames(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let long = "a body of many frames ".repeat(50_000);
    let queue = filled_queue(&connection, &[&long, "next"]).await?;
    let line = line_on(&connection).await?;
    assert_eq!(
        take_all(&line.channel, &queue).await?,
        [long.as_str(), "next"]
    );
    Ok(connection.close().await?)
}

async fn publish_returns_an_unroutable_message(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let mut to = BasicPublishArguments::new("", &fresh("missing"));
    let (properties, body) = (BasicProperties::default(), b"come back".to_vec());
    line.channel
        .basic_publish(properties, body.clone(), to.mandatory(true).finish())
        .await?;
    assert_eq!(
        line.next().await?,
        Told::Returned(312, "NO_ROUTE".to_owned(), body)
    );
    Ok(connection.close().await?)
}

async fn publish_to_a_missing_exchange(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    publish(&line.channel, &fresh("missing"), "key", "lost").await?;
    assert_eq!(line.next().await?, Told::Closed(404));
    let _line = line_on(&connection).await?;
    Ok(connection.close().await?)
}

async fn confirms_of_many_messages(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    line.channel
        .confirm_select(ConfirmSelectArguments::new(false))
        .await?;
    let queue = queue_on(&line.channel, FieldTable::new()).await?;
    for number in 0..20 {
        publish(&line.channel, "", &queue, &number.to_string()).await?;
    }
    publish(
        &line.channel,
        "",
        &fresh("missing"),
        "dropped, and confirmed",
    )
    .await?;
    let mut open: Vec<u64> = (1..=21).collect();
    while !open.is_empty() {
        match line.next().await? {
            Told::Acked(tag, multiple) => {
                open.retain(|&own| own != tag && !(multiple && own < tag))
            }
            other => anyhow::bail!("expected a confirm, got {other:?}"),
        }
    }
    assert_eq!(take_all(&line.channel, &queue).await?.len(), 20);
    Ok(connection.close().await?)
}

async fn confirms_refuse_what_overflows(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    line.channel
        .confirm_select(ConfirmSelectArguments::new(true))
        .await?;
    let limit = vec![
        ("x-max-length", FieldValue::I(1)),
        ("x-overflow", text("reject-publish")?),
    ];
    let queue = queue_on(&line.channel, table(limit)?).await?;
    publish(&line.channel, "", &queue, "fits").await?;
    assert_eq!(line.next().await?, Told::Acked(1, false));
    publish(&line.channel, "", &queue, "does not fit").await?;
    // Whether it says "this and all before" makes no difference here.
    let told = line.next().await?;
    ensure!(
        matches!(told, Told::Nacked(2, _)),
        "expected a refusal, got {told:?}"
    );
    assert_eq!(take_all(&line.channel, &queue).await?, ["fits"]);
    Ok(connection.close().await?)
}

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
