//! What each verb that changes something asks of the HTTP API. Pure: a request for a verb.

use anyhow::Context as _;
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
    fn what_is_no_json_is_refused_before_anybody_is_asked() {
        assert!(set_limits("vhost-limits", "/", "[1]").is_err());
        assert!(set_limits("vhost-limits", "/", "{").is_err());
        let requests = set_limits("vhost-limits", "/", r#"{"max-queues": 3}"#).expect("an object");
        assert_eq!(requests[0].path, "vhost-limits/%2F/max-queues");
    }
}
