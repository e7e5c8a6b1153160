//! Client libraries of other languages: installed at the versions pinned in `tests/clients`, driven by
//! the scripts there.
//!
//! A script prints one line of JSON for each of its verbs and may ask, between two of them, for the
//! broker to be killed and started again. Nothing of the libraries themselves is changed.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

/// Longer than any script takes, restarts included.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(420);

/// A client library and the script that drives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// The language's interpreter.
    pub language: Language,
    /// The file's name in `tests/clients`.
    pub file: &'static str,
}

/// What runs a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Python 3, in a virtual environment with the packages of `requirements.txt`.
    Python,
    /// Node.js, with the packages of `package-lock.json`.
    Node,
}

/// What a client did, or would do: its name, its version, its verbs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The library's name, as its users know it.
    pub client: String,
    /// The version that ran.
    pub version: String,
    /// In the order in which they ran.
    pub verbs: Vec<Verb>,
}

/// One thing that a client does with a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verb {
    /// What it is called in the script.
    pub name: String,
    /// Whether the broker is restarted meanwhile.
    pub restarts: bool,
    /// Why it did not work, if it did not.
    pub error: Option<String>,
}

impl Report {
    /// The names of the verbs, of those that restart the broker or of the others.
    #[must_use]
    pub fn names(&self, restarts: bool) -> Vec<&str> {
        let of_kind = self.verbs.iter().filter(|verb| verb.restarts == restarts);
        of_kind.map(|verb| verb.name.as_str()).collect()
    }

    /// Fails with every verb that did not work, and with every one of `wanted` that never ran.
    ///
    /// # Errors
    /// One error that names them all.
    pub fn check(&self, wanted: &[&str]) -> anyhow::Result<()> {
        let failed = self.verbs.iter().filter_map(|verb| {
            verb.error
                .as_ref()
                .map(|error| format!("{} {}: {error}", self.client, verb.name))
        });
        let ran = |name: &str| self.verbs.iter().any(|verb| verb.name == name);
        let missing = wanted.iter().filter(|name| !ran(name));
        let missing = missing.map(|name| format!("{} {name}: did not run", self.client));
        let complaints: Vec<String> = failed.chain(missing).collect();
        ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
        Ok(())
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Client { client, version } => {
                self.client = client;
                self.version = version;
            }
            Line::Listed { verb, restart } => {
                self.verbs.push(Verb {
                    name: verb,
                    restarts: restart,
                    error: None,
                });
            }
            Line::Ran { verb, ok, error } => {
                let unexplained = (!ok).then(|| "no reason given".to_owned());
                let error = error.or(unexplained);
                self.verbs.push(Verb {
                    name: verb,
                    restarts: false,
                    error,
                });
            }
            Line::Ask { .. } => {}
        }
    }
}

/// A line that a script prints.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Client {
        client: String,
        version: String,
    },
    Listed {
        verb: String,
        restart: bool,
    },
    Ran {
        verb: String,
        ok: bool,
        error: Option<String>,
    },
    Ask {
        ask: String,
    },
}

impl Script {
    /// The client's version and the verbs that it knows, without a broker.
    ///
    /// # Errors
    /// If the client cannot be installed or the script does not run.
    pub fn list(&self) -> anyhow::Result<Report> {
        self.execute(&["--list"], &mut || bail!("a list needs no broker"))
    }

