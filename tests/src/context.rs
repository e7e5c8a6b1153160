//! What a conformance test gets, and how one is run.

use std::collections::HashSet;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use futures_util::FutureExt as _;

use crate::client::{Client, Options};
use crate::differences::DIFFERENCES;
use crate::management::segment;
use crate::outcome::{Outcome, Unexpected, code_name};
use crate::raw::Peer;
use crate::raw::method;
use crate::target::{Address, Running, Target};

/// No test may take longer; a hang is a failure like any other. Some wait for others that want the
/// same broker for themselves.
const TEST_DEADLINE: Duration = Duration::from_secs(180);

/// One test's view of the broker it runs against.
#[derive(Debug)]
pub struct Context {
    /// Which kind of broker this is.
    pub target: Target,
    /// Where it listens.
    pub address: Address,
    /// Base of its HTTP API, if it has one.
    pub management: Option<String>,
    running: tokio::sync::Mutex<Option<Running>>,
    prefix: String,
    names: AtomicU32,
    made: Mutex<Vec<Made>>,
}

/// What a test made and does not have to delete.
#[derive(Clone, Debug)]
pub(crate) enum Made {
    Queue(String),
    Exchange(String),
    User(String),
    VirtualHost(String),
}

impl Context {
    fn new(target: Target, running: Running) -> Self {
        Self {
            target,
            address: running.address.clone(),
            management: running.management.clone(),
            running: tokio::sync::Mutex::new(Some(running)),
            prefix: format!("conformance-{:08x}", rand::random::<u32>()),
            names: AtomicU32::new(1),
            made: Mutex::new(Vec::new()),
        }
    }

    /// A name never used before; nothing is made, nothing will be deleted.
    #[must_use]
    pub fn unique(&self, name: &str) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}-{name}", self.prefix)
    }

    /// A queue name never used before; the queue is deleted after the test.
    #[must_use]
    pub fn queue(&self, name: &str) -> String {
        let name = self.unique(name);
        self.made(Made::Queue(name.clone()));
        name
    }

    /// An exchange name never used before; the exchange is deleted after the test.
    #[must_use]
    pub fn exchange(&self, name: &str) -> String {
        let name = self.unique(name);
        self.made(Made::Exchange(name.clone()));
        name
    }

    /// A name never used before, for a queue and an exchange; both are deleted after the test.
    #[must_use]
    pub fn queue_and_exchange(&self, name: &str) -> String {
        let name = self.queue(name);
        self.made(Made::Exchange(name.clone()));
        name
    }

    pub(crate) fn made(&self, made: Made) {
        self.made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(made);
    }

    /// A client with all capabilities and channel 1 open.
    pub async fn client(&self) -> Result<Client> {
        self.client_with(&Options::default()).await
    }

    /// A client with these options and channel 1 open.
    pub async fn client_with(&self, options: &Options) -> Result<Client> {
        let mut client = Client::connect(&self.address, options).await?;
        client.open(1).await?;
        Ok(client)
    }

    /// Connects with these options; the inner error is how it was refused.
    pub async fn try_client(
        &self,
        options: &Options,
    ) -> Result<std::result::Result<Client, Outcome>> {
        Client::try_connect(&self.address, options).await
    }

    /// A connection on which nothing was sent yet.
    pub async fn peer(&self) -> Result<Peer> {
        Peer::connect(&self.address.socket).await
    }

    /// A connection with an open channel must work: the broker still serves.
    pub async fn still_serves(&self) -> Result<()> {
        self.client().await?.close().await
    }

    /// The expectation for this target on a line where we differ from RabbitMQ on purpose. The
    /// line must be in [`DIFFERENCES`], with the reason.
    pub fn differs<T>(&self, line: &str, rabbitmq: T, leveret: T) -> Result<T> {
        if !DIFFERENCES.iter().any(|difference| difference.line == line) {
            bail!("line {line} is not in the list of differences");
        }
        Ok(match self.target {
            Target::RabbitMq => rabbitmq,
            Target::Leveret => leveret,
        })
    }

    /// Stops the broker, if it was started for this test; whether it was.
    pub async fn stop_broker(&self) -> Result<bool> {
        match self.running.lock().await.take() {
            Some(running) => running.stop().await,
            None => Ok(false),
        }
    }

    /// Deletes what lies at a path of the API, if it is still there.
    async fn delete(&self, path: &str) -> Result<()> {
        self.management()?.send("DELETE", path, None).await?;
        Ok(())
    }

    /// Deletes what the test made. One channel for each, since a refusal closes it.
    async fn clean_up(&self) -> Result<()> {
        let made = self
            .made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if made.is_empty() {
            return Ok(());
        }
        let mut client = Client::connect(&self.address, &Options::default()).await?;
        for item in made {
            let delete = match &item {
                Made::Queue(name) => method::queue_delete(name, 0),
                Made::Exchange(name) => method::exchange_delete(name, 0),
                Made::User(name) => {
                    self.delete(&format!("users/{}", segment(name))).await?;
                    continue;
                }
                Made::VirtualHost(name) => {
                    self.delete(&format!("vhosts/{}", segment(name))).await?;
                    continue;
                }
            };
            client.open(1).await?;
            if let Outcome::Reply(_) = client.call(1, delete).await? {
                client.ok(1, method::channel_close()).await?;
            }
        }
        client.close().await
    }
}

