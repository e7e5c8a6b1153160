//! Clients that vanish in the middle of something: what they held comes back once, in order and
//! flagged; what they had not finished never happened.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, consume_bits, queue_bits};
use leveret_tests::raw::value::Table;
use leveret_tests::raw::{self, Frame};
use leveret_tests::target::Target;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

leveret_tests::on_both_targets![
    clients_that_vanish_at_random_moments_lose_and_leave_nothing,
    a_publisher_that_vanishes_in_mid_message_leaves_no_part_of_it,
    a_transaction_whose_client_vanishes_never_happened,
];

/// How many clients vanish in one test.
const CLIENTS: u32 = 25;

async fn declare(client: &mut Client, queue: &str) -> Result<()> {
    let declare = method::queue_declare(queue, queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await?;
    Ok(())
}

/// A message's frames up to one that is cut somewhere before its end.
fn part_of_a_message(queue: &str, random: &mut StdRng) -> Vec<u8> {
    let body = vec![b'x'; 3000];
    let publish = method::basic_publish("", queue, 0);
    let whole = raw::publish_frames(1, &publish, &Properties::persistent(), &body, 1000);
    let kept = random.random_range(0..whole.len());
    whole[..kept].to_vec()
}

/// Takes everything and leaves it unsettled: bodies and flags, in order.
async fn look(client: &mut Client, queue: &str) -> Result<Vec<(u32, bool)>> {
    let mut found = Vec::new();
    while let Some(delivery) = client.get(1, queue, false).await? {
        found.push((delivery.text().parse()?, delivery.redelivered));
    }
    Ok(found)
}

/// Spec 2.6. Spec 5.5.3. Spec 5.5.5. Spec 13.10.
async fn clients_that_vanish_at_random_moments_lose_and_leave_nothing(
    context: &Context,
) -> Result<()> {
    const MESSAGES: u32 = 60;
    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let queue = context.queue("q");
    let mut keeper = context.client().await?;
    declare(&mut keeper, &queue).await?;
    for number in 0..MESSAGES {
        keeper.put(1, &queue, number.to_string()).await?;
    }
    keeper.await_ready(1, &queue, MESSAGES).await?;
    // What is still there, and whether somebody has had it.
    let mut left: BTreeMap<u32, bool> = (0..MESSAGES).map(|number| (number, false)).collect();
    for _ in 0..CLIENTS {
        let mut client = context.client().await?;
        for _ in 0..random.random_range(0..8) {
            let Some(delivery) = client.get(1, &queue, false).await? else {
                break;
            };
            let number: u32 = delivery.text().parse()?;
            let known = left.get(&number);
            ensure!(
                known == Some(&delivery.redelivered),
                "seed {seed}: {number} came with {}, known: {known:?}",
                delivery.redelivered
            );
            left.insert(number, true);
            if random.random_ratio(1, 6) {
                client
                    .send(1, &method::basic_ack(delivery.tag, false))
                    .await?;
                left.remove(&number);
            }
        }
        // Answered after everything before it was taken.
        client.flush(1, &queue).await?;
        let unfinished = part_of_a_message(&queue, &mut random);
        client.peer.send(&unfinished).await?;
        drop(client);
        let ready = u32::try_from(left.len())?;
        keeper.await_ready(1, &queue, ready).await?;
    }
    let found = look(&mut keeper, &queue).await?;
    ensure!(found == Vec::from_iter(left), "seed {seed}: {found:?}");
    Ok(())
}

/// Spec 1.6.5. Spec 13.3.
async fn a_publisher_that_vanishes_in_mid_message_leaves_no_part_of_it(
    context: &Context,
) -> Result<()> {
    let queue = context.queue("q");
    let mut keeper = context.client().await?;
    declare(&mut keeper, &queue).await?;
    for _ in 0..CLIENTS {
        let mut client = context.client().await?;
        client.put(1, &queue, "whole").await?;
        let publish = Frame::method(1, &method::basic_publish("", &queue, 0)).encode();
        client.peer.send(&publish).await?;
        let header = Frame::header(1, 10, &Properties::persistent()).encode();
        client.peer.send(&header).await?;
        client.peer.send(&Frame::body(1, "five!").encode()).await?;
        drop(client);
    }
    keeper.await_ready(1, &queue, CLIENTS).await?;
    let bodies = keeper.take_all(1, &queue).await?;
    ensure!(bodies.iter().all(|body| body == "whole"), "{bodies:?}");
    ensure!(bodies.len() == CLIENTS as usize, "{bodies:?}");
    Ok(())
}

/// Spec 6.2.4.
async fn a_transaction_whose_client_vanishes_never_happened(context: &Context) -> Result<()> {
    let queue = context.queue("q");
    let mut keeper = context.client().await?;
    declare(&mut keeper, &queue).await?;
    for number in 0..3 {
        keeper.put(1, &queue, number.to_string()).await?;
    }
    keeper.await_ready(1, &queue, 3).await?;
    for _ in 0..CLIENTS {
        let mut client = context.client().await?;
        client.ok(1, method::tx_select()).await?;
        let delivery = client.get(1, &queue, false).await?;
        let tag = delivery.context("three are there")?.tag;
        client.send(1, &method::basic_ack(tag, false)).await?;
        client.put(1, &queue, "3").await?;
        client.flush(1, &queue).await?;
        drop(client);
        keeper.await_ready(1, &queue, 3).await?;
    }
    let found = look(&mut keeper, &queue).await?;
    ensure!(found == [(0, true), (1, false), (2, false)], "{found:?}");
    Ok(())
}

/// Spec 1.8.1. In RabbitMQ each channel of a connection ends by itself, and may hand what it held to a consumer that
/// is about to end; so this is a test of Leveret alone.
#[test]
fn a_connection_that_ends_hands_nothing_to_its_own_consumers() {
    leveret_tests::context::run(Target::Leveret, module_path!(), ends_with_two_consumers);
}

async fn ends_with_two_consumers(context: &Context) -> Result<()> {
    let (mut client, queue) = (context.client().await?, context.queue("q"));
    declare(&mut client, &queue).await?;
    for (channel, bits) in [(1, 0), (2, consume_bits::NO_ACK), (3, consume_bits::NO_ACK)] {
        if channel > 1 {
            client.open(channel).await?;
        }
        let consume = method::basic_consume(&queue, "c", bits, &Table::new());
        client.ok(channel, consume).await?;
        if channel == 1 {
            client.put(1, &queue, "7").await?;
            client.delivery(1).await?;
        }
    }
    let refused = client.call(2, method::channel_flow(false)).await?;
    refused.expect("540x active=false")?;
    let mut client = context.client().await?;
    let left = look(&mut client, &queue).await?;
    ensure!(left == [(7, true)], "{left:?}");
    Ok(())
}
