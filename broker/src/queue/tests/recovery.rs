//! A queue that comes back from disk.

use super::support::{Bench, DURABLE, consumer, counting, entries, message};
use crate::model::{Seq, SeqRange, Settlement};
use crate::queue::{Effect, QueueState, Recovered, RecoveredLevel};

fn seq(position: u64) -> Seq {
    Seq::new(0, position)
}

fn range(first: u64, last: u64) -> SeqRange {
    SeqRange {
        first: seq(first),
        last: seq(last),
    }
}

fn recovered(level: RecoveredLevel, ready_count: u64) -> Recovered {
    Recovered {
        levels: vec![level],
        ready_count,
        ..Recovered::default()
    }
}

fn bench(recovered: Recovered) -> Bench {
    let mut bench = Bench::with(QueueState::recover(DURABLE, recovered));
    bench.queue.consume(consumer(1)).unwrap();
    bench
}

/// Serves until something comes out, and gives numbers and flags of everything that does.
fn flags(bench: &mut Bench) -> Vec<(u64, bool)> {
    let mut flags = Vec::new();
    for _ in 0..20 {
        bench.dispatch();
        let taken = bench.outbox.taken.drain(..);
        flags.extend(taken.map(|delivery| (delivery.seq.position(), delivery.redelivered)));
        bench.serve();
    }
    flags
}

#[test]
fn what_the_lease_covers_is_flagged_and_the_rest_is_not() {
    let level = RecoveredLevel {
        next_position: 6,
        lease: Some(seq(3)),
        entries: entries([1, 3, 4, 5]),
        ..RecoveredLevel::default()
    };
    let mut bench = bench(recovered(level, 4));
    assert_eq!(bench.queue.counts().ready, 4);
    let expected = [(1, true), (3, true), (4, false), (5, false)];
    assert_eq!(flags(&mut bench), expected);
}

#[test]
fn a_message_that_comes_after_the_restart_is_not_flagged_below_an_old_lease() {
    let level = RecoveredLevel {
        next_position: 2,
        lease: Some(seq(300)),
        ..RecoveredLevel::default()
    };
    let mut bench = bench(recovered(level, 0));
    bench.publish(message(2, true, 0));
    assert_eq!(flags(&mut bench), [(2, false)]);
}

#[test]
fn a_rebuilt_queue_flags_everything() {
    let level = RecoveredLevel {
        next_position: 600,
        blocks: vec![0..=0],
        entries: entries([550]),
        ..RecoveredLevel::default()
    };
    let mut bench = bench(Recovered {
        all_redelivered: true,
        ..recovered(level, 513)
    });
    let flags = flags(&mut bench);
    assert_eq!(flags.len(), 513);
    assert!(flags.iter().all(|(_, redelivered)| *redelivered));
}

#[test]
fn opening_asks_for_nothing_and_the_first_message_for_one_block() {
    let level = RecoveredLevel {
        next_position: 10_000_000,
        blocks: vec![0..=19_531],
        ..RecoveredLevel::default()
    };
    let mut bench = Bench::with(QueueState::recover(DURABLE, recovered(level, 10_000_000)));
    assert_eq!(bench.queue.counts().ready, 10_000_000);
    assert!(bench.effects.is_empty());
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    assert_eq!(bench.serve().blocks, [0]);
}

#[test]
fn the_log_is_merged_into_blocks_as_they_are_read() {
    let level = RecoveredLevel {
        next_position: 1_100,
        blocks: vec![0..=1],
        settled_since: vec![range(0, 509), range(512, 1_010), range(1_022, 1_050)],
        entries: entries([1_022, 1_023, 1_040, 1_060]),
        ..RecoveredLevel::default()
    };
    // The second block's own content ends at position 1,020.
    let mut bench = bench(recovered(level, 13));
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.extend(bench.dispatched_ids());
        for effect in bench.take_effects() {
            if let Effect::LoadBlock { level, first } = effect {
                let places = first.position()..1_021.min(first.position() + 512);
                let block = entries(places);
                let effects = &mut bench.effects;
                bench.queue.block_loaded(level, first, &block, effects);
            } else {
                bench.effects.push(effect);
            }
        }
        bench.serve();
    }
    let expected: Vec<u32> = [510, 511]
        .into_iter()
        .chain(1_011..1_021)
        .chain([1_060])
        .collect();
    assert_eq!(ids, expected);
    assert_eq!(bench.queue.counts().ready, 0);
}

#[test]
fn new_messages_stay_out_of_blocks_that_were_not_read() {
    let level = RecoveredLevel {
        next_position: 10,
        blocks: vec![0..=0],
        ..RecoveredLevel::default()
    };
    let mut bench = bench(recovered(level, 10));
    assert_eq!(bench.queue.next_seq(0), Some(seq(512)));
    assert_eq!(bench.publish(message(512, true, 0)), seq(512));
}

