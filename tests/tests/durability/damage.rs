//! Damage from outside: a closed store with one flipped bit, one page of zeros, or one file cut.
//!
//! Whatever it is, the broker starts, delivers nothing that was not published, and whatever is
//! missing or came back although it was settled is in a report (storage guarantees G4 and G5).

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::checker::{MessageId, Seen};
use leveret_tests::client::{Client, Delivery};
use leveret_tests::outcome::Outcome;
use leveret_tests::process::{self, BrokerCommand};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::Table;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::crash::{say, seed};
use super::world::connect;

const QUEUES: [&str; 3] = ["short", "long", "settled"];

/// How many messages each of them gets.
const MESSAGES: [u32; 3] = [40, 900, 300];

const PAGE: u64 = 4096;

/// What happened to one file.
#[derive(Clone, Debug)]
enum Damage {
    Flipped { file: PathBuf, at: u64, bit: u8 },
    Zeroed { file: PathBuf, at: u64 },
    Cut { file: PathBuf, at: u64 },
}

impl Damage {
    /// Picks something that changes a file of `store`. Space that was only reserved is left alone.
    fn pick(store: &Path, random: &mut StdRng) -> Result<Self> {
        let files: Vec<PathBuf> = files(store)?
            .into_iter()
            .filter(|file| {
                let name = file.file_name().unwrap_or_default();
                name != "LOCK" && name != "FORMAT"
            })
            .collect();
        loop {
            let file = files.choose(random).context("a store has files")?;
            let content = fs::read(file)?;
            let Some(used) = content.iter().rposition(|byte| *byte != 0) else {
                continue;
            };
            let used = used as u64 + 1;
            let at = random.random_range(0..used);
            let file = file.strip_prefix(store)?.to_owned();
            let page = at / PAGE * PAGE;
            return Ok(match random.random_range(0..4) {
                0 => Self::Cut { file, at: page },
                1 => {
                    let end = used.min(page + PAGE);
                    let is_zero = |at: u64| content.get(at as usize) == Some(&0);
                    if (page..end).all(is_zero) {
                        continue;
                    }
                    Self::Zeroed { file, at: page }
                }
                _ => {
                    let bit = random.random_range(0..8);
                    Self::Flipped { file, at, bit }
                }
            });
        }
    }

    fn inflict(&self, store: &Path) -> Result<()> {
        let open = |file: &Path| {
            File::options()
                .read(true)
                .write(true)
                .open(store.join(file))
        };
        match self {
            Self::Flipped { file, at, bit } => {
                let file = open(file)?;
                let mut byte = [0];
                file.read_exact_at(&mut byte, *at)?;
                file.write_all_at(&[byte[0] ^ (1 << bit)], *at)?;
            }
            Self::Zeroed { file, at } => {
                let file = open(file)?;
                let length = file.metadata()?.len().min(at + PAGE) - at;
                file.write_all_at(&vec![0; usize::try_from(length)?], *at)?;
            }
            Self::Cut { file, at } => open(file)?.set_len(*at)?,
        }
        Ok(())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flipped { file, at, bit } => {
                write!(formatter, "bit {bit} of byte {at} of {}", file.display())
            }
            Self::Zeroed { file, at } => {
                write!(formatter, "zeros from {at} of {}", file.display())
            }
            Self::Cut { file, at } => write!(formatter, "{} cut at {at}", file.display()),
        }
    }
}

/// What was published to the store, and what of it was settled.
struct Published {
    folder: TempDir,
    live: BTreeMap<&'static str, BTreeSet<MessageId>>,
    settled: BTreeSet<MessageId>,
}

