//! One run from the first declare to the last delete.

use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::load::consumer::{Acknowledge, Consumed, ConsumerPlan, Consumers};
use crate::load::options::LoadOptions;
use crate::load::outcome::{LoadOutcome, LoadResults};
use crate::load::pace::Pace;
use crate::load::producer::{Produced, Producer, ProducerPlan};
use crate::load::results::{Measured, Rates, Reading};
use crate::load::ring::{MessageShape, PublishRing};
use crate::load::shared::Shared;
use crate::load::topology::Topology;
use crate::load::workers::{StopOnDrop, Workers, both, connect, join, spawn};
use crate::progress::Progress;
use crate::wire::{Acknowledgement, Connection, Uri};

/// The coordinator's own step while it waits.
const STEP: Duration = Duration::from_millis(20);

/// Runs one load against `uri`.
pub(crate) fn run(uri: &Uri, options: &LoadOptions, progress: &Progress) -> Result<LoadOutcome> {
    options.check()?;
    let topology = Topology::plan(options, &run_name())?;
    let mut admin = Connection::open(uri)?;
    admin.open_channel(1)?;
    let declared = topology.declare(&mut admin).context("declaring the queues");
    let run = Run {
        uri,
        options,
        topology: &topology,
        progress,
    };
    let results = declared.and_then(|()| run.drive(&mut admin));
    // The connection may have died with the run; the names must go all the same.
    let deleted = Connection::open(uri).and_then(|mut connection| {
        connection.open_channel(1)?;
        topology.delete(&mut connection)
    });
    let results = results?;
    deleted.context("deleting the queues")?;
    let parameters = options.clone();
    Ok(LoadOutcome {
        benchmark: "load",
        uri: uri.clone(),
        parameters,
        results,
    })
}

/// A name that no other run has.
pub(crate) fn run_name() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!(
        "leveret-bench.{:x}.{:x}",
        now.as_nanos(),
        std::process::id()
    )
}

/// The fixed facts of a run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    uri: &'a Uri,
    pub(super) options: &'a LoadOptions,
    pub(super) topology: &'a Topology,
    progress: &'a Progress,
}

