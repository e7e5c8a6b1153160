//! lapin: the broker is killed and started again, under lapin's own recovery.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
};

use super::{body, closed, take, without_exchange};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![restarting:
    restart_confirmed_messages_survive,
    restart_recovers_consumers_and_exclusive_queues,
];

async fn recovering(stage: &Stage) -> anyhow::Result<Connection> {
    let properties = ConnectionProperties::default()
        .enable_auto_recover()
        .configure_backoff(|backoff| {
            let delay = Duration::from_millis(200);
            backoff
                .with_min_delay(delay)
                .with_max_delay(delay * 5)
                .with_max_times(60)
        });
    Ok(Connection::connect(&stage.url, properties).await?)
}

/// Publishes until it is routed and confirmed, through as many recoveries as it takes.
async fn insist(
    channel: &Channel,
    exchange: &ShortString,
    key: &str,
    text: &str,
) -> anyhow::Result<()> {
    loop {
        let options = BasicPublishOptions {
            mandatory: true,
            ..Default::default()
        };
        let (to, key) = (exchange.clone(), key.into());
        let properties = BasicProperties::default().with_delivery_mode(2);
        let sent = channel
            .basic_publish(to, key, options, text.as_bytes(), properties)
            .await;
        let outcome = match sent {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Confirmation::Ack(None)) => return Ok(()),
            // Nowhere to go yet: lapin tells of the recovery before it has declared and bound all.
            Ok(Confirmation::Ack(Some(_))) => tokio::time::sleep(Duration::from_millis(100)).await,
            Ok(other) => anyhow::bail!("expected a positive confirm, got {other:?}"),
            Err(error) => channel.wait_for_recovery(error).await?,
        }
    }
}

async fn restart_confirmed_messages_survive(stage: Stage) -> anyhow::Result<()> {
    let connection = recovering(&stage).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let [exchange, queue] = ["exchange", "queue"].map(|kind| ShortString::from(fresh(kind)));
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let (kind, none) = (ExchangeKind::Topic, FieldTable::default());
    channel
        .exchange_declare(exchange.clone(), kind, options, none.clone())
        .await?;
    channel
        .queue_declare(queue.clone(), QueueDeclareOptions::durable(), none.clone())
        .await?;
    let options = QueueBindOptions::default();
    channel
        .queue_bind(
            queue.clone(),
            exchange.clone(),
            "kept.#".into(),
            options,
            none,
        )
        .await?;
    for number in 0..100 {
        insist(&channel, &exchange, "kept.here", &number.to_string()).await?;
    }
    stage.restart().await?;
    insist(&channel, &exchange, "kept.binding", "afterwards").await?;
    for number in 0..100 {
        assert_eq!(take(&channel, &queue).await?, Some(number.to_string()));
    }
    assert_eq!(take(&channel, &queue).await?.as_deref(), Some("afterwards"));
    channel
        .queue_delete(queue, QueueDeleteOptions::default())
        .await?;
    without_exchange(&channel, exchange).await?;
    closed(connection).await
}

async fn restart_recovers_consumers_and_exclusive_queues(stage: Stage) -> anyhow::Result<()> {
    let connection = recovering(&stage).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let [exchange, queue] = ["exchange", "queue"].map(|kind| ShortString::from(fresh(kind)));
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let (kind, none) = (ExchangeKind::Fanout, FieldTable::default());
    channel
        .exchange_declare(exchange.clone(), kind, options, none.clone())
        .await?;
    channel
        .queue_declare(
            queue.clone(),
            QueueDeclareOptions::exclusive(),
            none.clone(),
        )
        .await?;
    let options = QueueBindOptions::default();
    channel
        .queue_bind(
            queue.clone(),
            exchange.clone(),
            "".into(),
            options,
            none.clone(),
        )
        .await?;
    let options = BasicConsumeOptions::default();
    let mut consumer = channel
        .basic_consume(queue, "mine".into(), options, none)
        .await?;
    for text in ["before", "after"] {
        insist(&channel, &exchange, "", text).await?;
        let delivery = loop {
            match consumer.next().await.context("the consumer ended")? {
                Ok(delivery) => break delivery,
                Err(error) => channel.wait_for_recovery(error).await?,
            }
        };
        assert_eq!(body(&delivery)?, text);
        delivery.ack(BasicAckOptions::default()).await?;
        if text == "before" {
            stage.restart().await?;
        }
    }
    without_exchange(&channel, exchange).await?;
    closed(connection).await
}
