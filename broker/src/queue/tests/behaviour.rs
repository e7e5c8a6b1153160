//! Order, flags, settlement, get and purge.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::support::{Bench, DURABLE, TRANSIENT, at, consumer, counting, id, message};
use crate::model::{ConsumerKey, DeadLetterTarget, QueueTerms, Seq, SeqRange, Settlement};
use crate::queue::chunk::{Chunk, Content, Places};
use crate::queue::slot::Slot;
use crate::queue::{Admission, Consumer, Effect, Expiry, Get, Recording, Settings};

const PRIORITIES: Settings = Settings {
    levels: 3,
    ..TRANSIENT
};

fn with_consumer(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.queue.consume(consumer(1)).unwrap();
    bench
}

fn range(first: Seq, last: Seq) -> SeqRange {
    SeqRange { first, last }
}

#[test]
fn messages_go_out_in_the_order_of_their_arrival() {
    let mut bench = with_consumer(TRANSIENT);
    bench.fill(0..2_000);
    assert_eq!(bench.dispatched_ids(), (0..2_000).collect::<Vec<_>>());
    let counts = bench.queue.counts();
    assert_eq!((counts.ready, counts.unacked), (0, 2_000));
}

#[test]
fn a_requeued_message_goes_out_again_at_its_old_place_and_flagged() {
    let mut bench = with_consumer(TRANSIENT);
    let seqs = bench.fill(0..10);
    bench.dispatch();
    bench.fill(10..12);
    bench.settle(&[seqs[7], seqs[2], seqs[5]], Settlement::Requeue);
    assert_eq!(bench.dispatched_ids(), [2, 5, 7, 10, 11]);
    let flags: Vec<bool> = bench
        .outbox
        .taken
        .iter()
        .map(|delivery| delivery.redelivered)
        .collect();
    assert_eq!(flags, [true, true, true, false, false]);
}

#[test]
fn a_million_requeued_messages_keep_their_order() {
    let mut bench = with_consumer(TRANSIENT);
    let mut seqs = bench.fill(0..1_000_000);
    bench.dispatch();
    seqs.reverse();
    bench.settle(&seqs, Settlement::Requeue);
    let ids = bench.dispatched_ids();
    assert!(ids.iter().copied().eq(0..1_000_000));
}

#[test]
fn the_highest_level_goes_first_and_priorities_above_it_count_as_it() {
    let mut bench = with_consumer(PRIORITIES);
    for (id, priority) in [(0, 0), (1, 2), (2, 1), (3, 200), (4, 0)] {
        bench.publish(message(id, false, priority));
    }
    assert_eq!(bench.dispatched_ids(), [1, 3, 2, 0, 4]);
}

#[test]
fn a_queue_of_one_level_ignores_priorities() {
    let mut bench = with_consumer(TRANSIENT);
    for (id, priority) in [(0, 0), (1, 9), (2, 255)] {
        bench.publish(message(id, false, priority));
    }
    assert_eq!(bench.dispatched_ids(), [0, 1, 2]);
}

#[test]
fn all_256_levels_can_be_had() {
    let mut bench = with_consumer(Settings {
        levels: 256,
        ..PRIORITIES
    });
    for priority in 0..=255 {
        bench.publish(message(u32::from(priority), false, priority));
    }
    assert!(bench.dispatched_ids().into_iter().eq((0..256).rev()));
}

#[test]
fn what_is_recorded_is_up_to_the_queue_and_the_message() {
    for (recording, persistent, expected) in [
        (Recording::Persistent, true, true),
        (Recording::Persistent, false, false),
        (Recording::Nothing, true, false),
        (Recording::Nothing, false, false),
        (Recording::Everything, true, true),
        (Recording::Everything, false, true),
    ] {
        let mut bench = Bench::new(Settings {
            recording,
            ..DURABLE
        });
        let admission =
            bench
                .queue
                .enqueue(bench.now, message(0, persistent, 0), &mut bench.effects);
        let Admission::Accepted { record, .. } = admission;
        assert_eq!(record, expected, "{recording:?} {persistent}");
    }
}

