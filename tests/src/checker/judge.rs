//! Compares what is there after a crash with what the history says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::body::{MessageId, Seen};
use super::fault::{Counts, Fault, Verdict};
use super::history::{Entity, Entry, History, Progress, Queue, Settled, Tick, TransactionId};

/// An ack that was sent this long before the crash must have been written. The broker promises
/// 5 ms from when it read the ack; the rest is the way there on a machine that is busy.
const ACK_WRITTEN_AFTER: Duration = Duration::from_millis(500);

/// What somebody found after a restart.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// All messages of each queue that exists, from its head.
    pub queues: BTreeMap<String, Vec<Seen>>,
    /// Which of the history's entities exist.
    pub entities: BTreeMap<Entity, bool>,
}

impl History {
    /// Judges what is there after a crash. From then on the history starts with just that: what
    /// was not observed must never be seen again.
    ///
    /// The observer takes every message without settling it, so all of them count as delivered.
    pub fn judge(&mut self, observation: &Observation) -> Verdict {
        let mut verdict = Verdict {
            faults: self.take_faults(),
            facts: Vec::new(),
            counts: Counts::default(),
        };
        self.judge_entities(observation, &mut verdict);
        self.judge_transactions(observation, &mut verdict);
        let nothing = Queue::default();
        for (name, observed) in &observation.queues {
            let queue = self.queues.get(name).unwrap_or(&nothing);
            let judge = QueueJudge {
                history: self,
                observation,
                name,
                queue,
            };
            judge.judge(observed, &mut verdict);
        }
        verdict.faults.sort();
        verdict.facts = verdict
            .faults
            .iter()
            .map(|fault| self.facts(fault, observation))
            .collect();
        self.start_again(observation);
        verdict
    }

    fn facts(&self, fault: &Fault, observation: &Observation) -> String {
        if let Fault::HalfTransaction { transaction } = fault {
            let transaction = self.transactions.get(transaction);
            let parts = transaction
                .into_iter()
                .flat_map(|transaction| transaction.publishes.iter().chain(&transaction.acks));
            let facts = parts.map(|(queue, message)| {
                let entry = self
                    .queues
                    .get(queue)
                    .and_then(|queue| queue.entries.get(message));
                let found = observation.contains(queue, *message);
                format!("{queue} {message:?} found: {found:?} {entry:?}")
            });
            return facts.collect::<Vec<_>>().join("\n");
        }
        let of_entry = |(queue, message): (&str, MessageId)| {
            let entry = self.queues.get(queue)?.entries.get(&message)?;
            let transaction = match &entry.settled {
                Some(Settled::InTransaction(id)) => self.progress(*id),
                _ => entry.transaction.and_then(|id| self.progress(id)),
            };
            let age = match (&entry.settled, self.killed_at) {
                (Some(Settled::Sent(at)), Some(killed)) => Some(killed.duration_since(*at)),
                _ => None,
            };
            Some(format!(
                "{entry:?}, {transaction:?}, acked {age:?} before the crash"
            ))
        };
        fault.subject().and_then(of_entry).unwrap_or_default()
    }

    fn judge_entities(&self, observation: &Observation, verdict: &mut Verdict) {
        for (entity, known) in &self.entities {
            let entity = entity.clone();
            match (known, observation.entities.get(&entity)) {
                (Some(true), Some(false)) => verdict.faults.push(Fault::EntityLost { entity }),
                (Some(false), Some(true)) => verdict.faults.push(Fault::EntityBack { entity }),
                _ => {}
            }
        }
    }

    /// Whether a transaction happened is read from each of its parts; all must agree.
    fn judge_transactions(&self, observation: &Observation, verdict: &mut Verdict) {
        for (id, transaction) in &self.transactions {
            if transaction.progress != Progress::CommitSent {
                continue;
            }
            verdict.counts.transactions_unknown += 1;
            let publishes = transaction.publishes.iter().filter_map(|(queue, message)| {
                let entry = self.queues.get(queue)?.entries.get(message)?;
                let found = observation.contains(queue, *message)?;
                // What was delivered and settled may be gone either way.
                (found || entry.settled.is_none()).then_some(found)
            });
            let acks = transaction.acks.iter().filter_map(|(queue, message)| {
                let entry = self.queues.get(queue)?.entries.get(message)?;
                entry.confirmed?;
                observation.contains(queue, *message).map(|found| !found)
            });
            let happened: BTreeSet<bool> = publishes.chain(acks).collect();
            if happened.len() > 1 {
                let transaction = *id;
                verdict.faults.push(Fault::HalfTransaction { transaction });
            }
        }
    }

