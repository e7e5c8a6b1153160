//! A broker and the chat's service on it, as processes, with nothing in them. All of it ends with the value.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::crash::{Target, Victim, free_port};
use crate::{interrupt, process};

/// For a service to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at whether somebody wants to stop.
const LOOK: Duration = Duration::from_millis(50);
/// What the service says last when it is ready.
const READY: &str = "leveret-chat ready";

/// A process that can be killed and started again.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Program {
    pub(crate) fn new(path: PathBuf, arguments: Vec<String>, log: PathBuf) -> Self {
        Self {
            path,
            arguments,
            log,
            child: None,
        }
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(log).spawn();
        self.child = Some(child.with_context(|| format!("starting {}", self.path.display()))?);
        Ok(())
    }

    /// Runs it to its end.
    pub(crate) fn run(&mut self) -> Result<()> {
        self.start()?;
        let status = self.child.as_mut().context("it runs")?.wait()?;
        ensure!(
            status.success(),
            "{} failed: {}",
            self.path.display(),
            self.last_words()
        );
        Ok(())
    }

    /// Waits for the line that says so.
    fn wait_until_ready(&mut self) -> Result<()> {
        let output = self.child.as_mut().and_then(|child| child.stdout.take());
        let output = output.context("it runs")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens later; it is read so that nobody blocks.
                let _ = sender.send(line);
            }
        });
        let deadline = Instant::now() + PATIENCE;
        loop {
            match lines.recv_timeout(LOOK) {
                Ok(line) if line.starts_with(READY) => return Ok(()),
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    ensure!(!interrupt::requested(), "interrupted");
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    anyhow::bail!("{} ended: {}", self.path.display(), self.last_words());
                }
            }
            ensure!(
                Instant::now() < deadline,
                "{} does not get ready: {}",
                self.path.display(),
                self.last_words()
            );
        }
    }

    fn last_words(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.is_some()),
            None => Ok(false),
        }
    }

    fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be dead already; either way there is nobody left to tell.
        let _ = self.kill();
    }
}

/// What the service is started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServiceProgram<'a> {
    pub(crate) path: &'a Path,
    /// Options of `serve` besides where everything is.
    pub(crate) options: &'a [&'a str],
    /// What is imported before it starts: a file as `leveret-chat export` writes it.
    pub(crate) import: Option<&'a Path>,
}

/// Which broker.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BrokerPlace<'a> {
    /// Within the service's process.
    Embedded,
    /// A process of its own.
    Beside(&'a Target),
}

/// The service and its broker.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) service: Program,
    pub(crate) broker: Option<Victim>,
    /// Where the gateway is.
    pub(crate) http: String,
    // Removed last.
    folder: TempDir,
}

impl Backend {
    pub(crate) fn start(place: BrokerPlace<'_>, program: ServiceProgram<'_>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("leveret-bench-chat-")
            .tempdir()?;
        let (broker, mut arguments) = start_broker(place)?;
        let gateway = format!("127.0.0.1:{}", free_port(|_| true)?);
        let data = folder.path().join("data").to_string_lossy().into_owned();
        let log = folder.path().join("service.log");
        if let Some(file) = program.import {
            let file = file.to_string_lossy().into_owned();
            let import = ["import", "--data-dir", &data, &file].map(str::to_owned);
            Program::new(program.path.to_owned(), import.to_vec(), log.clone()).run()?;
        }
        arguments.insert(0, "serve".to_owned());
        arguments.extend(["--data-dir", &data, "--gateway", &gateway].map(str::to_owned));
        arguments.extend(program.options.iter().map(|&option| option.to_owned()));
        let mut service = Program::new(program.path.to_owned(), arguments, log);
        service.start()?;
        service.wait_until_ready()?;
        Ok(Self {
            service,
            broker,
            http: format!("http://{gateway}"),
            folder,
        })
    }

    /// For whatever lives as long as this.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Resident memory of the service's process, with the broker if that is embedded.
    pub(crate) fn service_bytes(&self) -> Option<u64> {
        process::resident_bytes(self.service.id()?)
    }

    /// Processor time of service and broker so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        let service = process::cpu_seconds(Some(self.service.id()?))?;
        let broker = match &self.broker {
            Some(broker) => process::cpu_seconds(Some(broker.process()?))?,
            None => 0.0,
        };
        Some(service + broker)
    }
}

/// The broker if it is a process of its own, and how the service is told where it is.
fn start_broker(place: BrokerPlace<'_>) -> Result<(Option<Victim>, Vec<String>)> {
    match place {
        BrokerPlace::Embedded => {
            let amqp = free_port(|_| true)?;
            let management = free_port(|port| port != amqp)?;
            let amqp = format!("127.0.0.1:{amqp}");
            let management = format!("127.0.0.1:{management}");
            let arguments = ["--amqp", &amqp, "--amqp-management", &management];
            Ok((None, arguments.map(str::to_owned).to_vec()))
        }
        BrokerPlace::Beside(target) => {
            let mut broker = target.victim()?;
            broker.start()?;
            let port = target.management_port;
            let port = port.context("the broker has an HTTP API")?;
            let url = format!("amqp://guest:guest@{}/chat", target.uri.address());
            let management = format!("http://guest:guest@127.0.0.1:{port}");
            let arguments = ["--broker", &url, "--management", &management];
            Ok((Some(broker), arguments.map(str::to_owned).to_vec()))
        }
    }
}
