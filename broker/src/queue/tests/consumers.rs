//! Whose turn it is, and who must wait.

use super::support::{Bench, TRANSIENT, consumer, id};
use crate::model::{ConsumerKey, Settlement};
use crate::queue::{Activity, ConsumeRefusal, Consumer, Settings, Sharing, Takeover};

fn bench_with(consumers: impl IntoIterator<Item = Consumer<ConsumerKey>>) -> Bench {
    let mut bench = Bench::new(TRANSIENT);
    for consumer in consumers {
        bench.queue.consume(consumer).unwrap();
    }
    bench
}

fn keys(bench: &mut Bench) -> Vec<u64> {
    bench.dispatch().into_iter().map(|(key, _)| key).collect()
}

fn with_priority(key: u64, priority: i64, prefetch: u32) -> Consumer<ConsumerKey> {
    Consumer {
        priority,
        prefetch,
        ..consumer(key)
    }
}

#[test]
fn equal_consumers_are_served_in_turn() {
    let mut bench = bench_with((0..3).map(consumer));
    bench.fill(0..4);
    assert_eq!(keys(&mut bench), [0, 1, 2, 0]);
    bench.fill(4..7);
    assert_eq!(keys(&mut bench), [1, 2, 0]);
}

#[test]
fn the_highest_priority_gets_everything_until_it_is_blocked() {
    let mut bench = bench_with([
        with_priority(0, -1, 0),
        with_priority(1, 5, 2),
        with_priority(2, 5, 1),
        with_priority(3, 0, 1),
    ]);
    let seqs = bench.fill(0..6);
    assert_eq!(keys(&mut bench), [1, 2, 1, 3, 0, 0]);
    bench.settle(&seqs[1..2], Settlement::Acknowledge);
    bench.fill(6..8);
    assert_eq!(keys(&mut bench), [2, 0]);
}

#[test]
fn prefetch_holds_until_a_message_is_settled_or_requeued() {
    let mut bench = bench_with([with_priority(0, 0, 2)]);
    let seqs = bench.fill(0..5);
    assert_eq!(bench.dispatched_ids(), [0, 1]);
    assert!(bench.dispatched_ids().is_empty());
    bench.settle(&seqs[..1], Settlement::Acknowledge);
    assert_eq!(bench.dispatched_ids(), [2]);
    bench.settle(&seqs[1..2], Settlement::Requeue);
    assert_eq!(bench.dispatched_ids(), [1]);
    bench.settle(&seqs[2..3], Settlement::Discard);
    assert_eq!(bench.dispatched_ids(), [3]);
}

#[test]
fn a_consumer_without_acknowledgement_has_no_limit() {
    let mut bench = bench_with([Consumer {
        no_ack: true,
        ..with_priority(0, 0, 1)
    }]);
    bench.fill(0..50);
    assert_eq!(bench.dispatched_ids().len(), 50);
}

#[test]
fn a_changed_prefetch_counts_at_once() {
    let mut bench = bench_with([with_priority(0, 0, 1)]);
    let seqs = bench.fill(0..9);
    assert_eq!(bench.dispatched_ids(), [0]);
    bench.queue.set_prefetch(ConsumerKey(0), 3);
    assert_eq!(bench.dispatched_ids(), [1, 2]);
    bench.queue.set_prefetch(ConsumerKey(0), 1);
    bench.settle(&seqs[..2], Settlement::Acknowledge);
    assert!(bench.dispatched_ids().is_empty());
    bench.queue.set_prefetch(ConsumerKey(0), 0);
    assert_eq!(bench.dispatched_ids(), [3, 4, 5, 6, 7, 8]);
}

#[test]
fn what_a_full_sink_refuses_goes_to_the_next_consumer() {
    let mut bench = bench_with((0..2).map(consumer));
    bench.outbox.room.insert(ConsumerKey(0), 1);
    bench.fill(0..4);
    assert_eq!(bench.dispatch(), [(0, 0), (1, 1), (1, 2), (1, 3)]);
}

