//! Putting it together: one process that does some or all of the roles.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use leveret_client::message::{
    EphemeralShard, MessageId, ReceiptShard, SendShard, ShardCount, Timestamp,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::amqp::{BrokerUrl, Link, LinkError};
use crate::dead_letters::DeadLetters;
use crate::desk::Desk;
use crate::directory::Directory;
use crate::ephemeral::Ephemeral;
use crate::evictions::{connection_name, evictions};
use crate::fanout::Fanout;
use crate::identity::Services;
use crate::links::Links;
use crate::management::Management;
use crate::news::{News, Watch, say};
use crate::rate::Rates;
use crate::receipts::Receipts;
use crate::requests::Requests;
use crate::retention;
use crate::router::{Router, Routing};
use crate::settings::Settings;
use crate::shares::{Share, Shares};
use crate::stillness::Stillness;
use crate::store::{ChatStore, Deployment, StoreError};
use crate::topology::{self, DEAD_WATCH_QUEUE, REQUEST_QUEUE, Topology};
use crate::worker::{Handler, Worker};

/// How long what is in hand may take when the service stops; what is not done by then comes again.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Checks messages, appends them, hands them on.
    Router,
    /// Moves cursors.
    Receipts,
    /// Hands on who is writing and who is there.
    Ephemeral,
    /// Answers requests.
    Rpc,
    /// Tells senders of dead letters.
    DeadLetters,
    /// Erases what groups do not keep any longer.
    Retention,
    /// Serves clients over HTTP. It is not of queues: whoever starts the service starts it.
    Gateway,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Router,
        Self::Receipts,
        Self::Ephemeral,
        Self::Rpc,
        Self::DeadLetters,
        Self::Retention,
        Self::Gateway,
    ];

    /// As it is written on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Receipts => "receipts",
            Self::Ephemeral => "ephemeral",
            Self::Rpc => "desk",
            Self::DeadLetters => "dead-letters",
            Self::Retention => "retention",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no role: {names}")
        })
    }
}

/// What a service is to be.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// The broker, with the service's own login.
    pub broker: BrokerUrl,
    /// Its management API, over which a router has the connections of others ended that stand still. Without it nobody is
    /// judged by this process, and a stopped router keeps its shards until the broker misses its heartbeats.
    pub management: Option<Management>,
    /// The store.
    pub store: Arc<dyn ChatStore>,
    /// What this process does.
    pub roles: BTreeSet<Role>,
    /// Send shards, if the chat is not set up yet.
    pub shards: ShardCount,
    /// Other users of the broker that services log in as.
    pub trusted: Vec<String>,
    /// Limits and sizes.
    pub settings: Settings,
}

/// Why a service did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The broker.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A running service.
#[derive(Debug)]
pub struct Service {
    links: Arc<Links>,
    directory: Arc<Directory>,
    desk: Desk,
    store: Arc<dyn ChatStore>,
    deployment: Deployment,
    fanout: Arc<Fanout>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

/// Sets the chat up in store and broker, unless it is; gives what holds. Policies are not part of it:
/// see [`Management`].
pub async fn init(
    link: &Link,
    store: &dyn ChatStore,
    shards: ShardCount,
) -> Result<Deployment, StartError> {
    let created = Timestamp::now();
    let deployment = store.set_up(Deployment { shards, created }).await?;
    link.declare(&Topology::new(deployment.shards)).await?;
    Ok(deployment)
}

impl Service {
    /// Sets up what is missing, and begins to work.
    pub async fn start(options: ServiceOptions) -> Result<Self, StartError> {
        let own = options.broker.user().to_owned();
        let instance = MessageId::new(Timestamp::now());
        let links = Arc::new(Links::new(options.broker, &connection_name(instance)));
        let link = links.current().await?;
        let store = options.store;
        let deployment = init(&link, &*store, options.shards).await?;
        let directory = Arc::new(Directory::new(store.clone()));
        let settings = options.settings;
        let fanout = Arc::new(Fanout::new(directory.clone(), settings.fanout_chunk));
        let desk = Desk::new(store.clone(), settings.clone());
        let services = Services::new(options.trusted.into_iter().chain([own]));
        let silence_max = settings.router_silence_max;
        let shares = Arc::new(Shares::new(instance, deployment.shards));
        let plan = Plan {
            store: store.clone(),
            directory: directory.clone(),
            fanout: fanout.clone(),
            desk: desk.clone(),
            services,
            settings,
            shards: deployment.shards,
            shares: shares.clone(),
        };
        let (stop, stopped) = watch::channel(false);
        let mut workers = JoinSet::new();
        let routes = options.roles.contains(&Role::Router);
        for role in options.roles {
            for worker in plan.workers(role) {
                workers.spawn(worker.run(links.clone(), stopped.clone()));
            }
            if role == Role::Router {
                workers.spawn(say(links.clone(), instance, stopped.clone()));
            }
            if role == Role::Retention {
                workers.spawn(retention::run(store.clone(), stopped.clone()));
            }
        }
        let watch = options.management.filter(|_| routes).map(|management| {
            let (evictions, evicted) = evictions();
            workers.spawn(evicted.run(management, stopped.clone()));
            Watch {
                stillness: Stillness::new(instance, silence_max),
                evictions,
            }
        });
        let news = News {
            links: links.clone(),
            directory: directory.clone(),
            shares,
            watch,
        };
        workers.spawn(news.listen(stopped));
        Ok(Self {
            links,
            directory,
            desk,
            store,
            deployment,
            fanout,
            stop,
            workers,
        })
    }

