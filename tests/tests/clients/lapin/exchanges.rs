//! lapin: exchanges and what is bound to them.

use lapin::ExchangeKind;
use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, ExchangeUnbindOptions,
};
use lapin::types::{AMQPValue, ShortString};

use super::{
    bind, closed, connected, exchange_on, plain, publish, queue_on, refused, table, take,
    without_exchange,
};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    exchange_declare_of_every_kind,
    exchange_declare_passive,
    exchange_declare_internal_with_alternate,
    exchange_declare_auto_delete,
    exchange_declare_inequivalent,
    exchange_delete,
    exchange_bind_and_unbind,
    exchanges_without_waiting_for_answers,
];

async fn exchange_declare_of_every_kind(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let kinds = [
        ExchangeKind::Direct,
        ExchangeKind::Fanout,
        ExchangeKind::Topic,
        ExchangeKind::Headers,
        ExchangeKind::Custom("direct".to_owned()),
    ];
    for kind in kinds {
        let name = ShortString::from(fresh("exchange"));
        let options = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        for _again in 0..2 {
            channel
                .exchange_declare(name.clone(), kind.clone(), options, plain())
                .await?;
        }
        without_exchange(&channel, name).await?;
    }
    closed(connection).await
}

async fn exchange_declare_passive(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let passive = ExchangeDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let exchange = exchange_on(&channel, ExchangeKind::Topic).await?;
    channel
        .exchange_declare(exchange.clone(), ExchangeKind::Direct, passive, plain())
        .await?;
    without_exchange(&channel, exchange.clone()).await?;
    refused(
        404,
        channel
            .exchange_declare(exchange, ExchangeKind::Direct, passive, plain())
            .await,
    )?;
    closed(connection).await
}

async fn exchange_declare_internal_with_alternate(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let alternate = ShortString::from(fresh("alternate"));
    let internal = ExchangeDeclareOptions {
        internal: true,
        ..Default::default()
    };
    channel
        .exchange_declare(alternate.clone(), ExchangeKind::Fanout, internal, plain())
        .await?;
    let queue = queue_on(&channel, plain()).await?;
    bind(&channel, &queue, &alternate, "").await?;
    let exchange = ShortString::from(fresh("exchange"));
    let arguments = table(&[(
        "alternate-exchange",
        AMQPValue::LongString(alternate.as_str().into()),
    )]);
    let options = ExchangeDeclareOptions::default();
    channel
        .exchange_declare(exchange.clone(), ExchangeKind::Direct, options, arguments)
        .await?;
    publish(&channel, exchange.as_str(), "nobody", "left over").await?;
    assert_eq!(take(&channel, &queue).await?.as_deref(), Some("left over"));
    without_exchange(&channel, exchange).await?;
    without_exchange(&channel, alternate).await?;
    closed(connection).await
}

async fn exchange_declare_auto_delete(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let exchange = ShortString::from(fresh("exchange"));
    let options = ExchangeDeclareOptions {
        auto_delete: true,
        ..Default::default()
    };
    channel
        .exchange_declare(exchange.clone(), ExchangeKind::Direct, options, plain())
        .await?;
    let queue = queue_on(&channel, plain()).await?;
    bind(&channel, &queue, &exchange, "key").await?;
    channel
        .queue_unbind(queue, exchange.clone(), "key".into(), plain())
        .await?;
    let passive = ExchangeDeclareOptions {
        passive: true,
        ..Default::default()
    };
    refused(
        404,
        channel
            .exchange_declare(exchange, ExchangeKind::Direct, passive, plain())
            .await,
    )?;
    closed(connection).await
}

async fn exchange_declare_inequivalent(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let exchange = exchange_on(&channel, ExchangeKind::Direct).await?;
    let options = ExchangeDeclareOptions::default();
    let again = channel.exchange_declare(exchange.clone(), ExchangeKind::Fanout, options, plain());
    refused(406, again.await)?;
    let another = connection.create_channel().await?;
    without_exchange(&another, exchange).await?;
    closed(connection).await
}

async fn exchange_delete(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    without_exchange(&channel, fresh("missing").into()).await?;
    let exchange = exchange_on(&channel, ExchangeKind::Direct).await?;
    let queue = queue_on(&channel, plain()).await?;
    bind(&channel, &queue, &exchange, "key").await?;
    let options = ExchangeDeleteOptions {
        if_unused: true,
        ..Default::default()
    };
    refused(
        406,
        channel.exchange_delete(exchange.clone(), options).await,
    )?;
    let another = connection.create_channel().await?;
    without_exchange(&another, exchange).await?;
    closed(connection).await
}

async fn exchange_bind_and_unbind(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let source = exchange_on(&channel, ExchangeKind::Topic).await?;
    let destination = exchange_on(&channel, ExchangeKind::Fanout).await?;
    let queue = queue_on(&channel, plain()).await?;
    bind(&channel, &queue, &destination, "").await?;
    let note = table(&[("note", AMQPValue::LongString("kept".into()))]);
    let (to, from) = (destination.clone(), source.clone());
    let options = ExchangeBindOptions::default();
    channel
        .exchange_bind(to, from, "a.*".into(), options, note.clone())
        .await?;
    publish(&channel, source.as_str(), "a.b", "through two").await?;
    assert_eq!(
        take(&channel, &queue).await?.as_deref(),
        Some("through two")
    );
    let (to, from) = (destination.clone(), source.clone());
    let options = ExchangeUnbindOptions::default();
    channel
        .exchange_unbind(to, from, "a.*".into(), options, note)
        .await?;
    publish(&channel, source.as_str(), "a.b", "unbound").await?;
    assert_eq!(take(&channel, &queue).await?, None);
    without_exchange(&channel, source).await?;
    without_exchange(&channel, destination).await?;
    closed(connection).await
}

async fn exchanges_without_waiting_for_answers(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let [source, destination] =
        ["source", "destination"].map(|kind| ShortString::from(fresh(kind)));
    let options = ExchangeDeclareOptions {
        nowait: true,
        ..Default::default()
    };
    channel
        .exchange_declare(source.clone(), ExchangeKind::Topic, options, plain())
        .await?;
    channel
        .exchange_declare(destination.clone(), ExchangeKind::Fanout, options, plain())
        .await?;
    let queue = queue_on(&channel, plain()).await?;
    bind(&channel, &queue, &destination, "").await?;
    let (to, from) = (destination.clone(), source.clone());
    let options = ExchangeBindOptions { nowait: true };
    channel
        .exchange_bind(to, from, "#".into(), options, plain())
        .await?;
    publish(&channel, source.as_str(), "a.b", "through two").await?;
    assert_eq!(
        take(&channel, &queue).await?.as_deref(),
        Some("through two")
    );
    let (to, from) = (destination.clone(), source.clone());
    let options = ExchangeUnbindOptions { nowait: true };
    channel
        .exchange_unbind(to, from, "#".into(), options, plain())
        .await?;
    publish(&channel, source.as_str(), "a.b", "unbound").await?;
    assert_eq!(take(&channel, &queue).await?, None);
    let options = ExchangeDeleteOptions {
        nowait: true,
        ..Default::default()
    };
    channel.exchange_delete(source.clone(), options).await?;
    channel.exchange_delete(destination, options).await?;
    let options = ExchangeDeclareOptions {
        passive: true,
        ..Default::default()
    };
    refused(
        404,
        channel
            .exchange_declare(source, ExchangeKind::Topic, options, plain())
            .await,
    )?;
    closed(connection).await
}
