//! `/api/connections`: who is connected (spec 10.2).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::history::{Ranges, Subject, insert};
use super::list::View;
use super::request::{Host, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared, stats, table};
use crate::engine::{Client, ClientDetails};

/// Why a connection is closed, where the request does not say.
const CLOSED_BY_HAND: &str = "Closed via management plugin";

pub(super) fn routes(routes: Routes) -> Routes {
    let one = || {
        Methods::new()
            .get(Gate::Management, show)
            .delete(Gate::Management, close)
    };
    routes
        .at(
            "/api/connections",
            Methods::new().get(Gate::Management, list),
        )
        .at("/api/connections/{connection}", one())
        .at(
            "/api/connections/username/{user}",
            Methods::new()
                .get(Gate::Monitoring, list_of_user)
                .delete(Gate::Administrator, close_of_user),
        )
        .at(
            "/api/vhosts/{vhost}/connections",
            Methods::new().get(Gate::Visible, list_of_host),
        )
}

async fn list(State(management): Shared, caller: Caller, view: View) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let clients = management.clients_for(&caller);
            management.connection_list(clients, &view)
        })
        .await?
}

async fn list_of_host(
    State(management): Shared,
    Host(host): Host,
    caller: Caller,
    view: View,
) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let mut clients = management.clients_for(&caller);
            clients.retain(|client| is_in(client, host.name().as_str()));
            management.connection_list(clients, &view)
        })
        .await?
}

/// Whether a client is in that virtual host.
pub(super) fn is_in(client: &Client, host: &str) -> bool {
    client.facts.virtual_host.as_str() == host
}

async fn list_of_user(
    State(management): Shared,
    caller: Caller,
    Segments(user): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let mut clients = management.clients_for(&caller);
            clients.retain(|client| client.facts.user.as_str() == user);
            let node = &management.engine.settings().node_name;
            let row = |client: &Arc<Client>| {
                json!({
                    "name": client.title(),
                    "vhost": client.facts.virtual_host.as_str(),
                    "user": client.facts.user.as_str(),
                    "node": node,
                })
            };
            Ok(view.whole(&clients, row))
        })
        .await?
}

async fn show(
    State(management): Shared,
    caller: Caller,
    Segments(name): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    let ranges = Ranges::read(view.query())?;
    let row = management
        .blocking(move |management| {
            let client = management.client_for(&caller, &name)?;
            Ok::<_, Refusal>(management.connection_row(&client, &ranges))
        })
        .await??;
    Ok(view.object(row))
}

async fn close(
    State(management): Shared,
    caller: Caller,
    Segments(name): Segments<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let client = management.client_for(&caller, &name)?;
    management.may_close(&caller, &client)?;
    client.close(reason(&headers));
    Ok(StatusCode::NO_CONTENT)
}

