//! Limits that hold for the whole broker, for a connection, for a channel.

use anyhow::{Context as _, Result, bail, ensure};
use leveret_tests::client::{Client, Options};
use leveret_tests::management::Management;
use leveret_tests::raw::method;
use leveret_tests::raw::value::Table;

use super::process::{ANY_PORTS, Server, command};

/// A server in memory with these limits.
fn limited(limits: &[&str]) -> Result<Server> {
    let directory = tempfile::tempdir()?;
    let mut command = command(directory.path());
    command.args(ANY_PORTS).arg("--in-memory");
    for limit in limits {
        command.args(["--set", &format!("limits.{limit}")]);
    }
    Server::start(command)
}

fn management(server: &Server) -> Result<Management> {
    let address = server.management.context("it answers HTTP")?;
    Management::new(&format!("http://guest:guest@{address}"))
}

/// Spec 11.5. Spec 2.2. Spec 4.1.10.
#[tokio::test]
async fn the_whole_broker_has_limits_of_its_own() -> Result<()> {
    let server = limited(&[
        "channels_max=2",
        "virtual_hosts_max=2",
        "queues_max=1",
        "exchanges_max=15",
    ])?;
    let admin = management(&server)?;
    admin.done("PUT", "vhosts/one", None).await?;
    let refused = admin.send("PUT", "vhosts/two", None).await?;
    ensure!(refused.status == 400, "{refused:?}");
    let mut client = server.client().await?;
    let none = &Table::new();
    client.ok(1, method::queue_declare("a", 0, none)).await?;
    let full = "406c cannot declare queue 'b': queue limit in cluster (1) is reached";
    client
        .refused(1, method::queue_declare("b", 0, none), full)
        .await?;
    // What is there already may be declared again.
    client.ok(1, method::queue_declare("a", 0, none)).await?;
    client
        .ok(1, method::exchange_declare("a", "fanout", 0, none))
        .await?;
    let full = "406c cannot declare exchange 'b' in vhost '/': exchange limit of 15 is reached";
    let declare = method::exchange_declare("b", "fanout", 0, none);
    client.refused(1, declare, full).await?;
    client.open(2).await?;
    let outcome = client.call(3, method::channel_open()).await?;
    outcome.expect(
        "530x number of channels opened on node '…' has reached the maximum allowed limit of 2",
    )
}

/// Spec 11.5. Spec 1.5.1. Spec 1.5.2. A place that is given back is another's.
#[tokio::test]
async fn no_more_connections_than_the_broker_may_have() -> Result<()> {
    let server = limited(&["connections_max=2"])?;
    let first = server.client().await?;
    let second = server.client().await?;
    // Even for a virtual host that does not exist: this is looked at first.
    for virtual_host in ["/", "nowhere"] {
        let options = Options {
            virtual_host: Some(virtual_host.to_owned()),
            ..Options::default()
        };
        let Err(refused) = Client::try_connect(&server.address()?, &options).await? else {
            bail!("a third connection was let in");
        };
        refused.expect("530x connection refused: node connection limit (2) is reached")?;
    }
    second.close().await?;
    let third = server.client().await?;
    third.close().await?;
    first.close().await
}

/// Spec 11.5. Spec 2.2. Channels of one connection, however they are numbered.
#[tokio::test]
async fn no_more_channels_than_a_connection_may_have() -> Result<()> {
    let server = limited(&["channel_max=3"])?;
    let mut client = server.client().await?;
    ensure!(client.offered.channel_max == 3, "{:?}", client.offered);
    client.open(2).await?;
    client.open(3).await?;
    client.ok(2, method::channel_close()).await?;
    client.open(2).await?;
    let outcome = client.call(4, method::channel_open()).await?;
    outcome.expect("530x number of channels opened (3) has reached the negotiated channel_max (3)")
}

/// Spec 5.3.10.
#[tokio::test]
async fn no_more_consumers_than_a_channel_may_have() -> Result<()> {
    let server = limited(&["consumers_per_channel_max=2"])?;
    let mut client = server.client().await?;
    client
        .ok(1, method::queue_declare("q", 0, &Table::new()))
        .await?;
    client.open(2).await?;
    let consume = |tag| method::basic_consume("q", tag, 0, &Table::new());
    for channel in [1, 2] {
        for tag in ["a", "b"] {
            client.ok(channel, consume(tag)).await?;
        }
    }
    client.ok(2, method::basic_cancel("a")).await?;
    client.ok(2, consume("c")).await?;
    let full = "530x reached maximum (2) of consumers per channel";
    client.expect(1, consume("c"), full).await
}