    /// Runs `verbs` against the broker at `url`; `restart` kills that broker and starts it again.
    ///
    /// # Errors
    /// If the script does not run to its end. Verbs that fail are in the report instead.
    pub fn run(
        &self,
        url: &str,
        verbs: &[&str],
        restart: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Report> {
        self.execute(&[&["--url", url], verbs].concat(), restart)
    }

    fn execute(
        &self,
        arguments: &[&str],
        restart: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Report> {
        let mut child = self
            .command()?
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", self.file))?;
        let outcome = converse(&mut child, restart).with_context(|| self.file.to_owned());
        if outcome.is_err() {
            child.kill().ok();
        }
        let status = child.wait()?;
        let report = outcome?;
        let failed = report.verbs.iter().any(|verb| verb.error.is_some());
        ensure!(
            status.success() != failed,
            "{} ended with {status} after {report:?}",
            self.file
        );
        Ok(report)
    }

    fn command(&self) -> anyhow::Result<Command> {
        let (program, folder) = match self.language {
            Language::Python => (installed_python()?.join("bin/python"), scripts()),
            Language::Node => (PathBuf::from("node"), installed_node()?),
        };
        let mut command = Command::new(program);
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(folder.join(self.file));
        Ok(command)
    }
}

/// Reads the script's lines until it ends, and does what it asks for.
fn converse(
    child: &mut Child,
    restart: &mut dyn FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let output = BufReader::new(child.stdout.take().context("no standard output")?);
    let mut input = child.stdin.take().context("no standard input")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        output
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    let mut report = Report::default();
    loop {
        let line = match lines.recv_timeout(SCRIPT_TIMEOUT) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(report),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("silent since {:?}", report.verbs.last()),
        };
        let line = serde_json::from_str(&line).with_context(|| format!("not a report: {line}"))?;
        if let Line::Ask { ask } = &line {
            ensure!(ask == "restart", "asked for {ask}");
            restart()?;
            writeln!(input, "done")?;
        }
        report.take(line);
    }
}

/// The folder of the scripts.
#[must_use]
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Whether the programs of Debian are there that the clients need, after installing those that are
/// missing if that is possible; otherwise the reason why not.
///
/// # Errors
/// What is missing.
pub fn debian_packages() -> anyhow::Result<()> {
    static OUTCOME: OnceLock<Result<(), String>> = OnceLock::new();
    let outcome = OUTCOME.get_or_init(|| {
        let installer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/clients");
        locked(|_| run(&mut Command::new(installer))).map_err(|error| format!("{error:#}"))
    });
    outcome.clone().map_err(anyhow::Error::msg)
}

/// The virtual environment with the pinned packages of PyPI.
fn installed_python() -> anyhow::Result<PathBuf> {
    let requirements = scripts().join("requirements.txt");
    cached("python", &[&requirements], |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ]);
        run(pip.arg(&requirements))
    })
}

/// A folder with the pinned packages of npm and links to the scripts, which look for packages beside
/// themselves.
fn installed_node() -> anyhow::Result<PathBuf> {
    let files = ["package.json", "package-lock.json"].map(|file| scripts().join(file));
    let folder = cached("node", &[&files[0], &files[1]], |folder| {
        fs::create_dir_all(folder)?;
        for file in &files {
            fs::copy(file, folder.join(file.file_name().context("no file name")?))?;
        }
        run(Command::new("npm")
            .args(["ci", "--silent", "--no-audit"])
            .current_dir(folder))
    })?;
    locked(|_| {
        for entry in fs::read_dir(scripts())? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new("js")) {
                fs::copy(
                    &path,
                    folder.join(path.file_name().context("no file name")?),
                )?;
            }
        }
        Ok(())
    })?;
    Ok(folder)
}

/// A folder of the target directory that `install` fills once for the contents of `pins`.
fn cached(
    name: &str,
    pins: &[&Path],
    install: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    for pin in pins {
        fs::read(pin)
            .with_context(|| pin.display().to_string())?
            .hash(&mut hasher);
    }
    locked(|clients| {
        let folder = clients.join(format!("{name}-{:016x}", hasher.finish()));
        let complete = folder.join("complete");
        if !complete.exists() {
            fs::remove_dir_all(&folder).or_else(ignore_missing)?;
            install(&folder).with_context(|| format!("installing the clients for {name}"))?;
            File::create(complete)?;
        }
        Ok(folder)
    })
}

/// Runs `work` on the folder of all installed clients while no other process does.
fn locked<T>(work: impl FnOnce(&Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let clients = target_directory()?.join("clients");
    fs::create_dir_all(&clients)?;
    let lock = File::create(clients.join("lock"))?;
    lock.lock()?;
    let outcome = work(&clients);
    lock.unlock()?;
    outcome
}

/// Cargo's target directory: the test executable lies in its `PROFILE/deps`.
fn target_directory() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let directory = executable
        .ancestors()
        .nth(3)
        .context("no target directory")?;
    Ok(directory.to_owned())
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// Runs a command to its end; what it says is shown only if it fails.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {said}",
        output.status
    );
    Ok(())
}
