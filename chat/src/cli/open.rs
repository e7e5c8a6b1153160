//! The store that the arguments name.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use leveret_chat::store::{ChatStore, EmbeddedStore, PostgresStore};

use super::options::{StoreOptions, StorePlace};

/// Opens it, or makes one.
pub(crate) async fn open_store(options: &StoreOptions) -> Result<Arc<dyn ChatStore>> {
    match &options.store {
        StorePlace::Postgres(url) => {
            let opened = PostgresStore::open(url).await;
            opened.context("the store cannot be opened")
        }
        StorePlace::Embedded => {
            let path = options.data_dir.join("chat");
            let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path)).await?;
            let (store, report) = opened.context("the store cannot be opened")?;
            if !report.damage.is_empty() {
                tracing::error!(ranges = report.damage.len(), "the history's log is damaged");
            }
            Ok(store)
        }
    }
}
