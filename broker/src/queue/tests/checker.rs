//! Compares deliveries with the reference.

use std::collections::BTreeSet;

use super::reference::{Entry, Reference};
use super::support::id;
use crate::model::{ConsumerKey, DeathReason, Now, Seq};
use crate::queue::{Delivery, Sink};

/// A sink that compares each delivery with what the reference expects.
pub(super) struct Checker<'a> {
    pub(super) reference: &'a mut Reference,
    pub(super) delivered: &'a mut BTreeSet<Seq>,
    /// Recorded places whose settlement the queue has to ask for.
    pub(super) must_settle: &'a mut BTreeSet<Seq>,
    /// Messages that expired before their turn came.
    pub(super) died: &'a mut Vec<(Entry, DeathReason)>,
    pub(super) now: Now,
}

impl Checker<'_> {
    /// The delivery must be exactly what the reference says comes next.
    pub(super) fn accept(&mut self, key: Option<ConsumerKey>, no_ack: bool, delivery: &Delivery) {
        while let Some(head) = self.reference.head()
            && head.deadline_ms > 0
            && head.deadline_ms < self.now.wall_ms
        {
            self.reference.remove_ready(head.seq);
            self.died.push((head, DeathReason::Expired));
        }
        let expected = self
            .reference
            .deliver(key, no_ack)
            .expect("nothing is ready");
        let actual = Entry {
            seq: delivery.seq,
            id: id(&delivery.message),
            recorded: expected.recorded,
            redelivered: delivery.redelivered,
            returns: delivery.attempts.failed,
            deadline_ms: expected.deadline_ms,
        };
        assert_eq!(actual, expected, "the wrong message, or the wrong flag");
        if expected.recorded {
            self.delivered.insert(expected.seq);
            if no_ack {
                self.must_settle.insert(expected.seq);
            }
        }
    }
}

impl Sink<ConsumerKey> for Checker<'_> {
    fn offer(&mut self, consumer: &ConsumerKey, delivery: Delivery) -> Result<(), Delivery> {
        assert_eq!(self.reference.candidate(), Some(*consumer), "whose turn");
        let member = self.reference.member(*consumer).expect("it is there");
        if member.room == 0 {
            member.blocked = true;
            self.reference.review(*consumer);
            return Err(delivery);
        }
        let no_ack = member.no_ack;
        self.accept(Some(*consumer), no_ack, &delivery);
        Ok(())
    }
}
