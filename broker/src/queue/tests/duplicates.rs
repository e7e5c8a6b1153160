//! Which messages are duplicates: by name, and against the plainest model.

use proptest::prelude::*;

use super::support::{Bench, DURABLE, at, consumer, message};
use crate::model::{
    DeadLetterTarget, Deduplication, DeduplicationKey, QueueTerms, Retention, Seq, Settlement,
};
use crate::queue::keys::KnownKeys;
use crate::queue::{QueueState, Settings};
use crate::wire::Value;

/// By the header that [`message`] writes.
pub(super) fn deduplication(retention: Retention, keys_max: u64) -> Deduplication {
    Deduplication {
        header: (*b"key").into(),
        retention,
        keys_max: keys_max.try_into().ok(),
    }
}

const FOR_EVER: Retention = Retention::Window { ttl_ms: None };

fn terms(retention: Retention, keys_max: u64) -> QueueTerms {
    QueueTerms {
        deduplication: Some(Box::new(deduplication(retention, keys_max))),
        ..QueueTerms::default()
    }
}

fn bench(terms: QueueTerms) -> Bench {
    Bench::with(QueueState::new(DURABLE).on_terms(terms))
}

impl Bench {
    fn knows(&self, id: u32) -> bool {
        self.queue.is_duplicate(self.now, &message(id, false, 0))
    }

