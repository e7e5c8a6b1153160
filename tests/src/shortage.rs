//! Brokers that a test may let run short of memory or disk. An alarm stops everybody who publishes,
//! so each is for one test at a time: ours is embedded in the test, RabbitMQ is a node of its own.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use leveret::Threshold;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::client::{Client, Options};
use crate::context::{Context, say_skipped};
use crate::target::{Address, Target};

/// Where RabbitMQ's node for alarms is, and the command that `rabbitmqctl`'s arguments are added to.
const URL: &str = "RABBITMQ_ALARM_URL";
const CONTROL: &str = "RABBITMQ_ALARM_CTL";

/// Held by the test that uses RabbitMQ's node.
static NODE: Mutex<()> = Mutex::const_new(());

/// A broker that may run short.
#[derive(Debug)]
pub struct Needy {
    /// Where it listens.
    pub address: Address,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Leveret {
        broker: Box<leveret::Broker>,
        _folder: TempDir,
    },
    RabbitMq {
        control: Control,
        _turn: MutexGuard<'static, ()>,
    },
}

impl Needy {
    /// The broker of the context's kind; `None`, and a word about it, if there is none to be had.
    pub async fn start(context: &Context) -> Result<Option<Self>> {
        match context.target {
            Target::Leveret => {
                let builder = leveret::Broker::builder().amqp("127.0.0.1:0");
                let folder = tempfile::tempdir()?;
                let broker = builder.data_dir(folder.path()).start().await?;
                let address = Address::parse(&broker.amqp_url())?;
                let kind = Kind::Leveret {
                    broker: Box::new(broker),
                    _folder: folder,
                };
                Ok(Some(Self { address, kind }))
            }
            Target::RabbitMq => {
                let (Ok(url), Ok(control)) = (env::var(URL), env::var(CONTROL)) else {
                    let absence = format!("{URL} and {CONTROL} are not set");
                    say_skipped(context.target, "alarms", &absence);
                    return Ok(None);
                };
                let turn = NODE.lock().await;
                let kind = Kind::RabbitMq {
                    control: Control(control),
                    _turn: turn,
                };
                Ok(Some(Self {
                    address: Address::parse(&url)?,
                    kind,
                }))
            }
        }
    }

    /// A client of it, with channel 1 open.
    pub async fn client(&self) -> Result<Client> {
        self.client_with(&Options::default()).await
    }

    /// A client of it with these options, and channel 1 open.
    pub async fn client_with(&self, options: &Options) -> Result<Client> {
        let mut client = Client::connect(&self.address, options).await?;
        client.open(1).await?;
        Ok(client)
    }

    /// From now on it has too little memory.
    pub async fn lack_memory(&self) -> Result<()> {
        match &self.kind {
            Kind::Leveret { broker, .. } => {
                broker.set_memory_high_watermark(Threshold::Bytes(1)).await;
                Ok(())
            }
            Kind::RabbitMq { control, .. } => {
                control.run(&["set_vm_memory_high_watermark", "absolute", "1MB"])
            }
        }
    }

    /// From now on it has too little space on its disk.
    pub async fn lack_disk(&self) -> Result<()> {
        const PLENTY: u64 = 1 << 50;
        match &self.kind {
            Kind::Leveret { broker, .. } => {
                broker.set_disk_free_limit(Threshold::Bytes(PLENTY)).await;
                Ok(())
            }
            Kind::RabbitMq { control, .. } => {
                control.run(&["set_disk_free_limit", &PLENTY.to_string()])
            }
        }
    }

    /// It has enough of everything again.
    pub async fn recover(&self) -> Result<()> {
        match &self.kind {
            Kind::Leveret { broker, .. } => {
                let most = Threshold::OfMemory(0.9);
                broker.set_memory_high_watermark(most).await;
                broker.set_disk_free_limit(Threshold::Bytes(0)).await;
                Ok(())
            }
            Kind::RabbitMq { control, .. } => control.recover(),
        }
    }

    /// Closes every connection, as an operator does.
    pub async fn close_all_connections(&self) -> Result<()> {
        match &self.kind {
            Kind::Leveret { broker, .. } => {
                broker.reset().await;
                Ok(())
            }
            Kind::RabbitMq { control, .. } => control.run(&["close_all_connections", "reset"]),
        }
    }
}

/// A command that controls a node.
#[derive(Debug)]
struct Control(String);

impl Control {
    fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut words = self.0.split_whitespace();
        let program = words.next().context("the command is empty")?;
        let output = Command::new(program)
            .args(words)
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn recover(&self) -> Result<()> {
        self.run(&["set_vm_memory_high_watermark", "0.6"])?;
        self.run(&["set_disk_free_limit", "50MB"])
    }
}

impl Drop for Control {
    // The next test finds the node as it was.
    fn drop(&mut self) {
        if let Err(error) = self.recover() {
            eprintln!("RabbitMQ's node is left with an alarm: {error:#}");
        }
    }
}
