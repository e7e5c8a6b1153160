//! A client that makes and deletes queues, exchanges and bindings, and publishes in between.

use anyhow::{Result, ensure};
use leveret_tests::checker::Entity;
use leveret_tests::client::Client;
use leveret_tests::raw::method::{self, Method, exchange_bits, queue_bits};
use leveret_tests::raw::value::Table;
use leveret_tests::target::Address;
use rand::RngExt;
use rand::rngs::StdRng;

use super::world::{World, binding, connect};

const QUEUES: usize = 6;
const EXCHANGE: &str = "churn";

/// Churns until the broker dies.
pub(crate) async fn run(
    publisher: u32,
    world: &World,
    address: &Address,
    random: StdRng,
) -> Result<()> {
    let mut client = connect(address).await?;
    client.open(2).await?;
    client.ok(2, method::confirm_select()).await?;
    let mut churn = Churn {
        publisher,
        world,
        client,
        random,
    };
    loop {
        churn.step().await?;
    }
}

struct Churn<'a> {
    publisher: u32,
    world: &'a World,
    client: Client,
    random: StdRng,
}

impl Churn<'_> {
    async fn step(&mut self) -> Result<()> {
        let queue = format!("churn-{}", self.random.random_range(0..QUEUES));
        let key = format!("{queue}.{}", self.random.random_range(0..2));
        let bound = binding(EXCHANGE, &key, &queue);
        let entity = Entity::Queue(queue.clone());
        let exists = self.exists(&entity);
        match self.random.random_range(0..16) {
            0..=2 => {
                let declare = method::queue_declare(&queue, queue_bits::DURABLE, &Table::new());
                self.declare(&entity, declare).await
            }
            3 => self.delete(&entity, method::queue_delete(&queue, 0)).await,
            4..=6 if exists => {
                let bind = method::queue_bind(&queue, EXCHANGE, &key, &Table::new());
                self.declare(&bound, bind).await
            }
            7 if exists => {
                let unbind = method::queue_unbind(&queue, EXCHANGE, &key, &Table::new());
                self.delete(&bound, unbind).await
            }
            8 => {
                let name = format!("exchange-{}", self.random.random_range(0..3));
                let declare = method::exchange_declare(
                    &name,
                    "direct",
                    exchange_bits::DURABLE,
                    &Table::new(),
                );
                self.declare(&Entity::Exchange(name), declare).await
            }
            9 => {
                let name = format!("exchange-{}", self.random.random_range(0..3));
                let delete = method::exchange_delete(&name, 0);
                self.delete(&Entity::Exchange(name), delete).await
            }
            10 if exists => self.purge(&queue).await,
            11 | 12 if self.exists(&bound) => self.publish(EXCHANGE, &key, &queue).await,
            _ if exists => self.publish("", &queue, &queue).await,
            _ => Ok(()),
        }
    }

    fn exists(&self, entity: &Entity) -> bool {
        let history = self.world.history();
        history.entities().get(entity) == Some(&Some(true))
    }

    async fn declare(&mut self, entity: &Entity, method: Method) -> Result<()> {
        self.world.history().declare_sent(entity);
        self.client.ok(1, method).await?;
        self.world.history().declare_ok(entity);
        Ok(())
    }

    async fn delete(&mut self, entity: &Entity, method: Method) -> Result<()> {
        self.world.history().delete_sent(entity);
        self.client.ok(1, method).await?;
        self.world.history().delete_ok(entity);
        Ok(())
    }

    async fn purge(&mut self, queue: &str) -> Result<()> {
        self.world.history().purge_sent(queue);
        self.client.ok(1, method::queue_purge(queue)).await?;
        Ok(())
    }

    /// Publishes to a queue that nobody consumes from, and waits for the confirm.
    async fn publish(&mut self, exchange: &str, key: &str, queue: &str) -> Result<()> {
        let message = self.world.message(self.publisher);
        let queues = [queue.to_owned()];
        self.world.history().publish_sent(message, &queues, None);
        let publish = method::basic_publish(exchange, key, 0);
        let properties = message.properties(exchange, key);
        let body = message.body(self.random.random_range(12..300));
        self.client.publish(2, publish, &properties, body).await?;
        let answer = self.client.next().await?;
        ensure!(
            answer.method.id == method::BASIC_ACK,
            "no confirm: {answer:?}"
        );
        self.world.history().confirmed(message, &queues);
        Ok(())
    }
}
