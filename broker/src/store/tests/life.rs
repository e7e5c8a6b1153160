//! Tests of what survives.

use super::bench::{Bench, declare, delete, enqueue, expected, message, settle};
use crate::model::{Operation, QueueId, Seq, SeqRange};
use crate::store::{StoreError, open};

#[test]
fn what_was_published_is_there_after_a_clean_restart() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1500);
    bench.submit(vec![settle(1, 0, 9), settle(1, 700, 702)]);
    bench.reopen_cleanly();
    let left = (10..1500).filter(|at| !(700..703).contains(at));
    assert_eq!(bench.messages(1), expected(left));
    assert!(
        !bench.recovered.report.is_alarming(),
        "{:?}",
        bench.recovered.report
    );
    assert_eq!(
        bench.recovered.report.records_read, 0,
        "the checkpoint holds everything"
    );
}

#[test]
fn what_was_published_is_there_after_a_kill() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1500);
    bench.submit(vec![settle(1, 3, 3)]);
    bench.reopen_after_a_kill();
    assert_eq!(bench.messages(1), expected((0..1500).filter(|at| *at != 3)));
}

#[test]
fn what_came_after_a_checkpoint_is_added_to_it() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..600);
    bench.checkpoint();
    bench.publish(1, 600..700);
    bench.submit(vec![settle(1, 0, 520), settle(1, 650, 650)]);
    bench.reopen_after_a_kill();
    let left: Vec<u64> = (521..700).filter(|at| *at != 650).collect();
    assert_eq!(bench.messages(1), expected(left.clone()));
    bench.checkpoint();
    bench.reopen_after_a_kill();
    assert_eq!(bench.messages(1), expected(left));
}

#[test]
fn a_deleted_queue_and_its_messages_stay_deleted() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1), declare(2)]);
    bench.publish(1, 0..600);
    bench.checkpoint();
    bench.submit(vec![delete(1)]);
    bench.reopen_after_a_kill();
    let ids = |bench: &Bench| {
        bench
            .recovered
            .definitions
            .iter()
            .filter_map(|entity| entity.queue().map(|queue| queue.0))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&bench), [2]);
    bench.reopen_cleanly();
    assert_eq!(ids(&bench), [2]);
    assert!(
        bench.store().next_queue_id().0 > 2,
        "numbers are never given out again"
    );
}

#[test]
fn a_message_for_many_queues_is_stored_once() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1), declare(2), declare(3)]);
    let big = message(&"x".repeat(20_000));
    let before = bench.store().status().log_bytes;
    for queue in 1..=3 {
        for position in 0..1 {
            bench.submit(vec![enqueue(&big, queue, position)]);
        }
    }
    assert!(bench.store().status().log_bytes <= before + (64 << 10));
    bench.checkpoint();
    bench.reopen_after_a_kill();
    let places: Vec<_> = (1..=3)
        .map(|queue| bench.entries(queue)[0].stored)
        .collect();
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    assert_eq!(bench.messages(3)[0].1.len(), 20_000);
}

#[test]
fn a_drained_queue_gives_its_space_back() {
    let bench = Bench::new();
    bench.submit(vec![declare(1)]);
    for round in 0..40_u64 {
        bench.publish(1, round * 200..round * 200 + 200);
    }
    bench.checkpoint();
    assert!(bench.store().status().segments > 3);
    bench.submit(vec![settle(1, 0, 7999)]);
    bench.checkpoint();
    bench.submit(vec![declare(2)]);
    bench.checkpoint();
    assert!(
        bench.store().status().segments <= 2,
        "{:?}",
        bench.store().status()
    );
}

#[test]
fn few_messages_do_not_keep_a_long_log() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    let filler = "f".repeat(1000);
    for round in 0..40_u64 {
        let body = |at: u64| format!("{at} {filler}");
        let operations = (round * 100..round * 100 + 100)
            .map(|at| enqueue(&message(&body(at)), 1, at))
            .collect();
        bench.submit(operations);
    }
    bench.checkpoint();
    let before = bench.store().status().segments;
    for first in (0..4000).step_by(100) {
        bench.submit(vec![settle(1, first, first + 98)]);
    }
    for queue in 2..30 {
        bench.checkpoint();
        bench.submit(vec![declare(queue)]);
    }
    let after = bench.store().status().segments;
    assert!(
        after <= 10 && after * 3 < before,
        "{before} segments became {after}"
    );
    bench.reopen_after_a_kill();
    let left: Vec<u64> = bench.messages(1).iter().map(|(at, _)| *at).collect();
    assert_eq!(
        left,
        (0..4000).filter(|at| at % 100 == 99).collect::<Vec<_>>()
    );
    assert!(
        bench
            .messages(1)
            .iter()
            .all(|(at, body)| body == &format!("{at} {filler}"))
    );
}

#[test]
fn a_copy_of_a_running_store_can_be_opened() {
    let bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1000);
    bench.submit(vec![settle(1, 0, 9)]);
    let mut copy = Bench::new();
    copy.kill();
    std::fs::remove_dir_all(copy.directory()).expect("removed");
    bench.store().backup(&copy.directory()).expect("copies");
    assert!(
        bench.store().backup(&copy.directory()).is_err(),
        "the folder is not empty"
    );
    copy.open();
    assert!(
        !copy.recovered.report.is_alarming(),
        "{:?}",
        copy.recovered.report
    );
    assert_eq!(copy.messages(1), expected(10..1000));
}

#[test]
fn one_folder_has_one_store() {
    let bench = Bench::new();
    let second = open(bench.options(), &mut |_, _| {});
    assert!(matches!(second, Err(StoreError::InUse(_))));
}

#[test]
fn delivery_counts_and_leases_come_back() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..10);
    let requeue = |at, delivery_count| Operation::Requeue {
        queue: QueueId(1),
        ranges: vec![SeqRange::one(Seq::new(0, at))],
        delivery_count,
    };
    let up_to = |at| Operation::Delivered {
        queue: QueueId(1),
        up_to: Seq::new(0, at),
    };
    bench.submit(vec![requeue(3, 1), requeue(4, 2), up_to(7)]);
    bench.checkpoint();
    bench.submit(vec![requeue(3, 5), settle(1, 4, 4), up_to(5)]);
    for checkpoint in [true, false] {
        bench.reopen_after_a_kill();
        let queue = &bench.recovered.queues[0];
        let counts: Vec<_> = queue
            .delivery_counts
            .iter()
            .map(|c| (c.seq.0, c.count))
            .collect();
        assert_eq!(counts, [(3, 5)]);
        assert_eq!(
            queue.levels[0].lease,
            Some(Seq::new(0, 5)),
            "the later lease holds"
        );
        assert_eq!(queue.levels[0].next_position, 10);
        if checkpoint {
            bench.checkpoint();
        }
    }
}
