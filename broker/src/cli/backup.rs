//! `leveret backup`: a copy of a data folder, whether its broker runs or not.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leveret::store::{self, StoreError, StoreOptions};
use leveret::{LoadedConfig, Origin};
use serde::Deserialize;

use super::arguments::BackupCommand;
use super::{Verdict, address_file, output};

/// How long the broker may take to take the request; the copy itself takes as long as it takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Copies the folder.
pub(crate) fn run(command: &BackupCommand, config: &LoadedConfig) -> anyhow::Result<Verdict> {
    let directory = &command.directory;
    std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    // The broker may have been started elsewhere: what it is told must mean the same to it.
    let destination = std::path::absolute(&command.destination)?;
    match copy_offline(directory, &destination) {
        Ok(()) => {}
        Err(StoreError::InUse(_)) => copy_online(directory, &destination, config)?,
        Err(error) => return Err(error.into()),
    }
    output::line(&format!(
        "{} is copied to {}",
        directory.display(),
        destination.display()
    ))?;
    Ok(Verdict::Good)
}

/// Copies a folder that no broker uses; the store's own lock keeps one from starting meanwhile.
fn copy_offline(directory: &Path, destination: &Path) -> Result<(), StoreError> {
    let (store, _) = store::open(StoreOptions::new(directory), &mut |_, _| {})?;
    let copied = store.backup(destination);
    store.close();
    copied
}

/// Asks the broker that uses the folder.
fn copy_online(directory: &Path, destination: &Path, config: &LoadedConfig) -> anyhow::Result<()> {
    let address = management_address(directory, config)?;
    // A broker that uses another folder refuses.
    let order = serde_json::json!({
        "destination": destination,
        "directory": std::path::absolute(directory)?,
    });
    let url = format!("http://{address}/api/leveret/backup");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .http_status_as_error(false)
        .build()
        .into();
    let mut response = agent
        .post(&url)
        .header("authorization", authorization(config))
        .send_json(order)
        .with_context(|| format!("the broker does not answer at {address}"))?;
    if response.status().is_success() {
        return Ok(());
    }
    let status = response.status();
    let refusal: Refusal = response.body_mut().read_json().unwrap_or_default();
    bail!(
        "the broker at {address} refuses: {status} {}",
        refusal.reason
    )
}

/// What the user says; else what the folder says. A broker at the default address may be another.
fn management_address(directory: &Path, config: &LoadedConfig) -> anyhow::Result<SocketAddr> {
    let is_default = config
        .values
        .iter()
        .any(|value| value.key == "management" && value.origin == Origin::Default);
    if is_default {
        address_file::read(directory)?.context(
            "the folder is in use, and does not say where its broker answers HTTP; \
             --management HOST:PORT does",
        )
    } else {
        config
            .broker
            .management
            .context("the folder is in use, and nobody can be asked: management = \"none\"")
    }
}

fn authorization(config: &LoadedConfig) -> String {
    let user = &config.broker.default_user;
    let password = config.broker.default_pass.expose();
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[derive(Default, Deserialize)]
struct Refusal {
    reason: String,
}
