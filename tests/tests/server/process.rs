//! Processes under test: a server that runs, a command that ends.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leveret_tests::client::{Client, Options};
use leveret_tests::target::Address;
use tempfile::TempDir;

use super::binary;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Ports that the system chooses.
pub(crate) const ANY_PORTS: [&str; 6] = [
    "--amqp",
    "127.0.0.1:0",
    "--management",
    "127.0.0.1:0",
    "--prometheus",
    "none",
];

/// The binary, without what the environment would tell it.
pub(crate) fn command(directory: &Path) -> Command {
    isolated(binary::path(), directory)
}

/// Any program, without what the environment would tell ours.
pub(crate) fn isolated(program: impl AsRef<OsStr>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("LEVERET_") || text.starts_with("RABBITMQ_") {
            command.env_remove(&name);
        }
    }
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Result<Ended> {
    let output = command.output()?;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

/// Runs the binary in `directory` to its end.
pub(crate) fn run_with<S: AsRef<OsStr>>(directory: &Path, arguments: &[S]) -> Result<Ended> {
    let mut command = command(directory);
    command.args(arguments);
    run(command)
}

impl Ended {
    /// The only line of a complaint.
    pub(crate) fn complaint(&self) -> Result<&str> {
        let mut lines = self.stderr.lines();
        let line = lines.next().context("nothing was said")?;
        ensure!(lines.next().is_none(), "more than one line: {self:?}");
        ensure!(line.starts_with("leveret: "), "{line}");
        Ok(line)
    }
}

/// A server that says it is ready. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
    _log_folder: TempDir,
    /// The line that it printed.
    pub(crate) ready_line: String,
    /// Where it speaks AMQP.
    pub(crate) amqp: Option<SocketAddr>,
    /// Where it answers HTTP.
    pub(crate) management: Option<SocketAddr>,
}

impl Server {
    /// Starts a server in memory, on ports that the system chooses.
    pub(crate) fn in_memory() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = command(directory.path());
        command.args(ANY_PORTS).arg("--in-memory");
        Self::start(command)
    }

    /// Starts a server on a data folder.
    pub(crate) fn on_folder(folder: &Path) -> Result<Self> {
        let mut command = command(folder.parent().context("the folder lies in another")?);
        command.args(ANY_PORTS).arg("--data-dir").arg(folder);
        Self::start(command)
    }

    /// Starts a server, and waits until it is ready.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let log_folder = tempfile::tempdir()?;
        let log = log_folder.path().join("log");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            let read = stdout.read_line(&mut line).map(|_| line);
            // The test may have given up.
            let _ = sender.send((read, stdout));
        });
        let Ok((line, stdout)) = receiver.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            bail!("not ready: {}", fs::read_to_string(&log)?);
        };
        let ready_line = line?;
        if ready_line.is_empty() {
            let status = child.wait()?;
            bail!("ended with {status}: {}", fs::read_to_string(&log)?);
        }
        let mut server = Self {
            child,
            stdout,
            log,
            _log_folder: log_folder,
            amqp: None,
            management: None,
            ready_line,
        };
        server.amqp = server.ready("amqp=")?.parse().ok();
        server.management = server.ready("management=")?.parse().ok();
        Ok(server)
    }

    /// What the ready line says of `name`.
    fn ready(&self, name: &str) -> Result<&str> {
        self.ready_line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name))
            .with_context(|| format!("no {name} in {:?}", self.ready_line))
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged so far.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Waits until it has logged `text`.
    pub(crate) fn await_log(&self, text: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.log()?.contains(text) {
            ensure!(Instant::now() < deadline, "no {text:?} in {}", self.log()?);
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Sends a signal, for example `TERM`.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()?;
        ensure!(status.success(), "kill failed");
        Ok(())
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it in order; what it printed after the ready line.
    pub(crate) fn stop(&mut self) -> Result<String> {
        self.signal("TERM")?;
        let status = self.wait()?;
        ensure!(status.code() == Some(0), "{status}: {}", self.log()?);
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest)?;
        Ok(rest)
    }

    /// Where a client finds it, as guest.
    pub(crate) fn address(&self) -> Result<Address> {
        let amqp = self.amqp.context("it speaks no AMQP")?;
        Address::parse(&format!("amqp://guest:guest@{amqp}/%2f"))
    }

    /// A client of it, with channel 1 open.
    pub(crate) async fn client(&self) -> Result<Client> {
        let mut client = Client::connect(&self.address()?, &Options::default()).await?;
        client.open(1).await?;
        Ok(client)
    }

    /// The base of its HTTP API.
    pub(crate) fn url(&self, path: &str) -> Result<String> {
        let address = self.management.context("it answers no HTTP")?;
        Ok(format!("http://{address}{path}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
