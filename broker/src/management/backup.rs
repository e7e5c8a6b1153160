//! `POST /api/leveret/backup`: a consistent copy of the running store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::JsonBody;
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared};
use crate::engine::BackupError;

pub(super) fn routes(routes: Routes) -> Routes {
    let methods = Methods::new().post(Gate::Administrator, start);
    routes.at("/api/leveret/backup", methods)
}

/// What is to be copied, and where.
#[derive(Debug, Deserialize)]
struct Order {
    /// The copy's folder, on the broker's machine.
    destination: PathBuf,
    /// The folder that the client believes it talks about.
    directory: Option<PathBuf>,
}

async fn start(State(management): Shared, body: JsonBody) -> Result<Json<Value>, Refusal> {
    let order: Order = body.parse()?;
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
