//! Who may do what: every path and method, as a user of each tag, in a virtual host of the user's own and in
//! another one. Both brokers are asked the same, and have to answer with the same status.
//!
//! Whatever is asked for exists before each request, so that a refusal is one and no mere absence.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::client::{Client, Options};
use serde_json::{Value, json};

use super::api::{Api, Body, percent, unique};
use super::routes::ROUTES;

/// A user of each kind, by tags.
const TAGS: [&str; 5] = [
    "",
    "management",
    "policymaker",
    "monitoring",
    "administrator",
];

const PASSWORD: &str = "correct horse";

/// Methods of paths that RabbitMQ is not asked for, and why.
const NOT_ASKED: &[(&str, &str)] = &[
    ("… /api/leveret/…", "Leveret's own"),
    (
        "GET /api/shovels…",
        "RabbitMQ has the path only with the plugin; here it answers that there are none",
    ),
    (
        "GET /api/federation-links…",
        "RabbitMQ has the path only with the plugin; here it answers that there are none",
    ),
];

/// What no administrator is asked to do, since others use the same RabbitMQ: whoever may not do it is refused
/// all the same.
const NOT_DONE: &[&str] = &[
    "DELETE /api/reset",
    "DELETE /api/reset/{node}",
    "DELETE /api/auth/attempts/{node}",
    "DELETE /api/auth/attempts/{node}/source",
];

/// Where statuses differ on purpose: method and path, tags, RabbitMQ's status and Leveret's, and why. Empty tags
/// stand for all.
const DIFFERENCES: &[(&str, &[&str], u16, u16, &str)] = &[];

/// One broker with users and virtual hosts for this test alone.
struct Stage {
    api: Api,
    name: String,
    node: String,
    runtime: tokio::runtime::Runtime,
    clients: [Option<Client>; 2],
}

/// The virtual host of a request: one in which the users have rights, or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Own,
    Other,
}

impl Whose {
    const ALL: [Self; 2] = [Self::Own, Self::Other];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Other => "other",
        }
    }
}

impl Stage {
    fn new(api: Api) -> Result<Self> {
        let node = api.get("/api/overview?columns=node")?.json()?;
        let stage = Self {
            name: unique(),
            node: node["node"].as_str().context("a node")?.to_owned(),
            api,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            clients: [None, None],
        };
        for whose in Whose::ALL {
            stage.make_host(whose)?;
        }
        for tags in TAGS {
            let path = format!("/api/users/{}", stage.user(tags));
            stage.must("PUT", &path, &json!({ "password": PASSWORD, "tags": tags }))?;
        }
        stage.make_victim()?;
        Ok(stage)
    }

    fn user(&self, tags: &str) -> String {
        format!("{}-user-{tags}", self.name)
    }

    fn victim(&self) -> String {
        format!("{}-victim", self.name)
    }

    fn host(&self, whose: Whose) -> String {
        format!("{}-{}", self.name, whose.as_str())
    }

    fn must(&self, method: &str, path: &str, body: &Value) -> Result<()> {
        let answer = self.api.ask(method, path, Body::Text(&body.to_string()))?;
        ensure!(
            (200..300).contains(&answer.status),
            "{} {method} {path}: {} {}",
            self.api.name,
            answer.status,
            answer.text
        );
        Ok(())
    }

    /// The virtual host and all that requests ask for in it.
    fn make_host(&self, whose: Whose) -> Result<()> {
        let host = self.host(whose);
        self.must("PUT", &format!("/api/vhosts/{host}"), &json!({}))?;
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        let mut users = vec!["guest".to_owned()];
        if whose == Whose::Own {
            users.extend(TAGS.map(|tags| self.user(tags)));
        }
        for user in users {
            // On the first time the users are not there yet.
            let path = format!("/api/permissions/{host}/{user}");
            let answer = self.api.ask("PUT", &path, Body::Text(&all.to_string()))?;
            ensure!([201, 204, 400].contains(&answer.status), "{}", answer.text);
        }
        self.make_content(whose)
    }

