//! What can go wrong in a store.

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the database, does not work at the moment. Nothing was changed, or it is not known
    /// whether it was; asking again is harmless.
    #[error("the store does not work at the moment: {0}")]
    Unavailable(String),
    /// Something that was stored cannot be read back.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
