//! `/api/whoami`: what the caller is taken for.

use axum::Json;
use serde_json::{Value, json};

use super::caller::Caller;
use super::routes::{Gate, Methods, Routes};

pub(super) fn routes(routes: Routes) -> Routes {
    routes.at("/api/whoami", Methods::new().get(Gate::Management, whoami))
}

async fn whoami(caller: Caller) -> Json<Value> {
    Json(json!({ "name": caller.name(), "tags": caller.tags(), "is_internal_user": true }))
}
