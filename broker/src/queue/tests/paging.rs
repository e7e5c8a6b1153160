//! Bodies and index blocks that are not in memory.

use super::support::{Bench, DURABLE, consumer, entries, message, stored};
use crate::model::{ConsumerKey, Seq, SeqRange, Settlement};
use crate::queue::{Effect, Get, LoadFailure};

const EVERYTHING: usize = usize::MAX;

fn seq(position: u64) -> Seq {
    Seq::new(0, position)
}

/// A backlog without consumers whose bodies are all in the log alone.
fn released(count: u32) -> Bench {
    let mut bench = Bench::new(DURABLE);
    bench.fill_stored(0..count);
    let resident = bench.queue.counts().resident_bytes;
    assert_eq!(bench.queue.release_bodies(EVERYTHING), resident);
    assert_eq!(bench.queue.counts().resident_bytes, 0);
    bench
}

/// A backlog of which only the last block has slots.
fn paged(count: u32) -> Bench {
    let mut bench = released(count);
    let blocks = count as usize / 512;
    assert_eq!(bench.queue.page_out(0, 0, &|_| true), blocks);
    bench
}

fn limit(bench: &mut Bench, room: usize) {
    bench.outbox.room.insert(ConsumerKey(1), room);
    bench.queue.resume(ConsumerKey(1));
}

#[test]
fn a_body_in_the_log_is_asked_for_once_and_nothing_overtakes_it() {
    let mut bench = released(2);
    bench.fill(2..3);
    bench.queue.consume(consumer(1)).unwrap();
    assert!(bench.dispatched_ids().is_empty());
    let wanted = Effect::LoadBodies(vec![(seq(0), stored(0)), (seq(1), stored(1))]);
    let lease = Effect::ExtendLease {
        up_to: seq(255),
        generation: 0,
    };
    assert_eq!(bench.effects, [wanted, lease]);
    let effects = bench.take_effects();
    assert!(bench.dispatched_ids().is_empty());
    assert!(bench.take_effects().is_empty());
    bench.effects = effects;
    bench.serve();
    assert_eq!(bench.dispatched_ids(), [0, 1, 2]);
}

#[test]
fn a_backlog_streams_with_the_next_bodies_asked_for_at_half() {
    let mut bench = released(1_000);
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    assert!(bench.serve().bodies.into_iter().eq(0..64));
    limit(&mut bench, 31);
    assert_eq!(bench.dispatched_ids().len(), 31);
    assert!(bench.serve().bodies.is_empty());
    limit(&mut bench, 2);
    bench.dispatch();
    assert!(bench.serve().bodies.into_iter().eq(64..96));
    limit(&mut bench, EVERYTHING);
    assert!(bench.drain().into_iter().eq(33..1_000));
}

#[test]
fn large_bodies_are_asked_for_two_at_a_time() {
    let mut bench = Bench::new(DURABLE);
    for id in 0..8 {
        let message = message(id, true, 0);
        let mut place = stored(id);
        place.location.length = 1 << 20;
        message.set_stored(place);
        bench.publish(message);
    }
    bench.queue.release_bodies(EVERYTHING);
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    assert_eq!(bench.serve().bodies, [0, 1]);
}

#[test]
fn get_waits_for_a_body() {
    let mut bench = released(1);
    let answer = bench.queue.get(bench.now, true, &mut bench.effects);
    assert!(matches!(answer, Get::Loading));
    bench.serve();
    let answer = bench.queue.get(bench.now, true, &mut bench.effects);
    assert!(matches!(answer, Get::Message { ready_left: 0, .. }));
}

#[test]
fn what_somebody_waits_for_stays_once_it_is_loaded() {
    let mut bench = released(200);
    let answer = bench.queue.get(bench.now, true, &mut bench.effects);
    assert!(matches!(answer, Get::Loading));
    bench.serve();
    // Other queues have taken all the room there is.
    bench.queue.release_bodies(EVERYTHING);
    let answer = bench.queue.get(bench.now, true, &mut bench.effects);
    assert!(matches!(answer, Get::Message { .. }), "{answer:?}");

    bench.queue.release_bodies(EVERYTHING);
    let resident = bench.queue.counts().resident_bytes;
    assert_eq!(resident, 0, "nobody waits any more");
}

