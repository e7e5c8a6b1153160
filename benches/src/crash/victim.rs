//! The broker as a process that can be started, killed and measured.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::interrupt;
use crate::process;
use crate::wire::{Connection, Uri};

/// How often a starting broker is asked whether it is there.
const LOOK: Duration = Duration::from_millis(1);
/// How long a process may take to go after the signal.
const GONE: Duration = Duration::from_secs(30);
/// How much of a failed broker's output is shown.
const OUTPUT_BYTES: usize = 2000;

/// How to end the broker, and where to look at it.
#[derive(Debug, Clone, Args)]
pub(crate) struct VictimOptions {
    /// Shell command that kills it, for brokers that leave the process group of their starter.
    #[arg(long, value_name = "CMD")]
    pub(crate) kill: Option<String>,
    /// Shell command that removes at the end what the broker keeps elsewhere than in `{dir}`.
    #[arg(long, value_name = "CMD")]
    pub(crate) remove: Option<String>,
    /// Leave the broker's data where it is, and tell where.
    #[arg(long)]
    pub(crate) keep: bool,
    /// File with the broker's process id, read after each start, for its resident memory
    /// [default: the process group of the start command].
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Parent of `{dir}` [default: the system's directory for temporary files].
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Seconds the broker may take to get ready.
    #[arg(long, default_value_t = 300.0, value_name = "S")]
    pub(crate) patience: f64,
}

/// How long a start took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Started {
    /// When the command was given.
    pub(crate) at: Instant,
    /// From the command to the port accepting.
    pub(crate) accepting: Duration,
    /// From the command to `connection.open-ok`.
    pub(crate) ready: Duration,
}

/// A broker's process and its directory. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Victim {
    start: String,
    options: VictimOptions,
    uri: Uri,
    directory: TempDir,
    child: Option<Child>,
    /// When the last start counts as failed.
    deadline: Instant,
    output: File,
}

