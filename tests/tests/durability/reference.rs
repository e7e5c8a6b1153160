//! What a store was asked to keep, and whether what it gives back is right.
//!
//! Every fact is either only begun, so that a crash may keep or lose it, or confirmed, so that
//! nothing may lose it.

use std::collections::{BTreeMap, BTreeSet};

use leveret::model::Seq;

/// How far a change has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact {
    /// It was never asked for.
    #[default]
    Never,
    /// It was handed over: a crash may keep it or lose it.
    Begun,
    /// It was announced as durable.
    Confirmed,
}

/// A place in a queue.
pub(crate) type Place = (u32, Seq);

/// A queue as the reference knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueFacts {
    /// Its declaration.
    pub(crate) declared: Fact,
    /// Its deletion.
    pub(crate) deleted: Fact,
    /// The leases of each level, in the order of asking.
    pub(crate) leases: BTreeMap<u8, Vec<(Seq, Fact)>>,
}

/// A message in one queue as the reference knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageFacts {
    /// Its body.
    pub(crate) body: String,
    /// When it expires.
    pub(crate) deadline_ms: u64,
    /// Its publishing.
    pub(crate) published: Fact,
    /// Its settlement.
    pub(crate) settled: Fact,
    /// Its delivery counts, in the order of asking.
    pub(crate) counts: Vec<(u32, Fact)>,
}

/// A transaction: all of it or nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransactionFacts {
    /// What it enqueues.
    pub(crate) enqueued: Vec<Place>,
    /// What it settles.
    pub(crate) settled: Vec<Place>,
}

/// Everything that was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    /// By number.
    pub(crate) queues: BTreeMap<u32, QueueFacts>,
    /// By place.
    pub(crate) messages: BTreeMap<Place, MessageFacts>,
    /// In the order of asking.
    pub(crate) transactions: Vec<TransactionFacts>,
}

/// What a store gave back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// The queues that the definitions name.
    pub(crate) queues: BTreeSet<u32>,
    /// All messages: body and deadline.
    pub(crate) messages: BTreeMap<Place, (String, u64)>,
    /// All delivery counts.
    pub(crate) counts: BTreeMap<Place, u32>,
    /// All leases.
    pub(crate) leases: BTreeMap<(u32, u8), Seq>,
    /// The next position of each level.
    pub(crate) next_positions: BTreeMap<(u32, u8), u64>,
    /// The next queue's number.
    pub(crate) next_queue: u32,
    /// Whether the state was rebuilt out of the log.
    pub(crate) rebuilt: bool,
    /// Whether the end of the log was cut.
    pub(crate) cut: bool,
    /// What failed a check, in words.
    pub(crate) damage: Vec<String>,
}

impl Reference {
    /// What is wrong with `found`; nothing if it keeps every promise.
    pub(crate) fn faults(&self, found: &Found) -> Vec<String> {
        let mut faults = Vec::new();
        self.judge_queues(found, &mut faults);
        for (place, facts) in &self.messages {
            self.judge_message(*place, facts, found, &mut faults);
        }
        for place in found.messages.keys() {
            if !self.messages.contains_key(place) {
                faults.push(format!("G4: {place:?} was never published"));
            }
        }
        self.judge_leases(found, &mut faults);
        if !found.rebuilt {
            for transaction in &self.transactions {
                self.judge_transaction(transaction, found, &mut faults);
            }
        }
        faults
    }

    fn judge_queues(&self, found: &Found, faults: &mut Vec<String>) {
        for (id, facts) in &self.queues {
            let is_there = found.queues.contains(id);
            if is_there && facts.deleted == Fact::Confirmed {
                faults.push(format!("G6: queue {id} was deleted and is there"));
            }
            let must_be = facts.declared == Fact::Confirmed && facts.deleted == Fact::Never;
            if must_be && !is_there {
                faults.push(format!("G6: queue {id} was declared and is gone"));
            }
            if facts.declared == Fact::Confirmed && found.next_queue <= *id {
                faults.push(format!("the number of queue {id} would be given out again"));
            }
        }
        for id in &found.queues {
            if !self.queues.contains_key(id) {
                faults.push(format!("G6: queue {id} was never declared"));
            }
        }
    }

