//! What a load measured, as a table for people and as JSON for programs.

use serde::Serialize;

use crate::load::latency::Percentiles;
use crate::load::options::LoadOptions;
use crate::wire::Uri;

/// One finished load.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LoadOutcome {
    pub(crate) benchmark: &'static str,
    pub(crate) uri: Uri,
    pub(crate) parameters: LoadOptions,
    pub(crate) results: LoadResults,
}

/// The figures of one load. Rates are of the measured time, counts of the whole run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LoadResults {
    pub(crate) measured_seconds: f64,
    pub(crate) published_per_second: Option<f64>,
    pub(crate) confirmed_per_second: Option<f64>,
    pub(crate) consumed_per_second: Option<f64>,
    pub(crate) latency_microseconds: Option<Percentiles>,
    pub(crate) confirm_latency_microseconds: Option<Percentiles>,
    pub(crate) published: u64,
    pub(crate) received: u64,
    pub(crate) redelivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    /// Neither received nor in a queue; unknown where the queue may drop messages.
    pub(crate) lost: Option<u64>,
    /// Still in the queues at the end.
    pub(crate) remaining: u64,
    pub(crate) nacked: u64,
    pub(crate) unconfirmed: u64,
    pub(crate) blocked: u64,
    pub(crate) generator_cpu_seconds: Option<f64>,
    pub(crate) broker_cpu_seconds: Option<f64>,
    pub(crate) broker_resident_bytes: Option<u64>,
}

impl LoadResults {
    /// Whether the broker kept its word.
    pub(crate) fn is_sound(&self) -> bool {
        self.lost.unwrap_or(0) == 0
            && self.duplicates == 0
            && self.out_of_order == 0
            && self.unconfirmed == 0
    }

    /// What the broker did wrong, if anything.
    pub(crate) fn faults(&self) -> String {
        let lost = self
            .lost
            .map_or("unknown".to_owned(), |lost| lost.to_string());
        let Self {
            duplicates,
            out_of_order,
            nacked,
            unconfirmed,
            ..
        } = self;
        format!(
            "lost {lost}  duplicates {duplicates}  out of order {out_of_order}  \
             nacked {nacked}  unconfirmed {unconfirmed}"
        )
    }

    /// The table's lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let rates = [
            ("published", self.published_per_second),
            ("confirmed", self.confirmed_per_second),
            ("consumed", self.consumed_per_second),
        ];
        for (name, rate) in rates {
            if let Some(rate) = rate {
                lines.push(format!("{name:<18}{rate:>14.0} /s"));
            }
        }
        let latencies = [
            ("latency", &self.latency_microseconds),
            ("confirm latency", &self.confirm_latency_microseconds),
        ];
        for (name, percentiles) in latencies {
            if let Some(Percentiles {
                p50,
                p95,
                p99,
                p999,
                max,
                ..
            }) = percentiles
            {
                lines.push(format!(
                    "{name:<18}p50 {p50:.0}  p95 {p95:.0}  p99 {p99:.0}  p99.9 {p999:.0}  \
                     max {max:.0} us"
                ));
            }
        }
        lines.push(format!(
            "{:<18}published {}  received {}  remaining {}  redelivered {}",
            "messages", self.published, self.received, self.remaining, self.redelivered
        ));
        lines.push(format!("{:<18}{}", "faults", self.faults()));
        if self.blocked > 0 {
            lines.push(format!(
                "{:<18}{} times by the broker",
                "blocked", self.blocked
            ));
        }
        let share = |seconds: f64| 100.0 * seconds / self.measured_seconds;
        if let Some(seconds) = self.generator_cpu_seconds {
            lines.push(format!(
                "{:<18}{:.0} % of a core",
                "generator",
                share(seconds)
            ));
        }
        if let Some(seconds) = self.broker_cpu_seconds {
            let resident = self.broker_resident_bytes.unwrap_or(0) >> 20;
            let share = share(seconds);
            lines.push(format!(
                "{:<18}{share:.0} % of a core, {resident} MiB",
                "broker"
            ));
        }
        lines
    }
}
