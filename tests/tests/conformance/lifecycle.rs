//! Heartbeats, the two ways to close, and what else happens to a running connection.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Options, Tune, all_capabilities, close_ok};
use leveret_tests::outcome::Outcome;
use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::method::{self, Method, MethodId, queue_bits};
use leveret_tests::raw::value::{Table, one};
use leveret_tests::raw::{Frame, HEARTBEAT, PATIENCE};
use leveret_tests::target::Target;

leveret_tests::on_both_targets![
    the_server_sends_heartbeats_when_idle,
    the_clients_heartbeat_wins_even_above_the_servers,
    heartbeat_0_means_none,
    a_silent_client_is_dropped_without_a_frame,
    any_octets_keep_a_connection_alive,
    close_is_answered_after_exclusive_queues_are_gone,
    close_returns_unsettled_messages_to_their_queues,
    a_lost_socket_returns_unsettled_messages_to_their_queues,
    after_the_servers_close_only_close_and_close_ok_count,
    a_client_that_never_answers_a_close_is_dropped,
    frames_after_the_clients_close_are_discarded,
    a_hard_error_names_the_offending_method,
    an_operators_close_names_no_method,
    update_secret_is_answered,
];

fn with_heartbeat(heartbeat: u16) -> Options {
    let tune = Some(Tune {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat,
    });
    Options {
        tune,
        ..Options::default()
    }
}

/// Spec 1.7.1. Heartbeats of ours keep the connection up meanwhile.
async fn the_server_sends_heartbeats_when_idle(context: &Context) -> Result<()> {
    let mut client = context.client_with(&with_heartbeat(1)).await?;
    for _ in 0..3 {
        let frame = client.peer.frame().await?.context("the connection ended")?;
        ensure!(frame == Frame::heartbeat(), "{frame:?}");
        client.peer.send_frame(&Frame::heartbeat()).await?;
    }
    Ok(())
}

/// Spec 1.4.4.
async fn the_clients_heartbeat_wins_even_above_the_servers(context: &Context) -> Result<()> {
    let mut client = context.client_with(&with_heartbeat(600)).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    client.close().await
}

/// Spec 1.4.4. Against an interval of 1 s, after which the other connection has its heartbeats.
async fn heartbeat_0_means_none(context: &Context) -> Result<()> {
    let mut without = context.client_with(&with_heartbeat(0)).await?;
    let mut with = context.client_with(&with_heartbeat(1)).await?;
    for _ in 0..4 {
        with.peer.frame().await?.context("the connection ended")?;
        with.peer.send_frame(&Frame::heartbeat()).await?;
    }
    without
        .peer
        .send_method(1, &method::basic_qos(0, 1, false))
        .await?;
    let next = without
        .peer
        .frame()
        .await?
        .context("the connection ended")?;
    ensure!(
        next.kind != HEARTBEAT,
        "a heartbeat though none were agreed on"
    );
    Ok(())
}

/// Spec 1.7.2.
async fn a_silent_client_is_dropped_without_a_frame(context: &Context) -> Result<()> {
    let mut client = context.client_with(&with_heartbeat(1)).await?;
    while let Some(frame) = client.peer.frame().await? {
        ensure!(frame == Frame::heartbeat(), "{frame:?}");
    }
    Ok(())
}

