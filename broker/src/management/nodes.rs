//! `/api/nodes`: the one node that there is (spec 10.2).

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::history::{Count, Kind, Ranges, Subject, insert};
use super::list::View;
use super::machine::Machine;
use super::overview::{ERLANG_VERSION, exchange_types};
use super::request::Segments;
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared};
use crate::model::Supply;

pub(super) fn routes(routes: Routes) -> Routes {
    let gate = Gate::Monitoring;
    routes
        .at("/api/nodes", Methods::new().get(gate, list))
        .at("/api/nodes/{node}", Methods::new().get(gate, show))
        .at("/api/nodes/{node}/memory", Methods::new().get(gate, memory))
        .at(
            "/api/nodes/{node}/memory/relative",
            Methods::new().get(gate, relative_memory),
        )
}

async fn list(State(management): Shared, view: View) -> Result<Response, Refusal> {
    let ranges = Ranges::read(view.query())?;
    management
        .blocking(move |management| {
            let nodes = vec![management.node(&ranges)];
            view.list(nodes, |_| "", Value::clone)
        })
        .await?
}

async fn show(
    State(management): Shared,
    Segments(node): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    management.check_node(&node)?;
    let ranges = Ranges::read(view.query())?;
    let node = management
        .blocking(move |management| management.node(&ranges))
        .await?;
    Ok(view.object(node))
}

async fn memory(
    State(management): Shared,
    Segments(node): Segments<String>,
) -> Result<Json<Value>, Refusal> {
    management.check_node(&node)?;
    management.blocking(Management::memory).await.map(Json)
}

async fn relative_memory(
    State(management): Shared,
    Segments(node): Segments<String>,
) -> Result<Json<Value>, Refusal> {
    management.check_node(&node)?;
    let parts = management.blocking(Management::memory_parts).await?;
    let Some((total, bodies)) = parts else {
        return Ok(Json(json!({ "memory": "not_available" })));
    };
    let share = |bytes: u64| bytes.saturating_mul(100) / total.max(1);
    let (bodies, rest) = (share(bodies), share(total.saturating_sub(bodies)));
    let mut memory = no_parts();
    memory.insert("queue_procs".to_owned(), bodies.into());
    memory.insert("other_proc".to_owned(), rest.into());
    memory.insert("total".to_owned(), 100.into());
    Ok(Json(json!({ "memory": memory })))
}

impl Management {
    /// Refuses the name of another node: there is none.
    pub(super) fn check_node(&self, name: &str) -> Result<(), Refusal> {
        if name == self.engine.settings().node_name {
            Ok(())
        } else {
            Err(Refusal::not_found())
        }
    }

    /// The process's memory and what of it is messages and their keys, in bytes.
    fn memory_parts(&self) -> Option<(u64, u64)> {
        let total = Machine::look().resident_bytes?;
        let queues = self.engine.virtual_hosts().into_iter();
        let bodies = queues
            .flat_map(|host| host.all_queues())
            .map(|queue| queue.counts())
            .map(|counts| (counts.resident_bytes + counts.key_bytes) as u64)
            .sum();
        Some((total, bodies))
    }

    fn memory(&self) -> Value {
        let Some((total, bodies)) = self.memory_parts() else {
            return json!({ "memory": "not_available" });
        };
        let mut memory = no_parts();
        memory.insert("queue_procs".to_owned(), bodies.into());
        let rest = total.saturating_sub(bodies);
        memory.insert("other_proc".to_owned(), rest.into());
        memory.insert("strategy".to_owned(), "rss".into());
        let total = json!({ "erlang": total, "rss": total, "allocated": total });
        memory.insert("total".to_owned(), total);
        json!({ "memory": memory })
    }

    /// The node's figures that have a history.
    pub(super) fn node_counts(&self, machine: &Machine) -> Vec<Count> {
        let reading = self.engine.alarms.latest();
        let tasks = tokio::runtime::Handle::try_current()
            .map_or(0, |runtime| runtime.metrics().num_alive_tasks() as u64);
        let level = |name, value: Option<u64>| Count::new(Kind::Node, name, value.unwrap_or(0));
        let mut counts = vec![
            level("mem_used", machine.resident_bytes),
            level("fd_used", machine.descriptors),
            level("sockets_used", machine.sockets),
            level("proc_used", Some(tasks)),
            level("disk_free", reading.disk_free),
            level("context_switches", machine.context_switches),
        ];
        counts.extend(self.churn());
        counts
    }

