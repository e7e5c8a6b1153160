//! A bystander's confirms while the messages of another queue expire, all at once.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::crash::{Backlog, Target, fill};
use crate::features::command::Sample;
use crate::load::{MessageShape, PublishRing, Stamp, run_name};
use crate::progress::Progress;
use crate::wire::{Connection, Uri, method};

/// How long the messages may wait before they have expired; the first has no deadline and holds them.
const EXPIRATION: &str = "1000";
/// How long the bystander is measured while nothing else happens.
const CALM: Duration = Duration::from_secs(5);
/// Between two looks at how many messages are left.
const LOOK: Duration = Duration::from_millis(20);
/// How much longer the slowest of a hundred confirms may take meanwhile.
const SLOWER_MAX: f64 = 2.0;

/// Lets a million messages expire at once.
pub(super) fn measure(
    target: &Target,
    count: u64,
    size: usize,
    progress: &Progress,
) -> Result<Vec<Sample>> {
    let mut victim = target.victim()?;
    victim.start()?;
    let uri = victim.uri();
    let name = run_name();
    let (queue, own) = (format!("{name}.expiring"), format!("{name}.bystander"));
    let mut admin = Connection::open(uri)?;
    admin.open_channel(1)?;
    for queue in [&queue, &own] {
        admin.declare_queue(1, queue, true, &target.queue_arguments)?;
    }
    admin.publish(1, &queue, b"no deadline")?;
    let backlog = Backlog {
        expiration: Some(EXPIRATION),
        ..Backlog::plain(&queue, count, size)
    };
    fill(uri, &backlog, progress)?;
    thread::sleep(Duration::from_secs(2));

    let mut bystander = Bystander::connect(uri, &own)?;
    let begun = Instant::now();
    let calm = bystander.p99_microseconds(|| Ok(begun.elapsed() < CALM))?;
    admin
        .get(1, &queue)?
        .context("the queue lost its first message")?;
    let begun = Instant::now();
    let mut looked = begun;
    let mut seconds = 0.0;
    let busy = bystander.p99_microseconds(|| {
        if looked.elapsed() < LOOK {
            return Ok(true);
        }
        looked = Instant::now();
        seconds = begun.elapsed().as_secs_f64();
        let left = admin.queue_depth(1, &queue)?;
        progress.show(1.0 - left as f64 / count as f64, "expiring");
        Ok(left > 0)
    })?;
    Ok(vec![
        Sample::new("all of the backlog expired within", "s", seconds),
        Sample::new("a bystander's confirm, p99, otherwise", "us", calm),
        Sample::new("a bystander's confirm, p99, meanwhile", "us", busy),
        Sample::new("meanwhile / otherwise", "x", busy / calm).at_most(SLOWER_MAX),
    ])
}

/// Publishes persistent messages one by one, each when the one before was confirmed.
struct Bystander {
    connection: Connection,
    ring: PublishRing,
}

impl Bystander {
    fn connect(uri: &Uri, queue: &str) -> Result<Self> {
        let mut connection = Connection::open(uri)?;
        connection.open_channel(1)?;
        connection.select_confirms(1)?;
        let ring = PublishRing::build(&MessageShape {
            exchange: "",
            keys: vec![queue],
            body_bytes: 64,
            persistent: true,
            priorities: 0,
            expiration: None,
            frame_bytes_max: connection.frame_bytes_max(),
        })?;
        Ok(Self { connection, ring })
    }

    /// The time that 99 of 100 confirms did not exceed, for as long as `goes_on` says so.
    fn p99_microseconds(&mut self, mut goes_on: impl FnMut() -> Result<bool>) -> Result<f64> {
        let mut taken = Vec::new();
        while goes_on()? {
            let begun = Instant::now();
            let (bytes, _) = self.ring.take(1, |_| Stamp {
                producer: 0,
                sequence: 0,
                sent_at: 0,
            });
            self.connection.write(bytes)?;
            self.connection
                .answer(1, &[method::BASIC_ACK], "basic.ack")?;
            taken.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        ensure!(taken.len() >= 100, "only {} confirms came", taken.len());
        taken.sort_by(f64::total_cmp);
        Ok(taken[taken.len() * 99 / 100])
    }
}
