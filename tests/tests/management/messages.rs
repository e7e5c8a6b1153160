//! Messages over HTTP: published, got, and refused.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::api::{Api, Body, unique};
use super::requests::{run, step};

/// Dead letters take their time on RabbitMQ.
const PATIENCE: Duration = Duration::from_secs(30);

/// Spec 10.2.
#[test]
fn messages_are_got_and_settled_as_asked() -> Result<()> {
    let get = "/api/queues/%2F/{n}/get";
    let publish = "/api/exchanges/%2F/amq.default/publish";
    let how = |mode: &str| json!({ "count": 10, "ackmode": mode, "encoding": "auto" });
    let cut = json!({
        "count": 10, "ackmode": "reject_requeue_false", "encoding": "base64", "truncate": 2,
    });
    let full = json!({
        "headers": { "a": 1, "list": [true, "two"] }, "delivery_mode": 2, "priority": 3,
        "content_type": "text/plain", "timestamp": 5, "expiration": "60000", "type": "kind",
        "message_id": "m", "app_id": "a", "correlation_id": "c", "reply_to": "r",
    });
    let message = |payload: &str, encoding: &str, properties: &Value| {
        json!({
            "properties": properties, "routing_key": "{n}", "payload": payload,
            "payload_encoding": encoding,
        })
    };
    run(&[
        step("POST", get, Some(how("ack_requeue_true")), 404).error("not_found", "queue_not_found"),
        step("PUT", "/api/queues/%2F/{n}", Some(json!({})), 201),
        step("POST", get, Some(how("ack_requeue_true")), 200).exactly(json!([])),
        step("POST", publish, Some(message("text", "string", &full)), 200)
            .exactly(json!({ "routed": true })),
        step(
            "POST",
            publish,
            Some(message("/w==", "base64", &json!({}))),
            200,
        )
        .exactly(json!({ "routed": true })),
        step("POST", get, Some(how("ack_requeue_true")), 200).exactly(json!([
            {
                "payload_bytes": 4, "redelivered": false, "exchange": "", "routing_key": "{n}",
                "message_count": 1, "properties": full, "payload": "text",
                "payload_encoding": "string",
            },
            {
                "payload_bytes": 1, "redelivered": false, "exchange": "", "routing_key": "{n}",
                "message_count": 0, "properties": [], "payload": "/w==",
                "payload_encoding": "base64",
            },
        ])),
        step("POST", get, Some(cut), 200).with(json!([
            { "payload_bytes": 4, "redelivered": true, "payload": "dGU=", "message_count": 1 },
            { "payload_bytes": 1, "redelivered": true, "payload": "/w==", "message_count": 0 },
        ])),
        step("POST", get, Some(how("ack_requeue_true")), 200).exactly(json!([])),
        step("DELETE", "/api/queues/%2F/{n}", None, 204),
    ])
}

/// Spec 10.2.
#[test]
fn what_is_asked_wrongly_of_messages_is_refused() -> Result<()> {
    let get = "/api/queues/%2F/{n}/get";
    let publish = "/api/exchanges/%2F/amq.default/publish";
    let how = |mode: &str| json!({ "count": 10, "ackmode": mode, "encoding": "auto" });
    run(&[
        step("PUT", "/api/queues/%2F/{n}", Some(json!({})), 201),
        step("POST", get, Some(json!({})), 400).error(
            "bad_request",
            "[{key_missing,ackmode},{key_missing,count},{key_missing,encoding}]",
        ),
        step("POST", get, Some(how("no-such-mode")), 400).error(
            "bad_request",
            "Invalid ackmode value: no-such-mode. Valid values are: ack_requeue_true, \
             ack_requeue_false, reject_requeue_true, reject_requeue_false",
        ),
        step(
            "POST",
            get,
            Some(json!({ "count": "many", "ackmode": "ack_requeue_true", "encoding": "auto" })),
            400,
        )
        .error("bad_request", json!(["not_integer", "many"])),
        step(
            "POST",
            get,
            Some(json!({ "count": 1, "ackmode": "ack_requeue_true", "encoding": "morse" })),
            400,
        )
        .error(
            "bad_request",
            "Unsupported encoding. Please use auto or base64.",
        ),
        step("POST", publish, Some(json!({})), 400).error(
            "bad_request",
            "[{key_missing,routing_key},\n {key_missing,properties},\n {key_missing,payload},\n \
             {key_missing,payload_encoding}]",
        ),
        step("DELETE", "/api/queues/%2F/{n}", None, 204),
    ])
}

