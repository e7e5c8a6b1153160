//! Virtual hosts and limits over HTTP: statuses, bodies and words.

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::management::segment;
use serde_json::json;

use super::administration::{MISSING, steps};

leveret_tests::on_both_targets![
    virtual_hosts_are_made_changed_and_deleted,
    a_virtual_host_that_is_gone_is_missed,
    limits_are_set_and_lifted,
    limits_need_names_and_numbers,
];

/// Spec 7.8.3. Spec 10.1.3.
async fn virtual_hosts_are_made_changed_and_deleted(context: &Context) -> Result<()> {
    let management = context.management()?;
    let name = format!("{}/with slash", context.unique("host"));
    let path = format!("vhosts/{}", segment(&name));
    let body = json!({ "description": "d", "tags": "b, a", "default_queue_type": "quorum" });
    steps(
        &management,
        &[
            ("PUT", &path, Some(body), "201"),
            (
                "PUT",
                &path,
                Some(json!({ "default_queue_type": "zzz" })),
                "400 bad_request: zzz is not a valid queue type",
            ),
            (
                "PUT",
                &path,
                Some(json!({ "default_queue_type": "" })),
                "400 bad_request: default_queue_type must not be an empty string",
            ),
        ],
    )
    .await?;
    let shown = management.get(&path).await?.body;
    let metadata =
        json!({ "description": "d", "tags": ["b", "a"], "default_queue_type": "quorum" });
    for (key, value) in [
        ("name", json!(name)),
        ("description", json!("d")),
        ("tags", json!(["b", "a"])),
        ("default_queue_type", json!("quorum")),
        ("protected_from_deletion", json!(false)),
        ("metadata", metadata),
        ("tracing", json!(false)),
    ] {
        ensure!(shown[key] == value, "{key}: {shown}");
    }
    ensure!(shown["cluster_state"].is_object(), "{shown}");
    let mine = management.get(&format!("{path}/permissions")).await?;
    ensure!(
        mine.body[0]["configure"] == ".*",
        "the creator has no rights: {mine:?}"
    );
    management.done("DELETE", &path, None).await.map(drop)
}

/// Spec 7.8.3. Spec 10.1.2. Spec 10.1.3.
async fn a_virtual_host_that_is_gone_is_missed(context: &Context) -> Result<()> {
    let management = context.management()?;
    let name = format!("{}/with slash", context.unique("host"));
    let path = format!("vhosts/{}", segment(&name));
    let body = json!({ "description": "d", "default_queue_type": "quorum" });
    management.done("PUT", &path, Some(body)).await?;
    // What a change does not mention is as at the beginning.
    management.done("PUT", &path, None).await?;
    let shown = management.get(&path).await?.body;
    ensure!(
        shown["description"] == "" && shown["default_queue_type"] == "classic",
        "{shown}"
    );
    let protection = format!("{path}/deletion/protection");
    let missing = format!(
        "404 not_found: Cannot enable deletion protection of virtual host '{name}' because it does \
         not exist"
    );
    let node = shown["cluster_state"]
        .as_object()
        .and_then(|nodes| nodes.keys().next().cloned())
        .unwrap_or_default();
    steps(
        &management,
        &[
            (
                "POST",
                &format!("{path}/start/{}", segment(&node)),
                None,
                "204",
            ),
            (
                "POST",
                &format!("{path}/start/x@y"),
                None,
                "400 bad_request: Unknown node: x@y",
            ),
            ("DELETE", &path, None, "204"),
            ("DELETE", &path, None, MISSING),
            ("GET", &path, None, MISSING),
            ("POST", &protection, None, &missing),
            ("DELETE", &protection, None, MISSING),
        ],
    )
    .await
}

/// Spec 7.8.2. Spec 10.1.3.
async fn limits_are_set_and_lifted(context: &Context) -> Result<()> {
    let management = context.management()?;
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    for (kind, who, name, limits) in [
        (
            "user",
            "user",
            &account.name,
            ["max-connections", "max-channels"],
        ),
        ("vhost", "vhost", &host, ["max-connections", "max-queues"]),
    ] {
        let path = format!("{kind}-limits/{}", segment(name));
        ensure!(management.get(&path).await?.body == json!([]), "{kind}");
        let [first, second] = limits.map(|limit| format!("{path}/{limit}"));
        steps(
            &management,
            &[
                ("PUT", &first, Some(json!({ "value": 5 })), "204"),
                ("PUT", &second, Some(json!({ "value": -1 })), "204"),
            ],
        )
        .await?;
        let row = json!({ who: name, "value": { limits[0]: 5, limits[1]: -1 } });
        let shown = management.get(&path).await?.body;
        ensure!(shown == json!([row]), "{shown}");
        let all = management.get(&format!("{kind}-limits")).await?.body;
        ensure!(
            all.as_array().is_some_and(|rows| rows.contains(&row)),
            "{all}"
        );
        steps(
            &management,
            &[
                ("DELETE", &first, None, "204"),
                ("DELETE", &first, None, "204"),
                ("DELETE", &second, None, "204"),
            ],
        )
        .await?;
    }
    Ok(())
}

/// Spec 7.8.2. Spec 10.1.2.
async fn limits_need_names_and_numbers(context: &Context) -> Result<()> {
    let management = context.management()?;
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    let (h, u) = (segment(&host), segment(&account.name));
    let five = || Some(json!({ "value": 5 }));
    steps(
        &management,
        &[
            ("PUT", &format!("user-limits/{u}/max-x"), five(),
                "400 bad_request: Unrecognised terms [{<<\"max-x\">>,5}] in user-limits"),
            ("PUT", &format!("user-limits/{u}/max-channels"), Some(json!({ "value": "5" })),
                "400 bad_request: max-channels should be a number, actually was <<\"5\">>"),
            ("PUT", &format!("user-limits/{u}/max-channels"), Some(json!({})),
                "400 bad_request: [{key_missing,value}]"),
            ("PUT", "user-limits/nobody-x/max-channels", five(),
                "400 bad_request: [\"no_such_user\",\"nobody-x\"]"),
            ("GET", "user-limits/nobody-x", None, MISSING),
            ("PUT", &format!("vhost-limits/{h}/max-x"), five(),
                "400 bad_request: Validation failed\n\nUnrecognised terms [{<<\"max-x\">>,5}] in limits\n"),
            ("PUT", &format!("vhost-limits/{h}/max-queues"), Some(json!({ "value": 1.5 })),
                "400 bad_request: Validation failed\n\nmax-queues should be a number, actually was 1.5\n"),
            ("PUT", "vhost-limits/nothing-x/max-queues", five(), "404 not_found: vhost_not_found"),
            ("DELETE", "vhost-limits/nothing-x/max-queues", None, "404 not_found: vhost_not_found"),
            ("GET", "vhost-limits/nothing-x", None, MISSING),
        ],
    )
    .await
}
