//! The chat under torture: people write in groups and to one another, while the broker, the service and
//! the people's own devices are killed with SIGKILL, stopped with SIGSTOP and continued, at random
//! moments. At the end everything is healed, and what each device wrote down is judged against the
//! histories: nothing lost, nothing shown twice, order kept, cursors true, nobody sees what is not
//! theirs.
//!
//! Some people speak AMQP, some to the gateway. Some of their messages bring their router down: they are set
//! aside, and at the end mended routers get them again. Services die of planted deaths between any two of
//! their steps. Now and then the send shards have no room.
//!
//! A run prints its seed. `LEVERET_SEED` repeats its decisions (not the machine's), and
//! `LEVERET_TORTURE_SECONDS` says how long it takes, without starting and healing. `LEVERET_KEEP` leaves
//! everything that the processes wrote in that folder. On RabbitMQ the broker itself is spared if it is
//! the one of `RABBITMQ_URL`; `LEVERET_TORTURE_RABBITMQ="NAME AMQP_PORT MANAGEMENT_PORT"` starts one with
//! `.ci/rabbitmq` that is not. With `LEVERET_TORTURE_POSTGRES="NAME PORT"` the history on RabbitMQ is in a
//! PostgreSQL by `.ci/postgres`, which is killed as well; the gateway is a process of its own, and one router
//! becomes four under load.

#[path = "torture/broker.rs"]
mod broker;
#[path = "torture/deeds.rs"]
mod deeds;
#[path = "torture/faults.rs"]
mod faults;
#[path = "torture/folder.rs"]
mod folder;
#[path = "torture/people.rs"]
mod people;
#[path = "torture/program.rs"]
mod program;
#[path = "torture/run.rs"]
mod run;
#[path = "torture/service.rs"]
mod service;
#[path = "torture/store.rs"]
mod store;
#[path = "torture/trials.rs"]
mod trials;

use anyhow::Result;

use self::broker::BrokerKind;
use self::run::{Plan, Planted, say};
use self::store::StoreKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chat_survives_torture_with_the_broker_as_a_process_of_its_own() -> Result<()> {
    run::sound(&Plan::new("two processes", BrokerKind::Leveret)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chat_survives_torture_in_one_process_with_its_broker() -> Result<()> {
    run::sound(&Plan::new("one process", BrokerKind::Embedded)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chat_survives_torture_on_rabbitmq() -> Result<()> {
    let Some(broker) = BrokerKind::rabbitmq()? else {
        say("SKIPPED: RABBITMQ_URL is not set");
        return Ok(());
    };
    let store = StoreKind::from_environment()?;
    if store == StoreKind::Embedded {
        say(
            "on RabbitMQ the history is in the embedded store: LEVERET_TORTURE_POSTGRES is not set",
        );
    }
    run::sound(&Plan::new("RabbitMQ", broker).store(store)).await
}

/// The harness itself is proved: a device whose journal is taken away while it is dead has forgotten what
/// it promised to send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_forgets_what_it_promised_is_found_out() -> Result<()> {
    run::found_out(&Plan::new("a planted fault", BrokerKind::Embedded).planted(Planted::Forgets))
        .await
}