#[test]
fn settlements_name_exactly_the_recorded_places() {
    let mut bench = with_consumer(DURABLE);
    let persistent = [true, true, false, true, true, true];
    let seqs: Vec<Seq> = (0..6)
        .map(|id| bench.publish(message(id, persistent[id as usize], 0)))
        .collect();
    bench.write_leases();
    bench.dispatch();
    bench.take_effects();
    bench.settle(
        &[seqs[0], seqs[1], seqs[2], seqs[3], seqs[5]],
        Settlement::Acknowledge,
    );
    let expected = vec![
        range(seqs[0], seqs[1]),
        SeqRange::one(seqs[3]),
        SeqRange::one(seqs[5]),
    ];
    assert_eq!(bench.take_effects(), [Effect::Settled(expected)]);
}

#[test]
fn settling_what_nobody_has_in_hand_does_nothing() {
    let mut bench = with_consumer(DURABLE);
    let seqs = bench.fill_stored(0..3);
    bench.write_leases();
    bench.queue.cancel(ConsumerKey(1));
    bench.settle(&seqs, Settlement::Acknowledge);
    bench.settle(&[Seq::new(7, 0), Seq::new(0, 99)], Settlement::Requeue);
    assert!(bench.take_effects().is_empty());
    assert_eq!(bench.queue.counts().ready, 3);
}

#[test]
fn a_place_is_settled_once() {
    let mut bench = with_consumer(TRANSIENT);
    let seqs = bench.fill(0..2);
    bench.dispatch();
    bench.settle(&[seqs[0], seqs[0]], Settlement::Discard);
    bench.settle(&[seqs[0]], Settlement::Requeue);
    let counts = bench.queue.counts();
    assert_eq!((counts.ready, counts.unacked), (0, 1));
}

#[test]
fn a_delivery_without_acknowledgement_is_settled_when_it_is_taken() {
    let mut bench = Bench::new(DURABLE);
    let no_ack = Consumer {
        no_ack: true,
        ..consumer(1)
    };
    bench.queue.consume(no_ack).unwrap();
    bench.outbox.room.insert(ConsumerKey(1), 2);
    let seqs = bench.fill_stored(0..3);
    bench.take_effects();
    assert_eq!(bench.dispatched_ids(), [0, 1]);
    let expected = vec![range(seqs[0], seqs[1])];
    assert_eq!(bench.take_effects(), [Effect::Settled(expected)]);
    let counts = bench.queue.counts();
    assert_eq!((counts.ready, counts.unacked), (1, 0));
}

#[test]
fn get_takes_the_head_and_says_what_is_left() {
    let mut bench = Bench::new(TRANSIENT);
    let seqs = bench.fill(0..3);
    for (expected, left) in [(0, 2), (1, 1)] {
        let answer = bench.queue.get(bench.now, false, &mut bench.effects);
        let Get::Message {
            delivery,
            ready_left,
        } = answer
        else {
            panic!("a message is ready, not {answer:?}");
        };
        assert_eq!((id(&delivery.message), ready_left), (expected, left));
        assert_eq!((delivery.consumer, delivery.redelivered), (None, false));
    }
    bench.settle(&[seqs[0]], Settlement::Requeue);
    let answer = bench.queue.get(bench.now, true, &mut bench.effects);
    let Get::Message { delivery, .. } = answer else {
        panic!("a message is ready, not {answer:?}");
    };
    assert_eq!((id(&delivery.message), delivery.redelivered), (0, true));
    assert_eq!(bench.queue.counts().unacked, 1);
}

#[test]
fn get_finds_an_empty_queue_empty() {
    let mut bench = Bench::new(DURABLE);
    let answer = bench.queue.get(bench.now, false, &mut bench.effects);
    assert!(matches!(answer, Get::Empty));
}

