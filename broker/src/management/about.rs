//! What the broker says of itself, and what it has not: versions, names, features, plug-ins
//! (spec 10.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::queues::check_name;
use super::request::{Host, JsonBody};
use super::routes::{Gate, Methods, Routes};
use super::{Refusal, Shared};
use crate::engine::CLUSTER_NAME;

/// Features that a client may count on. RabbitMQ calls features flags while old nodes of a cluster
/// may lack them.
const FEATURES: [(&str, &str); 6] = [
    (
        "classic_queue_type_delivery_support",
        "Queue types deliver alike",
    ),
    (
        "direct_exchange_routing_v2",
        "Direct exchanges look keys up",
    ),
    ("feature_flags_v2", "Features are listed"),
    (
        "implicit_default_bindings",
        "Default bindings are not stored",
    ),
    (
        "tracking_records_in_ets",
        "Connections are tracked in memory",
    ),
    ("user_limits", "Limits of users"),
];

pub(super) fn routes(routes: Routes) -> Routes {
    let nothing = || Methods::new().get(Gate::Management, async || Json(json!([])));
    let nothing_in_host = || Methods::new().get(Gate::Visible, async |_: Host| Json(json!([])));
    routes
        .at("/api/version", Methods::new().get(Gate::Anybody, version))
        .at(
            "/api/cluster-name",
            Methods::new()
                .get(Gate::Management, cluster_name)
                .put(Gate::Administrator, rename_cluster),
        )
        .at("/api/extensions", nothing())
        .at(
            "/api/feature-flags",
            Methods::new().get(Gate::Management, async || Json(features())),
        )
        .at("/api/deprecated-features", nothing())
        .at("/api/deprecated-features/used", nothing())
        .at("/api/federation-links", nothing())
        .at("/api/federation-links/{vhost}", nothing_in_host())
        .at("/api/shovels", nothing())
        .at("/api/shovels/{vhost}", nothing_in_host())
        .at(
            "/api/rebalance/queues",
            Methods::new().post(Gate::Administrator, async || StatusCode::NO_CONTENT),
        )
        .at(
            "/api/aliveness-test/{vhost}",
            Methods::new().get(Gate::Management, aliveness),
        )
}

async fn version(State(management): Shared) -> Json<Value> {
    Json(management.settings.product_version.as_str().into())
}

async fn cluster_name(State(management): Shared) -> Json<Value> {
    Json(json!({ "name": management.cluster_name() }))
}

/// The name is a global parameter, as in RabbitMQ, and so exported with the others and removed as one.
async fn rename_cluster(State(management): Shared, body: JsonBody) -> Result<StatusCode, Refusal> {
    body.require(&["name"])?;
    let name = body.text("name")?.unwrap_or_default();
    check_name("cluster name", name)?;
    let name = name.to_owned();
    let put = Arc::clone(&management)
        .blocking(move |management| {
            let name = name.into();
            management.engine.put_global_parameter(CLUSTER_NAME, name)
        })
        .await?;
    management.durable(put.ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the virtual host serves: it does if its queues can be reached and the store can store.
async fn aliveness(State(management): Shared, Host(host): Host) -> Result<Json<Value>, Refusal> {
    let failed = Arc::clone(&management)
        .blocking(move |management| {
            let status = management.engine.store().status();
            let crashed = host
                .all_queues()
                .into_iter()
                .find(|queue| !queue.is_running());
            let crashed = crashed.map(|queue| format!("queue '{}' has crashed", queue.name()));
            status.failed.or(crashed)
        })
        .await?;
    match failed {
        None => Ok(Json(json!({ "status": "ok" }))),
        Some(reason) => Err(Refusal::unavailable(reason)),
    }
}

fn features() -> Value {
    let features = FEATURES.iter().map(|(name, about)| {
        json!({
            "name": name,
            "desc": about,
            "doc_url": "",
            "state": "enabled",
            "stability": "required",
            "require_level": "hard",
            "experiment_level": "supported",
            "callbacks": [],
            "provided_by": "rabbit",
        })
    });
    features.collect()
}