/// How often a test is begun anew on a RabbitMQ that failed by itself.
const BEGUN_ANEW_MAX: usize = 2;

/// Runs one test against one target; panics if it fails, says so if there is nothing to run on.
pub fn run<F>(target: Target, suite: &str, test: F)
where
    F: AsyncFn(&Context) -> Result<()>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let failure = runtime.block_on(run_until_it_answers(target, suite, &test));
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(failure) = failure {
        panic!("{failure}");
    }
}

/// Runs the test, again if the RabbitMQ that it is compared with broke down under it.
async fn run_until_it_answers<F>(target: Target, suite: &str, test: &F) -> Option<String>
where
    F: AsyncFn(&Context) -> Result<()>,
{
    let mut begun_anew = 0;
    loop {
        let failure = match target.start().await {
            Err(error) => return Some(format!("cannot start {target:?}: {error:#}")),
            Ok(Err(absence)) if target.is_required() => return Some(absence),
            Ok(Err(absence)) => {
                say_skipped(target, suite, &absence);
                return None;
            }
            Ok(Ok(running)) => run_on(target, running, test).await?,
        };
        if begun_anew == BEGUN_ANEW_MAX || !is_a_breakdown(target, &failure) {
            return Some(format!("{failure:#}"));
        }
        begun_anew += 1;
        say(&format!(
            "BEGUN ANEW: a test of {suite} on {target:?}: {failure:#}\n"
        ));
    }
}

/// Whether one of RabbitMQ's own processes crashed, which says nothing of what the test is about: a
/// declaration that waits for a quorum queue's first election gives up after seconds on a machine
/// whose disk stands still. A test that expects this reply code does not fail of it; ours has no
/// such excuse.
fn is_a_breakdown(target: Target, failure: &anyhow::Error) -> bool {
    target == Target::RabbitMq
        && failure
            .chain()
            .filter_map(|cause| cause.downcast_ref::<Unexpected>())
            .any(|unexpected| {
                let close = unexpected.outcome.close();
                close.is_some_and(|close| code_name(close.code) == Some("INTERNAL_ERROR"))
            })
}

async fn run_on<F>(target: Target, running: Running, test: &F) -> Option<anyhow::Error>
where
    F: AsyncFn(&Context) -> Result<()>,
{
    let context = Context::new(target, running);
    let guarded = AssertUnwindSafe(test(&context)).catch_unwind();
    let result = tokio::time::timeout(TEST_DEADLINE, guarded).await;
    let cleaned = tokio::time::timeout(TEST_DEADLINE, context.clean_up()).await;
    let stopped = context.stop_broker().await;
    match result {
        Err(_) => return Some(anyhow!("no end within {TEST_DEADLINE:?}")),
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Ok(Ok(Err(error))) => return Some(error),
        Ok(Ok(Ok(()))) => {}
    }
    match (cleaned, stopped) {
        (Err(_), _) => Some(anyhow!("the broker hangs after the test")),
        (Ok(Err(error)), _) => Some(error.context("the broker does not serve after the test")),
        (_, Err(error)) => Some(error.context("the broker does not stop")),
        (Ok(Ok(())), Ok(_)) => None,
    }
}

/// One line for each suite, past the test harness's capture, so that nobody takes it for a pass.
pub(crate) fn say_skipped(target: Target, suite: &str, absence: &str) {
    static SAID: OnceLock<Mutex<HashSet<String>>> = OnceLock::new();
    let said = SAID.get_or_init(Mutex::default);
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    if said.insert(format!("{target:?} {suite}")) {
        say(&format!("SKIPPED: {suite} on {target:?}: {absence}\n"));
    }
}

/// Past the test harness's capture.
fn say(line: &str) {
    // Nothing can be done about a closed standard error.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Turns `async fn name(context: &Context) -> anyhow::Result<()>` into a test on each target:
/// `leveret::name` and `rabbitmq::name`.
#[macro_export]
macro_rules! on_both_targets {
    ($($name:ident),* $(,)?) => {
        mod leveret {
            $(#[test]
            fn $name() {
                $crate::context::run($crate::target::Target::Leveret, module_path!(), super::$name);
            })*
        }

        mod rabbitmq {
            $(#[test]
            fn $name() {
                $crate::context::run($crate::target::Target::RabbitMq, module_path!(), super::$name);
            })*
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Close;

    fn failure(code: u16) -> anyhow::Error {
        let close = Close {
            code,
            text: String::new(),
            method: method::MethodId(0, 0),
        };
        Outcome::ConnectionClosed(close)
            .unexpected("queue.declare failed".to_owned())
            .context("in a test")
    }

    #[test]
    fn a_test_is_begun_anew_when_a_process_of_rabbitmq_crashed_and_never_else() {
        assert!(is_a_breakdown(Target::RabbitMq, &failure(541)));
        assert!(!is_a_breakdown(Target::RabbitMq, &failure(406)));
        assert!(!is_a_breakdown(Target::RabbitMq, &anyhow!("no end")));
        assert!(!is_a_breakdown(Target::Leveret, &failure(541)));
    }
}
