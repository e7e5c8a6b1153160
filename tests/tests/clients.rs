//! Unmodified client libraries against a broker: ours, and a real RabbitMQ.
//!
//! Every verb that a client offers is used. A client that the machine cannot run is skipped, loudly;
//! `LEVERET_REQUIRE_CLIENTS=1` makes that a failure.

#[path = "clients/broker.rs"]
mod broker;

use leveret_tests::foreign::{Language, Report, Script, debian_packages};

use broker::{Broker, is_set, say};

const PIKA: Script = Script { language: Language::Python, file: "pika_client.py" };
const AIO_PIKA: Script = Script { language: Language::Python, file: "aio_pika_client.py" };
const AMQP_TOOLS: Script =
    Script { language: Language::Python, file: "amqp_tools_client.py" };
const CELERY: Script = Script { language: Language::Python, file: "celery_client.py" };
const AMQPLIB: Script = Script { language: Language::Node, file: "amqplib_client.js" };

/// Every verb that needs no restart, on a RabbitMQ that others use as well.
fn on_rabbitmq(script: Script) -> anyhow::Result<()> {
    if !runnable()? {
        return Ok(());
    }
    let Some(mut broker) = Broker::rabbitmq()? else { return Ok(()) };
    let listed = script.list()?;
    play(script, &mut broker, &listed.names(false))
}

/// Every verb, and the restarts, on a broker of our own.
fn on_leveret(script: Script) -> anyhow::Result<()> {
    if !runnable()? {
        return Ok(());
    }
    let mut broker = Broker::leveret()?;
    let listed = script.list()?;
    play(script, &mut broker, &listed.names(false))?;
    play(script, &mut broker, &listed.names(true))
}

/// Runs these verbs and fails unless each of them ran and worked.
fn play(script: Script, broker: &mut Broker, verbs: &[&str]) -> anyhow::Result<()> {
    let (name, url) = (broker.name(), broker.url());
    let report = script.run(&url, verbs, &mut || broker.restart())?;
    announce(&report, name);
    report.check(verbs)
}

fn announce(report: &Report, broker: &str) {
    let worked = report.verbs.iter().filter(|verb| verb.error.is_none()).count();
    let (client, version, all) = (&report.client, &report.version, report.verbs.len());
    say(&format!("{client} | {version} | {broker} | {worked} of {all} verbs"));
}

/// Whether this machine can run the clients.
fn runnable() -> anyhow::Result<bool> {
    let Err(reason) = debian_packages() else { return Ok(true) };
    if is_set("LEVERET_REQUIRE_CLIENTS") {
        return Err(reason);
    }
    say(&format!("SKIPPED clients: {reason:#}"));
    Ok(false)
}

#[test]
fn pika_speaks_with_rabbitmq() -> anyhow::Result<()> {
    on_rabbitmq(PIKA)
}

#[test]
fn pika_speaks_with_leveret() -> anyhow::Result<()> {
    on_leveret(PIKA)
}

#[test]
fn aio_pika_speaks_with_rabbitmq() -> anyhow::Result<()> {
    on_rabbitmq(AIO_PIKA)
}

#[test]
fn aio_pika_speaks_with_leveret() -> anyhow::Result<()> {
    on_leveret(AIO_PIKA)
}

#[test]
fn amqplib_speaks_with_rabbitmq() -> anyhow::Result<()> {
    on_rabbitmq(AMQPLIB)
}

#[test]
fn amqplib_speaks_with_leveret() -> anyhow::Result<()> {
    on_leveret(AMQPLIB)
}

#[test]
fn amqp_tools_speak_with_rabbitmq() -> anyhow::Result<()> {
    on_rabbitmq(AMQP_TOOLS)
}

#[test]
fn amqp_tools_speak_with_leveret() -> anyhow::Result<()> {
    on_leveret(AMQP_TOOLS)
}

#[test]
fn celery_speaks_with_rabbitmq() -> anyhow::Result<()> {
    on_rabbitmq(CELERY)
}

#[test]
fn celery_speaks_with_leveret() -> anyhow::Result<()> {
    on_leveret(CELERY)
}

#[test]
fn clients_outlive_a_restart_of_rabbitmq() -> anyhow::Result<()> {
    if !runnable()? {
        return Ok(());
    }
    let Some(mut broker) = Broker::restartable_rabbitmq()? else { return Ok(()) };
    for script in [PIKA, AIO_PIKA, AMQPLIB, AMQP_TOOLS, CELERY] {
        let listed = script.list()?;
        play(script, &mut broker, &listed.names(true))?;
    }
    Ok(())
}
