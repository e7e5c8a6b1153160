//! Options: where they may come from, what wins, what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use leveret_tests::client::{Client, Options};
use serde_json::Value;

use super::process::{ANY_PORTS, Server, command, run, run_with};

/// A wrong configuration and what the complaint must name.
struct Wrong {
    file: &'static str,
    environment: &'static [(&'static str, &'static str)],
    flags: &'static [&'static str],
    named: &'static [&'static str],
}

const FINE: Wrong = Wrong {
    file: "",
    environment: &[],
    flags: &[],
    named: &[],
};

const WRONG: &[Wrong] = &[
    // Not TOML.
    Wrong {
        file: "amqp = \"none\"\nmanagement = \n",
        named: &["leveret.toml:2: "],
        ..FINE
    },
    // No such option, and what may have been meant.
    Wrong {
        file: "\n\n[limits]\nframe_maxx = 8192\n",
        named: &[
            "leveret.toml:4: ",
            "limits.frame_maxx = 8192",
            "did you mean limits.frame_max?",
        ],
        ..FINE
    },
    Wrong {
        file: "mqtt = \"127.0.0.1:1883\"\n",
        named: &["leveret.toml:1: ", "mqtt = \"127.0.0.1:1883\""],
        ..FINE
    },
    Wrong {
        file: "limits = 3\n",
        named: &["leveret.toml:1: ", "limits = 3"],
        ..FINE
    },
    Wrong {
        file: "[amqp]\nport = 5672\n",
        named: &["leveret.toml:2: ", "amqp.port = 5672"],
        ..FINE
    },
    // The wrong type.
    Wrong {
        file: "[limits]\nchannel_max = \"many\"\n",
        named: &[
            "leveret.toml:2: ",
            "limits.channel_max = \"many\"",
            "from 0 to 65535",
        ],
        ..FINE
    },
    Wrong {
        file: "in_memory = \"true\"\n",
        named: &["leveret.toml:1: ", "in_memory = \"true\"", "true or false"],
        ..FINE
    },
    Wrong {
        file: "loopback_users = \"guest\"\n",
        named: &["leveret.toml:1: ", "loopback_users = \"guest\"", "list"],
        ..FINE
    },
    Wrong {
        file: "amqp = 5672\n",
        named: &["leveret.toml:1: ", "amqp = 5672", "HOST:PORT"],
        ..FINE
    },
    // Out of range.
    Wrong {
        file: "[limits]\nframe_max = 4095\n",
        named: &[
            "leveret.toml:2: ",
            "limits.frame_max = 4095",
            "from 4096 to 536870912, or 0",
        ],
        ..FINE
    },
    Wrong {
        file: "[limits]\nheartbeat_seconds = -1\n",
        named: &["leveret.toml:2: ", "limits.heartbeat_seconds = -1"],
        ..FINE
    },
    Wrong {
        file: "durability = \"interval=0\"\n",
        named: &[
            "leveret.toml:1: ",
            "durability = \"interval=0\"",
            "1 to 60000",
        ],
        ..FINE
    },
    Wrong {
        file: "durability = \"sometimes\"\n",
        named: &["leveret.toml:1: ", "durability = \"sometimes\"", "commit"],
        ..FINE
    },
    Wrong {
        file: "default_user = \"\"\n",
        named: &["leveret.toml:1: ", "default_user = \"\""],
        ..FINE
    },
    // Each fits, but not both.
    Wrong {
        file: "[limits]\nframe_min = 65536\nframe_max = 8192\n",
        named: &[
            "leveret.toml:2: ",
            "limits.frame_min = 65536",
            "limits.frame_max = 8192",
        ],
        ..FINE
    },
    Wrong {
        file: "data_dir = \"d\"\nin_memory = true\n",
        named: &["leveret.toml:2: ", "in_memory = true", "leveret.toml:1"],
        ..FINE
    },
    // The environment.
    Wrong {
        environment: &[("LEVERET_LIMITS_CHANNEL_MAX", "65536")],
        named: &[
            "env LEVERET_LIMITS_CHANNEL_MAX: ",
            "limits.channel_max = \"65536\"",
        ],
        ..FINE
    },
    Wrong {
        environment: &[("LEVERET_LIMITS_NO_SUCH_THING", "1")],
        named: &["env LEVERET_LIMITS_NO_SUCH_THING: ", "no such option"],
        ..FINE
    },
    Wrong {
        environment: &[("LEVERET_DURABLITY", "os")],
        named: &[
            "env LEVERET_DURABLITY: ",
            "did you mean LEVERET_DURABILITY?",
        ],
        ..FINE
    },
    Wrong {
        environment: &[("RABBITMQ_NODE_PORT", "amqp")],
        named: &["env RABBITMQ_NODE_PORT: ", "amqp = \"amqp\"", "a port"],
        ..FINE
    },
    Wrong {
        environment: &[("LEVERET_CONFIG", "no/such/file.toml")],
        named: &["no/such/file.toml", "env LEVERET_CONFIG"],
        ..FINE
    },
    // Flags.
    Wrong {
        flags: &["--durability", "sometimes"],
        named: &["flag --durability: ", "durability = \"sometimes\""],
        ..FINE
    },
    Wrong {
        flags: &["--log-level", "loud"],
        named: &["flag --log-level: ", "log_level = \"loud\"", "trace"],
        ..FINE
    },
    Wrong {
        flags: &["--set", "limits.frame_max=12"],
        named: &["flag --set limits.frame_max: ", "limits.frame_max = \"12\""],
        ..FINE
    },
];

