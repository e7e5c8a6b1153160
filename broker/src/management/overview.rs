//! `/api/overview`: the broker at a glance (spec 10.2).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::list::View;
use super::rates::Counts;
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared};

/// Clients parse it; there is no Erlang here.
const ERLANG_VERSION: &str = "27.0";

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
    let overview = management.blocking(Management::overview).await?;
    Ok(view.object(overview))
}

/// What all queues together hold.
#[derive(Default)]
struct Totals {
    queues: u64,
    exchanges: u64,
    consumers: u64,
    ready: u64,
    unacknowledged: u64,
}

impl Management {
    /// What listens, and where.
    pub(super) fn listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let amqp = self.settings.amqp.map(|address| ("amqp", address));
        amqp.into_iter().chain([("http", self.settings.management)])
    }

    fn overview(&self) -> Value {
        let totals = self.totals();
        let counts = self.counts(&totals);
        let rates = self.rates.observe(Instant::now(), &counts);
        let mut overview = self.facts();
        overview.extend([
            ("object_totals".to_owned(), self.object_totals(&totals)),
            (
                "queue_totals".to_owned(),
                with_rates(&QUEUE_TOTALS, &counts, &rates, true),
            ),
            (
                "churn_rates".to_owned(),
                with_rates(&CHURN_RATES, &counts, &rates, true),
            ),
            (
                "message_stats".to_owned(),
                with_rates(&MESSAGE_STATS, &counts, &rates, false),
            ),
        ]);
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
        let exchange_types: Vec<Value> = EXCHANGE_TYPES
            .iter()
            .map(|(name, description)| {
                json!({ "name": name, "description": description, "enabled": true })
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
            "cluster_name": settings.cluster_name,
            "cluster_tags": {},
            "node": node,
            "node_tags": {},
            "rates_mode": "basic",
            "default_queue_type": "classic",
            "disable_stats": false,
            "enable_queue_totals": false,
            "statistics_db_event_queue": 0,
            "uptime": u64::try_from(self.engine.uptime().as_millis()).unwrap_or(u64::MAX),
            "exchange_types": exchange_types,
            "listeners": listeners,
            "contexts": [{
                "node": node,
                "description": "RabbitMQ Management",
                "path": "/",
                "ip": settings.management.ip().to_string(),
                "port": settings.management.port().to_string(),
            }],
        });
        match facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        }
    }

    fn totals(&self) -> Totals {
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

    fn counts(&self, totals: &Totals) -> Counts {
        let counters = &self.engine.counters;
        BTreeMap::from([
            ("messages", totals.ready + totals.unacknowledged),
            ("messages_ready", totals.ready),
            ("messages_unacknowledged", totals.unacknowledged),
            ("connection_created", counters.connections_created.value()),
            ("connection_closed", counters.connections_closed.value()),
            ("channel_created", counters.channels_created.value()),
            ("channel_closed", counters.channels_closed.value()),
            ("queue_declared", counters.queues_created.value()),
            ("queue_created", counters.queues_created.value()),
            ("queue_deleted", counters.queues_deleted.value()),
            ("publish", counters.published.value()),
            ("confirm", counters.confirmed.value()),
            ("deliver_get", counters.delivered.value()),
            ("ack", counters.acknowledged.value()),
            ("return_unroutable", counters.returned.value()),
        ])
    }
}

const QUEUE_TOTALS: [&str; 3] = ["messages", "messages_ready", "messages_unacknowledged"];

const CHURN_RATES: [&str; 7] = [
    "connection_created",
    "connection_closed",
    "channel_created",
    "channel_closed",
    "queue_declared",
    "queue_created",
    "queue_deleted",
];

const MESSAGE_STATS: [&str; 5] = [
    "publish",
    "confirm",
    "deliver_get",
    "ack",
    "return_unroutable",
];

/// The named counts, each with its rate. What never happened is left out unless `even_zero`.
fn with_rates(
    names: &[&'static str],
    counts: &Counts,
    rates: &BTreeMap<&'static str, f64>,
    even_zero: bool,
) -> Value {
    let mut object = Map::new();
    for name in names {
        let count = counts.get(name).copied().unwrap_or(0);
        if count == 0 && !even_zero {
            continue;
        }
        let rate = rates.get(name).copied().unwrap_or(0.0);
        object.insert((*name).to_owned(), count.into());
        object.insert(format!("{name}_details"), json!({ "rate": rate }));
    }
    Value::Object(object)
}
