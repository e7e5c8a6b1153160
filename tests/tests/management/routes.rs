//! Every path and method, and whom it is for: one table, compared with what the broker has.
//!
//! A route without a row here fails, and so does a row without a route. The same table says who may
//! do what.

use anyhow::{Context as _, Result, ensure};

use super::api::{Api, Body};

/// Whom a route is for; the words are those of `/api/leveret/routes`.
///
/// `anybody`: without a login. `management`: whoever has one of management's tags, and may enter the
/// virtual host if the path names one. `visible`: the same, and administrators; `watched`: the same, and
/// monitors. `monitoring`, `policymaker`, `administrator`: whoever has that tag, or that of an administrator.
pub(crate) const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/api/auth/hash_password/{password}", "administrator"),
    ("GET", "/api/users", "administrator"),
    ("GET", "/api/users/without-permissions", "administrator"),
    ("POST", "/api/users/bulk-delete", "administrator"),
    ("GET", "/api/users/{user}", "administrator"),
    ("PUT", "/api/users/{user}", "administrator"),
    ("DELETE", "/api/users/{user}", "administrator"),
    ("GET", "/api/users/{user}/permissions", "administrator"),
    (
        "GET",
        "/api/users/{user}/topic-permissions",
        "administrator",
    ),
    ("GET", "/api/permissions", "administrator"),
    ("GET", "/api/permissions/{vhost}/{user}", "administrator"),
    ("PUT", "/api/permissions/{vhost}/{user}", "administrator"),
    ("DELETE", "/api/permissions/{vhost}/{user}", "administrator"),
    ("GET", "/api/topic-permissions", "administrator"),
    (
        "GET",
        "/api/topic-permissions/{vhost}/{user}",
        "administrator",
    ),
    (
        "PUT",
        "/api/topic-permissions/{vhost}/{user}",
        "administrator",
    ),
    (
        "DELETE",
        "/api/topic-permissions/{vhost}/{user}",
        "administrator",
    ),
    (
        "DELETE",
        "/api/topic-permissions/{vhost}/{user}/{exchange}",
        "administrator",
    ),
    ("GET", "/api/vhosts", "management"),
    ("GET", "/api/vhosts/{vhost}", "administrator"),
    ("PUT", "/api/vhosts/{vhost}", "administrator"),
    ("DELETE", "/api/vhosts/{vhost}", "administrator"),
    ("GET", "/api/vhosts/{vhost}/permissions", "administrator"),
    (
        "GET",
        "/api/vhosts/{vhost}/topic-permissions",
        "administrator",
    ),
    (
        "POST",
        "/api/vhosts/{vhost}/deletion/protection",
        "administrator",
    ),
    (
        "DELETE",
        "/api/vhosts/{vhost}/deletion/protection",
        "administrator",
    ),
    ("POST", "/api/vhosts/{vhost}/start/{node}", "administrator"),
    ("GET", "/api/user-limits", "administrator"),
    ("GET", "/api/user-limits/{user}", "management"),
    ("PUT", "/api/user-limits/{user}/{limit}", "administrator"),
    ("DELETE", "/api/user-limits/{user}/{limit}", "administrator"),
    ("GET", "/api/vhost-limits", "management"),
    ("GET", "/api/vhost-limits/{host}", "management"),
    ("PUT", "/api/vhost-limits/{host}/{limit}", "administrator"),
    (
        "DELETE",
        "/api/vhost-limits/{host}/{limit}",
        "administrator",
    ),
    ("GET", "/api/definitions", "administrator"),
    ("POST", "/api/definitions", "administrator"),
    ("GET", "/api/definitions/{vhost}", "administrator"),
    ("POST", "/api/definitions/{vhost}", "administrator"),
    ("GET", "/api/policies", "management"),
    ("GET", "/api/policies/{vhost}", "visible"),
    ("GET", "/api/policies/{vhost}/{policy}", "policymaker"),
    ("PUT", "/api/policies/{vhost}/{policy}", "policymaker"),
    ("DELETE", "/api/policies/{vhost}/{policy}", "policymaker"),
    ("GET", "/api/operator-policies", "management"),
    ("GET", "/api/operator-policies/{vhost}", "visible"),
    (
        "GET",
        "/api/operator-policies/{vhost}/{policy}",
        "administrator",
    ),
    (
        "PUT",
        "/api/operator-policies/{vhost}/{policy}",
        "administrator",
    ),
    (
        "DELETE",
        "/api/operator-policies/{vhost}/{policy}",
        "administrator",
    ),
    ("GET", "/api/parameters", "policymaker"),
    ("GET", "/api/parameters/{component}", "policymaker"),
    ("GET", "/api/parameters/{component}/{vhost}", "policymaker"),
    (
        "GET",
        "/api/parameters/{component}/{vhost}/{name}",
        "policymaker",
    ),
    ("GET", "/api/global-parameters/{name}", "policymaker"),
    (
        "PUT",
        "/api/parameters/{component}/{vhost}/{name}",
        "policymaker",
    ),
    ("PUT", "/api/global-parameters/{name}", "policymaker"),
    (
        "DELETE",
        "/api/parameters/{component}/{vhost}/{name}",
        "policymaker",
    ),
    ("DELETE", "/api/global-parameters/{name}", "policymaker"),
    ("GET", "/api/global-parameters", "policymaker"),
    ("GET", "/api/aliveness-test/{vhost}", "management"),
    ("GET", "/api/bindings", "management"),
    ("GET", "/api/bindings/{vhost}", "visible"),
    (
        "GET",
        "/api/bindings/{vhost}/e/{exchange}/e/{destination}",
        "visible",
    ),
    (
        "POST",
        "/api/bindings/{vhost}/e/{exchange}/e/{destination}",
        "management",
    ),
    (
        "DELETE",
        "/api/bindings/{vhost}/e/{exchange}/e/{destination}/{properties}",
        "management",
    ),
    (
        "GET",
        "/api/bindings/{vhost}/e/{exchange}/e/{destination}/{properties}",
        "visible",
    ),
    (
        "GET",
        "/api/bindings/{vhost}/e/{exchange}/q/{destination}",
        "visible",
    ),
    (
        "POST",
        "/api/bindings/{vhost}/e/{exchange}/q/{destination}",
        "management",
    ),
    (
        "DELETE",
        "/api/bindings/{vhost}/e/{exchange}/q/{destination}/{properties}",
        "management",
    ),
    (
        "GET",
        "/api/bindings/{vhost}/e/{exchange}/q/{destination}/{properties}",
        "visible",
    ),
    ("GET", "/api/channels", "management"),
    ("GET", "/api/channels/{channel}", "management"),
    ("GET", "/api/cluster-name", "management"),
    ("PUT", "/api/cluster-name", "administrator"),
    ("GET", "/api/auth/attempts/{node}", "monitoring"),
    ("DELETE", "/api/auth/attempts/{node}", "administrator"),
    ("GET", "/api/auth/attempts/{node}/source", "monitoring"),
    (
        "DELETE",
        "/api/auth/attempts/{node}/source",
        "administrator",
    ),
    ("DELETE", "/api/reset", "administrator"),
    ("DELETE", "/api/reset/{node}", "administrator"),
    (
        "GET",
        "/api/health/checks/metadata-store/initialized/with-data",
        "management",
    ),
    (
        "GET",
        "/api/health/checks/quorum-queues-without-elected-leaders/all-vhosts",
        "management",
    ),
    ("GET", "/api/leveret/watermarks", "monitoring"),
    ("PUT", "/api/leveret/watermarks", "administrator"),
    ("GET", "/api/connections", "management"),
    (
        "DELETE",
        "/api/connections/username/{user}",
        "administrator",
    ),
    ("GET", "/api/connections/username/{user}", "monitoring"),
    ("DELETE", "/api/connections/{connection}", "management"),
    ("GET", "/api/connections/{connection}", "management"),
    (
        "GET",
        "/api/connections/{connection}/channels",
        "management",
    ),
    ("GET", "/api/consumers", "management"),
    ("GET", "/api/consumers/{vhost}", "watched"),
    ("GET", "/api/deprecated-features", "management"),
    ("GET", "/api/deprecated-features/used", "management"),
    ("GET", "/api/exchanges", "management"),
    ("GET", "/api/exchanges/{vhost}", "visible"),
    ("DELETE", "/api/exchanges/{vhost}/{exchange}", "management"),
    ("GET", "/api/exchanges/{vhost}/{exchange}", "visible"),
    ("PUT", "/api/exchanges/{vhost}/{exchange}", "management"),
    (
        "GET",
        "/api/exchanges/{vhost}/{exchange}/bindings/destination",
        "visible",
    ),
    (
        "GET",
        "/api/exchanges/{vhost}/{exchange}/bindings/source",
        "visible",
    ),
    ("GET", "/api/extensions", "management"),
    (
        "POST",
        "/api/exchanges/{vhost}/{exchange}/publish",
        "management",
    ),
    ("GET", "/api/feature-flags", "management"),
    ("GET", "/api/federation-links", "management"),
    ("GET", "/api/federation-links/{vhost}", "visible"),
    ("GET", "/api/health/checks/alarms", "management"),
    (
        "GET",
        "/api/health/checks/below-node-connection-limit",
        "anybody",
    ),
    (
        "GET",
        "/api/health/checks/certificate-expiration/{within}/{unit}",
        "management",
    ),
    ("GET", "/api/health/checks/is-in-service", "anybody"),
    ("GET", "/api/health/checks/local-alarms", "management"),
    (
        "GET",
        "/api/health/checks/metadata-store/initialized",
        "management",
    ),
    (
        "GET",
        "/api/health/checks/node-is-quorum-critical",
        "management",
    ),
    (
        "GET",
        "/api/health/checks/port-listener/{port}",
        "management",
    ),
    (
        "GET",
        "/api/health/checks/protocol-listener/{protocols}",
        "management",
    ),
    (
        "GET",
        "/api/health/checks/ready-to-serve-clients",
        "anybody",
    ),
    ("GET", "/api/health/checks/virtual-hosts", "management"),
    ("GET", "/api/healthchecks/node", "management"),
    ("GET", "/api/healthchecks/node/{node}", "management"),
    ("POST", "/api/leveret/backup", "administrator"),
    (
        "GET",
        "/api/leveret/queues/{vhost}/{queue}/messages",
        "management",
    ),
    ("GET", "/api/leveret/routes", "management"),
    ("GET", "/api/nodes", "monitoring"),
    ("GET", "/api/nodes/{node}", "monitoring"),
    ("GET", "/api/nodes/{node}/memory", "monitoring"),
    ("GET", "/api/nodes/{node}/memory/relative", "monitoring"),
    ("GET", "/api/overview", "management"),
    ("GET", "/api/queues", "management"),
    ("GET", "/api/queues/detailed", "management"),
    ("GET", "/api/queues/{vhost}", "visible"),
    ("DELETE", "/api/queues/{vhost}/{queue}", "management"),
    ("GET", "/api/queues/{vhost}/{queue}", "visible"),
    ("PUT", "/api/queues/{vhost}/{queue}", "management"),
    (
        "POST",
        "/api/queues/{vhost}/{queue}/actions",
        "administrator",
    ),
    ("GET", "/api/queues/{vhost}/{queue}/bindings", "visible"),
    (
        "DELETE",
        "/api/queues/{vhost}/{queue}/contents",
        "management",
    ),
    ("POST", "/api/queues/{vhost}/{queue}/get", "management"),
    ("POST", "/api/rebalance/queues", "administrator"),
    ("GET", "/api/shovels", "management"),
    ("GET", "/api/shovels/{vhost}", "visible"),
    ("GET", "/api/version", "anybody"),
    ("GET", "/api/vhosts/{vhost}/channels", "visible"),
    ("GET", "/api/vhosts/{vhost}/connections", "visible"),
    ("GET", "/api/whoami", "management"),
];

