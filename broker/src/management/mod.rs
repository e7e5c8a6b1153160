//! RabbitMQ's HTTP API (spec 10).
//!
//! ```text
//! listener ──► path and method ──► who are you? ──► gate ──► handler ──► JSON
//! ```
//!
//! Live state is copied into JSON here; nothing of the engine is shaped for it. Whatever takes a
//! queue's lock or asks the disk runs on a thread that may block.

mod about;
mod access;
mod backup;
mod bindings;
mod caller;
mod channels;
mod connections;
mod consumers;
mod definitions;
mod exchanges;
mod exposition;
mod health;
mod history;
mod limits;
mod list;
mod listener;
mod machine;
mod messages;
mod metrics;
mod nodes;
mod overview;
mod parameters;
mod permissions;
mod policies;
mod publish;
mod queues;
mod refusal;
mod request;
mod routes;
mod settings;
mod stats;
mod table;
mod time;
mod tracking;
mod users;
mod virtual_hosts;
mod watermarks;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware;
use tokio::sync::{Semaphore, watch};
use tokio::time::MissedTickBehavior;

use crate::engine::{Change, Engine, Ticket};

use self::history::History;
use self::refusal::Refusal;
use self::routes::Routes;
use self::tracking::ForgottenLogins;

pub(crate) use self::definitions::load_definitions;
pub(crate) use self::listener::Listener;
pub(crate) use self::settings::ManagementSettings;

/// What every request sees.
#[derive(Debug)]
pub(crate) struct Management {
    engine: Arc<Engine>,
    settings: ManagementSettings,
    history: History,
    /// Copies under way: one disk does not copy two faster than one after the other.
    backups: Semaphore,
    forgotten_logins: ForgottenLogins,
}

impl Management {
    /// The API of `engine`.
    pub(crate) fn new(engine: Arc<Engine>, settings: ManagementSettings) -> Arc<Self> {
        Arc::new(Self {
            engine,
            settings,
            history: History::default(),
            backups: Semaphore::new(1),
            forgotten_logins: ForgottenLogins::default(),
        })
    }

    /// The cluster's name: the one that was given at run time, or else the configured one.
    fn cluster_name(&self) -> String {
        let given = self.engine.cluster_name();
        given.unwrap_or_else(|| self.settings.cluster_name.clone())
    }

    fn router(self: &Arc<Self>) -> Router {
        let nouns = [
            overview::routes,
            about::routes,
            nodes::routes,
            health::routes,
            users::routes,
            permissions::routes,
            virtual_hosts::routes,
            limits::routes,
            connections::routes,
            channels::routes,
            consumers::routes,
            exchanges::routes,
            queues::routes,
            messages::routes,
            publish::routes,
            bindings::routes,
            policies::routes,
            parameters::routes,
            definitions::routes,
            backup::routes,
            tracking::routes,
            watermarks::routes,
        ];
        nouns
            .into_iter()
            .fold(Routes::new(self), |all, noun| noun(all))
            .finish()
            .fallback(async || Refusal::not_found())
            .layer(middleware::map_response(harden))
            .with_state(Arc::clone(self))
    }

    /// The pages for scrapers, which have an address of their own.
    fn metrics(self: &Arc<Self>) -> Router {
        metrics::router(self)
            .fallback(async || Refusal::not_found())
            .layer(middleware::map_response(harden))
    }

    /// Looks at everything now and then, for rates, until told to stop.
    pub(crate) async fn observe(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(history::TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            // A look that failed is logged, and the next one may do better.
            let _ = Arc::clone(&self).blocking(Self::look).await;
        }
    }

    /// Waits until a change is durable, which is before anybody is told of it.
    async fn durable(&self, ticket: Ticket) -> Result<(), Refusal> {
        Ok(self.engine.durable(ticket).await?)
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

/// What a PUT is answered with (spec 10.1.3).
const fn status(change: Change) -> StatusCode {
    match change {
        Change::Created => StatusCode::CREATED,
        Change::Updated => StatusCode::NO_CONTENT,
    }
}

/// How handlers get at the API's state.
type Shared = State<Arc<Management>>;

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