#[test]
fn get_serves_from_a_queue_with_an_exclusive_consumer() {
    let mut bench = Bench::new(TRANSIENT);
    let exclusive = Consumer {
        exclusive: true,
        prefetch: 1,
        ..consumer(1)
    };
    bench.queue.consume(exclusive).unwrap();
    bench.fill(0..2);
    bench.dispatch();
    let answer = bench.queue.get(bench.now, false, &mut bench.effects);
    assert!(matches!(answer, Get::Message { ready_left: 0, .. }));
}

#[test]
fn purge_drops_what_is_ready_and_leaves_what_is_unacked() {
    let mut bench = with_consumer(DURABLE);
    bench.outbox.room.insert(ConsumerKey(1), 3);
    let seqs = bench.fill_stored(0..6);
    bench.write_leases();
    bench.dispatch();
    bench.settle(&[seqs[1]], Settlement::Requeue);
    bench.take_effects();
    assert_eq!(bench.queue.purge(&mut bench.effects), 4);
    let expected = vec![SeqRange::one(seqs[1]), range(seqs[3], seqs[5])];
    assert_eq!(bench.take_effects(), [Effect::Settled(expected)]);
    let counts = bench.queue.counts();
    assert_eq!(
        (counts.ready, counts.ready_bytes, counts.unacked),
        (0, 0, 2)
    );
    bench.settle(&[seqs[0], seqs[2]], Settlement::Requeue);
    bench.queue.resume(ConsumerKey(1));
    bench.outbox.room.clear();
    assert_eq!(bench.dispatched_ids(), [0, 2]);
}

#[test]
fn failures_are_counted_and_recorded_where_the_queue_counts_them() {
    let mut bench = with_consumer(DURABLE);
    bench.queue.set_terms(counting());
    let seqs = bench.fill_stored(0..3);
    bench.dispatch();
    bench.settle(&seqs[..1], Settlement::Requeue);
    bench.dispatch();
    bench.take_effects();
    bench.settle(&seqs, Settlement::Requeue);
    let requeued = |first, last, delivery_count| Effect::Requeued {
        ranges: vec![range(first, last)],
        delivery_count,
    };
    let expected = [requeued(seqs[1], seqs[2], 1), requeued(seqs[0], seqs[0], 2)];
    assert_eq!(bench.take_effects(), expected);
    bench.dispatch();
    let attempts = |bench: &Bench| -> Vec<(u32, u32)> {
        let taken = bench.outbox.taken.iter();
        taken
            .map(|delivery| (delivery.attempts.returned, delivery.attempts.failed))
            .collect()
    };
    assert_eq!(attempts(&bench), [(2, 2), (1, 1), (1, 1)]);
    bench.settle(&seqs[1..2], Settlement::Return);
    assert_eq!(bench.take_effects(), [], "what is returned has not failed");
    bench.dispatch();
    assert_eq!(attempts(&bench), [(2, 1)]);
}

#[test]
fn a_message_that_stays_unacked_does_not_pin_those_behind_it() {
    let mut bench = with_consumer(TRANSIENT);
    bench.fill(0..1);
    bench.dispatch();
    for burst in 0..1_000 {
        let seqs = bench.fill(burst * 100..burst * 100 + 100);
        bench.dispatch();
        bench.settle(&seqs, Settlement::Acknowledge);
    }
    let level = &bench.queue.levels[0];
    assert!(level.chunks.len() <= 2, "{} chunks", level.chunks.len());
}

#[test]
fn an_emptied_queue_gives_its_memory_back_after_a_pause() {
    let mut bench = with_consumer(TRANSIENT);
    let seqs = bench.fill(0..5_000);
    bench.dispatch();
    bench.settle(&seqs, Settlement::Acknowledge);
    let due = bench.queue.deadline().expect("a pause is waited for");
    assert_eq!(bench.queue.tick(at(due), &mut bench.effects), None);
    assert_eq!(bench.queue.levels[0].chunks.capacity(), 0);
    bench.fill(5_000..5_002);
    assert_eq!(bench.dispatched_ids(), [5_000, 5_001]);
}

