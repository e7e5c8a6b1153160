//! `/api/overview`: the broker at a glance (spec 10.2).

use std::net::SocketAddr;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::history::{Count, Kind, Ranges, Subject, insert};
use super::list::View;
use super::machine::Machine;
use super::routes::{Gate, Methods, Routes};
use super::stats::{
    connection_counts, exchange_counts, length_counts, message_counts, message_stats, queue_counts,
};
use super::{Management, Refusal, Shared};
use crate::engine::Counter;

/// Clients parse it; there is no Erlang here.
pub(super) const ERLANG_VERSION: &str = "27.0";

const EXCHANGE_TYPES: [(&str, &str); 4] = [
    (
        "direct",
        "AMQP direct exchange, as per the AMQP specification",
    ),
    (
        "fanout",
        "AMQP fanout exchange, as per the AMQP specification",
    ),
    (
        "headers",
        "AMQP headers exchange, as per the AMQP specification",
    ),
    (
        "topic",
        "AMQP topic exchange, as per the AMQP specification",
    ),
];

pub(super) fn routes(routes: Routes) -> Routes {
    let methods = Methods::new().get(Gate::Management, show);
    routes.at("/api/overview", methods)
}

async fn show(State(management): Shared, view: View) -> Result<Response, Refusal> {
    let ranges = Ranges::read(view.query())?;
    let overview = management
        .blocking(move |management| management.overview(&ranges))
        .await?;
    Ok(view.object(overview))
}

/// The types that exchanges can have.
pub(super) fn exchange_types() -> Value {
    let types = EXCHANGE_TYPES.iter().map(
        |(name, description)| json!({ "name": name, "description": description, "enabled": true }),
    );
    types.collect()
}

/// What all virtual hosts together hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) queues: u64,
    pub(super) exchanges: u64,
    pub(super) consumers: u64,
    pub(super) ready: u64,
    pub(super) unacknowledged: u64,
}

/// How many counts of connections, channels and queues that come and go there are.
const CHURN: usize = 7;

