//! A copy of what is stored.

use std::path::Path;

use super::Engine;
use crate::store::StoreError;

/// Why there is no copy.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// It cannot be made as it was asked for.
    #[error("{0}")]
    Refused(String),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
}

impl Engine {
    /// Copies a consistent state of the store to a new folder. Blocks until it is done.
    pub(crate) fn backup(&self, destination: &Path) -> Result<(), BackupError> {
        self.store()
            .backup(destination)
            .map_err(|error| match error {
                StoreError::NotEmpty(_) | StoreError::NothingOnDisk => {
                    BackupError::Refused(error.to_string())
                }
                _ => BackupError::Failed(error.to_string()),
            })
    }
}
