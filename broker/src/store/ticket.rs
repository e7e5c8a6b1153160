//! Tickets: how a caller learns what became of an operation.

use std::sync::Arc;

/// The running number of an operation, in the order of handing over, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Consecutive operations that did not reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedRange {
    /// The first of them.
    pub first: Ticket,
    /// The last of them; `Ticket(u64::MAX)` once nothing can succeed any more.
    pub last: Ticket,
}

/// What became of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It waits.
    Pending,
    /// It is in the log, which is not synced that far.
    Written,
    /// It is as safe as the configured durability makes it: it may be confirmed.
    Durable,
    /// It is not on disk, or nobody knows: it must not be confirmed.
    Failed,
}

/// The operations that failed, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures(Option<Arc<[FailedRange]>>);

impl Failures {
    /// Only so many ranges are remembered; two neighbours become one beyond that. Failing is
    /// always a safe answer.
    const RANGES_MAX: usize = 64;

    /// Whether `ticket` failed.
    #[must_use]
    pub fn contains(&self, ticket: Ticket) -> bool {
        let ranges = self.ranges();
        let after = ranges.partition_point(|range| range.first <= ticket);
        after > 0 && ranges[after - 1].last >= ticket
    }

    /// All ranges, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[FailedRange] {
        self.0.as_deref().unwrap_or(&[])
    }

    /// Notes a failure that lies after all noted before.
    #[must_use]
    pub fn with(&self, failed: FailedRange) -> Self {
        let mut ranges = self.ranges().to_vec();
        match ranges.last_mut() {
            Some(last) if last.last.0.saturating_add(1) >= failed.first.0 => {
                last.last = last.last.max(failed.last);
            }
            Some(_) | None => ranges.push(failed),
        }
        if ranges.len() > Self::RANGES_MAX {
            ranges[1].first = ranges[0].first;
            ranges.remove(0);
        }
        Self(Some(ranges.into()))
    }
}

/// How far operations have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Everything up to here was written or has failed.
    pub written: Ticket,
    /// Everything up to here is durable or has failed.
    pub durable: Ticket,
    /// What failed.
    pub failed: Failures,
}

impl Progress {
    /// What became of the operation with this ticket.
    #[must_use]
    pub fn outcome(&self, ticket: Ticket) -> Outcome {
        if self.failed.contains(ticket) {
            Outcome::Failed
        } else if ticket <= self.durable {
            Outcome::Durable
        } else if ticket <= self.written {
            Outcome::Written
        } else {
            Outcome::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(first: u64, last: u64) -> FailedRange {
        FailedRange {
            first: Ticket(first),
            last: Ticket(last),
        }
    }

    #[test]
    fn an_operation_inside_a_failed_range_is_never_durable() {
        let progress = Progress {
            written: Ticket(9),
            durable: Ticket(7),
            failed: Failures::default().with(failed(3, 4)),
        };
        let outcomes: Vec<_> = [2, 3, 4, 5, 8, 10]
            .map(|ticket| progress.outcome(Ticket(ticket)))
            .to_vec();
        assert_eq!(
            outcomes,
            [
                Outcome::Durable,
                Outcome::Failed,
                Outcome::Failed,
                Outcome::Durable,
                Outcome::Written,
                Outcome::Pending
            ]
        );
    }

    #[test]
    fn adjacent_failures_are_one_range() {
        let failures = Failures::default().with(failed(3, 4)).with(failed(5, 6));
        assert_eq!(failures.ranges(), [failed(3, 6)]);
    }

    #[test]
    fn too_many_failures_are_merged_and_none_is_forgotten() {
        let mut failures = Failures::default();
        for number in 0..200 {
            failures = failures.with(failed(number * 10 + 1, number * 10 + 2));
        }
        assert!(failures.ranges().len() <= 64);
        assert!((0..200).all(|number| failures.contains(Ticket(number * 10 + 2))));
    }
}
