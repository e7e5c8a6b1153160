//! Starting and stopping.

use std::fs;
use std::net::{TcpListener, TcpStream};

use anyhow::{Context as _, Result, ensure};
use leveret_tests::outcome::Close;
use leveret_tests::raw::method;
use leveret_tests::raw::value::one;

use super::binary;
use super::process::{ANY_PORTS, Server, command, isolated, run, run_with};

#[test]
fn the_ready_line_is_all_that_standard_output_gets() -> Result<()> {
    let mut server = Server::in_memory()?;
    let amqp = server.amqp.context("it listens")?;
    let management = server.management.context("it listens")?;
    let expected = format!(
        "leveret ready amqp={amqp} management={management} pid={}\n",
        server.pid()
    );
    assert_eq!(server.ready_line, expected);
    TcpStream::connect(amqp)?;
    TcpStream::connect(management)?;
    server.await_log("Server startup complete")?;
    assert_eq!(server.stop()?, "");
    Ok(())
}

/// What glibc's allocator is told is in its environment; the process stays the one that was started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_allocator_is_told_to_keep_little_unless_the_environment_says_otherwise() -> Result<()> {
    for (given, expected) in [
        (None, "MALLOC_ARENA_MAX=2"),
        (Some("7"), "MALLOC_ARENA_MAX=7"),
    ] {
        let directory = tempfile::tempdir()?;
        let mut command = command(directory.path());
        command.args(ANY_PORTS);
        if let Some(given) = given {
            command.env("MALLOC_ARENA_MAX", given);
        }
        let mut server = Server::start(command)?;
        let environment = fs::read(format!("/proc/{}/environ", server.pid()))?;
        let told: Vec<_> = environment
            .split(|byte| *byte == 0)
            .map(String::from_utf8_lossy)
            .filter(|variable| variable.starts_with("MALLOC_"))
            .collect();
        ensure!(told.iter().any(|told| told == expected), "{told:?}");
        ensure!(
            told.len() == if given.is_some() { 1 } else { 3 },
            "{told:?}"
        );
        server.stop()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_signal_closes_connections_with_320_and_ends_with_success() -> Result<()> {
    for (signal, before) in [("TERM", &[][..]), ("INT", &["serve"][..])] {
        let directory = tempfile::tempdir()?;
        let mut command = command(directory.path());
        command.args(before).args(ANY_PORTS);
        let mut server = Server::start(command)?;
        let mut client = server.client().await?;
        server.signal(signal)?;
        let close = client.next_of(0, method::CONNECTION_CLOSE).await?;
        let close = Close::read(&close.method.arguments)?;
        assert_eq!(close.code, 320, "{close:?}");
        client
            .send(0, &method::Method::empty(method::CONNECTION_CLOSE_OK))
            .await?;
        assert_eq!(server.wait()?.code(), Some(0), "{}", server.log()?);
        assert!(TcpStream::connect(server.amqp.context("it listened")?).is_err());
    }
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> Result<()> {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut server = Server::in_memory()?;
        // A client that does not agree to the close: the server would wait for it.
        let client = server.client().await?;
        server.signal("TERM")?;
        server.await_log("shutting down")?;
        server.signal(signal)?;
        assert_eq!(server.wait()?.code(), Some(code), "{}", server.log()?);
        drop(client);
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_say_goodbye_does_not_hold_up_the_end() -> Result<()> {
    let mut server = Server::in_memory()?;
    let client = server.client().await?;
    assert_eq!(server.stop()?, "");
    drop(client);
    Ok(())
}

#[test]
fn a_port_in_use_is_one_complaint_and_no_folder() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for (flag, other) in [("--amqp", "--management"), ("--management", "--amqp")] {
        let directory = tempfile::tempdir()?;
        let arguments = [flag, &address, other, "127.0.0.1:0", "--log-level", "off"];
        let ended = run_with(directory.path(), &arguments)?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let complaint = ended.complaint()?;
        assert!(complaint.contains(&address), "{complaint}");
        assert_eq!(complaint.matches("in use").count(), 1, "{complaint}");
        assert_eq!(fs::read_dir(directory.path())?.count(), 0, "{flag}");
    }
    Ok(())
}

#[test]
fn the_log_may_be_json() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut command = command(directory.path());
    command
        .args(ANY_PORTS)
        .args(["--in-memory", "--log-format", "json"]);
    let mut server = Server::start(command)?;
    server.stop()?;
    let log = server.log()?;
    let mut messages = Vec::new();
    for line in log.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).with_context(|| line.to_owned())?;
        assert!(event["level"].is_string(), "{line}");
        assert!(event["timestamp"].is_string(), "{line}");
        messages.push(event["message"].as_str().unwrap_or_default().to_owned());
    }
    assert!(
        messages.contains(&"Server startup complete".to_owned()),
        "{messages:?}"
    );
    Ok(())
}

#[test]
fn the_limit_on_open_files_is_raised_to_what_the_system_allows() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut shell = isolated("sh", directory.path());
    shell
        .args(["-c", "ulimit -S -n 64 && exec \"$0\" \"$@\""])
        .arg(binary::path())
        .args(ANY_PORTS)
        .arg("--in-memory");
    let server = Server::start(shell)?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid()))?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .context("the system says so")?;
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{line}");
    ensure!(words[3] != "64", "{line}");
    Ok(())
}

#[test]
fn every_command_explains_itself() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let commands: [&[&str]; 8] = [
        &[],
        &["serve"],
        &["config"],
        &["config", "print"],
        &["config", "example"],
        &["verify"],
        &["backup"],
        &["ping"],
    ];
    for words in commands {
        let mut command = command(directory.path());
        command.args(words).arg("--help");
        let ended = run(command)?;
        assert_eq!(ended.code, Some(0), "{words:?}");
        assert!(ended.stdout.contains("Usage: leveret"), "{}", ended.stdout);
    }
    let version = run_with(directory.path(), &["--version"])?;
    assert_eq!(
        version.stdout,
        format!("leveret {}\n", env!("CARGO_PKG_VERSION"))
    );
    Ok(())
}

/// Spec 7.2.7. One line, however many dead letters go in circles.
#[tokio::test]
async fn circles_of_dead_letters_are_told_of_once() -> Result<()> {
    let server = Server::in_memory()?;
    let mut client = server.client().await?;
    let arguments = one("x-message-ttl", 1)
        .with("x-dead-letter-exchange", "")
        .with("x-dead-letter-routing-key", "circle");
    client
        .ok(1, method::queue_declare("circle", 0, &arguments))
        .await?;
    for _ in 0..20 {
        client.put(1, "circle", "x").await?;
        client.await_ready(1, "circle", 0).await?;
    }
    server.await_log("gone round in a circle")?;
    let lines = server.log()?.matches("gone round in a circle").count();
    ensure!(lines == 1, "{lines} lines");
    Ok(())
}
