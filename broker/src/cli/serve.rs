//! `leveret serve`: the broker as a server.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use leveret::{Broker, Config, LoadedConfig};

use super::signals::Signals;
use super::{Verdict, address_file, descriptors, logging, output, progress};

/// A supervisor kills after 10 seconds or more; what is not done by then is recovered.
const SHUTDOWN_MAX: Duration = Duration::from_millis(9_500);

/// Serves until a signal ends it.
pub(crate) fn run(config: LoadedConfig) -> anyhow::Result<Verdict> {
    let settled = leveret::settle_allocator();
    logging::start(&config.log)?;
    if let Err(error) = settled {
        tracing::warn!(%error, "the allocator keeps more memory than it has to");
    }
    descriptors::raise_limit();
    // What the broker writes is for its own user's eyes.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("leveret")
        .build()
        .context("the runtime cannot be started")?;
    let verdict = runtime.block_on(serve(config));
    // A recovery that was interrupted goes on in a thread of its own: there is no waiting for it.
    runtime.shutdown_background();
    verdict
}

async fn serve(config: LoadedConfig) -> anyhow::Result<Verdict> {
    let mut signals = Signals::take_over().context("signals cannot be taken over")?;
    announce(&config.broker);
    let data_dir = config.broker.data_dir.clone();
    let start = Broker::builder()
        .on_recovery_progress(progress::reporter(config.log.format))
        .config(config.broker)
        .start();
    let broker = tokio::select! {
        started = start => started?,
        received = signals.next() => {
            tracing::info!(signal = received.name, "stopped before recovery was done");
            return Ok(Verdict::Good);
        }
    };
    if let Some(directory) = &data_dir {
        address_file::write(directory, broker.management_address());
    }
    say_ready(&broker)?;
    let received = signals.next().await;
    tracing::info!(signal = received.name, "shutting down");
    if let Some(directory) = &data_dir {
        // While the folder is still ours: a successor writes its own.
        address_file::remove(directory);
    }
    shut_down(broker, &mut signals).await
}

fn announce(config: &Config) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        durability = %config.durability,
        data_dir = config.data_dir.as_deref().map_or("none (in memory)".into(), Path::to_string_lossy).as_ref(),
        "Leveret starts"
    );
}

fn say_ready(broker: &Broker) -> anyhow::Result<()> {
    let shown = |address: Option<std::net::SocketAddr>| {
        address.map_or_else(|| "none".to_owned(), |address| address.to_string())
    };
    let amqp = shown(broker.amqp_address());
    let management = shown(broker.management_address());
    let prometheus = shown(broker.prometheus_address());
    tracing::info!(amqp, management, prometheus, "Server startup complete");
    let pid = std::process::id();
    output::line(&format!(
        "leveret ready amqp={amqp} management={management} pid={pid}"
    ))
    .context("standard output cannot be written")
}

async fn shut_down(broker: Broker, signals: &mut Signals) -> anyhow::Result<Verdict> {
    tokio::select! {
        ended = tokio::time::timeout(SHUTDOWN_MAX, broker.shutdown()) => match ended {
            Ok(ended) => {
                ended?;
                tracing::info!("Server shutdown complete");
                Ok(Verdict::Good)
            }
            Err(_) => anyhow::bail!(
                "the shutdown is not done after {} ms; what was confirmed is safe",
                SHUTDOWN_MAX.as_millis()
            ),
        },
        never = signals.exit_at_next() => match never {},
    }
}
