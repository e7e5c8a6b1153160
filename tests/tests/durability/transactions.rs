//! A client of transactions: publishes to several queues and acks, together or not at all.

use std::time::Duration;

use anyhow::Result;
use leveret_tests::raw::method;
use leveret_tests::target::Address;
use rand::RngExt;
use rand::rngs::StdRng;

use super::load::{Held, note};
use super::world::{ROUTES, World, connect, owned};

/// Nobody else takes messages from here.
const SOURCE: &str = "spare";

/// Commits and rolls back until the broker dies.
pub(crate) async fn run(
    publisher: u32,
    world: &World,
    address: &Address,
    mut random: StdRng,
) -> Result<()> {
    let mut client = connect(address).await?;
    let channel = world.channel();
    client.ok(1, method::tx_select()).await?;
    let mut held: Vec<Held> = Vec::new();
    loop {
        let transaction = world.transaction();
        for _ in 0..random.random_range(0..5) {
            let (exchange, key, queues) = ROUTES[random.random_range(0..ROUTES.len())];
            let message = world.message(publisher);
            world
                .history()
                .publish_sent(message, &owned(queues), Some(transaction));
            let publish = method::basic_publish(exchange, key, 0);
            let body = message.body(random.random_range(12..2000));
            client
                .publish(1, publish, &message.properties(exchange, key), body)
                .await?;
        }
        for _ in 0..random.random_range(0..5) {
            if let Some(delivery) = client.get(1, SOURCE, false).await? {
                held.push(note(world, channel, SOURCE, &delivery)?);
            }
        }
        let mut acked = Vec::new();
        while !held.is_empty() && random.random_ratio(3, 4) {
            let settled = held.swap_remove(random.random_range(0..held.len()));
            world
                .history()
                .ack_sent_in(SOURCE, settled.message, transaction);
            client
                .send(1, &method::basic_ack(settled.tag, false))
                .await?;
            acked.push(settled);
        }
        if random.random_ratio(5, 6) {
            world.history().commit_sent(transaction);
            client.ok(1, method::tx_commit()).await?;
            world.history().commit_ok(transaction);
        } else {
            world.history().rollback_sent(transaction);
            client.ok(1, method::tx_rollback()).await?;
            held.append(&mut acked);
        }
        if random.random_ratio(1, 5) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
        }
    }
}
