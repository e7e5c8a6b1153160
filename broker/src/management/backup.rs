//! `POST /api/leveret/backup`: a consistent copy of the running store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::{Json, body};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Management, Refusal};
use crate::engine::BackupError;

/// What is to be copied, and where.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    /// The copy's folder, on the broker's machine.
    destination: PathBuf,
    /// The folder that the client believes it talks about.
    directory: Option<PathBuf>,
}

pub(super) async fn start(
    State(management): State<Arc<Management>>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let order: Order = read_json(&management, body).await?;
    if !order.destination.is_absolute() {
        return Err(Refusal::bad_request(
            "the destination must be an absolute path",
        ));
    }
    if let Some(directory) = &order.directory {
        management.confirm_folder(directory).await?;
    }
    let Ok(_turn) = management.backups.try_acquire() else {
        return Err(Refusal::unavailable("another copy is being made"));
    };
    let destination = order.destination.clone();
    let copied = Arc::clone(&management)
        .blocking(move |management| management.engine.backup(&destination))
        .await?;
    match copied {
        Ok(()) => {
            tracing::info!(destination = %order.destination.display(), "the store is copied");
            Ok(Json(json!({ "destination": order.destination })))
        }
        Err(BackupError::Refused(reason)) => Err(Refusal::bad_request(reason)),
        Err(BackupError::Failed(reason)) => {
            tracing::error!(reason, "the store cannot be copied");
            Err(Refusal::failed(reason))
        }
    }
}

impl Management {
    /// Refuses a client that reached the wrong broker.
    async fn confirm_folder(self: &Arc<Self>, directory: &Path) -> Result<(), Refusal> {
        let theirs = directory.to_path_buf();
        let is_ours = Arc::clone(self)
            .blocking(move |management| {
                let ours = management
                    .settings
                    .data_dir
                    .as_deref()?
                    .canonicalize()
                    .ok()?;
                Some(theirs.canonicalize().ok()? == ours)
            })
            .await?;
        if is_ours == Some(true) {
            return Ok(());
        }
        Err(Refusal::bad_request("this broker uses another folder"))
    }
}

/// Reads a body that is neither too long nor too slow (spec 10.1.4, 13.14).
async fn read_json<T: DeserializeOwned>(management: &Management, body: Body) -> Result<T, Refusal> {
    let settings = &management.settings;
    let read = body::to_bytes(body, settings.body_bytes_max);
    let bytes = tokio::time::timeout(settings.timeout, read)
        .await
        .map_err(|_| Refusal::too_slow())?
        .map_err(|_| Refusal::bad_request("Exceeded HTTP request body size limit"))?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|_| Refusal::bad_request("not_json"))?;
    T::deserialize(value).map_err(|error| Refusal::bad_request(error.to_string()))
}
