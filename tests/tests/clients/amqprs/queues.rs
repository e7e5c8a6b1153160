//! amqprs: queues and their bindings.

use amqprs::channel::{
    BasicCancelArguments, BasicConsumeArguments, ExchangeBindArguments, ExchangeDeclareArguments,
    ExchangeDeleteArguments, ExchangeUnbindArguments, QueueBindArguments, QueueDeclareArguments,
    QueueDeleteArguments, QueuePurgeArguments, QueueUnbindArguments,
};
use amqprs::consumer::DefaultConsumer;
use amqprs::{BasicProperties, FieldTable, FieldValue};
use anyhow::{Context as _, ensure};

use super::{
    bind, connected, exchange_on, filled_queue, get, line_on, passive_exchange, passive_queue,
    publish, queue_on, table, take, take_all, text, without_exchange,
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
    topology_without_waiting_for_answers,
];

async fn queue_declare_with_every_flag(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let name = fresh("queue");
    let arguments = table(vec![
        ("x-message-ttl", FieldValue::I(60_000)),
        ("x-max-length", FieldValue::l(10)),
        ("x-max-priority", FieldValue::B(5)),
    ])?;
    let mut declare = QueueDeclareArguments::durable_client_named(&name);
    let declare = declare.auto_delete(true).arguments(arguments).finish();
    let ok = line.channel.queue_declare(declare).await?;
    assert_eq!(ok, Some((name.clone(), 0, 0)));
    let consume = BasicConsumeArguments::new(&name, "");
    let tag = line
        .channel
        .basic_consume(DefaultConsumer::new(false), consume)
        .await?;
    let ok = line.channel.queue_declare(passive_queue(&name)).await?;
    assert_eq!(ok, Some((name.clone(), 0, 1)));
    line.channel
        .basic_cancel(BasicCancelArguments::new(&tag))
        .await?;
    let outcome = line.channel.queue_declare(passive_queue(&name)).await;
    line.refused(404, outcome).await?;
    Ok(connection.close().await?)
}

async fn queue_declare_passive_counts_messages(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["one", "two", "three"]).await?;
    let line = line_on(&connection).await?;
    let ok = line.channel.queue_declare(passive_queue(&queue)).await?;
    assert_eq!(ok, Some((queue, 3, 0)));
    Ok(connection.close().await?)
}

async fn queue_declare_named_by_the_server(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let line = line_on(&connection).await?;
    let declare = QueueDeclareArguments::exclusive_server_named;
    let first = line
        .channel
        .queue_declare(declare())
        .await?
        .context("no answer")?
        .0;
    let second = line
        .channel
        .queue_declare(declare())
        .await?
        .context("no answer")?
        .0;
    ensure!(first.starts_with("amq.gen-") && first != second);
    publish(&line.channel, "", &second, "to the last one").await?;
    assert_eq!(
        take(&line.channel, "").await?.as_deref(),
        Some("to the last one")
    );
    Ok(connection.close().await?)
}

async fn queue_declare_inequivalent(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let ttl = |milliseconds| table(vec![("x-message-ttl", FieldValue::I(milliseconds))]);
    let queue = queue_on(&line.channel, ttl(1000)?).await?;
    let mut changed = QueueDeclareArguments::new(&queue);
    let changed = changed.exclusive(true).arguments(ttl(2000)?).finish();
    let outcome = line.channel.queue_declare(changed).await;
    line.refused(406, outcome).await?;
    Ok(connection.close().await?)
}

async fn queue_declare_exclusive_to_the_connection(stage: Stage) -> anyhow::Result<()> {
    let (owner, other) = (connected(&stage).await?, connected(&stage).await?);
    let owning = line_on(&owner).await?;
    let queue = queue_on(&owning.channel, FieldTable::new()).await?;
    let mut line = line_on(&other).await?;
    let outcome = line.channel.queue_declare(passive_queue(&queue)).await;
    line.refused(405, outcome).await?;
    owner.close().await?;
    let mut line = line_on(&other).await?;
    let outcome = line.channel.queue_declare(passive_queue(&queue)).await;
    line.refused(404, outcome).await?;
    Ok(other.close().await?)
}

async fn queue_bind_and_unbind(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let channel = line.channel.clone();
    let exchange = exchange_on(&channel, "topic").await?;
    let queue = queue_on(&channel, FieldTable::new()).await?;
    bind(&channel, &queue, &exchange, "#.error").await?;
    bind(&channel, &queue, &exchange, "#.error").await?;
    publish(&channel, &exchange, "disk.error", "bound").await?;
    assert_eq!(take_all(&channel, &queue).await?, ["bound"]);
    channel
        .queue_unbind(QueueUnbindArguments::new(&queue, &exchange, "#.error"))
        .await?;
    publish(&channel, &exchange, "disk.error", "unbound").await?;
    assert_eq!(take(&channel, &queue).await?, None);
    without_exchange(&channel, &exchange).await?;
    let outcome = bind(&channel, &queue, &fresh("missing"), "key").await;
    line.refused(404, outcome).await?;
    Ok(connection.close().await?)
}

