//! Data folders: what is written, checked and copied.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method;
use leveret_tests::raw::value::Table;

use super::process::{ANY_PORTS, Server, command, run, run_with};

const QUEUE: &str = "kept";

/// A body that a test can find in a file.
const BODY: &str = "the-body-of-a-message-that-is-kept";

/// Puts one confirmed, persistent message into a durable queue.
async fn keep_message(server: &Server) -> Result<()> {
    let mut client = server.client().await?;
    let declare = method::queue_declare(QUEUE, method::queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await?;
    client.ok(1, method::confirm_select()).await?;
    let publish = method::basic_publish("", QUEUE, 0);
    client
        .publish(1, publish, &Properties::persistent(), BODY)
        .await?;
    client.next_of(1, method::BASIC_ACK).await?;
    client.close().await
}

async fn expect_message(folder: &Path) -> Result<()> {
    let mut server = Server::on_folder(folder)?;
    let mut client = server.client().await?;
    assert_eq!(client.take(1, QUEUE).await?.text(), BODY);
    client.close().await?;
    server.stop()?;
    Ok(())
}

/// Every file and folder below `folder`.
fn everything(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(everything(&path)?);
        }
        found.push(path);
    }
    Ok(found)
}

#[tokio::test]
async fn a_folder_keeps_messages_and_is_for_its_owner_alone() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().join("deep/data");
    fs::create_dir(directory.path().join("deep"))?;
    let mut server = Server::on_folder(&folder)?;
    keep_message(&server).await?;
    let mut paths = everything(&folder)?;
    paths.push(folder.clone());
    assert!(paths.len() > 3, "{paths:?}");
    for path in &paths {
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{} is {mode:o}", path.display());
    }
    server.stop()?;
    expect_message(&folder).await
}

#[tokio::test]
async fn in_memory_nothing_is_written() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut command = command(directory.path());
    command.args(ANY_PORTS).arg("--in-memory");
    let mut server = Server::start(command)?;
    keep_message(&server).await?;
    server.stop()?;
    assert_eq!(fs::read_dir(directory.path())?.count(), 0);
    Ok(())
}

#[test]
fn a_folder_in_use_is_one_complaint() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().join("data");
    let _server = Server::on_folder(&folder)?;
    let second = {
        let mut command = command(directory.path());
        command
            .args(ANY_PORTS)
            .args(["--log-level", "off", "--data-dir", "data"]);
        run(command)?
    };
    let verify = run_with(directory.path(), &["verify", "data"])?;
    for ended in [second, verify] {
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let complaint = ended.complaint()?;
        assert!(
            complaint.contains("data") && complaint.contains("in use"),
            "{complaint}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn verify_tells_a_good_folder_from_a_damaged_one_and_changes_neither() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().join("data");
    let mut server = Server::on_folder(&folder)?;
    keep_message(&server).await?;
    server.stop()?;
    let snapshot = |folder: &Path| -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let files = everything(folder)?
            .into_iter()
            .filter(|path| path.is_file());
        files
            .map(|path| Ok((path.clone(), fs::read(path)?)))
            .collect()
    };
    let before = snapshot(&folder)?;
    let good = run_with(directory.path(), &["verify", "data", "--json"])?;
    assert_eq!(good.code, Some(0), "{good:?}");
    let report: serde_json::Value = serde_json::from_str(&good.stdout)?;
    assert_eq!(report["messages"], 1, "{report}");
    assert_eq!(report["damage"], serde_json::json!([]), "{report}");

    let holds_body = |bytes: &[u8]| {
        bytes
            .windows(BODY.len())
            .position(|window| window == BODY.as_bytes())
    };
    let (path, mut bytes, at) = before
        .iter()
        .find_map(|(path, bytes)| Some((path, bytes.clone(), holds_body(bytes)?)))
        .context("the message lies in a file")?;
    bytes[at] ^= 1;
    fs::write(path, bytes)?;
    let damaged = snapshot(&folder)?;
    let bad = run_with(directory.path(), &["verify", "data"])?;
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(bad.stdout.contains("damage: "), "{bad:?}");
    assert_eq!(snapshot(&folder)?, damaged);
    Ok(())
}

#[test]
fn what_is_not_there_can_be_neither_verified_nor_copied() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for words in [&["verify", "none"][..], &["backup", "none", "copy"][..]] {
        let ended = run_with(directory.path(), words)?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.complaint()?.contains("none"), "{ended:?}");
        assert_eq!(fs::read_dir(directory.path())?.count(), 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_copy_of_a_running_and_of_a_stopped_broker_holds_its_messages() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().join("data");
    let mut server = Server::on_folder(&folder)?;
    keep_message(&server).await?;
    let backup = |destination: &str| run_with(directory.path(), &["backup", "data", destination]);
    let running = backup("running")?;
    assert_eq!(running.code, Some(0), "{running:?}");
    let again = backup("running")?;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.complaint()?.contains("not empty"), "{again:?}");
    server.stop()?;
    let stopped = backup("stopped")?;
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    for copy in ["running", "stopped", "data"] {
        expect_message(&directory.path().join(copy)).await?;
    }
    Ok(())
}

#[test]
fn a_broker_copies_no_folder_but_its_own() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _ours = Server::on_folder(&directory.path().join("data"))?;
    let other = Server::on_folder(&directory.path().join("other"))?;
    let address = other.management.context("it listens")?.to_string();
    let arguments = ["backup", "data", "copy", "--management", &address];
    let ended = run_with(directory.path(), &arguments)?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.complaint()?.contains("another folder"), "{ended:?}");
    assert!(!directory.path().join("copy").exists());
    Ok(())
}
