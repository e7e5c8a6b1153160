//! A disk that runs full: publishers wait, nothing is confirmed that is not on the disk, consumers
//! drain, and all is well when there is space again. On a small file system in memory, which only
//! root can make.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leveret_tests::client::{Client, Delivery};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::Table;
use tempfile::TempDir;

use super::process::{ANY_PORTS, PATIENCE, Server, command};

const QUEUE: &str = "kept";
const BODY_BYTES: usize = 64 << 10;

/// A file system of its own. Unmounted when dropped.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None`, and a word about it, where none can be made.
    fn mount(mebibytes: u32) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={mebibytes}m"),
                "leveret",
            ])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Some(Self { folder })),
            refused => {
                // Past the harness's capture, so that nobody takes it for a pass.
                let line = format!("SKIPPED: disk_full: no small disk: {refused:?}\n");
                std::io::stderr().write_all(line.as_bytes())?;
                Ok(None)
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn server(&self) -> Result<Server> {
        let mut command = command(self.folder.path());
        command
            .args(ANY_PORTS)
            .args(["--set", "disk_free_limit.absolute=24MiB"])
            .arg("--data-dir")
            .arg(self.data());
        Server::start(command)
    }

    /// Takes all the space that is left; it is given back when the file is removed.
    fn fill(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("filler");
        let mut file = fs::File::create(&path)?;
        let block = vec![1; 64 << 10];
        while let Ok(written) = file.write(&block) {
            ensure!(written > 0, "nothing was written, and nothing refused");
        }
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the folder's own removal would fail the test.
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.folder.path())
            .status();
    }
}

fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_string().into_bytes();
    body.resize(BODY_BYTES, b' ');
    body
}

fn number(delivery: &Delivery) -> Result<u64> {
    delivery
        .text()
        .trim_end()
        .parse()
        .context("not one of ours")
}

/// A client that publishes and knows what was confirmed.
struct Publisher {
    client: Client,
    sent: u64,
    answered: u64,
    confirmed: BTreeSet<u64>,
}

impl Publisher {
    async fn connect(server: &Server) -> Result<Self> {
        let mut client = server.client().await?;
        client.ok(1, method::confirm_select()).await?;
        Ok(Self {
            client,
            sent: 0,
            answered: 0,
            confirmed: BTreeSet::new(),
        })
    }

    async fn send(&mut self, number: u64) -> Result<()> {
        let publish = method::basic_publish("", QUEUE, 0);
        self.sent += 1;
        ensure!(self.sent == number, "numbers are those of the confirms");
        self.client
            .publish(1, publish, &Properties::persistent(), body(number))
            .await
    }

    /// The next thing that the broker says: `Some` if it blocked or unblocked us.
    async fn hear(&mut self) -> Result<Option<method::MethodId>> {
        let received = self.client.next().await?;
        let acked = match received.method.id {
            method::BASIC_ACK => true,
            method::BASIC_NACK => false,
            other => return Ok(Some(other)),
        };
        let mut reader = received.method.reader();
        let (tag, multiple) = (reader.u64()?, reader.u8()? & 1 == 1);
        let first = if multiple { self.answered + 1 } else { tag };
        for number in first..=tag {
            if acked {
                self.confirmed.insert(number);
            }
        }
        self.answered = self.answered.max(tag);
        Ok(None)
    }

    /// Publishes one after another until the broker blocks us.
    async fn publish_until_blocked(&mut self) -> Result<()> {
        for _ in 0..10_000 {
            self.send(self.sent + 1).await?;
            match self.hear().await? {
                None => {}
                Some(method::CONNECTION_BLOCKED) => return Ok(()),
                Some(other) => bail!("{other:?}"),
            }
        }
        bail!("never blocked")
    }

    async fn await_unblocked(&mut self) -> Result<()> {
        loop {
            match self.hear().await? {
                None => {}
                Some(method::CONNECTION_UNBLOCKED) => return Ok(()),
                Some(other) => bail!("{other:?}"),
            }
        }
    }

    async fn await_answers(&mut self) -> Result<()> {
        while self.answered < self.sent {
            self.hear().await?;
        }
        Ok(())
    }
}

/// Takes `count` messages, acknowledging each; their numbers.
async fn consume(server: &Server, count: usize) -> Result<BTreeSet<u64>> {
    let mut client = server.client().await?;
    client.ok(1, method::basic_qos(0, 50, false)).await?;
    let consume = method::basic_consume(QUEUE, "c", 0, &Table::new());
    client.ok(1, consume).await?;
    let mut taken = BTreeSet::new();
    while taken.len() < count {
        let delivery = client.delivery(1).await?;
        taken.insert(number(&delivery)?);
        client
            .send(1, &method::basic_ack(delivery.tag, false))
            .await?;
    }
    client.close().await?;
    Ok(taken)
}

