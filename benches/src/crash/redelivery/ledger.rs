//! What is known of each message, and what a broker did wrong with it.

use serde::Serialize;

/// How many ids of a fault are told.
const IDS_MAX: usize = 20;

/// What happened to one message, as bits.
type Fate = u8;
const CONFIRMED: Fate = 1;
const ACKED: Fate = 2;
const REJECTED: Fate = 4;
const DELIVERED: Fate = 8;
const BACK: Fate = 16;
const DEAD_LETTERED: Fate = 32;

/// Where a message came back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Queue,
    DeadLetters,
}

/// How a consumer was done with a message before the crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Settlement {
    Acked,
    /// Without requeueing, so that the message becomes a dead letter.
    Rejected,
}

/// Messages that something is true of: how many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Ids {
    pub(super) count: u64,
    pub(super) first: Vec<u64>,
}

impl Ids {
    fn add(&mut self, id: u64) {
        self.count += 1;
        if self.first.len() < IDS_MAX {
            self.first.push(id);
        }
    }
}

/// What was found out about a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Findings {
    /// Confirmed, not settled, and gone.
    pub(super) lost: Ids,
    /// Came more often than they were sent.
    pub(super) duplicates: Ids,
    /// Nobody sent them.
    pub(super) never_sent: Ids,
    /// The body is another one.
    pub(super) changed: Ids,
    /// Came after one that should have come later.
    pub(super) out_of_order: Ids,
    /// Delivered before the crash, and back without the redelivered flag.
    pub(super) unflagged: Ids,
    /// Never delivered, and flagged as redelivered all the same.
    pub(super) falsely_flagged: Ids,
    /// Acknowledged, and back: the acknowledgement was lost, which is allowed.
    pub(super) acked_back: Ids,
    /// Rejected, and back where they were: allowed as well.
    pub(super) rejected_back: Ids,
    /// Not confirmed, and there: allowed.
    pub(super) unconfirmed_back: Ids,
}

impl Findings {
    /// What breaks the promise that a confirm makes, by name.
    pub(super) fn breaches(&self) -> [(&'static str, &Ids); 4] {
        [
            ("lost", &self.lost),
            ("doubled", &self.duplicates),
            ("never sent", &self.never_sent),
            ("changed", &self.changed),
        ]
    }

    /// What is wrong, though no message is lost or doubled. A flag too many is no fault up to
    /// `lease`, since a broker may have to guess what it had sent last.
    pub(super) fn slips(&self, lease: u64) -> Vec<(&'static str, &Ids)> {
        let slips = [
            ("out of order", &self.out_of_order),
            ("not flagged as redelivered", &self.unflagged),
        ];
        let mut slips: Vec<_> = slips.into_iter().filter(|(_, ids)| ids.count > 0).collect();
        if self.falsely_flagged.count > lease {
            slips.push(("falsely flagged as redelivered", &self.falsely_flagged));
        }
        slips
    }

    pub(super) fn keeps_promise(&self) -> bool {
        self.breaches().iter().all(|(_, ids)| ids.count == 0)
    }
}

/// Keeps count of every message of one round.
#[derive(Debug)]
pub(super) struct Ledger {
    fates: Vec<Fate>,
    queues: u64,
    priorities: u64,
    /// What was sent; not known before publishing has ended.
    sent: u64,
    /// Due and not back yet.
    missing: u64,
    /// The latest place of each queue, and of the dead letters of each, in the order they are due.
    places: Vec<[Option<u64>; 2]>,
    findings: Findings,
}

impl Ledger {
    /// A ledger for at most `count` messages. Message n went to queue `n % queues`, with the
    /// priority `n / queues % priorities`.
    pub(super) fn new(count: u64, queues: usize, priorities: u8) -> Self {
        Self {
            fates: vec![0; usize::try_from(count).unwrap_or(0)],
            queues: queues.max(1) as u64,
            priorities: u64::from(priorities.max(1)),
            sent: count,
            missing: 0,
            places: vec![[None; 2]; queues.max(1)],
            findings: Findings::default(),
        }
    }

    pub(super) fn queue_of(&self, id: u64) -> usize {
        usize::try_from(id % self.queues).unwrap_or(0)
    }

    /// A delivery before the crash.
    pub(super) fn deliver(&mut self, id: u64, redelivered: bool) {
        match self.fate(id).map(|fate| *fate & DELIVERED != 0) {
            None => self.findings.never_sent.add(id),
            Some(true) => self.findings.duplicates.add(id),
            Some(false) if redelivered => self.findings.falsely_flagged.add(id),
            Some(false) => {}
        }
        self.mark(id, DELIVERED);
    }