    fn start_again(&mut self, observation: &Observation) {
        for (entity, exists) in &observation.entities {
            if self.entities.get(entity) == Some(&None) {
                self.set_with_bindings_known(entity, *exists);
            }
        }
        let now = self.tick();
        for (name, queue) in &mut self.queues {
            queue.last_first.clear();
            let mut before = std::mem::take(&mut queue.entries);
            let observed = observation.queues.get(name).into_iter().flatten();
            for message in observed.filter_map(|seen| seen.message) {
                let Some(entry) = before.remove(&message) else {
                    continue;
                };
                let entry = Entry {
                    sent: entry.sent,
                    confirmed: entry.confirmed.or(Some(now)),
                    transaction: None,
                    first_delivery: None,
                    delivered: true,
                    observed: true,
                    settled: None,
                    died_in: None,
                };
                queue.entries.insert(message, entry);
            }
            queue.gone.extend(before.into_keys());
        }
        self.transactions.clear();
        self.killed_at = None;
    }

    /// What was uncertain is known now; bindings are observed by themselves.
    fn set_with_bindings_known(&mut self, entity: &Entity, exists: bool) {
        if exists {
            self.entities.insert(entity.clone(), Some(true));
        } else {
            self.set_with_bindings(entity, Some(false));
        }
    }

    fn progress(&self, id: TransactionId) -> Option<Progress> {
        Some(self.transactions.get(&id)?.progress)
    }
}

impl Observation {
    /// Whether a message is there; `None` if its queue is not.
    fn contains(&self, queue: &str, message: MessageId) -> Option<bool> {
        let observed = self.queues.get(queue)?;
        Some(observed.iter().any(|seen| seen.message == Some(message)))
    }
}

/// What the history says of a message that may be in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Must,
    May,
    /// Rejected: here, or where dead letters go, and in one of them if it was confirmed.
    HereOrThere,
    /// Settled, and long enough ago.
    Never,
    Uncommitted,
}

struct QueueJudge<'a> {
    history: &'a History,
    observation: &'a Observation,
    name: &'a str,
    queue: &'a Queue,
}