async fn declare(server: &Server) -> Result<()> {
    let mut client = server.client().await?;
    let declare = method::queue_declare(QUEUE, queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await?;
    client.close().await
}

async fn count(server: &Server) -> Result<usize> {
    let mut client = server.client().await?;
    let (ready, _) = client.counts(1, QUEUE).await?;
    client.close().await?;
    Ok(ready as usize)
}

fn timed_stop(server: &mut Server) -> Result<()> {
    let begun = Instant::now();
    server.signal("TERM")?;
    server.wait()?;
    let taken = begun.elapsed();
    ensure!(taken < Duration::from_secs(10), "it took {taken:?} to stop");
    Ok(())
}

/// Whatever the disk holds must be what was confirmed and not taken, and what was never answered.
async fn expect_exactly(folder: &Path, publisher: &Publisher, taken: &BTreeSet<u64>) -> Result<()> {
    let server = Server::on_folder(folder)?;
    let found = consume(&server, count(&server).await?).await?;
    let lost: Vec<_> = publisher
        .confirmed
        .difference(taken)
        .filter(|number| !found.contains(number))
        .collect();
    ensure!(lost.is_empty(), "confirmed and lost: {lost:?}");
    ensure!(found.iter().all(|number| *number <= publisher.sent));
    Ok(())
}

/// Spec 9.9. Spec 11.1.
#[tokio::test]
async fn consumers_make_room_and_publishers_go_on() -> Result<()> {
    let Some(disk) = SmallDisk::mount(96)? else {
        return Ok(());
    };
    let mut server = disk.server()?;
    declare(&server).await?;
    let mut publisher = Publisher::connect(&server).await?;
    publisher.publish_until_blocked().await?;
    let taken = consume(&server, count(&server).await?).await?;
    publisher.await_unblocked().await?;
    let before = publisher.sent;
    publisher.send(before + 1).await?;
    publisher.await_answers().await?;
    ensure!(publisher.confirmed.contains(&(before + 1)), "not confirmed");
    timed_stop(&mut server)?;
    expect_exactly(&disk.data(), &publisher, &taken).await
}

/// Spec 9.9. Not one byte is left: what has no room is refused, what was confirmed is there.
#[tokio::test]
async fn a_disk_without_a_byte_left_loses_nothing_that_was_confirmed() -> Result<()> {
    let Some(disk) = SmallDisk::mount(96)? else {
        return Ok(());
    };
    let mut server = disk.server()?;
    declare(&server).await?;
    let mut publisher = Publisher::connect(&server).await?;
    for number in 1..=100 {
        publisher.send(number).await?;
    }
    publisher.await_answers().await?;
    ensure!(
        publisher.confirmed.len() == 100,
        "{:?}",
        publisher.confirmed
    );

    let filler = disk.fill()?;
    publisher.publish_until_blocked().await?;
    let taken = consume(&server, 50).await?;
    fs::remove_file(&filler)?;
    publisher.await_unblocked().await?;
    let last = publisher.sent + 1;
    publisher.send(last).await?;
    publisher.await_answers().await?;
    ensure!(
        publisher.confirmed.contains(&last),
        "not confirmed after recovery"
    );

    let filler = disk.fill()?;
    timed_stop(&mut server)?;
    fs::remove_file(&filler)?;
    expect_exactly(&disk.data(), &publisher, &taken).await
}

/// Spec 9.9. Killed while there is no room: it starts with what it has, and blocks at once.
#[tokio::test]
async fn a_broker_starts_on_a_full_disk() -> Result<()> {
    let Some(disk) = SmallDisk::mount(96)? else {
        return Ok(());
    };
    let mut server = disk.server()?;
    declare(&server).await?;
    let mut publisher = Publisher::connect(&server).await?;
    publisher.publish_until_blocked().await?;
    server.signal("KILL")?;
    server.wait()?;
    let mut server = disk.server()?;
    let mut other = Publisher::connect(&server).await?;
    other.publish_until_blocked().await?;
    let deadline = Instant::now() + PATIENCE;
    let taken = consume(&server, count(&server).await?).await?;
    other.await_unblocked().await?;
    ensure!(Instant::now() < deadline, "it took too long");
    ensure!(
        publisher
            .confirmed
            .iter()
            .all(|number| taken.contains(number)),
        "confirmed messages are missing"
    );
    timed_stop(&mut server)
}