    /// The consumer is done with it.
    pub(super) fn settle(&mut self, id: u64, settlement: Settlement) {
        self.mark(
            id,
            match settlement {
                Settlement::Acked => ACKED,
                Settlement::Rejected => REJECTED,
            },
        );
    }

    /// The body was not what had been sent.
    pub(super) fn note_changed(&mut self, id: u64) {
        self.findings.changed.add(id);
    }

    /// Publishing has ended, after `sent` messages; each of `confirmed` is true if that one was.
    pub(super) fn close(&mut self, sent: u64, confirmed: &[bool]) {
        self.sent = sent;
        let sent = usize::try_from(sent).unwrap_or(usize::MAX);
        for (id, fate) in (0_u64..).zip(&mut self.fates) {
            let index = usize::try_from(id).unwrap_or(usize::MAX);
            if index >= sent {
                if *fate & DELIVERED != 0 {
                    self.findings.never_sent.add(id);
                }
            } else if confirmed.get(index).is_some_and(|yes| *yes) {
                *fate |= CONFIRMED;
                self.missing += u64::from(*fate & ACKED == 0);
            }
        }
    }

    /// How many messages are due and have not come back.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// A delivery after the crash.
    pub(super) fn take_back(&mut self, source: Source, id: u64, redelivered: bool) {
        if id >= self.sent {
            self.findings.never_sent.add(id);
            return;
        }
        let Some(fate) = self.fate(id).copied() else {
            self.findings.never_sent.add(id);
            return;
        };
        self.mark(
            id,
            match source {
                Source::Queue => BACK,
                Source::DeadLetters => DEAD_LETTERED,
            },
        );
        if fate & (BACK | DEAD_LETTERED) != 0 {
            self.findings.duplicates.add(id);
            return;
        }
        if fate & CONFIRMED != 0 && fate & ACKED == 0 {
            self.missing -= 1;
        } else if fate & ACKED != 0 {
            self.findings.acked_back.add(id);
        } else {
            self.findings.unconfirmed_back.add(id);
        }
        if source == Source::DeadLetters {
            if fate & REJECTED == 0 {
                // Nobody made a dead letter of it.
                self.findings.duplicates.add(id);
            }
        } else {
            if fate & REJECTED != 0 {
                self.findings.rejected_back.add(id);
            }
            match (fate & DELIVERED != 0, redelivered) {
                (true, false) => self.findings.unflagged.add(id),
                (false, true) => self.findings.falsely_flagged.add(id),
                (true, true) | (false, false) => {}
            }
        }
        self.check_order(source, id);
    }

    /// Within a queue the higher priorities come first, and in each the older messages.
    fn check_order(&mut self, source: Source, id: u64) {
        let queue = self.queue_of(id);
        let (lane, level) = match source {
            Source::Queue => (0, self.priorities - 1 - id / self.queues % self.priorities),
            // Dead letters keep the order of their rejection, which is that of their delivery.
            Source::DeadLetters => (1, 0),
        };
        let place = level * self.fates.len() as u64 + id;
        let strict = source == Source::Queue || self.priorities == 1;
        let latest = &mut self.places[queue][lane];
        if strict && latest.is_some_and(|latest| place < latest) {
            self.findings.out_of_order.add(id);
        }
        *latest = (*latest).max(Some(place));
    }

    /// What was found, now that nothing more comes.
    pub(super) fn verdict(mut self) -> Findings {
        for (id, fate) in (0..self.sent).zip(&self.fates) {
            let due = fate & CONFIRMED != 0 && fate & ACKED == 0;
            if due && fate & (BACK | DEAD_LETTERED) == 0 {
                self.findings.lost.add(id);
            }
        }
        self.findings
    }

    fn fate(&mut self, id: u64) -> Option<&mut Fate> {
        self.fates.get_mut(usize::try_from(id).ok()?)
    }

