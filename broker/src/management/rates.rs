//! Rates: how fast counts have changed of late.
//!
//! Nothing is sampled while nobody asks. Each look at the counts is kept as a sample if the last
//! one is old enough, and rates are taken over the time since the sample before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Looks closer to one another than this are not kept.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// Rates over less time than this would jump with every single message.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// Counts by name.
pub(super) type Counts = BTreeMap<&'static str, u64>;

/// The last samples.
#[derive(Debug)]
pub(super) struct Rates(Mutex<Samples>);

#[derive(Debug)]
struct Samples {
    older: Sample,
    newer: Sample,
}

#[derive(Clone, Debug)]
struct Sample {
    taken: Instant,
    counts: Counts,
}

impl Rates {
    /// Everything was 0 when the broker started.
    pub(super) fn new() -> Self {
        let start = Sample {
            taken: Instant::now(),
            counts: Counts::new(),
        };
        Self(Mutex::new(Samples {
            older: start.clone(),
            newer: start,
        }))
    }

    /// How much each of `counts` grows in a second; less than 0 if it falls.
    pub(super) fn observe(&self, now: Instant, counts: &Counts) -> BTreeMap<&'static str, f64> {
        let mut samples = self.0.lock();
        if now.saturating_duration_since(samples.newer.taken) >= SAMPLE_INTERVAL {
            let newer = Sample {
                taken: now,
                counts: counts.clone(),
            };
            samples.older = std::mem::replace(&mut samples.newer, newer);
        }
        let base = &samples.older;
        let span = now.saturating_duration_since(base.taken).max(SPAN_MIN);
        counts
            .iter()
            .map(|(name, count)| {
                let before = base.counts.get(name).copied().unwrap_or(0);
                (*name, (*count as f64 - before as f64) / span.as_secs_f64())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_covers_the_time_since_the_sample_before_the_last() {
        let rates = Rates::new();
        let start = rates.0.lock().older.taken;
        let rate = |seconds: u64, count: u64| {
            let now = start + Duration::from_secs(seconds);
            rates.observe(now, &Counts::from([("published", count)]))["published"]
        };
        assert_eq!(rate(0, 3), 3.0, "less than a second counts as one");
        assert_eq!(rate(4, 40), 10.0);
        assert_eq!(rate(10, 100), 10.0);
        assert_eq!(rate(12, 220), 220.0 / 12.0, "not old enough to be kept");
        assert_eq!(rate(20, 100), 0.0, "against the sample at 10 s");
        assert_eq!(rate(30, 50), -5.0, "against the same sample's successor");
    }
}