impl Published {
    /// Fills a store on both sides of a checkpoint, and closes it in order.
    async fn new(random: &mut StdRng) -> Result<Self> {
        let folder = TempDir::new()?;
        let mut broker = command(folder.path()).start()?;
        let mut client = connect(&broker.address).await?;
        client.open(2).await?;
        client.ok(2, method::confirm_select()).await?;
        let mut published = Self {
            folder,
            live: BTreeMap::new(),
            settled: BTreeSet::new(),
        };
        for queue in QUEUES {
            let declare = method::queue_declare(queue, queue_bits::DURABLE, &Table::new());
            client.ok(1, declare).await?;
        }
        for half in 0..2 {
            for (publisher, queue) in (0..).zip(QUEUES) {
                published
                    .publish(&mut client, publisher, queue, half, random)
                    .await?;
            }
            published.settle(&mut client, "settled", 140).await?;
            published.settle(&mut client, "long", 100).await?;
            // The first checkpoint is taken a second after the first change.
            tokio::time::sleep(std::time::Duration::from_millis(1300 * (1 - half))).await;
        }
        client.close().await?;
        broker.stop()?;
        Ok(published)
    }

    async fn publish(
        &mut self,
        client: &mut Client,
        publisher: u32,
        queue: &'static str,
        half: u64,
        random: &mut StdRng,
    ) -> Result<()> {
        let count = MESSAGES[publisher as usize] / 2;
        let first = u32::try_from(half)? * count;
        for sequence in first..first + count {
            let message = MessageId {
                publisher,
                sequence,
            };
            let body = message.body(random.random_range(12..3000));
            let properties = message.properties("", queue);
            let publish = method::basic_publish("", queue, 0);
            client.publish(2, publish, &properties, body).await?;
            self.live.entry(queue).or_default().insert(message);
        }
        // A confirm of the last covers all: the broker has nothing else to do.
        let probe = method::basic_publish("", "nowhere", 0);
        client
            .publish(2, probe, &Properties::persistent(), "")
            .await?;
        client.ok(2, method::channel_close()).await?;
        client.open(2).await?;
        client.ok(2, method::confirm_select()).await?;
        client
            .await_ready(1, queue, u32::try_from(self.live[queue].len())?)
            .await
    }

    /// Acknowledges the first `count` messages of a queue.
    async fn settle(&mut self, client: &mut Client, queue: &'static str, count: u16) -> Result<()> {
        client.ok(1, method::basic_qos(0, count, false)).await?;
        let consume = method::basic_consume(queue, "first", 0, &Table::new());
        client.ok(1, consume).await?;
        let mut tag = 0;
        for _ in 0..count {
            let delivery = client.delivery(1).await?;
            let message = Seen::read(&delivery).message.context("a message of ours")?;
            tag = delivery.tag;
            self.settled.insert(message);
            self.live.entry(queue).or_default().remove(&message);
        }
        client.ok(1, method::basic_cancel("first")).await?;
        client.send(1, &method::basic_ack(tag, true)).await?;
        // Answered after the acks were taken; what came too much goes back.
        client.ok(1, method::channel_close()).await?;
        client.open(1).await
    }

    /// Damages a copy, starts a broker on it, and looks at everything.
    async fn trial(&self, random: &mut StdRng) -> Result<Outcomes> {
        let folder = TempDir::new()?;
        copy(
            &self.folder.path().join("data"),
            &folder.path().join("data"),
        )?;
        let store = folder.path().join("data");
        let damage = Damage::pick(&store, random)?;
        damage.inflict(&store)?;
        self.judge(folder.path())
            .await
            .with_context(|| format!("with {damage}"))
    }

    async fn judge(&self, folder: &Path) -> Result<Outcomes> {
        let verified = verify(&folder.join("data"))?;
        let mut broker = command(folder).start()?;
        let mut client = connect(&broker.address).await?;
        let mut outcomes = Outcomes::default();
        for queue in QUEUES {
            match take_all(&mut client, queue).await? {
                Some(seen) => self.compare(queue, &seen, &mut outcomes)?,
                None => {
                    outcomes.missing += self.live[queue].len() as u64;
                    client.open(1).await?;
                }
            }
        }
        // Everybody else is served.
        let mut other = connect(&broker.address).await?;
        let declare = method::queue_declare("new", queue_bits::DURABLE, &Table::new());
        other.ok(1, declare).await?;
        other.put(1, "new", "after").await?;
        ensure!(other.take(1, "new").await?.text() == "after");
        broker.kill()?;

        let reported = verified || reports(&folder.join("log.txt"))?;
        outcomes.reported = u64::from(reported);
        ensure!(
            reported || (outcomes.missing == 0 && outcomes.back == 0),
            "{} messages are missing and {} came back, and nothing is said of it",
            outcomes.missing,
            outcomes.back
        );
        Ok(outcomes)
    }