    fn mark(&mut self, id: u64, bits: Fate) {
        if let Some(fate) = self.fate(id) {
            *fate |= bits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten messages, all confirmed; 0 to 2 acknowledged, 3 and 4 held.
    fn crashed() -> Ledger {
        let mut ledger = Ledger::new(10, 1, 0);
        for id in 0..5 {
            ledger.deliver(id, false);
        }
        (0..3).for_each(|id| ledger.settle(id, Settlement::Acked));
        ledger.close(10, &[true; 10]);
        ledger
    }

    fn findings(mut ledger: Ledger, back: &[(u64, bool)]) -> Findings {
        for (id, redelivered) in back {
            ledger.take_back(Source::Queue, *id, *redelivered);
        }
        ledger.verdict()
    }

    fn ids(ids: &[u64]) -> Ids {
        Ids {
            count: ids.len() as u64,
            first: ids.to_vec(),
        }
    }

    #[test]
    fn everything_back_in_order_with_the_right_flags_is_no_finding() {
        let mut ledger = crashed();
        assert_eq!(ledger.missing(), 7);
        (3..10).for_each(|id| ledger.take_back(Source::Queue, id, id < 5));
        assert_eq!(ledger.missing(), 0);
        assert_eq!(ledger.verdict(), Findings::default());
    }

    #[test]
    fn each_fault_is_found_and_named() {
        let back = [
            (3, true),
            (2, true),
            (4, false),
            (6, true),
            (5, false),
            (8, false),
            (8, true),
            (77, false),
        ];
        let expected = Findings {
            lost: ids(&[7, 9]),
            duplicates: ids(&[8]),
            never_sent: ids(&[77]),
            out_of_order: ids(&[2, 5]),
            unflagged: ids(&[4]),
            falsely_flagged: ids(&[6]),
            acked_back: ids(&[2]),
            ..Findings::default()
        };
        let findings = findings(crashed(), &back);
        assert_eq!(findings, expected);
        assert!(!findings.keeps_promise());
        let slips: Vec<_> = findings
            .slips(0)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(slips.len(), 3);
        assert_eq!(
            findings.slips(1).len(),
            2,
            "one flag too many may be a lease"
        );
    }

    #[test]
    fn what_was_not_confirmed_may_come_or_not() {
        let mut ledger = Ledger::new(10, 1, 0);
        let confirmed = [true, false, true, false];
        ledger.close(4, &confirmed);
        assert_eq!(ledger.missing(), 2);
        let found = findings(ledger, &[(0, false), (1, false), (2, false), (4, false)]);
        assert_eq!(found.unconfirmed_back, ids(&[1]));
        assert_eq!((found.lost.count, found.never_sent), (0, ids(&[4])));
    }

    #[test]
    fn a_dead_letter_comes_from_one_place_alone() {
        let mut ledger = Ledger::new(6, 1, 0);
        (0..4).for_each(|id| ledger.deliver(id, false));
        (0..4).for_each(|id| ledger.settle(id, Settlement::Rejected));
        ledger.close(6, &[true; 6]);
        ledger.take_back(Source::DeadLetters, 0, false);
        ledger.take_back(Source::DeadLetters, 1, false);
        ledger.take_back(Source::Queue, 1, true);
        ledger.take_back(Source::Queue, 2, true);
        ledger.take_back(Source::DeadLetters, 4, false);
        ledger.take_back(Source::Queue, 5, false);
        let found = ledger.verdict();
        assert_eq!(found.lost, ids(&[3]));
        assert_eq!(found.duplicates, ids(&[1, 4]), "in both; never rejected");
        assert_eq!(found.rejected_back, ids(&[2]));
    }

    #[test]
    fn order_is_that_of_each_queue_and_of_its_priorities() {
        let back = |order: &[u64]| {
            let mut ledger = Ledger::new(12, 2, 3);
            ledger.close(12, &[true; 12]);
            let back: Vec<_> = order.iter().map(|id| (*id, false)).collect();
            findings(ledger, &back).out_of_order
        };
        // Priority 2 are 4, 5, 10, 11; the even ones are in queue 0.
        assert_eq!(back(&[4, 5, 11, 10, 2, 8, 3, 9, 0, 6, 1, 7]), ids(&[]));
        assert_eq!(back(&[10, 4, 2, 8, 0, 6, 5, 11, 3, 9, 1, 7]), ids(&[4]));
        assert_eq!(back(&[4, 2, 10, 8, 0, 6, 5, 11, 3, 9, 1, 7]), ids(&[10]));
    }

    #[test]
    fn a_message_delivered_twice_before_the_crash_is_doubled() {
        let mut ledger = Ledger::new(2, 1, 0);
        ledger.deliver(0, false);
        ledger.deliver(0, false);
        ledger.deliver(5, false);
        ledger.deliver(1, true);
        let found = ledger.verdict();
        assert_eq!(found.duplicates, ids(&[0]));
        assert_eq!(
            (found.never_sent, found.falsely_flagged),
            (ids(&[5]), ids(&[1]))
        );
    }
}
