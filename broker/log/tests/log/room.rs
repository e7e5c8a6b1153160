//! What waits for room in the log.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use crate::common::*;
use leveret_log::simulated::SimulatedDisk;
use leveret_log::{Author, Group, Log, TurnOutcome, Written};

/// Notes how many bytes are pending whenever it is told of an outcome.
#[derive(Clone, Default)]
struct Watcher {
    log: Arc<OnceLock<Weak<Log<Self>>>>,
    pending: Arc<Mutex<Vec<usize>>>,
}

impl Author for Watcher {
    type Operation = Vec<u8>;

    fn operation_bytes(operation: &Vec<u8>) -> usize {
        operation.len()
    }

    fn compose(&mut self, turn: Vec<Vec<u8>>, group: &mut Group) {
        for payload in turn {
            assert!(!payload.starts_with(PANIC), "planted panic");
            group.record(KIND, 7, &[&payload]);
        }
    }

    fn written(&mut self, _: &Written<'_>) {}

    fn settled(&mut self, _: &TurnOutcome) {
        let log = self.log.get().and_then(Weak::upgrade);
        let log = log.expect("the log outlives its author");
        let mut pending = self.pending.lock().expect("nobody panicked with it");
        pending.push(log.pending_bytes());
    }
}

#[test]
fn whoever_hears_of_an_outcome_finds_the_room_that_it_made() {
    let watcher = Watcher::default();
    let built = watcher.clone();
    let disk = Arc::new(SimulatedDisk::new());
    let mut found = Found::default();
    let (log, _) = Log::open(disk, options(), |_: &mut Found| built, &mut found).unwrap();
    let log = Arc::new(log);
    watcher.log.set(Arc::downgrade(&log)).unwrap();
    for number in 0..10 {
        let ticket = log.submit(&mut vec![payload(number, 4000)]);
        log.wait_durable(ticket, LONG).unwrap();
    }
    let ticket = log.submit(&mut vec![PANIC.to_vec()]);
    log.wait_durable(ticket, LONG).unwrap_err();
    log.shutdown();
    assert_eq!(*watcher.pending.lock().unwrap(), [0; 11]);
}
