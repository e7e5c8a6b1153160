//! Which publishes of a channel still wait for their confirm.
//!
//! Publishes are numbered from 1 (spec 6.1.2). Those of one burst share a ticket, so what waits is
//! a short list of runs, and one sync answers many publishes with one cumulative frame.

use std::collections::{BTreeSet, VecDeque};

use crate::engine::{Outcome, Progress, Ticket};

/// The unconfirmed publishes of a channel.
#[derive(Debug, Default)]
pub(super) struct ConfirmTracker {
    last_published: u64,
    last_answered: u64,
    /// The last number that some run covers.
    last_covered: u64,
    runs: VecDeque<Run>,
    /// Numbers that a queue refused and that were not answered yet.
    refused: BTreeSet<u64>,
}

#[derive(Debug)]
struct Run {
    last: u64,
    ticket: Ticket,
}

/// One answer to the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Confirm {
    /// The last publish that it is about.
    pub(super) number: u64,
    /// Whether it is about the earlier ones too.
    pub(super) multiple: bool,
    /// How many it is about.
    pub(super) count: u64,
    /// Whether the broker took responsibility.
    pub(super) accepted: bool,
}

impl ConfirmTracker {
    /// Numbers one more publish.
    pub(super) const fn publish(&mut self) -> u64 {
        self.last_published += 1;
        self.last_published
    }

    /// Notes that a queue refused a publish; it must be called before the publish is covered.
    pub(super) fn refuse(&mut self, number: u64) {
        self.refused.insert(number);
    }

    /// Notes that everything published since the last call is safe once `ticket` is.
    pub(super) fn cover(&mut self, ticket: Ticket) {
        if self.last_covered == self.last_published {
            return;
        }
        self.last_covered = self.last_published;
        match self.runs.back_mut() {
            // Tickets are given out in order: the later one covers both.
            Some(run) if run.ticket == ticket => run.last = self.last_published,
            Some(_) | None => self.runs.push_back(Run {
                last: self.last_published,
                ticket,
            }),
        }
    }

    /// How many publishes were not answered yet.
    pub(super) const fn unanswered(&self) -> u64 {
        self.last_published.saturating_sub(self.last_answered)
    }

    /// Whether anything waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Takes the next answer that can be given.
    pub(super) fn next(&mut self, progress: &Progress) -> Option<Confirm> {
        let accepted = outcome(progress, self.runs.front()?.ticket)?;
        let mut last = 0;
        let mut settled = 0;
        for run in &self.runs {
            if outcome(progress, run.ticket) != Some(accepted) {
                break;
            }
            last = run.last;
            settled += 1;
        }
        // A refused number is answered by itself, and ends what one answer can cover before it.
        let first = self.last_answered + 1;
        let (number, accepted) = match self.refused.first() {
            Some(&refused) if refused == first => (first, false),
            Some(&refused) if refused <= last => (refused - 1, accepted),
            Some(_) | None => (last, accepted),
        };
        self.refused.remove(&number);
        if number == last {
            self.runs.drain(..settled);
        }
        let count = number - self.last_answered;
        self.last_answered = number;
        Some(Confirm {
            number,
            multiple: count > 1,
            count,
            accepted,
        })
    }
}

/// Whether what waits for `ticket` is safe; `None` while that is open.
fn outcome(progress: &Progress, ticket: Ticket) -> Option<bool> {
    if ticket == Ticket::default() {
        return Some(true);
    }
    match progress.outcome(ticket) {
        Outcome::Durable => Some(true),
        Outcome::Failed => Some(false),
        Outcome::Pending | Outcome::Written => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::FailedRange;

    fn durable(ticket: u64) -> Progress {
        Progress {
            written: Ticket(ticket),
            durable: Ticket(ticket),
            ..Progress::default()
        }
    }

    #[test]
    fn one_sync_answers_all_publishes_that_it_covers_with_one_frame() {
        let mut tracker = ConfirmTracker::default();
        for ticket in 1..=3 {
            tracker.publish();
            tracker.publish();
            tracker.cover(Ticket(ticket));
        }
        let confirm = tracker.next(&durable(2)).expect("two runs are durable");
        assert_eq!(
            confirm,
            Confirm {
                number: 4,
                multiple: true,
                count: 4,
                accepted: true
            }
        );
        assert_eq!(tracker.next(&durable(2)), None);
        assert!(tracker.is_waiting());
    }

    #[test]
    fn a_publish_that_needs_no_disk_waits_for_those_before_it_only() {
        let mut tracker = ConfirmTracker::default();
        tracker.publish();
        tracker.cover(Ticket::default());
        let confirm = tracker.next(&durable(0)).expect("nothing to wait for");
        assert_eq!(
            confirm,
            Confirm {
                number: 1,
                multiple: false,
                count: 1,
                accepted: true
            }
        );
    }

    #[test]
    fn a_refused_publish_is_answered_by_itself() {
        let mut tracker = ConfirmTracker::default();
        for _ in 0..5 {
            tracker.publish();
        }
        tracker.refuse(3);
        tracker.refuse(5);
        tracker.cover(Ticket::default());
        let answers: Vec<_> = std::iter::from_fn(|| tracker.next(&durable(0)))
            .map(|confirm| (confirm.number, confirm.count, confirm.accepted))
            .collect();
        assert_eq!(
            answers,
            [(2, 2, true), (3, 1, false), (4, 1, true), (5, 1, false)]
        );
        assert!(!tracker.is_waiting());
    }

    #[test]
    fn a_failed_run_is_refused_and_its_neighbours_are_not() {
        let mut tracker = ConfirmTracker::default();
        for ticket in 1..=3 {
            tracker.publish();
            tracker.cover(Ticket(ticket));
        }
        let mut progress = durable(3);
        progress.failed = progress.failed.with(FailedRange {
            first: Ticket(2),
            last: Ticket(2),
        });
        let answers: Vec<_> = std::iter::from_fn(|| tracker.next(&progress))
            .map(|confirm| (confirm.number, confirm.accepted))
            .collect();
        assert_eq!(answers, [(1, true), (2, false), (3, true)]);
    }
}
