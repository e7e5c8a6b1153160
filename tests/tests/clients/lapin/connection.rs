//! lapin: connections and channels.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::StreamExt as _;
use lapin::options::{AccessRequestOptions, ChannelFlowOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionBuilder, ConnectionProperties, Event};

use super::{closed, connected, filled_queue, refused, take};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    connect_and_close,
    connect_with_every_option,
    connect_with_a_builder,
    connect_with_amqplain,
    connect_with_a_wrong_password,
    connect_to_an_unknown_virtual_host,
    events_of_the_connection,
    heartbeats_keep_an_idle_connection,
    update_secret,
    channel_open_and_close,
    channel_closed_by_an_error_spares_the_connection,
    channel_flow,
    access_request,
];

async fn connect_and_close(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let status = connection.status();
    ensure!(status.connected() && !status.connecting() && !status.blocked() && !status.errored());
    assert_eq!(
        (status.vhost().as_str(), status.username().as_str()),
        ("/", "guest")
    );
    connection.close(200, "that was all".into()).await?;
    ensure!(!connection.status().connected());
    ensure!(connection.create_channel().await.is_err());
    Ok(())
}

/// The URL with more of a query.
fn with_query(stage: &Stage, query: &str) -> String {
    let separator = if stage.url.contains('?') { '&' } else { '?' };
    format!("{}{separator}{query}", stage.url)
}

async fn connect_with_every_option(stage: Stage) -> anyhow::Result<()> {
    let url = with_query(
        &stage,
        "heartbeat=30&frame_max=8192&channel_max=7&connection_timeout=5000",
    );
    let properties = ConnectionProperties::default()
        .with_locale("en_US".into())
        .with_connection_name(fresh("connection").into())
        .with_client_property("purpose".into(), "testing".into())
        .configure_backoff(|backoff| backoff.with_max_times(2));
    let connection = Connection::connect(&url, properties).await?;
    let configuration = connection.configuration();
    assert_eq!(
        (configuration.channel_max(), configuration.frame_max()),
        (7, 8192)
    );
    assert_eq!(configuration.heartbeat(), 30);
    let long = "x".repeat(50_000);
    let queue = filled_queue(&connection, &[&long]).await?;
    let channel = connection.create_channel().await?;
    assert_eq!(take(&channel, &queue).await?, Some(long));
    closed(connection).await
}

async fn connect_with_a_builder(stage: Stage) -> anyhow::Result<()> {
    let uri: AMQPUri = stage.url.parse().map_err(anyhow::Error::msg)?;
    let properties = ConnectionProperties::default();
    let builder = ConnectionBuilder::new()?
        .with_uri(uri)
        .with_properties(properties);
    closed(builder.connect().await?).await?;
    let builder = ConnectionBuilder::new()?.with_uri_str(stage.url.clone());
    closed(builder.connect().await?).await
}

async fn connect_with_amqplain(stage: Stage) -> anyhow::Result<()> {
    let url = with_query(&stage, "auth_mechanism=amqplain");
    closed(Connection::connect(&url, ConnectionProperties::default()).await?).await
}

async fn connect_with_a_wrong_password(stage: Stage) -> anyhow::Result<()> {
    let wrong = stage.url.replace("guest:guest", "guest:wrong");
    refused(
        403,
        Connection::connect(&wrong, ConnectionProperties::default()).await,
    )
}

async fn connect_to_an_unknown_virtual_host(stage: Stage) -> anyhow::Result<()> {
    let mut uri: AMQPUri = stage.url.parse().map_err(anyhow::Error::msg)?;
    uri.vhost = fresh("vhost");
    refused(
        530,
        Connection::connect_uri(uri, ConnectionProperties::default()).await,
    )
}

async fn events_of_the_connection(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut events = connection.events_listener();
    // A method that only the server may send: the broker ends the connection, and lapin tells so.
    let channel = connection.create_channel().await?;
    let outcome = channel
        .channel_flow(ChannelFlowOptions { active: false })
        .await;
    refused(540, outcome)?;
    loop {
        match events.next().await.context("no more events")? {
            Event::Error(_) => break,
            Event::Connected => {}
            other => bail!("not expected here: {other:?}"),
        }
    }
    ensure!(!connection.status().connected());
    Ok(())
}

async fn heartbeats_keep_an_idle_connection(stage: Stage) -> anyhow::Result<()> {
    let url = with_query(&stage, "heartbeat=1");
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let _channel = connection.create_channel().await?;
    closed(connection).await
}

async fn update_secret(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    connection
        .update_secret("another secret".into(), "the old one expires".into())
        .await?;
    let _channel = connection.create_channel().await?;
    closed(connection).await
}

async fn channel_open_and_close(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let first = connection.create_channel().await?;
    let second = connection.create_channel().await?;
    ensure!(first.id() != second.id() && second.status().connected());
    second.close(200, "enough".into()).await?;
    ensure!(!second.status().connected() && first.status().connected());
    let options = QueueDeclareOptions::exclusive();
    ensure!(
        second
            .queue_declare("".into(), options, FieldTable::default())
            .await
            .is_err()
    );
    closed(connection).await
}

async fn channel_closed_by_an_error_spares_the_connection(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions::default().passive();
    let missing = fresh("missing").into();
    refused(
        404,
        channel
            .queue_declare(missing, options, FieldTable::default())
            .await,
    )?;
    ensure!(!channel.status().connected());
    let _channel = connection.create_channel().await?;
    closed(connection).await
}

async fn channel_flow(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    ensure!(
        channel
            .channel_flow(ChannelFlowOptions { active: true })
            .await?
    );
    closed(connection).await
}

async fn access_request(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let channel = connection.create_channel().await?;
    let options = AccessRequestOptions {
        active: true,
        read: true,
        write: true,
        ..Default::default()
    };
    channel.access_request("/data".into(), options).await?;
    closed(connection).await
}