    /// How the chat is set up.
    #[must_use]
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Answers requests, for gateways in the same process.
    #[must_use]
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Where users are to be reached, for gateways in the same process.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The connection to the broker.
    #[must_use]
    pub fn links(&self) -> &Arc<Links> {
        &self.links
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ChatStore> {
        &self.store
    }

    /// Devices that could not be told something since the start; they catch up from the history.
    #[must_use]
    pub fn degraded(&self) -> u64 {
        self.fanout.degraded()
    }

    /// Stops taking messages, finishes what is in hand, and ends the connection. The store stays open:
    /// whoever opened it closes it.
    pub async fn shutdown(mut self) {
        // Workers that have ended do not listen.
        let _ = self.stop.send(true);
        let ended = async { while self.workers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_PATIENCE, ended).await.is_err() {
            tracing::warn!("what was in hand is not done; it comes again");
            self.workers.shutdown().await;
        }
        self.links.close().await;
    }
}

/// What the workers are made of.
struct Plan {
    store: Arc<dyn ChatStore>,
    directory: Arc<Directory>,
    fanout: Arc<Fanout>,
    desk: Desk,
    services: Services,
    settings: Settings,
    shards: ShardCount,
    shares: Arc<Shares>,
}

impl Plan {
    fn workers(&self, role: Role) -> Vec<Worker> {
        match role {
            Role::Router => self.routers(),
            Role::Receipts => self.receipts(),
            Role::Ephemeral => self.ephemeral(),
            Role::Rpc => vec![self.requests()],
            Role::DeadLetters => vec![self.dead_letters()],
            Role::Retention | Role::Gateway => Vec::new(),
        }
    }

    fn routers(&self) -> Vec<Worker> {
        let settings = &self.settings;
        let routing = Arc::new(Routing {
            store: self.store.clone(),
            directory: self.directory.clone(),
            fanout: self.fanout.clone(),
            services: self.services.clone(),
            shards: self.shards,
            rates: Mutex::new(Rates::new(settings.user_rate, settings.user_burst)),
            group_rates: Mutex::new(Rates::new(settings.group_rate, settings.group_burst)),
            fanout_write_max: settings.fanout_write_max,
            planted: settings.planted.clone(),
        });
        let worker = |shard: SendShard| Worker {
            queue: topology::send_queue(shard),
            prefetch: settings.send_prefetch,
            share: Some(Share::new(&self.shares, shard)),
            gather: Duration::ZERO,
            handler: Arc::new(Router {
                routing: routing.clone(),
                shard,
            }),
        };
        self.shards.shards().map(worker).collect()
    }

    fn receipts(&self) -> Vec<Worker> {
        let handler: Arc<dyn Handler> = Arc::new(Receipts {
            store: self.store.clone(),
            directory: self.directory.clone(),
            fanout: self.fanout.clone(),
            services: self.services.clone(),
            cursor_members_max: self.settings.cursor_members_max,
            planted: self.settings.planted.clone(),
        });
        let worker = |shard: ReceiptShard| Worker {
            queue: topology::receipt_queue(shard),
            prefetch: self.settings.receipt_prefetch,
            share: None,
            gather: self.settings.receipt_delay,
            handler: handler.clone(),
        };
        ReceiptShard::all().map(worker).collect()
    }

    fn ephemeral(&self) -> Vec<Worker> {
        let handler: Arc<dyn Handler> = Arc::new(Ephemeral {
            store: self.store.clone(),
            directory: self.directory.clone(),
            fanout: self.fanout.clone(),
            services: self.services.clone(),
            typing_members_max: self.settings.typing_members_max,
            presences: Mutex::default(),
            swept: Mutex::default(),
        });
        let worker = |shard: EphemeralShard| Worker {
            queue: topology::ephemeral_queue(shard),
            prefetch: 64,
            share: None,
            gather: Duration::ZERO,
            handler: handler.clone(),
        };
        EphemeralShard::all().map(worker).collect()
    }

    fn requests(&self) -> Worker {
        Worker {
            queue: REQUEST_QUEUE.to_owned(),
            prefetch: self.settings.request_prefetch,
            share: None,
            gather: Duration::ZERO,
            handler: Arc::new(Requests {
                desk: self.desk.clone(),
                services: self.services.clone(),
            }),
        }
    }

    fn dead_letters(&self) -> Worker {
        Worker {
            queue: DEAD_WATCH_QUEUE.to_owned(),
            prefetch: 16,
            share: None,
            gather: Duration::ZERO,
            handler: Arc::new(DeadLetters {
                store: self.store.clone(),
                directory: self.directory.clone(),
                fanout: self.fanout.clone(),
                planted: self.settings.planted.clone(),
            }),
        }
    }
}
