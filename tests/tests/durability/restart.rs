//! What survives the end of a broker, line by line: set up, killed or stopped, looked at.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::client::Client;
use leveret_tests::process::{BrokerCommand, BrokerProcess};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, Value};
use tempfile::TempDir;

use super::world::connect;

/// How a broker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    Stopped,
}

pub(crate) const ENDS: [End; 2] = [End::Killed, End::Stopped];

/// A broker that can be ended and started again, with one client.
pub(crate) struct Restart {
    folder: TempDir,
    broker: BrokerProcess,
    pub(crate) client: Client,
}

impl Restart {
    pub(crate) async fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let broker = command(&folder).start()?;
        let client = connect(&broker.address).await?;
        Ok(Self {
            folder,
            broker,
            client,
        })
    }

    /// Ends the broker, starts it again, connects anew.
    pub(crate) async fn again(mut self, end: End) -> Result<Self> {
        match end {
            End::Killed => self.broker.kill()?,
            End::Stopped => self.broker.stop()?,
        }
        let broker = command(&self.folder).start()?;
        let client = connect(&broker.address).await?;
        Ok(Self {
            folder: self.folder,
            broker,
            client,
        })
    }

    pub(crate) async fn declare(&mut self, queue: &str, arguments: &Table) -> Result<()> {
        let declare = method::queue_declare(queue, queue_bits::DURABLE, arguments);
        self.client.ok(1, declare).await?;
        Ok(())
    }

    /// Publishes persistent messages and waits until all are confirmed.
    async fn put(&mut self, queue: &str, bodies: &[String]) -> Result<()> {
        self.put_with(queue, bodies, &Properties::persistent())
            .await
    }

    /// The same with other properties.
    pub(crate) async fn put_with(
        &mut self,
        queue: &str,
        bodies: &[String],
        properties: &Properties,
    ) -> Result<()> {
        self.client.open(2).await?;
        self.client.ok(2, method::confirm_select()).await?;
        for body in bodies {
            let publish = method::basic_publish("", queue, 0);
            self.client.publish(2, publish, properties, body).await?;
        }
        let mut confirmed = 0;
        while confirmed < bodies.len() as u64 {
            let answer = self.client.next_of(2, method::BASIC_ACK).await?;
            confirmed = answer.method.reader().u64()?;
        }
        self.client.ok(2, method::channel_close()).await?;
        Ok(())
    }
}

fn command(folder: &TempDir) -> BrokerCommand {
    BrokerCommand::new(&folder.path().join("data"), &folder.path().join("log.txt"))
}