    fn make_content(&self, whose: Whose) -> Result<()> {
        let host = self.host(whose);
        let policy = json!({ "pattern": "^no-such$", "definition": { "max-length": 5 } });
        for (path, body) in [
            ("queues/{host}/q", json!({})),
            ("exchanges/{host}/x", json!({ "type": "topic" })),
            ("exchanges/{host}/y", json!({ "type": "topic" })),
            ("policies/{host}/p", policy.clone()),
            ("operator-policies/{host}/p", policy),
            ("vhost-limits/{host}/max-queues", json!({ "value": 100 })),
        ] {
            let path = format!("/api/{}", path.replace("{host}", &host));
            self.must("PUT", &path, &body)?;
        }
        for destination in ["q/q", "e/y"] {
            let path = format!("/api/bindings/{host}/e/x/{destination}");
            self.must("POST", &path, &json!({ "routing_key": "k" }))?;
        }
        Ok(())
    }

    /// The user to whom things are done.
    fn make_victim(&self) -> Result<()> {
        let (victim, own) = (self.victim(), self.host(Whose::Own));
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        let topics = json!({ "exchange": "x", "write": ".*", "read": ".*" });
        for (path, body) in [
            (
                format!("users/{victim}"),
                json!({ "password": PASSWORD, "tags": "" }),
            ),
            (format!("permissions/{own}/{victim}"), all.clone()),
            (
                format!("permissions/{}/{victim}", self.host(Whose::Other)),
                all,
            ),
            (
                format!("topic-permissions/{}/{victim}", self.host(Whose::Other)),
                topics.clone(),
            ),
            (format!("topic-permissions/{own}/{victim}"), topics),
            (
                format!("user-limits/{victim}/max-channels"),
                json!({ "value": 100 }),
            ),
            (format!("global-parameters/{victim}"), json!({ "value": 1 })),
        ] {
            self.must("PUT", &format!("/api/{path}"), &body)?;
        }
        Ok(())
    }

    /// Makes up for what a request has removed.
    fn mend(&mut self, path: &str, whose: Whose) -> Result<()> {
        if path.contains("/connections/username/") {
            self.clients = [None, None];
        } else if path.contains("/connections/") {
            self.clients[whose as usize] = None;
        } else if path == "/api/vhosts/{vhost}" {
            self.make_host(whose)?;
            self.make_victim()?;
        } else if path.contains("/vhosts/") {
            let path = format!("/api/vhosts/{}/deletion/protection", self.host(whose));
            self.api.ask("DELETE", &path, Body::Nothing)?;
        } else if path.contains("user") || path.contains("permissions") || path.contains("global") {
            self.make_victim()?;
        } else {
            self.make_content(whose)?;
        }
        Ok(())
    }