impl Victim {
    /// A broker that is not running yet, with an empty directory. The shell command `start` may
    /// name that directory as `{dir}`.
    pub(crate) fn new(start: &str, options: &VictimOptions, uri: &Uri) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("leveret-bench-");
        let directory = match &options.data_dir {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        };
        let directory = directory.context("no directory for the broker")?;
        let output = tempfile::tempfile()?;
        let (start, options, uri) = (start.to_owned(), options.clone(), uri.clone());
        Ok(Self {
            start,
            options,
            uri,
            directory,
            child: None,
            deadline: Instant::now(),
            output,
        })
    }

    /// The broker's process: the one in its file, or the one that was started.
    pub(crate) fn process(&self) -> Option<u32> {
        match &self.options.pid_file {
            Some(_) => self.pid(),
            None => self.child.as_ref().map(Child::id),
        }
    }

    /// The directory that `{dir}` stands for.
    pub(crate) fn data_dir(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Starts the broker and waits until a client is served.
    pub(crate) fn start(&mut self) -> Result<Started> {
        let at = self.launch()?;
        let accepting = self.wait_until_accepting()? - at;
        let connection = self.open()?;
        let ready = at.elapsed();
        // It has answered; how it takes the goodbye does not matter here.
        drop(connection.close());
        Ok(Started {
            at,
            accepting,
            ready,
        })
    }

    /// Gives the command that starts the broker; the moment when it was given.
    pub(crate) fn launch(&mut self) -> Result<Instant> {
        ensure!(
            !self.accepts(),
            "something listens on {} already",
            self.uri.address()
        );
        if let Some(path) = &self.options.pid_file {
            // What an earlier broker left there names nobody, or somebody else.
            drop(fs::remove_file(path));
        }
        let mut command = self.shell(&self.start)?;
        let at = Instant::now();
        let child = command.process_group(0).spawn();
        self.child = Some(child.context("starting the broker")?);
        self.deadline = at + Duration::try_from_secs_f64(self.options.patience)?;
        Ok(at)
    }

    /// Waits until the port takes connections; the moment when it did.
    pub(crate) fn wait_until_accepting(&mut self) -> Result<Instant> {
        while !self.accepts() {
            self.check()?;
            thread::sleep(LOOK);
        }
        Ok(Instant::now())
    }

    /// The first connection that is served.
    pub(crate) fn open(&mut self) -> Result<Connection> {
        loop {
            match Connection::open(&self.uri) {
                Ok(connection) => return Ok(connection),
                Err(error) => self.check().context(error)?,
            }
            thread::sleep(LOOK);
        }
    }

    /// Runs a shell command to its end.
    pub(crate) fn run(&self, command: &str) -> Result<()> {
        let status = self.shell(command)?.status()?;
        ensure!(
            status.success(),
            "{command} failed: {status}{}",
            self.last_output()
        );
        Ok(())
    }

    /// Kills the broker as a crash would, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let pid = self.wait_for_pid()?;
        // A starter that still waits for the broker would wait for ever.
        self.signal(Signal::KILL);
        if let Some(command) = &self.options.kill {
            self.run(command)?;
        }
        self.wait_until_gone(pid)
    }

    /// If the broker has ended by itself: how, and its last words.
    pub(crate) fn obituary(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        let expected = status.success() && self.options.kill.is_some();
        (!expected).then(|| format!("the broker ended: {status}{}", self.last_output()))
    }

    /// The process id, once a broker that was only just started has written it down.
    fn wait_for_pid(&self) -> Result<Option<u32>> {
        let deadline = Instant::now() + GONE;
        while self.options.pid_file.is_some() {
            match self.pid() {
                Some(pid) if !process::is_gone(pid) => return Ok(Some(pid)),
                Some(_) | None => ensure!(Instant::now() < deadline, "no process id appears"),
            }
            thread::sleep(LOOK);
        }
        Ok(None)
    }

    /// Ends the broker in good order, if it knows how, and waits until it is gone.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if self.options.kill.is_some() {
            return self.kill();
        }
        let pid = self.pid();
        self.signal(Signal::TERM);
        self.wait_until_gone(pid)
    }

    /// Resident memory of the broker; `None` where it cannot be known.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        match &self.options.pid_file {
            Some(_) => process::resident_bytes(self.pid()?),
            None => process::group_resident_bytes(self.child.as_ref()?.id()),
        }
    }

    fn pid(&self) -> Option<u32> {
        match &self.options.pid_file {
            Some(path) => fs::read_to_string(path).ok()?.trim().parse().ok(),
            None => None,
        }
    }

    fn shell(&self, command: &str) -> Result<Command> {
        let directory = self
            .directory
            .path()
            .to_str()
            .context("a directory that is not UTF-8")?;
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(command.replace("{dir}", directory))
            .stdin(Stdio::null());
        shell
            .stdout(self.output.try_clone()?)
            .stderr(self.output.try_clone()?);
        Ok(shell)
    }

    fn accepts(&self) -> bool {
        TcpStream::connect((self.uri.host.as_str(), self.uri.port)).is_ok()
    }

    /// Fails if the broker ended, or took too long.
    pub(crate) fn check(&mut self) -> Result<()> {
        if interrupt::requested() {
            bail!("interrupted");
        }
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait()?
        {
            // A starter may end well and leave the broker running.
            let starter = status.success() && self.options.kill.is_some();
            ensure!(
                starter,
                "the broker ended at its start: {status}{}",
                self.last_output()
            );
        }
        if Instant::now() > self.deadline {
            bail!(
                "the broker is not ready after {} s{}",
                self.options.patience,
                self.last_output()
            );
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        let group = self
            .child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok());
        if let Some(group) = group.and_then(Pid::from_raw) {
            // A group that is gone already needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }

    fn wait_until_gone(&mut self, pid: Option<u32>) -> Result<()> {
        let deadline = Instant::now() + GONE;
        let mut asked = false;
        loop {
            let child_gone = match &mut self.child {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            };
            if child_gone && pid.is_none_or(process::is_gone) && !self.accepts() {
                self.child = None;
                return Ok(());
            }
            if Instant::now() > deadline {
                ensure!(!asked, "the broker cannot be killed");
                asked = true;
                self.signal(Signal::KILL);
            }
            thread::sleep(LOOK);
        }
    }

    /// The end of what the broker wrote, to explain a failure.
    fn last_output(&self) -> String {
        let mut text = vec![0; OUTPUT_BYTES];
        let length = self.output.metadata().map_or(0, |metadata| metadata.len());
        // Reading by place leaves alone the position at which the broker goes on writing.
        let from = length.saturating_sub(OUTPUT_BYTES as u64);
        match self.output.read_at(&mut text, from) {
            Ok(0) | Err(_) => String::new(),
            Ok(count) => {
                let text = String::from_utf8_lossy(&text[..count]);
                format!("; its last words:\n{}", text.trim_end())
            }
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // Nothing is left to do about what cannot be ended or removed.
        if let (true, Some(kill)) = (self.child.is_some(), &self.options.kill) {
            drop(self.run(kill));
        }
        if let Some(child) = &mut self.child {
            drop(child.wait());
        }
        if self.options.keep {
            self.directory.disable_cleanup(true);
            let folder = self.directory.path().display();
            eprintln!("leveret-bench: the broker's data is left in {folder}");
        } else if let Some(remove) = &self.options.remove {
            drop(self.run(remove));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victim(start: &str, port: u16) -> Victim {
        let options = VictimOptions {
            kill: None,
            remove: None,
            keep: false,
            pid_file: None,
            data_dir: None,
            patience: 0.2,
        };
        let uri = format!("amqp://127.0.0.1:{port}").parse().unwrap();
        Victim::new(start, &options, &uri).unwrap()
    }

    fn free_port() -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    #[test]
    fn a_broker_that_ends_at_its_start_is_told_with_its_last_words() {
        let mut victim = victim("echo cannot do >&2; exit 7", free_port());
        let told = victim.start().unwrap_err().to_string();
        assert!(
            told.contains("exit status: 7") && told.contains("cannot do"),
            "{told}"
        );
    }

    #[test]
    fn a_broker_that_never_listens_is_given_up_and_killed_with_its_children() {
        let mut victim = victim("echo $$ > {dir}/pid; sleep 600 & wait", free_port());
        let told = victim.start().unwrap_err().to_string();
        assert!(told.contains("not ready"), "{told}");
        let group = victim.child.as_ref().unwrap().id();
        assert!(process::group_resident_bytes(group).is_some());
        victim.kill().unwrap();
        assert_eq!(process::group_resident_bytes(group), None);
    }

    #[test]
    fn a_port_that_is_taken_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut victim = victim("true", listener.local_addr().unwrap().port());
        let told = victim.start().unwrap_err().to_string();
        assert!(told.contains("already"), "{told}");
    }
}
