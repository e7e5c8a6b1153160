//! Requests one after the other, with their answers: made, shown, changed, removed.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::api::{Answer, Api, Body, unique};

/// A request, and what is answered. `{n}` in it is a name that nothing else has.
pub(super) struct Step {
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
    status: u16,
    expect: Expect,
}

/// What an answer's body is to be.
enum Expect {
    /// Anything.
    Anything,
    /// Nothing.
    Nothing,
    /// Exactly this.
    Exactly(Value),
    /// An object, or a list of objects, with these members among others.
    With(Value),
}

pub(super) fn step(
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
    status: u16,
) -> Step {
    let expect = match status {
        201 | 204 | 405 => Expect::Nothing,
        _ => Expect::Anything,
    };
    Step {
        method,
        path,
        body,
        status,
        expect,
    }
}

impl Step {
    pub(super) fn exactly(mut self, body: Value) -> Self {
        self.expect = Expect::Exactly(body);
        self
    }

    pub(super) fn with(mut self, members: Value) -> Self {
        self.expect = Expect::With(members);
        self
    }

    /// An error of RabbitMQ's usual form.
    pub(super) fn error(self, error: &str, reason: impl Into<Value>) -> Self {
        self.exactly(json!({ "error": error, "reason": reason.into() }))
    }
}

fn not_found() -> Value {
    json!({ "error": "Object Not Found", "reason": "Not Found" })
}

/// Whether `found` has everything that `wanted` has.
fn has(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| found.get(name).is_some_and(|found| has(found, wanted))),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted)| has(found, wanted))
        }
        _ => found == wanted,
    }
}

fn named(value: &Value, name: &str) -> Result<Value> {
    Ok(serde_json::from_str(
        &value.to_string().replace("{n}", name),
    )?)
}

fn check(api: &Api, step: &Step, name: &str, answer: &Answer) -> Result<()> {
    let place = format!("{}: {} {}", api.name, step.method, step.path);
    ensure!(
        answer.status == step.status,
        "{place}: {} instead of {}: {}",
        answer.status,
        step.status,
        answer.text
    );
    match &step.expect {
        Expect::Anything => {}
        Expect::Nothing => ensure!(answer.text.is_empty(), "{place}: {}", answer.text),
        Expect::Exactly(wanted) => {
            let (found, wanted) = (answer.json()?, named(wanted, name)?);
            ensure!(found == wanted, "{place}: {found} instead of {wanted}");
        }
        Expect::With(wanted) => {
            let (found, wanted) = (answer.json()?, named(wanted, name)?);
            ensure!(has(&found, &wanted), "{place}: {wanted} is not in {found}");
        }
    }
    Ok(())
}

/// Takes the steps on every broker.
pub(super) fn run(steps: &[Step]) -> Result<()> {
    for api in Api::all()? {
        let name = unique();
        for step in steps {
            let path = step.path.replace("{n}", &name);
            let body = step.body.as_ref().map(|body| named(body, &name));
            let body = body.transpose()?.map(|body| match body {
                Value::String(text) => text,
                other => other.to_string(),
            });
            let body = body.as_deref().map_or(Body::Nothing, Body::Text);
            let answer = api.ask(step.method, &path, body)?;
            check(&api, step, &name, &answer)?;
        }
    }
    Ok(())
}

/// Spec 10.1.2. Spec 10.1.3. Spec 10.2.
#[test]
fn queues_are_made_shown_and_removed() -> Result<()> {
    let queue = "/api/queues/%2F/{n}";
    let limited =
        json!({ "durable": true, "arguments": { "x-max-length": 5, "x-expires": 60000 } });
    run(&[
        step("GET", queue, None, 404).exactly(not_found()),
        step("DELETE", queue, None, 404).exactly(not_found()),
        step("PUT", queue, Some(limited.clone()), 201),
        step("PUT", queue, Some(limited), 204),
        step("PUT", queue, Some(json!({ "durable": false })), 400).error(
            "bad_request",
            "inequivalent arg 'durable' for queue '{n}' in vhost '/': received 'false' but current \
             is 'true'",
        ),
        step("PUT", queue, Some(json!({ "durable": "x" })), 400)
            .error("bad_request", json!(["not_boolean", "x"])),
        step("GET", queue, None, 200).with(json!({
            "name": "{n}", "vhost": "/", "durable": true, "auto_delete": false,
            "exclusive": false, "type": "classic", "state": "running",
            "arguments": { "x-max-length": 5, "x-expires": 60000, "x-queue-type": "classic" },
        })),
        step(
            "GET",
            "/api/queues/%2F?page=1&name={n}&columns=name,vhost",
            None,
            200,
        )
        .with(json!({
            "item_count": 1, "filtered_count": 1, "page": 1, "page_size": 100, "page_count": 1,
            "items": [{ "name": "{n}", "vhost": "/" }],
        })),
        step("GET", "/api/queues/%2F/{n}/bindings", None, 200).exactly(json!([{
            "source": "", "vhost": "/", "destination": "{n}", "destination_type": "queue",
            "routing_key": "{n}", "arguments": {}, "properties_key": "{n}",
        }])),
        step("DELETE", "/api/queues/%2F/{n}/contents", None, 204),
        step(
            "POST",
            "/api/queues/%2F/{n}/actions",
            Some(json!({ "action": "sync" })),
            400,
        )
        .error("bad_request", json!(["unknown", "sync"])),
        step("DELETE", queue, None, 204),
        step("GET", queue, None, 404).exactly(not_found()),
    ])
}