#[test]
fn a_wrong_configuration_is_one_complaint_that_names_it_and_touches_nothing() -> Result<()> {
    for wrong in WRONG {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("leveret.toml");
        fs::write(&file, wrong.file)?;
        let mut command = command(directory.path());
        command
            .envs(wrong.environment.iter().copied())
            .args(wrong.flags);
        if !wrong.file.is_empty() {
            command.args(["--config", "leveret.toml"]);
        }
        let ended = run(command)?;
        assert_eq!(ended.code, Some(2), "{:?}: {ended:?}", wrong.named);
        assert_eq!(ended.stdout, "");
        let complaint = ended.complaint()?;
        for name in wrong.named {
            assert!(complaint.contains(name), "no {name:?} in {complaint:?}");
        }
        fs::remove_file(file)?;
        assert_eq!(fs::read_dir(directory.path())?.count(), 0, "{complaint}");
    }
    Ok(())
}

#[test]
fn a_file_that_cannot_be_read_is_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    fs::create_dir(directory.path().join("folder"))?;
    fs::write(
        directory.path().join("latin1"),
        b"cluster_name = \"caf\xe9\"\n",
    )?;
    fs::write(directory.path().join("long"), "# \n".repeat(500_000))?;
    for (file, reason) in [
        ("missing", "No such file"),
        ("folder", "directory"),
        ("latin1", "UTF-8"),
        ("long", "longer than 1 MiB"),
        ("/dev/zero", "UTF-8"),
    ] {
        let ended = run_with(directory.path(), &["--config", file])?;
        if file == "/dev/zero" {
            // Zeros are UTF-8, so it is the length that is refused; it must end at all.
            assert_eq!(ended.code, Some(2), "{ended:?}");
            continue;
        }
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let complaint = ended.complaint()?;
        assert!(
            complaint.contains(file) && complaint.contains(reason),
            "{complaint}"
        );
        assert!(complaint.contains("flag --config"), "{complaint}");
    }
    Ok(())
}

/// What `config print --json` says: key to value and origin.
fn printed(mut command: std::process::Command) -> Result<BTreeMap<String, (String, String)>> {
    command.arg("--json");
    let ended = run(command)?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let options: Vec<Value> = serde_json::from_str(&ended.stdout)?;
    let text = |option: &Value, name: &str| -> Result<String> {
        let text = option[name].as_str().with_context(|| option.to_string())?;
        Ok(text.to_owned())
    };
    options
        .iter()
        .map(|option| {
            let (value, origin) = (text(option, "value")?, text(option, "origin")?);
            Ok((text(option, "key")?, (value, origin)))
        })
        .collect()
}

fn print(directory: &Path) -> std::process::Command {
    let mut command = command(directory);
    command.args(["config", "print"]);
    command
}

#[test]
fn a_flag_beats_the_environment_that_beats_the_file_that_beats_the_default() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = "cluster_name = \"file\"\nproduct = \"file\"\nproduct_version = \"file\"\n";
    fs::write(directory.path().join("a.toml"), file)?;
    let mut command = print(directory.path());
    command
        .args(["--config", "a.toml", "--set", "cluster_name=flag"])
        .env("LEVERET_CLUSTER_NAME", "environment")
        .env("LEVERET_PRODUCT", "environment");
    let options = printed(command)?;
    for (key, value, origin) in [
        ("cluster_name", "\"flag\"", "flag --set cluster_name"),
        ("product", "\"environment\"", "env LEVERET_PRODUCT"),
        ("product_version", "\"file\"", "a.toml:3"),
        ("durability", "\"commit\"", "default"),
    ] {
        assert_eq!(options[key], (value.to_owned(), origin.to_owned()), "{key}");
    }
    Ok(())
}