async fn close_of_user(
    State(management): Shared,
    caller: Caller,
    Segments(user): Segments<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let mut clients = management.clients_for(&caller);
    clients.retain(|client| client.facts.user.as_str() == user);
    for client in &clients {
        management.may_close(&caller, client)?;
    }
    for client in &clients {
        client.close(reason(&headers));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What the client is told. It is text and nothing else, whatever it looks like (spec 13.14).
fn reason(headers: &HeaderMap) -> &str {
    headers
        .get("x-reason")
        .and_then(|reason| reason.to_str().ok())
        .filter(|reason| !reason.is_empty())
        .unwrap_or(CLOSED_BY_HAND)
}

impl Management {
    /// The connections that the caller may see: everybody's for monitors, else the own ones
    /// (spec 10.2, tag gates). In the order of their names.
    pub(super) fn clients_for(&self, caller: &Caller) -> Vec<Arc<Client>> {
        let mut clients = self.engine.clients.all();
        clients.retain(|client| caller.is_monitor() || client.facts.user == *caller.name());
        clients.sort_by_cached_key(|client| (client.title(), client.facts.number));
        clients
    }

    /// The connection of that name.
    pub(super) fn client_for(&self, caller: &Caller, name: &str) -> Result<Arc<Client>, Refusal> {
        let mut clients = self.engine.clients.all().into_iter();
        let client = clients
            .find(|client| client.title() == name)
            .ok_or_else(Refusal::not_found)?;
        if !caller.is_monitor() && client.facts.user != *caller.name() {
            return Err(Refusal::not_authorised(
                "User not authorised to access object",
            ));
        }
        Ok(client)
    }

    /// Monitors look; only administrators touch what is not theirs (spec 10.2).
    fn may_close(&self, caller: &Caller, client: &Client) -> Result<(), Refusal> {
        if caller.is_administrator() || client.facts.user == *caller.name() {
            return Ok(());
        }
        Err(Refusal::not_authorised(
            "User not authorised to access object",
        ))
    }

    fn connection_list(&self, clients: Vec<Arc<Client>>, view: &View) -> Result<Response, Refusal> {
        let ranges = Ranges::read(view.query())?;
        let named = clients.into_iter().map(|client| (client.title(), client));
        view.list(
            named.collect(),
            |(title, _)| title,
            |(_, client)| self.connection_row(client, &ranges),
        )
    }

    fn connection_row(&self, client: &Client, ranges: &Ranges) -> Value {
        let (facts, meter) = (&client.facts, &client.meter);
        let subject = Subject::Connection(facts.number);
        let counts = stats::connection_counts(client);
        let detailed = self
            .history
            .detailed(self.now_ms(), subject, &counts, ranges);
        let mut row = Map::new();
        insert(&mut row, detailed);
        row.extend(known_details(client));
        let facts = json!({
            "name": client.title(),
            "vhost": facts.virtual_host.as_str(),
            "user": facts.user.as_str(),
            "user_who_performed_action": facts.user.as_str(),
            "user_provided_name": facts.name,
            "node": self.engine.settings().node_name,
            "protocol": "AMQP 0-9-1",
            "state": connection_state(client),
            "channels": client.channel_count(),
            "recv_cnt": meter.reads.value(),
            "send_cnt": meter.writes.value(),
            "send_pend": meter.pending_bytes.value(),
            "ssl": false,
            "ssl_protocol": null,
            "ssl_cipher": null,
            "ssl_hash": null,
            "ssl_key_exchange": null,
            "peer_cert_subject": null,
            "peer_cert_issuer": null,
            "peer_cert_serial_number": null,
            "peer_cert_validity": null,
        });
        if let Value::Object(facts) = facts {
            row.extend(facts);
        }
        row.extend(no_erlang());
        Value::Object(row)
    }
}

fn connection_state(client: &Client) -> &'static str {
    if client.is_blocked() {
        "blocked"
    } else if client.meter.held.value() > 0 {
        "flow"
    } else {
        "running"
    }
}

fn known_details(client: &Client) -> Map<String, Value> {
    let nothing = ClientDetails::default();
    let details = client.details().unwrap_or(&nothing);
    let mut known = json!({
        "connected_at": details.opened_ms,
        "auth_mechanism": details.mechanism,
        "client_properties": table::to_json(details.properties.fields()),
        "channel_max": details.channel_max,
        "frame_max": details.frame_max,
        "timeout": details.heartbeat_seconds,
    });
    let mut ends = match details.ends {
        Some((peer, local)) => json!({
            "type": "network",
            "host": local.ip().to_string(),
            "port": local.port(),
            "peer_host": peer.ip().to_string(),
            "peer_port": peer.port(),
        }),
        None => json!({
            "type": "direct", "host": "", "port": 0, "peer_host": "", "peer_port": 0,
        }),
    };
    let mut all = Map::new();
    for part in [&mut known, &mut ends] {
        if let Value::Object(part) = part {
            all.append(part);
        }
    }
    all
}

/// Figures of Erlang processes, which clients expect to be there (spec B.2).
pub(super) fn no_erlang() -> Map<String, Value> {
    let none = json!({
        "reductions": 0,
        "reductions_details": { "rate": 0.0 },
        "garbage_collection": {
            "fullsweep_after": 0,
            "max_heap_size": 0,
            "min_bin_vheap_size": 0,
            "min_heap_size": 0,
            "minor_gcs": 0,
        },
    });
    match none {
        Value::Object(none) => none,
        _ => Map::new(),
    }
}

/// The two ends of a connection, where they are told beside something else.
pub(super) fn ends(client: Option<&Client>) -> (Value, Value) {
    match client
        .and_then(Client::details)
        .and_then(|details| details.ends)
    {
        Some((peer, _)) => (peer.ip().to_string().into(), peer.port().into()),
        None => ("".into(), 0.into()),
    }
}
