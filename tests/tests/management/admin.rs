//! RabbitMQ's own `rabbitmqadmin` (2.x), on Leveret.
//!
//! `RABBITMQADMIN` names the program, which may be a whole command: `.ci/rabbitmq --admin` is the one of the
//! RabbitMQ that it unpacks, and `.ci/run` gives that. Without it the test says so and does nothing.

use std::env;
use std::process::Command;

use anyhow::{Result, ensure};

use super::api::{Api, unique};

fn rabbitmqadmin(program: &str, api: &Api, arguments: &str) -> Result<String> {
    let (host, port) = api
        .base
        .trim_start_matches("http://")
        .rsplit_once(':')
        .unwrap_or(("127.0.0.1", "15672"));
    // The program may be a whole command, such as a loader with its program.
    let mut words = program.split_whitespace();
    let output = Command::new(words.next().unwrap_or(program))
        .args(words)
        .args(["-H", host, "-P", port, "-u", "guest", "-p", "guest"])
        .args(arguments.split_whitespace())
        .output()?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments}: {shown}{errors}");
    Ok(shown)
}

/// Every kind of object, listed, declared and deleted.
const STEPS: &[&str] = &[
    "declare vhost --name {queue}-host --default-queue-type quorum --description d",
    "list vhosts",
    "vhosts enable_deletion_protection --name {queue}-host",
    "vhosts disable_deletion_protection --name {queue}-host",
    "declare user --name {queue}-user --password secret --tags monitoring",
    "list users",
    "declare permissions --vhost {queue}-host --username {queue}-user --configure .* --read .* --write .*",
    "list permissions --vhost {queue}-host",
    "declare user_limit --username {queue}-user --name max-channels --value 5",
    "list user_limits --username {queue}-user",
    "delete user_limit --username {queue}-user --name max-channels",
    "declare vhost_limit --vhost {queue}-host --name max-queues --value 5",
    "list vhost_limits --vhost {queue}-host",
    "delete vhost_limit --vhost {queue}-host --name max-queues",
    "declare policy --name {queue}-policy --pattern ^no-such$ --apply-to queues --definition {\"max-length\":5}",
    "list policies",
    "delete policy --name {queue}-policy",
    "declare operator_policy --name {queue}-policy --pattern ^no-such$ --apply-to queues --definition {\"max-length\":5}",
    "list operator_policies",
    "delete operator_policy --name {queue}-policy",
    "declare parameter --component federation-upstream --name {queue}-upstream --value {\"uri\":\"amqp://elsewhere\"}",
    "list parameters --component federation-upstream",
    "delete parameter --component federation-upstream --name {queue}-upstream",
    "global_parameters set --name {queue}-parameter --value {\"a\":1}",
    "global_parameters list",
    "global_parameters clear --name {queue}-parameter",
    "declare queue --name {queue} --type classic --durable true",
    "declare exchange --name {exchange} --type topic",
    "declare binding --source {exchange} --destination-type queue --destination {queue} --routing-key a.*",
    "publish message --exchange {exchange} --routing-key a.b --payload hello",
    "get messages --queue {queue}",
    "list nodes",
    "list connections",
    "list user_connections --username guest",
    "list channels",
    "list consumers",
    "list queues",
    "list exchanges",
    "list bindings",
    "list feature_flags",
    "list deprecated_features",
    "list deprecated_features_in_use",
    "definitions export --file -",
    "definitions export_from_vhost --file -",
    "auth_attempts stats --node {node}",
    "show overview",
    "show churn",
    "show memory_breakdown_in_bytes --node {node}",
    "show memory_breakdown_in_percent --node {node}",
    "health_check local_alarms",
    "health_check cluster_wide_alarms",
    "health_check node_is_quorum_critical",
    "health_check protocol_listener --protocol amqp",
    "plugins list_all",
    "rebalance queues",
    "shovels list_all",
    "federation list_all_links",
    "purge queue --name {queue}",
    "delete binding --source {exchange} --destination-type queue --destination {queue} --routing-key a.*",
    "delete queue --name {queue}",
    "delete exchange --name {exchange}",
    "delete permissions --vhost {queue}-host --username {queue}-user",
    "delete user --name {queue}-user",
    "delete vhost --name {queue}-host",
];

/// Whether a step lists what was declared before it.
fn is_listed(step: &str) -> bool {
    let nouns = [
        "queues",
        "bindings",
        "users",
        "vhosts",
        "permissions",
        "policies",
        "parameters",
        "limits",
    ];
    step.starts_with("list ") && nouns.iter().any(|noun| step.contains(noun))
        || step == "global_parameters list"
}

/// Spec 10.2.
#[test]
fn rabbitmqadmin_lists_declares_and_deletes() -> Result<()> {
    let Ok(program) = env::var("RABBITMQADMIN") else {
        eprintln!("SKIPPED: rabbitmqadmin: RABBITMQADMIN is not set");
        return Ok(());
    };
    let api = Api::leveret()?;
    let (queue, exchange) = (unique(), unique());
    let node = api.get("/api/overview")?.json()?["node"].clone();
    let fill = |step: &str| {
        step.replace("{queue}", &queue)
            .replace("{exchange}", &exchange)
            .replace("{node}", node.as_str().unwrap_or_default())
    };
    let steps: Vec<String> = STEPS.iter().map(|step| fill(step)).collect();
    for step in &steps {
        let shown = rabbitmqadmin(&program, &api, step)?;
        ensure!(
            !is_listed(step) || shown.contains(&queue),
            "{step}: {shown}"
        );
    }
    for noun in [
        "queues",
        "exchanges",
        "bindings",
        "users",
        "vhosts",
        "policies",
        "operator_policies",
    ] {
        let left = rabbitmqadmin(&program, &api, &format!("list {noun}"))?;
        ensure!(!left.contains(&queue), "{left}");
    }
    Ok(())
}