#[test]
fn what_every_sink_refuses_stays_first() {
    let mut bench = bench_with([Consumer {
        no_ack: true,
        ..consumer(0)
    }]);
    bench.outbox.room.insert(ConsumerKey(0), 1);
    bench.fill(0..3);
    assert_eq!(bench.dispatched_ids(), [0]);
    bench.outbox.room.insert(ConsumerKey(0), 9);
    assert!(
        bench.dispatched_ids().is_empty(),
        "not before it is resumed"
    );
    bench.queue.resume(ConsumerKey(0));
    assert_eq!(bench.dispatched_ids(), [1, 2]);
}

#[test]
fn consumers_that_cannot_take_anything_are_not_tried_again() {
    let mut bench = bench_with((0..5_000).map(consumer));
    for key in 0..5_000 {
        bench.outbox.room.insert(ConsumerKey(key), 0);
    }
    bench.fill(0..1);
    bench.dispatch();
    assert_eq!(bench.outbox.offers, 5_000);
    for id in 1..100 {
        bench.fill(id..id + 1);
        bench.dispatch();
    }
    assert_eq!(bench.outbox.offers, 5_000);
}

#[test]
fn exclusive_use_is_refused_when_anybody_is_there_and_to_anybody_after() {
    let exclusive = |key| Consumer {
        exclusive: true,
        ..consumer(key)
    };
    let mut bench = bench_with([consumer(0)]);
    let refused = Err(ConsumeRefusal::ExclusiveUse);
    assert_eq!(bench.queue.consume(exclusive(1)), refused);
    bench.queue.cancel(ConsumerKey(0));
    assert_eq!(bench.queue.consume(exclusive(1)), Ok(()));
    assert_eq!(bench.queue.consume(consumer(2)), refused);
    assert_eq!(bench.queue.consume(exclusive(3)), refused);
    bench.queue.cancel(ConsumerKey(1));
    assert_eq!(bench.queue.consume(consumer(2)), Ok(()));
}

#[test]
fn cancelling_leaves_what_was_delivered_unacked() {
    let mut bench = bench_with((0..2).map(consumer));
    let seqs = bench.fill(0..4);
    bench.dispatch();
    let cancelled = bench.queue.cancel(ConsumerKey(0)).expect("it is there");
    assert_eq!((cancelled.handle, cancelled.remaining), (ConsumerKey(0), 1));
    assert!(bench.queue.cancel(ConsumerKey(0)).is_none());
    assert_eq!(bench.queue.counts().unacked, 4);
    bench.settle(&seqs[..1], Settlement::Requeue);
    assert_eq!(bench.dispatch(), [(1, 0)]);
}

#[test]
fn settling_a_cancelled_consumers_message_gives_credit_to_nobody_else() {
    let mut bench = bench_with([with_priority(0, 0, 1)]);
    let seqs = bench.fill(0..3);
    bench.dispatch();
    bench.queue.cancel(ConsumerKey(0));
    bench.queue.consume(with_priority(1, 0, 1)).unwrap();
    assert_eq!(bench.dispatch(), [(1, 1)]);
    bench.settle(&seqs[..1], Settlement::Acknowledge);
    assert!(bench.dispatch().is_empty());
    bench.settle(&seqs[1..2], Settlement::Acknowledge);
    assert_eq!(bench.dispatch(), [(1, 2)]);
}

#[test]
fn consumers_that_come_and_go_leave_nothing_behind() {
    let mut bench = Bench::new(TRANSIENT);
    for key in 0..10_000 {
        bench.queue.consume(consumer(key)).unwrap();
        let seq = bench.publish(super::support::message(0, false, 0));
        bench.dispatch();
        assert_eq!(id(&bench.outbox.taken[0].message), 0);
        bench.queue.cancel(ConsumerKey(key));
        bench.settle(&[seq], Settlement::Acknowledge);
    }
    assert_eq!(bench.queue.consumers.capacity(), 1);
}

