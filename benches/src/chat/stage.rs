//! Everything that runs in a round: the broker, the service, the reader as processes, and the writers as
//! sessions in this one. All of it ends with the round.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use leveret_client::http::ServiceHttp;
use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{Body, Post, Timestamp, UserId};
use leveret_client::session::{Notice, Session};
use tokio::runtime::Runtime;
use tokio::sync::mpsc as notices;
use tokio::task::JoinHandle;

use crate::chat::backend::{Backend, BrokerPlace, Program, ServiceProgram};
use crate::chat::command::ChatOptions;
use crate::chat::ledger::{Number, Shown};
use crate::chat::reader::{self, Script};
use crate::crash::{Target, Victim};

const READER: &str = "reader";

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
    runtime: Runtime,
    script: Script,
    // Ends last.
    backend: Backend,
}

impl Stage {
    pub(crate) fn start(target: &Target, service: &Path, options: &ChatOptions) -> Result<Self> {
        let program = ServiceProgram {
            path: service,
            options: &["--shards", "8"],
            import: None,
        };
        let backend = Backend::start(BrokerPlace::Beside(target), program)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let folder = backend.folder();
        let (script, writers) = runtime.block_on(people(&backend.http, options, folder))?;
        let path = folder.join("reader.script");
        std::fs::write(&path, serde_json::to_vec(&script)?)?;
        let arguments = vec![
            "chat-reader".to_owned(),
            path.to_string_lossy().into_owned(),
        ];
        let log = folder.join("reader.log");
        let mut reader = Program::new(std::env::current_exe()?, arguments, log);
        reader.start()?;
        Ok(Self {
            writers,
            reader,
            runtime,
            script,
            backend,
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
        self.broker()?.kill()
    }

    /// Starts the broker again, and does not wait.
    pub(crate) fn start_broker(&mut self) -> Result<()> {
        self.broker()?.launch().map(drop)
    }

    fn broker(&mut self) -> Result<&mut Victim> {
        let broker = self.backend.broker.as_mut();
        broker.context("the broker is a process of its own")
    }

    /// Kills the service and starts it again at once.
    pub(crate) fn restart_service(&mut self) -> Result<()> {
        self.backend.service.kill()?;
        self.backend.service.start()
    }

    /// Kills the reader and starts it again at once.
    pub(crate) fn restart_reader(&mut self) -> Result<()> {
        self.reader.kill()?;
        self.reader.start()
    }

    /// As its supervisor would: a service that found no broker when it started is started again.
    pub(crate) fn supervise(&mut self) -> Result<()> {
        if self.backend.service.has_ended()? {
            self.backend.service.start()?;
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
