//! The brokers that can be put to the test, and how each is started and killed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::crash::victim::{Victim, VictimOptions};
use crate::wire::{Uri, Value};

/// A broker by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetName {
    Leveret,
    /// RabbitMQ with classic queues, and RabbitMQ with quorum queues.
    Rabbitmq,
    RabbitmqClassic,
    RabbitmqQuorum,
}

/// How RabbitMQ is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RabbitmqBy {
    /// By `.ci/rabbitmq`, as root on Debian.
    Script,
    /// In a container.
    Docker,
}

/// Which brokers, and where their programs are.
#[derive(Debug, Args)]
pub(crate) struct TargetOptions {
    /// A broker to put to the test, once per broker; `rabbitmq` stands for both kinds of queue.
    #[arg(long, value_enum, value_name = "BROKER", help_heading = "Targets")]
    target: Vec<TargetName>,
    /// Leveret's program [default: the one beside this program, built by cargo in a source tree].
    #[arg(long, value_name = "FILE", help_heading = "Targets")]
    leveret: Option<PathBuf>,
    /// Arguments more for Leveret, in one text.
    #[arg(
        long,
        value_name = "ARGUMENTS",
        default_value = "",
        help_heading = "Targets"
    )]
    leveret_args: String,
    /// How RabbitMQ is run [default: by the script where it can, else in a container].
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Targets")]
    rabbitmq_by: Option<RabbitmqBy>,
    /// The container's image.
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "rabbitmq:4",
        help_heading = "Targets"
    )]
    rabbitmq_image: String,
    /// Another broker: where it listens.
    #[arg(long, value_name = "URI", requires = "start", help_heading = "Targets")]
    uri: Option<Uri>,
    /// Shell command that starts it. `{dir}` becomes a directory of its own, empty in each round.
    /// It runs in a process group, which is killed as a whole unless there is a --kill.
    #[arg(long, value_name = "CMD", requires = "uri", help_heading = "Targets")]
    start: Option<String>,
    /// What to call it.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "broker",
        help_heading = "Targets"
    )]
    name: String,
    #[command(flatten)]
    victim: VictimOptions,
}

/// What our own broker is called.
const LEVERET: &str = "leveret";

/// Where a chat's broker is.
#[derive(Debug, Clone)]
pub(crate) enum ChatBroker {
    /// Within the chat's service.
    Embedded,
    /// A process of its own.
    Beside(Box<Target>),
}

impl ChatBroker {
    /// What to call it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Embedded => LEVERET,
            Self::Beside(target) => &target.name,
        }
    }
}

/// A broker, ready to be started in each round.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// What makes its queues the kind that is meant.
    pub(crate) queue_arguments: Vec<(String, Value)>,
    /// The port of its HTTP API, if it is known.
    pub(crate) management_port: Option<u16>,
    pub(crate) uri: Uri,
    start: String,
    victim: VictimOptions,
}

impl Target {
    /// A new broker with nothing in it, not running yet.
    pub(crate) fn victim(&self) -> Result<Victim> {
        Victim::new(&self.start, &self.victim, &self.uri)
    }
}

impl TargetOptions {
    /// The brokers in the order they were named; what is missing is said before any is started.
    pub(crate) fn targets(&self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for name in &self.target {
            match name {
                TargetName::Leveret => targets.push(self.leveret()?),
                TargetName::Rabbitmq => {
                    targets.push(self.rabbitmq(QueueKind::Classic)?);
                    targets.push(self.rabbitmq(QueueKind::Quorum)?);
                }
                TargetName::RabbitmqClassic => targets.push(self.rabbitmq(QueueKind::Classic)?),
                TargetName::RabbitmqQuorum => targets.push(self.rabbitmq(QueueKind::Quorum)?),
            }
        }
        if let (Some(uri), Some(start)) = (&self.uri, &self.start) {
            targets.push(Target {
                name: self.name.clone(),
                queue_arguments: Vec::new(),
                management_port: None,
                uri: uri.clone(),
                start: start.clone(),
                victim: self.victim.clone(),
            });
        }
        if targets.is_empty() {
            targets.push(self.leveret()?);
        }
        Ok(targets)
    }

