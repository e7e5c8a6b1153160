//! The database as keys and values, for code that does not wait: it runs on a thread where blocking is
//! allowed.

use deadpool_postgres::ClientWrapper;
use tokio::runtime::Handle;

use super::tables::{self, Found};
use crate::store::StoreError;
use crate::store::kv::view::{Direction, Each, Range, Step, View};

/// Rows that a scan fetches first; each time twice as many,
const PAGE_FIRST: i64 = 64;
/// up to this: values may have 64 KiB.
const PAGE_LAST: i64 = 512;

/// One connection. Outside of a transaction each answer is true for itself alone.
pub(super) struct DatabaseView<'c> {
    client: &'c ClientWrapper,
    runtime: Handle,
    /// What was fetched ahead, and cannot have changed since.
    ahead: Found,
}

impl<'c> DatabaseView<'c> {
    pub(super) fn new(client: &'c ClientWrapper, runtime: Handle, ahead: Found) -> Self {
        Self {
            client,
            runtime,
            ahead,
        }
    }
}

impl View for DatabaseView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(known) = self.ahead.get(key) {
            return Ok(known.clone());
        }
        let key = key.to_vec();
        let fetched = tables::fetch(self.client, [&key]);
        let mut found = self.runtime.block_on(fetched)?;
        Ok(found.remove(&key).flatten())
    }

    fn get_all(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut found = self.runtime.block_on(tables::fetch(self.client, keys))?;
        let each = keys.iter().map(|key| found.remove(key).flatten());
        Ok(each.collect())
    }

    fn scan(
        &self,
        range: &Range,
        direction: Direction,
        each: &mut Each<'_>,
    ) -> Result<(), StoreError> {
        let mut range = range.clone();
        let mut limit = PAGE_FIRST;
        loop {
            let page = tables::page(self.client, &range, direction, limit);
            let page = self.runtime.block_on(page)?;
            for (key, value) in &page {
                if each(key, value)? == Step::Stop {
                    return Ok(());
                }
            }
            let Some((last, _)) = page.last().filter(|_| page.len() as i64 == limit) else {
                return Ok(());
            };
            match direction {
                Direction::Forward => range.from = after(last),
                Direction::Backward => range.to = Some(last.clone()),
            }
            limit = (limit * 2).min(PAGE_LAST);
        }
    }
}

/// The next key that there can be.
fn after(key: &[u8]) -> Vec<u8> {
    crate::store::kv::key::next_message(key).unwrap_or_else(|| [key, &[0]].concat())
}
