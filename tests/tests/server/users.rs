//! Users, rights and virtual hosts of a server that is killed, restarted or configured.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::client::{Client, Options};
use leveret_tests::management::Management;
use leveret_tests::raw::method;
use leveret_tests::raw::value::Table;
use leveret_tests::target::Address;
use serde_json::json;

use super::process::{ANY_PORTS, Server, command};

fn management(server: &Server) -> Result<Management> {
    let address = server.management.context("it answers HTTP")?;
    Management::new(&format!("http://guest:guest@{address}"))
}

async fn log_in(server: &Server, user: &str, host: &str) -> Result<Client> {
    let address = Address {
        user: user.to_owned(),
        password: "secret".to_owned(),
        virtual_host: host.to_owned(),
        ..server.address()?
    };
    Client::connect(&address, &Options::default()).await
}

/// A server on a folder with one more option.
fn server_on(folder: &Path, option: &str) -> Result<Server> {
    let mut command = command(folder.parent().context("the folder lies in another")?);
    command
        .args(ANY_PORTS)
        .args(["--set", option, "--data-dir"])
        .arg(folder);
    Server::start(command)
}

async fn set_up(management: &Management) -> Result<()> {
    let put = async |path: &str, body: serde_json::Value| {
        management.done("PUT", path, Some(body)).await.map(drop)
    };
    put("vhosts/shop", json!({ "description": "d", "tags": "t" })).await?;
    put("vhosts/gone", json!({})).await?;
    put(
        "users/web",
        json!({ "password": "secret", "tags": "management" }),
    )
    .await?;
    put("users/lost", json!({ "password": "secret", "tags": "" })).await?;
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    for path in [
        "permissions/shop/web",
        "permissions/gone/web",
        "permissions/shop/lost",
    ] {
        put(path, all.clone()).await?;
    }
    let topics = json!({ "exchange": "amq.topic", "write": "^a", "read": "" });
    put("topic-permissions/shop/web", topics).await?;
    put("user-limits/web/max-channels", json!({ "value": 9 })).await?;
    put("vhost-limits/shop/max-queues", json!({ "value": 8 })).await
}

/// Spec 9.1. Spec 9.3. What was answered before a kill is there after it, and what was deleted is
/// not.
#[tokio::test]
async fn users_rights_and_virtual_hosts_survive_a_kill() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().join("data");
    let mut server = Server::on_folder(&folder)?;
    let admin = management(&server)?;
    set_up(&admin).await?;
    let mut client = log_in(&server, "web", "gone").await?;
    client.open(1).await?;
    let durable = method::queue_bits::DURABLE;
    client
        .ok(1, method::queue_declare("q", durable, &Table::new()))
        .await?;
    client
        .ok(1, method::queue_bind("q", "amq.topic", "a", &Table::new()))
        .await?;
    drop(client);
    admin.done("DELETE", "vhosts/gone", None).await?;
    admin.done("DELETE", "users/lost", None).await?;
    let paths = [
        "vhosts/shop",
        "users",
        "permissions",
        "topic-permissions",
        "user-limits",
        "vhost-limits",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(admin.get(path).await?.body);
    }
    for signal in ["KILL", "TERM"] {
        server.signal(signal)?;
        server.wait()?;
        server = Server::on_folder(&folder)?;
        let admin = management(&server)?;
        for (path, before) in paths.iter().zip(&before) {
            let after = admin.get(path).await?.body;
            ensure!(after == *before, "{path} after {signal}: {after}");
        }
        ensure!(admin.get("vhosts/gone").await?.status == 404, "{signal}");
        log_in(&server, "web", "shop").await?.close().await?;
        ensure!(log_in(&server, "lost", "shop").await.is_err(), "{signal}");
        // Made anew, it has nothing of what was in it.
        admin.done("PUT", "vhosts/gone", None).await?;
        let queues = admin.get("queues/gone").await?;
        ensure!(queues.body == json!([]), "{signal}: {queues:?}");
        admin.done("DELETE", "vhosts/gone", None).await?;
    }
    Ok(())
}

/// Spec 8.3.3.
#[tokio::test]
async fn the_default_user_is_made_on_an_empty_folder_and_never_again() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().join("data");
    let mut server = Server::on_folder(&folder)?;
    let admin = management(&server)?;
    let shown = admin.get("users/guest").await?;
    ensure!(shown.body["tags"] == json!(["administrator"]), "{shown:?}");
    let body = json!({ "password": "secret", "tags": "administrator" });
    admin.done("PUT", "users/root", Some(body)).await?;
    let root = admin.as_user("root", "secret");
    root.done("DELETE", "users/guest", None).await?;
    server.stop()?;
    let server = server_on(&folder, "default_user=other")?;
    let root = management(&server)?.as_user("root", "secret");
    let users = root.get("users").await?;
    let names: Vec<_> = users
        .body
        .as_array()
        .context("a list")?
        .iter()
        .map(|user| user["name"].clone())
        .collect();
    ensure!(names == ["root"], "{names:?}");
    Ok(())
}

/// Spec 8.3.2.
#[tokio::test]
async fn argon2id_hashes_are_used_and_not_shown() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().join("data");
    let server = server_on(&folder, "password_hashing=argon2id")?;
    let admin = management(&server)?;
    let body = json!({ "password": "secret", "tags": "administrator" });
    admin.done("PUT", "users/web", Some(body)).await?;
    let shown = admin.get("users/web").await?;
    ensure!(shown.body["password_hash"] == "", "{shown:?}");
    let web = admin.as_user("web", "secret");
    ensure!(web.get("whoami").await?.status == 200);
    ensure!(admin.as_user("web", "other").get("whoami").await?.status == 401);
    Ok(())
}