impl QueueJudge<'_> {
    fn judge(&self, observed: &[Seen], verdict: &mut Verdict) {
        verdict.counts.observed += observed.len() as u64;
        let mut found = Vec::new();
        let mut unseen = 0;
        let mut met = BTreeSet::new();
        for seen in observed {
            let queue = self.name.to_owned();
            let message = seen.message;
            let Some(id) = message.filter(|_| seen.intact) else {
                verdict.faults.push(Fault::Changed { queue, message });
                continue;
            };
            if !met.insert(id) {
                verdict.faults.push(Fault::Twice { queue, message: id });
                continue;
            }
            let Some(entry) = self.queue.entries.get(&id) else {
                let gone = self.queue.gone.contains(&id);
                verdict.faults.push(if gone {
                    Fault::SettledBack { queue, message: id }
                } else {
                    Fault::Phantom { queue, message }
                });
                continue;
            };
            if !seen.redelivered && entry.delivered {
                verdict
                    .faults
                    .push(Fault::NotFlagged { queue, message: id });
            }
            unseen += u64::from(seen.redelivered && !entry.delivered);
            self.judge_present(id, entry, verdict);
            found.push((id, entry));
        }
        verdict.counts.flagged_unseen += unseen;
        verdict.counts.flagged_unseen_max = verdict.counts.flagged_unseen_max.max(unseen);
        for (id, entry) in &self.queue.entries {
            if !met.contains(id) {
                self.judge_absent(*id, entry, verdict);
            }
        }
        if !self.queue.unordered {
            self.judge_order(&found, verdict);
        }
    }

    fn presence(&self, entry: &Entry) -> Presence {
        let published = entry.transaction.and_then(|id| self.history.progress(id));
        if matches!(published, Some(Progress::Open | Progress::RolledBack)) {
            return Presence::Uncommitted;
        }
        let confirmed = entry.confirmed.is_some();
        let unless_settled = if confirmed {
            Presence::Must
        } else {
            Presence::May
        };
        match &entry.settled {
            None => unless_settled,
            Some(Settled::Dead { .. }) => Presence::HereOrThere,
            Some(Settled::InTransaction(id)) => match self.history.progress(*id) {
                Some(Progress::Committed) => Presence::Never,
                Some(Progress::CommitSent) => Presence::May,
                Some(Progress::Open | Progress::RolledBack) | None => unless_settled,
            },
            Some(Settled::Sent(at)) => {
                let killed_at = self.history.killed_at.unwrap_or_else(Instant::now);
                if killed_at.saturating_duration_since(*at) > ACK_WRITTEN_AFTER {
                    Presence::Never
                } else {
                    Presence::May
                }
            }
        }
    }

    fn judge_present(&self, message: MessageId, entry: &Entry, verdict: &mut Verdict) {
        let queue = self.name.to_owned();
        let counts = &mut verdict.counts;
        counts.confirmed += u64::from(entry.confirmed.is_some());
        counts.unconfirmed_kept += u64::from(entry.confirmed.is_none());
        counts.acked_back += u64::from(matches!(entry.settled, Some(Settled::Sent(_))));
        match self.presence(entry) {
            Presence::Must | Presence::May => {}
            Presence::Never => verdict.faults.push(Fault::SettledBack { queue, message }),
            Presence::Uncommitted => verdict.faults.push(Fault::Uncommitted { queue, message }),
            Presence::HereOrThere => {
                if let Some(Settled::Dead { to }) = &entry.settled
                    && self.observation.contains(to, message) == Some(true)
                {
                    let queue = to.clone();
                    verdict.faults.push(Fault::Twice { queue, message });
                }
            }
        }
    }

    fn judge_absent(&self, message: MessageId, entry: &Entry, verdict: &mut Verdict) {
        let unconfirmed = entry.confirmed.is_none() && entry.died_in.is_none();
        verdict.counts.unconfirmed_dropped += u64::from(unconfirmed && entry.settled.is_none());
        let queue = self.name.to_owned();
        match self.presence(entry) {
            Presence::Must => verdict.faults.push(Fault::Lost { queue, message }),
            Presence::HereOrThere if self.is_dead_lost(message, entry) => {
                verdict
                    .faults
                    .push(Fault::DeadLetterLost { queue, message });
            }
            Presence::HereOrThere | Presence::May | Presence::Never | Presence::Uncommitted => {}
        }
    }

    /// Whether a rejected message is not where dead letters go, although nobody took it there.
    fn is_dead_lost(&self, message: MessageId, entry: &Entry) -> bool {
        let Some(Settled::Dead { to }) = &entry.settled else {
            return false;
        };
        let dead = self.history.queues.get(to);
        let untaken = dead
            .and_then(|queue| queue.entries.get(&message))
            .is_some_and(|dead| dead.settled.is_none());
        entry.confirmed.is_some()
            && untaken
            && self.observation.contains(to, message) == Some(false)
    }

    /// A queue keeps the order in which messages came, as far as clients can know it: the order
    /// of each publisher, that of what was confirmed before something else was sent, and that of
    /// first deliveries on one channel.
    fn judge_order(&self, found: &[(MessageId, &Entry)], verdict: &mut Verdict) {
        let mut fault = |first: MessageId, second: MessageId| {
            let queue = self.name.to_owned();
            verdict.faults.push(Fault::Reordered {
                queue,
                first,
                second,
            });
        };
        let mut last: HashMap<u32, MessageId> = HashMap::new();
        let mut last_first: HashMap<u64, (Tick, MessageId)> = HashMap::new();
        for (message, entry) in found {
            if let Some(before) = last.insert(message.publisher, *message)
                && before > *message
            {
                fault(*message, before);
            }
            if let Some((channel, tick)) = entry.first_delivery
                && let Some((before, other)) = last_first.insert(channel, (tick, *message))
                && before > tick
            {
                fault(*message, other);
            }
        }
        let mut confirmed_behind: Option<(Tick, MessageId)> = None;
        for (message, entry) in found.iter().rev() {
            if let Some((tick, other)) = confirmed_behind
                && tick < entry.sent
                && other.publisher != message.publisher
            {
                fault(other, *message);
            }
            if let Some(tick) = entry.confirmed
                && confirmed_behind.is_none_or(|(least, _)| tick < least)
            {
                confirmed_behind = Some((tick, *message));
            }
        }
    }
}
