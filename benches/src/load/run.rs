//! One run from the first declare to the last delete.

use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::load::consumer::{Acknowledge, Consumed, ConsumerPlan, Consumers};
use crate::load::latency::Latency;
use crate::load::options::LoadOptions;
use crate::load::outcome::{LoadOutcome, LoadResults};
use crate::load::pace::Pace;
use crate::load::producer::{Produced, Producer, ProducerPlan};
use crate::load::ring::{MessageShape, PublishRing};
use crate::load::shared::{Shared, Totals};
use crate::load::topology::Topology;
use crate::load::verdict::{Verdict, judge};
use crate::load::workers::{StopOnDrop, Workers, connect, join, spawn};
use crate::process;
use crate::progress::Progress;
use crate::wire::{Connection, Uri};

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

struct Run<'a> {
    uri: &'a Uri,
    options: &'a LoadOptions,
    topology: &'a Topology,
    progress: &'a Progress,
}

/// What was read at the two ends of the measured time.
struct Measured {
    before: (Totals, Option<f64>, Option<f64>),
    after: (Totals, Option<f64>, Option<f64>),
    resident_bytes: Option<u64>,
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
        let produced = join(producers)?;
        let consumed = self.finish(&shared, consumers)?;
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
        let before = self.look(shared);
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
        let mut after = self.look(shared);
        after.0.at = shared.received_at().max(before.0.at + 1);
        let resident_bytes = self.options.pid.and_then(process::resident_bytes);
        shared.finish();
        let consumed = join(workers)?;
        self.results(
            admin,
            &Measured {
                before,
                after,
                resident_bytes,
            },
            produced,
            consumed,
        )
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
        let mut workers = Vec::new();
        for (index, mut connection) in connections.into_iter().enumerate() {
            let own: Vec<usize> = (index..consumers)
                .step_by(connection_count)
                .map(|consumer| consumer % queues.len())
                .collect();
            for (channel, queue) in (1_u16..).zip(&own) {
                connection.open_channel(channel)?;
                let queue = &queues[*queue];
                connection.consume(channel, queue, options.prefetch, options.auto_ack)?;
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
        let before = self.look(shared);
        self.wait_until(shared, measured.end, measured.end);
        let after = self.look(shared);
        let resident_bytes = self.options.pid.and_then(process::resident_bytes);
        Measured {
            before,
            after,
            resident_bytes,
        }
    }

    fn look(&self, shared: &Shared) -> (Totals, Option<f64>, Option<f64>) {
        let broker = self
            .options
            .pid
            .and_then(|pid| process::cpu_seconds(Some(pid)));
        (shared.totals(), process::cpu_seconds(None), broker)
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
                let rates = rates(&last, &totals);
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

    fn results(
        &self,
        admin: &mut Connection,
        window: &Measured,
        produced: Vec<Produced>,
        consumed: Vec<Consumed>,
    ) -> Result<LoadResults> {
        let options = self.options;
        let numbered = options.size >= 8;
        let verdict = judge(self.topology, &produced, &consumed, numbered);
        let (lost, remaining) = self.look_for(admin, &verdict)?;
        let rates = rates(&window.before.0, &window.after.0);
        let (consuming, draining) = (!consumed.is_empty(), options.drain.is_some());
        let mut latency = Latency::default();
        consumed
            .into_iter()
            .for_each(|one| latency.add(one.latency));
        let mut results = LoadResults {
            measured_seconds: seconds_between(&window.before.0, &window.after.0),
            published_per_second: (!draining).then_some(rates.published),
            confirmed_per_second: (!draining && options.confirm_window > 0)
                .then_some(rates.confirmed),
            consumed_per_second: consuming.then_some(rates.received),
            latency_microseconds: latency.percentiles(),
            confirm_latency_microseconds: None,
            published: produced.iter().map(|one| one.sent).sum(),
            received: verdict.received,
            redelivered: verdict.redelivered,
            duplicates: verdict.duplicates,
            out_of_order: verdict.out_of_order,
            lost,
            remaining,
            nacked: produced.iter().map(|one| one.nacked.len() as u64).sum(),
            unconfirmed: produced.iter().map(|one| one.unconfirmed).sum(),
            blocked: produced.iter().map(|one| one.blocked_count).sum(),
            generator_cpu_seconds: difference(window.before.1, window.after.1),
            broker_cpu_seconds: difference(window.before.2, window.after.2),
            broker_resident_bytes: window.resident_bytes,
        };
        let mut confirms = Latency::default();
        produced
            .into_iter()
            .for_each(|one| confirms.add(one.confirm_latency));
        results.confirm_latency_microseconds = confirms.percentiles();
        Ok(results)
    }

    /// Looks in the queues for what did not come: lost (if that can be said) and remaining.
    fn look_for(&self, admin: &mut Connection, verdict: &Verdict) -> Result<(Option<u64>, u64)> {
        if verdict.missing == 0 {
            return Ok((Some(0), 0));
        }
        let mut remaining = 0;
        // What a closed consumer held goes back to the queue a moment later.
        for _ in 0..20 {
            remaining = 0;
            for queue in self.topology.queues() {
                remaining += admin.queue_depth(1, queue)?;
            }
            if remaining >= verdict.missing {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let drops = [
            "x-message-ttl",
            "x-max-length",
            "x-max-length-bytes",
            "x-expires",
        ];
        let may_drop = self
            .options
            .queue_args
            .iter()
            .any(|(name, _)| drops.contains(&name.as_str()));
        let lost = verdict.missing.saturating_sub(remaining);
        Ok(((!may_drop).then_some(lost), remaining))
    }
}

/// When producers start and stop.
struct Schedule {
    start: u64,
    stop: u64,
    count: u64,
    measured: Range<u64>,
}

struct Rates {
    published: f64,
    confirmed: f64,
    received: f64,
}

fn rates(before: &Totals, after: &Totals) -> Rates {
    let seconds = seconds_between(before, after);
    let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
    Rates {
        published: rate(before.published, after.published),
        confirmed: rate(before.confirmed, after.confirmed),
        received: rate(before.received, after.received),
    }
}

fn seconds_between(before: &Totals, after: &Totals) -> f64 {
    after.at.saturating_sub(before.at).max(1) as f64 / 1e9
}

fn difference(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    Some(after? - before?)
}

fn nanoseconds(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds).as_nanos()).unwrap_or(u64::MAX / 4)
}
