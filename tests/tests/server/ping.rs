//! `leveret ping`.

use anyhow::{Context as _, Result};

use super::process::{Ended, Server, command, run};

fn ping(address: &str, password: &str) -> Result<Ended> {
    let directory = tempfile::tempdir()?;
    let mut command = command(directory.path());
    command
        .args(["ping", "--amqp", address])
        .env("LEVERET_DEFAULT_PASS", password);
    run(command)
}

#[test]
fn a_broker_that_answers_is_a_success() -> Result<()> {
    let server = Server::in_memory()?;
    let address = server.amqp.context("it listens")?;
    let ended = ping(&address.to_string(), "guest")?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(&address.to_string()), "{ended:?}");
    // It was a login, not a mere connection, and it left in order.
    let log = server.log()?;
    assert!(
        log.contains("user=guest") && log.contains("leveret ping"),
        "{log}"
    );
    assert!(!log.contains("connection lost"), "{log}");
    Ok(())
}

#[test]
fn a_broker_that_does_not_answer_or_refuses_is_a_failure_with_the_reason() -> Result<()> {
    let mut server = Server::in_memory()?;
    let address = server.amqp.context("it listens")?.to_string();
    let refused = ping(&address, "wrong-canary")?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let complaint = refused.complaint()?;
    assert!(complaint.contains("403 ACCESS_REFUSED"), "{complaint}");
    assert!(!complaint.contains("canary"), "{complaint}");
    let http = server.management.context("it listens")?.to_string();
    assert_eq!(ping(&http, "guest")?.code, Some(1), "HTTP is no AMQP");
    server.stop()?;
    let gone = ping(&address, "guest")?;
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(gone.complaint()?.contains(&address), "{gone:?}");
    Ok(())
}
