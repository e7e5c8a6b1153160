//! Clients that publish and consume until the broker dies, and tell the history.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use leveret_tests::checker::{MessageId, Seen};
use leveret_tests::client::{Client, Delivery, Received};
use leveret_tests::raw::value::Table;
use leveret_tests::raw::{self, method};
use leveret_tests::target::Address;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use super::churn;
use super::transactions;
use super::world::{DEAD, ROUTES, World, connect, owned};

/// How much is asked of the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Messages of each publisher in one round.
    pub(crate) messages: u32,
    /// Bytes of a large body; one in a hundred is that large.
    pub(crate) large_bytes: usize,
}

/// Starts all clients.
pub(crate) fn spawn(
    world: &Arc<World>,
    address: &Address,
    load: Load,
    random: &mut StdRng,
) -> JoinSet<Result<()>> {
    let mut tasks = JoinSet::new();
    let mut client = |run: Task| {
        let (world, address) = (Arc::clone(world), address.clone());
        let random = StdRng::seed_from_u64(random.random());
        tasks.spawn(async move {
            let outcome = run.run(&world, &address, load, random).await;
            if world.is_dying() { Ok(()) } else { outcome }
        });
    };
    for publisher in 0..3 {
        client(Task::Publish(publisher));
    }
    for queue in ["direct", "fan-0", "topic-0", "topic-0", DEAD] {
        client(Task::Consume(queue));
    }
    for queue in ["topic-1", "direct"] {
        client(Task::Get(queue));
    }
    client(Task::Transact(3));
    client(Task::Churn(4));
    tasks
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Publish(u32),
    Consume(&'static str),
    Get(&'static str),
    Transact(u32),
    Churn(u32),
}

impl Task {
    async fn run(self, world: &World, address: &Address, load: Load, random: StdRng) -> Result<()> {
        match self {
            Self::Publish(publisher) => publish(publisher, world, address, load, random).await,
            Self::Consume(queue) => consume(queue, world, address, random).await,
            Self::Get(queue) => get(queue, world, address, random).await,
            Self::Transact(publisher) => transactions::run(publisher, world, address, random).await,
            Self::Churn(publisher) => churn::run(publisher, world, address, random).await,
        }
    }
}

/// A message that was published and not confirmed.
struct Outstanding {
    tag: u64,
    message: MessageId,
    queues: Vec<String>,
}

/// Publishes with confirms, several on the way.
async fn publish(
    publisher: u32,
    world: &World,
    address: &Address,
    load: Load,
    mut random: StdRng,
) -> Result<()> {
    let mut client = connect(address).await?;
    client.ok(1, method::confirm_select()).await?;
    let window = [1, 8, 64, 300][random.random_range(0..4)];
    let mut outstanding = VecDeque::new();
    let mut tag = 0;
    while tag < u64::from(load.messages) {
        let mut bytes = Vec::new();
        for _ in 0..random.random_range(1..=20_usize.min(window)) {
            let (exchange, key, queues) = ROUTES[random.random_range(0..ROUTES.len())];
            let (message, queues) = (world.message(publisher), owned(queues));
            world.history().publish_sent(message, &queues, None);
            let large = random.random_ratio(1, 100);
            let size = random.random_range(12..if large { load.large_bytes } else { 600 });
            bytes.extend(raw::publish_frames(
                1,
                &method::basic_publish(exchange, key, 0),
                &message.properties(exchange, key),
                &message.body(size),
                client.tune.frame_max as usize - 8,
            ));
            tag += 1;
            outstanding.push_back(Outstanding {
                tag,
                message,
                queues,
            });
        }
        client.peer.send(&bytes).await?;
        while outstanding.len() >= window {
            confirm(world, &mut outstanding, &client.next().await?)?;
        }
        if random.random_ratio(1, 10) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
        }
    }
    loop {
        confirm(world, &mut outstanding, &client.next().await?)?;
    }
}

/// Takes what came to a publisher.
fn confirm(
    world: &World,
    outstanding: &mut VecDeque<Outstanding>,
    received: &Received,
) -> Result<()> {
    if received.method.id != method::BASIC_ACK {
        bail!("a publisher got {received:?}");
    }
    let mut reader = received.method.reader();
    let (tag, multiple) = (reader.u64()?, reader.u8()? != 0);
    let mut history = world.history();
    outstanding.retain(|waiting| {
        let is_confirmed = waiting.tag == tag || multiple && waiting.tag < tag;
        if is_confirmed {
            history.confirmed(waiting.message, &waiting.queues);
        }
        !is_confirmed
    });
    Ok(())
}

/// A message that was delivered and not settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) tag: u64,
    pub(crate) message: MessageId,
}

