//! Everything in memory, for tests and for trying things out. Nothing survives the process.

use parking_lot::RwLock;

use super::StoreError;
use super::kv::scope::Scope;
use super::kv::view::{Map, Transaction, View};
use super::kv::{Engine, KeyValueStore};

/// The engine of [`MemoryStore::open`].
#[derive(Debug, Default)]
pub(crate) struct MemoryEngine {
    map: RwLock<Map>,
}

impl Engine for MemoryEngine {
    async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn View) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        work(&*self.map.read())
    }

    async fn write<R: Send + 'static>(
        &self,
        _: Scope,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let mut map = self.map.write();
        let mut transaction = Transaction::new(&*map);
        let result = work(&mut transaction)?;
        let changes = transaction.into_changes();
        map.apply(changes);
        Ok(result)
    }

    async fn close(&self) {}
}

/// Makes stores that live in memory.
#[derive(Clone, Copy, Debug)]
pub struct MemoryStore;

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn open() -> std::sync::Arc<dyn super::ChatStore> {
        std::sync::Arc::new(KeyValueStore(MemoryEngine::default()))
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_store_in_memory_keeps_what_stores_promise() {
        crate::store::conformance::check(async || super::MemoryStore::open()).await;
    }
}
