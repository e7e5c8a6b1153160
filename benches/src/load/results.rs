//! From counters and tallies to the figures of a run.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::load::consumer::Consumed;
use crate::load::latency::Latency;
use crate::load::outcome::LoadResults;
use crate::load::producer::Produced;
use crate::load::run::Run;
use crate::load::shared::{Shared, Totals};
use crate::load::verdict::{Verdict, judge};
use crate::process;
use crate::wire::Connection;

/// Queue arguments that let a broker drop messages, so that absence is no loss.
const DROPPING: [&str; 4] = [
    "x-message-ttl",
    "x-max-length",
    "x-max-length-bytes",
    "x-expires",
];

/// What is read at one moment: the counters, and the processor time of both sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) totals: Totals,
    generator: Option<f64>,
    broker: Option<f64>,
    resident_bytes: Option<u64>,
}

/// The two ends of the measured time.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) before: Reading,
    pub(super) after: Reading,
}

impl Reading {
    /// Reads now; the broker's figures need its process.
    pub(super) fn take(shared: &Shared, broker: Option<u32>) -> Self {
        Self {
            totals: shared.totals(),
            generator: process::cpu_seconds(None),
            broker: broker.and_then(|pid| process::cpu_seconds(Some(pid))),
            resident_bytes: broker.and_then(process::resident_bytes),
        }
    }
}

/// Messages per second between two moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) published: f64,
    confirmed: f64,
    pub(super) received: f64,
}

impl Rates {
    pub(super) fn between(before: &Totals, after: &Totals) -> Self {
        let seconds = seconds_between(before, after);
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        Self {
            published: rate(before.published, after.published),
            confirmed: rate(before.confirmed, after.confirmed),
            received: rate(before.received, after.received),
        }
    }
}

fn seconds_between(before: &Totals, after: &Totals) -> f64 {
    after.at.saturating_sub(before.at).max(1) as f64 / 1e9
}

fn difference(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    Some(after? - before?)
}

impl Run<'_> {
    /// Judges the run and puts its figures together.
    pub(super) fn results(
        &self,
        admin: &mut Connection,
        window: &Measured,
        produced: Vec<Produced>,
        consumed: Vec<Consumed>,
    ) -> Result<LoadResults> {
        let options = self.options;
        let (before, after) = (&window.before.totals, &window.after.totals);
        let numbered = options.size >= 8;
        let verdict = judge(self.topology, &produced, &consumed, numbered);
        let (lost, remaining) = self.look_for(admin, &verdict)?;
        let rates = Rates::between(before, after);
        let (consuming, draining) = (!consumed.is_empty(), options.drain.is_some());
        let mut latency = Latency::default();
        consumed
            .into_iter()
            .for_each(|one| latency.add(one.latency));
        let mut results = LoadResults {
            measured_seconds: seconds_between(before, after),
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
            generator_cpu_seconds: difference(window.before.generator, window.after.generator),
            broker_cpu_seconds: difference(window.before.broker, window.after.broker),
            broker_resident_bytes: window.after.resident_bytes,
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
        let drops = |(name, _): &(String, _)| DROPPING.contains(&name.as_str());
        let may_drop = self.options.queue_args.iter().any(drops);
        let lost = verdict.missing.saturating_sub(remaining);
        Ok(((!may_drop).then_some(lost), remaining))
    }
}
