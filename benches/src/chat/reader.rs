//! The reader's process: shows what arrives by writing it down, one line each.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Args;
use leveret_client::http::AmqpAccess;
use leveret_client::message::Body;
use leveret_client::message::properties::BrokerUser;
use leveret_client::session::{Notice, Session};
use leveret_client::transport::{AmqpConnector, AmqpOptions};
use serde::{Deserialize, Serialize};

use crate::chat::ledger::{Number, Shown};

/// `leveret-bench chat-reader`, which `chat-crash` starts.
#[derive(Debug, Args)]
pub(crate) struct ReaderCommand {
    /// What to read, and where to write it down.
    script: PathBuf,
}

/// What the reader's processes have to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Script {
    pub(crate) device: (
        leveret_client::message::UserId,
        leveret_client::message::DeviceId,
    ),
    pub(crate) access: AmqpAccess,
    pub(crate) journal: PathBuf,
    pub(crate) screen: PathBuf,
}

impl Script {
    pub(crate) fn login(&self) -> BrokerUser {
        let (user, device) = self.device.clone();
        BrokerUser { user, device }
    }
}

/// Microseconds since 1970, the clock that all processes share.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// How a device reaches the broker.
pub(crate) fn connector(device: &BrokerUser, access: &AmqpAccess) -> Result<Arc<AmqpConnector>> {
    let options = AmqpOptions {
        url: access.url.clone(),
        user: device.clone(),
        password: access.password.clone(),
        shards: access.shards,
    };
    let connector = AmqpConnector::new(options).map_err(anyhow::Error::msg)?;
    Ok(Arc::new(connector))
}

/// What was shown so far. A line that a death cut short was not.
pub(crate) fn screen(path: &Path) -> Result<Vec<Shown>> {
    let Ok(file) = File::open(path) else {
        return Ok(Vec::new());
    };
    let mut shown = Vec::new();
    for line in BufReader::new(file).lines() {
        shown.extend(serde_json::from_str::<Shown>(&line?));
    }
    Ok(shown)
}

/// Reads until it is killed.
pub(crate) fn run(command: &ReaderCommand) -> Result<bool> {
    let script: Script = serde_json::from_slice(&std::fs::read(&command.script)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(show(&script))?;
    Ok(true)
}

async fn show(script: &Script) -> Result<()> {
    let mut screen = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&script.screen)?;
    let device = script.login();
    let connector = connector(&device, &script.access)?;
    let started = Session::start(connector, device, script.journal.as_path()).await;
    let (session, mut notices) = started.context("the reader's session")?;
    while let Some(notice) = notices.recv().await {
        let Notice::Message(message) = notice else {
            continue;
        };
        let Body::Text(text) = &message.body else {
            continue;
        };
        if let Some(number) = Number::parse(&text.text) {
            let mut line = serde_json::to_vec(&Shown { at: now(), number })?;
            line.push(b'\n');
            screen.write_all(&line)?;
        }
    }
    session.close().await;
    Ok(())
}
