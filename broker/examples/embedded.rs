//! A broker inside a program of one's own. README.md shows what follows these lines.

#![allow(clippy::print_stdout, reason = "an example may print")]

use leveret::Broker;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Without `data_dir` everything is in memory and nothing is written.
    let folder = std::env::temp_dir().join("leveret-embedded");
    let broker = Broker::builder()
        .data_dir(folder)
        .amqp("127.0.0.1:0")
        .start()
        .await?;
    // Port 0 lets the system choose; any AMQP client can use this URL.
    println!("{}", broker.amqp_url());
    // A connection without a socket: a byte stream that speaks AMQP.
    let stream = broker.connect().await?;
    drop(stream);
    broker.shutdown().await?;
    Ok(())
}