/// Tells the history of a delivery.
pub(crate) fn note(world: &World, channel: u64, queue: &str, delivery: &Delivery) -> Result<Held> {
    let seen = Seen::read(delivery);
    world.history().delivered(channel, queue, seen);
    match seen.message {
        Some(message) => Ok(Held {
            tag: delivery.tag,
            message,
        }),
        None => bail!("{queue} gave {delivery:?}"),
    }
}

/// Consumes, and settles in every way there is.
async fn consume(
    queue: &'static str,
    world: &World,
    address: &Address,
    mut random: StdRng,
) -> Result<()> {
    let mut client = connect(address).await?;
    let channel = world.channel();
    let prefetch = [1_u16, 10, 100, 500][random.random_range(0..4)];
    client.ok(1, method::basic_qos(0, prefetch, false)).await?;
    let consume = method::basic_consume(queue, "", 0, &Table::new());
    client.ok(1, consume).await?;
    let mut held: VecDeque<Held> = VecDeque::new();
    loop {
        let received = client.next().await?;
        if received.method.id != method::BASIC_DELIVER {
            bail!("a consumer got {received:?}");
        }
        held.push_back(note(world, channel, queue, &Delivery::read(&received)?)?);
        let is_full = held.len() + 5 > usize::from(prefetch);
        let settles = if is_full {
            1 + held.len() / 2
        } else {
            random.random_range(0..2)
        };
        for _ in 0..settles {
            if !held.is_empty() {
                settle(queue, world, &mut client, &mut held, &mut random).await?;
            }
        }
        if random.random_ratio(1, 50) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
        }
    }
}

/// Settles one message, or all up to one.
async fn settle(
    queue: &str,
    world: &World,
    client: &mut Client,
    held: &mut VecDeque<Held>,
    random: &mut StdRng,
) -> Result<()> {
    let index = random.random_range(0..held.len());
    let tag = held[index].tag;
    let method = match random.random_range(0..20) {
        0 => {
            let message = held[index].message;
            if queue == "direct" {
                world.history().reject_sent(queue, message, DEAD);
            } else {
                world.history().ack_sent(queue, message);
            }
            held.remove(index);
            method::basic_nack(tag, false, false)
        }
        1 => {
            held.remove(index);
            method::basic_reject(tag, true)
        }
        2 => {
            held.drain(..=index);
            method::basic_nack(tag, true, true)
        }
        3 | 4 => {
            for settled in held.drain(..=index) {
                world.history().ack_sent(queue, settled.message);
            }
            method::basic_ack(tag, true)
        }
        _ => {
            world.history().ack_sent(queue, held[index].message);
            held.remove(index);
            method::basic_ack(tag, false)
        }
    };
    client.send(1, &method).await
}

/// Gets messages one by one, and leaves some of them unsettled.
async fn get(
    queue: &'static str,
    world: &World,
    address: &Address,
    mut random: StdRng,
) -> Result<()> {
    let mut client = connect(address).await?;
    let channel = world.channel();
    let mut held = VecDeque::new();
    loop {
        match client.get(1, queue, false).await? {
            Some(delivery) => held.push_back(note(world, channel, queue, &delivery)?),
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        if held.len() > 20 || !held.is_empty() && random.random_ratio(1, 2) {
            settle(queue, world, &mut client, &mut held, &mut random).await?;
        }
    }
}
