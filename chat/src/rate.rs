//! Token buckets: so many at once, so many per second in the long run. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Buckets kept at most; beyond, those that are full again are let go, and then all.
const BUCKETS_MAX: usize = 100_000;

/// A bucket for each key. What is in it is counted in time: one more fits in after each `interval`.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    interval: u64,
    full: u64,
    buckets: HashMap<K, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// What is left, in microseconds.
    left: u64,
    since: Instant,
}

impl<K: Eq + Hash> Rates<K> {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self::every(Duration::from_secs(1) / per_second.max(1), burst)
    }

    /// For less than one per second.
    pub(crate) fn every(interval: Duration, burst: u32) -> Self {
        let interval = microseconds(interval).max(1);
        Self {
            interval,
            full: interval.saturating_mul(u64::from(burst)),
            buckets: HashMap::new(),
        }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, key: K, now: Instant) -> bool {
        let full = self.full;
        let refill = |bucket: &Bucket| {
            let gained = microseconds(now.saturating_duration_since(bucket.since));
            bucket.left.saturating_add(gained).min(full)
        };
        if self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(&key) {
            self.buckets.retain(|_, bucket| refill(bucket) < full);
            if self.buckets.len() >= BUCKETS_MAX {
                self.buckets.clear();
            }
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket {
            left: full,
            since: now,
        });
        let left = refill(bucket);
        let taken = left.checked_sub(self.interval);
        *bucket = Bucket {
            left: taken.unwrap_or(left),
            since: now,
        };
        taken.is_some()
    }

    /// Fills a bucket: what was taken does not count after all.
    pub(crate) fn give_back(&mut self, key: &K) {
        self.buckets.remove(key);
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_so_many_per_second() {
        let now = Instant::now();
        let mut rates = Rates::new(2, 3);
        let taken = (0..5).filter(|_| rates.take("ana", now)).count();
        assert_eq!(taken, 3);
        assert!(
            rates.take("bruno", now),
            "everybody has a bucket of their own"
        );
        let later = now + Duration::from_millis(1000);
        let taken = (0..5).filter(|_| rates.take("ana", later)).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn asking_often_does_not_keep_a_bucket_empty() {
        let mut now = Instant::now();
        let mut rates = Rates::new(1, 1);
        assert!(rates.take("ana", now));
        let mut taken = 0;
        for _ in 0..100 {
            now += Duration::from_millis(100);
            taken += u32::from(rates.take("ana", now));
        }
        assert_eq!(taken, 10);
    }

    #[test]
    fn a_slow_bucket_gives_one_after_its_time_however_often_it_is_asked() {
        let mut now = Instant::now();
        let mut rates = Rates::every(Duration::from_secs(30), 2);
        assert!(rates.take("ana", now) && rates.take("ana", now));
        let mut taken = 0;
        for _ in 0..9_000 {
            now += Duration::from_millis(10);
            taken += u32::from(rates.take("ana", now));
        }
        assert_eq!(taken, 3);
    }
}
