//! The crash loop: a broker under load is killed, started again, and judged.

use std::env;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leveret_tests::checker::Counts;
use leveret_tests::process::{self, BrokerCommand, BrokerProcess};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::load::{self, Load};
use super::observe::observe;
use super::world::World;

/// Rounds on one directory; then the next one starts empty.
const ROUNDS_PER_DIRECTORY: u32 = 10;

/// How brokers are killed.
#[derive(Clone, Copy, Debug)]
struct Plan {
    name: &'static str,
    rounds: u32,
    load: Load,
    /// Milliseconds of load before the broker is killed.
    run_ms: (u64, u64),
    /// How often it is killed again while it starts, at most.
    kills_at_start_max: u32,
    /// One in so many is stopped in order instead.
    stopped_one_in: u32,
}

/// Spec 9.1. Spec 9.2. Spec 9.3. Spec 9.4. Spec 9.5. Spec 9.6.
#[test]
fn what_was_confirmed_survives_kill_9_under_load() {
    run(&Plan {
        name: "crash loop",
        rounds: rounds(1),
        load: Load {
            messages: 1500,
            large_bytes: 70_000,
        },
        run_ms: (30, 700),
        kills_at_start_max: 0,
        stopped_one_in: 12,
    });
}

/// Spec 9.1. Spec 9.4.
#[test]
fn a_second_crash_during_recovery_loses_nothing_either() {
    run(&Plan {
        name: "crash during recovery",
        rounds: rounds(4),
        load: Load {
            messages: 1500,
            large_bytes: 70_000,
        },
        run_ms: (30, 400),
        kills_at_start_max: 3,
        stopped_one_in: 1000,
    });
}

/// Spec 9.4.
#[test]
fn a_crash_while_a_checkpoint_is_taken_loses_nothing() {
    run(&Plan {
        name: "crash during a checkpoint",
        rounds: rounds(10),
        load: Load {
            messages: 20_000,
            large_bytes: 400_000,
        },
        run_ms: (1000, 2500),
        kills_at_start_max: 1,
        stopped_one_in: 1000,
    });
}

/// The rounds that were asked for, divided.
fn rounds(share: u32) -> u32 {
    let asked = env::var("LEVERET_CRASH_ROUNDS").ok();
    let asked = asked.map_or(50, |text| {
        text.parse().expect("LEVERET_CRASH_ROUNDS is a number")
    });
    u32::div_ceil(asked, share)
}

/// The seed that was asked for, or any.
pub(crate) fn seed() -> u64 {
    match env::var("LEVERET_SEED") {
        Ok(text) => text.parse().expect("LEVERET_SEED is a number"),
        Err(_) => rand::random(),
    }
}

/// Says a line past the test harness's capture.
pub(crate) fn say(line: &str) {
    // Nothing can be done about a closed standard error.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn run(plan: &Plan) {
    let seed = seed();
    say(&format!(
        "{}: {} rounds, LEVERET_SEED={seed}",
        plan.name, plan.rounds
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let started = Instant::now();
    let mut counts = Counts::default();
    let mut directory = None;
    for round in 0..plan.rounds {
        if round % ROUNDS_PER_DIRECTORY == 0 {
            directory = Some(Directory::new().expect("a directory is made"));
        }
        let directory = directory.as_mut().expect("the first round makes one");
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(u64::from(round)));
        let outcome = runtime.block_on(directory.round(plan, &mut random));
        match outcome {
            Ok(of_round) => counts.add(&of_round),
            Err(error) => {
                let kept = directory.keep();
                panic!(
                    "{}: round {round} of LEVERET_SEED={seed}, kept in {}: {error:#}",
                    plan.name,
                    kept.display()
                );
            }
        }
    }
    say(&format!(
        "{}: {:?}, {counts:?}",
        plan.name,
        started.elapsed()
    ));
    assert!(
        counts.confirmed > u64::from(plan.rounds),
        "there was nothing to lose: {counts:?}"
    );
}

/// A data directory, and what is known of it.
struct Directory {
    folder: TempDir,
    command: BrokerCommand,
    world: Arc<World>,
    /// The one that was observed last: its clients' acks are not to be undone by another crash.
    broker: Option<BrokerProcess>,
}

impl Directory {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let command =
            BrokerCommand::new(&folder.path().join("data"), &folder.path().join("log.txt"));
        Ok(Self {
            folder,
            command,
            world: Arc::default(),
            broker: None,
        })
    }

    fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// Load, crash, restart, judgement.
    async fn round(&mut self, plan: &Plan, random: &mut StdRng) -> Result<Counts> {
        let mut broker = match self.broker.take() {
            Some(broker) => broker,
            None => {
                let broker = self.command.start()?;
                self.world.declare(&broker.address).await?;
                broker
            }
        };
        self.load_and_kill(&mut broker, plan, random).await?;
        for _ in 0..random.random_range(0..=plan.kills_at_start_max) {
            let mut child = self.command.spawn()?;
            let alive = random.random_range(0..200);
            tokio::time::sleep(Duration::from_millis(alive)).await;
            process::kill(&mut child)?;
        }
        let broker = self.command.start()?;
        let observed = observe(&self.world, &broker.address, random).await;
        let verdict = observed.with_context(|| broker.log_tail())?;
        let shown: Vec<_> = verdict.faults.iter().zip(&verdict.facts).take(20).collect();
        ensure!(
            verdict.faults.is_empty(),
            "{} faults, {shown:#?}, {:?}",
            verdict.faults.len(),
            verdict.counts
        );
        self.broker = Some(broker);
        Ok(verdict.counts)
    }

    async fn load_and_kill(
        &self,
        broker: &mut BrokerProcess,
        plan: &Plan,
        random: &mut StdRng,
    ) -> Result<()> {
        self.world.set_dying(false);
        let mut clients = load::spawn(&self.world, &broker.address, plan.load, random);
        let run_ms = random.random_range(plan.run_ms.0..plan.run_ms.1);
        tokio::time::sleep(Duration::from_millis(run_ms)).await;
        self.world.set_dying(true);
        if random.random_ratio(1, plan.stopped_one_in) {
            broker.stop()?;
        } else {
            broker.kill()?;
        }
        while let Some(ended) = clients.join_next().await {
            ended?.with_context(|| broker.log_tail())?;
        }
        Ok(())
    }
}
