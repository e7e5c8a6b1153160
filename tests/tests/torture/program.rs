//! Programs that are killed, stopped, continued, and started again.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// For a program that starts, on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that can be killed.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    path: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Program {
    pub(crate) fn new(name: &str, path: &Path, arguments: &[&str], folder: &Path) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            log: folder.join(format!("{name}.log")),
            child: None,
        }
    }

    /// Adds to the command line of later starts.
    pub(crate) fn add_options(&mut self, options: &[&str]) {
        let options = options.iter().map(|&text| text.to_owned());
        self.arguments.extend(options);
    }

    /// Takes an option and its value from the command line of later starts.
    pub(crate) fn drop_option(&mut self, option: &str) {
        if let Some(place) = self
            .arguments
            .iter()
            .position(|argument| argument == option)
        {
            self.arguments.drain(place..place + 2);
        }
    }

    /// What stands behind this, on each line of its log that says it.
    pub(crate) fn lines_after(&self, mark: &str) -> Vec<String> {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let ends = text.lines().filter_map(|line| line.split_once(mark));
        ends.map(|(_, end)| end.trim().to_owned()).collect()
    }

    /// Starts it, and does not wait.
    pub(crate) fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(log);
        for (name, _) in env::vars_os() {
            // What the tests are told must not reach it.
            if name.to_string_lossy().starts_with("LEVERET_") {
                command.env_remove(name);
            }
        }
        let child = command.spawn();
        self.child = Some(child.with_context(|| format!("{} cannot be started", self.name))?);
        Ok(())
    }

    /// Starts it, and waits for the line that begins so.
    pub(crate) fn start_and_wait(&mut self, mark: &'static str) -> Result<()> {
        self.start()?;
        let child = self.child.as_mut().context("it was started")?;
        let output = child.stdout.take().context("its output is piped")?;
        let (sender, line) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Only the first of them has a receiver; the rest is read so that nobody blocks.
                if line.starts_with(mark) {
                    let _ = sender.send(line);
                }
            }
        });
        line.recv_timeout(PATIENCE).map(drop).with_context(|| {
            format!(
                "{} does not say that it is ready: {}",
                self.name,
                self.tail()
            )
        })
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        match &self.child {
            Some(child) => signal(child.id(), name),
            None => Ok(()),
        }
    }

    /// Whether it has ended by itself; then it is to be started again.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        let Some(child) = &mut self.child else {
            return Ok(false);
        };
        let ended = child.try_wait()?.is_some();
        if ended {
            self.child = None;
        }
        Ok(ended)
    }

    pub(crate) fn tail(&self) -> String {
        const LINES: usize = 30;
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(LINES);
        format!(
            "the end of {}'s log:\n{}",
            self.name,
            lines[from..].join("\n")
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be dead already; either way there is nobody left to tell.
        let _ = self.kill();
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, name: &str) -> Result<()> {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()?;
    ensure!(sent.success(), "no {name} was sent to {pid}");
    Ok(())
}

/// A port that is free, and that the system gives to nobody by itself while its server is dead.
pub(crate) fn free_port() -> Result<u16> {
    use rand::RngExt as _;
    for _ in 0..1000 {
        let port = rand::rng().random_range(12_000..30_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// One of the workspace's binaries, brought up to date once.
pub(crate) fn chat_binary() -> Result<PathBuf> {
    leveret_tests::process::program("leveret-chat")
}

/// The program of a device: the one in the folder that `LEVERET_PROGRAMS` names, or that of this build.
pub(crate) fn actor_binary() -> PathBuf {
    match env::var_os("LEVERET_PROGRAMS") {
        Some(folder) => Path::new(&folder).join("torture-actor"),
        None => env!("CARGO_BIN_EXE_torture-actor").into(),
    }
}
