//! Looks at everything a broker has.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context as _, Result, bail, ensure};
use leveret_tests::checker::{Binding, Entity, Observation, Seen, Verdict};
use leveret_tests::client::{Client, Delivery, declared};
use leveret_tests::outcome::Outcome;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, exchange_bits, queue_bits};
use leveret_tests::raw::value::Table;
use leveret_tests::target::Address;
use rand::RngExt;
use rand::rngs::StdRng;

use super::load::Held;
use super::world::{World, connect};

const PROBE: &str = "probe";

/// Channels: for questions, for probes, and from here on one for each queue.
const FIRST_QUEUE_CHANNEL: u16 = 3;

/// Takes every message of every queue, judges what is there, and leaves some of it.
pub(crate) async fn observe(
    world: &World,
    address: &Address,
    random: &mut StdRng,
) -> Result<Verdict> {
    let mut observer = Observer {
        client: connect(address).await?,
        observation: Observation::default(),
        held: BTreeMap::new(),
        miscounted: Vec::new(),
    };
    let entities: Vec<Entity> = world.history().entities().keys().cloned().collect();
    for entity in &entities {
        observer.look(entity).await?;
    }
    observer.client.open(2).await?;
    observer.client.ok(2, method::confirm_select()).await?;
    for entity in entities {
        if let Entity::Binding(binding) = &entity {
            let exists = observer.probe(binding).await?;
            observer.observation.entities.insert(entity, exists);
        }
    }
    let verdict = world.history().judge(&observer.observation);
    let miscounted = &observer.miscounted;
    ensure!(
        miscounted.is_empty(),
        "{:?}, and queues miscounted: {miscounted:?}",
        verdict.faults
    );
    observer.settle(world, random).await?;
    observer.client.close().await?;
    Ok(verdict)
}

struct Observer {
    client: Client,
    observation: Observation,
    /// What was taken from each queue, with the channel it came on.
    held: BTreeMap<String, (u16, VecDeque<Held>)>,
    /// Queues that said that they had more or fewer messages than they gave.
    miscounted: Vec<(String, usize, usize)>,
}

impl Observer {
    async fn look(&mut self, entity: &Entity) -> Result<()> {
        let (question, queue) = match entity {
            Entity::Queue(name) => (
                method::queue_declare(name, queue_bits::PASSIVE, &Table::new()),
                Some(name),
            ),
            Entity::Exchange(name) => (
                method::exchange_declare(name, "", exchange_bits::PASSIVE, &Table::new()),
                None,
            ),
            Entity::Binding(_) => return Ok(()),
        };
        let exists = match self.client.call(1, question).await? {
            Outcome::Reply(reply) => {
                if let Some(queue) = queue {
                    let (_, messages, _) = declared(&reply)?;
                    self.take(queue, messages).await?;
                }
                true
            }
            Outcome::ChannelClosed(close) if close.code == 404 => {
                self.client.open(1).await?;
                false
            }
            other => bail!("{entity:?}: {other:?}"),
        };
        self.observation.entities.insert(entity.clone(), exists);
        Ok(())
    }

    /// Takes all messages of a queue and settles none.
    async fn take(&mut self, queue: &str, messages: u32) -> Result<()> {
        let channel = FIRST_QUEUE_CHANNEL + u16::try_from(self.held.len())?;
        self.client.open(channel).await?;
        let consume = method::basic_consume(queue, PROBE, 0, &Table::new());
        self.client.ok(channel, consume).await?;
        self.client.await_ready(1, queue, 0).await?;
        self.client.ok(channel, method::basic_cancel(PROBE)).await?;
        let (mut seen, mut held) = (Vec::new(), VecDeque::new());
        for received in self.client.kept() {
            push(&mut seen, &mut held, &Delivery::read(&received)?);
        }
        let counted = messages as usize;
        if seen.len() != counted {
            self.miscounted
                .push((queue.to_owned(), counted, seen.len()));
        }
        self.observation.queues.insert(queue.to_owned(), seen);
        self.held.insert(queue.to_owned(), (channel, held));
        Ok(())
    }

    /// Whether a binding routes: a probe tells, and is taken out again. Each key has one queue.
    async fn probe(&mut self, binding: &Binding) -> Result<bool> {
        let exists = |entity| self.observation.entities.get(&entity) == Some(&true);
        if !exists(Entity::Queue(binding.queue.clone()))
            || !exists(Entity::Exchange(binding.exchange.clone()))
        {
            return Ok(false);
        }
        const MANDATORY: u8 = 1;
        let publish = method::basic_publish(&binding.exchange, &binding.key, MANDATORY);
        self.client
            .publish(2, publish, &Properties::persistent(), PROBE)
            .await?;
        let first = self.client.next().await?;
        if first.method.id == method::BASIC_RETURN {
            self.client.next_of(2, method::BASIC_ACK).await?;
            return Ok(false);
        }
        let probe = self.client.take(1, &binding.queue).await?;
        ensure!(probe.text() == PROBE, "not the probe: {probe:?}");
        Ok(true)
    }

    /// Settles some messages of some queues; the rest goes back as the connection ends.
    async fn settle(&mut self, world: &World, random: &mut StdRng) -> Result<()> {
        const KEPT_MAX: usize = 300;
        for (queue, (channel, held)) in std::mem::take(&mut self.held) {
            let excess = held.len().saturating_sub(KEPT_MAX);
            let least = if random.random_ratio(1, 2) {
                excess
            } else {
                held.len() / 2
            };
            for (index, message) in held.into_iter().enumerate() {
                if index < excess || index < least && random.random_ratio(1, 2) {
                    world.history().ack_sent(&queue, message.message);
                    let ack = method::basic_ack(message.tag, false);
                    self.client.send(channel, &ack).await?;
                }
            }
        }
        Ok(())
    }
}

fn push(seen: &mut Vec<Seen>, held: &mut VecDeque<Held>, delivery: &Delivery) {
    let this = Seen::read(delivery);
    seen.push(this);
    if let Some(message) = this.message {
        held.push_back(Held {
            tag: delivery.tag,
            message,
        });
    }
}
