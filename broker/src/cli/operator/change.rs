//! What each verb that changes something asks of the HTTP API. Pure: a request for a verb.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::api::{Request, path};
use super::verb;

/// Makes a virtual host.
pub(crate) fn add_virtual_host(host: &verb::NewVirtualHost) -> Request {
    let mut body = json!({});
    let fields = [
        ("description", &host.description),
        ("tags", &host.tags),
        ("default_queue_type", &host.default_queue_type),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    Request::put(path(&["vhosts", &host.name]), body)
}

/// Makes a user without tags.
pub(crate) fn add_user(name: &str, password: &str) -> Request {
    let body = json!({ "password": password, "tags": "" });
    Request::put(path(&["users", name]), body)
}

/// Changes what a user has, and keeps the rest of `user`, which the API has told.
pub(crate) fn change_user(user: &Value, change: UserChange<'_>) -> anyhow::Result<Request> {
    let name = user
        .get("name")
        .and_then(Value::as_str)
        .context("a user has a name")?;
    let mut body = json!({ "tags": joined(user.get("tags")) });
    match change {
        UserChange::Password(password) => body["password"] = json!(password),
        UserChange::Tags(tags) => {
            body["tags"] = json!(tags.join(","));
            for field in ["password_hash", "hashing_algorithm"] {
                body[field] = user.get(field).cloned().unwrap_or(Value::Null);
            }
        }
    }
    Ok(Request::put(path(&["users", name]), body))
}

/// What changes of a user.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UserChange<'a> {
    Password(&'a str),
    Tags(&'a [String]),
}

/// Tags come as a list, and from old brokers as one text.
fn joined(tags: Option<&Value>) -> String {
    match tags {
        Some(Value::Array(tags)) => {
            let tags: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
            tags.join(",")
        }
        Some(Value::String(tags)) => tags.clone(),
        _ => String::new(),
    }
}

/// Lets a user into a virtual host.
pub(crate) fn set_permissions(host: &str, asked: &verb::Permissions) -> Request {
    let body = json!({
        "configure": asked.configure, "write": asked.write, "read": asked.read,
    });
    Request::put(path(&["permissions", host, &asked.user]), body)
}

/// Narrows rights on a topic exchange.
pub(crate) fn set_topic_permissions(host: &str, asked: &verb::TopicPermissions) -> Request {
    let body = json!({
        "exchange": asked.exchange, "write": asked.write, "read": asked.read,
    });
    Request::put(path(&["topic-permissions", host, &asked.user]), body)
}

/// Takes topic permissions away, on one exchange or on all.
pub(crate) fn clear_topic_permissions(host: &str, asked: &verb::ClearTopicPermissions) -> Request {
    let mut segments = vec!["topic-permissions", host, &asked.user];
    segments.extend(asked.exchange.as_deref());
    Request::delete(path(&segments))
}

/// Sets a policy; `kind` is `policies` or `operator-policies`.
pub(crate) fn set_policy(kind: &str, host: &str, policy: &verb::Policy) -> anyhow::Result<Request> {
    let body = json!({
        "pattern": policy.pattern,
        "definition": parsed("the definition", &policy.definition)?,
        "priority": policy.priority,
        "apply-to": policy.apply_to,
    });
    Ok(Request::put(path(&[kind, host, &policy.name]), body))
}

/// Sets a runtime parameter.
pub(crate) fn set_parameter(host: &str, asked: &verb::Parameter) -> anyhow::Result<Request> {
    let body = json!({
        "component": asked.component,
        "vhost": host,
        "name": asked.name,
        "value": parsed("the value", &asked.value)?,
    });
    let path = path(&["parameters", &asked.component, host, &asked.name]);
    Ok(Request::put(path, body))
}

/// Sets a global parameter.
pub(crate) fn set_global_parameter(asked: &verb::GlobalParameter) -> anyhow::Result<Request> {
    let body = json!({ "name": asked.name, "value": parsed("the value", &asked.value)? });
    Ok(Request::put(
        path(&["global-parameters", &asked.name]),
        body,
    ))
}

/// Sets limits one by one; `noun` is `vhost-limits` or `user-limits`.
pub(crate) fn set_limits(noun: &str, of: &str, definition: &str) -> anyhow::Result<Vec<Request>> {
    let limits = parsed("the definition", definition)?;
    let limits = limits
        .as_object()
        .context("the definition is no JSON object")?;
    let requests = limits
        .iter()
        .map(|(name, value)| Request::put(path(&[noun, of, name]), json!({ "value": value })));
    Ok(requests.collect())
}

/// Removes limits; a limit that is not set is no mistake.
pub(crate) fn clear_limits(noun: &str, of: &str, names: &[&str]) -> Vec<Request> {
    let requests = names
        .iter()
        .map(|name| Request::delete(path(&[noun, of, name])));
    requests.collect()
}

/// Gives the cluster another name.
pub(crate) fn set_cluster_name(name: &str) -> Request {
    Request::put(path(&["cluster-name"]), json!({ "name": name }))
}

/// Sets how much memory is too much: a part of it, or `absolute` and an amount.
pub(crate) fn set_memory_watermark(words: &[String]) -> anyhow::Result<Request> {
    let limit = match words {
        [part] => relative(part)?,
        [word, amount] if word == "absolute" => json!({ "absolute": bytes(amount)? }),
        _ => bail!("the limit is a part of the memory, or 'absolute' and an amount"),
    };
    Ok(watermarks(json!({ "memory": limit })))
}

/// Sets how much disk space is too little: an amount, or `mem_relative` and a factor.
pub(crate) fn set_disk_free_limit(words: &[String]) -> anyhow::Result<Request> {
    let limit = match words {
        [amount] => json!({ "absolute": bytes(amount)? }),
        [word, part] if word == "mem_relative" => relative(part)?,
        _ => bail!("the limit is an amount, or 'mem_relative' and a factor"),
    };
    Ok(watermarks(json!({ "disk_free": limit })))
}

fn watermarks(body: Value) -> Request {
    Request::put(path(&["leveret", "watermarks"]), body)
}

fn relative(text: &str) -> anyhow::Result<Value> {
    let part: f64 = text
        .parse()
        .with_context(|| format!("{text:?} is no number"))?;
    if !part.is_finite() || part < 0.0 {
        bail!("{text:?} is no part of anything");
    }
    Ok(json!({ "relative": part }))
}

/// An amount with one of RabbitMQ's units: `kB`, `MB`, `GB`, `TB` are powers of 1000; with an `i`, or the
/// letter alone, powers of 1024.
fn bytes(text: &str) -> anyhow::Result<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let power = |letter: &str| "kmgt".find(letter).map_or(0, |place| place as u32 + 1);
    let factor = match unit.as_str() {
        "" | "b" => Some(1),
        "kb" | "mb" | "gb" | "tb" => Some(1_000_u64.pow(power(&unit[..1]))),
        "k" | "m" | "g" | "t" | "kib" | "mib" | "gib" | "tib" => {
            Some(1_024_u64.pow(power(&unit[..1])))
        }
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    let bytes = number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor));
    bytes.with_context(|| format!("{text:?} is no amount of bytes"))
}

