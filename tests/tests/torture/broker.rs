//! The broker under torture: ours as a process, ours within the service, or a RabbitMQ.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leveret_client::message::properties::VIRTUAL_HOST;
use leveret_tests::process;
use leveret_tests::target::Address;

use super::program::{self, Program, free_port};

/// Which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BrokerKind {
    /// Ours, a process of its own.
    Leveret,
    /// Ours, within the service.
    Embedded,
    /// A RabbitMQ that others use as well: it is spared.
    SharedRabbitMq { url: String, management: String },
    /// A RabbitMQ of our own, by `.ci/rabbitmq`.
    OwnRabbitMq {
        name: String,
        amqp: u16,
        management: u16,
    },
}

impl BrokerKind {
    /// The RabbitMQ that the environment names, if it names one.
    pub(crate) fn rabbitmq() -> Result<Option<Self>> {
        if let Ok(own) = std::env::var("LEVERET_TORTURE_RABBITMQ") {
            let words: Vec<_> = own.split_whitespace().collect();
            let [name, amqp, management] = words[..] else {
                anyhow::bail!("LEVERET_TORTURE_RABBITMQ is NAME AMQP_PORT MANAGEMENT_PORT");
            };
            return Ok(Some(Self::OwnRabbitMq {
                name: name.to_owned(),
                amqp: amqp.parse()?,
                management: management.parse()?,
            }));
        }
        let (url, management) = (
            std::env::var("RABBITMQ_URL"),
            std::env::var("RABBITMQ_MANAGEMENT_URL"),
        );
        Ok(url
            .ok()
            .zip(management.ok())
            .map(|(url, management)| Self::SharedRabbitMq { url, management }))
    }
}

/// What a service has to know of a broker.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// With the service's login and virtual host.
    pub(crate) url: String,
    pub(crate) management: String,
}

impl Reach {
    fn of(amqp: u16, management: u16) -> Self {
        Self {
            url: format!("amqp://guest:guest@127.0.0.1:{amqp}/{VIRTUAL_HOST}"),
            management: format!("http://guest:guest@127.0.0.1:{management}"),
        }
    }
}

/// A broker under torture.
#[derive(Debug)]
pub(crate) enum Broker {
    Leveret {
        program: Program,
        reach: Reach,
    },
    /// It lives and dies with the service.
    Embedded {
        amqp: u16,
        management: u16,
        reach: Reach,
    },
    Shared {
        reach: Reach,
        host: String,
        users: Vec<String>,
    },
    Own {
        script: PathBuf,
        name: String,
        ports: [String; 2],
        reach: Reach,
        node: Node,
    },
}

/// A RabbitMQ of our own.
#[derive(Debug)]
pub(crate) enum Node {
    Runs {
        pid: u32,
        since: Instant,
    },
    /// It takes its time, in which others suffer.
    Starts(Child),
}

/// How long a RabbitMQ is left in peace when it has started: it takes half a minute to come, and should be there
/// half of the time.
const PEACE: Duration = Duration::from_secs(20);