fn routes(api: &Api) -> Result<Vec<(String, String, String)>> {
    let index = api.get("/api/leveret/routes")?.json()?;
    let rows = index.as_array().context("a list")?;
    let text = |row: &serde_json::Value, name: &str| -> Result<String> {
        Ok(row[name].as_str().context("a text")?.to_owned())
    };
    rows.iter()
        .map(|row| Ok((text(row, "method")?, text(row, "path")?, text(row, "gate")?)))
        .collect()
}

/// Spec 10.2.
#[test]
fn every_route_has_a_row_and_every_row_a_route() -> Result<()> {
    let api = Api::leveret()?;
    let mut found = routes(&api)?;
    found.sort();
    let mut known: Vec<_> = ROUTES
        .iter()
        .map(|(method, path, gate)| ((*method).to_owned(), (*path).to_owned(), (*gate).to_owned()))
        .collect();
    known.sort();
    let missing: Vec<_> = found.iter().filter(|row| !known.contains(row)).collect();
    let stale: Vec<_> = known.iter().filter(|row| !found.contains(row)).collect();
    ensure!(
        missing.is_empty() && stale.is_empty(),
        "routes without a row: {missing:#?}\nrows without a route: {stale:#?}"
    );
    Ok(())
}

/// Spec 10.1.1. Spec 13.15.
#[test]
fn nothing_is_answered_without_a_login_but_what_load_balancers_ask() -> Result<()> {
    let mut api = Api::leveret()?;
    let all = routes(&api)?;
    api.log_out();
    for (method, path, gate) in all {
        if gate == "anybody" {
            assert_eq!(api.get(&path)?.status, 200, "{path}");
            continue;
        }
        let path = path
            .split('/')
            .map(|segment| {
                if segment.starts_with('{') {
                    "%2F"
                } else {
                    segment
                }
            })
            .collect::<Vec<_>>()
            .join("/");
        let answer = api.ask(&method, &path, Body::Nothing)?;
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
        let expected = serde_json::json!({
            "error": "not_authorized", "reason": "Not_Authorized",
        });
        assert_eq!(answer.json()?, expected, "{method} {path}");
    }
    Ok(())
}