/// Spec 10.1.2. Spec 10.1.4.
#[test]
fn declarations_that_make_no_sense_are_refused_in_the_same_words() -> Result<()> {
    let queue = "/api/queues/%2F/{n}";
    run(&[
        step("PUT", queue, Some("{".into()), 400).error("bad_request", "not_json"),
        step("PUT", queue, Some(json!([])), 400).error("bad_request", "not_json"),
        step("PUT", queue, Some("\"text\"".into()), 400).error(
            "bad_request",
            "invalid payload: the request body JSON-decoded to a string. Is the input \
             doubly-JSON-encoded?",
        ),
        step(
            "PUT",
            queue,
            Some(json!({ "arguments": { "x": null } })),
            400,
        )
        .error("bad_request", "null_not_allowed"),
        step(
            "PUT",
            queue,
            Some(json!({ "arguments": { "x-max-length": "5" } })),
            400,
        )
        .error(
            "bad_request",
            "invalid arg 'x-max-length' for queue '{n}' in vhost '/': \"expected integer, got \
             longstr\"",
        ),
        step("PUT", queue, Some(json!({ "node": "elsewhere" })), 400)
            .error("bad_request", "Node elsewhere is not a cluster member"),
        step("PUT", "/api/queues/%2F/amq.{n}", Some(json!({})), 401)
            .error("not_authorised", "Access refused."),
        step(
            "PUT",
            "/api/exchanges/%2F/amq.{n}",
            Some(json!({ "type": "direct" })),
            401,
        )
        .error("not_authorised", "Access refused."),
        step(
            "PUT",
            "/api/exchanges/%2F/{n}",
            Some(json!({ "type": "no-such" })),
            400,
        )
        .error("bad_request", "unknown exchange type 'no-such'"),
        step("DELETE", "/api/exchanges/%2F/amq.topic", None, 401)
            .error("not_authorised", "Access refused."),
        step("PUT", "/api/queues/no-such-host/{n}", Some(json!({})), 404)
            .error("not_found", "vhost_not_found"),
        step("PATCH", queue, None, 405),
        step("GET", "/api/no-such-thing", None, 404).exactly(not_found()),
    ])
}

/// Spec 10.2.
#[test]
fn exchanges_are_made_shown_and_removed() -> Result<()> {
    let exchange = "/api/exchanges/%2F/{n}";
    run(&[
        step(
            "PUT",
            exchange,
            Some(json!({ "type": "topic", "durable": true })),
            201,
        ),
        step(
            "PUT",
            exchange,
            Some(json!({ "type": "topic", "durable": true })),
            204,
        ),
        step(
            "PUT",
            exchange,
            Some(json!({ "type": "direct", "durable": true })),
            400,
        )
        .error(
            "bad_request",
            "inequivalent arg 'type' for exchange '{n}' in vhost '/': received 'direct' but \
             current is 'topic'",
        ),
        step("GET", exchange, None, 200).with(json!({
            "name": "{n}", "vhost": "/", "type": "topic", "durable": true, "auto_delete": false,
            "internal": false, "arguments": {}, "incoming": [], "outgoing": [],
        })),
        step(
            "GET",
            "/api/exchanges/%2F/{n}/bindings/destination",
            None,
            200,
        )
        .exactly(json!([])),
        step("DELETE", exchange, None, 204),
    ])
}

