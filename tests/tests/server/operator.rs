//! The operator's commands, on our broker and on a real RabbitMQ: both have the same HTTP API.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use leveret_tests::raw::method;
use leveret_tests::raw::value::Table;
use leveret_tests::target::Target;

use super::process::{Ended, Server, command, run};

/// A broker, and the commands that ask it.
struct Operator {
    management: String,
    // Killed when this is dropped.
    _server: Option<Server>,
}

impl Operator {
    /// `None`, loudly, where there is no such broker.
    fn of(target: Target) -> Result<Option<Self>> {
        match target {
            Target::Leveret => {
                let server = Server::in_memory()?;
                let management = server.url("")?;
                Ok(Some(Self {
                    management,
                    _server: Some(server),
                }))
            }
            Target::RabbitMq => match env::var("RABBITMQ_MANAGEMENT_URL") {
                Ok(url) => {
                    // Who asks is said by flags.
                    let host = url.rsplit('@').next().unwrap_or(&url);
                    let host = host.trim_start_matches("http://");
                    Ok(Some(Self {
                        management: format!("http://{host}"),
                        _server: None,
                    }))
                }
                Err(_) => {
                    ensure!(!target.is_required(), "RABBITMQ_MANAGEMENT_URL is not set");
                    eprintln!("SKIPPED: operator on RabbitMq: RABBITMQ_MANAGEMENT_URL is not set");
                    Ok(None)
                }
            },
        }
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = command(&env::temp_dir());
        command
            .args(arguments)
            .args(["--management", &self.management]);
        Ok(command)
    }

    fn ended(&self, arguments: &[&str]) -> Result<Ended> {
        run(self.command(arguments)?)
    }

    /// Standard output of a command that must succeed.
    fn ok(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.ended(arguments)?;
        ensure!(ended.code == Some(0), "{arguments:?}: {ended:?}");
        Ok(ended.stdout)
    }

    /// Standard error of a command that must fail with 1.
    fn fails(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.ended(arguments)?;
        ensure!(ended.code == Some(1), "{arguments:?}: {ended:?}");
        Ok(ended.stderr + &ended.stdout)
    }
}

const TARGETS: [Target; 2] = [Target::RabbitMq, Target::Leveret];

/// A name that no other run uses.
fn unique(name: &str) -> String {
    format!("operator-{name}-{:08x}", rand::random::<u32>())
}

fn on_both(test: impl Fn(&Operator) -> Result<()>) -> Result<()> {
    for target in TARGETS {
        if let Some(operator) = Operator::of(target)? {
            test(&operator).with_context(|| format!("{target:?}"))?;
        }
    }
    Ok(())
}

/// Spec 10.4.
#[test]
fn users_and_rights_are_made_listed_and_removed() -> Result<()> {
    on_both(|operator| {
        let (host, user) = (unique("host"), unique("user"));
        operator.ok(&["add-vhost", &host, "--description", "a test"])?;
        operator.ok(&["add-user", &user, "secret"])?;
        let again = operator.fails(&["add-user", &user, "other"])?;
        ensure!(again.contains("exists"), "{again}");
        operator.ok(&["set-user-tags", &user, "monitoring"])?;
        let users = operator.ok(&["list-users", "--silent"])?;
        ensure!(
            users.contains(&format!("{user}\t[\"monitoring\"]")),
            "{users}"
        );
        operator.ok(&["authenticate-user", &user, "secret"])?;
        operator.fails(&["authenticate-user", &user, "wrong"])?;
        operator.ok(&["change-password", &user, "changed"])?;
        operator.ok(&["authenticate-user", &user, "changed"])?;

        operator.ok(&["set-permissions", "-p", &host, &user, "^c", "^w", ".*"])?;
        let permissions = operator.ok(&["list-permissions", "-p", &host, "-s"])?;
        ensure!(
            permissions.contains(&format!("{user}\t^c\t^w\t.*")),
            "{permissions}"
        );
        operator.ok(&["clear-permissions", "-p", &host, &user])?;
        let permissions = operator.ok(&["list-permissions", "-p", &host, "-s"])?;
        ensure!(!permissions.contains(&user), "{permissions}");

        operator.ok(&["delete-user", &user])?;
        operator.fails(&["delete-user", &user])?;
        operator.ok(&["delete-vhost", &host])?;
        let hosts = operator.ok(&["list-vhosts", "--silent"])?;
        ensure!(!hosts.contains(&host), "{hosts}");
        Ok(())
    })
}