impl Run<'_> {
    fn drive(&self, admin: &mut Connection) -> Result<LoadResults> {
        let options = self.options;
        let consumers = options.consumer_count();
        let connections = options
            .consumer_connections
            .unwrap_or(consumers)
            .min(consumers);
        let producing = connect(self.uri, options.producers)?;
        let consuming = connect(self.uri, connections)?;
        let shared = Arc::new(Shared::new(options.producers, connections));
        let _stop = StopOnDrop(Arc::clone(&shared));
        if let Some(count) = options.drain {
            let produced = self.prepare(&shared, producing, count)?;
            return self.drain(admin, &shared, consuming, produced);
        }
        let start = shared.now();
        let measured_from = start + nanoseconds(options.warmup);
        let measured = measured_from..measured_from + nanoseconds(options.seconds);
        let consumers = self.start_consumers(&shared, consuming, measured.clone())?;
        let schedule = Schedule {
            start,
            stop: measured.end,
            count: u64::MAX,
            measured,
        };
        let producers = self.start_producers(&shared, producing, &schedule)?;
        let window = self.measure(&shared, &schedule.measured);
        let (produced, consumed) = both(join(producers), self.finish(&shared, consumers))?;
        self.results(admin, &window, produced, consumed)
    }

    /// Fills the queues that are to be drained.
    fn prepare(
        &self,
        shared: &Arc<Shared>,
        connections: Vec<Connection>,
        count: u64,
    ) -> Result<Vec<Produced>> {
        let producers = self.options.producers as u64;
        let count = count.div_ceil(producers);
        let schedule = Schedule {
            start: 0,
            stop: u64::MAX,
            count,
            measured: 0..0,
        };
        let workers = self.start_producers(shared, connections, &schedule)?;
        while workers.iter().any(|worker| !worker.is_finished()) && !shared.failed() {
            let published = shared.totals().published;
            self.progress
                .show(published as f64 / (count * producers) as f64, "preparing");
            thread::sleep(STEP);
        }
        join(workers)
    }

    /// Consumes what was prepared; the time runs from the first consume to the last delivery.
    fn drain(
        &self,
        admin: &mut Connection,
        shared: &Arc<Shared>,
        connections: Vec<Connection>,
        produced: Vec<Produced>,
    ) -> Result<LoadResults> {
        let before = Reading::take(shared, self.options.pid);
        let due = shared.in_flight();
        let workers = self.start_consumers(shared, connections, 0..0)?;
        let mut latest = (0, shared.now());
        while shared.in_flight() > 0 && !shared.finished() {
            let received = shared.totals().received;
            if received > latest.0 {
                latest = (received, shared.now());
            } else if shared.now() - latest.1 > nanoseconds(self.options.drain_seconds) {
                break;
            }
            self.progress.show(received as f64 / due as f64, "draining");
            thread::sleep(STEP);
        }
        let mut after = Reading::take(shared, self.options.pid);
        after.totals.at = shared.received_at().max(before.totals.at + 1);
        shared.finish();
        let consumed = join(workers)?;
        self.results(admin, &Measured { before, after }, produced, consumed)
    }

    fn start_producers(
        &self,
        shared: &Arc<Shared>,
        connections: Vec<Connection>,
        schedule: &Schedule,
    ) -> Result<Workers<Produced>> {
        let options = self.options;
        let mut producers = Vec::new();
        for (index, mut connection) in (0_u16..=u16::MAX).zip(connections) {
            connection.open_channel(1)?;
            if options.confirm_window > 0 {
                connection.select_confirms(1)?;
            }
            let producer = usize::from(index);
            let keys = self.topology.keys_of(producer);
            let ring = PublishRing::build(&MessageShape {
                exchange: self.topology.exchange(),
                keys: keys.iter().map(|key| self.topology.key(*key)).collect(),
                body_bytes: options.size,
                persistent: options.persistent,
                priorities: 0,
                expiration: None,
                frame_bytes_max: connection.frame_bytes_max(),
            })?;
            let plan = ProducerPlan {
                index,
                copies: self.topology.copies_of(producer),
                confirm_window: options.confirm_window,
                pace: options
                    .rate
                    .map(|rate| Pace::new(rate, options.producers, producer)),
                in_flight_max: options.in_flight_max,
                message_count_max: schedule.count,
                start_at: schedule.start,
                stop_at: schedule.stop,
                measured: schedule.measured.clone(),
                confirm_wait: Duration::from_secs_f64(options.drain_seconds),
            };
            producers.push(Producer::new(plan, connection, ring, Arc::clone(shared)));
        }
        let start = |producer: Producer| spawn("producer", shared, || producer.run());
        producers.into_iter().map(start).collect()
    }

    fn start_consumers(
        &self,
        shared: &Arc<Shared>,
        connections: Vec<Connection>,
        measured: Range<u64>,
    ) -> Result<Workers<Consumed>> {
        let options = self.options;
        let (consumers, queues) = (options.consumer_count(), self.topology.queues());
        let connection_count = connections.len();
        let acknowledge = match (options.auto_ack, options.ack_multiple) {
            (true, _) => Acknowledge::Automatic,
            (false, 1) => Acknowledge::Each,
            (false, count) => Acknowledge::Every(count),
        };
        let by = if options.auto_ack {
            Acknowledgement::Automatic
        } else {
            Acknowledgement::Explicit
        };
        let mut workers = Vec::new();
        for (index, mut connection) in connections.into_iter().enumerate() {
            let own: Vec<usize> = (index..consumers)
                .step_by(connection_count)
                .map(|consumer| consumer % queues.len())
                .collect();
            let channels = || (1_u16..).zip(&own);
            for (channel, _) in channels() {
                connection.open_channel(channel)?;
            }
            for (channel, queue) in channels() {
                let queue = std::slice::from_ref(&queues[*queue]);
                connection.consume_all(channel, queue, &[options.prefetch], by)?;
            }
            let measured = measured.clone();
            let body_bytes = options.size;
            let plan = ConsumerPlan {
                index,
                queues: own,
                acknowledge,
                body_bytes,
                measured,
            };
            let consumers = Consumers::new(plan, connection, Arc::clone(shared))?;
            workers.push(spawn("consumer", shared, || consumers.run())?);
        }
        Ok(workers)
    }

    /// Waits through the run and reads the counters at both ends of the measured time.
    fn measure(&self, shared: &Shared, measured: &Range<u64>) -> Measured {
        self.wait_until(shared, measured.start, measured.end);
        let before = Reading::take(shared, self.options.pid);
        self.wait_until(shared, measured.end, measured.end);
        let after = Reading::take(shared, self.options.pid);
        Measured { before, after }
    }

    fn wait_until(&self, shared: &Shared, until: u64, end: u64) {
        let mut last = shared.totals();
        while !shared.failed() {
            let now = shared.now();
            if now >= until {
                return;
            }
            thread::sleep(STEP.min(Duration::from_nanos(until - now)));
            let totals = shared.totals();
            if totals.at - last.at >= 1_000_000_000 {
                let rates = Rates::between(&last, &totals);
                let text = format!(
                    "published {:.0}/s, consumed {:.0}/s",
                    rates.published, rates.received
                );
                self.progress.show(totals.at as f64 / end as f64, &text);
                last = totals;
            }
        }
    }

    /// Gives the consumers time for what is on the way, then ends them.
    fn finish(&self, shared: &Shared, workers: Workers<Consumed>) -> Result<Vec<Consumed>> {
        let deadline = shared.now() + nanoseconds(self.options.drain_seconds);
        let consuming = !workers.is_empty();
        while consuming && shared.in_flight() > 0 && !shared.failed() && shared.now() < deadline {
            self.progress
                .show(1.0, &format!("{} deliveries to come", shared.in_flight()));
            thread::sleep(STEP);
        }
        shared.finish();
        join(workers)
    }
}

/// When producers start and stop.
struct Schedule {
    start: u64,
    stop: u64,
    count: u64,
    measured: Range<u64>,
}

fn nanoseconds(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds).as_nanos()).unwrap_or(u64::MAX / 4)
}