/// Deletes a queue.
pub(crate) fn delete_queue(host: &str, asked: &verb::DeleteQueue) -> Request {
    let conditions = [("if-empty", asked.if_empty), ("if-unused", asked.if_unused)];
    let wanted: Vec<String> = conditions
        .iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(name, _)| format!("{name}=true"))
        .collect();
    let path = path(&["queues", host, &asked.queue]);
    Request::delete(if wanted.is_empty() {
        path
    } else {
        format!("{path}?{}", wanted.join("&"))
    })
}

/// Closes a connection; its client is told `reason`.
pub(crate) fn close_connection(name: &str, reason: &str) -> Request {
    Request {
        // A header holds no line breaks.
        reason: Some(reason.replace(['\r', '\n'], " ")),
        ..Request::delete(path(&["connections", name]))
    }
}

fn parsed(what: &str, json: &str) -> anyhow::Result<Value> {
    serde_json::from_str(json).with_context(|| format!("{what} is no JSON: {json}"))
}

#[cfg(test)]
mod tests {
    use super::super::api::Method;
    use super::*;

    #[test]
    fn a_users_tags_stay_when_the_password_changes_and_the_other_way_round() {
        let user = json!({
            "name": "ada", "tags": ["monitoring", "x"], "password_hash": "h",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
        });
        let request = change_user(&user, UserChange::Password("new")).expect("it has a name");
        assert_eq!(
            request.body,
            Some(json!({ "tags": "monitoring,x", "password": "new" }))
        );
        let tags = ["administrator".to_owned()];
        let request = change_user(&user, UserChange::Tags(&tags)).expect("it has a name");
        let body = request.body.expect("a body");
        assert_eq!(
            (&body["tags"], &body["password_hash"]),
            (&json!("administrator"), &json!("h"))
        );
        assert!(body.get("password").is_none());
    }

    #[test]
    fn conditions_of_a_deletion_are_part_of_the_path() {
        let asked = |if_empty, if_unused| verb::DeleteQueue {
            queue: "a b".to_owned(),
            if_empty,
            if_unused,
        };
        let request = delete_queue("/", &asked(true, true));
        assert_eq!(request.method, Method::Delete);
        assert_eq!(
            request.path,
            "queues/%2F/a%20b?if-empty=true&if-unused=true"
        );
        assert_eq!(
            delete_queue("/", &asked(false, false)).path,
            "queues/%2F/a%20b"
        );
    }

    #[test]
    fn watermarks_are_said_as_rabbitmqctl_says_them() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let body = |request: anyhow::Result<Request>| request.ok().and_then(|request| request.body);
        for (said, asked) in [
            ("0.4", Some(json!({ "memory": { "relative": 0.4 } }))),
            (
                "absolute 2GB",
                Some(json!({ "memory": { "absolute": 2_000_000_000_u64 } })),
            ),
            ("absolute 1 GiB", None),
            (
                "absolute 64M",
                Some(json!({ "memory": { "absolute": 64 << 20 } })),
            ),
            ("-1", None),
            ("absolute 5 five", None),
            ("absolute 99999999999TB", None),
        ] {
            assert_eq!(body(set_memory_watermark(&words(said))), asked, "{said}");
        }
        for (said, asked) in [
            ("5000", Some(json!({ "disk_free": { "absolute": 5_000 } }))),
            ("1kB", Some(json!({ "disk_free": { "absolute": 1_000 } }))),
            (
                "mem_relative 1.5",
                Some(json!({ "disk_free": { "relative": 1.5 } })),
            ),
            ("half", None),
        ] {
            assert_eq!(body(set_disk_free_limit(&words(said))), asked, "{said}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_before_anybody_is_asked() {
        assert!(set_limits("vhost-limits", "/", "[1]").is_err());
        assert!(set_limits("vhost-limits", "/", "{").is_err());
        let requests = set_limits("vhost-limits", "/", r#"{"max-queues": 3}"#).expect("an object");
        assert_eq!(requests[0].path, "vhost-limits/%2F/max-queues");
    }
}
