//! `/api/auth/attempts` and `/api/reset`: what was counted so far, and forgetting it (spec 10.2).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::request::Segments;
use super::routes::{Gate, Methods, Routes};
use super::{Refusal, Shared};
use crate::engine::{Entrance, Logins};

/// Logins that were counted before somebody wished to begin anew. The broker's own counts go on: what
/// is scraped never falls.
#[derive(Debug, Default)]
pub(super) struct ForgottenLogins(Mutex<[Logins; Entrance::ALL.len()]>);

pub(super) fn routes(routes: Routes) -> Routes {
    let resets = || Methods::new();
    routes
        .at(
            "/api/auth/attempts/{node}",
            Methods::new()
                .get(Gate::Monitoring, attempts)
                .delete(Gate::Administrator, forget_attempts),
        )
        .at(
            "/api/auth/attempts/{node}/source",
            Methods::new()
                .get(Gate::Monitoring, attempts_by_source)
                .delete(Gate::Administrator, forget_attempts_by_source),
        )
        .at(
            "/api/reset",
            resets().delete(Gate::Administrator, forget_history),
        )
        .at(
            "/api/reset/{node}",
            resets().delete(Gate::Administrator, forget_history_of_node),
        )
}

async fn attempts(
    State(management): Shared,
    Segments(node): Segments<String>,
) -> Result<Json<Value>, Refusal> {
    management.check_node(&node)?;
    let forgotten = *management.forgotten_logins.0.lock();
    let rows = Entrance::ALL.into_iter().zip(forgotten);
    let rows = rows.filter_map(|(entrance, forgotten)| {
        let logins = management.engine.access.logins(entrance);
        let succeeded = logins.succeeded.saturating_sub(forgotten.succeeded);
        let failed = logins.failed.saturating_sub(forgotten.failed);
        let attempts = succeeded.saturating_add(failed);
        (attempts > 0).then(|| {
            json!({
                "protocol": entrance.as_str(),
                "auth_attempts": attempts,
                "auth_attempts_failed": failed,
                "auth_attempts_succeeded": succeeded,
            })
        })
    });
    Ok(Json(rows.collect()))
}

async fn forget_attempts(
    State(management): Shared,
    Segments(node): Segments<String>,
) -> Result<StatusCode, Refusal> {
    management.check_node(&node)?;
    let logins = Entrance::ALL.map(|entrance| management.engine.access.logins(entrance));
    *management.forgotten_logins.0.lock() = logins;
    Ok(StatusCode::NO_CONTENT)
}

/// Who logged in from where is not counted, as in RabbitMQ, unless one asks it to.
async fn attempts_by_source(
    State(management): Shared,
    Segments(node): Segments<String>,
) -> Result<Json<Value>, Refusal> {
    management.check_node(&node)?;
    Ok(Json(json!([])))
}

async fn forget_attempts_by_source(
    State(management): Shared,
    Segments(node): Segments<String>,
) -> Result<StatusCode, Refusal> {
    management.check_node(&node)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn forget_history(State(management): Shared) -> StatusCode {
    management.history.forget();
    StatusCode::NO_CONTENT
}

async fn forget_history_of_node(
    State(management): Shared,
    Segments(node): Segments<String>,
) -> Result<StatusCode, Refusal> {
    management.check_node(&node)?;
    management.history.forget();
    Ok(StatusCode::NO_CONTENT)
}
