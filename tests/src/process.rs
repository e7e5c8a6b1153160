//! Brokers as processes of their own, to be killed.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::Mutex;

use crate::target::Address;

/// How long a broker may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running broker. It is killed when this is dropped.
#[derive(Debug)]
pub struct BrokerProcess {
    child: Child,
    /// Where it listens.
    pub address: Address,
    log: PathBuf,
}

/// How to start a broker.
#[derive(Clone, Debug)]
pub struct BrokerCommand {
    directory: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
}

impl BrokerCommand {
    /// A broker that keeps its data in `directory` and writes its log to the file `log`.
    #[must_use]
    pub fn new(directory: &Path, log: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            log: log.to_owned(),
            arguments: Vec::new(),
        }
    }

    /// The same with one more option, for example `limits.frame_max=8192`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.arguments
            .extend(["--set".to_owned(), option.to_owned()]);
        self
    }

    /// Starts it and does not wait until it is ready.
    pub fn spawn(&self) -> Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(binary()?);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(&self.directory)
            .args(["--amqp", "127.0.0.1:0", "--management", "none"])
            .args(["--prometheus", "none"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        for (name, _) in env::vars_os() {
            // What the tests are told must not reach the broker.
            if name.to_string_lossy().starts_with("LEVERET_") {
                command.env_remove(name);
            }
        }
        command.spawn().context("the broker cannot be spawned")
    }

    /// Starts it and waits until it accepts connections.
    pub fn start(&self) -> Result<BrokerProcess> {
        let mut child = self.spawn()?;
        match ready_line(&mut child).and_then(|line| address(&line)) {
            Ok(address) => Ok(BrokerProcess {
                child,
                address,
                log: self.log.clone(),
            }),
            Err(error) => {
                kill(&mut child)?;
                Err(error.context(format!("the broker does not start: {}", tail(&self.log))))
            }
        }
    }
}

impl BrokerProcess {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the broker ended by itself ({status}): {}", tail(&self.log));
        }
        kill(&mut self.child)
    }

    /// Asks it to end, and expects that it does so in order.
    pub fn stop(&mut self) -> Result<()> {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        ensure!(status.success(), "no signal was sent: {status}");
        let status = wait(&mut self.child)?;
        ensure!(
            status.success(),
            "it ended with {status}: {}",
            tail(&self.log)
        );
        Ok(())
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        // It may be dead already; either way there is nobody left to tell.
        let _ = kill(&mut self.child);
    }
}

/// `kill -9`, and waits until the process is gone and its files are released.
pub fn kill(child: &mut Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn wait(child: &mut Child) -> Result<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        ensure!(Instant::now() < deadline, "no end within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The first line on standard output; the rest is read and forgotten, so that nobody blocks.
fn ready_line(child: &mut Child) -> Result<String> {
    let output = child.stdout.take().context("standard output is piped")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Only the first line has a receiver.
            let _ = sender.send(line);
        }
    });
    receiver
        .recv_timeout(PATIENCE)
        .context("it does not say that it is ready")
}

fn address(line: &str) -> Result<Address> {
    let socket = line
        .split(' ')
        .find_map(|word| word.strip_prefix("amqp="))
        .with_context(|| format!("no address in {line:?}"))?;
    Address::parse(&format!("amqp://guest:guest@{socket}/%2f"))
}

fn tail(log: &Path) -> String {
    const LINES: usize = 20;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    format!("the end of its log:\n{}", lines[from..].join("\n"))
}

/// The broker's binary: the one that `LEVERET_BINARY` names, or that of this workspace, brought up
/// to date once.
pub fn binary() -> Result<PathBuf> {
    match env::var_os("LEVERET_BINARY") {
        Some(given) => Ok(given.into()),
        None => program("leveret"),
    }
}

/// A binary of this workspace: the one in the folder that `LEVERET_PROGRAMS` names, or brought up to date
/// once.
pub fn program(name: &str) -> Result<PathBuf> {
    if let Some(folder) = env::var_os("LEVERET_PROGRAMS") {
        return Ok(Path::new(&folder).join(name));
    }
    static BUILT: Mutex<BTreeMap<String, std::result::Result<PathBuf, String>>> =
        Mutex::new(BTreeMap::new());
    // Whoever comes second waits.
    let mut built = BUILT.lock();
    let found = built
        .entry(name.to_owned())
        .or_insert_with(|| build(name).map_err(|error| format!("{error:#}")));
    found.clone().map_err(anyhow::Error::msg)
}

fn build(name: &str) -> Result<PathBuf> {
    let test = env::current_exe()?;
    let profile_folder = test.parent().and_then(Path::parent);
    let profile_folder = profile_folder.context("a test lies in target/PROFILE/deps")?;
    let profile = profile_folder.file_name().unwrap_or_default();
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--quiet", "--workspace", "--bin", name])
        // A test among what is built, and the whole workspace, make the features of all libraries those that
        // `cargo test --workspace` built them with: nothing is built twice. It is a small one, and there already.
        .args(["--test", "conformance_table"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    if profile == "release" {
        build.arg("--release");
    }
    // What `cargo test` says of this package to its tests is nothing that the user's shell would say:
    // a build script that looks at it (ring's does) and all that depends on it would be built anew.
    let told = env::vars_os().map(|(name, _)| name);
    for name in told.filter(|name| is_of_running_package(&name.to_string_lossy())) {
        build.env_remove(name);
    }
    let output = build.output().context("cargo cannot be run")?;
    if !output.status.success() {
        // The compiler's own words say more than any summary.
        let _ = std::io::stderr().write_all(&output.stderr);
        bail!("{name} cannot be built");
    }
    Ok(profile_folder.join(name))
}

/// Whether cargo sets the variable for what it runs, and reads it from nobody.
fn is_of_running_package(variable: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    let names = [
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
    ];
    prefixes.iter().any(|prefix| variable.starts_with(prefix)) || names.contains(&variable)
}