/// Spec 10.2.
#[test]
fn bindings_are_made_shown_and_removed() -> Result<()> {
    let exchange = "/api/exchanges/%2F/{n}";
    let between = "/api/bindings/%2F/e/{n}/q/{n}";
    run(&[
        step("PUT", exchange, Some(json!({ "type": "topic" })), 201),
        step("PUT", "/api/queues/%2F/{n}", Some(json!({})), 201),
        step("POST", between, Some(json!({ "routing_key": "a.*" })), 201),
        step("POST", between, Some(json!({ "routing_key": "a.*" })), 201),
        step("POST", between, Some(json!({})), 201),
        step("GET", between, None, 200).exactly(json!([
            {
                "source": "{n}", "vhost": "/", "destination": "{n}", "destination_type": "queue",
                "routing_key": "", "arguments": {}, "properties_key": "~",
            },
            {
                "source": "{n}", "vhost": "/", "destination": "{n}", "destination_type": "queue",
                "routing_key": "a.*", "arguments": {}, "properties_key": "a.%2A",
            },
        ])),
        step("GET", "/api/bindings/%2F/e/{n}/q/{n}/a.%2A", None, 200)
            .with(json!({ "routing_key": "a.*" })),
        step("GET", "/api/bindings/%2F/e/{n}/q/{n}/~", None, 200)
            .with(json!({ "routing_key": "" })),
        step(
            "GET",
            "/api/exchanges/%2F/{n}/bindings/source?columns=routing_key",
            None,
            200,
        )
        .exactly(json!([{ "routing_key": "" }, { "routing_key": "a.*" }])),
        step("DELETE", "/api/exchanges/%2F/{n}?if-unused=true", None, 400)
            .error("bad_request", "exchange '{n}' in vhost '/' in use"),
        step(
            "DELETE",
            "/api/bindings/%2F/e/{n}/q/{n}/no-such-key",
            None,
            404,
        )
        .exactly(not_found()),
        step("DELETE", "/api/bindings/%2F/e/{n}/q/{n}/a.%2A", None, 204),
        step("DELETE", "/api/bindings/%2F/e/{n}/q/{n}/~", None, 204),
        step("GET", between, None, 200).exactly(json!([])),
        step("DELETE", exchange, None, 204),
        step("DELETE", "/api/queues/%2F/{n}", None, 204),
    ])
}

/// Spec 10.2.
#[test]
fn bindings_need_both_ends_and_may_join_exchanges() -> Result<()> {
    let exchange = "/api/exchanges/%2F/{n}";
    run(&[
        step("PUT", exchange, Some(json!({ "type": "topic" })), 201),
        step("PUT", "/api/queues/%2F/{n}", Some(json!({})), 201),
        step(
            "POST",
            "/api/bindings/%2F/e/{n}/q/no-such-queue",
            Some(json!({})),
            404,
        )
        .error("not_found", "no queue 'no-such-queue' in vhost '/'"),
        step(
            "POST",
            "/api/bindings/%2F/e/no-such-exchange/q/{n}",
            Some(json!({})),
            404,
        )
        .error("not_found", "no exchange 'no-such-exchange' in vhost '/'"),
        step(
            "POST",
            "/api/bindings/%2F/e/{n}/e/amq.topic",
            Some(json!({ "routing_key": "k" })),
            201,
        ),
        step("GET", "/api/bindings/%2F/e/{n}/e/amq.topic", None, 200)
            .with(json!([{ "destination": "amq.topic", "destination_type": "exchange" }])),
        step("DELETE", exchange, None, 204),
        step("DELETE", "/api/queues/%2F/{n}", None, 204),
    ])
}

/// Spec 10.1.5.
#[test]
fn lists_are_paged_filtered_and_sorted() -> Result<()> {
    let page = |query: &'static str| format!("/api/exchanges/%2F?columns=name&{query}");
    let query = |text: &'static str, status| {
        let path: &'static str = page(text).leak();
        step("GET", path, None, status)
    };
    let bad = |number: &str, size: &str| {
        format!("Invalid pagination parameters: page number {number}, page size {size}")
    };
    let invalid = "invalid_pagination_parameters";
    run(&[
        query("page=1&page_size=2&name=amq.HEAD", 200).with(json!({
            "filtered_count": 1, "item_count": 1, "page": 1, "page_count": 1, "page_size": 2,
            "items": [{ "name": "amq.headers" }],
        })),
        query("page=1&use_regex=true&name=^amq.(to|di).*t$", 200)
            .with(json!({ "items": [{ "name": "amq.direct" }] })),
        query("page=1&use_regex=true&name=(", 200).with(json!({ "items": [], "page_count": 0 })),
        query("page=1&name=no-such-exchange", 200).with(json!({ "items": [], "page_count": 0 })),
        query("page=1&name=amq.t&sort=name&sort_reverse=true", 200)
            .with(json!({ "items": [{ "name": "amq.topic" }] })),
        query("page=0", 400).error(invalid, bad("0", "undefined")),
        query("page=-1", 400).error(invalid, bad("-1", "undefined")),
        query("page=1&page_size=0", 400).error(invalid, bad("1", "0")),
        query("page=1&page_size=501", 400).error(invalid, bad("1", "501")),
        query("page=x", 400).error("bad_request", "Pagination parameters are invalid"),
        query("page=2&name=amq.topic", 400).error(
            "page_out_of_range",
            "Page out of range, page: 2 page size: 100, len: 1",
        ),
    ])
}

