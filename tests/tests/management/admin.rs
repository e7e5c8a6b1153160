//! RabbitMQ's own `rabbitmqadmin` (2.x), on Leveret.
//!
//! `RABBITMQADMIN` names the program; without it the test says so and does nothing. The package of
//! RabbitMQ that `.ci/rabbitmq` unpacks has one.

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

/// Spec 10.2.
#[test]
fn rabbitmqadmin_lists_declares_and_deletes() -> Result<()> {
    let Ok(program) = env::var("RABBITMQADMIN") else {
        eprintln!("SKIPPED: rabbitmqadmin: RABBITMQADMIN is not set");
        return Ok(());
    };
    let api = Api::leveret()?;
    let (queue, exchange) = (unique(), unique());
    let steps = [
        format!("declare queue --name {queue} --type classic --durable true"),
        format!("declare exchange --name {exchange} --type topic"),
        format!(
            "declare binding --source {exchange} --destination-type queue --destination {queue} \
             --routing-key a.*"
        ),
        format!("publish message --exchange {exchange} --routing-key a.b --payload hello"),
        format!("get messages --queue {queue}"),
        "list nodes".to_owned(),
        "list connections".to_owned(),
        "list user_connections --username guest".to_owned(),
        "list channels".to_owned(),
        "list consumers".to_owned(),
        "list queues".to_owned(),
        "list exchanges".to_owned(),
        "list bindings".to_owned(),
        "list feature_flags".to_owned(),
        "list deprecated_features".to_owned(),
        "list deprecated_features_in_use".to_owned(),
        "show overview".to_owned(),
        "show churn".to_owned(),
        "show memory_breakdown_in_bytes --node leveret@localhost".to_owned(),
        "show memory_breakdown_in_percent --node leveret@localhost".to_owned(),
        "health_check local_alarms".to_owned(),
        "health_check cluster_wide_alarms".to_owned(),
        "health_check node_is_quorum_critical".to_owned(),
        "health_check protocol_listener --protocol amqp".to_owned(),
        "plugins list_all".to_owned(),
        "rebalance queues".to_owned(),
        "shovels list_all".to_owned(),
        "federation list_all_links".to_owned(),
        format!("purge queue --name {queue}"),
        format!(
            "delete binding --source {exchange} --destination-type queue --destination {queue} \
             --routing-key a.*"
        ),
        format!("delete queue --name {queue}"),
        format!("delete exchange --name {exchange}"),
    ];
    for step in &steps {
        let shown = rabbitmqadmin(&program, &api, step)?;
        let lists_queue = step == "list queues" || step == "list bindings";
        ensure!(!lists_queue || shown.contains(&queue), "{step}: {shown}");
    }
    let left = rabbitmqadmin(&program, &api, "list queues")?;
    ensure!(!left.contains(&queue), "{left}");
    Ok(())
}
