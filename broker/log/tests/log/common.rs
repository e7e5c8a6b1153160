//! An owner as plain as can be: an operation is a payload, a record for each.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use leveret_log::{
    Author, CheckpointFound, Group, Location, Log, Lsn, Options, Replay, Report, Ticket,
    TurnOutcome, Written, simulated::SimulatedDisk,
};
use parking_lot::{Mutex, MutexGuard};

pub(crate) const KIND: u8 = 0x20;
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What the author saw, shared with the test.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Location and LSN of each payload written.
    pub(crate) places: BTreeMap<Vec<u8>, (Location, Lsn)>,
    pub(crate) durable: Ticket,
    pub(crate) failed: Vec<(Ticket, Ticket)>,
    pub(crate) turns: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    pub(crate) seen: Arc<Mutex<Seen>>,
    turn: Vec<Vec<u8>>,
}

impl Plain {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }
}

/// Payloads that begin so make the author do something else than to write them.
pub(crate) const CANCEL: &[u8] = b"cancel";
pub(crate) const PANIC: &[u8] = b"panic";
pub(crate) const DEFINE: &[u8] = b"define";

impl Author for Plain {
    type Operation = Vec<u8>;

    fn operation_bytes(operation: &Vec<u8>) -> usize {
        operation.len() + 12
    }

    fn compose(&mut self, turn: Vec<Vec<u8>>, group: &mut Group) {
        self.turn.clear();
        for payload in turn {
            if payload.starts_with(CANCEL) {
                continue;
            }
            assert!(!payload.starts_with(PANIC), "planted panic");
            if payload.starts_with(DEFINE) {
                group.require_sync();
            }
            let (head, tail) = payload.split_at(payload.len() / 2);
            group.record(KIND, 7, &[head, tail]);
            self.turn.push(payload);
        }
    }

    fn written(&mut self, written: &Written<'_>) {
        assert_eq!(written.records(), self.turn.len());
        let mut seen = self.seen.lock();
        for (place, payload) in written.all().zip(self.turn.drain(..)) {
            seen.places.insert(payload, place);
        }
    }

    fn settled(&mut self, outcome: &TurnOutcome) {
        let mut seen = self.seen.lock();
        seen.turns += 1;
        match outcome {
            TurnOutcome::Durable { up_to } => {
                assert!(*up_to > seen.durable, "outcomes come in order");
                seen.durable = *up_to;
            }
            TurnOutcome::Failed { from, to, .. } => seen.failed.push((*from, *to)),
        }
    }
}

/// All that a replay brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) records: Vec<(Lsn, Location, Vec<u8>)>,
    pub(crate) checkpoint: Option<CheckpointFound>,
    pub(crate) from: Lsn,
    pub(crate) synced_below: Lsn,
    pub(crate) highest: Lsn,
    pub(crate) progress: Vec<(u64, u64)>,
}

impl Found {
    pub(crate) fn payloads(&self) -> Vec<&[u8]> {
        self.records
            .iter()
            .map(|(_, _, payload)| payload.as_slice())
            .collect()
    }
}

impl Replay for Found {
    fn synced_below(&self) -> Lsn {
        self.synced_below
    }

    fn highest_lsn(&self) -> Lsn {
        self.highest
    }

    fn checkpoint_found(&mut self, checkpoint: &CheckpointFound) {
        assert!(self.checkpoint.replace(checkpoint.clone()).is_none());
    }

    fn from(&self) -> Lsn {
        self.from
    }

    fn record(&mut self, lsn: Lsn, location: Location, kind: u8, flags: u8, payload: &[u8]) {
        assert_eq!((kind, flags), (KIND, 7));
        if let Some((last, ..)) = self.records.last() {
            assert!(*last < lsn, "records come in order");
        }
        self.records.push((lsn, location, payload.to_vec()));
    }

    fn progress(&mut self, bytes_done: u64, bytes_total: u64) {
        assert!(bytes_done <= bytes_total);
        self.progress.push((bytes_done, bytes_total));
    }
}

pub(crate) fn directory() -> PathBuf {
    PathBuf::from("/data/log")
}

/// Small segments, so that little is needed to fill many.
pub(crate) fn options() -> Options {
    Options {
        segment_bytes_min: 16 << 10,
        segment_bytes_max: 64 << 10,
        ..Options::new(directory())
    }
}

pub(crate) struct Opened {
    pub(crate) log: Log<Plain>,
    pub(crate) author: Plain,
    pub(crate) found: Found,
    pub(crate) report: Report,
}

pub(crate) fn open(disk: &SimulatedDisk, options: Options) -> Opened {
    open_from(disk, options, Found::default())
}

pub(crate) fn open_from(disk: &SimulatedDisk, options: Options, found: Found) -> Opened {
    open_with(disk, options, found, Plain::default())
}

pub(crate) fn open_with(
    disk: &SimulatedDisk,
    options: Options,
    mut found: Found,
    author: Plain,
) -> Opened {
    let built = author.clone();
    let (log, report) = Log::open(
        Arc::new(disk.clone()),
        options,
        |_: &mut Found| built,
        &mut found,
    )
    .expect("the log opens");
    Opened {
        log,
        author,
        found,
        report,
    }
}

impl Opened {
    /// Submits payloads one turn at a time, each waited for.
    pub(crate) fn put(&self, payloads: &[Vec<u8>]) {
        for payload in payloads {
            let ticket = self.log.submit(&mut vec![payload.clone()]);
            self.log.wait_durable(ticket, LONG).expect("durable");
        }
    }
}

pub(crate) fn payload(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(length.max(8), (number % 251) as u8);
    bytes
}

pub(crate) fn payloads(numbers: std::ops::Range<u64>, length: usize) -> Vec<Vec<u8>> {
    numbers.map(|number| payload(number, length)).collect()
}
