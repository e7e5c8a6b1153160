//! What every [`ChatStore`] must do, as one suite: run it on a store that is to be one.
//!
//! ```
//! # use leveret_chat::store::{MemoryStore, conformance};
//! # #[tokio::main]
//! # async fn main() {
//! // Each part gets a store of its own, empty.
//! conformance::check(async || MemoryStore::open()).await;
//! # }
//! ```

mod accounts;
mod appending;
mod cursors;
mod groups;
mod scene;

use std::sync::Arc;

use super::ChatStore;

/// Runs all parts, each on a store that `open` makes.
///
/// # Panics
/// If the store does not keep what it promises.
pub async fn check(open: impl AsyncFn() -> Arc<dyn ChatStore>) {
    appending::check(&open).await;
    groups::check(&open).await;
    cursors::check(&open).await;
    accounts::check(&open).await;
}
