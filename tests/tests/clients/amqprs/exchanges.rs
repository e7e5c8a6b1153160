//! amqprs: exchanges and what is bound to them.

use amqprs::FieldTable;
use amqprs::channel::{
    ExchangeBindArguments, ExchangeDeclareArguments, ExchangeDeleteArguments, ExchangeType,
    ExchangeUnbindArguments, QueueUnbindArguments,
};

use super::{
    bind, connected, exchange_on, line_on, passive_exchange, publish, queue_on, table, take, text,
    without_exchange,
};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    exchange_declare_of_every_type,
    exchange_declare_passive,
    exchange_declare_internal_with_alternate,
    exchange_declare_auto_delete,
    exchange_declare_inequivalent,
    exchange_delete,
    exchange_bind_and_unbind,
];

async fn exchange_declare_of_every_type(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let line = line_on(&connection).await?;
    let kinds = [
        ExchangeType::Direct,
        ExchangeType::Fanout,
        ExchangeType::Topic,
        ExchangeType::Headers,
        ExchangeType::Plugin("direct".to_owned()),
    ];
    for kind in kinds {
        let name = fresh("exchange");
        let declare = ExchangeDeclareArguments::of_type(&name, kind)
            .durable(true)
            .finish();
        line.channel.exchange_declare(declare.clone()).await?;
        line.channel.exchange_declare(declare).await?;
        without_exchange(&line.channel, &name).await?;
    }
    Ok(connection.close().await?)
}

async fn exchange_declare_passive(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let exchange = exchange_on(&line.channel, "topic").await?;
    line.channel
        .exchange_declare(passive_exchange(&exchange))
        .await?;
    without_exchange(&line.channel, &exchange).await?;
    let outcome = line
        .channel
        .exchange_declare(passive_exchange(&exchange))
        .await;
    line.refused(404, outcome).await?;
    Ok(connection.close().await?)
}

async fn exchange_declare_internal_with_alternate(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let line = line_on(&connection).await?;
    let channel = &line.channel;
    let (alternate, exchange) = (fresh("alternate"), fresh("exchange"));
    let mut declare = ExchangeDeclareArguments::new(&alternate, "fanout");
    channel
        .exchange_declare(declare.internal(true).finish())
        .await?;
    let queue = queue_on(channel, FieldTable::new()).await?;
    bind(channel, &queue, &alternate, "").await?;
    let arguments = table(vec![("alternate-exchange", text(&alternate)?)])?;
    let mut declare = ExchangeDeclareArguments::new(&exchange, "direct");
    channel
        .exchange_declare(declare.arguments(arguments).finish())
        .await?;
    publish(channel, &exchange, "nobody", "left over").await?;
    assert_eq!(take(channel, &queue).await?.as_deref(), Some("left over"));
    without_exchange(channel, &exchange).await?;
    without_exchange(channel, &alternate).await?;
    Ok(connection.close().await?)
}

async fn exchange_declare_auto_delete(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let exchange = fresh("exchange");
    let mut declare = ExchangeDeclareArguments::new(&exchange, "direct");
    line.channel
        .exchange_declare(declare.auto_delete(true).finish())
        .await?;
    let queue = queue_on(&line.channel, FieldTable::new()).await?;
    bind(&line.channel, &queue, &exchange, "key").await?;
    line.channel
        .queue_unbind(QueueUnbindArguments::new(&queue, &exchange, "key"))
        .await?;
    let outcome = line
        .channel
        .exchange_declare(passive_exchange(&exchange))
        .await;
    line.refused(404, outcome).await?;
    Ok(connection.close().await?)
}

async fn exchange_declare_inequivalent(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let exchange = exchange_on(&line.channel, "direct").await?;
    let changed = ExchangeDeclareArguments::new(&exchange, "fanout");
    let outcome = line.channel.exchange_declare(changed).await;
    line.refused(406, outcome).await?;
    let another = line_on(&connection).await?;
    without_exchange(&another.channel, &exchange).await?;
    Ok(connection.close().await?)
}

async fn exchange_delete(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    without_exchange(&line.channel, &fresh("missing")).await?;
    let exchange = exchange_on(&line.channel, "direct").await?;
    let queue = queue_on(&line.channel, FieldTable::new()).await?;
    bind(&line.channel, &queue, &exchange, "key").await?;
    let mut delete = ExchangeDeleteArguments::new(&exchange);
    let outcome = line
        .channel
        .exchange_delete(delete.if_unused(true).finish())
        .await;
    line.refused(406, outcome).await?;
    let another = line_on(&connection).await?;
    without_exchange(&another.channel, &exchange).await?;
    Ok(connection.close().await?)
}

async fn exchange_bind_and_unbind(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let line = line_on(&connection).await?;
    let channel = &line.channel;
    let source = exchange_on(channel, "topic").await?;
    let destination = exchange_on(channel, "fanout").await?;
    let queue = queue_on(channel, FieldTable::new()).await?;
    bind(channel, &queue, &destination, "").await?;
    let note = table(vec![("note", text("kept")?)])?;
    let mut bound = ExchangeBindArguments::new(&destination, &source, "a.*");
    channel
        .exchange_bind(bound.arguments(note.clone()).finish())
        .await?;
    publish(channel, &source, "a.b", "through two").await?;
    assert_eq!(take(channel, &queue).await?.as_deref(), Some("through two"));
    let mut unbound = ExchangeUnbindArguments::new(&destination, &source, "a.*");
    channel
        .exchange_unbind(unbound.arguments(note).finish())
        .await?;
    publish(channel, &source, "a.b", "unbound").await?;
    assert_eq!(take(channel, &queue).await?, None);
    without_exchange(channel, &source).await?;
    without_exchange(channel, &destination).await?;
    Ok(connection.close().await?)
}
