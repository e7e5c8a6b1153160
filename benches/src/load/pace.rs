//! A schedule of sends that is fixed before the first of them.
//!
//! The time a message was to be sent at goes into its body. What a stall delays therefore shows
//! up as latency of every message that was due meanwhile, sent late or not.

/// Above one message per tick several go out together: waking for each would cost the
/// processor time that the broker needs.
const TICK_NANOSECONDS: u64 = 100_000;
const SECOND_NANOSECONDS: u128 = 1_000_000_000;

/// The schedule of one of several producers that share a rate.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// Message n is due `(n * producers + index) * 10^9 / rate` nanoseconds after the start.
    producers: u128,
    index: u128,
    rate: u128,
    tick: u64,
}

impl Pace {
    /// `rate` messages per second in all, of which this producer sends every n-th.
    pub(crate) fn new(rate: u64, producers: usize, index: usize) -> Self {
        let (producers, rate) = (producers.max(1) as u128, u128::from(rate.max(1)));
        let interval = SECOND_NANOSECONDS * producers / rate;
        let tick = if interval < u128::from(TICK_NANOSECONDS) {
            TICK_NANOSECONDS
        } else {
            1
        };
        Self {
            producers,
            index: index as u128,
            rate,
            tick,
        }
    }

    /// When message `number` is due, in nanoseconds after the start.
    pub(crate) fn due_at(&self, number: u64) -> u64 {
        let place = u128::from(number) * self.producers + self.index;
        let exact = (place * SECOND_NANOSECONDS).div_ceil(self.rate);
        let exact = u64::try_from(exact).unwrap_or(u64::MAX);
        exact
            .checked_next_multiple_of(self.tick)
            .unwrap_or(u64::MAX)
    }

    /// How many messages are due by `elapsed` nanoseconds after the start.
    pub(crate) fn due_by(&self, elapsed: u64) -> u64 {
        let elapsed = u128::from(elapsed - elapsed % self.tick);
        let places = elapsed * self.rate / SECOND_NANOSECONDS;
        match places.checked_sub(self.index) {
            Some(rest) => u64::try_from(rest / self.producers + 1).unwrap_or(u64::MAX),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_by_a_time_is_what_is_due_at_or_before_it() {
        for rate in [1, 3, 999, 9_999, 10_001, 70_000, 333_333, 5_000_000] {
            for (producers, index) in [(1, 0), (3, 0), (3, 2)] {
                let pace = Pace::new(rate, producers, index);
                for step in 0..3000_u64 {
                    let elapsed = step * step * 977;
                    let due = pace.due_by(elapsed);
                    assert!(pace.due_at(due) > elapsed, "{rate} {index} {elapsed}");
                    if let Some(last) = due.checked_sub(1) {
                        assert!(pace.due_at(last) <= elapsed, "{rate} {index} {elapsed}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_producers_together_keep_the_rate() {
        for (rate, producers) in [(1000, 1), (1000, 7), (123_456, 4)] {
            let due = |index| Pace::new(rate, producers, index).due_by(9_999_999_999);
            let sent: u64 = (0..producers).map(due).sum();
            assert!(
                sent.abs_diff(rate * 10) <= rate / 1000 + 1,
                "{sent} of {rate} each second"
            );
        }
    }

    #[test]
    fn slow_schedules_are_exact_and_fast_ones_keep_to_ticks() {
        assert_eq!(Pace::new(1000, 1, 0).due_at(3), 3_000_000);
        assert_eq!(Pace::new(100_000, 1, 0).due_at(11), 200_000);
    }
}