    /// Leveret, and RabbitMQ with classic queues.
    pub(crate) fn pair(&self) -> Result<[Target; 2]> {
        let is_plain = self.target.is_empty() && self.uri.is_none();
        ensure!(
            is_plain,
            "the brokers are Leveret and RabbitMQ: no --target, no --uri"
        );
        Ok([self.leveret()?, self.rabbitmq(QueueKind::Classic)?])
    }

    /// The brokers for a chat that has its own broker within it unless another one is named.
    pub(crate) fn chat_brokers(&self) -> Result<Vec<ChatBroker>> {
        let mut brokers: Vec<ChatBroker> = Vec::new();
        for name in self.chat_names()? {
            let broker = match name {
                TargetName::Leveret => ChatBroker::Embedded,
                TargetName::Rabbitmq | TargetName::RabbitmqClassic | TargetName::RabbitmqQuorum => {
                    ChatBroker::Beside(Box::new(self.chat_rabbitmq()?))
                }
            };
            if brokers.iter().all(|known| known.name() != broker.name()) {
                brokers.push(broker);
            }
        }
        Ok(brokers)
    }

    /// The brokers for something that speaks to their HTTP APIs as well, and declares its own queues.
    pub(crate) fn chat_targets(&self) -> Result<Vec<Target>> {
        let mut targets: Vec<Target> = Vec::new();
        for name in self.chat_names()? {
            let target = match name {
                TargetName::Leveret => self.leveret()?,
                TargetName::Rabbitmq | TargetName::RabbitmqClassic | TargetName::RabbitmqQuorum => {
                    self.chat_rabbitmq()?
                }
            };
            if targets.iter().all(|known| known.name != target.name) {
                targets.push(target);
            }
        }
        Ok(targets)
    }

    fn chat_names(&self) -> Result<&[TargetName]> {
        ensure!(
            self.uri.is_none(),
            "the chat needs a broker's HTTP API: name a --target"
        );
        Ok(match &self.target[..] {
            [] => &[TargetName::Leveret],
            named => named,
        })
    }

    /// RabbitMQ with whatever queues the chat declares.
    fn chat_rabbitmq(&self) -> Result<Target> {
        let target = Target {
            name: "rabbitmq".to_owned(),
            queue_arguments: Vec::new(),
            ..self.rabbitmq(QueueKind::Classic)?
        };
        ensure!(
            target.management_port.is_some(),
            "{} has no HTTP API here",
            target.name
        );
        Ok(target)
    }

    fn leveret(&self) -> Result<Target> {
        let own = match &self.leveret {
            Some(own) => own.clone(),
            None => program("leveret", "leveret")?,
        };
        ensure!(own.is_file(), "there is no {}", own.display());
        let port = free_port(|_| true)?;
        let management = free_port(|other| other != port)?;
        let start = format!(
            "exec {} serve --data-dir {{dir}}/data --amqp 127.0.0.1:{port} --management 127.0.0.1:{management} {}",
            quoted(&own)?,
            self.leveret_args
        );
        Ok(Target {
            name: LEVERET.to_owned(),
            queue_arguments: Vec::new(),
            management_port: Some(management),
            uri: local_uri(port)?,
            start,
            victim: VictimOptions {
                kill: None,
                remove: None,
                pid_file: None,
                ..self.victim.clone()
            },
        })
    }

    fn rabbitmq(&self, kind: QueueKind) -> Result<Target> {
        // The node's own port for its peers lies 20000 above.
        let port = free_port(|port| (20_000..40_000).contains(&port) && is_free(port + 20_000))?;
        let node = format!("leveret-bench-{port}");
        let mut target = match self.rabbitmq_by {
            Some(RabbitmqBy::Script) => self.rabbitmq_by_script(&node, port)?,
            Some(RabbitmqBy::Docker) => self.rabbitmq_in_docker(&node, port)?,
            None => self
                .rabbitmq_by_script(&node, port)
                .or_else(|_| self.rabbitmq_in_docker(&node, port))
                .context("RabbitMQ can be run neither by .ci/rabbitmq nor by docker")?,
        };
        if kind == QueueKind::Quorum {
            let quorum = Value::Text("quorum".to_owned());
            target.queue_arguments = vec![("x-queue-type".to_owned(), quorum)];
        }
        target.name = format!("rabbitmq-{}", kind.name());
        Ok(target)
    }

