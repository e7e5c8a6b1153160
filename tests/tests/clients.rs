//! Unmodified client libraries against a broker: ours, and a real RabbitMQ.
//!
//! Every verb that a client offers is used, and each client comes back after the broker was killed. A client
//! that this machine cannot run is skipped, loudly; `LEVERET_REQUIRE_CLIENTS=1` makes that a failure.

#[path = "clients/amqprs/mod.rs"]
mod amqprs_client;
#[path = "clients/broker.rs"]
mod broker;
#[path = "clients/lapin/mod.rs"]
mod lapin_client;
#[path = "clients/native.rs"]
mod native;
#[path = "clients/table.rs"]
mod table;

use leveret_tests::foreign::{Language, Report, Script, debian_packages};

use amqprs_client::AMQPRS;
use broker::{Broker, is_set, say};
use lapin_client::LAPIN;
use native::Native;

/// Verbs that need what Leveret does not do yet, and what that is. RabbitMQ passes them. One that
/// works after all fails the run, so that this list cannot grow old.
const NOT_YET: [(&str, &str); 0] = [];

/// A client library, however it is driven.
#[derive(Clone, Copy)]
enum Client {
    Script(Script),
    Native(Native),
}

const PIKA: Client = python("pika_client.py");
const AIO_PIKA: Client = python("aio_pika_client.py");
const CELERY: Client = python("celery_client.py");
const KOMBU: Client = python("kombu_client.py");
const AMQP_TOOLS: Client = python("amqp_tools_client.py");
const AMQPLIB: Client = Client::Script(Script {
    language: Language::Node,
    file: "amqplib_client.js",
});

const ALL: [Client; 8] = [
    PIKA,
    AIO_PIKA,
    CELERY,
    KOMBU,
    AMQPLIB,
    AMQP_TOOLS,
    Client::Native(LAPIN),
    Client::Native(AMQPRS),
];

const fn python(file: &'static str) -> Client {
    Client::Script(Script {
        language: Language::Python,
        file,
    })
}

impl Client {
    fn list(self) -> anyhow::Result<Report> {
        match self {
            Self::Script(script) => script.list(),
            Self::Native(native) => native.list(),
        }
    }

    /// Runs these verbs and fails unless each of them ran and worked.
    fn play(
        self,
        broker: &mut Broker,
        verbs: &[&str],
        not_yet: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let (name, url) = (broker.name(), broker.url());
        let mut restart = || broker.restart();
        let mut report = match self {
            Self::Script(script) => script.run(&url, verbs, &mut restart)?,
            Self::Native(native) => native.run(&url, verbs, &mut restart)?,
        };
        let worked = report
            .verbs
            .iter()
            .filter(|verb| verb.error.is_none())
            .count();
        let (client, version) = (report.client.clone(), report.version.clone());
        say(&format!(
            "{client} | {version} | {name} | {worked} of {} verbs",
            verbs.len()
        ));
        for verb in &mut report.verbs {
            let Some((name, lacks)) = not_yet.iter().find(|(name, _)| *name == verb.name) else {
                continue;
            };
            anyhow::ensure!(
                verb.error.take().is_some(),
                "{client} {name} works now: take it off the list of what is missing"
            );
            say(&format!(
                "SKIPPED {client} {name}: {name} needs {lacks}, which is still to come"
            ));
        }
        report.check(verbs)
    }

    /// Whether this machine can run the client.
    fn is_runnable(self) -> anyhow::Result<bool> {
        let Self::Script(Script { file, .. }) = self else {
            return Ok(true);
        };
        let Err(reason) = debian_packages() else {
            return Ok(true);
        };
        if is_set("LEVERET_REQUIRE_CLIENTS") {
            return Err(reason);
        }
        say(&format!("SKIPPED {file}: {reason:#}"));
        Ok(false)
    }

    /// Every verb that needs no restart, on a RabbitMQ that others use as well.
    fn on_rabbitmq(self) -> anyhow::Result<()> {
        if !self.is_runnable()? {
            return Ok(());
        }
        let Some(mut broker) = Broker::rabbitmq()? else {
            return Ok(());
        };
        let listed = self.list()?;
        self.play(&mut broker, &listed.names(false), &[])
    }

    /// Every verb, restarts included, on a broker of our own.
    fn on_leveret(self) -> anyhow::Result<()> {
        if !self.is_runnable()? {
            return Ok(());
        }
        let mut broker = Broker::leveret()?;
        let listed = self.list()?;
        let verbs: Vec<&str> = listed.verbs.iter().map(|verb| verb.name.as_str()).collect();
        self.play(&mut broker, &verbs, &NOT_YET)
    }
}

#[test]
fn pika_speaks_with_rabbitmq() -> anyhow::Result<()> {
    PIKA.on_rabbitmq()
}

#[test]
fn pika_speaks_with_leveret() -> anyhow::Result<()> {
    PIKA.on_leveret()
}

#[test]
fn aio_pika_speaks_with_rabbitmq() -> anyhow::Result<()> {
    AIO_PIKA.on_rabbitmq()
}

#[test]
fn aio_pika_speaks_with_leveret() -> anyhow::Result<()> {
    AIO_PIKA.on_leveret()
}

#[test]
fn celery_speaks_with_rabbitmq() -> anyhow::Result<()> {
    CELERY.on_rabbitmq()
}

#[test]
fn celery_speaks_with_leveret() -> anyhow::Result<()> {
    CELERY.on_leveret()
}

#[test]
fn kombu_speaks_with_rabbitmq() -> anyhow::Result<()> {
    KOMBU.on_rabbitmq()
}

#[test]
fn kombu_speaks_with_leveret() -> anyhow::Result<()> {
    KOMBU.on_leveret()
}

#[test]
fn amqplib_speaks_with_rabbitmq() -> anyhow::Result<()> {
    AMQPLIB.on_rabbitmq()
}

#[test]
fn amqplib_speaks_with_leveret() -> anyhow::Result<()> {
    AMQPLIB.on_leveret()
}

#[test]
fn amqp_tools_speak_with_rabbitmq() -> anyhow::Result<()> {
    AMQP_TOOLS.on_rabbitmq()
}

#[test]
fn amqp_tools_speak_with_leveret() -> anyhow::Result<()> {
    AMQP_TOOLS.on_leveret()
}

#[test]
fn lapin_speaks_with_rabbitmq() -> anyhow::Result<()> {
    Client::Native(LAPIN).on_rabbitmq()
}

#[test]
fn lapin_speaks_with_leveret() -> anyhow::Result<()> {
    Client::Native(LAPIN).on_leveret()
}

#[test]
fn amqprs_speaks_with_rabbitmq() -> anyhow::Result<()> {
    Client::Native(AMQPRS).on_rabbitmq()
}

#[test]
fn amqprs_speaks_with_leveret() -> anyhow::Result<()> {
    Client::Native(AMQPRS).on_leveret()
}

#[test]
fn every_client_comes_back_after_rabbitmq_was_killed() -> anyhow::Result<()> {
    let Some(mut broker) = Broker::restartable_rabbitmq()? else {
        return Ok(());
    };
    for client in ALL {
        if client.is_runnable()? {
            client.play(&mut broker, &client.list()?.names(true), &[])?;
        }
    }
    Ok(())
}

#[test]
fn the_documented_table_of_clients_is_what_they_list() -> anyhow::Result<()> {
    let mut reports = Vec::new();
    for client in ALL {
        if !client.is_runnable()? {
            return Ok(());
        }
        reports.push(client.list()?);
    }
    table::check(&reports)
}
