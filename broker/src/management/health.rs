//! `/api/health/checks`: what load balancers and orchestrators ask (spec 10.2).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::request::Segments;
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared};

/// What a check found: 200 or 503, and the facts.
struct Health {
    /// Why it failed, if it did.
    reason: Option<String>,
    facts: Map<String, Value>,
}

impl Health {
    fn good() -> Self {
        Self {
            reason: None,
            facts: Map::new(),
        }
    }

    fn bad(reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            facts: Map::new(),
        }
    }

    /// Good if `truth`, else bad for the given reason.
    fn check(truth: bool, reason: &str) -> Self {
        if truth {
            Self::good()
        } else {
            Self::bad(reason)
        }
    }

    fn with(mut self, name: &str, fact: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), fact.into());
        self
    }
}

impl IntoResponse for Health {
    fn into_response(mut self) -> Response {
        let (status, word) = match self.reason {
            None => (StatusCode::OK, "ok"),
            Some(reason) => {
                self.facts.insert("reason".to_owned(), reason.into());
                (StatusCode::SERVICE_UNAVAILABLE, "failed")
            }
        };
        self.facts.insert("status".to_owned(), word.into());
        (status, Json(self.facts)).into_response()
    }
}

pub(super) fn routes(routes: Routes) -> Routes {
    let look = || Methods::new();
    let gate = Gate::Management;
    routes
        .at("/api/health/checks/alarms", look().get(gate, alarms))
        .at(
            "/api/health/checks/local-alarms",
            look().get(gate, local_alarms),
        )
        .at(
            "/api/health/checks/virtual-hosts",
            look().get(gate, virtual_hosts),
        )
        .at(
            "/api/health/checks/ready-to-serve-clients",
            look().get(Gate::Anybody, ready),
        )
        .at(
            "/api/health/checks/is-in-service",
            look().get(Gate::Anybody, in_service),
        )
        .at(
            "/api/health/checks/node-is-quorum-critical",
            look().get(gate, quorum_critical),
        )
        .at(
            "/api/health/checks/below-node-connection-limit",
            look().get(Gate::Anybody, connection_limit),
        )
        .at(
            "/api/health/checks/metadata-store/initialized",
            look().get(gate, async || Health::good()),
        )
        .at(
            "/api/health/checks/metadata-store/initialized/with-data",
            look().get(gate, async || Health::good()),
        )
        .at(
            "/api/health/checks/quorum-queues-without-elected-leaders/all-vhosts",
            look().get(gate, async || Health::good()),
        )
        .at(
            "/api/health/checks/port-listener/{port}",
            look().get(gate, port_listener),
        )
        .at(
            "/api/health/checks/protocol-listener/{protocols}",
            look().get(gate, protocol_listener),
        )
        .at(
            "/api/health/checks/certificate-expiration/{within}/{unit}",
            look().get(gate, certificate_expiration),
        )
        .at("/api/healthchecks/node", look().get(gate, alarms))
        .at("/api/healthchecks/node/{node}", look().get(gate, alarms_of))
}

async fn alarms(State(management): Shared) -> Health {
    management.alarms("in the cluster")
}

async fn local_alarms(State(management): Shared) -> Health {
    management.alarms("on the node")
}

/// Every virtual host is in this process, which runs.
async fn virtual_hosts() -> Health {
    Health::good()
}

async fn alarms_of(
    State(management): Shared,
    Segments(node): Segments<String>,
) -> Result<Health, Refusal> {
    if node != management.engine.settings().node_name {
        return Err(Refusal::not_found());
    }
    Ok(management.alarms("on the node"))
}

/// There are no certificates that could expire; the question must make sense all the same.
async fn certificate_expiration(
    Segments((within, unit)): Segments<(String, String)>,
) -> Result<Health, Refusal> {
    if !matches!(unit.as_str(), "days" | "weeks" | "months" | "years") {
        return Err(Refusal::bad_request(
            "Time unit not recognised. Supported units: days, weeks, months, years.",
        ));
    }
    within
        .parse::<u32>()
        .map(|_| Health::good())
        .map_err(|_| Refusal::bad_request("Invalid expiration value."))
}

async fn ready(State(management): Shared) -> Result<Health, Refusal> {
    if management.settings.amqp.is_none() {
        return Ok(Health::bad("there is no listener for clients"));
    }
    management.blocking(Management::service).await
}

async fn in_service(State(management): Shared) -> Result<Health, Refusal> {
    management.blocking(Management::service).await
}

/// There is no other node whose quorum could depend on this one.
async fn quorum_critical() -> Health {
    Health::good().with("reason", "single node cluster")
}

async fn connection_limit(State(management): Shared) -> Health {
    let max = management.settings.amqp_connections_max;
    let open = management.engine.clients.count();
    Health::check(open < max, "the node is at its connection limit")
        .with("current", open)
        .with("limit", max)
}

async fn port_listener(
    State(management): Shared,
    Segments(port): Segments<String>,
) -> Result<Health, Refusal> {
    let port: i64 = port
        .parse()
        .map_err(|_| Refusal::bad_request("Invalid port"))?;
    let ports: Vec<i64> = management
        .listeners()
        .map(|(_, address)| i64::from(address.port()))
        .collect();
    if ports.contains(&port) {
        return Ok(Health::good().with("port", port));
    }
    Ok(Health::bad("No active listener")
        .with("missing", port)
        .with("ports", ports))
}

async fn protocol_listener(
    State(management): Shared,
    Segments(wanted): Segments<String>,
) -> Health {
    let spoken: Vec<&str> = management.listeners().map(|(name, _)| name).collect();
    let missing: Vec<&str> = wanted
        .split(',')
        .filter(|name| !spoken.contains(&plain_name(name)))
        .collect();
    let health = if missing.is_empty() {
        Health::good()
    } else {
        Health::bad("No active listener").with("missing", json!(missing))
    };
    health.with("protocols", json!(spoken))
}

/// The name that listeners have for a protocol of several names.
fn plain_name(name: &str) -> &str {
    const AMQP: [&str; 5] = ["amqp", "amqp091", "amqp0.9.1", "amqp-0-9-1", "amqp0-9-1"];
    if AMQP.iter().any(|alias| name.eq_ignore_ascii_case(alias)) {
        "amqp"
    } else if name.eq_ignore_ascii_case("http") {
        "http"
    } else {
        name
    }
}

impl Management {
    fn alarms(&self, place: &str) -> Health {
        let shortage = self.engine.alarms.shortage();
        if shortage.is_none() {
            return Health::good();
        }
        let node = &self.engine.settings().node_name;
        let alarms: Vec<Value> = shortage
            .supplies()
            .map(|supply| json!({ "node": node, "resource": supply.to_string() }))
            .collect();
        Health::bad(format!("There are alarms in effect {place}")).with("alarms", alarms)
    }

    /// A broker that can store nothing is not in service, although it still answers.
    fn service(&self) -> Health {
        match self.engine.store().status().failed {
            None => Health::good(),
            Some(reason) => Health::bad(format!("nothing can be stored: {reason}")),
        }
    }
}
