//! The `leveret` binary.

use anyhow::Context;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let broker = leveret::Broker::builder()
        .amqp("127.0.0.1:5672")
        .start()
        .await?;
    let address = broker.amqp_address().context("there is a listener")?;
    use std::io::Write;
    writeln!(
        std::io::stdout(),
        "leveret ready amqp={address} pid={}",
        std::process::id()
    )?;
    tokio::signal::ctrl_c().await?;
    broker.shutdown().await?;
    Ok(())
}
