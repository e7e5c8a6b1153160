//! Clients that are Rust libraries: their verbs, run and reported as those of the scripts are.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::future::BoxFuture;
use leveret_tests::foreign;
use leveret_tests::foreign::Report;
use tokio::sync::oneshot;

const VERB_TIMEOUT: Duration = Duration::from_secs(60);

/// A Rust library, and what is done with it.
#[derive(Clone, Copy)]
pub(crate) struct Native {
    /// The name of its crate.
    pub(crate) client: &'static str,
    pub(crate) verbs: &'static [&'static [Verb]],
}

/// One thing that the library does with a broker.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    pub(crate) restarts: bool,
    pub(crate) play: fn(Stage) -> BoxFuture<'static, anyhow::Result<()>>,
}

/// What a verb is played on.
pub(crate) struct Stage {
    pub(crate) url: String,
    asks: mpsc::Sender<oneshot::Sender<()>>,
}

impl Stage {
    /// Has the broker killed and started again.
    pub(crate) async fn restart(&self) -> anyhow::Result<()> {
        let (done, is_done) = oneshot::channel();
        self.asks.send(done)?;
        is_done.await.context("the broker was not restarted")
    }
}

/// Functions of a [`Stage`] as verbs of their own names.
macro_rules! verbs {
    (restarting: $($function:ident),+ $(,)?) => { $crate::native::verbs!(@ true, $($function),+) };
    (@ $restarts:literal, $($function:ident),+) => {
        &[$($crate::native::Verb {
            name: stringify!($function),
            restarts: $restarts,
            play: |stage| Box::pin($function(stage)),
        }),+]
    };
    ($($function:ident),+ $(,)?) => { $crate::native::verbs!(@ false, $($function),+) };
}
pub(crate) use verbs;

impl Native {
    /// The version in use and the verbs.
    pub(crate) fn list(&self) -> anyhow::Result<Report> {
        let verbs = self.all().map(|verb| foreign::Verb {
            name: verb.name.to_owned(),
            restarts: verb.restarts,
            error: None,
        });
        Ok(Report {
            client: self.client.to_owned(),
            version: self.version()?,
            verbs: verbs.collect(),
        })
    }

    /// Runs `verbs` against the broker at `url`; `restart` kills that broker and starts it again.
    pub(crate) fn run(
        &self,
        url: &str,
        verbs: &[&str],
        restart: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Report> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build()?;
        let mut report = Report {
            verbs: Vec::new(),
            ..self.list()?
        };
        for name in verbs {
            let Some(verb) = self.all().find(|verb| verb.name == *name) else {
                bail!("{} has no verb {name}", self.client)
            };
            let outcome = play(&runtime, verb, url, restart);
            let error = outcome.err().map(|error| format!("{error:#}"));
            report.verbs.push(foreign::Verb {
                name: verb.name.to_owned(),
                restarts: verb.restarts,
                error,
            });
        }
        Ok(report)
    }

    fn all(&self) -> impl Iterator<Item = &'static Verb> + use<> {
        self.verbs.iter().copied().flatten()
    }

    /// The version that is locked for this workspace.
    fn version(&self) -> anyhow::Result<String> {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
        let lock = std::fs::read_to_string(lock)?;
        let entry = format!("name = \"{}\"\nversion = \"", self.client);
        let version = lock
            .split(&entry)
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        Ok(version
            .with_context(|| format!("{} is not locked", self.client))?
            .to_owned())
    }
}

/// Plays a verb to its end, and restarts the broker meanwhile as often as the verb asks for it.
fn play(
    runtime: &tokio::runtime::Runtime,
    verb: &Verb,
    url: &str,
    restart: &mut dyn FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (asks, asked) = mpsc::channel();
    let playing = (verb.play)(Stage {
        url: url.to_owned(),
        asks,
    });
    let task = runtime.spawn(async { tokio::time::timeout(VERB_TIMEOUT, playing).await });
    // The other end goes with the stage, when the verb is over.
    while let Ok(done) = asked.recv() {
        restart()?;
        done.send(()).ok();
    }
    match runtime.block_on(task) {
        Ok(outcome) => outcome.context("not done in time")?,
        Err(panic) => bail!("{panic}"),
    }
}

/// A name that nobody else uses on this broker.
pub(crate) fn fresh(kind: &str) -> String {
    format!("clients.{kind}.{:016x}", rand::random::<u64>())
}