    fn compare(&self, queue: &'static str, seen: &[Seen], outcomes: &mut Outcomes) -> Result<()> {
        let mut missing = self.live[queue].clone();
        let mut last = None;
        for one in seen {
            let message = one.message.filter(|_| one.intact);
            let message = message.with_context(|| format!("{queue} gave {one:?}"))?;
            ensure!(last < Some(message), "{queue}: {message:?} after {last:?}");
            last = Some(message);
            if missing.remove(&message) {
                continue;
            }
            ensure!(self.settled.contains(&message), "{queue} gave {message:?}");
            outcomes.back += 1;
        }
        outcomes.missing += missing.len() as u64;
        Ok(())
    }
}

/// What damage led to, over all trials.
#[derive(Debug, Default)]
struct Outcomes {
    missing: u64,
    back: u64,
    reported: u64,
}

/// All messages of a queue, from its head; `None` if there is no such queue.
async fn take_all(client: &mut Client, queue: &str) -> Result<Option<Vec<Seen>>> {
    let passive = method::queue_declare(queue, queue_bits::PASSIVE, &Table::new());
    match client.call(1, passive).await? {
        Outcome::Reply(_) => {}
        Outcome::ChannelClosed(close) if close.code == 404 => return Ok(None),
        other => anyhow::bail!("{queue}: {other:?}"),
    }
    let consume = method::basic_consume(queue, "all", 0, &Table::new());
    client.ok(1, consume).await?;
    client.await_ready(1, queue, 0).await?;
    client.ok(1, method::basic_cancel("all")).await?;
    let kept = client.kept();
    let seen = kept
        .iter()
        .map(|received| Ok(Seen::read(&Delivery::read(received)?)));
    seen.collect::<Result<_>>().map(Some)
}

fn command(folder: &Path) -> BrokerCommand {
    BrokerCommand::new(&folder.join("data"), &folder.join("log.txt"))
}

/// Whether `leveret verify` finds that something is or may be lost.
fn verify(store: &Path) -> Result<bool> {
    let output = Command::new(process::binary()?)
        .arg("verify")
        .arg("--json")
        .arg(store)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        matches!(output.status.code(), Some(0 | 1)),
        "verify ended with {}: {text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let report: serde_json::Value = serde_json::from_str(&text)?;
    let is_cut = report["cut"].as_array().is_some_and(|cut| !cut.is_empty());
    Ok(is_cut || output.status.code() == Some(1))
}

/// Whether the broker's log tells of damage; bodies and index blocks are looked at when they are
/// reached.
fn reports(log: &Path) -> Result<bool> {
    let text = fs::read_to_string(log)?;
    Ok(text.lines().any(|line| line.contains(" ERROR ")))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Spec 9.9. Spec 9.10.
#[test]
fn a_damaged_store_opens_and_whatever_is_missing_is_reported() {
    let trials: u32 = match env::var("LEVERET_DAMAGES") {
        Ok(text) => text.parse().expect("LEVERET_DAMAGES is a number"),
        Err(_) => 60,
    };
    let seed = seed();
    say(&format!("damage: {trials} trials, LEVERET_SEED={seed}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let mut all = Outcomes::default();
    let result: Result<()> = runtime.block_on(async {
        let mut random = StdRng::seed_from_u64(seed);
        let published = Published::new(&mut random).await?;
        for trial in 0..trials {
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(1 + u64::from(trial)));
            let outcomes = published.trial(&mut random).await;
            let outcomes = outcomes.with_context(|| format!("trial {trial} of seed {seed}"))?;
            all.missing += outcomes.missing;
            all.back += outcomes.back;
            all.reported += outcomes.reported;
        }
        Ok(())
    });
    say(&format!("damage: {all:?}"));
    if let Err(error) = result {
        panic!("{error:#}");
    }
    assert!(
        trials < 20 || (all.missing > 0 && all.reported > 0),
        "nothing was damaged that mattered: {all:?}"
    );
}
