//! Publishers faster than the disk and consumers that do not read: what they cost the process.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::client::Client;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, consume_bits, queue_bits};
use leveret_tests::raw::value::Table;

use super::process::{ANY_PORTS, PATIENCE, Server, command};

const QUEUE: &str = "q";
const BODY_BYTES: usize = 32 << 10;
/// 160 MiB.
const MESSAGES: usize = 5 << 10;
/// What the process may grow by: its cache of bodies (32 MiB by default), what is on its way, and what
/// the allocator keeps. Less than half of what is sent.
const GROWTH_MAX: u64 = 76 << 20;

/// Bytes of memory that the process has.
fn resident(server: &Server) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kibibytes.context("no VmRSS")?.parse::<u64>()? << 10)
}

fn started(folder: &tempfile::TempDir, settings: &[&str]) -> Result<Server> {
    let mut command = command(folder.path());
    command.args(ANY_PORTS);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.arg("--data-dir").arg(folder.path().join("data"));
    Server::start(command)
}

async fn declare(client: &mut Client) -> Result<()> {
    let declare = method::queue_declare(QUEUE, queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await.map(drop)
}

async fn send(client: &mut Client, body: &[u8]) -> Result<()> {
    let publish = method::basic_publish("", QUEUE, 0);
    client
        .publish(1, publish, &Properties::persistent(), body)
        .await
}

/// Spec 11.3. The log may have 1 MiB that is not written; everything beyond waits in the socket.
#[tokio::test]
async fn a_publisher_faster_than_the_disk_costs_no_memory() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = started(&folder, &["limits.store_backlog_bytes_max=1MiB"])?;
    let mut bystander = server.client().await?;
    declare(&mut bystander).await?;
    let mut publisher = server.client().await?;
    publisher.ok(1, method::confirm_select()).await?;
    let idle = resident(&server)?;
    let body = vec![b'x'; BODY_BYTES];
    let mut most = idle;
    for number in 0..MESSAGES {
        send(&mut publisher, &body).await?;
        if number % 64 == 0 {
            bystander.counts(1, QUEUE).await?;
            most = most.max(resident(&server)?);
        }
    }
    let mut answered = BTreeSet::new();
    while answered.len() < MESSAGES {
        let received = publisher.next().await?;
        ensure!(received.method.id == method::BASIC_ACK, "{received:?}");
        let mut reader = received.method.reader();
        let (tag, multiple) = (reader.u64()?, reader.u8()? == 1);
        answered.extend(if multiple { 1..=tag } else { tag..=tag });
    }
    most = most.max(resident(&server)?);
    ensure!(most - idle < GROWTH_MAX, "{} bytes more", most - idle);
    bystander.expect_ready(1, QUEUE, MESSAGES.try_into()?).await
}

/// Spec 11.4. It acknowledges nothing, so that nothing but its socket holds back what it is sent; the
/// other consumer gets what does not fit there. In the end it is dropped.
#[tokio::test]
async fn a_consumer_that_does_not_read_costs_little_and_is_dropped() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = started(&folder, &["limits.write_timeout_ms=5000"])?;
    let consume = method::basic_consume(QUEUE, "c", consume_bits::NO_ACK, &Table::new());
    let mut deaf = server.client().await?;
    declare(&mut deaf).await?;
    deaf.ok(1, consume.clone()).await?;
    let mut publisher = server.client().await?;
    let idle = resident(&server)?;
    let body = vec![b'x'; BODY_BYTES];
    let mut most = idle;
    for number in 0..MESSAGES {
        send(&mut publisher, &body).await?;
        if number % 64 == 0 {
            most = most.max(resident(&server)?);
        }
    }
    publisher.flush(1, QUEUE).await?;
    let (left, _) = publisher.counts(1, QUEUE).await?;
    // 24 MiB: its outbox, its write buffer, and what the two sockets hold.
    ensure!(left as usize > MESSAGES - 768, "only {left} are left");
    let mut reader = server.client().await?;
    reader.ok(1, consume).await?;
    for _ in 0..left {
        reader.delivery(1).await?;
    }
    most = most.max(resident(&server)?);
    ensure!(most - idle < GROWTH_MAX, "{} bytes more", most - idle);
    let deadline = Instant::now() + PATIENCE;
    while publisher.counts(1, QUEUE).await?.1 > 1 {
        ensure!(Instant::now() < deadline, "it is not dropped");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}