#[test]
fn variables_of_rabbitmq_are_understood() -> Result<()> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("a.toml"), "amqp = \"10.1.2.3:1\"\n")?;
    let check = |variables: &[(&str, &str)], key: &str, value: &str, origin: &str| -> Result<()> {
        let mut command = print(directory.path());
        command
            .args(["--config", "a.toml"])
            .envs(variables.iter().copied());
        let options = printed(command)?;
        assert_eq!(
            options[key],
            (value.to_owned(), origin.to_owned()),
            "{variables:?}"
        );
        Ok(())
    };
    let (user, host, port) = (
        "RABBITMQ_DEFAULT_USER",
        "RABBITMQ_NODE_IP_ADDRESS",
        "RABBITMQ_NODE_PORT",
    );
    check(
        &[(user, "bob")],
        "default_user",
        "\"bob\"",
        "env RABBITMQ_DEFAULT_USER",
    )?;
    check(
        &[(user, "bob"), ("LEVERET_DEFAULT_USER", "eve")],
        "default_user",
        "\"eve\"",
        "env LEVERET_DEFAULT_USER",
    )?;
    check(
        &[("RABBITMQ_DEFAULT_VHOST", "v")],
        "default_vhost",
        "\"v\"",
        "env RABBITMQ_DEFAULT_VHOST",
    )?;
    // Host and port each change their part of what is configured otherwise.
    check(
        &[(port, "5673")],
        "amqp",
        "\"10.1.2.3:5673\"",
        "env RABBITMQ_NODE_PORT",
    )?;
    check(
        &[(host, "::1")],
        "amqp",
        "\"[::1]:1\"",
        "env RABBITMQ_NODE_IP_ADDRESS",
    )?;
    check(
        &[(host, "::1"), (port, "7")],
        "amqp",
        "\"[::1]:7\"",
        "env RABBITMQ_NODE_PORT",
    )?;
    check(
        &[(port, "7"), ("LEVERET_AMQP", "127.0.0.1:8")],
        "amqp",
        "\"127.0.0.1:8\"",
        "env LEVERET_AMQP",
    )?;
    // Compose files set variables to nothing when they mean "not set".
    check(
        &[(user, ""), (port, "")],
        "amqp",
        "\"10.1.2.3:1\"",
        "a.toml:1",
    )
}

#[test]
fn the_stronger_source_decides_between_a_folder_and_memory() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut command = print(directory.path());
    command.env("LEVERET_DATA_DIR", "d").arg("--in-memory");
    let options = printed(command)?;
    assert!(!options.contains_key("data_dir"), "{options:?}");
    let mut command = print(directory.path());
    command
        .env("LEVERET_IN_MEMORY", "true")
        .args(["--data-dir", "d"]);
    let options = printed(command)?;
    assert_eq!(options["data_dir"].0, "\"d\"");
    assert_eq!(options["in_memory"].0, "false");
    Ok(())
}

#[test]
fn what_is_printed_is_a_configuration_file_again() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let defaults = printed(print(directory.path()))?;
    for words in [["config", "print"], ["config", "example"]] {
        let text = run_with(directory.path(), &words)?.stdout;
        fs::write(directory.path().join("b.toml"), &text)?;
        let mut command = print(directory.path());
        command.args(["--config", "b.toml"]);
        if words[1] == "print" {
            // As a whole it says both where to keep data and not to keep it in memory only.
            assert!(text.contains("in_memory = false"), "{text}");
        }
        let again = printed(command)?;
        for (key, (value, _)) in &defaults {
            assert_eq!(&again[key].0, value, "{key}");
        }
        assert_eq!(
            again["limits.frame_max"].1.split(':').next(),
            Some("b.toml")
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_configured_broker_behaves_as_configured() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = "default_user = \"bob\"\ndefault_pass = \"secret\"\ndefault_vhost = \"v\"\n\
                [limits]\nframe_max = \"64KiB\"\nchannel_max = 5\n";
    fs::write(directory.path().join("a.toml"), file)?;
    let mut command = command(directory.path());
    command
        .args(ANY_PORTS)
        .args(["--in-memory", "--config", "a.toml"])
        .env("LEVERET_LIMITS_HEARTBEAT_SECONDS", "7");
    let server = Server::start(command)?;
    let mut address = server.address()?;
    let options = Options::default();
    assert!(
        Client::try_connect(&address, &options).await?.is_err(),
        "guest is gone"
    );
    address.user = "bob".to_owned();
    address.password = "secret".to_owned();
    address.virtual_host = "v".to_owned();
    let client = Client::connect(&address, &options).await?;
    let offered = client.offered;
    assert_eq!(
        (offered.frame_max, offered.channel_max, offered.heartbeat),
        (65_536, 5, 7)
    );
    client.close().await
}