#[test]
fn places_are_never_given_twice() {
    let level = RecoveredLevel {
        next_position: 4,
        entries: entries([9]),
        ..RecoveredLevel::default()
    };
    let bench = bench(recovered(level, 1));
    assert_eq!(bench.queue.next_seq(0), Some(seq(10)));
    assert_eq!(bench.queue.next_seq(1), None);
}

#[test]
fn a_new_message_takes_its_own_place_behind_the_last_ones_that_were_settled() {
    let level = RecoveredLevel {
        next_position: 9,
        settled_since: vec![range(5, 6)],
        entries: entries([3, 4, 5]),
        ..RecoveredLevel::default()
    };
    let mut bench = bench(recovered(level, 2));
    bench.publish(message(9, true, 0));
    assert_eq!(flags(&mut bench), [(3, false), (4, false), (9, false)]);
    assert_eq!(bench.queue.counts().ready, 0);
}

#[test]
fn purging_settles_unread_blocks_whole() {
    let level = RecoveredLevel {
        next_position: 512 * 9,
        blocks: vec![0..=2, 5..=5, 6..=6],
        entries: entries([512 * 8, 512 * 8 + 2]),
        ..RecoveredLevel::default()
    };
    let mut bench = bench(recovered(level, 2_502));
    assert_eq!(bench.queue.purge(&mut bench.effects), 2_502);
    let expected = [
        Effect::SettledBlocks(range(0, 512 * 3 - 1)),
        Effect::SettledBlocks(range(512 * 5, 512 * 7 - 1)),
        Effect::Settled(vec![
            range(512 * 8, 512 * 8),
            range(512 * 8 + 2, 512 * 8 + 2),
        ]),
    ];
    assert_eq!(bench.take_effects(), expected);
    assert_eq!(bench.queue.counts().ready, 0);
    assert!(bench.drain().is_empty());
}

#[test]
fn a_damaged_unread_block_is_reported_and_what_the_log_knows_of_it_goes_out() {
    let level = RecoveredLevel {
        next_position: 512,
        blocks: vec![0..=0],
        entries: entries([500]),
        ..RecoveredLevel::default()
    };
    let mut bench = bench(recovered(level, 100));
    bench.dispatch();
    bench.take_effects();
    let failure = crate::queue::LoadFailure::Damaged;
    bench
        .queue
        .block_failed(0, seq(0), failure, &mut bench.effects);
    let damaged = Effect::Damaged {
        ranges: vec![range(0, 511)],
    };
    let missing = Effect::Missing { messages: 99 };
    assert_eq!(bench.take_effects(), [damaged, missing]);
    assert_eq!(bench.queue.counts().ready, 1);
    assert_eq!(bench.drain(), [500]);
}

#[test]
fn blocks_that_hold_fewer_messages_than_were_counted_are_reported() {
    let level = RecoveredLevel {
        next_position: 512,
        blocks: vec![0..=0],
        ..RecoveredLevel::default()
    };
    let mut bench = bench(recovered(level, 600));
    bench.dispatch();
    bench.serve();
    assert_eq!(bench.take_effects(), [Effect::Missing { messages: 88 }]);
    assert_eq!(bench.queue.counts().ready, 512);
}

#[test]
fn returns_are_counted_on_after_a_restart() {
    let level = RecoveredLevel {
        next_position: 2,
        lease: Some(seq(1)),
        entries: entries([0, 1]),
        ..RecoveredLevel::default()
    };
    let recovered = Recovered {
        delivery_counts: vec![(seq(1), 4)],
        ..recovered(level, 2)
    };
    let mut bench = Bench::with(QueueState::recover(DURABLE, recovered).on_terms(counting()));
    bench.queue.consume(consumer(1)).unwrap();
    assert_eq!(bench.drain(), [0, 1]);
    bench.settle(&[seq(0), seq(1)], Settlement::Requeue);
    let requeued = |position, delivery_count| Effect::Requeued {
        ranges: vec![range(position, position)],
        delivery_count,
    };
    assert_eq!(bench.take_effects(), [requeued(0, 1), requeued(1, 5)]);
}

#[test]
fn nonsense_from_disk_is_survived() {
    let level = RecoveredLevel {
        next_position: u64::MAX,
        lease: Some(Seq(u64::MAX)),
        blocks: vec![3..=3, 1..=1, 3..=3],
        settled_since: vec![
            SeqRange {
                first: Seq(u64::MAX),
                last: Seq(0),
            },
            range(700, 600),
            range(0, (1 << 56) - 1),
        ],
        entries: entries([5, 5, 1_600]),
    };
    let mut bench = bench(recovered(level, 0));
    bench.publish(message(1, true, 0));
    bench.queue.assert_consistent();
    assert_eq!(bench.drain(), [1]);
}
