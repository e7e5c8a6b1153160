//! What the log holds and the index lacks, when the store is opened.

use std::sync::Arc;

use leveret_log::{Location, Lsn, Replay};

use super::index::{Index, IndexError};
use super::record;
use crate::store::StoreError;
use crate::store::kv::view::Changes;

/// Changes that are applied together.
const BATCH: usize = 2_000;

#[derive(Debug)]
pub(super) struct ChatReplay {
    index: Arc<Index>,
    from: Lsn,
    changes: Changes,
    last: Option<Lsn>,
    failure: Option<StoreError>,
    unreadable: u64,
}

impl ChatReplay {
    pub(super) fn new(index: Arc<Index>) -> Result<Self, IndexError> {
        let from = index.applied()?;
        Ok(Self {
            index,
            from,
            changes: Changes::new(),
            last: None,
            failure: None,
            unreadable: 0,
        })
    }

    fn flush(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        if let (Some(last), None) = (self.last, &self.failure) {
            self.failure = self.index.apply(changes, last.next()).err();
        }
    }

    /// The end: an error if the index did not take everything.
    pub(super) fn finish(mut self) -> Result<(), IndexError> {
        self.flush();
        if self.unreadable > 0 {
            tracing::error!(
                records = self.unreadable,
                "records that this version cannot read were passed over"
            );
        }
        match self.failure {
            Some(error) => Err(IndexError(error.to_string())),
            None => Ok(()),
        }
    }
}

impl Replay for ChatReplay {
    fn from(&self) -> Lsn {
        self.from
    }

    fn highest_lsn(&self) -> Lsn {
        self.from.before()
    }

    fn record(&mut self, lsn: Lsn, location: Location, kind: u8, _: u8, payload: &[u8]) {
        match kind {
            record::MESSAGE => match record::decode_message(payload) {
                Some((key, _)) => {
                    let place = record::encode_location(location).to_vec();
                    self.changes.insert(key.to_vec(), Some(place));
                }
                None => self.unreadable += 1,
            },
            record::CHANGES => match record::decode_changes(payload) {
                Some(mut changes) => self.changes.append(&mut changes),
                None => self.unreadable += 1,
            },
            _ => self.unreadable += 1,
        }
        self.last = Some(lsn);
        if self.changes.len() >= BATCH {
            self.flush();
        }
    }
}
