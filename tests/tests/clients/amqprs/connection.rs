//! amqprs: connections and channels.

use std::time::Duration;

use amqprs::callbacks::DefaultChannelCallback;
use amqprs::channel::QueueDeclareArguments;
use amqprs::connection::Connection;
use amqprs::security::SecurityCredentials;
use anyhow::ensure;

use super::{arguments, connected, filled_queue, line_on, take};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    connect_and_close,
    connect_with_every_option,
    connect_reads_the_broker_properties,
    connect_with_amqplain,
    connect_with_a_wrong_password,
    connect_to_an_unknown_virtual_host,
    heartbeats_keep_an_idle_connection,
    update_secret,
    channel_open_and_close,
    channel_closed_by_an_error_spares_the_connection,
    channel_flow,
];

async fn connect_and_close(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    ensure!(connection.is_open());
    let clone = connection.clone();
    connection.close().await?;
    ensure!(!clone.is_open());
    Ok(())
}

async fn connect_with_every_option(stage: Stage) -> anyhow::Result<()> {
    let name = fresh("connection");
    let arguments = arguments(&stage)?
        .connection_name(&name)
        .heartbeat(30)
        .scheme("amqp")
        .finish();
    let connection = Connection::open(&arguments).await?;
    assert_eq!(
        (connection.connection_name(), connection.heartbeat()),
        (name.as_str(), 30)
    );
    ensure!(connection.channel_max() > 0 && connection.frame_max() >= 4096);
    let long = "x".repeat(500_000);
    let queue = filled_queue(&connection, &[&long]).await?;
    let line = line_on(&connection).await?;
    assert_eq!(take(&line.channel, &queue).await?, Some(long));
    Ok(connection.close().await?)
}

async fn connect_reads_the_broker_properties(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let properties = connection.server_properties();
    ensure!(!properties.product().is_empty() && properties.version().contains('.'));
    ensure!(!properties.cluster_name().is_empty());
    let offered = properties.capabilities();
    let all = [
        offered.consumer_cancel_notify(),
        offered.publisher_confirms(),
        offered.consumer_priorities(),
        offered.authentication_failure_close(),
        offered.per_consumer_qos(),
        offered.connection_blocked(),
        offered.exchange_exchange_bindings(),
        offered.basic_nack(),
        offered.direct_reply_to(),
    ];
    assert_eq!(all, [true; 9]);
    Ok(connection.close().await?)
}

async fn connect_with_amqplain(stage: Stage) -> anyhow::Result<()> {
    let credentials = SecurityCredentials::new_amqplain("guest", "guest");
    let arguments = arguments(&stage)?.credentials(credentials).finish();
    Ok(Connection::open(&arguments).await?.close().await?)
}

async fn connect_with_a_wrong_password(stage: Stage) -> anyhow::Result<()> {
    let credentials = SecurityCredentials::new_plain("guest", "wrong");
    let arguments = arguments(&stage)?.credentials(credentials).finish();
    ensure!(
        Connection::open(&arguments).await.is_err(),
        "a wrong password was accepted"
    );
    Ok(())
}

async fn connect_to_an_unknown_virtual_host(stage: Stage) -> anyhow::Result<()> {
    let arguments = arguments(&stage)?.virtual_host(&fresh("vhost")).finish();
    ensure!(
        Connection::open(&arguments).await.is_err(),
        "an unknown virtual host was opened"
    );
    Ok(())
}

async fn heartbeats_keep_an_idle_connection(stage: Stage) -> anyhow::Result<()> {
    let connection = Connection::open(&arguments(&stage)?.heartbeat(1).finish()).await?;
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let _line = line_on(&connection).await?;
    Ok(connection.close().await?)
}

async fn update_secret(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    connection
        .update_secret("another secret", "the old one expires")
        .await?;
    let _line = line_on(&connection).await?;
    Ok(connection.close().await?)
}

async fn channel_open_and_close(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let first = connection.open_channel(None).await?;
    first.register_callback(DefaultChannelCallback).await?;
    let seventh = connection.open_channel(Some(7)).await?;
    assert_eq!(seventh.channel_id(), 7);
    ensure!(seventh.is_open() && seventh.is_connection_open());
    assert_eq!(seventh.connection_name(), connection.connection_name());
    seventh.clone().close().await?;
    ensure!(!seventh.is_open() && first.is_open());
    let _again = connection.open_channel(Some(7)).await?;
    Ok(connection.close().await?)
}

async fn channel_closed_by_an_error_spares_the_connection(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let mut passive = QueueDeclareArguments::new(&fresh("missing"));
    let outcome = line
        .channel
        .queue_declare(passive.passive(true).finish())
        .await;
    line.refused(404, outcome).await?;
    let _line = line_on(&connection).await?;
    Ok(connection.close().await?)
}

async fn channel_flow(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let line = line_on(&connection).await?;
    ensure!(line.channel.flow(true).await?);
    Ok(connection.close().await?)
}