#[test]
fn releasing_frees_the_middle_first_and_keeps_the_head_for_consumers() {
    let mut bench = Bench::new(DURABLE);
    bench.queue.consume(consumer(1)).unwrap();
    bench.outbox.room.insert(ConsumerKey(1), 0);
    bench.fill_stored(0..200);
    bench.dispatch();
    bench.write_leases();
    assert!(bench.queue.release_bodies(1) > 0);
    bench.queue.release_bodies(EVERYTHING);
    assert_eq!(bench.queue.release_bodies(EVERYTHING), 0);
    limit(&mut bench, EVERYTHING);
    assert!(bench.dispatched_ids().into_iter().eq(0..64));
    assert!(bench.drain().into_iter().eq(64..200));
}

#[test]
fn what_the_log_does_not_have_is_not_released() {
    let mut bench = Bench::new(DURABLE);
    bench.fill_stored(0..1);
    bench.fill(1..3);
    bench.fill_stored(3..5);
    bench.publish(message(5, true, 0));
    bench.fill_stored(6..7);
    bench.queue.release_bodies(EVERYTHING);
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    assert_eq!(bench.serve().bodies, [0, 3, 4]);
    assert_eq!(bench.drain(), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn bodies_that_were_loaded_for_nothing_are_released_again() {
    let mut bench = released(500);
    bench.queue.consume(consumer(1)).unwrap();
    bench.outbox.room.insert(ConsumerKey(1), 0);
    bench.dispatch();
    bench.serve();
    assert!(bench.queue.counts().resident_bytes > 0);
    bench.queue.cancel(ConsumerKey(1));
    bench.queue.release_bodies(EVERYTHING);
    assert_eq!(bench.queue.counts().resident_bytes, 0);
}

#[test]
fn unacked_bodies_are_released_and_come_back_when_they_are_requeued() {
    let mut bench = Bench::new(DURABLE);
    bench.queue.consume(consumer(1)).unwrap();
    let seqs = bench.fill_stored(0..300);
    let unacked_bytes = bench.queue.counts().ready_bytes;
    assert_eq!(bench.drain().len(), 300);
    bench.queue.release_bodies(EVERYTHING);
    let counts = bench.queue.counts();
    assert_eq!(
        (counts.resident_bytes, counts.unacked_bytes),
        (0, unacked_bytes)
    );
    bench.settle(&seqs[10..], Settlement::Requeue);
    assert!(bench.drain().into_iter().eq(10..300));
    bench.settle(&seqs, Settlement::Acknowledge);
    let counts = bench.queue.counts();
    assert_eq!((counts.unacked_bytes, counts.resident_bytes), (0, 0));
}

#[test]
fn paged_blocks_come_back_one_ahead_of_the_deliveries() {
    let mut bench = paged(2_000);
    assert_eq!(bench.queue.counts().ready, 2_000);
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    assert_eq!(bench.serve().blocks, [0]);
    bench.dispatch();
    let served = bench.serve();
    assert_eq!((served.blocks, served.bodies.len()), (vec![1], 64));
    assert!(bench.drain().into_iter().eq(0..2_000));
}

#[test]
fn paging_keeps_blocks_at_both_ends_and_those_that_the_index_does_not_have() {
    let mut bench = released(512 * 12 + 1);
    assert_eq!(bench.queue.page_out(0, 2, &|block| block != 5), 8);
    let resident: Vec<u64> = bench.queue.levels[0]
        .chunks
        .iter()
        .filter(|chunk| matches!(chunk.content, crate::queue::chunk::Content::Places(_)))
        .map(|chunk| chunk.number)
        .collect();
    assert_eq!(resident, [0, 1, 5, 11, 12]);
    assert_eq!(bench.queue.page_out(0, 2, &|block| block != 5), 0);
}

#[test]
fn a_block_with_something_transient_or_unacked_is_not_paged() {
    let mut bench = Bench::new(DURABLE);
    bench.fill(0..1);
    bench.fill_stored(1..1_030);
    bench.queue.release_bodies(EVERYTHING);
    assert_eq!(bench.queue.page_out(0, 0, &|_| true), 1);
    let mut bench = released(1_030);
    bench.queue.consume(consumer(1)).unwrap();
    bench.outbox.room.insert(ConsumerKey(1), 1);
    bench.drain();
    bench.queue.cancel(ConsumerKey(1));
    bench.queue.release_bodies(EVERYTHING);
    assert_eq!(bench.queue.page_out(0, 0, &|_| true), 1);
}

#[test]
fn requeued_messages_can_be_paged_and_keep_place_and_flag() {
    let mut bench = Bench::new(DURABLE);
    bench.queue.consume(consumer(1)).unwrap();
    let seqs = bench.fill_stored(0..1_200);
    bench.drain();
    bench.queue.release_bodies(EVERYTHING);
    limit(&mut bench, 0);
    bench.settle(&seqs, Settlement::Requeue);
    bench.fill_stored(1_200..1_201);
    assert_eq!(bench.queue.page_out(0, 0, &|_| true), 2);
    limit(&mut bench, EVERYTHING);
    assert!(bench.drain().into_iter().eq(0..1_201));
}

#[test]
fn a_damaged_body_is_reported_and_the_next_message_goes_out() {
    let mut bench = released(3);
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    bench.write_leases();
    let loaded = vec![
        (seq(0), Err(LoadFailure::Damaged)),
        (seq(1), Ok(message(1, true, 0))),
        (seq(2), Ok(message(2, true, 0))),
    ];
    bench.queue.bodies_loaded(loaded, &mut bench.effects);
    let ranges = vec![SeqRange::one(seq(0))];
    assert_eq!(bench.take_effects(), [Effect::Damaged { ranges }]);
    assert_eq!(bench.queue.counts().ready, 2);
    assert_eq!(bench.dispatched_ids(), [1, 2]);
}

#[test]
fn a_body_that_could_not_be_read_is_asked_for_again() {
    let mut bench = released(1);
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    bench.write_leases();
    let loaded = vec![(seq(0), Err(LoadFailure::Unavailable))];
    bench.queue.bodies_loaded(loaded, &mut bench.effects);
    assert_eq!(bench.drain(), [0]);
}

#[test]
fn a_block_that_could_not_be_read_is_asked_for_again() {
    let mut bench = paged(600);
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    bench.take_effects();
    bench
        .queue
        .block_failed(0, seq(0), LoadFailure::Unavailable, &mut bench.effects);
    assert!(bench.drain().into_iter().eq(0..600));
}

#[test]
fn a_damaged_block_is_reported_place_by_place_and_the_rest_goes_out() {
    let mut bench = paged(600);
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    bench.take_effects();
    bench
        .queue
        .block_failed(0, seq(0), LoadFailure::Damaged, &mut bench.effects);
    let ranges = vec![SeqRange {
        first: seq(0),
        last: seq(511),
    }];
    assert_eq!(bench.take_effects(), [Effect::Damaged { ranges }]);
    assert_eq!(bench.queue.counts().ready, 88);
    assert!(bench.drain().into_iter().eq(512..600));
    assert_eq!(bench.queue.counts().ready_bytes, 0);
}

#[test]
fn places_that_a_block_has_lost_are_reported() {
    let mut bench = paged(600);
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    bench.take_effects();
    let block = entries((0..512).filter(|position| position % 256 != 7));
    bench
        .queue
        .block_loaded(0, seq(0), &block, &mut bench.effects);
    let ranges = vec![SeqRange::one(seq(7)), SeqRange::one(seq(263))];
    assert_eq!(bench.take_effects(), [Effect::Damaged { ranges }]);
    assert_eq!(bench.drain().len(), 598);
    assert_eq!(bench.queue.counts().ready_bytes, 0);
}

#[test]
fn answers_that_nobody_asked_for_are_passed_over() {
    let mut bench = released(3);
    let strange = entries([0, 1, 2, 700]);
    bench
        .queue
        .block_loaded(0, seq(0), &strange, &mut bench.effects);
    bench
        .queue
        .block_loaded(9, Seq::new(9, 0), &strange, &mut bench.effects);
    let loaded = vec![
        (seq(99), Ok(message(99, true, 0))),
        (Seq::new(3, 0), Err(LoadFailure::Damaged)),
    ];
    bench.queue.bodies_loaded(loaded, &mut bench.effects);
    bench.queue.lease_written(Seq::new(5, 0), 0);
    assert!(bench.take_effects().is_empty());
    bench.queue.consume(consumer(1)).unwrap();
    assert_eq!(bench.drain(), [0, 1, 2]);
}

#[test]
fn purging_settles_paged_places_and_late_answers_change_nothing() {
    let mut bench = paged(1_030);
    bench.queue.consume(consumer(1)).unwrap();
    bench.dispatch();
    bench.take_effects();
    assert_eq!(bench.queue.purge(&mut bench.effects), 1_030);
    let ranges = vec![SeqRange {
        first: seq(0),
        last: seq(1_029),
    }];
    assert_eq!(bench.take_effects(), [Effect::Settled(ranges)]);
    bench
        .queue
        .block_loaded(0, seq(0), &entries(0..512), &mut bench.effects);
    assert!(bench.drain().is_empty());
    assert_eq!(bench.queue.counts().ready, 0);
}