#[test]
fn the_consumers_can_be_listed() {
    let mut bench = bench_with((0..3).map(consumer));
    bench.queue.cancel(ConsumerKey(1));
    let consumers = bench.queue.consumers();
    let mut keys: Vec<u64> = consumers.map(|consumer| consumer.handle.0).collect();
    keys.sort_unstable();
    assert_eq!(keys, [0, 2]);
    assert_eq!(bench.queue.counts().consumers, 2);
}

fn single_active(takeover: Takeover) -> Bench {
    Bench::new(Settings {
        sharing: Sharing::SingleActive(takeover),
        ..TRANSIENT
    })
}

fn active(bench: &Bench) -> Vec<(u64, Activity)> {
    let consumers = bench.queue.consumers();
    consumers
        .map(|consumer| (consumer.handle.0, consumer.activity))
        .filter(|(_, activity)| activity.is_active())
        .collect()
}

#[test]
fn only_the_first_consumer_is_active_and_its_heir_is_the_next_of_highest_priority() {
    let mut bench = single_active(Takeover::WhenGone);
    for (key, priority) in [(0, 0), (1, 1), (2, 9), (3, 9)] {
        bench
            .queue
            .consume(with_priority(key, priority, 0))
            .unwrap();
    }
    let seqs = bench.fill(0..2);
    assert_eq!(keys(&mut bench), [0, 0]);
    assert_eq!(active(&bench), [(0, Activity::SingleActive)]);
    for heir in [2, 3, 1] {
        let gone = active(&bench)[0].0;
        bench.queue.cancel(ConsumerKey(gone));
        assert_eq!(active(&bench), [(heir, Activity::SingleActive)]);
    }
    bench.settle(&seqs, Settlement::Requeue);
    assert_eq!(keys(&mut bench), [1, 1]);
}

#[test]
fn a_consumer_that_waits_gets_nothing_though_the_active_one_is_blocked() {
    let mut bench = single_active(Takeover::WhenGone);
    for key in 0..2 {
        bench.queue.consume(with_priority(key, 0, 1)).unwrap();
    }
    bench.fill(0..2);
    assert_eq!(keys(&mut bench), [0]);
    bench.queue.resume(ConsumerKey(1));
    assert!(keys(&mut bench).is_empty());
    bench.queue.cancel(ConsumerKey(0));
    assert_eq!(keys(&mut bench), [1]);
}

#[test]
fn a_higher_priority_takes_over_once_the_active_one_has_nothing_in_hand() {
    let mut bench = single_active(Takeover::ByPriority);
    bench.queue.consume(with_priority(0, 0, 0)).unwrap();
    let seqs = bench.fill(0..2);
    assert_eq!(keys(&mut bench), [0, 0]);
    bench.queue.consume(with_priority(1, 1, 0)).unwrap();
    bench.fill(2..4);
    assert!(keys(&mut bench).is_empty(), "the old one gets no more");
    bench.settle(&seqs[..1], Settlement::Acknowledge);
    assert!(keys(&mut bench).is_empty(), "it still has one in hand");
    bench.settle(&seqs[1..], Settlement::Requeue);
    assert_eq!(keys(&mut bench), [1, 1, 1]);
    assert_eq!(active(&bench), [(1, Activity::SingleActive)]);
}

#[test]
fn the_active_one_goes_on_if_who_would_take_over_gives_up() {
    let mut bench = single_active(Takeover::ByPriority);
    bench.queue.consume(with_priority(0, 0, 0)).unwrap();
    bench.fill(0..1);
    assert_eq!(keys(&mut bench), [0]);
    bench.queue.consume(with_priority(1, 1, 0)).unwrap();
    bench.fill(1..2);
    assert!(keys(&mut bench).is_empty());
    bench.queue.cancel(ConsumerKey(1));
    assert_eq!(keys(&mut bench), [0]);
}