    fn take(&mut self, no_ack: bool) -> Seq {
        match self.queue.get(self.now, no_ack, &mut self.effects) {
            crate::queue::Get::Message { delivery, .. } => delivery.seq,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_key_is_known_as_long_as_its_message_is_in_the_queue() {
    let mut bench = bench(terms(Retention::WhileQueued, 10));
    assert!(!bench.knows(1), "nothing is");
    for id in 1..=3 {
        bench.publish(message(id, false, 0));
    }
    assert!(bench.knows(1) && !bench.knows(4));
    bench.take(true);
    assert!(!bench.knows(1), "taken for good");
    let seq = bench.take(false);
    assert!(bench.knows(2), "unacknowledged");
    bench.settle(&[seq], Settlement::Requeue);
    assert!(bench.knows(2), "requeued");
    let seq = bench.take(false);
    bench.settle(&[seq], Settlement::Acknowledge);
    assert!(!bench.knows(2), "acknowledged");
    bench.queue.purge(&mut bench.effects);
    assert!(!bench.knows(3), "purged");
}

#[test]
fn in_a_window_a_key_is_known_wherever_its_message_is() {
    let ttl_ms = Retention::Window {
        ttl_ms: 500.try_into().ok(),
    };
    let mut bench = bench(terms(ttl_ms, 10));
    bench.publish(message(1, false, 0));
    bench.publish(message(2, false, 0));
    bench.take(true);
    bench.queue.purge(&mut bench.effects);
    assert!(bench.knows(1) && bench.knows(2));
    bench.now = at(1_499);
    assert!(bench.knows(1), "its time is not over");
    bench.now = at(1_500);
    assert!(!bench.knows(1), "its time is over");
}

#[test]
fn what_is_dead_lettered_may_come_back() {
    for retention in [Retention::WhileQueued, FOR_EVER] {
        let dead_letter = Some(DeadLetterTarget {
            exchange: "dlx".into(),
            routing_key: None,
        });
        let mut bench = bench(QueueTerms {
            dead_letter,
            message_ttl_ms: Some(100),
            ..terms(retention, 10)
        });
        bench.publish(message(1, false, 0));
        bench.publish(message(2, false, 0));
        let seq = bench.take(false);
        bench.settle(&[seq], Settlement::Discard);
        assert!(!bench.knows(1), "rejected");
        bench.now = at(2_000);
        bench.queue.enforce(bench.now, &mut bench.effects);
        assert!(!bench.knows(2), "expired");
    }
}

#[test]
fn one_key_too_many_pushes_the_oldest_out() {
    for retention in [Retention::WhileQueued, FOR_EVER] {
        let mut bench = bench(terms(retention, 3));
        for id in 0..5 {
            bench.publish(message(id, false, 0));
        }
        let known: Vec<u32> = (0..5).filter(|id| bench.knows(*id)).collect();
        assert_eq!(known, [2, 3, 4]);
        assert!(bench.queue.counts().key_bytes > 0);
    }
}

#[test]
fn a_consumer_that_takes_it_at_once_leaves_no_key() {
    let mut bench = bench(terms(Retention::WhileQueued, 10));
    let mut eager = consumer(1);
    eager.no_ack = true;
    bench.queue.consume(eager).unwrap();
    bench.publish(message(1, false, 0));
    assert!(bench.knows(1));
    bench.dispatch();
    assert!(!bench.knows(1));
}

#[test]
fn without_the_argument_nothing_is_kept() {
    let mut bench = Bench::new(Settings { ..DURABLE });
    bench.publish(message(1, false, 0));
    assert!(!bench.knows(1));
    assert_eq!(bench.queue.counts().key_bytes, 0);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Unless it is known.
    Arrive(u8),
    Pass(u64),
    /// Of those that arrived, counted from the last.
    Leave(usize),
    Die(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..20_u8).prop_map(Step::Arrive),
        2 => (0..40_u64).prop_map(Step::Pass),
        3 => (0..12_usize).prop_map(Step::Leave),
        1 => (0..12_usize).prop_map(Step::Die),
    ]
}

/// The last keys to arrive, of those that are not over or forgotten.
struct Model {
    retention: Retention,
    ttl_ms: Option<u64>,
    keys_max: usize,
    /// Key, place, arrival; ascending.
    known: Vec<(u8, Seq, u64)>,
}

impl Model {
    fn knows(&self, now_ms: u64, key: u8) -> bool {
        let is_young = |arrival| self.ttl_ms.is_none_or(|ttl_ms| now_ms < arrival + ttl_ms);
        let newest = self.known.iter().rev().take(self.keys_max);
        let mut newest = newest.filter(|(_, _, arrival)| is_young(*arrival));
        newest.any(|(known, ..)| *known == key)
    }
}

proptest! {
    #[test]
    fn the_newest_keys_are_known_until_they_are_over_or_their_messages_gone(
        keys_max in 1..10_usize,
        ttl_ms in prop::option::of(1..100_u64),
        outlasts in any::<bool>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let retention = if outlasts { FOR_EVER } else { Retention::WhileQueued };
        let mut keys = KnownKeys::new(retention, keys_max as u64);
        let mut model = Model { retention, ttl_ms, keys_max, known: Vec::new() };
        let key_of = |key| DeduplicationKey::new(Value::ShortShortUint(key)).expect("a value");
        let (mut now_ms, mut arrived) = (0, Vec::new());
        for step in steps {
            match step {
                Step::Arrive(key) if model.knows(now_ms, key) => {}
                Step::Arrive(key) => {
                    let seq = Seq::new(0, arrived.len() as u64);
                    arrived.push(seq);
                    keys.remember(at(now_ms), seq, key_of(key), ttl_ms);
                    model.known.retain(|(known, ..)| *known != key);
                    // What is pushed out does not come back when another leaves.
                    let excess = (model.known.len() + 1).saturating_sub(keys_max);
                    model.known.drain(..excess);
                    model.known.push((key, seq, now_ms));
                }
                Step::Pass(ms) => now_ms += ms,
                Step::Leave(back) | Step::Die(back) => {
                    let Some(seq) = arrived.iter().rev().nth(back) else {
                        continue;
                    };
                    let dies = matches!(step, Step::Die(_));
                    if dies {
                        keys.forget(*seq);
                    } else {
                        keys.left(*seq);
                    }
                    if dies || model.retention == Retention::WhileQueued {
                        model.known.retain(|(_, known, _)| known != seq);
                    }
                }
            }
            for key in 0..20 {
                let known = keys.knows(at(now_ms), key_of(key));
                prop_assert_eq!(known, model.knows(now_ms, key), "{}", key);
            }
            prop_assert!(keys.places().count() <= keys_max);
        }
    }
}
