//! `/api/leveret/watermarks`: how much memory is too much and how much disk space too little, changed
//! while the broker runs (spec 11.1). As with RabbitMQ's commands for it, the change lasts until the
//! broker stops; what is configured holds again then.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::request::JsonBody;
use super::routes::{Gate, Methods, Routes};
use super::{Refusal, Shared};
use crate::model::Threshold;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.at(
        "/api/leveret/watermarks",
        Methods::new()
            .get(Gate::Monitoring, show)
            .put(Gate::Administrator, change),
    )
}

async fn show(State(management): Shared) -> Json<Value> {
    let (limits, reading) = (
        management.engine.alarms.limits(),
        management.engine.alarms.latest(),
    );
    let shown = |limit: Option<Threshold>, bytes: Option<u64>| {
        let mut shown = match limit {
            Some(Threshold::Bytes(bytes)) => json!({ "absolute": bytes }),
            Some(Threshold::OfMemory(part)) => json!({ "relative": part }),
            None => json!({}),
        };
        shown["bytes"] = json!(bytes);
        shown
    };
    Json(json!({
        "memory": shown(Some(limits.memory), reading.memory_limit),
        "disk_free": shown(limits.disk_free, reading.disk_limit),
    }))
}

/// Answers once memory and disk were compared with the new limits.
async fn change(State(management): Shared, body: JsonBody) -> Result<StatusCode, Refusal> {
    let limit = |name| body.0.get(name).map(|value| threshold(name, value));
    let (memory, disk_free) = (
        limit("memory").transpose()?,
        limit("disk_free").transpose()?,
    );
    if memory.is_none() && disk_free.is_none() {
        return Err(Refusal::bad_request(
            "neither memory nor disk_free is given",
        ));
    }
    Arc::clone(&management)
        .blocking(move |management| {
            if let Some(limit) = memory {
                management.engine.set_memory_limit(limit);
            }
            if let Some(limit) = disk_free {
                management.engine.set_disk_free_limit(limit);
            }
            management.engine.look_at_resources();
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `{"absolute": bytes}`, or `{"relative": part of the memory that the process may use}`.
fn threshold(name: &str, value: &Value) -> Result<Threshold, Refusal> {
    let refused = || {
        Refusal::bad_request(format!(
            "{name} should be {{\"absolute\": bytes}} or {{\"relative\": a number}}, actually was {value}"
        ))
    };
    let limit = value.as_object().filter(|limit| limit.len() == 1);
    let limit = limit.ok_or_else(refused)?;
    let absolute = limit.get("absolute").and_then(Value::as_u64);
    let relative = limit.get("relative").and_then(Value::as_f64);
    match (absolute, relative) {
        (Some(bytes), _) => Ok(Threshold::Bytes(bytes)),
        (None, Some(part)) if part.is_finite() && part >= 0.0 => Ok(Threshold::OfMemory(part)),
        (None, _) => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_bytes_or_a_part_of_memory_and_nothing_else() {
        let read = |value: Value| threshold("memory", &value);
        assert_eq!(read(json!({ "absolute": 5 })), Ok(Threshold::Bytes(5)));
        assert_eq!(
            read(json!({ "relative": 0.5 })),
            Ok(Threshold::OfMemory(0.5))
        );
        assert_eq!(read(json!({ "relative": 0 })), Ok(Threshold::OfMemory(0.0)));
        for wrong in [
            json!(5),
            json!({}),
            json!({ "absolute": -5 }),
            json!({ "absolute": "5" }),
            json!({ "relative": -0.5 }),
            json!({ "absolute": 5, "relative": 0.5 }),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
