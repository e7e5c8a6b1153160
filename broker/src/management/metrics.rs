//! Metrics for Prometheus, under RabbitMQ's names (spec 10.3).
//!
//! ```text
//! /metrics                               the broker, and sums over all objects
//! /metrics/per-object                    the broker, and every object by itself
//! /metrics/detailed?family=…&vhost=…     what is asked for, every object by itself
//! ```
//!
//! Sums of what happened come from counts that outlive their channels and connections, so that they
//! never fall.

mod totals;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, extract};
use prometheus::TextEncoder;

use super::exposition::{Exposition, Labels};
use super::machine::Machine;
use super::overview::ERLANG_VERSION;
use super::{Management, Refusal, Shared};
use crate::engine::{ChannelMeter, Client, Counts, Event, Exchange, Queue, Tally, VirtualHost};
use crate::model::Supply;

/// What scrapers are told that this is.
const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

/// Families of metrics, by the names that queries use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    QueueCoarse,
    QueueMetrics,
    QueueConsumerCount,
    QueueDelivery,
    Channel,
    ConnectionCoarse,
    Exchange,
    ExchangeBindings,
    ExchangeNames,
    VirtualHostStatus,
}

impl Family {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "queue_coarse_metrics" => Self::QueueCoarse,
            "queue_metrics" => Self::QueueMetrics,
            "queue_consumer_count" => Self::QueueConsumerCount,
            "queue_delivery_metrics" => Self::QueueDelivery,
            "channel_metrics" => Self::Channel,
            "connection_coarse_metrics" | "connection_metrics" => Self::ConnectionCoarse,
            "exchange_metrics" => Self::Exchange,
            "exchange_bindings" => Self::ExchangeBindings,
            "exchange_names" => Self::ExchangeNames,
            "vhost_status" => Self::VirtualHostStatus,
            _ => return None,
        })
    }
}

/// What a query of `/metrics/detailed` asks for.
#[derive(Clone, Debug, Default)]
struct Wanted {
    families: Vec<Family>,
    /// None means all.
    hosts: Vec<String>,
}

impl Wanted {
    fn new(pairs: Vec<(String, String)>) -> Self {
        let mut wanted = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "family" => wanted.families.extend(Family::parse(&value)),
                "vhost" => wanted.hosts.push(value),
                // Scrapers add what they like.
                _ => {}
            }
        }
        wanted
    }

    fn has(&self, family: Family) -> bool {
        self.families.contains(&family)
    }

    fn has_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|wanted| wanted == host)
    }
}

/// The pages for scrapers. They tell no secrets and ask for no login, which is why they have an
/// address of their own (spec 13.15).
pub(super) fn router(management: &Arc<Management>) -> Router {
    Router::new()
        .route("/metrics", get(aggregated))
        .route("/metrics/per-object", get(per_object))
        .route("/metrics/detailed", get(detailed))
        .with_state(Arc::clone(management))
}

async fn aggregated(State(management): Shared) -> Result<Response, Refusal> {
    scrape(management, |management| {
        let mut page = Exposition::new("rabbitmq");
        management.expose_broker(&mut page, "aggregated");
        management.expose_sums(&mut page);
        page
    })
    .await
}

async fn per_object(State(management): Shared) -> Result<Response, Refusal> {
    scrape(management, |management| {
        let all = [
            Family::QueueMetrics,
            Family::QueueDelivery,
            Family::Channel,
            Family::ConnectionCoarse,
            Family::Exchange,
        ];
        let wanted = Wanted {
            families: all.to_vec(),
            hosts: Vec::new(),
        };
        let mut page = Exposition::new("rabbitmq");
        management.expose_broker(&mut page, "per-object");
        management.expose_objects(&mut page, &wanted);
        page
    })
    .await
}

async fn detailed(
    State(management): Shared,
    extract::Query(query): extract::Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let wanted = Wanted::new(query);
    scrape(management, move |management| {
        let mut page = Exposition::new("rabbitmq_detailed");
        management.expose_identity(&mut page, "detailed");
        management.expose_objects(&mut page, &wanted);
        page
    })
    .await
}

