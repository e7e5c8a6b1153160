//! When a lease is asked for, and what waits for it.

use super::support::{Bench, DURABLE, TRANSIENT, at, consumer, message};
use crate::model::{ConsumerKey, Seq, Settlement};
use crate::queue::{Effect, Get};

fn leases(effects: &[Effect]) -> Vec<u64> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::ExtendLease { up_to, .. } => Some(up_to.position()),
            Effect::Settled(_)
            | Effect::SettledBlocks(_)
            | Effect::Requeued { .. }
            | Effect::DeadLetters(_)
            | Effect::Unused
            | Effect::LoadBlock { .. }
            | Effect::LoadBodies(_)
            | Effect::Damaged { .. }
            | Effect::Missing { .. } => None,
        })
        .collect()
}

fn with_consumer() -> Bench {
    let mut bench = Bench::new(DURABLE);
    bench.queue.consume(consumer(1)).unwrap();
    bench
}

#[test]
fn a_waiting_consumer_is_served_without_waiting_for_the_lease() {
    let mut bench = with_consumer();
    bench.publish(message(0, true, 0));
    assert_eq!(
        leases(&bench.effects),
        [255],
        "before the enqueue is handed over"
    );
    assert_eq!(bench.dispatched_ids(), [0]);
}

#[test]
fn a_steady_stream_never_waits_for_a_lease() {
    let mut bench = with_consumer();
    for id in 0..100_000 {
        let seq = bench.publish(message(id, true, 0));
        assert_eq!(bench.dispatched_ids(), [id]);
        bench.settle(&[seq], Settlement::Acknowledge);
    }
    let count = leases(&bench.effects).len();
    assert!(count < 20, "{count} records");
}

#[test]
fn a_backlog_waits_until_its_lease_is_written() {
    let mut bench = Bench::new(DURABLE);
    bench.fill_stored(0..1_000);
    assert!(bench.effects.is_empty(), "nobody to deliver to");
    bench.queue.consume(consumer(1)).unwrap();
    assert!(bench.dispatched_ids().is_empty());
    let first = leases(&bench.take_effects());
    assert_eq!(first, [255]);
    assert!(bench.dispatched_ids().is_empty());
    assert!(leases(&bench.take_effects()).is_empty(), "one is under way");
    bench.queue.lease_written(Seq::new(0, first[0]), 0);
    let ids = bench.dispatched_ids();
    assert!(ids.into_iter().eq(0..256));
    assert!(leases(&bench.effects)[0] > 400, "the next one is wanted");
}

#[test]
fn get_waits_for_the_lease_too() {
    let mut bench = Bench::new(DURABLE);
    bench.fill_stored(0..2);
    let answer = bench.queue.get(bench.now, false, &mut bench.effects);
    assert!(matches!(answer, Get::Loading));
    bench.write_leases();
    let answer = bench.queue.get(bench.now, false, &mut bench.effects);
    assert!(matches!(answer, Get::Message { .. }));
}

#[test]
fn what_is_not_recorded_needs_no_lease() {
    for (settings, persistent) in [(TRANSIENT, true), (DURABLE, false)] {
        let mut bench = Bench::new(settings);
        bench.publish(message(0, persistent, 0));
        bench.queue.consume(consumer(1)).unwrap();
        bench.publish(message(1, persistent, 0));
        assert_eq!(bench.dispatched_ids(), [0, 1]);
        assert!(bench.effects.is_empty());
    }
}

#[test]
fn consumers_that_cannot_keep_up_do_not_stretch_the_lease() {
    let mut bench = with_consumer();
    bench.outbox.room.insert(ConsumerKey(1), 10);
    for id in 0..5_000 {
        bench.publish(message(id, true, 0));
        bench.dispatch();
    }
    let furthest = leases(&bench.effects).into_iter().max();
    assert!(furthest < Some(1_000), "{furthest:?}");
}

