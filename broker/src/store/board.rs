//! Where the commit thread announces how far it has come.

use leveret_log::{CommitError, TurnOutcome};
use tokio::sync::watch;

use super::ticket::{FailedRange, Progress, Ticket};

/// The announcements, and why nothing can be stored any more.
#[derive(Debug)]
pub(crate) struct Board {
    progress: watch::Sender<Progress>,
    failed: parking_lot::Mutex<Option<String>>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            progress: watch::Sender::new(Progress::default()),
            failed: parking_lot::Mutex::new(None),
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Why the last turn could not be stored, if it could not.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.lock().clone()
    }

    /// A turn is over.
    pub(crate) fn settled(&self, outcome: &TurnOutcome) {
        match outcome {
            TurnOutcome::Durable { up_to } => {
                let reached = Ticket(up_to.0);
                *self.failed.lock() = None;
                self.progress.send_modify(|progress| {
                    progress.written = progress.written.max(reached);
                    progress.durable = progress.durable.max(reached);
                });
            }
            TurnOutcome::Failed { from, to, error } => {
                let is_final = matches!(error, CommitError::Poisoned { .. } | CommitError::Closed);
                let last = if is_final {
                    Ticket(u64::MAX)
                } else {
                    Ticket(to.0)
                };
                *self.failed.lock() = Some(error.to_string());
                self.fail(FailedRange {
                    first: Ticket(from.0),
                    last,
                });
            }
        }
    }

    /// Nothing beyond what is durable will ever be.
    pub(crate) fn close(&self) {
        let durable = self.progress.borrow().durable;
        if durable.0 < u64::MAX {
            self.fail(FailedRange {
                first: Ticket(durable.0 + 1),
                last: Ticket(u64::MAX),
            });
        }
    }

    fn fail(&self, range: FailedRange) {
        self.progress.send_modify(|progress| {
            progress.failed = progress.failed.with(range);
            progress.written = progress.written.max(range.last);
            progress.durable = progress.durable.max(range.last);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Outcome;
    use leveret_log::Ticket as LogTicket;
    use std::sync::Arc;

    #[test]
    fn after_a_failed_sync_nothing_is_durable_any_more() {
        let board = Board::new();
        let up_to = LogTicket(4);
        board.settled(&TurnOutcome::Durable { up_to });
        let reason: Arc<str> = "the disk is gone".into();
        board.settled(&TurnOutcome::Failed {
            from: LogTicket(5),
            to: LogTicket(6),
            error: CommitError::Poisoned { reason },
        });
        let progress = board.progress();
        assert_eq!(progress.outcome(Ticket(4)), Outcome::Durable);
        assert_eq!(progress.outcome(Ticket(6)), Outcome::Failed);
        assert_eq!(progress.outcome(Ticket(1000)), Outcome::Failed);
        assert!(
            board
                .failure()
                .is_some_and(|text| text.contains("the disk is gone"))
        );
    }

    #[test]
    fn a_full_disk_fails_one_turn_and_not_the_next() {
        let board = Board::new();
        board.settled(&TurnOutcome::Failed {
            from: LogTicket(1),
            to: LogTicket(2),
            error: CommitError::TooLarge,
        });
        let up_to = LogTicket(3);
        board.settled(&TurnOutcome::Durable { up_to });
        let progress = board.progress();
        assert_eq!(progress.outcome(Ticket(2)), Outcome::Failed);
        assert_eq!(progress.outcome(Ticket(3)), Outcome::Durable);
        assert_eq!(board.failure(), None);
    }
}