/// Spec 1.7.2. No heartbeat is ever sent here, only a frame that trickles in by single octets.
async fn any_octets_keep_a_connection_alive(context: &Context) -> Result<()> {
    let mut client = context.client_with(&with_heartbeat(1)).await?;
    let bytes = Frame::method(1, &method::basic_qos(0, 1, false)).encode();
    for byte in bytes {
        client.peer.send(&[byte]).await?;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    client.reply(1).await?.expect("ok")
}

/// Spec 1.8.1. Spec 4.2.1.
async fn close_is_answered_after_exclusive_queues_are_gone(context: &Context) -> Result<()> {
    let mut watcher = context.client().await?;
    for round in 0..5 {
        let mut owner = context.client().await?;
        let queues: Vec<_> = (0..10)
            .map(|n| context.unique(&format!("q{round}-{n}")))
            .collect();
        for queue in &queues {
            let declare = method::queue_declare(queue, queue_bits::EXCLUSIVE, &Table::new());
            owner.ok(1, declare).await?;
        }
        owner.close().await?;
        for queue in &queues {
            let passive = method::queue_declare(queue, queue_bits::PASSIVE, &Table::new());
            let expected = format!("404c no queue '{queue}' in vhost '/'");
            watcher.refused(1, passive, &expected).await?;
        }
    }
    Ok(())
}

async fn holding_three(context: &Context, queue: &str) -> Result<Client> {
    let mut holder = context.client().await?;
    holder
        .ok(
            1,
            method::queue_declare(queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    for body in ["one", "two", "three", "four"] {
        holder.put(1, queue, body).await?;
    }
    holder.await_ready(1, queue, 4).await?;
    for _ in 0..3 {
        holder.get(1, queue, false).await?.context("a message")?;
    }
    Ok(holder)
}

async fn all_four_are_back(context: &Context, queue: &str) -> Result<()> {
    let mut client = context.client().await?;
    client.await_ready(1, queue, 4).await?;
    for (body, redelivered) in [
        ("one", true),
        ("two", true),
        ("three", true),
        ("four", false),
    ] {
        let got = client.take(1, queue).await?;
        ensure!(
            (got.text().as_str(), got.redelivered) == (body, redelivered),
            "{got:?}"
        );
    }
    Ok(())
}

/// Spec 1.8.1. Spec 5.5.5.
async fn close_returns_unsettled_messages_to_their_queues(context: &Context) -> Result<()> {
    let queue = context.queue("q");
    holding_three(context, &queue).await?.close().await?;
    all_four_are_back(context, &queue).await
}

/// Spec 5.5.3. Spec 5.5.5.
async fn a_lost_socket_returns_unsettled_messages_to_their_queues(context: &Context) -> Result<()> {
    let queue = context.queue("q");
    drop(holding_three(context, &queue).await?);
    all_four_are_back(context, &queue).await
}

/// A connection on which the server has sent connection.close that was not answered yet.
async fn closed_by_the_server(context: &Context, options: &Options) -> Result<Client> {
    let mut client = context.client_with(options).await?;
    client.send(1, &method::channel_open()).await?;
    let close = client.peer.expect(0, method::CONNECTION_CLOSE).await?;
    ensure!(close.arguments[..2] == 504_u16.to_be_bytes(), "{close:?}");
    Ok(client)
}

/// Spec 1.8.2. Spec 1.8.4.
async fn after_the_servers_close_only_close_and_close_ok_count(context: &Context) -> Result<()> {
    let mut client = closed_by_the_server(context, &Options::default()).await?;
    let ignored = [
        method::channel_open(),
        method::basic_qos(0, 1, false),
        method::basic_publish("", "x", 0),
        method::queue_delete("nowhere", 0),
    ];
    for (channel, method) in (1..).zip(&ignored) {
        client.send(channel, method).await?;
    }
    client.send(0, &method::connection_close()).await?;
    client.peer.expect(0, method::CONNECTION_CLOSE_OK).await?;
    client.send(0, &close_ok(0)).await?;
    client.peer.expect_end().await
}

/// Spec 1.8.2.
async fn a_client_that_never_answers_a_close_is_dropped(context: &Context) -> Result<()> {
    let mut client = closed_by_the_server(context, &with_heartbeat(3)).await?;
    while let Some(frame) = client.peer.frame().await? {
        ensure!(frame == Frame::heartbeat(), "{frame:?}");
    }
    Ok(())
}

/// Spec 1.8.4.
async fn frames_after_the_clients_close_are_discarded(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let mut bytes = Frame::method(0, &method::connection_close()).encode();
    bytes.extend(Frame::method(1, &method::basic_qos(0, 1, false)).encode());
    bytes.extend(Frame::method(1, &method::basic_qos(1, 1, false)).encode());
    client.peer.send(&bytes).await?;
    client.reply(0).await?.expect("ok")?;
    let more = client.kept();
    ensure!(
        more.iter()
            .all(|kept| kept.method.id == method::BASIC_QOS_OK),
        "{more:?}"
    );
    context.still_serves().await
}

/// Spec 0.2. Spec 0.4.
async fn a_hard_error_names_the_offending_method(context: &Context) -> Result<()> {
    for (wrong, code) in [
        (method::basic_qos(1, 0, false), 540),
        (method::channel_flow(false), 540),
        (method::channel_open(), 504),
        (method::connection_open("/"), 503),
    ] {
        let mut client = context.client().await?;
        let id = wrong.id;
        let outcome = client.call(1, wrong).await?;
        let Outcome::ConnectionClosed(close) = outcome else {
            anyhow::bail!("{id:?}: {outcome:?}");
        };
        let named = [id, MethodId(0, 0)].contains(&close.method);
        ensure!(close.code == code && named, "{id:?}: {close:?}");
    }
    Ok(())
}

/// The path of the connection with this name in the HTTP API.
fn path_of_connection(management: &str, name: &str) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let url = format!("{management}/api/connections");
    loop {
        let list: serde_json::Value = ureq::get(&url).call()?.body_mut().read_json()?;
        let found = list
            .as_array()
            .into_iter()
            .flatten()
            .find(|connection| connection["client_properties"]["connection_name"] == name);
        if let Some(path) = found.and_then(|connection| connection["name"].as_str()) {
            return Ok(format!(
                "{url}/{}",
                path.replace(' ', "%20").replace('>', "%3E")
            ));
        }
        ensure!(Instant::now() < deadline, "no connection {name} in {list}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Spec 1.8.3. Spec 0.4. Spec 1.2.5. RabbitMQ's operator uses the HTTP API; ours stops the broker.
async fn an_operators_close_names_no_method(context: &Context) -> Result<()> {
    let name = context.unique("connection");
    let properties = one("connection_name", &name).with("capabilities", all_capabilities());
    let options = Options {
        properties,
        ..Options::default()
    };
    let mut client = context.client_with(&options).await?;
    let (outcome, expected) = match (context.target, context.management.clone()) {
        (Target::RabbitMq, Some(management)) => {
            let close = move || -> Result<()> {
                let url = path_of_connection(&management, &name)?;
                ureq::delete(&url).header("X-Reason", "a reason").call()?;
                Ok(())
            };
            let (closed, outcome) =
                tokio::join!(tokio::task::spawn_blocking(close), client.reply(0));
            closed??;
            (outcome?, "320x a reason")
        }
        (Target::RabbitMq, None) => return Ok(()),
        (Target::Leveret, _) => {
            let (stopped, outcome) = tokio::join!(context.stop_broker(), async {
                // Without a broker of our own to stop there is nothing to wait for.
                tokio::time::timeout(PATIENCE, client.reply(0)).await
            });
            if !stopped? {
                return Ok(());
            }
            (
                outcome??,
                "320x broker forced connection closure with reason 'shutdown'",
            )
        }
    };
    outcome.expect(expected)?;
    let close = outcome.close().context("a close")?;
    ensure!(
        close.method == MethodId(0, 0),
        "the close names {:?}",
        close.method
    );
    Ok(())
}

/// Spec 1.9.2.
async fn update_secret_is_answered(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let arguments = Writer::new().long("another secret").short("a reason");
    let update = Method::new(method::CONNECTION_UPDATE_SECRET, arguments);
    client.ok(0, update).await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    Ok(())
}