async fn queue_bind_by_headers(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let line = line_on(&connection).await?;
    let exchange = exchange_on(&line.channel, "headers").await?;
    let queue = queue_on(&line.channel, FieldTable::new()).await?;
    let wanted = vec![
        ("x-match", text("all")?),
        ("format", text("pdf")?),
        ("pages", FieldValue::I(3)),
    ];
    let mut bound = QueueBindArguments::new(&queue, &exchange, "");
    line.channel
        .queue_bind(bound.arguments(table(wanted)?).finish())
        .await?;
    for pages in [3, 4] {
        let headers = table(vec![
            ("format", text("pdf")?),
            ("pages", FieldValue::l(pages)),
        ])?;
        let properties = BasicProperties::default().with_headers(headers).finish();
        let to = amqprs::channel::BasicPublishArguments::new(&exchange, "");
        line.channel
            .basic_publish(properties, pages.to_string().into_bytes(), to)
            .await?;
    }
    assert_eq!(take_all(&line.channel, &queue).await?, ["3"]);
    without_exchange(&line.channel, &exchange).await?;
    Ok(connection.close().await?)
}

async fn queue_purge(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let queue = filled_queue(&connection, &["one", "two", "three"]).await?;
    let line = line_on(&connection).await?;
    get(&line.channel, &queue).await?;
    let purged = line
        .channel
        .queue_purge(QueuePurgeArguments::new(&queue))
        .await?;
    assert_eq!(
        (purged, take(&line.channel, &queue).await?),
        (Some(2), None)
    );
    Ok(connection.close().await?)
}

async fn queue_delete(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let missing = QueueDeleteArguments::new(&fresh("missing"));
    assert_eq!(line.channel.queue_delete(missing).await?, Some(0));
    let queue = filled_queue(&connection, &["one", "two"]).await?;
    let if_empty = QueueDeleteArguments::new(&queue).if_empty(true).finish();
    let outcome = line.channel.queue_delete(if_empty).await;
    line.refused(406, outcome).await?;
    let mut busy = line_on(&connection).await?;
    let consume = BasicConsumeArguments::new(&queue, "busy");
    let (_tag, receiver) = busy.channel.basic_consume_rx(consume).await?;
    let if_unused = QueueDeleteArguments::new(&queue).if_unused(true).finish();
    let outcome = busy.channel.queue_delete(if_unused).await;
    busy.refused(406, outcome).await?;
    drop(receiver);
    let mut line = line_on(&connection).await?;
    assert_eq!(
        line.channel
            .queue_delete(QueueDeleteArguments::new(&queue))
            .await?,
        Some(2)
    );
    let outcome = line.channel.queue_declare(passive_queue(&queue)).await;
    line.refused(404, outcome).await?;
    Ok(connection.close().await?)
}

async fn topology_without_waiting_for_answers(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let channel = line.channel.clone();
    let [source, destination, queue] = ["source", "destination", "queue"].map(fresh);
    for (name, kind) in [(&source, "topic"), (&destination, "fanout")] {
        let mut declare = ExchangeDeclareArguments::new(name, kind);
        channel
            .exchange_declare(declare.no_wait(true).finish())
            .await?;
    }
    let mut declare = QueueDeclareArguments::new(&queue);
    assert_eq!(
        channel
            .queue_declare(declare.exclusive(true).no_wait(true).finish())
            .await?,
        None
    );
    let mut bound = ExchangeBindArguments::new(&destination, &source, "#");
    channel.exchange_bind(bound.no_wait(true).finish()).await?;
    let mut bound = QueueBindArguments::new(&queue, &destination, "");
    channel.queue_bind(bound.no_wait(true).finish()).await?;
    publish(&channel, &source, "a.b", "purged").await?;
    let mut purge = QueuePurgeArguments::new(&queue);
    purge.no_wait = true;
    assert_eq!(channel.queue_purge(purge).await?, None);
    publish(&channel, &source, "a.b", "kept").await?;
    assert_eq!(take_all(&channel, &queue).await?, ["kept"]);
    let mut unbound = ExchangeUnbindArguments::new(&destination, &source, "#");
    channel
        .exchange_unbind(unbound.no_wait(true).finish())
        .await?;
    for name in [&source, &destination] {
        let mut delete = ExchangeDeleteArguments::new(name);
        channel
            .exchange_delete(delete.no_wait(true).finish())
            .await?;
    }
    let mut delete = QueueDeleteArguments::new(&queue);
    assert_eq!(
        channel.queue_delete(delete.no_wait(true).finish()).await?,
        None
    );
    let outcome = channel.exchange_declare(passive_exchange(&source)).await;
    line.refused(404, outcome).await?;
    Ok(connection.close().await?)
}