    fn node(&self, ranges: &Ranges) -> Value {
        let machine = Machine::look();
        let counts = self.node_counts(&machine);
        let now = self.now_ms();
        let detailed = self.history.detailed(now, Subject::Node, &counts, ranges);
        let mut node = Map::new();
        insert(&mut node, detailed);
        for facts in [
            self.node_facts(),
            self.node_limits(&machine),
            self.node_parts(),
        ] {
            if let Value::Object(facts) = facts {
                node.extend(facts);
            }
        }
        Value::Object(node)
    }

    fn node_facts(&self) -> Value {
        let settings = &self.settings;
        let uptime = self.engine.uptime().as_millis();
        json!({
            "name": self.engine.settings().node_name,
            "type": "disc",
            "running": true,
            "being_drained": false,
            "os_pid": std::process::id().to_string(),
            "uptime": u64::try_from(uptime).unwrap_or(u64::MAX),
            "rates_mode": "basic",
            "rabbitmq_version": settings.product_version,
            "erlang_version": ERLANG_VERSION,
            "erlang_full_version": concat!("none: Leveret ", env!("CARGO_PKG_VERSION")),
            "net_ticktime": 0,
            "mem_calculation_strategy": "rss",
            "db_dir": settings.data_dir.as_ref().map_or_else(String::new, |directory| {
                directory.display().to_string()
            }),
            "config_files": [],
            "log_files": [],
            "partitions": [],
            "cluster_links": [],
            "enabled_plugins": ["rabbitmq_management"],
        })
    }

    fn node_limits(&self, machine: &Machine) -> Value {
        let (reading, shortage) = (self.engine.alarms.latest(), self.engine.alarms.shortage());
        let connections = self.settings.amqp_connections_max + self.settings.connections_max;
        let waiting = tokio::runtime::Handle::try_current()
            .map_or(0, |runtime| runtime.metrics().global_queue_depth());
        json!({
            "processors": std::thread::available_parallelism().map_or(1, usize::from),
            "run_queue": waiting,
            "proc_total": connections,
            "fd_total": machine.descriptors_max.unwrap_or(0),
            "sockets_total": self.settings.amqp_connections_max,
            "mem_limit": reading.memory_limit.unwrap_or(0),
            "mem_alarm": shortage.of(Supply::Memory),
            "disk_free_limit": reading.disk_limit.unwrap_or(0),
            "disk_free_alarm": shortage.of(Supply::Disk),
        })
    }

    fn node_parts(&self) -> Value {
        let mechanisms: Vec<Value> = MECHANISMS
            .iter()
            .map(|(name, about)| json!({ "name": name, "description": about, "enabled": true }))
            .collect();
        json!({
            "exchange_types": exchange_types(),
            "auth_mechanisms": mechanisms,
            "applications": [{
                "name": "leveret",
                "description": env!("CARGO_PKG_DESCRIPTION"),
                "version": env!("CARGO_PKG_VERSION"),
            }],
            "contexts": [self.context()],
        })
    }
}

/// The parts that an Erlang node's memory has and this process's has not; clients expect them.
fn no_parts() -> Map<String, Value> {
    const PARTS: [&str; 26] = [
        "allocated_unused",
        "atom",
        "binary",
        "code",
        "connection_channels",
        "connection_other",
        "connection_readers",
        "connection_writers",
        "metadata_store",
        "metadata_store_ets",
        "metrics",
        "mgmt_db",
        "mnesia",
        "msg_index",
        "other_ets",
        "other_proc",
        "other_system",
        "plugins",
        "queue_procs",
        "quorum_ets",
        "quorum_queue_dlx_procs",
        "quorum_queue_procs",
        "reserved_unallocated",
        "stream_queue_coordinator_procs",
        "stream_queue_procs",
        "stream_queue_replica_reader_procs",
    ];
    PARTS
        .iter()
        .map(|part| ((*part).to_owned(), 0.into()))
        .collect()
}

const MECHANISMS: [(&str, &str); 2] = [
    ("PLAIN", "SASL PLAIN authentication mechanism"),
    ("AMQPLAIN", "QPid AMQPLAIN mechanism"),
];