async fn scrape(
    management: Arc<Management>,
    look: impl FnOnce(&Management) -> Exposition + Send + 'static,
) -> Result<Response, Refusal> {
    let text = management
        .blocking(move |management| TextEncoder::new().encode_to_string(&look(management).finish()))
        .await?
        .map_err(|error| Refusal::failed(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}

impl Management {
    fn expose_identity(&self, page: &mut Exposition, endpoint: &str) {
        let settings = &self.settings;
        let version = settings.product_version.as_str();
        let build = [
            ("rabbitmq_version", version),
            ("prometheus_plugin_version", version),
            ("erlang_version", ERLANG_VERSION),
            ("leveret_version", env!("CARGO_PKG_VERSION")),
        ];
        page.absolute("rabbitmq_build_info", "What the broker is", &build, 1.0);
        let cluster_name = self.cluster_name();
        let identity = [
            ("rabbitmq_node", self.engine.settings().node_name.as_str()),
            ("rabbitmq_cluster", cluster_name.as_str()),
            ("rabbitmq_cluster_permanent_id", cluster_name.as_str()),
            ("rabbitmq_endpoint", endpoint),
        ];
        page.absolute(
            "rabbitmq_identity_info",
            "Who the broker is",
            &identity,
            1.0,
        );
    }

    fn expose_broker(&self, page: &mut Exposition, endpoint: &str) {
        self.expose_identity(page, endpoint);
        self.expose_process(page);
        let totals = self.totals();
        let clients = self.engine.clients.all();
        let channels: u64 = clients.iter().map(|client| client.channel_count()).sum();
        page.gauge("connections", "Open connections", &[], clients.len() as u64);
        page.gauge("channels", "Open channels", &[], channels);
        page.gauge("consumers", "Consumers", &[], totals.consumers);
        page.gauge("queues", "Queues", &[], totals.queues);
        let churn: [(&str, &str); 7] = [
            ("connections_opened_total", "Connections that were opened"),
            ("connections_closed_total", "Connections that were closed"),
            ("channels_opened_total", "Channels that were opened"),
            ("channels_closed_total", "Channels that were closed"),
            ("queues_declared_total", "Queues that were declared"),
            ("queues_created_total", "Queues that were made"),
            ("queues_deleted_total", "Queues that were removed"),
        ];
        for ((name, help), count) in churn.into_iter().zip(self.churn()) {
            page.counter(name, help, &[], count.value);
        }
        let protocol = [("protocol", "amqp091")];
        page.gauge("global_consumers", "Consumers", &protocol, totals.consumers);
        self.expose_totals(page);
    }

    fn expose_process(&self, page: &mut Exposition) {
        let machine = Machine::look();
        let (reading, shortage) = (self.engine.alarms.latest(), self.engine.alarms.shortage());
        let uptime = self.engine.uptime().as_secs_f64();
        page.level("erlang_uptime_seconds", "Time since the start", &[], uptime);
        let levels = [
            (
                "process_resident_memory_bytes",
                "Memory of the process",
                machine.resident_bytes,
            ),
            ("process_open_fds", "Open descriptors", machine.descriptors),
            (
                "process_max_fds",
                "Descriptors that may be open",
                machine.descriptors_max,
            ),
            ("process_open_tcp_sockets", "Open sockets", machine.sockets),
            (
                "disk_space_available_bytes",
                "Free disk space",
                reading.disk_free,
            ),
            (
                "resident_memory_limit_bytes",
                "Memory of the process above which publishers wait",
                reading.memory_limit,
            ),
            (
                "alarms_memory_used_watermark",
                "Whether publishers wait because memory is short",
                Some(shortage.of(Supply::Memory).into()),
            ),
            (
                "alarms_free_disk_space_watermark",
                "Whether publishers wait because disk space is short",
                Some(shortage.of(Supply::Disk).into()),
            ),
            (
                "disk_space_available_limit_bytes",
                "Free disk space below which publishers wait",
                reading.disk_limit,
            ),
        ];
        for (name, help, value) in levels {
            if let Some(value) = value {
                page.gauge(name, help, &[], value);
            }
        }
    }

    /// Sums over all queues, channels and connections.
    fn expose_sums(&self, page: &mut Exposition) {
        let mut sum = Counts::default();
        for host in self.engine.virtual_hosts() {
            for queue in host.all_queues() {
                let counts = queue.counts();
                sum.ready += counts.ready;
                sum.ready_bytes += counts.ready_bytes;
                sum.unacked += counts.unacked;
                sum.unacked_bytes += counts.unacked_bytes;
                sum.resident_bytes += counts.resident_bytes;
                sum.key_bytes += counts.key_bytes;
                sum.consumers += counts.consumers;
            }
        }
        expose_counts(page, &[], &sum);
        let traffic = self.engine.traffic();
        expose_channel_events(page, &[], &traffic.events);
        expose_bytes(page, &[], traffic.received_bytes, traffic.sent_bytes);
    }

    /// Every object that is wanted, by itself.
    fn expose_objects(&self, page: &mut Exposition, wanted: &Wanted) {
        for host in self.engine.virtual_hosts() {
            let name = host.name().as_str();
            if !wanted.has_host(name) {
                continue;
            }
            if wanted.has(Family::VirtualHostStatus) {
                let labels = [("vhost", name)];
                let help = "Whether the virtual host is running";
                page.absolute("rabbitmq_cluster_vhost_status", help, &labels, 1.0);
            }
            for queue in host.all_queues() {
                expose_queue(page, wanted, name, &queue);
            }
            for exchange in host.all_exchanges() {
                expose_exchange(page, wanted, &host, &exchange);
            }
        }
        for client in self.engine.clients.all() {
            if wanted.has_host(client.facts.virtual_host.as_str()) {
                expose_client(page, wanted, &client);
            }
        }
    }
}

fn expose_queue(page: &mut Exposition, wanted: &Wanted, host: &str, queue: &Queue) {
    let labels = [("vhost", host), ("queue", queue.name().as_str())];
    let counts = queue.counts();
    if wanted.has(Family::QueueMetrics) {
        expose_counts(page, &labels, &counts);
    } else {
        if wanted.has(Family::QueueCoarse) {
            expose_messages(page, &labels, &counts);
        }
        if wanted.has(Family::QueueConsumerCount) {
            let help = "Consumers of the queue";
            page.gauge("queue_consumers", help, &labels, counts.consumers as u64);
        }
    }
    if wanted.has(Family::QueueDelivery) {
        let tally = queue.tally();
        let help = "Messages that came to the queue";
        let published = tally.of(Event::Publish);
        page.counter("queue_messages_published_total", help, &labels, published);
        expose_deliveries(page, "queue", &labels, &tally);
    }
}

fn expose_messages(page: &mut Exposition, labels: Labels<'_>, counts: &Counts) {
    let messages = counts.ready + counts.unacked;
    page.gauge(
        "queue_messages_ready",
        "Messages that wait",
        labels,
        counts.ready,
    );
    let help = "Messages that are delivered and not acknowledged";
    page.gauge("queue_messages_unacked", help, labels, counts.unacked);
    page.gauge("queue_messages", "Messages", labels, messages);
}

fn expose_counts(page: &mut Exposition, labels: Labels<'_>, counts: &Counts) {
    expose_messages(page, labels, counts);
    let consumers = counts.consumers as u64;
    page.gauge(
        "queue_consumers",
        "Consumers of the queue",
        labels,
        consumers,
    );
    let bytes = counts.ready_bytes + counts.unacked_bytes;
    page.gauge("queue_messages_bytes", "Bytes of bodies", labels, bytes);
    let help = "Bytes of bodies that wait";
    page.gauge(
        "queue_messages_ready_bytes",
        help,
        labels,
        counts.ready_bytes,
    );
    let help = "Bytes of bodies that are delivered and not acknowledged";
    page.gauge(
        "queue_messages_unacked_bytes",
        help,
        labels,
        counts.unacked_bytes,
    );
    let help = "Bytes of messages in memory, and of their keys where duplicates are told";
    let resident = (counts.resident_bytes + counts.key_bytes) as u64;
    page.gauge("queue_process_memory_bytes", help, labels, resident);
}

fn expose_exchange(
    page: &mut Exposition,
    wanted: &Wanted,
    host: &VirtualHost,
    exchange: &Exchange,
) {
    let definition = &exchange.definition;
    let labels = [
        ("vhost", host.name().as_str()),
        ("exchange", definition.name.as_str()),
    ];
    if wanted.has(Family::Exchange) {
        let help = "Messages that were published to the exchange";
        let published = exchange.published_in.value();
        page.counter(
            "exchange_messages_published_total",
            help,
            &labels,
            published,
        );
    }
    let typed = [labels[0], labels[1], ("type", definition.kind.as_str())];
    if wanted.has(Family::ExchangeBindings) {
        let help = "Bindings that lead away from the exchange";
        let bindings = exchange.bindings().len() as f64;
        page.absolute("rabbitmq_cluster_exchange_bindings", help, &typed, bindings);
    }
    if wanted.has(Family::ExchangeNames) {
        let help = "That the exchange exists";
        page.absolute("rabbitmq_cluster_exchange_name", help, &typed, 1.0);
    }
}

fn expose_client(page: &mut Exposition, wanted: &Wanted, client: &Client) {
    let title = client.title();
    if wanted.has(Family::ConnectionCoarse) {
        let labels = [("connection", title.as_str())];
        let meter = &client.meter;
        let (received, sent) = (meter.received_bytes.value(), meter.sent_bytes.value());
        expose_bytes(page, &labels, received, sent);
        let help = "Channels of the connection";
        page.gauge("connection_channels", help, &labels, client.channel_count());
    }
    if wanted.has(Family::Channel) {
        for channel in client.meter.channels() {
            let name = super::channels::channel_name(&title, channel.number);
            expose_channel(page, &[("channel", &name)], &channel);
        }
    }
}

fn expose_channel(page: &mut Exposition, labels: Labels<'_>, channel: &ChannelMeter) {
    let levels = [
        (
            "channel_consumers",
            "Consumers of the channel",
            channel.consumers.value(),
        ),
        (
            "channel_messages_unacked",
            "Messages that the channel has to acknowledge",
            channel.unacknowledged().into(),
        ),
        (
            "channel_messages_unconfirmed",
            "Messages that wait for their confirm",
            channel.unconfirmed.value(),
        ),
        (
            "channel_messages_uncommitted",
            "Messages that wait for the commit",
            channel.uncommitted.value(),
        ),
        (
            "channel_acks_uncommitted",
            "Acknowledgements that wait for the commit",
            channel.uncommitted_settlements.value(),
        ),
        (
            "consumer_prefetch",
            "Prefetch of new consumers",
            channel.prefetch.value(),
        ),
        (
            "channel_prefetch",
            "Prefetch of the channel as a whole",
            channel.global_prefetch().into(),
        ),
    ];
    for (name, help, value) in levels {
        page.gauge(name, help, labels, value);
    }
    expose_channel_events(page, labels, &channel.tally());
}

fn expose_channel_events(page: &mut Exposition, labels: Labels<'_>, events: &Tally) {
    let published = [
        ("published", Event::Publish),
        ("confirmed", Event::Confirm),
        ("unroutable_returned", Event::ReturnUnroutable),
        ("unroutable_dropped", Event::DropUnroutable),
    ];
    for (what, event) in published {
        let name = format!("channel_messages_{what}_total");
        let help = format!("Messages that were {}", what.replace('_', " and "));
        page.counter(&name, &help, labels, events.of(event));
    }
    expose_deliveries(page, "channel", labels, events);
}

fn expose_deliveries(page: &mut Exposition, owner: &str, labels: Labels<'_>, events: &Tally) {
    let delivered = [
        (
            "get_ack",
            "Messages that were got, to be acknowledged",
            Event::Get,
        ),
        ("get", "Messages that were got for good", Event::GetNoAck),
        ("get_empty", "Times that nothing was got", Event::GetEmpty),
        (
            "messages_delivered_ack",
            "Messages that were delivered, to be acknowledged",
            Event::Deliver,
        ),
        (
            "messages_delivered",
            "Messages that were delivered for good",
            Event::DeliverNoAck,
        ),
        (
            "messages_redelivered",
            "Messages that were delivered again",
            Event::Redeliver,
        ),
        (
            "messages_acked",
            "Messages that were acknowledged",
            Event::Acknowledge,
        ),
    ];
    for (what, help, event) in delivered {
        let name = format!("{owner}_{what}_total");
        page.counter(&name, help, labels, events.of(event));
    }
}

fn expose_bytes(page: &mut Exposition, labels: Labels<'_>, received: u64, sent: u64) {
    let help = "Bytes that came from the client";
    page.counter("connection_incoming_bytes_total", help, labels, received);
    let help = "Bytes that went to the client";
    page.counter("connection_outgoing_bytes_total", help, labels, sent);
}