/// Runs a test on a runtime; its error is the failure.
pub(crate) fn block_on(test: impl Future<Output = Result<()>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    if let Err(error) = runtime.block_on(test) {
        panic!("{error:#}");
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Spec 9.4.
#[test]
fn a_rejected_message_is_dead_lettered_or_still_there() {
    block_on(async {
        const COUNT: usize = 200;
        let arguments = Table::new()
            .with("x-dead-letter-exchange", "")
            .with("x-dead-letter-routing-key", "dead");
        for end in ENDS {
            let mut restart = Restart::new().await?;
            restart.declare("dead", &Table::new()).await?;
            restart.declare("source", &arguments).await?;
            restart.put("source", &numbered(COUNT)).await?;
            for _ in 0..COUNT {
                let got = restart.client.get(1, "source", false).await?;
                let tag = got.context("as many as were put")?.tag;
                let reject = method::basic_reject(tag, false);
                restart.client.send(1, &reject).await?;
            }
            restart.client.await_ready(1, "dead", COUNT as u32).await?;
            let mut restart = restart.again(end).await?;
            let mut there = restart.client.take_all(1, "source").await?;
            there.extend(restart.client.take_all(1, "dead").await?);
            there.sort_by_key(|body| body.parse::<usize>().unwrap_or(usize::MAX));
            ensure!(there == numbered(COUNT), "{end:?}: {there:?}");
        }
        Ok(())
    });
}

/// Spec 9.7.
#[test]
fn what_expired_while_the_broker_was_down_is_dead_lettered_at_its_start() {
    block_on(async {
        for end in ENDS {
            let mut restart = Restart::new().await?;
            let arguments = Table::new()
                .with("x-message-ttl", 1500)
                .with("x-dead-letter-exchange", "")
                .with("x-dead-letter-routing-key", "later");
            restart.declare("early", &arguments).await?;
            // The queue that they go to comes after the one that they die in.
            restart.declare("later", &Table::new()).await?;
            restart.put("early", &numbered(100)).await?;
            let mut restart = restart.again(end).await?;
            restart.client.await_ready(1, "later", 100).await?;
            let there = restart.client.take_all(1, "later").await?;
            ensure!(there == numbered(100), "{end:?}: {there:?}");
            ensure!(restart.client.take_all(1, "early").await?.is_empty());
        }
        Ok(())
    });
}

/// Spec 9.8.
#[test]
fn how_often_a_message_failed_survives() {
    block_on(async {
        for end in ENDS {
            let mut restart = Restart::new().await?;
            let arguments = Table::new().with("x-delivery-limit", 10);
            restart.declare("counting", &arguments).await?;
            restart.put("counting", &numbered(1)).await?;
            for _ in 0..3 {
                restart.client.await_ready(1, "counting", 1).await?;
                let got = restart.client.get(1, "counting", false).await?;
                let tag = got.context("it was put")?.tag;
                let reject = method::basic_reject(tag, true);
                restart.client.send(1, &reject).await?;
            }
            restart.client.await_ready(1, "counting", 1).await?;
            // What is confirmed after them is on disk after them.
            restart.put("counting", &["last".to_owned()]).await?;
            let mut restart = restart.again(end).await?;
            let got = restart.client.take(1, "counting").await?;
            let headers = got.content.properties.headers.unwrap_or_default();
            let count = headers.value("x-delivery-count");
            let count = count.and_then(Value::integer);
            ensure!(count == Some(3), "{end:?}: {count:?}");
        }
        Ok(())
    });
}

/// Spec 9.1.
#[test]
fn a_queue_whose_last_messages_were_settled_takes_new_ones_after_a_restart() {
    block_on(async {
        for end in ENDS {
            let mut restart = Restart::new().await?;
            restart.declare("queue", &Table::new()).await?;
            restart.put("queue", &numbered(3)).await?;
            for _ in 0..3 {
                restart.client.get(1, "queue", false).await?;
            }
            restart.client.send(1, &method::basic_ack(3, false)).await?;
            // The answer comes when the ack was read, and the confirm when it was written.
            restart.put("queue", &["three".to_owned()]).await?;
            let mut restart = restart.again(end).await?;
            restart.put("queue", &["four".to_owned()]).await?;
            let there = restart.client.take_all(1, "queue").await?;
            ensure!(there == ["0", "1", "three", "four"], "{end:?}: {there:?}");
        }
        Ok(())
    });
}

/// Spec 9.1.
#[test]
fn what_came_after_a_checkpoint_is_there_as_well_as_what_came_before() {
    block_on(async {
        let mut restart = Restart::new().await?;
        restart.declare("queue", &Table::new()).await?;
        for round in 0..4 {
            let bodies: Vec<_> = (0..10).map(|number| format!("{round}.{number}")).collect();
            restart.put("queue", &bodies).await?;
            // A checkpoint is taken a second after the first change; it may well not be, too.
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        let mut restart = restart.again(End::Killed).await?;
        let there = restart.client.take_all(1, "queue").await?;
        let all: Vec<_> = (0..40)
            .map(|number| format!("{}.{}", number / 10, number % 10))
            .collect();
        ensure!(there == all, "{there:?}");
        Ok(())
    });
}

/// Spec 4.4.3. Spec 9.1.
#[test]
fn a_quorum_queue_keeps_transient_messages_and_their_priorities() {
    block_on(async {
        for end in ENDS {
            let mut restart = Restart::new().await?;
            let quorum = Table::new().with("x-queue-type", "quorum");
            restart.declare("queue", &quorum).await?;
            let transient = Properties {
                delivery_mode: Some(1),
                ..Properties::default()
            };
            restart.put_with("queue", &numbered(2), &transient).await?;
            let urgent = Properties {
                priority: Some(9),
                ..transient
            };
            let bodies = ["urgent".to_owned()];
            restart.put_with("queue", &bodies, &urgent).await?;
            let mut restart = restart.again(end).await?;
            for body in ["urgent", "0", "1"] {
                let got = restart.client.take(1, "queue").await?;
                let mode = got.content.properties.delivery_mode;
                ensure!((got.text().as_str(), mode) == (body, Some(1)), "{got:?}");
            }
        }
        Ok(())
    });
}

/// Spec 4.4.5.
#[test]
fn the_default_queue_type_goes_to_queues_that_can_be_of_it() {
    block_on(async {
        let folder = TempDir::new()?;
        let broker = command(&folder)
            .option("default_queue_type=quorum")
            .start()?;
        let mut client = connect(&broker.address).await?;
        let condition = |queue| method::queue_delete(queue, 1);
        let declare = |queue, bits| method::queue_declare(queue, bits, &Table::new());
        let durable = queue_bits::DURABLE;
        for (name, bits) in [
            ("exclusive", queue_bits::EXCLUSIVE),
            ("auto-delete", durable | queue_bits::AUTO_DELETE),
            ("transient", 0),
        ] {
            client.ok(1, declare(name, bits)).await?;
            // Quorum queues are not deleted on a condition.
            client.ok(1, condition(name)).await?;
        }
        client.ok(1, declare("permanent", durable)).await?;
        client.ok(1, declare("permanent", durable)).await?;
        let quorum = Table::new().with("x-queue-type", "quorum");
        client
            .ok(1, method::queue_declare("permanent", durable, &quorum))
            .await?;
        client.expect(1, condition("permanent"), "540x…").await
    });
}

/// Spec 3.7.3. Spec 9.7.
#[test]
fn delayed_messages_come_once_and_in_order_though_the_broker_ends_meanwhile() {
    block_on(async {
        for end in ENDS {
            let mut restart = Restart::new().await?;
            restart.declare("queue", &Table::new()).await?;
            let kind = Table::new().with("x-delayed-type", "fanout");
            let declare = method::exchange_declare("later", "x-delayed-message", 2, &kind);
            restart.client.ok(1, declare).await?;
            let bind = method::queue_bind("queue", "later", "", &Table::new());
            restart.client.ok(1, bind).await?;
            restart.client.ok(1, method::confirm_select()).await?;
            // Some are due before the end, some while nobody is there, some after it.
            let delays = (0..60_i32).map(|number| number * 100);
            for (number, delay) in (0..60).zip(delays) {
                let headers = Table::new().with("x-delay", 6_000 - delay);
                let properties = Properties {
                    delivery_mode: Some(2),
                    ..Properties::with_headers(headers)
                };
                let publish = method::basic_publish("later", "", 0);
                let body = (60 - number).to_string();
                restart
                    .client
                    .publish(1, publish, &properties, body)
                    .await?;
            }
            let mut confirmed = 0;
            while confirmed < 60 {
                let answer = restart.client.next_of(1, method::BASIC_ACK).await?;
                confirmed = answer.method.reader().u64()?;
            }
            restart.client.await_ready(1, "queue", 5).await?;
            let mut restart = restart.again(end).await?;
            restart.client.await_ready(1, "queue", 60).await?;
            let there = restart.client.take_all(1, "queue").await?;
            let all: Vec<_> = (1..=60).map(|number: u32| number.to_string()).collect();
            ensure!(there == all, "{end:?}: {there:?}");
        }
        Ok(())
    });
}

/// Spec 3.7.3. Spec 9.4.
#[test]
fn a_crash_while_delayed_messages_move_on_neither_loses_nor_doubles_one() {
    block_on(async {
        const COUNT: usize = 400;
        let mut restart = Restart::new().await?;
        let kind = Table::new().with("x-delayed-type", "direct");
        let declare = method::exchange_declare("later", "x-delayed-message", 2, &kind);
        restart.client.ok(1, declare).await?;
        restart.declare("queue", &Table::new()).await?;
        let bind = method::queue_bind("queue", "later", "key", &Table::new());
        restart.client.ok(1, bind).await?;
        for round in 0..4_u64 {
            restart.client.ok(1, method::confirm_select()).await?;
            for number in 0..COUNT {
                // A spread that needs no luck: every delay from 1 to 1200 ms, in leaps.
                let delay = 1 + (number * 773) % 1_200;
                let headers = Table::new().with("x-delay", i64::try_from(delay)?);
                let properties = Properties {
                    delivery_mode: Some(2),
                    ..Properties::with_headers(headers)
                };
                let publish = method::basic_publish("later", "key", 0);
                let body = number.to_string();
                restart
                    .client
                    .publish(1, publish, &properties, body)
                    .await?;
            }
            let mut confirmed = 0;
            while confirmed < COUNT as u64 {
                let answer = restart.client.next_of(1, method::BASIC_ACK).await?;
                confirmed = answer.method.reader().u64()?;
            }
            tokio::time::sleep(Duration::from_millis(250 * round)).await;
            restart = restart.again(End::Killed).await?;
            let all = u32::try_from(COUNT)?;
            restart.client.await_ready(1, "queue", all).await?;
            let mut there = restart.client.take_all(1, "queue").await?;
            there.sort_by_key(|body| body.parse::<usize>().unwrap_or(usize::MAX));
            ensure!(there == numbered(COUNT), "round {round}: {there:?}");
        }
        Ok(())
    });
}