    /// The name of a connection into a virtual host, which is there until somebody closes it.
    fn connection(&mut self, whose: Whose) -> Result<String> {
        let host = self.host(whose);
        let path = format!("/api/connections/username/{}", self.victim());
        if self.clients[whose as usize].is_none() {
            let options = Options {
                virtual_host: Some(host.clone()),
                response: Some(format!("\0{}\0{PASSWORD}", self.victim()).into_bytes()),
                ..Options::default()
            };
            let client = self.runtime.block_on(async {
                let mut client = Client::connect(&self.api.amqp, &options).await?;
                client.open(1).await?;
                anyhow::Ok(client)
            })?;
            self.clients[whose as usize] = Some(client);
        }
        // It is listed a little later than it is open, and so are its channels.
        for _ in 0..200 {
            let all = self.api.get(&path)?.json()?;
            let own = all.as_array().context("a list")?.iter();
            let own = own.filter(|connection| connection["vhost"] == *host);
            let names: Vec<_> = own.filter_map(|own| own["name"].as_str()).collect();
            if let [name] = names[..] {
                let channel = format!("/api/channels/{}", percent(&format!("{name} (1)")));
                if self.api.get(&channel)?.status == 200 {
                    return Ok(percent(name));
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        anyhow::bail!("{}: the connection is not listed", self.api.name)
    }

    /// The path with names for its parameters.
    fn filled(&mut self, path: &str, whose: Whose) -> Result<String> {
        let port = self
            .api
            .base
            .rsplit(':')
            .next()
            .context("a port")?
            .to_owned();
        let mut filled = String::new();
        for segment in path.split('/').skip(1) {
            filled.push('/');
            filled.push_str(&match segment {
                "{vhost}" | "{host}" => self.host(whose),
                "{user}" => self.victim(),
                "{queue}" => "q".to_owned(),
                "{exchange}" => "x".to_owned(),
                "{destination}" if path.contains("/q/") => "q".to_owned(),
                "{destination}" => "y".to_owned(),
                "{properties}" => "k".to_owned(),
                "{policy}" => "p".to_owned(),
                "{component}" => "vhost-limits".to_owned(),
                "{name}" if path.contains("global") => self.victim(),
                "{name}" => "limits".to_owned(),
                "{limit}" if path.contains("user") => "max-channels".to_owned(),
                "{limit}" => "max-queues".to_owned(),
                "{connection}" => self.connection(whose)?,
                "{channel}" => format!("{}%20%281%29", self.connection(whose)?),
                "{node}" => self.node.clone(),
                "{port}" => port.clone(),
                "{protocols}" => "amqp".to_owned(),
                "{within}" => "1".to_owned(),
                "{unit}" => "days".to_owned(),
                "{password}" => "secret".to_owned(),
                other if other.starts_with('{') => anyhow::bail!("{path}: what is {other}?"),
                other => other.to_owned(),
            });
        }
        Ok(filled)
    }

    fn body(&self, method: &str, path: &str) -> Result<Option<Value>> {
        let kind = path.split('/').nth(2).unwrap_or_default();
        Ok(Some(match (method, kind) {
            ("GET" | "DELETE", _) => return Ok(None),
            ("PUT", "users") => json!({ "password": PASSWORD, "tags": "" }),
            ("PUT", "permissions") => json!({ "configure": "a", "write": "a", "read": "a" }),
            ("PUT", "topic-permissions") => json!({ "exchange": "x", "write": "a", "read": "a" }),
            ("PUT", "vhost-limits" | "user-limits") => json!({ "value": 90 }),
            ("PUT", "policies" | "operator-policies") => {
                json!({ "pattern": "^no-such$", "definition": { "max-length": 6 } })
            }
            ("PUT", "parameters") => json!({ "value": { "max-queues": 80 } }),
            ("PUT", "global-parameters") => json!({ "value": 2 }),
            ("PUT", "exchanges") => json!({ "type": "topic" }),
            ("PUT", "cluster-name") => self.api.get("/api/cluster-name")?.json()?,
            ("POST", "users") => json!({ "users": [self.victim()] }),
            ("POST", "bindings") => json!({ "routing_key": "new" }),
            ("POST", "exchanges") => json!({
                "properties": {}, "routing_key": "new", "payload": "p", "payload_encoding": "string",
            }),
            ("POST", "queues") if path.ends_with("get") => {
                json!({ "count": 1, "ackmode": "ack_requeue_true", "encoding": "auto" })
            }
            ("POST", "queues") => json!({ "action": "sync" }),
            _ => json!({}),
        }))
    }

    /// Asks as the user with these tags; the status.
    fn ask(&mut self, method: &str, path: &str, tags: &str, whose: Whose) -> Result<u16> {
        let filled = self.filled(path, whose)?;
        let body = self.body(method, path)?.map(|body| body.to_string());
        let body = body.as_deref().map_or(Body::Nothing, Body::Text);
        let login = format!("{}:{PASSWORD}", self.user(tags));
        let mut answer = self.api.ask_as(&login, method, &filled, body)?;
        // Where RabbitMQ looks at what is just coming or going, it may fail. That is no answer.
        for _ in 0..20 {
            if answer.status < 500 || self.api.name == "Leveret" {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            answer = self.api.ask_as(&login, method, &filled, body)?;
        }
        if method != "GET" && (200..300).contains(&answer.status) {
            self.mend(path, whose)?;
        }
        Ok(answer.status)
    }

    fn clean_up(mut self) -> Result<()> {
        self.clients = [None, None];
        for whose in Whose::ALL {
            let path = format!("/api/vhosts/{}", self.host(whose));
            self.api.ask("DELETE", &path, Body::Nothing)?;
        }
        let victim = self.victim();
        let path = format!("/api/global-parameters/{victim}");
        self.api.ask("DELETE", &path, Body::Nothing)?;
        for user in TAGS.map(|tags| self.user(tags)).into_iter().chain([victim]) {
            self.api
                .ask("DELETE", &format!("/api/users/{user}"), Body::Nothing)?;
        }
        Ok(())
    }
}

/// Whether `pattern`, with `…` for anything at its ends, is this.
fn covers(pattern: &str, call: &str) -> bool {
    let (method, path) = pattern.split_once(' ').unwrap_or_default();
    let (of_call, called) = call.split_once(' ').unwrap_or_default();
    let path_fits = path
        .strip_suffix('…')
        .map_or(path == called, |start| called.starts_with(start));
    (method == "…" || method == of_call) && path_fits
}

/// The statuses of everything that both are asked, and of what only Leveret is asked.
fn compare(ours: &mut Stage, theirs: &mut Option<Stage>) -> Result<Vec<String>> {
    let mut different = Vec::new();
    let mut used = BTreeSet::new();
    for (method, path, gate) in ROUTES {
        let call = format!("{method} {path}");
        let both = !NOT_ASKED.iter().any(|(pattern, _)| covers(pattern, &call));
        let names_host = path.contains("{vhost}") || path.contains("{host}");
        let names_host = names_host || path.contains("{connection}") || path.contains("{channel}");
        for tags in TAGS {
            if tags == "administrator" && NOT_DONE.contains(&call.as_str()) {
                continue;
            }
            for whose in Whose::ALL.into_iter().take(1 + usize::from(names_host)) {
                let our = ours.ask(method, path, tags, whose)?;
                let place = format!("{call} as '{tags}', {whose:?} virtual host");
                let may_not = (tags.is_empty() && *gate != "anybody")
                    || (*gate == "administrator" && tags != "administrator");
                ensure!(!may_not || our == 401, "{place}: {our}");
                let (Some(theirs), true) = (theirs.as_mut(), both) else {
                    continue;
                };
                let their = theirs.ask(method, path, tags, whose)?;
                let known = DIFFERENCES
                    .iter()
                    .position(|(known, of, rabbitmq, leveret, _)| {
                        covers(known, &call)
                            && (of.is_empty() || of.contains(&tags))
                            && (*rabbitmq, *leveret) == (their, our)
                    });
                match known {
                    Some(known) => drop(used.insert(known)),
                    None if our == their => {}
                    None => different.push(format!("{place}: RabbitMQ {their}, Leveret {our}")),
                }
            }
        }
    }
    let unused = |place: &usize| theirs.is_some() && !used.contains(place);
    for place in (0..DIFFERENCES.len()).filter(unused) {
        different.push(format!("{:?} is no difference", DIFFERENCES[place].0));
    }
    Ok(different)
}

/// Spec 10.1.1. Spec 10.2. Spec 8.3.1. Spec 13.15.
#[test]
fn everybody_may_do_what_rabbitmq_lets_them_do() -> Result<()> {
    let mut ours = Stage::new(Api::leveret()?)?;
    let mut theirs = match Api::rabbitmq()? {
        Some(api) => Some(Stage::new(api)?),
        None => {
            eprintln!("SKIPPED: who may do what on RabbitMQ: no URL is given");
            None
        }
    };
    let different = compare(&mut ours, &mut theirs);
    ours.clean_up()?;
    theirs.map_or(Ok(()), Stage::clean_up)?;
    let different = different?;
    ensure!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}