/// Spec 10.2. Spec 5.1.6. Spec 5.1.7.
#[test]
fn what_amqp_would_refuse_to_publish_is_refused() -> Result<()> {
    let publish = "/api/exchanges/%2F/amq.default/publish";
    let message = |properties: Value| {
        json!({
            "properties": properties, "routing_key": "{n}", "payload": "!!",
            "payload_encoding": "string",
        })
    };
    let encoded = |encoding: &str| {
        json!({
            "properties": {}, "routing_key": "{n}", "payload": "!!", "payload_encoding": encoding,
        })
    };
    let refused = |properties: Value| step("POST", publish, Some(message(properties)), 400);
    run(&[
        step("POST", publish, Some(message(json!({}))), 200).exactly(json!({ "routed": false })),
        step(
            "POST",
            "/api/exchanges/%2F/{n}/publish",
            Some(message(json!({}))),
            404,
        )
        .error("not_found", "exchange_not_found"),
        step("POST", publish, Some(encoded("base64")), 400)
            .error("bad_request", json!(["not_base64", "!!"])),
        step("POST", publish, Some(encoded("morse")), 400)
            .error("bad_request", json!(["unsupported_encoding", "morse"])),
        refused(json!({ "delivery_mode": "a" }))
            .error("bad_request", json!(["not_int", "delivery_mode"])),
        refused(json!({ "expiration": 5 }))
            .error("bad_request", json!(["not_string", "expiration"])),
        refused(json!({ "headers": { "a": null } })).error("bad_request", "null_not_allowed"),
        refused(json!({ "expiration": "soon" })).error(
            "bad_request",
            "406 PRECONDITION_FAILED - invalid expiration 'soon': no_integer",
        ),
        refused(json!({ "user_id": "somebody" })).error(
            "bad_request",
            "406 PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user \
             was 'guest'",
        ),
        step(
            "PUT",
            "/api/exchanges/%2F/{n}",
            Some(json!({ "type": "fanout", "internal": true })),
            201,
        ),
        step(
            "POST",
            "/api/exchanges/%2F/{n}/publish",
            Some(message(json!({}))),
            400,
        )
        .error(
            "bad_request",
            "403 ACCESS_REFUSED - cannot publish to internal exchange '{n}' in vhost '/'",
        ),
        step("DELETE", "/api/exchanges/%2F/{n}", None, 204),
        step(
            "PUT",
            "/api/queues/%2F/{n}",
            Some(json!({ "arguments": { "x-max-length": 0, "x-overflow": "reject-publish" } })),
            201,
        ),
        step("POST", publish, Some(message(json!({}))), 400).error(
            "bad_request",
            "rejected Unable to publish message. Check queue limits.",
        ),
        step("DELETE", "/api/queues/%2F/{n}", None, 204),
    ])
}

/// Spec 5.1.8. Spec 7.2.1. Whoever reads the message sees no blind copies, but its dead letters go by them.
#[test]
fn blind_copies_of_what_a_request_publishes_lead_its_dead_letters() -> Result<()> {
    for api in Api::all()? {
        let name = unique();
        let send = |method: &str, path: &str, body: Value| {
            let path = format!("/api/{}", path.replace("{n}", &name));
            let body = body.to_string().replace("{n}", &name);
            let answer = api.ask(method, &path, Body::Text(&body))?;
            ensure!(answer.status < 300, "{} {path}: {}", api.name, answer.text);
            answer.json()
        };
        let arguments = json!({ "x-max-length": 0, "x-dead-letter-exchange": "{n}" });
        send("PUT", "exchanges/%2F/{n}", json!({ "type": "direct" }))?;
        send("PUT", "queues/%2F/{n}", json!({ "arguments": arguments }))?;
        send("PUT", "queues/%2F/{n}-dead", json!({}))?;
        let binding = json!({ "routing_key": "{n}-blind" });
        send("POST", "bindings/%2F/e/{n}/q/{n}-dead", binding)?;
        let message = json!({
            "properties": { "headers": { "BCC": ["{n}-blind"] } },
            "routing_key": "{n}", "payload": "hello", "payload_encoding": "string",
        });
        send("POST", "exchanges/%2F/amq.default/publish", message)?;
        let begin = Instant::now();
        let dead = loop {
            let get = json!({ "count": 1, "ackmode": "ack_requeue_false", "encoding": "auto" });
            let got = send("POST", "queues/%2F/{n}-dead/get", get)?;
            match got.get(0) {
                Some(dead) => break dead.clone(),
                None => ensure!(begin.elapsed() < PATIENCE, "{}: no dead letter", api.name),
            }
        };
        ensure!(dead["payload"] == "hello", "{}: {dead}", api.name);
        let headers = &dead["properties"]["headers"];
        ensure!(headers.get("BCC").is_none(), "{}: {dead}", api.name);
        for path in ["queues/%2F/{n}", "queues/%2F/{n}-dead", "exchanges/%2F/{n}"] {
            send("DELETE", path, Value::Null)?;
        }
    }
    Ok(())
}
