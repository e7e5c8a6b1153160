//! amqprs: the broker is killed and started again; amqprs has no recovery of its own, so it is here.

use std::time::Duration;

use amqprs::BasicProperties;
use amqprs::channel::{
    BasicConsumeArguments, BasicPublishArguments, ConfirmSelectArguments, ExchangeDeclareArguments,
    QueueBindArguments, QueueDeclareArguments, QueueDeleteArguments,
};
use amqprs::connection::Connection;
use anyhow::{Context as _, ensure};

use super::{Line, Told, ack, connected, line_on, take, without_exchange};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![restarting:
    restart_confirmed_messages_survive,
    restart_a_consumer_reconnects,
];

/// A connection, however often it must be tried while the broker is still starting.
async fn reconnected(stage: &Stage) -> anyhow::Result<Connection> {
    let mut attempts = 0;
    loop {
        match connected(stage).await {
            Err(_) if attempts < 80 => attempts += 1,
            outcome => return outcome,
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Publishes a persistent message and waits for its confirm.
async fn keep(line: &mut Line, exchange: &str, key: &str, text: &str) -> anyhow::Result<()> {
    let properties = BasicProperties::default().with_persistence(true).finish();
    let to = BasicPublishArguments::new(exchange, key);
    line.channel
        .basic_publish(properties, text.as_bytes().to_vec(), to)
        .await?;
    let told = line.next().await?;
    ensure!(
        matches!(told, Told::Acked(..)),
        "expected a confirm, got {told:?}"
    );
    Ok(())
}

async fn restart_confirmed_messages_survive(stage: Stage) -> anyhow::Result<()> {
    let connection = reconnected(&stage).await?;
    let mut line = line_on(&connection).await?;
    line.channel
        .confirm_select(ConfirmSelectArguments::default())
        .await?;
    let (exchange, queue) = (fresh("exchange"), fresh("queue"));
    let mut declare = ExchangeDeclareArguments::new(&exchange, "topic");
    line.channel
        .exchange_declare(declare.durable(true).finish())
        .await?;
    line.channel
        .queue_declare(QueueDeclareArguments::durable_client_named(&queue))
        .await?;
    line.channel
        .queue_bind(QueueBindArguments::new(&queue, &exchange, "kept.#"))
        .await?;
    for number in 0..100 {
        keep(&mut line, &exchange, "kept.here", &number.to_string()).await?;
    }
    let failure = {
        let connection = connection.clone();
        tokio::spawn(async move { connection.listen_network_io_failure().await })
    };
    stage.restart().await?;
    ensure!(failure.await?, "the loss of the connection was not told");
    let connection = reconnected(&stage).await?;
    let mut line = line_on(&connection).await?;
    line.channel
        .confirm_select(ConfirmSelectArguments::default())
        .await?;
    keep(&mut line, &exchange, "kept.binding", "afterwards").await?;
    for number in 0..100 {
        assert_eq!(take(&line.channel, &queue).await?, Some(number.to_string()));
    }
    assert_eq!(
        take(&line.channel, &queue).await?.as_deref(),
        Some("afterwards")
    );
    line.channel
        .queue_delete(QueueDeleteArguments::new(&queue))
        .await?;
    without_exchange(&line.channel, &exchange).await?;
    Ok(connection.close().await?)
}

async fn restart_a_consumer_reconnects(stage: Stage) -> anyhow::Result<()> {
    let queue = fresh("queue");
    for wanted in [false, true] {
        let connection = reconnected(&stage).await?;
        let mut line = line_on(&connection).await?;
        line.channel
            .queue_declare(QueueDeclareArguments::durable_client_named(&queue))
            .await?;
        if !wanted {
            line.channel
                .confirm_select(ConfirmSelectArguments::default())
                .await?;
            keep(&mut line, "", &queue, "unsettled").await?;
        }
        let how = BasicConsumeArguments::new(&queue, "");
        let (_, mut messages) = line.channel.basic_consume_rx(how).await?;
        let message = messages.recv().await.context("the consumer ended")?;
        let deliver = message.deliver.context("no delivery")?;
        assert_eq!(deliver.redelivered(), wanted);
        assert_eq!(message.content.as_deref(), Some(&b"unsettled"[..]));
        if wanted {
            ack(&line.channel, deliver.delivery_tag()).await?;
            line.channel
                .queue_delete(QueueDeleteArguments::new(&queue))
                .await?;
            connection.close().await?;
        } else {
            stage.restart().await?;
            ensure!(
                messages.recv().await.is_none(),
                "the consumer outlived the broker"
            );
        }
    }
    Ok(())
}
