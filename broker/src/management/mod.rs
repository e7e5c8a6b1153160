//! RabbitMQ's HTTP API: health checks and the overview so far.
//!
//! ```text
//! listener ──► route ──► who are you? ──► handler ──► JSON
//! ```
//!
//! Live state is copied into JSON here; nothing of the engine is shaped for it. Whatever takes a
//! queue's lock or asks the disk runs on a thread that may block.

mod access;
mod backup;
mod health;
mod listener;
mod overview;
mod rates;
mod refusal;
mod settings;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, Response, header};
use axum::middleware;
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::engine::Engine;

use self::rates::Rates;
use self::refusal::Refusal;

pub(crate) use self::listener::{Listener, bind};
pub(crate) use self::settings::ManagementSettings;

/// What every request sees.
#[derive(Debug)]
pub(crate) struct Management {
    engine: Arc<Engine>,
    settings: ManagementSettings,
    rates: Rates,
    /// Copies under way: one disk does not copy two faster than one after the other.
    backups: Semaphore,
}

impl Management {
    /// The API of `engine`.
    pub(crate) fn new(engine: Arc<Engine>, settings: ManagementSettings) -> Arc<Self> {
        Arc::new(Self {
            engine,
            settings,
            rates: Rates::new(),
            backups: Semaphore::new(1),
        })
    }

    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .nest("/api/health/checks", health::routes())
            .route("/api/overview", get(overview::show))
            .route("/api/leveret/backup", post(backup::start))
            .route_layer(middleware::from_fn_with_state(
                Arc::clone(self),
                access::require,
            ))
            .fallback(async || Refusal::not_found())
            .layer(middleware::map_response(harden))
            .with_state(Arc::clone(self))
    }

    /// Runs `look`, which may take locks and wait for the disk, where that holds nobody up.
    async fn blocking<T: Send + 'static>(
        self: Arc<Self>,
        look: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        tokio::task::spawn_blocking(move || look(&self))
            .await
            .map_err(|error| {
                tracing::error!(%error, "answering a request failed");
                Refusal::failed("see the broker's log")
            })
    }
}

/// Answers are about this moment, and nothing but data.
async fn harden<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
