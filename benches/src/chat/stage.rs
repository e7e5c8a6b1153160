//! Everything that runs in a round: the broker, the service, the reader as processes, and the writers as
//! sessions in this one. All of it ends with the round.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use leveret_client::http::ServiceHttp;
use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{Body, Post, Timestamp, UserId};
use leveret_client::session::{Notice, Session};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc as notices;
use tokio::task::JoinHandle;

use crate::chat::command::ChatOptions;
use crate::chat::ledger::{Number, Shown};
use crate::chat::reader::{self, Script};
use crate::crash::{Target, Victim, free_port};

/// For a service to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(120);
const READER: &str = "reader";

/// A process that can be killed and started again.
#[derive(Debug)]
struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Program {
    fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(log).spawn();
        self.child = Some(child.with_context(|| format!("starting {}", self.path.display()))?);
        Ok(())
    }

    /// Waits for its first line.
    fn wait_until_ready(&mut self) -> Result<()> {
        let output = self.child.as_mut().and_then(|child| child.stdout.take());
        let output = output.context("it runs")?;
        let (sender, line) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Only the first line has a receiver; the rest is read so that nobody blocks.
                let _ = sender.send(line);
            }
        });
        let ready = line.recv_timeout(PATIENCE);
        ready.map(drop).with_context(|| {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            format!("{} does not get ready: {log}", self.path.display())
        })
    }

    fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    fn has_ended(&mut self) -> Result<bool> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.is_some()),
            None => Ok(false),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be dead already; either way there is nobody left to tell.
        let _ = self.kill();
    }
}

/// Somebody who writes, and what it hears.
struct Writer {
    session: Arc<Session>,
    device: BrokerUser,
    notices: notices::Receiver<Notice>,
}

/// Everything that runs.
pub(crate) struct Stage {
    writers: Vec<Writer>,
    reader: Program,
    service: Program,
    broker: Victim,
    runtime: Runtime,
    script: Script,
    // Removed last.
    _folder: TempDir,
}

impl Stage {
    pub(crate) fn start(target: &Target, service: &Path, options: &ChatOptions) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("leveret-bench-chat-")
            .tempdir()?;
        let mut broker = target.victim()?;
        broker.start()?;
        let management = target
            .management_port
            .context("the broker has an HTTP API")?;
        let address = target.uri.address();
        let http = format!("127.0.0.1:{}", free_port(|_| true)?);
        let text = |text: &str| text.to_owned();
        let mut service = Program {
            path: service.to_owned(),
            arguments: vec![
                text("serve"),
                text("--broker"),
                format!("amqp://guest:guest@{address}/chat"),
                text("--management"),
                format!("http://guest:guest@127.0.0.1:{management}"),
                text("--data-dir"),
                folder.path().join("chat").to_string_lossy().into_owned(),
                text("--http"),
                http.clone(),
                text("--shards"),
                text("8"),
            ],
            log: folder.path().join("service.log"),
            child: None,
        };
        service.start()?;
        service.wait_until_ready()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let folder_path = folder.path();
        let (script, writers) =
            runtime.block_on(people(&format!("http://{http}"), options, folder_path))?;
        let path = folder.path().join("reader.script");
        std::fs::write(&path, serde_json::to_vec(&script)?)?;
        let mut reader = Program {
            path: std::env::current_exe()?,
            arguments: vec![text("chat-reader"), path.to_string_lossy().into_owned()],
            log: folder.path().join("reader.log"),
            child: None,
        };
        reader.start()?;
        Ok(Self {
            writers,
            reader,
            service,
            broker,
            runtime,
            script,
            _folder: folder,
        })
    }

    /// Begins to write everything. A message counts as written when it is on the disk of its writer, who
    /// will send it whatever happens.
    pub(crate) fn begin_to_write(&self, options: &ChatOptions) -> JoinHandle<Result<()>> {
        let writers: Vec<_> = self
            .writers
            .iter()
            .map(|writer| (writer.session.clone(), writer.device.clone()))
            .collect();
        let (reader, count) = (self.script.device.0.clone(), options.count);
        self.runtime.spawn(async move {
            for place in 0..count {
                for (writer, (session, by)) in (0..).zip(&writers) {
                    let text = Number { writer, place }.text();
                    let body = Body::text(&text);
                    let post = Post::to_user(&reader, &by.user, &by.device, body, Timestamp::now());
                    session.send(post).await?;
                }
            }
            Ok(())
        })
    }

    /// Waits until everything is written.
    pub(crate) fn end_writing(&self, writing: JoinHandle<Result<()>>) -> Result<()> {
        self.runtime.block_on(writing)?
    }

    /// What was shown so far. Fails if a message was refused, or a process ended by itself.
    pub(crate) fn shown(&mut self) -> Result<Vec<Shown>> {
        for writer in &mut self.writers {
            while let Ok(notice) = writer.notices.try_recv() {
                if let Notice::Rejected(rejected, _) = notice {
                    bail!("a message was refused: {}", rejected.code);
                }
            }
        }
        ensure!(!self.reader.has_ended()?, "the reader has ended");
        reader::screen(&self.script.screen)
    }

    pub(crate) fn kill_broker(&mut self) -> Result<()> {
        self.broker.kill()
    }

    /// Starts the broker again, and does not wait.
    pub(crate) fn start_broker(&mut self) -> Result<()> {
        self.broker.launch().map(drop)
    }

    /// Kills the service and starts it again at once.
    pub(crate) fn restart_service(&mut self) -> Result<()> {
        self.service.kill()?;
        self.service.start()
    }

    /// Kills the reader and starts it again at once.
    pub(crate) fn restart_reader(&mut self) -> Result<()> {
        self.reader.kill()?;
        self.reader.start()
    }

    /// As its supervisor would: a service that found no broker when it started is started again.
    pub(crate) fn supervise(&mut self) -> Result<()> {
        if self.service.has_ended()? {
            self.service.start()?;
        }
        Ok(())
    }
}

/// The reader's access, and the writers, connected.
async fn people(http: &str, options: &ChatOptions, folder: &Path) -> Result<(Script, Vec<Writer>)> {
    let http = ServiceHttp::new(http);
    let mut writers = Vec::new();
    let (device, access) = register(&http, READER).await?;
    let script = Script {
        device: (device.user.clone(), device.device.clone()),
        access,
        journal: folder.join("reader.journal"),
        screen: folder.join("reader.screen"),
    };
    for number in 0..options.writers {
        let name = format!("writer{number}");
        let (device, access) = register(&http, &name).await?;
        let connector = reader::connector(&device, &access)?;
        let journal = folder.join(format!("{name}.journal"));
        let started = Session::start(connector, device.clone(), journal.as_path());
        let (session, notices) = started.await.context("a writer's session")?;
        writers.push(Writer {
            session: Arc::new(session),
            device,
            notices,
        });
    }
    Ok((script, writers))
}

async fn register(
    http: &ServiceHttp,
    name: &str,
) -> Result<(BrokerUser, leveret_client::http::AmqpAccess)> {
    let handle = name.parse()?;
    let password = format!("{name}'s password");
    http.register(&handle, &password, false).await?;
    let login = http.login(&handle, &password, None, "benchmark").await?;
    let access = http.amqp(&login.token).await?;
    let user: UserId = login.user;
    let device = login.device;
    Ok((BrokerUser { user, device }, access))
}
