//! Sequences of calls from seeds.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::Call;

const QUEUES: [&str; 3] = ["q0", "q1", "q2"];
const EXCHANGES: [&str; 3] = ["x0", "x1", "x2"];
const USERS: [&str; 2] = ["u0", "u1"];
const POLICIES: [&str; 2] = ["p0", "p1"];

/// Whether this names something of the script's own.
pub(super) fn is_own_name(word: &str) -> bool {
    let digits = word.strip_prefix(['q', 'x', 'u', 'p']);
    digits.is_some_and(|digits| digits.len() == 1 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// What takes back a call that made something.
pub(super) fn undo(call: &Call) -> Option<Call> {
    let made = call.method == "PUT" && !call.path.contains('?');
    made.then(|| Call::new("DELETE", &call.path, None))
}

/// The calls that belong to a seed.
pub(crate) fn calls(seed: u64) -> Vec<Call> {
    let mut caller = Caller(StdRng::seed_from_u64(seed));
    let count = caller.0.random_range(8..20);
    (0..count).map(|_| caller.call()).collect()
}

struct Caller(StdRng);

impl Caller {
    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        let chosen = all.choose(&mut self.0).cloned();
        chosen.expect("nobody picks from nothing")
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.0.random_ratio(1, count)
    }

    fn call(&mut self) -> Call {
        match self.0.random_range(0..20) {
            0..6 => self.queue(),
            6..9 => self.exchange(),
            9..12 => self.binding(),
            12..14 => self.message(),
            14 => self.user(),
            15 => self.permission(),
            16..18 => self.policy(),
            18 => self.list(),
            _ => self.mistake(),
        }
    }

    fn verb(&mut self) -> &'static str {
        self.pick(&["PUT", "PUT", "PUT", "GET", "GET", "DELETE"])
    }

    fn queue(&mut self) -> Call {
        let queue = self.pick(&QUEUES);
        let path = format!("/api/queues/%2F/{queue}");
        match self.0.random_range(0..8) {
            0 => return Call::new("DELETE", &format!("{path}/contents"), None),
            1 => return Call::get(&format!("{path}/bindings")),
            2 => {
                let condition = self.pick(&["?if-empty=true", "?if-unused=true"]);
                return Call::new("DELETE", &format!("{path}{condition}"), None);
            }
            _ => {}
        }
        let verb = self.verb();
        let body = (verb == "PUT").then(|| self.queue_body());
        Call::new(verb, &path, body)
    }

    fn queue_body(&mut self) -> Value {
        let mut body = json!({});
        if !self.one_in(4) {
            body["durable"] = self.pick(&[json!(true), json!(true), json!(false), json!("true")]);
        }
        if self.one_in(4) {
            body["auto_delete"] = json!(self.one_in(3));
        }
        if self.one_in(2) {
            body["arguments"] = self.pick(&[
                json!({"x-message-ttl": 60_000}),
                json!({"x-message-ttl": -1}),
                json!({"x-message-ttl": "1"}),
                json!({"x-max-length": 5, "x-overflow": "reject-publish"}),
                json!({"x-overflow": "drop-tail"}),
                json!({"x-max-priority": 5}),
                json!({"x-max-priority": 256}),
                json!({"x-queue-type": "quorum"}),
                json!({"x-queue-type": "unknown"}),
                json!({"x-dead-letter-exchange": "x0", "x-dead-letter-routing-key": "k"}),
                json!({"x-own": [1, "two", {"three": 3.5}], "x-null": null}),
                json!([]),
                json!({}),
            ]);
        }
        body
    }

    fn exchange(&mut self) -> Call {
        let exchange = self.pick(&EXCHANGES);
        let path = format!("/api/exchanges/%2F/{exchange}");
        if self.one_in(6) {
            let side = self.pick(&["source", "destination"]);
            return Call::get(&format!("{path}/bindings/{side}"));
        }
        let verb = self.verb();
        let body = (verb == "PUT").then(|| {
            let mut body = json!({"durable": !self.one_in(4)});
            if !self.one_in(10) {
                body["type"] = json!(self.pick(&["direct", "fanout", "topic", "headers", "wrong"]));
            }
            if self.one_in(5) {
                body["internal"] = json!(true);
            }
            if self.one_in(5) {
                body["arguments"] = json!({"alternate-exchange": "x1"});
            }
            body
        });
        Call::new(verb, &path, body)
    }

    fn binding(&mut self) -> Call {
        let source = self.pick(&EXCHANGES);
        let (kind, destination) = if self.one_in(3) {
            ("e", self.pick(&EXCHANGES))
        } else {
            ("q", self.pick(&QUEUES))
        };
        let path = format!("/api/bindings/%2F/e/{source}/{kind}/{destination}");
        match self.0.random_range(0..6) {
            0..3 => {
                let key = self.pick(&["", "a", "a.*", "a/b", "~", "#", "ä"]);
                let body = self.pick(&[
                    json!({"routing_key": key}),
                    json!({"routing_key": key, "arguments": {}}),
                    json!({"arguments": {"x-match": "all", "h": 1}}),
                    json!({}),
                ]);
                Call::new("POST", &path, Some(body))
            }
            3 => Call::get(&path),
            _ => {
                let verb = self.pick(&["GET", "DELETE"]);
                let key = self.pick(&["~", "a", "a.%2A", "a%2Fb", "%7E", "%23"]);
                Call::new(verb, &format!("{path}/{key}"), None)
            }
        }
    }

    fn message(&mut self) -> Call {
        if self.one_in(2) {
            let exchange = self.pick(&["x0", "x1", "amq.default"]);
            let body = self.pick(&[
                json!({"properties": {}, "routing_key": "q0", "payload": "hello", "payload_encoding": "string"}),
                json!({"properties": {"delivery_mode": 2, "headers": {"h": 1}, "priority": 3},
                       "routing_key": "q1", "payload": "aGVsbG8=", "payload_encoding": "base64"}),
                json!({"properties": {}, "routing_key": "q0", "payload": "!", "payload_encoding": "base64"}),
                json!({"properties": {}, "routing_key": "q0", "payload": "x", "payload_encoding": "hex"}),
                json!({"routing_key": "q0"}),
            ]);
            let path = format!("/api/exchanges/%2F/{exchange}/publish");
            return Call::new("POST", &path, Some(body));
        }
        let queue = self.pick(&QUEUES);
        let mode = self.pick(&[
            "ack_requeue_true",
            "ack_requeue_false",
            "reject_requeue_true",
            "reject_requeue_false",
            "wrong",
        ]);
        let encoding = self.pick(&["auto", "base64"]);
        let body = json!({"count": self.pick(&[1, 5]), "ackmode": mode, "encoding": encoding});
        Call::new("POST", &format!("/api/queues/%2F/{queue}/get"), Some(body))
    }

    fn user(&mut self) -> Call {
        let path = format!("/api/users/{}", self.pick(&USERS));
        let verb = self.verb();
        let body = (verb == "PUT").then(|| {
            self.pick(&[
                json!({"password": "secret", "tags": "administrator"}),
                json!({"password": "secret", "tags": ["management", "own"]}),
                json!({"password_hash": "", "tags": ""}),
                json!({"password": "secret"}),
                json!({"password": "secret", "password_hash": "x", "tags": ""}),
                json!({"tags": "monitoring"}),
            ])
        });
        Call::new(verb, &path, body)
    }

    fn permission(&mut self) -> Call {
        let user = self.pick(&USERS);
        let verb = self.verb();
        if self.one_in(3) {
            let path = format!("/api/topic-permissions/%2F/{user}");
            let body =
                json!({"exchange": "amq.topic", "write": "^a", "read": self.pick(&[".*", "("])});
            return Call::new(verb, &path, (verb == "PUT").then_some(body));
        }
        let path = format!("/api/permissions/%2F/{user}");
        let body = self.pick(&[
            json!({"configure": ".*", "write": ".*", "read": ".*"}),
            json!({"configure": "", "write": "^q", "read": "("}),
            json!({"configure": ".*", "write": ".*"}),
        ]);
        Call::new(verb, &path, (verb == "PUT").then_some(body))
    }

    fn policy(&mut self) -> Call {
        let noun = self.pick(&["policies", "policies", "operator-policies"]);
        let path = format!("/api/{noun}/%2F/{}", self.pick(&POLICIES));
        let verb = self.verb();
        let body = (verb == "PUT").then(|| {
            let definition = self.pick(&[
                json!({"message-ttl": 60_000}),
                json!({"max-length": 10, "overflow": "reject-publish"}),
                json!({"max-length": -1}),
                json!({"max-length": "10"}),
                json!({"dead-letter-exchange": "x0"}),
                json!({"alternate-exchange": "x1"}),
                json!({"unheard-of": 1}),
                json!({}),
            ]);
            // Only the script's own queues and exchanges: others live in the same virtual host.
            let pattern = self.pick(&["^q0$", "^x0$", "^q1"]);
            let apply_to = self.pick(&["all", "queues", "exchanges", "classic_queues", "wrong"]);
            json!({"pattern": pattern, "definition": definition, "apply-to": apply_to,
                   "priority": self.pick(&[json!(0), json!(7), json!("1")])})
        });
        Call::new(verb, &path, body)
    }

    fn list(&mut self) -> Call {
        Call::get(self.pick(&[
            "/api/queues/%2F",
            "/api/queues",
            "/api/exchanges/%2F",
            "/api/bindings/%2F",
            "/api/users",
            "/api/permissions",
            "/api/policies/%2F",
            "/api/operator-policies",
            "/api/queues/%2F?columns=name,durable&sort=name",
            "/api/whoami",
        ]))
    }

    fn mistake(&mut self) -> Call {
        match self.0.random_range(0..10) {
            0 => Call::get("/api/queues/nowhere"),
            1 => Call::get("/api/queues/nowhere/q0"),
            2 => Call::new("PUT", "/api/queues/nowhere/q0", Some(json!({}))),
            3 => Call::get("/api/queues/%2F?page=0"),
            4 => Call::get("/api/queues/%2F?page=a&page_size=1000"),
            5 => Call::new(
                "PUT",
                "/api/exchanges/%2F/amq.mine",
                Some(json!({"type": "direct"})),
            ),
            6 => Call::new("DELETE", "/api/exchanges/%2F/amq.direct", None),
            7 => Call::new("PUT", "/api/queues/%2F/q0", Some(json!([1]))),
            8 => Call::new("PUT", "/api/queues/%2F/q0", Some(json!("text"))),
            _ => Call::new(
                "PUT",
                "/api/queues/%2F/amq.mine",
                Some(json!({"durable": true})),
            ),
        }
    }
}
