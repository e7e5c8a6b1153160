//! The pages for Prometheus (spec 10.3).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::client::{Client, Options};
use leveret_tests::raw::method;
use leveret_tests::raw::value::Table;

use super::api::{Api, Body};

/// The samples of a page, by name and labels.
fn page(api: &Api, path: &str) -> Result<BTreeMap<String, f64>> {
    let url = format!("{}{path}", api.metrics_base()?);
    let answer = api.send("GET", &url, Body::Nothing, &[])?;
    ensure!(answer.status == 200, "{path}: {}", answer.text);
    let samples = answer.text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').context("a name and a value")?;
            Ok((name.to_owned(), value.parse()?))
        })
        .collect()
}

async fn work(client: &mut Client) -> Result<()> {
    client.open(1).await?;
    client
        .ok(1, method::queue_declare("q", 0, &Table::new()))
        .await?;
    for _ in 0..3 {
        client.put(1, "q", "body").await?;
    }
    client.get(1, "q", true).await?.context("a message")?;
    Ok(())
}

/// Spec 10.3.
#[tokio::test(flavor = "multi_thread")]
async fn sums_never_fall_when_what_was_counted_is_gone() -> Result<()> {
    let api = tokio::task::spawn_blocking(Api::leveret).await??;
    let mut client = Client::connect(&api.amqp, &Options::default()).await?;
    work(&mut client).await?;
    let look = |api: Api| {
        tokio::task::spawn_blocking(move || page(&api, "/metrics").map(|page| (api, page)))
    };
    let (api, before) = look(api).await??;
    for (name, value) in [
        ("rabbitmq_connections", 1.0),
        ("rabbitmq_channels", 1.0),
        ("rabbitmq_queues", 1.0),
        ("rabbitmq_queue_messages_ready", 2.0),
        ("rabbitmq_queue_messages_unacked", 0.0),
        ("rabbitmq_queue_messages", 2.0),
        ("rabbitmq_connections_opened_total", 1.0),
        ("rabbitmq_queues_declared_total", 1.0),
        (
            "rabbitmq_global_messages_received_total{protocol=\"amqp091\"}",
            3.0,
        ),
        (
            "rabbitmq_global_messages_delivered_get_auto_ack_total{protocol=\"amqp091\"}",
            1.0,
        ),
        ("rabbitmq_channel_messages_published_total", 3.0),
    ] {
        assert_eq!(before.get(name), Some(&value), "{name}");
    }
    client.ok(1, method::queue_delete("q", 0)).await?;
    client.close().await?;
    let (api, after) = look(api).await??;
    for (name, value) in &before {
        if name.contains("_total") {
            let now = after.get(name).with_context(|| format!("{name} is gone"))?;
            ensure!(now >= value, "{name} fell from {value} to {now}");
        }
    }
    let published = "rabbitmq_global_messages_received_total{protocol=\"amqp091\"}";
    assert_eq!(after.get(published), Some(&3.0));
    tokio::task::spawn_blocking(move || drop(api)).await?;
    Ok(())
}

/// Spec 10.3.
#[tokio::test(flavor = "multi_thread")]
async fn sizes_deaths_and_logins_are_counted() -> Result<()> {
    let api = tokio::task::spawn_blocking(Api::leveret).await??;
    let mut client = Client::connect(&api.amqp, &Options::default()).await?;
    work(&mut client).await?;
    let limited = Table::new()
        .with("x-max-length", 1)
        .with("x-dead-letter-exchange", "")
        .with("x-dead-letter-routing-key", "q");
    client
        .ok(1, method::queue_declare("limited", 0, &limited))
        .await?;
    for _ in 0..2 {
        client.put(1, "limited", &"x".repeat(1_001)).await?;
    }
    client.get(1, "q", true).await?.context("a message")?;
    let api = tokio::task::spawn_blocking(move || {
        api.ask_as("nobody:wrong", "GET", "/api/overview", Body::Nothing)?;
        let page = page(&api, "/metrics")?;
        let sizes = "rabbitmq_message_size_bytes";
        let labels = "protocol=\"amqp091\"";
        let dead = "rabbitmq_global_messages_dead_lettered_maxlen_total";
        for (name, value) in [
            (format!("{sizes}_bucket{{{labels},le=\"100\"}}"), 3.0),
            (format!("{sizes}_bucket{{{labels},le=\"1000\"}}"), 3.0),
            (format!("{sizes}_bucket{{{labels},le=\"10000\"}}"), 5.0),
            (format!("{sizes}_bucket{{{labels},le=\"+Inf\"}}"), 5.0),
            (format!("{sizes}_count{{{labels}}}"), 5.0),
            (format!("{sizes}_sum{{{labels}}}"), 2_014.0),
            (
                format!("rabbitmq_auth_attempts_succeeded_total{{{labels}}}"),
                1.0,
            ),
            (
                "rabbitmq_auth_attempts_failed_total{protocol=\"http\"}".to_owned(),
                1.0,
            ),
            (
                format!(
                    "{dead}{{queue_type=\"rabbit_classic_queue\",dead_letter_strategy=\"at_most_once\"}}"
                ),
                1.0,
            ),
        ] {
            assert_eq!(page.get(&name), Some(&value), "{name}: {page:?}");
        }
        anyhow::Ok(api)
    })
    .await??;
    client.close().await?;
    tokio::task::spawn_blocking(move || drop(api)).await?;
    Ok(())
}

/// Spec 10.3.
#[tokio::test(flavor = "multi_thread")]
async fn objects_are_shown_one_by_one_where_that_is_asked_for() -> Result<()> {
    let api = tokio::task::spawn_blocking(Api::leveret).await??;
    let mut client = Client::connect(&api.amqp, &Options::default()).await?;
    work(&mut client).await?;
    let api = tokio::task::spawn_blocking(move || {
        let each = page(&api, "/metrics/per-object")?;
        let queue = "rabbitmq_queue_messages{vhost=\"/\",queue=\"q\"}";
        assert_eq!(each.get(queue), Some(&2.0));
        let path = "/metrics/detailed?family=queue_coarse_metrics&family=vhost_status&vhost=/";
        let detailed = page(&api, path)?;
        let queue = "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"q\"}";
        assert_eq!(detailed.get(queue), Some(&2.0));
        assert_eq!(
            detailed.get("rabbitmq_cluster_vhost_status{vhost=\"/\"}"),
            Some(&1.0)
        );
        ensure!(
            !detailed.keys().any(|name| name.contains("consumers")),
            "not asked for"
        );
        let elsewhere = page(
            &api,
            "/metrics/detailed?family=queue_metrics&vhost=elsewhere",
        )?;
        ensure!(
            !elsewhere.keys().any(|name| name.contains("queue")),
            "of no such host"
        );
        anyhow::Ok(api)
    })
    .await??;
    client.close().await?;
    tokio::task::spawn_blocking(move || drop(api)).await?;
    Ok(())
}

/// Spec 13.15.
#[test]
fn metrics_have_an_address_of_their_own() -> Result<()> {
    let api = Api::leveret()?;
    assert_eq!(api.get("/metrics")?.status, 404);
    let url = format!("{}/api/overview", api.metrics_base()?);
    assert_eq!(api.send("GET", &url, Body::Nothing, &[])?.status, 404);
    Ok(())
}