    fn rabbitmq_by_script(&self, node: &str, port: u16) -> Result<Target> {
        let script = source_tree()?.join(".ci/rabbitmq");
        ensure!(script.is_file(), "there is no {}", script.display());
        let is_root = rustix::process::geteuid().is_root();
        ensure!(is_root, ".ci/rabbitmq needs root");
        let script = quoted(&script)?;
        // The first start ever unpacks it; that is no broker's start.
        let unpacked = Command::new("sh")
            .arg("-c")
            .arg(format!("{script} --ctl {node} version"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !unpacked.success() {
            eprintln!("leveret-bench: unpacking RabbitMQ (once, some minutes)");
        }
        let management = free_port(|other| other != port)?;
        let root = std::env::var("ROOT").unwrap_or_else(|_| "/opt/rabbitmq-4".to_owned());
        Ok(Target {
            name: String::new(),
            queue_arguments: Vec::new(),
            management_port: Some(management),
            uri: local_uri(port)?,
            start: format!("exec {script} {node} {port} {management}"),
            victim: VictimOptions {
                kill: Some(format!("{script} --kill {node}")),
                remove: Some(format!("{script} --down {node}")),
                pid_file: Some(PathBuf::from(format!("{root}/data/{node}/pid"))),
                ..self.victim.clone()
            },
        })
    }

    fn rabbitmq_in_docker(&self, node: &str, port: u16) -> Result<Target> {
        let status = Command::new("docker")
            .args(["version", "--format", "{{.Server.Version}}"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ensure!(
            status.is_ok_and(|status| status.success()),
            "there is no docker that answers"
        );
        let image = &self.rabbitmq_image;
        let run = format!(
            "docker run -d --name {node} --hostname {node} -p 127.0.0.1:{port}:5672 {image}"
        );
        Ok(Target {
            name: String::new(),
            queue_arguments: Vec::new(),
            management_port: None,
            uri: local_uri(port)?,
            // A container that was killed is started again, with its data.
            start: format!("docker start {node} 2>/dev/null || {run}"),
            victim: VictimOptions {
                kill: Some(format!("docker kill -s KILL {node}")),
                remove: Some(format!("docker rm -f -v {node}")),
                pid_file: None,
                ..self.victim.clone()
            },
        })
    }
}

/// RabbitMQ's kinds of queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueKind {
    Classic,
    Quorum,
}

impl QueueKind {
    fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }
}

/// Where this program was built, if that still exists.
fn source_tree() -> Result<&'static Path> {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = benches.parent().context("no source tree")?;
    ensure!(tree.is_dir(), "the source tree is gone");
    Ok(tree)
}

/// A program beside this one; in a source tree cargo brings it up to date first.
pub(crate) fn program(package: &str, name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("where is this program?")?;
    let program = own.with_file_name(name);
    let Ok(tree) = source_tree() else {
        return Ok(program);
    };
    let mut build = Command::new("cargo");
    build.args([
        "build",
        "--quiet",
        "--locked",
        "--package",
        package,
        "--bin",
        name,
    ]);
    if own
        .parent()
        .is_some_and(|folder| folder.ends_with("release"))
    {
        build.arg("--release");
    }
    match build.current_dir(tree).status() {
        Ok(status) if !status.success() => bail!("cargo build --bin {name} failed: {status}"),
        // Without cargo the program that is there has to do.
        Ok(_) | Err(_) => Ok(program),
    }
}

fn quoted(path: &Path) -> Result<String> {
    let path = path.to_str().context("a path that is not UTF-8")?;
    Ok(format!("'{}'", path.replace('\'', r"'\''")))
}

fn local_uri(port: u16) -> Result<Uri> {
    Ok(format!("amqp://guest:guest@127.0.0.1:{port}/%2f").parse()?)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// A port that nobody listens on, and that `fits`.
pub(crate) fn free_port(fits: impl Fn(u16) -> bool) -> Result<u16> {
    if let Ok(listener) = TcpListener::bind("127.0.0.1:0") {
        let port = listener.local_addr()?.port();
        if fits(port) {
            return Ok(port);
        }
    }
    let first = 20_000 + u16::try_from(std::process::id() % 15_000).unwrap_or(0);
    (first..first + 5000)
        .find(|port| fits(*port) && is_free(*port))
        .context("no port is free")
}