#[test]
fn an_idle_queue_costs_less_than_a_kibibyte() {
    let mut bench = with_consumer(DURABLE);
    for id in 0..1_000 {
        let seq = bench.publish(message(id, true, 0));
        bench.dispatch();
        bench.settle(&[seq], Settlement::Acknowledge);
    }
    let level = &bench.queue.levels[0];
    let Content::Places(places) = &level.chunks[0].content else {
        panic!("the last chunk is in memory");
    };
    let bytes = size_of_val(&bench.queue)
        + size_of_val(level)
        + level.chunks.capacity() * size_of::<Chunk>()
        + size_of::<Places>()
        + places.slots.capacity() * size_of::<Slot>();
    assert!(bytes < 1024, "{bytes} bytes");
}

#[test]
fn the_head_of_each_level_expires_where_all_do() {
    for (expiry, left) in [(Expiry::OfHighest, 4), (Expiry::OfEvery, 2)] {
        let mut bench = Bench::new(Settings {
            expiry,
            ..PRIORITIES
        });
        let immortal = [(0, 2), (1, 0)];
        let mortal = [(2, 1), (3, 0), (4, 1)];
        for (id, priority) in immortal {
            bench.publish(message(id, false, priority));
        }
        bench.queue.set_terms(QueueTerms {
            message_ttl_ms: Some(10),
            ..QueueTerms::default()
        });
        for (id, priority) in mortal {
            bench.publish(message(id, false, priority));
        }
        bench.now = at(2_000);
        bench.queue.enforce(bench.now, &mut bench.effects);
        // 3 is behind 1, which lives for ever.
        assert_eq!(bench.queue.counts().ready, left + 1, "{expiry:?}");
        bench.queue.consume(consumer(1)).unwrap();
        assert_eq!(bench.dispatched_ids(), [0, 1]);
    }
}

#[test]
fn a_deadline_costs_at_most_16_bytes() {
    let cost = |ttl_ms: Option<u64>| {
        let mut bench = Bench::new(TRANSIENT);
        bench.queue.set_terms(QueueTerms {
            message_ttl_ms: ttl_ms,
            dead_letter: ttl_ms.map(|_| DeadLetterTarget {
                exchange: "dlx".into(),
                routing_key: None,
            }),
            ..QueueTerms::default()
        });
        bench.fill(0..10_000);
        let places = |chunk: &Chunk| match &chunk.content {
            Content::Places(places) => places.memory_bytes(),
            Content::Paged(_) | Content::Unread(_) => panic!("nothing was paged out"),
        };
        let chunks = &bench.queue.levels[0].chunks;
        chunks.iter().map(places).sum::<usize>() / 10_000
    };
    let (plain, mortal) = (cost(None), cost(Some(60_000)));
    assert!(mortal <= plain + 16, "{mortal} bytes instead of {plain}");
}

#[test]
fn a_queue_is_like_a_new_one_until_it_gives_a_place_away() {
    let mut bench = Bench::new(TRANSIENT);
    assert!(bench.queue.is_unused());
    bench.queue.consume(consumer(1)).unwrap();
    assert!(!bench.queue.is_unused(), "it has a consumer");
    bench.queue.cancel(ConsumerKey(1)).unwrap();
    assert!(bench.queue.is_unused());
    bench.queue.set_terms(QueueTerms {
        expires_ms: NonZeroU64::new(1000),
        ..QueueTerms::default()
    });
    assert!(!bench.queue.is_unused(), "it waits for its end");
    bench.queue.set_terms(QueueTerms::default());
    bench.fill(0..1);
    bench.queue.purge(&mut Vec::new());
    assert_eq!(bench.queue.counts().ready, 0);
    assert!(!bench.queue.is_unused(), "places are never given twice");
}

/// There is one for each idle queue.
#[test]
fn terms_of_which_nothing_is_said_are_shared() {
    let shares = |terms: QueueTerms| Arc::ptr_eq(&terms.clone().shared(), &terms.shared());
    assert!(shares(QueueTerms::default()));
    assert!(!shares(counting()));
}
