//! The brokers that the clients talk to: our own as a process of its own, and a real RabbitMQ.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

/// A broker that is running.
pub(crate) enum Broker {
    Leveret(Leveret),
    /// One that was there before; its URL.
    RabbitMq(String),
    /// One that was started for this test.
    RestartableRabbitMq(RabbitMqNode),
}

impl Broker {
    /// Our broker, on free ports and an empty directory.
    pub(crate) fn leveret() -> anyhow::Result<Self> {
        Leveret::start().map(Self::Leveret)
    }

    /// The RabbitMQ that `RABBITMQ_URL` names. Without it the test is skipped, loudly.
    pub(crate) fn rabbitmq() -> anyhow::Result<Option<Self>> {
        if let Ok(url) = std::env::var("RABBITMQ_URL") {
            return Ok(Some(Self::RabbitMq(url)));
        }
        ensure!(
            !is_set("LEVERET_REQUIRE_RABBITMQ"),
            "RABBITMQ_URL is not set"
        );
        say("SKIPPED on RabbitMQ: RABBITMQ_URL is not set");
        Ok(None)
    }

    /// A RabbitMQ node of our own, if `LEVERET_RABBITMQ_RESTART=1` allows one to be installed.
    pub(crate) fn restartable_rabbitmq() -> anyhow::Result<Option<Self>> {
        if is_set("LEVERET_RABBITMQ_RESTART") {
            return RabbitMqNode::start().map(|node| Some(Self::RestartableRabbitMq(node)));
        }
        say("SKIPPED on RabbitMQ: restarts, as LEVERET_RABBITMQ_RESTART=1 is not set");
        Ok(None)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Leveret(_) => "leveret",
            Self::RabbitMq(_) | Self::RestartableRabbitMq(_) => "rabbitmq",
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Leveret(process) => process.url(),
            Self::RabbitMq(url) => url.clone(),
            Self::RestartableRabbitMq(_) => RabbitMqNode::url(),
        }
    }

    /// Kills the broker as a crash would, and starts it again on the same port and data.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Leveret(process) => process.restart(),
            Self::RabbitMq(_) => bail!("this RabbitMQ is not ours to restart"),
            Self::RestartableRabbitMq(node) => node.restart(),
        }
    }
}

/// Past the capture of test output, so that a skip is seen.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr(), "\n{line}").ok();
}

pub(crate) fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "1")
}

/// The `leveret` binary, serving a directory of its own.
pub(crate) struct Leveret {
    child: Child,
    data: TempDir,
    amqp: u16,
    management: u16,
}

impl Leveret {
    fn start() -> anyhow::Result<Self> {
        let data = TempDir::new()?;
        let (amqp, management) = free_ports()?;
        let child = serve(data.path(), amqp, management)?;
        Ok(Self {
            child,
            data,
            amqp,
            management,
        })
    }

    fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.amqp)
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.child = serve(self.data.path(), self.amqp, self.management)?;
        Ok(())
    }

    fn stop(&mut self) {
        // `kill` is SIGKILL; a process that is gone already is as dead as it should be.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Leveret {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Two ports that were free a moment ago.
fn free_ports() -> anyhow::Result<(u16, u16)> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    Ok((
        listeners[0].local_addr()?.port(),
        listeners[1].local_addr()?.port(),
    ))
}

/// Starts the binary and waits until it says that it is ready.
fn serve(data: &Path, amqp: u16, management: u16) -> anyhow::Result<Child> {
    let mut child = Command::new(leveret_tests::process::binary()?)
        .arg("serve")
        .arg("--data-dir")
        .arg(data)
        .args(["--amqp", &format!("127.0.0.1:{amqp}")])
        .args(["--management", &format!("127.0.0.1:{management}")])
        .args(["--prometheus", "none"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting leveret")?;
    let mut output = BufReader::new(child.stdout.take().context("no standard output")?);
    let mut line = String::new();
    while output.read_line(&mut line)? > 0 {
        if line.starts_with("leveret ready ") {
            // Its further output is read, so that it never finds the pipe full or gone.
            std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
            return Ok(child);
        }
        line.clear();
    }
    bail!("leveret ended with {} before it was ready", child.wait()?)
}

/// A RabbitMQ node that belongs to these tests: killed and started at will, removed at the end.
pub(crate) struct RabbitMqNode {
    pid: String,
}

impl RabbitMqNode {
    const NAME: &str = "clients-restart";
    const AMQP: &str = "5741";
    const MANAGEMENT: &str = "15741";

    fn start() -> anyhow::Result<Self> {
        Ok(Self {
            pid: Self::start_node()?,
        })
    }

    /// Starts the node on whatever data it has; its process id.
    fn start_node() -> anyhow::Result<String> {
        let said = control(&[Self::NAME, Self::AMQP, Self::MANAGEMENT])?;
        let pid = said
            .lines()
            .find_map(|line| line.strip_prefix("RABBITMQ_PID="));
        Ok(pid.context("no RABBITMQ_PID")?.to_owned())
    }

    fn url() -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", Self::AMQP)
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        control(&["--kill", Self::NAME])?;
        // Until the killed process is gone, the node would be taken for running.
        while Path::new("/proc").join(&self.pid).exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.pid = Self::start_node()?;
        Ok(())
    }
}

impl Drop for RabbitMqNode {
    fn drop(&mut self) {
        control(&["--down", Self::NAME]).ok();
    }
}

/// Runs the script that manages RabbitMQ nodes; its standard output.
fn control(arguments: &[&str]) -> anyhow::Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/rabbitmq");
    let said = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(script);
    // A file and not a pipe: the node inherits it and would keep a pipe open.
    let status = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(said.reopen()?)
        .status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(std::fs::read_to_string(said.path())?)
}