/// Spec 10.2: what tools poll although nothing is there.
#[test]
fn questions_about_the_broker_are_answered() -> Result<()> {
    run(&[
        step("GET", "/api/aliveness-test/%2F", None, 200).exactly(json!({ "status": "ok" })),
        step("GET", "/api/aliveness-test/no-such-host", None, 404).exactly(not_found()),
        step("GET", "/api/healthchecks/node", None, 200).exactly(json!({ "status": "ok" })),
        step("GET", "/api/healthchecks/node/elsewhere", None, 404).exactly(not_found()),
        step("GET", "/api/nodes/elsewhere", None, 404).exactly(not_found()),
        step(
            "GET",
            "/api/health/checks/certificate-expiration/1/weeks",
            None,
            200,
        )
        .exactly(json!({ "status": "ok" })),
        step(
            "GET",
            "/api/health/checks/certificate-expiration/x/weeks",
            None,
            400,
        )
        .error("bad_request", "Invalid expiration value."),
        step(
            "GET",
            "/api/health/checks/certificate-expiration/1/moons",
            None,
            400,
        )
        .error(
            "bad_request",
            "Time unit not recognised. Supported units: days, weeks, months, years.",
        ),
        step("GET", "/api/channels/no-such-channel", None, 404).exactly(not_found()),
        step("GET", "/api/connections/no-such-connection", None, 404).exactly(not_found()),
        step("DELETE", "/api/connections/no-such-connection", None, 404).exactly(not_found()),
        step("GET", "/api/connections/username/no-such-user", None, 200).exactly(json!([])),
        step("GET", "/api/consumers/no-such-host", None, 404).exactly(not_found()),
        step("GET", "/api/bindings/no-such-host", None, 404).exactly(not_found()),
        step("GET", "/api/whoami", None, 200).with(json!({ "name": "guest" })),
        step("POST", "/api/rebalance/queues", Some(json!({})), 204),
    ])
}

/// Spec 10.1.5: a slash at the end changes nothing, and `HEAD` and `OPTIONS` are answered.
#[test]
fn paths_and_methods_are_taken_generously() -> Result<()> {
    for api in Api::all()? {
        assert_eq!(
            api.get("/api/exchanges/%2F/amq.topic/")?.status,
            200,
            "{}",
            api.name
        );
        let head = api.ask("HEAD", "/api/exchanges/%2F/amq.topic", Body::Nothing)?;
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{}", api.name);
        for (path, allowed) in [
            ("/api/overview", "HEAD, GET, OPTIONS"),
            ("/api/queues/%2F/q", "HEAD, GET, PUT, DELETE, OPTIONS"),
        ] {
            let options = api.ask("OPTIONS", path, Body::Nothing)?;
            assert_eq!(
                (options.status, options.text.as_str()),
                (200, ""),
                "{}",
                api.name
            );
            assert_eq!(options.allow.as_deref(), Some(allowed), "{}", api.name);
            let wrong = api.ask("PATCH", path, Body::Nothing)?;
            assert_eq!((wrong.status, wrong.allow.as_deref()), (405, Some(allowed)));
        }
    }
    Ok(())
}

/// Spec 10.1.3.
#[test]
fn a_new_binding_says_where_it_is() -> Result<()> {
    for api in Api::all()? {
        let name = unique();
        let queue = format!("/api/queues/%2F/{name}");
        api.ask("PUT", &queue, Body::Text("{}"))?;
        let path = format!("/api/bindings/%2F/e/amq.topic/q/{name}");
        let made = api.ask("POST", &path, Body::Text("{\"routing_key\":\"a b\"}"))?;
        let expected = format!("{name}/a%2Bb");
        assert_eq!(
            (made.status, made.location),
            (201, Some(expected)),
            "{}",
            api.name
        );
        assert_eq!(
            api.ask("DELETE", &queue, Body::Nothing)?.status,
            204,
            "{}",
            api.name
        );
    }
    Ok(())
}