    fn judge_message(
        &self,
        place: Place,
        facts: &MessageFacts,
        found: &Found,
        faults: &mut Vec<String>,
    ) {
        let (queue, seq) = place;
        let Some(held) = found.messages.get(&place) else {
            let queue_stays = self.queues[&queue].deleted == Fact::Never;
            if facts.published == Fact::Confirmed && facts.settled == Fact::Never && queue_stays {
                faults.push(format!("G1: {place:?} was confirmed and is lost"));
            }
            return;
        };
        if *held != (facts.body.clone(), facts.deadline_ms) {
            faults.push(format!("G4: {place:?} has changed to {held:?}"));
        }
        if facts.settled == Fact::Confirmed && !found.rebuilt {
            faults.push(format!("G3: {place:?} was settled and is back"));
        }
        let next = found.next_positions.get(&(queue, seq.level()));
        if next.is_none_or(|next| *next <= seq.position()) {
            faults.push(format!("the place {place:?} would be given out again"));
        }
        let count = found.counts.get(&place).copied().unwrap_or(0);
        let latest = facts
            .counts
            .iter()
            .rposition(|(_, fact)| *fact == Fact::Confirmed);
        let allowed = &facts.counts[latest.unwrap_or(0)..];
        let may_be_none = latest.is_none() && count == 0;
        if !found.rebuilt && !may_be_none && !allowed.iter().any(|(known, _)| *known == count) {
            faults.push(format!(
                "G7: {place:?} was delivered {count} times, not {allowed:?}"
            ));
        }
    }

    fn judge_leases(&self, found: &Found, faults: &mut Vec<String>) {
        for (id, facts) in &self.queues {
            if !found.queues.contains(id) || found.rebuilt {
                continue;
            }
            for (level, leases) in &facts.leases {
                let Some(latest) = leases
                    .iter()
                    .rposition(|(_, fact)| *fact == Fact::Confirmed)
                else {
                    continue;
                };
                let held = found.leases.get(&(*id, *level));
                if !leases[latest..]
                    .iter()
                    .any(|(lease, _)| Some(lease) == held)
                {
                    faults.push(format!("G7: queue {id} level {level} has lease {held:?}"));
                }
            }
        }
        if found.rebuilt {
            for (id, seq) in found.messages.keys() {
                let lease = found.leases.get(&(*id, seq.level()));
                if lease.is_none_or(|lease| lease < seq) {
                    faults.push(format!(
                        "G7: ({id}, {seq:?}) is not flagged after a rebuild"
                    ));
                }
            }
        }
    }

    /// Judges by those places that nothing else can have changed.
    fn judge_transaction(
        &self,
        transaction: &TransactionFacts,
        found: &Found,
        faults: &mut Vec<String>,
    ) {
        let untouched = |place: &&Place| {
            self.messages[*place].settled == Fact::Never
                && self.queues[&place.0].deleted == Fact::Never
        };
        let enqueued: Vec<_> = transaction.enqueued.iter().filter(untouched).collect();
        let there = enqueued
            .iter()
            .filter(|place| found.messages.contains_key(**place))
            .count();
        if there != 0 && there != enqueued.len() {
            faults.push(format!(
                "{there} of {} of a transaction are there",
                enqueued.len()
            ));
        }
        let stays = |place: &&Place| {
            let facts = &self.messages[*place];
            facts.published == Fact::Confirmed && self.queues[&place.0].deleted == Fact::Never
        };
        for place in transaction.settled.iter().filter(stays) {
            let is_back = found.messages.contains_key(place);
            if !enqueued.is_empty() && is_back == (there > 0) {
                faults.push(format!(
                    "{place:?} and its transaction disagree: back is {is_back}"
                ));
            }
        }
    }
}
