//! Latencies: recorded in nanoseconds, told in microseconds.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

/// An hour; anything longer counts as this.
const LONGEST_NANOSECONDS: u64 = 3_600_000_000_000;

/// A histogram with three significant digits.
#[derive(Clone)]
pub(crate) struct Latency {
    histogram: Histogram<u64>,
    /// Equal values in a row are counted here first; batches make long rows.
    row: (u64, u64),
}

impl fmt::Debug for Latency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Latency")
            .field("count", &self.histogram.len())
            .finish()
    }
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, 3);
        // The bounds are constants that the histogram accepts.
        let histogram = histogram.expect("1 <= 3.6e12 / 2 and 3 <= 5 digits");
        Self {
            histogram,
            row: (0, 0),
        }
    }
}

impl Latency {
    #[inline]
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        if nanoseconds == self.row.0 {
            self.row.1 += 1;
        } else {
            self.finish_row();
            self.row = (nanoseconds, 1);
        }
    }

    fn finish_row(&mut self) {
        let (value, count) = self.row;
        self.histogram.saturating_record_n(value.max(1), count);
        self.row = (value, 0);
    }

    pub(crate) fn add(&mut self, mut other: Self) {
        other.finish_row();
        // Both have the same bounds, so that nothing is out of range.
        self.histogram += &other.histogram;
    }

    /// The percentiles; `None` when nothing was recorded.
    pub(crate) fn percentiles(&mut self) -> Option<Percentiles> {
        self.finish_row();
        if self.histogram.is_empty() {
            return None;
        }
        let at = |quantile| microseconds(self.histogram.value_at_quantile(quantile));
        Some(Percentiles {
            count: self.histogram.len(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: microseconds(self.histogram.max()),
        })
    }
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= expected * 0.002
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latency = Latency::default();
        for step in 1..=1000_u64 {
            for _ in 0..3 {
                latency.record(step * 1000);
            }
        }
        let percentiles = latency.percentiles().unwrap();
        assert_eq!(percentiles.count, 3000);
        assert!(close(percentiles.p50, 500.0), "{percentiles:?}");
        assert!(close(percentiles.p99, 990.0), "{percentiles:?}");
        assert!(close(percentiles.p999, 999.0), "{percentiles:?}");
        assert!(close(percentiles.max, 1000.0), "{percentiles:?}");
    }

    #[test]
    fn added_histograms_keep_every_value() {
        let mut all = Latency::default();
        for value in [5_000, 9_000] {
            let mut one = Latency::default();
            one.record(value);
            one.record(value);
            all.add(one);
        }
        let percentiles = all.percentiles().unwrap();
        assert_eq!(percentiles.count, 4);
        assert!(
            close(percentiles.p50, 5.0) && close(percentiles.max, 9.0),
            "{percentiles:?}"
        );
    }

    #[test]
    fn nothing_recorded_has_no_percentiles() {
        assert_eq!(Latency::default().percentiles(), None);
    }

    #[test]
    fn a_value_beyond_the_range_counts_as_the_largest() {
        let mut latency = Latency::default();
        latency.record(u64::MAX);
        let percentiles = latency.percentiles().unwrap();
        assert!(close(percentiles.max, LONGEST_NANOSECONDS as f64 / 1000.0));
    }
}
