//! A broker inside the process, and a client that publishes and consumes one message.
//!
//! ```text
//! cargo run -p leveret --example embedded_client
//! ```

use std::error::Error;
use std::io::Write as _;

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use leveret::Broker;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::builder().amqp("127.0.0.1:0").start().await?;
    let answer = say_hello(&broker.amqp_url()).await?;
    writeln!(std::io::stdout(), "{answer}")?;
    broker.shutdown().await?;
    Ok(())
}

/// Sends one message through the broker at `url` and says what came out.
async fn say_hello(url: &str) -> Result<String, Box<dyn Error>> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    channel
        .queue_declare(
            "greetings".into(),
            QueueDeclareOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let confirm = channel
        .basic_publish(
            "".into(),
            "greetings".into(),
            BasicPublishOptions::default(),
            b"hello from inside the process",
            BasicProperties::default(),
        )
        .await?
        .await?;
    if !confirm.is_ack() {
        return Err(format!("the broker does not confirm: {confirm:?}").into());
    }
    let message = channel
        .basic_get("greetings".into(), BasicGetOptions::default())
        .await?
        .ok_or("the queue is empty")?;
    message.ack(BasicAckOptions::default()).await?;
    let text = String::from_utf8(message.delivery.data.clone())?;
    connection.close(200, "done".into()).await?;
    Ok(text)
}