/// Spec 10.4.
#[test]
fn policies_parameters_and_limits_are_set_and_cleared() -> Result<()> {
    on_both(|operator| {
        let host = unique("host");
        operator.ok(&["add-vhost", &host])?;
        let definition = r#"{"max-length":10}"#;
        operator.ok(&["set-policy", "-p", &host, "short", "^q", definition])?;
        let csv = ["list-policies", "-p", &host, "--formatter", "csv", "-s"];
        let listed = operator.ok(&csv)?;
        let expected = format!("{host},short,^q,all,\"{{\"\"max-length\"\":10}}\",0\n");
        ensure!(listed == expected, "{listed}");
        let unknown = ["set-policy", "-p", &host, "x", "^q", r#"{"nonsense":1}"#];
        let refused = operator.fails(&unknown)?;
        ensure!(refused.contains("nonsense"), "{refused}");
        operator.ok(&["clear-policy", "-p", &host, "short"])?;
        ensure!(operator.ok(&csv)?.is_empty());

        operator.ok(&["set-vhost-limits", "-p", &host, r#"{"max-queues":7}"#])?;
        let limits = operator.ok(&["list-vhost-limits", "-s"])?;
        ensure!(
            limits.contains(&format!("{host}\t{{\"max-queues\":7}}")),
            "{limits}"
        );
        operator.ok(&["clear-vhost-limits", "-p", &host])?;
        let limits = operator.ok(&["list-vhost-limits", "-s"])?;
        ensure!(!limits.contains("\"max-queues\":7"), "{limits}");
        operator.ok(&["delete-vhost", &host])?;
        Ok(())
    })
}

/// Spec 10.4.
#[test]
fn definitions_go_out_and_in_again() -> Result<()> {
    on_both(|operator| {
        let host = unique("host");
        operator.ok(&["add-vhost", &host])?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("definitions.json");
        let path = file.to_str().context("a path in UTF-8")?;
        let definitions = r#"{"queues":[{"name":"q","durable":true,"auto_delete":false,"arguments":{}}],
            "exchanges":[],"bindings":[{"source":"amq.topic","destination":"q",
            "destination_type":"queue","routing_key":"a.#","arguments":{}}]}"#;
        std::fs::write(&file, definitions)?;
        operator.ok(&["import-definitions", path, "--one-vhost", "-p", &host])?;
        let queues = operator.ok(&["list-queues", "-p", &host, "-s", "name", "durable"])?;
        ensure!(queues == "q\ttrue\n", "{queues}");
        let bindings = operator.ok(&["list-bindings", "-p", &host, "-s"])?;
        ensure!(
            bindings.contains("amq.topic\tq\tqueue\ta.#\t{}"),
            "{bindings}"
        );
        let exported = operator.ok(&["export-definitions", "-", "--one-vhost", "-p", &host])?;
        let exported: serde_json::Value = serde_json::from_str(&exported)?;
        ensure!(exported["queues"][0]["name"] == "q", "{exported}");
        ensure!(
            exported["bindings"][0]["routing_key"] == "a.#",
            "{exported}"
        );
        operator.ok(&["purge-queue", "q", "-p", &host])?;
        operator.ok(&["delete-queue", "q", "-p", &host, "--if-empty"])?;
        operator.fails(&["purge-queue", "q", "-p", &host])?;
        operator.ok(&["delete-vhost", &host])?;
        Ok(())
    })
}

/// RabbitMQ has nothing of the kind.
#[tokio::test]
async fn peek_shows_messages_and_changes_nothing() -> Result<()> {
    let server = Server::in_memory()?;
    let mut client = server.client().await?;
    let declare = method::queue_declare("q", 0, &Table::new());
    client.ok(1, declare).await?;
    for body in ["first", "second", "third"] {
        client.put(1, "q", body).await?;
    }
    client.await_ready(1, "q", 3).await?;
    let operator = Operator {
        management: server.url("")?,
        _server: None,
    };
    for _ in 0..2 {
        let peeked = operator.ok(&["peek", "q", "--offset", "1", "--count", "1", "-s"])?;
        ensure!(peeked == "1\tfalse\t\tq\t6\tsecond\n", "{peeked}");
    }
    for body in ["first", "second", "third"] {
        let delivery = client.take(1, "q").await?;
        ensure!(
            delivery.text() == body && !delivery.redelivered,
            "{delivery:?}"
        );
    }
    Ok(())
}

/// Spec 10.4.
#[test]
fn the_broker_says_how_it_does() -> Result<()> {
    on_both(|operator| {
        operator.ok(&["await-startup"])?;
        let status = operator.ok(&["status"])?;
        ensure!(status.contains("version\t4."), "{status}");
        let health = operator.ok(&["health"])?;
        ensure!(
            health.lines().all(|line| line.ends_with("\tok")),
            "{health}"
        );
        ensure!(operator.ok(&["ctl", "ping", "-q"])?.is_empty());
        operator.fails(&["status", "--user", "nobody", "--password", "x"])?;
        Ok(())
    })
}

/// Spec 10.4. The verbs as scripts written for rabbitmqctl use them.
#[test]
fn verbs_have_rabbitmqctls_names_too() -> Result<()> {
    on_both(|operator| {
        let host = unique("host");
        operator.ok(&["ctl", "add_vhost", &host])?;
        let hosts = operator.ok(&["ctl", "list_vhosts", "-q", "name"])?;
        ensure!(hosts.lines().any(|line| line == host), "{hosts}");
        let json = [
            "ctl",
            "list_queues",
            "-q",
            "-p",
            &host,
            "--formatter",
            "json",
        ];
        ensure!(operator.ok(&json)?.trim() == "[]");
        operator.ok(&["ctl", "delete_vhost", &host])?;
        Ok(())
    })
}

/// Spec 10.4. Spec 11.1. RabbitMQ has no such request: its own command speaks another language.
#[test]
fn watermarks_are_set_while_the_broker_runs() -> Result<()> {
    let operator = Operator::of(Target::Leveret)?.context("a broker of our own")?;
    operator.ok(&["ctl", "check_alarms"])?;
    operator.ok(&["ctl", "set_vm_memory_high_watermark", "absolute", "1kB"])?;
    operator.fails(&["ctl", "check_alarms"])?;
    operator.ok(&["set-vm-memory-high-watermark", "0.9"])?;
    operator.ok(&["ctl", "check_alarms"])?;
    operator.ok(&["ctl", "set_disk_free_limit", "mem_relative", "0.001"])?;
    operator.ok(&["set-disk-free-limit", "50MB"])?;
    let refused = operator.ended(&["set-disk-free-limit", "half"])?;
    ensure!(refused.code == Some(1), "{refused:?}");
    operator.ok(&["ctl", "set_cluster_name", "other"])?;
    let status = operator.ok(&["status"])?;
    ensure!(status.contains("cluster name\tother"), "{status}");
    Ok(())
}

#[test]
fn a_password_may_come_from_standard_input() -> Result<()> {
    on_both(|operator| {
        let user = unique("user");
        let mut command = operator.command(&["add-user", &user])?;
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().context("it is piped")?;
        std::io::Write::write_all(&mut input, b"from-input\n")?;
        drop(input);
        ensure!(child.wait()?.success());
        operator.ok(&["authenticate-user", &user, "from-input"])?;
        operator.ok(&["delete-user", &user])?;
        Ok(())
    })
}

#[test]
fn nobody_at_home_is_one_complaint() -> Result<()> {
    let mut command = command(&env::temp_dir());
    command.args(["status", "--management", "127.0.0.1:1"]);
    let ended = run(command)?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(ended.stderr.lines().count() == 1, "{ended:?}");
    ensure!(ended.stderr.contains("no broker answers"), "{ended:?}");
    Ok(())
}
