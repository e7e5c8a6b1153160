//! Reading blocks of the index.

use crate::model::QueueId;

use super::block::{self, Bitmap, IndexEntry};
use super::key;
use super::ranges::RangeSet;
use super::state::{State, StateError};
use super::summary::decode_chunk;

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

    /// Reads a block that may have come or gone meanwhile. One that is missing although the state
    /// says that it exists is damaged.
    pub(crate) fn read_if_any(
        state: &State,
        queue: QueueId,
        level: u8,
        number: u64,
    ) -> Result<Option<Self>, StateError> {
        let read = Self::read(state, queue, level, number)?;
        if read.is_some() {
            return Ok(read);
        }
        let chunk = number / key::CHUNK_BLOCKS;
        let chunk_key = key::of_block(key::CHUNK, queue, level, chunk);
        let mut exist = RangeSet::default();
        if let Some(bytes) = state.get(&chunk_key)? {
            let decoded = decode_chunk(chunk, &bytes, &mut exist);
            decoded.map_err(|_| StateError::Damaged(chunk_key))?;
        }
        if exist.contains(number) {
            let block_key = key::of_block(key::BLOCK, queue, level, number);
            return Err(StateError::Damaged(block_key));
        }
        Ok(None)
    }

    /// The messages that are not settled, ascending.
    pub(crate) fn live(&self) -> impl Iterator<Item = &IndexEntry> + '_ {
        let settled = &self.settled;
        let entries = self.entries.iter();
        entries.filter(|entry| !settled.contains(entry.entry.seq.position()))
    }
}
