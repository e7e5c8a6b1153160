//! Reading blocks of the index.

use crate::model::QueueId;

use super::block::{self, Bitmap, IndexEntry};
use super::key;
use super::state::{State, StateError};

/// A block as it lies in the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// Its messages, those settled since they were written included.
    pub(crate) entries: Vec<IndexEntry>,
    pub(crate) settled: Bitmap,
}

impl Block {
    /// Reads a block; `None` if there is none.
    ///
    /// The settlements are read first: when a block is written anew without its settled messages,
    /// a reader in between then sees some of them again at worst, never one that was not there.
    pub(crate) fn read(
        state: &State,
        queue: QueueId,
        level: u8,
        number: u64,
    ) -> Result<Option<Self>, StateError> {
        let settled_key = key::of_block(key::SETTLED, queue, level, number);
        let settled = match state.get(&settled_key)? {
            Some(bytes) => Bitmap::decode(&bytes).map_err(|_| StateError::Damaged(settled_key))?,
            None => Bitmap::default(),
        };
        let block_key = key::of_block(key::BLOCK, queue, level, number);
        let Some(bytes) = state.get(&block_key)? else {
            return Ok(None);
        };
        let entries = block::decode(level, number, &bytes);
        let entries = entries.map_err(|_| StateError::Damaged(block_key))?;
        Ok(Some(Self { entries, settled }))
    }

    /// The messages that are not settled, ascending.
    pub(crate) fn live(&self) -> impl Iterator<Item = &IndexEntry> + '_ {
        let settled = &self.settled;
        let entries = self.entries.iter();
        entries.filter(|entry| !settled.contains(entry.entry.seq.position()))
    }
}