impl Broker {
    pub(crate) fn start(kind: &BrokerKind, folder: &Path) -> Result<Self> {
        Ok(match kind {
            BrokerKind::Leveret => leveret(folder)?,
            BrokerKind::Embedded => {
                let (amqp, management) = (free_port()?, free_port()?);
                Self::Embedded {
                    amqp,
                    management,
                    reach: Reach::of(amqp, management),
                }
            }
            BrokerKind::SharedRabbitMq { url, management } => {
                let address = Address::parse(url)?;
                let host = format!("torture-{:08x}", rand::random::<u32>());
                let Address {
                    socket,
                    user,
                    password,
                    ..
                } = address;
                Self::Shared {
                    reach: Reach {
                        url: format!("amqp://{user}:{password}@{socket}/{host}"),
                        management: management.clone(),
                    },
                    host,
                    users: Vec::new(),
                }
            }
            BrokerKind::OwnRabbitMq {
                name,
                amqp,
                management,
            } => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/rabbitmq");
                let ports = [amqp.to_string(), management.to_string()];
                let node = Node::of(up(&script, name, &ports)?)?;
                Self::Own {
                    script,
                    name: name.clone(),
                    reach: Reach::of(*amqp, *management),
                    ports,
                    node,
                }
            }
        })
    }

    /// Where it is.
    pub(crate) fn reach(&self) -> &Reach {
        match self {
            Self::Leveret { reach, .. }
            | Self::Embedded { reach, .. }
            | Self::Shared { reach, .. }
            | Self::Own { reach, .. } => reach,
        }
    }

    /// Where the service is to open it, if it is within the service.
    pub(crate) fn sockets(&self) -> Option<(String, String)> {
        match self {
            Self::Embedded {
                amqp, management, ..
            } => Some((
                format!("127.0.0.1:{amqp}"),
                format!("127.0.0.1:{management}"),
            )),
            Self::Leveret { .. } | Self::Shared { .. } | Self::Own { .. } => None,
        }
    }

    /// Whether it is there, as far as it was not killed.
    pub(crate) fn is_up(&mut self) -> Result<bool> {
        let Self::Own { node, .. } = self else {
            return Ok(true);
        };
        if let Node::Starts(child) = node {
            if child.try_wait()?.is_none() {
                return Ok(false);
            }
            let (pid, since) = (0, Instant::now());
            if let Node::Starts(child) = std::mem::replace(node, Node::Runs { pid, since }) {
                *node = Node::of(child)?;
            }
        }
        Ok(true)
    }

    /// Whether it is to be tortured by itself.
    pub(crate) fn is_victim(&self) -> bool {
        match self {
            Self::Leveret { .. } | Self::Own { .. } => true,
            Self::Embedded { .. } | Self::Shared { .. } => false,
        }
    }

    /// Whether it is there, and was for long enough to be tortured.
    pub(crate) fn is_ready(&mut self) -> Result<bool> {
        let is_up = self.is_up()?;
        Ok(match self {
            Self::Own {
                node: Node::Runs { since, .. },
                ..
            } => since.elapsed() > PEACE,
            _ => is_up,
        })
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        match self {
            Self::Leveret { program, .. } => program.kill(),
            Self::Own { node, .. } => node.signal("KILL"),
            Self::Embedded { .. } | Self::Shared { .. } => Ok(()),
        }
    }

    /// Starts it again after it was killed; [`Broker::is_up`] says when it is there.
    pub(crate) fn restart(&mut self) -> Result<()> {
        match self {
            Self::Leveret { program, .. } => program.start_and_wait("leveret ready ").map(drop),
            Self::Own {
                script,
                name,
                ports,
                node,
                ..
            } => {
                *node = Node::Starts(up(script, name, ports)?);
                Ok(())
            }
            Self::Embedded { .. } | Self::Shared { .. } => Ok(()),
        }
    }

    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        match self {
            Self::Leveret { program, .. } => program.signal(name),
            Self::Own { node, .. } => node.signal(name),
            Self::Embedded { .. } | Self::Shared { .. } => Ok(()),
        }
    }

    /// A user was made, who is to go with the broker.
    pub(crate) fn made(&mut self, user: String) {
        if let Self::Shared { users, .. } = self {
            users.push(user);
        }
    }

    pub(crate) fn tail(&self) -> String {
        match self {
            Self::Leveret { program, .. } => program.tail(),
            Self::Embedded { .. } | Self::Shared { .. } | Self::Own { .. } => String::new(),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure.
        match self {
            Self::Own { script, name, .. } => {
                let _ = Command::new(script).args(["--down", name]).status();
            }
            Self::Shared { reach, host, users } => {
                let users = users.iter().map(|user| format!("users/{user}"));
                let paths: Vec<_> = users.chain([format!("vhosts/{host}")]).collect();
                let management = reach.management.clone();
                let _ = std::thread::spawn(move || delete(&management, &paths)).join();
            }
            Self::Leveret { .. } | Self::Embedded { .. } => {}
        }
    }
}

fn leveret(folder: &Path) -> Result<Broker> {
    let (amqp, management) = (free_port()?, free_port()?);
    let data = folder.join("broker");
    let mut program = Program::new(
        "broker",
        &process::binary()?,
        &[
            "serve",
            "--data-dir",
            &data.to_string_lossy(),
            "--amqp",
            &format!("127.0.0.1:{amqp}"),
            "--management",
            &format!("127.0.0.1:{management}"),
            "--prometheus",
            "none",
        ],
        folder,
    );
    program.start_and_wait("leveret ready ")?;
    Ok(Broker::Leveret {
        program,
        reach: Reach::of(amqp, management),
    })
}

impl Node {
    /// Waits until it runs.
    fn of(starting: Child) -> Result<Self> {
        Ok(Self::Runs {
            pid: pid_of(starting)?,
            since: Instant::now(),
        })
    }

    fn signal(&self, name: &str) -> Result<()> {
        match self {
            Self::Runs { pid, .. } => program::signal(*pid, name),
            Self::Starts(_) => Ok(()),
        }
    }
}

/// Begins to start the node.
fn up(script: &Path, name: &str, ports: &[String; 2]) -> Result<Child> {
    let mut command = Command::new(script);
    command.arg(name).args(ports);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command.spawn()?)
}

/// Waits for the node, and gives its process.
fn pid_of(starting: Child) -> Result<u32> {
    let output = starting.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "RabbitMQ does not start: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let pid = text
        .lines()
        .find_map(|line| line.strip_prefix("RABBITMQ_PID="));
    Ok(pid.context("no process is named")?.parse()?)
}

/// Takes away from a broker that others use what was made there.
fn delete(management: &str, paths: &[String]) {
    let (scheme, rest) = management.split_once("://").unwrap_or(("http", management));
    let (login, host) = rest.split_once('@').unwrap_or(("guest:guest", rest));
    let login = data_encoding::BASE64.encode(login.as_bytes());
    for path in paths {
        let url = format!("{scheme}://{}/api/{path}", host.trim_end_matches('/'));
        let call = ureq::delete(url).header("authorization", format!("Basic {login}"));
        // What cannot be deleted stays.
        let _ = call.call();
    }
}
