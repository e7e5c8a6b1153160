//! What concerns the whole broker. A RabbitMQ that others use would do it to them, too, so only Leveret is
//! asked.

use anyhow::Result;
use serde_json::{Value, json};

use super::api::{Api, Body};

/// Spec 10.2. Spec 7.8.1.
#[test]
fn a_cluster_gets_another_name_and_loses_it_again() -> Result<()> {
    let api = Api::leveret()?;
    let member =
        |path: &str, name: &str| -> Result<Value> { Ok(api.get(path)?.json()?[name].clone()) };
    let put = |body: &str| api.ask("PUT", "/api/cluster-name", Body::Text(body));
    let first = member("/api/cluster-name", "name")?;
    let missing = json!({ "error": "bad_request", "reason": "[{key_missing,name}]" });
    assert_eq!(put("{}")?.json()?, missing);
    assert_eq!(put(r#"{"name": 1}"#)?.status, 400);
    assert_eq!(put(r#"{"name": "other"}"#)?.status, 204);
    assert_eq!(member("/api/cluster-name", "name")?, "other");
    assert_eq!(member("/api/overview", "cluster_name")?, "other");
    let parameter = "/api/global-parameters/cluster_name";
    assert_eq!(member(parameter, "value")?, "other");
    assert_eq!(api.ask("DELETE", parameter, Body::Nothing)?.status, 204);
    assert_eq!(member("/api/cluster-name", "name")?, first);
    Ok(())
}

/// Spec 10.2.
#[test]
fn logins_and_history_are_forgotten_on_request() -> Result<()> {
    let api = Api::leveret()?;
    let node = api.get("/api/overview")?.json()?["node"].clone();
    let node = node.as_str().unwrap_or_default();
    let attempts = format!("/api/auth/attempts/{node}");
    let counted = |failed: u64, succeeded: u64| {
        json!([{
            "protocol": "http", "auth_attempts": failed + succeeded,
            "auth_attempts_failed": failed, "auth_attempts_succeeded": succeeded,
        }])
    };
    api.ask_as("guest:wrong", "GET", "/api/overview", Body::Nothing)?;
    assert_eq!(api.get(&attempts)?.json()?, counted(1, 2));
    assert_eq!(api.ask("DELETE", &attempts, Body::Nothing)?.status, 204);
    assert_eq!(api.get(&attempts)?.json()?, counted(0, 1));
    assert_eq!(api.get(&format!("{attempts}/source"))?.json()?, json!([]));
    assert_eq!(api.get("/api/auth/attempts/elsewhere")?.status, 404);
    for (path, status) in [
        ("/api/reset".to_owned(), 204),
        (format!("/api/reset/{node}"), 204),
        ("/api/reset/elsewhere".to_owned(), 404),
    ] {
        let answer = api.ask("DELETE", &path, Body::Nothing)?;
        assert_eq!(answer.status, status, "{path}");
    }
    Ok(())
}

/// Spec 11.1. RabbitMQ 4.3 lets requests publish while an alarm is in effect: measured by hand.
#[test]
fn watermarks_change_while_the_broker_runs_and_do_not_stop_requests() -> Result<()> {
    let api = Api::leveret()?;
    let watermarks = "/api/leveret/watermarks";
    let put = |body: Value| api.ask("PUT", watermarks, Body::Text(&body.to_string()));
    let alarms = || Ok::<_, anyhow::Error>(api.get("/api/health/checks/alarms")?.status);
    assert_eq!(alarms()?, 200);
    assert_eq!(put(json!({ "memory": { "absolute": 1 } }))?.status, 204);
    assert_eq!(alarms()?, 503);
    let shown = api.get(watermarks)?.json()?;
    assert_eq!(shown["memory"], json!({ "absolute": 1, "bytes": 1 }));
    api.ask("PUT", "/api/queues/%2F/q", Body::Text("{}"))?;
    let message = json!({
        "properties": {}, "routing_key": "q", "payload": "p", "payload_encoding": "string",
    });
    let path = "/api/exchanges/%2F/amq.default/publish";
    let published = api.ask("POST", path, Body::Text(&message.to_string()))?;
    assert_eq!(published.json()?, json!({ "routed": true }));
    assert_eq!(put(json!({ "memory": { "relative": 0.9 } }))?.status, 204);
    assert_eq!(alarms()?, 200);
    for wrong in [
        json!({}),
        json!({ "memory": 5 }),
        json!({ "disk_free": { "relative": -1 } }),
    ] {
        assert_eq!(put(wrong.clone())?.status, 400, "{wrong}");
    }
    Ok(())
}
