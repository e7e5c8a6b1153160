//! What a broker is, and how it does.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::Value;

use super::api::{Api, Request};
use super::verb::{Access, Formatter};
use crate::cli::{Verdict, output};

/// What is worth asking of a broker that runs, below `health/checks/`.
const CHECKS: [&str; 5] = [
    "alarms",
    "local-alarms",
    "virtual-hosts",
    "node-is-quorum-critical",
    "below-node-connection-limit",
];

/// Between two looks at a broker that does not answer yet.
const PAUSE: Duration = Duration::from_millis(200);

/// Prints the overview.
pub(super) fn status(api: &Api, access: &Access) -> anyhow::Result<Verdict> {
    let overview = api.granted(&Request::get("overview"))?;
    let nodes = api.granted(&Request::get("nodes"))?;
    let node = nodes.get(0).cloned().unwrap_or(Value::Null);
    if access.formatter() == Formatter::Json {
        let both = serde_json::json!({ "overview": overview, "node": node });
        output::line(&serde_json::to_string_pretty(&both)?)?;
        return Ok(Verdict::Good);
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".to_owned(),
        value => value.to_string(),
    };
    let from = |value: &Value, pointer: &str| value.pointer(pointer).map_or_else(String::new, text);
    let rows = [
        ("node", from(&overview, "/node")),
        ("product", from(&overview, "/product_name")),
        ("version", from(&overview, "/product_version")),
        ("cluster name", from(&overview, "/cluster_name")),
        ("uptime, ms", from(&node, "/uptime")),
        ("process", from(&node, "/os_pid")),
        ("memory, bytes", from(&node, "/mem_used")),
        ("memory limit, bytes", from(&node, "/mem_limit")),
        ("memory alarm", from(&node, "/mem_alarm")),
        ("disk free, bytes", from(&node, "/disk_free")),
        ("disk limit, bytes", from(&node, "/disk_free_limit")),
        ("disk alarm", from(&node, "/disk_free_alarm")),
        ("descriptors", from(&node, "/fd_used")),
        ("connections", from(&overview, "/object_totals/connections")),
        ("channels", from(&overview, "/object_totals/channels")),
        ("queues", from(&overview, "/object_totals/queues")),
        ("exchanges", from(&overview, "/object_totals/exchanges")),
        ("consumers", from(&overview, "/object_totals/consumers")),
        (
            "messages ready",
            from(&overview, "/queue_totals/messages_ready"),
        ),
        (
            "messages unacknowledged",
            from(&overview, "/queue_totals/messages_unacknowledged"),
        ),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        output::line(&format!("{name}\t{value}"))?;
    }
    for listener in overview["listeners"].as_array().into_iter().flatten() {
        let (protocol, port) = (from(listener, "/protocol"), from(listener, "/port"));
        let host = from(listener, "/ip_address");
        output::line(&format!("listener\t{protocol} {host} {port}"))?;
    }
    Ok(Verdict::Good)
}

/// Runs every check.
pub(super) fn health(api: &Api, access: &Access) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::Good;
    for check in CHECKS {
        if self::check(api, access, check)? == Verdict::Bad {
            verdict = Verdict::Bad;
        }
    }
    Ok(verdict)
}

/// Runs one check, named by its path.
pub(super) fn check(api: &Api, access: &Access, check: &str) -> anyhow::Result<Verdict> {
    let answer = api.ask(&Request::get(format!("health/checks/{check}")))?;
    match answer.status {
        200 => {
            if !access.quiet && !access.silent {
                output::line(&format!("{check}\tok"))?;
            }
            Ok(Verdict::Good)
        }
        503 => {
            let reason = answer.body.get("reason").and_then(Value::as_str);
            output::line(&format!("{check}\t{}", reason.unwrap_or("failed")))?;
            Ok(Verdict::Bad)
        }
        _ => answer.granted().map(|_| Verdict::Good),
    }
}

/// Waits until the broker answers.
pub(super) fn await_startup(api: &Api, access: &Access) -> anyhow::Result<Verdict> {
    let deadline = Instant::now() + Duration::from_secs(access.timeout.max(1));
    loop {
        match api.ask(&Request::get("overview")) {
            Ok(answer) if answer.status == 200 => return Ok(Verdict::Good),
            Ok(answer) if answer.status == 401 => return answer.granted().map(|_| Verdict::Good),
            Ok(_) | Err(_) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Ok(answer) => bail!("the broker does not serve: it answers {}", answer.status),
            Err(error) => return Err(error),
        }
    }
}