impl Management {
    /// What listens, and where.
    pub(super) fn listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let amqp = self.settings.amqp.map(|address| ("amqp", address));
        let http = self.settings.management.map(|address| ("http", address));
        let metrics = self
            .settings
            .prometheus
            .map(|address| ("http/prometheus", address));
        amqp.into_iter().chain(http).chain(metrics)
    }

    fn overview(&self, ranges: &Ranges) -> Value {
        let totals = self.totals();
        let counts = self.broker_counts(&totals);
        let mut lengths = self
            .history
            .detailed(self.now_ms(), Subject::Broker, &counts, ranges);
        let mut churn = lengths.split_off(3);
        let events = churn.split_off(CHURN);
        let mut overview = self.facts();
        for (name, group) in [("queue_totals", lengths), ("churn_rates", churn)] {
            let mut object = Map::new();
            insert(&mut object, group);
            overview.insert(name.to_owned(), Value::Object(object));
        }
        let stats = message_stats(events).unwrap_or_else(|| json!({}));
        overview.insert("message_stats".to_owned(), stats);
        overview.insert("object_totals".to_owned(), self.object_totals(&totals));
        Value::Object(overview)
    }

    fn facts(&self) -> Map<String, Value> {
        let settings = &self.settings;
        let node = &self.engine.settings().node_name;
        let listeners: Vec<Value> = self
            .listeners()
            .map(|(protocol, address)| {
                json!({
                    "node": node,
                    "protocol": protocol,
                    "ip_address": address.ip().to_string(),
                    "port": address.port(),
                    "tls": false,
                    "socket_opts": {},
                })
            })
            .collect();
        let facts = json!({
            "management_version": settings.product_version,
            "rabbitmq_version": settings.product_version,
            "product_name": settings.product,
            "product_version": settings.product_version,
            "leveret_version": env!("CARGO_PKG_VERSION"),
            "erlang_version": ERLANG_VERSION,
            "erlang_full_version": concat!("none: Leveret ", env!("CARGO_PKG_VERSION")),
            "cluster_name": self.cluster_name(),
            "cluster_tags": {},
            "node": node,
            "node_tags": {},
            "rates_mode": "basic",
            "default_queue_type": "classic",
            "disable_stats": false,
            "enable_queue_totals": false,
            "statistics_db_event_queue": 0,
            "uptime": u64::try_from(self.engine.uptime().as_millis()).unwrap_or(u64::MAX),
            "exchange_types": exchange_types(),
            "listeners": listeners,
            "contexts": [self.context()],
        });
        match facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        }
    }

    /// The web server.
    pub(super) fn context(&self) -> Value {
        let address = self.settings.management;
        json!({
            "node": self.engine.settings().node_name,
            "description": "RabbitMQ Management",
            "path": "/",
            "ip": address.map(|address| address.ip().to_string()),
            "port": address.map(|address| address.port().to_string()),
            "cowboy_opts": "[]",
            "ssl_opts": [],
        })
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for host in self.engine.virtual_hosts() {
            totals.exchanges += host.exchange_count() as u64;
            for queue in host.all_queues() {
                let counts = queue.counts();
                totals.queues += 1;
                totals.consumers += counts.consumers as u64;
                totals.ready += counts.ready;
                totals.unacknowledged += counts.unacked;
            }
        }
        totals
    }

    fn object_totals(&self, totals: &Totals) -> Value {
        let clients = self.engine.clients.all();
        let channels: u64 = clients.iter().map(|client| client.channel_count()).sum();
        json!({
            "connections": clients.len(),
            "channels": channels,
            "exchanges": totals.exchanges,
            "queues": totals.queues,
            "consumers": totals.consumers,
        })
    }

    /// The broker's counts: messages, what comes and goes, events.
    pub(super) fn broker_counts(&self, totals: &Totals) -> Vec<Count> {
        length_counts(totals.ready, totals.unacknowledged)
            .into_iter()
            .chain(self.churn())
            .chain(message_counts(&self.engine.traffic().events))
            .collect()
    }

    /// What comes and goes.
    pub(super) fn churn(&self) -> [Count; CHURN] {
        let counters = &self.engine.counters;
        let count = |name, counter: &Counter| Count::new(Kind::Messages, name, counter.value());
        [
            count("connection_created", &counters.connections_created),
            count("connection_closed", &counters.connections_closed),
            count("channel_created", &counters.channels_created),
            count("channel_closed", &counters.channels_closed),
            count("queue_declared", &counters.queues_created),
            count("queue_created", &counters.queues_created),
            count("queue_deleted", &counters.queues_deleted),
        ]
    }

    /// Looks at everything that has a history.
    pub(super) fn look(&self) {
        let totals = self.totals();
        let mut subjects = vec![
            (Subject::Broker, self.broker_counts(&totals)),
            (Subject::Node, self.node_counts(&Machine::look())),
        ];
        for host in self.engine.virtual_hosts() {
            subjects.extend(host.all_exchanges().into_iter().map(|exchange| {
                let counts = exchange_counts(&exchange).to_vec();
                (Subject::Exchange(exchange.number()), counts)
            }));
            subjects.extend(host.all_queues().into_iter().map(|queue| {
                let counts = queue_counts(&queue.counts(), &queue.tally());
                (Subject::Queue(queue.number()), counts)
            }));
        }
        for client in self.engine.clients.all() {
            let number = client.facts.number;
            let counts = connection_counts(&client).to_vec();
            subjects.push((Subject::Connection(number), counts));
            subjects.extend(client.meter.channels().into_iter().map(|channel| {
                let counts = message_counts(&channel.tally());
                (Subject::Channel(number, channel.number), counts)
            }));
        }
        self.history.look(self.now_ms(), subjects);
    }
}