#[test]
fn after_a_pause_the_lease_is_what_was_delivered() {
    let mut bench = with_consumer();
    for id in 0..10 {
        bench.publish(message(id, true, 0));
    }
    bench.dispatch();
    let start = bench.now.monotonic_ms;
    assert_eq!(bench.queue.deadline(), Some(start + 100));
    bench.queue.tick(at(start + 99), &mut bench.effects);
    bench.write_leases();
    assert_eq!(bench.queue.tick(at(start + 100), &mut bench.effects), None);
    assert_eq!(leases(&bench.take_effects()), [9]);

    // Traffic that comes back is not held up, whether or not the lower lease is written.
    bench.now = at(start + 200);
    bench.publish(message(10, true, 0));
    assert_eq!(leases(&bench.take_effects()), [10 + 255]);
    assert_eq!(bench.dispatched_ids(), [10]);
}

#[test]
fn deliveries_put_the_tightening_off() {
    let mut bench = with_consumer();
    bench.publish(message(0, true, 0));
    bench.dispatch();
    bench.write_leases();
    let start = bench.now.monotonic_ms;
    bench.now = at(start + 60);
    bench.publish(message(1, true, 0));
    bench.dispatch();
    let due = bench.queue.tick(at(start + 100), &mut bench.effects);
    assert_eq!((due, leases(&bench.effects)), (Some(start + 160), vec![]));
    assert_eq!(bench.queue.tick(at(start + 160), &mut bench.effects), None);
    assert_eq!(leases(&bench.effects), [1]);
}

#[test]
fn a_lease_is_not_tightened_while_another_is_under_way() {
    let mut bench = with_consumer();
    bench.publish(message(0, true, 0));
    bench.dispatch();
    let extended = leases(&bench.take_effects());
    let start = bench.now.monotonic_ms;
    let due = bench.queue.tick(at(start + 100), &mut bench.effects);
    assert_eq!((due, leases(&bench.effects)), (Some(start + 200), vec![]));
    bench.queue.lease_written(Seq::new(0, extended[0]), 0);
    bench.queue.tick(at(start + 200), &mut bench.effects);
    assert_eq!(leases(&bench.effects), [0]);
}

#[test]
fn a_report_that_a_lower_lease_has_overtaken_grants_nothing() {
    let mut bench = with_consumer();
    let mut id = 0;
    while leases(&bench.effects).len() < 2 {
        bench.publish(message(id, true, 0));
        bench.dispatch();
        id += 1;
    }
    let extended = leases(&bench.take_effects());
    bench.outbox.room.insert(ConsumerKey(1), 0);
    bench.publish(message(id, true, 0));
    bench.dispatch();

    // The second report comes at once, the first one after the lease was lowered.
    bench.queue.lease_written(Seq::new(0, extended[1]), 0);
    let start = bench.now.monotonic_ms;
    bench.queue.tick(at(start + 100), &mut bench.effects);
    assert_eq!(leases(&bench.effects), [u64::from(id) - 1]);
    bench.write_leases();
    for later in id + 1..id + 20 {
        bench.publish(message(later, true, 0));
    }
    bench.outbox.room.clear();
    bench.queue.resume(ConsumerKey(1));
    assert!(bench.dispatched_ids().is_empty(), "the disk covers none");
    assert_eq!(leases(&bench.effects).len(), 1, "the next one is wanted");
    bench.queue.lease_written(Seq::new(0, extended[0]), 0);
    assert!(bench.dispatched_ids().is_empty(), "and it is not there yet");
}

#[test]
fn at_a_clean_stop_the_lease_is_what_was_delivered_and_nothing_more_goes_out() {
    let mut bench = with_consumer();
    bench.outbox.room.insert(ConsumerKey(1), 3);
    bench.fill_stored(0..9);
    bench.dispatch();
    let extended = leases(&bench.take_effects());
    bench.queue.tighten(&mut bench.effects);
    assert_eq!(leases(&bench.take_effects()), [2]);
    bench.queue.lease_written(Seq::new(0, extended[0]), 0);
    bench.outbox.room.clear();
    bench.queue.resume(ConsumerKey(1));
    assert!(bench.dispatched_ids().is_empty());
    assert!(bench.take_effects().is_empty());
}

#[test]
fn a_higher_level_that_waits_for_its_lease_is_not_overtaken() {
    let mut bench = Bench::new(crate::queue::Settings {
        levels: 2,
        ..DURABLE
    });
    bench.publish(message(0, false, 0));
    bench.publish(message(1, true, 1));
    bench.queue.consume(consumer(1)).unwrap();
    assert!(bench.dispatched_ids().is_empty());
    bench.write_leases();
    assert_eq!(bench.dispatched_ids(), [1, 0]);
}
