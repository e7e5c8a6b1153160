//! Passwords show up nowhere.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::client::{Client, Options, plain};

use super::process::{ANY_PORTS, Ended, Server, command, run};

/// The configured password, one that is wrong, and each as HTTP carries it.
const CANARIES: [&str; 4] = [
    "canary-of-gold",
    "canary-of-lead",
    // bob:canary-of-gold and bob:canary-of-lead
    "Ym9iOmNhbmFyeS1vZi1nb2xk",
    "Ym9iOmNhbmFyeS1vZi1sZWFk",
];

fn expect_no_canary(place: &str, bytes: &[u8]) -> Result<()> {
    for canary in CANARIES {
        let found = bytes
            .windows(canary.len())
            .any(|window| window == canary.as_bytes());
        ensure!(!found, "{canary} is in {place}");
    }
    Ok(())
}

fn search(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            search(&path)?;
        } else {
            expect_no_canary(&path.to_string_lossy(), &fs::read(&path)?)?;
        }
    }
    Ok(())
}

/// Runs the binary with the configured password in its environment.
fn run_as_bob(directory: &Path, arguments: &[&str], password: &str) -> Result<Ended> {
    let mut command = command(directory);
    command
        .args(arguments)
        .env("RABBITMQ_DEFAULT_USER", "bob")
        .env("RABBITMQ_DEFAULT_PASS", password);
    let ended = run(command)?;
    expect_no_canary(&format!("{arguments:?}"), ended.stdout.as_bytes())?;
    expect_no_canary(&format!("{arguments:?}"), ended.stderr.as_bytes())?;
    Ok(ended)
}

#[tokio::test]
async fn a_password_is_in_no_log_no_output_and_no_file() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().join("data");
    for format in ["text", "json"] {
        let mut start = command(directory.path());
        start
            .args(ANY_PORTS)
            .args([
                "--data-dir",
                "data",
                "--log-level",
                "trace",
                "--log-format",
                format,
            ])
            .args(["--set", "limits.refusal_delay_ms=1"])
            .env("RABBITMQ_DEFAULT_USER", "bob")
            .env("RABBITMQ_DEFAULT_PASS", CANARIES[0]);
        let mut server = Server::start(start)?;
        let amqp = server.amqp.context("it listens")?.to_string();
        for password in &CANARIES[..2] {
            let mut address = server.address()?;
            address.user = "bob".to_owned();
            for (mechanism, response) in [
                ("PLAIN", plain("bob", password)),
                ("AMQPLAIN", plain("bob", password)),
                ("SECRET", plain("bob", password)),
            ] {
                let options = Options {
                    mechanism: mechanism.to_owned(),
                    response: Some(response),
                    ..Options::default()
                };
                let connected = Client::try_connect(&address, &options).await?;
                let is_good = mechanism == "PLAIN" && *password == CANARIES[0];
                assert_eq!(connected.is_ok(), is_good, "{mechanism} {password}");
            }
            run_as_bob(directory.path(), &["ping", "--amqp", &amqp], password)?;
        }
        for login in &CANARIES[2..] {
            let answer = ureq::get(server.url("/api/overview")?)
                .header("authorization", format!("Basic {login}"))
                .call();
            assert_eq!(answer.is_ok(), *login == CANARIES[2]);
        }
        server.stop()?;
        let log = server.log()?;
        ensure!(log.contains("bob"), "the log is written: {log}");
        expect_no_canary("the log", log.as_bytes())?;
        expect_no_canary("the ready line", server.ready_line.as_bytes())?;
    }
    search(&folder)
}

#[test]
fn a_configured_password_is_never_shown() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for arguments in [
        &["config", "print"][..],
        &["config", "print", "--json"],
        &["config", "example"],
    ] {
        let ended = run_as_bob(directory.path(), arguments, CANARIES[0])?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let print = run_as_bob(directory.path(), &["config", "print"], CANARIES[0])?;
    assert!(
        print.stdout.contains("default_pass = \"********\""),
        "{}",
        print.stdout
    );
    for text in [
        "default_pass = [\"canary-of-gold\"]\n",
        "default_passs = \"canary-of-gold\"\n",
        "default_pass = \"canary-of-gold\n",
        "default_pass = \"canary-of-gold\" x\n",
    ] {
        fs::write(directory.path().join("a.toml"), text)?;
        let ended = run_as_bob(directory.path(), &["--config", "a.toml"], CANARIES[0])?;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.complaint()?.contains("a.toml:1"), "{ended:?}");
    }
    let flag = ["--set", "default_pass=canary-of-lead"];
    let ended = run_as_bob(directory.path(), &flag, CANARIES[0])?;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.complaint()?.contains("environment"), "{ended:?}");
    Ok(())
}
