//! Definitions that come from a file at start, and those that must survive a kill.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use leveret_tests::management::Management;
use serde_json::{Value, json};

use super::process::{ANY_PORTS, Server, command, run};

fn api(server: &Server, login: &str) -> Result<Management> {
    let url = server.url("")?;
    Management::new(&url.replace("http://", &format!("http://{login}@")))
}

fn serve(directory: &Path, file: &str) -> std::process::Command {
    let mut command = command(directory);
    command
        .args(ANY_PORTS)
        .args(["--data-dir", "data", "--load-definitions", file]);
    command
}

/// Spec 8.3.3. Spec 8.4.4.
#[tokio::test]
async fn a_file_is_brought_in_at_start_and_then_there_is_no_default_user() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = json!({
        "users": [{ "name": "u", "password": "p", "tags": ["administrator"] }],
        "vhosts": [{ "name": "v" }],
        "permissions": [{
            "user": "u", "vhost": "v", "configure": ".*", "write": ".*", "read": ".*",
        }],
        "queues": [{ "vhost": "v", "name": "q" }],
    });
    fs::write(directory.path().join("definitions.json"), file.to_string())?;
    for _ in 0..2 {
        let mut server = Server::start(serve(directory.path(), "definitions.json"))?;
        let own = api(&server, "u:p")?.get("queues/v/q").await?;
        ensure!(own.status == 200, "{own:?}");
        let guest = api(&server, "guest:guest")?.get("whoami").await?;
        ensure!(guest.status == 401, "{guest:?}");
        server.stop()?;
    }
    Ok(())
}

/// Spec 13.16.
#[test]
fn a_file_that_cannot_be_brought_in_is_one_complaint() -> Result<()> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("bad.json"), "{")?;
    for (file, reason) in [
        ("bad.json", "failed_to_parse_json"),
        ("none.json", "No such file"),
    ] {
        let mut command = serve(directory.path(), file);
        command.args(["--log-level", "off"]);
        let ended = run(command)?;
        ensure!(ended.code == Some(1), "{ended:?}");
        let complaint = ended.complaint()?;
        ensure!(
            complaint.contains(file) && complaint.contains(reason),
            "{complaint}"
        );
    }
    Ok(())
}

async fn shown(api: &Management, path: &str) -> Result<Value> {
    Ok(api.done("GET", path, None).await?.body)
}

/// Spec 9.1. Spec 9.3. Spec 7.8.1.
#[tokio::test]
async fn policies_and_parameters_survive_a_kill() -> Result<()> {
    const PATHS: [&str; 4] = [
        "policies/%2F/p",
        "operator-policies/%2F/o",
        "parameters/shovel/%2F/s",
        "global-parameters/g",
    ];
    let directory = tempfile::tempdir()?;
    let folder = directory.path().join("data");
    let mut server = Server::on_folder(&folder)?;
    let client = api(&server, "guest:guest")?;
    let policy = json!({ "pattern": "^q", "definition": { "max-length": 3 } });
    let queue = json!({ "durable": true });
    client.done("PUT", "queues/%2F/q", Some(queue)).await?;
    let value = json!({ "value": { "a": [1, null, "b"] } });
    for (path, body) in PATHS.into_iter().zip([&policy, &policy, &value, &value]) {
        client.done("PUT", path, Some(body.clone())).await?;
    }
    client
        .done("PUT", "policies/%2F/gone", Some(policy))
        .await?;
    client.done("DELETE", "policies/%2F/gone", None).await?;
    let mut before = Vec::new();
    for path in PATHS {
        before.push(shown(&client, path).await?);
    }
    server.signal("KILL")?;
    server.wait()?;
    let server = Server::on_folder(&folder)?;
    let client = api(&server, "guest:guest")?;
    for (path, before) in PATHS.into_iter().zip(before) {
        let after = shown(&client, path).await?;
        ensure!(after == before, "{path}: {after}");
    }
    let gone = client.get("policies/%2F/gone").await?;
    ensure!(gone.status == 404, "{gone:?}");
    let queue = shown(&client, "queues/%2F/q").await?;
    ensure!(
        queue["policy"] == "p" && queue["operator_policy"] == "o",
        "{queue}"
    );
    Ok(())
}
