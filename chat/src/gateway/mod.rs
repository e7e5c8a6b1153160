//! HTTP and WebSockets for people's clients, and the web page. What is asked and answered is JSON;
//! `/openapi.json` describes it.
//!
//! ```text
//!   browser ──/v1/socket──► Session ──► Courier ──► chat.send, chat.rcpt, chat.eph
//!      ▲                       │ └────► Desk (what may be read)
//!      └── events ── Mailbox ◄─┘
//!                      ▲
//!                     Hub ◄── Feed ◄── gw.ID, the gateway's own queue
//! ```
//!
//! The token goes into `Authorization: Bearer …`, or into the first frame of a WebSocket. A refusal is
//! `{"code": …, "message": …}`.

mod accounts;
mod budget;
mod caller;
mod feed;
mod hub;
mod listener;
mod mailbox;
mod page;
mod refusal;
mod routes;
mod sending;
mod session;
mod talk;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, Extension, State as Shared};
use axum::response::Response;
use leveret_client::message::{ENVELOPE_BYTES_MAX, ShardCount};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::budget::Budget;
use self::caller::{SameOrigin, Source};
use self::feed::Feed;
use self::hub::Hub;
use self::listener::Place;
use self::mailbox::Room;
use self::refusal::Refusal;
use self::routes::Routes;
use crate::accounts::Accounts;
use crate::courier::Courier;
use crate::desk::Desk;
use crate::directory::Directory;
use crate::links::Links;
use crate::rate::Rates;
use crate::service::Service;
use crate::settings::GatewaySettings;
use crate::store::ChatStore;

/// Octets that a WebSocket reads at once. It is kept for each, so it is small.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// How long an answer may wait for room, below what a client waits for it.
const ROOM_PATIENCE: Duration = Duration::from_secs(5);
/// How long the gateway's tasks may take when it stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What a gateway needs.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Where it listens.
    pub address: String,
    /// Sites whose pages may connect as well, `https://chat.example.com`; its own page always may.
    pub origins: Vec<String>,
    /// Where devices are told to speak AMQP, without a login.
    pub amqp_url: String,
    /// Who may log in.
    pub accounts: Arc<Accounts>,
    /// What may be read.
    pub desk: Desk,
    /// Where users are to be reached; the one of the services of the same process, if there are any.
    pub directory: Arc<Directory>,
    /// The connection to the broker.
    pub links: Arc<Links>,
    /// The store.
    pub store: Arc<dyn ChatStore>,
    /// How many send shards there are.
    pub shards: ShardCount,
    /// Limits.
    pub settings: GatewaySettings,
}

impl GatewayOptions {
    /// In the same process as this service.
    #[must_use]
    pub fn beside(service: &Service, accounts: Accounts, address: &str, amqp_url: String) -> Self {
        Self {
            address: address.to_owned(),
            origins: Vec::new(),
            amqp_url,
            accounts: Arc::new(accounts),
            desk: service.desk().clone(),
            directory: service.directory().clone(),
            links: service.links().clone(),
            store: service.store().clone(),
            shards: service.deployment().shards,
            settings: GatewaySettings::default(),
        }
    }
}

/// What the routes share.
#[derive(Clone, Debug)]
struct State {
    accounts: Arc<Accounts>,
    amqp_url: Arc<str>,
    desk: Desk,
    store: Arc<dyn ChatStore>,
    courier: Courier,
    hub: Arc<Hub>,
    feed: Feed,
    answers: Arc<Budget>,
    origins: Arc<[String]>,
    rates: Arc<Mutex<Rates<Source>>>,
    settings: Arc<GatewaySettings>,
    stop: watch::Receiver<bool>,
}

impl State {
    fn new(options: GatewayOptions, stop: watch::Receiver<bool>) -> Self {
        let settings = options.settings;
        let room = Room {
            events: settings.events_max,
            bytes: settings.event_bytes_max,
        };
        let hub = Arc::new(Hub::new(room, settings.sockets_per_user_max));
        let rates = Rates::new(settings.requests_per_second, settings.requests_burst);
        Self {
            accounts: options.accounts,
            amqp_url: options.amqp_url.into(),
            desk: options.desk,
            store: options.store,
            courier: Courier::new(options.links.clone(), options.shards),
            feed: Feed {
                links: options.links,
                directory: options.directory,
                hub: hub.clone(),
            },
            hub,
            answers: Arc::new(Budget::new(
                settings.answer_bytes_max,
                settings.answer_bytes_per_user_max,
                ROOM_PATIENCE,
            )),
            origins: options.origins.into(),
            rates: Arc::new(Mutex::new(rates)),
            settings: Arc::new(settings),
            stop,
        }
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    hub: Arc<Hub>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Listens.
    pub async fn start(options: GatewayOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(&options.address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let state = State::new(options, stopped.clone());
        let (hub, feed) = (state.hub.clone(), state.feed.clone());
        let settings = state.settings.as_ref().clone();
        let router = page::with_headers(api().into_router().merge(page::routes()))
            .layer(DefaultBodyLimit::max(ENVELOPE_BYTES_MAX))
            .fallback(async || Refusal::not_found())
            .with_state(state);
        let serve = listener::run(listener, router, settings, stopped.clone());
        let tasks = vec![tokio::spawn(serve), tokio::spawn(feed.run(stopped))];
        Ok(Self {
            address,
            hub,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// WebSockets that are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.hub.count()
    }

    /// Says goodbye to all clients, finishes what is being answered, and ends.
    pub async fn shutdown(self) {
        // It may have ended already.
        let _ = self.stop.send(true);
        for mut task in self.tasks {
            if tokio::time::timeout(STOP_PATIENCE, &mut task)
                .await
                .is_err()
            {
                task.abort();
            }
        }
    }
}

/// Everything that is described in the API's description.
fn api() -> Routes {
    let routes = Routes::default()
        .get("/v1/health", async || "ok")
        .get("/v1/socket", socket)
        .get("/openapi.json", page::description);
    sending::routes(talk::routes(accounts::routes(routes)))
}

async fn socket(
    Shared(state): Shared<State>,
    _: SameOrigin,
    Extension(place): Extension<Place>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(ENVELOPE_BYTES_MAX)
        .max_frame_size(ENVELOPE_BYTES_MAX)
        .on_upgrade(async move |socket| {
            let stop = state.stop.clone();
            session::run(socket, state, stop).await;
            drop(place);
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_description_names_every_route_and_no_other() {
        let description: serde_json::Value = serde_json::from_str(page::DESCRIPTION).unwrap();
        let mut described = BTreeSet::new();
        for (path, methods) in description["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                described.insert((method.clone(), path.clone()));
                assert!(operation["summary"].is_string(), "{method} {path}");
                assert!(operation["responses"].is_object(), "{method} {path}");
                let named = operation["parameters"].as_array().into_iter().flatten();
                let named: BTreeSet<_> = named
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| parameter["name"].as_str().unwrap())
                    .collect();
                let in_path = path.split('/').filter_map(|part| part.strip_prefix('{'));
                let in_path: BTreeSet<_> = in_path.map(|part| part.trim_end_matches('}')).collect();
                assert_eq!(named, in_path, "{method} {path}");
            }
        }
        let routes = api();
        let routes = routes.names().iter();
        let routes: BTreeSet<_> = routes
            .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(described, routes);
    }
}
