//! Runtime parameters: values that tools and plugins keep in the broker.

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::management::segment;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::Table;
use serde_json::json;

use super::administration::{MISSING, steps};

leveret_tests::on_both_targets![
    limits_are_parameters_too,
    operator_policies_are_parameters_too,
    what_is_no_parameter_is_refused,
    parameters_of_the_whole_broker_hold_any_value,
];

/// Spec 7.8.1. Spec 7.8.2. Spec 4.1.10.
async fn limits_are_parameters_too(context: &Context) -> Result<()> {
    let management = context.management()?;
    let host = context.virtual_host().await?;
    let of_host = format!("parameters/vhost-limits/{}", segment(&host));
    let path = format!("{of_host}/limits");
    let limit = json!({ "max-queues": 1 });
    steps(
        &management,
        &[
            ("PUT", &path, Some(json!({ "value": limit })), "201"),
            ("PUT", &path, Some(json!({ "value": limit })), "204"),
        ],
    )
    .await?;
    let row =
        json!({ "value": limit, "vhost": host, "component": "vhost-limits", "name": "limits" });
    ensure!(management.get(&path).await?.body == row);
    ensure!(management.get(&of_host).await?.body == json!([row]));
    for list in ["parameters", "parameters/vhost-limits"] {
        let all = management.get(list).await?.body;
        let is_in = all.as_array().is_some_and(|rows| rows.contains(&row));
        ensure!(is_in, "{list}: {all}");
    }
    let limits = management
        .get(&format!("vhost-limits/{}", segment(&host)))
        .await?
        .body;
    ensure!(
        limits == json!([{ "vhost": host, "value": limit }]),
        "{limits}"
    );
    let mut client = context.client_in(&host).await?;
    let declare = |queue| method::queue_declare(queue, queue_bits::DURABLE, &Table::new());
    client.ok(1, declare("a")).await?;
    let full =
        format!("406c cannot declare queue 'b': queue limit in vhost '{host}' (1) is reached");
    client.refused(1, declare("b"), &full).await?;
    steps(
        &management,
        &[
            ("DELETE", &path, None, "204"),
            ("DELETE", &path, None, MISSING),
            ("GET", &path, None, MISSING),
        ],
    )
    .await?;
    client.ok(1, declare("b")).await.map(drop)
}

/// Spec 7.8.1. Spec 7.7.4.
async fn operator_policies_are_parameters_too(context: &Context) -> Result<()> {
    let management = context.management()?;
    let host = context.virtual_host().await?;
    let path = format!("parameters/operator_policy/{}/p", segment(&host));
    let value = json!({
        "pattern": "^q$", "definition": { "max-length": 3 }, "priority": 2, "apply-to": "queues",
    });
    management
        .done("PUT", &path, Some(json!({ "value": value })))
        .await?;
    let shown = management
        .get(&format!("operator-policies/{}/p", segment(&host)))
        .await?
        .body;
    let expected = json!({
        "vhost": host, "name": "p", "pattern": "^q$", "apply-to": "queues", "priority": 2,
        "definition": { "max-length": 3 },
    });
    ensure!(shown == expected, "{shown}");
    management.done("DELETE", &path, None).await.map(drop)
}

/// Spec 7.8.1. Spec 10.1.2.
async fn what_is_no_parameter_is_refused(context: &Context) -> Result<()> {
    let management = context.management()?;
    let host = context.virtual_host().await?;
    let path =
        |component: &str, name: &str| format!("parameters/{component}/{}/{name}", segment(&host));
    let value = || Some(json!({ "value": { "max-queues": 1 } }));
    let policy = json!({ "value": { "pattern": "", "definition": { "max-length": 1 } } });
    let missing = |keys: &[&str]| {
        let missing = keys
            .iter()
            .map(|key| format!("Key \"{key}\" not found in p\n"));
        format!(
            "400 bad_request: Validation failed\n\n{}",
            missing.collect::<String>()
        )
    };
    steps(
        &management,
        &[
            ("PUT", &path("nonsense", "x"), value(),
                "400 bad_request: Validation failed\n\ncomponent nonsense not found\n"),
            ("PUT", &path("vhost-limits", "limits"), Some(json!({})),
                "400 bad_request: [{key_missing,value}]"),
            ("PUT", &path("vhost-limits", "limits"), Some(json!({ "value": { "max-x": 1 } })),
                "400 bad_request: Validation failed\n\nUnrecognised terms [{<<\"max-x\">>,1}] in limits\n"),
            ("PUT", &path("policy", "p"), Some(policy.clone()),
                "400 bad_request: policies may not be set using this method"),
            ("PUT", &path("operator_policy", "p"), Some(policy), &missing(&["priority"])),
            ("PUT", &path("operator_policy", "p"), Some(json!({ "value": {} })),
                &missing(&["definition", "pattern", "priority"])),
            ("PUT", &path("operator_policy", "p"), Some(json!({ "value": 5 })),
                "400 bad_request: Validation failed\n\np not a list 5\n"),
            ("PUT", &path("vhost-limits", "limits"), Some(json!({ "value": 5 })),
                "400 bad_request: Validation failed\n\nlimits not a list 5\n"),
            ("PUT", "parameters/vhost-limits/nothing-x/limits", value(),
                "404 not_found: vhost_not_found"),
            ("GET", "parameters/vhost-limits/nothing-x", None, MISSING),
            ("GET", &path("nonsense", "x"), None, MISSING),
            ("DELETE", &path("nonsense", "x"), None, MISSING),
        ],
    )
    .await?;
    for component in ["nonsense", "vhost-limits", "operator_policy"] {
        let rows = management
            .get(&format!("parameters/{component}/{}", segment(&host)))
            .await?
            .body;
        ensure!(rows == json!([]), "{component}: {rows}");
    }
    Ok(())
}

/// Spec 7.8.1.
async fn parameters_of_the_whole_broker_hold_any_value(context: &Context) -> Result<()> {
    let management = context.management()?;
    let name = context.unique("parameter");
    let path = format!("global-parameters/{}", segment(&name));
    let mut status = "201";
    for value in [json!({ "a": [1, "b", null] }), json!(5), json!("text")] {
        let body = json!({ "value": value });
        steps(&management, &[("PUT", &path, Some(body), status)]).await?;
        status = "204";
        let row = json!({ "name": name, "value": value });
        ensure!(management.get(&path).await?.body == row);
        let all = management.get("global-parameters").await?.body;
        let is_in = all.as_array().is_some_and(|rows| rows.contains(&row));
        ensure!(is_in, "{all}");
    }
    let known = management.get("global-parameters/cluster_name").await?.body;
    ensure!(known["value"].is_string(), "{known}");
    steps(
        &management,
        &[
            (
                "PUT",
                &path,
                Some(json!({})),
                "400 bad_request: [{key_missing,value}]",
            ),
            ("DELETE", &path, None, "204"),
            ("DELETE", &path, None, MISSING),
            ("GET", &path, None, MISSING),
        ],
    )
    .await
}
