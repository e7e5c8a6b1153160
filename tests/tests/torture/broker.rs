//! The broker under torture: ours as a process, ours within the service, or a RabbitMQ.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
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
        pid: u32,
    },
}

impl Broker {
    pub(crate) fn start(kind: &BrokerKind, folder: &Path) -> Result<Self> {
        Ok(match kind {
            BrokerKind::Leveret => leveret(folder)?,
            BrokerKind::Embedded => Self::Embedded {
                amqp: free_port()?,
                management: free_port()?,
            },
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
                let pid = up(&script, name, &ports)?;
                Self::Own {
                    script,
                    name: name.clone(),
                    reach: Reach {
                        url: format!("amqp://guest:guest@127.0.0.1:{amqp}/chat"),
                        management: format!("http://guest:guest@127.0.0.1:{management}"),
                    },
                    ports,
                    pid,
                }
            }
        })
    }

    /// Where it is, for a service that is another process.
    pub(crate) fn reach(&self) -> Option<&Reach> {
        match self {
            Self::Leveret { reach, .. } | Self::Shared { reach, .. } | Self::Own { reach, .. } => {
                Some(reach)
            }
            Self::Embedded { .. } => None,
        }
    }

    /// Whether it is to be tortured by itself.
    pub(crate) fn is_victim(&self) -> bool {
        match self {
            Self::Leveret { .. } | Self::Own { .. } => true,
            Self::Embedded { .. } | Self::Shared { .. } => false,
        }
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        match self {
            Self::Leveret { program, .. } => program.kill(),
            Self::Own { pid, .. } => program::signal(*pid, "KILL"),
            Self::Embedded { .. } | Self::Shared { .. } => Ok(()),
        }
    }

    /// Starts it again after it was killed. A RabbitMQ takes its time, in which nothing else is done.
    pub(crate) fn restart(&mut self) -> Result<()> {
        match self {
            Self::Leveret { program, .. } => program.start_and_wait("leveret ready ").map(drop),
            Self::Own {
                script,
                name,
                ports,
                pid,
                ..
            } => {
                *pid = up(script, name, ports)?;
                Ok(())
            }
            Self::Embedded { .. } | Self::Shared { .. } => Ok(()),
        }
    }

    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        match self {
            Self::Leveret { program, .. } => program.signal(name),
            Self::Own { pid, .. } => program::signal(*pid, name),
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
        reach: Reach {
            url: format!("amqp://guest:guest@127.0.0.1:{amqp}/chat"),
            management: format!("http://guest:guest@127.0.0.1:{management}"),
        },
    })
}

/// Starts the node, and gives its process.
fn up(script: &Path, name: &str, ports: &[String; 2]) -> Result<u32> {
    let output = Command::new(script).arg(name).args(ports).output()?;
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
