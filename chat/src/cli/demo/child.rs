//! The service as a process of its own, to be killed.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the broker is, if it is not embedded.
#[derive(Clone)]
pub(super) struct Elsewhere {
    pub(super) broker: String,
    pub(super) management: String,
}

/// The service.
pub(super) struct Service {
    folder: PathBuf,
    elsewhere: Option<Elsewhere>,
    amqp: u16,
    management: u16,
    http: u16,
    child: Option<Child>,
}

/// A port that is free at the moment; the service is to have the same one after each start.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Service {
    pub(super) fn new(folder: &Path, elsewhere: Option<Elsewhere>) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            elsewhere,
            amqp: free_port()?,
            management: free_port()?,
            http: free_port()?,
            child: None,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("service.log")
    }

    fn command(&self) -> Result<Command> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .args(["--http", &format!("127.0.0.1:{}", self.http)])
            // Few, so that it is up again fast.
            .args(["--shards", "8"])
            // A demonstration sends faster than a person.
            .args(["--user-rate", "1000", "--user-burst", "10000"])
            .args(["--group-rate", "1000", "--group-burst", "10000"])
            .env_remove("LEVERET_CHAT_STORE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        match &self.elsewhere {
            // In the environment, where other users of the machine do not see passwords.
            Some(elsewhere) => command
                .env("LEVERET_CHAT_BROKER", &elsewhere.broker)
                .env("LEVERET_CHAT_MANAGEMENT", &elsewhere.management),
            None => command
                .env_remove("LEVERET_CHAT_BROKER")
                .env_remove("LEVERET_CHAT_MANAGEMENT")
                .args(["--amqp", &format!("127.0.0.1:{}", self.amqp)])
                .args([
                    "--amqp-management",
                    &format!("127.0.0.1:{}", self.management),
                ]),
        };
        Ok(command)
    }

    /// Starts it and waits until it serves.
    pub(super) async fn start(&mut self) -> Result<()> {
        let mut child = self.command()?.spawn()?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.starts_with("leveret-chat ready") {
                    return Ok(());
                }
            }
            bail!("it ended")
        };
        match tokio::time::timeout(PATIENCE, ready).await {
            Ok(Ok(())) => {
                // Whatever else it writes is read and forgotten, so that it does not block.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                self.child = Some(child);
                Ok(())
            }
            Ok(Err(error)) => Err(error.context(self.why())),
            Err(_) => bail!("the service does not start in time: {}", self.why()),
        }
    }

    fn why(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let from = lines.len().saturating_sub(10);
        format!("the service does not start: {}", lines[from..].join("\n"))
    }

    /// SIGKILL, in the middle of whatever it does.
    pub(super) async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }
}
