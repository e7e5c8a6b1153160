//! Field by field, type by type: what Leveret shows of the same things as RabbitMQ does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leveret_tests::client::{Client, Options};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method;
use leveret_tests::raw::value::Table;
use serde_json::Value;

use super::api::{Api, percent, unique};

const PATIENCE: Duration = Duration::from_secs(30);

/// Fields that only one of the two has, or that differ in type, and why. A field that begins with
/// one of these is covered, with all that it holds.
const DIFFERENCES: &[(&str, &[&str], &str)] = &[
    (
        "node",
        &[
            "/*/gc_num",
            "/*/gc_bytes_reclaimed",
            "/*/crypto_lib_version",
            "/*/metrics_gc_queue_length",
            "/*/mnesia_disk_tx_count",
            "/*/mnesia_ram_tx_count",
            "/*/ra_open_file_metrics",
        ],
        "there is no Erlang, Mnesia or Raft to have figures of",
    ),
    (
        "node",
        &[
            "/*/io_read_avg_time",
            "/*/io_read_bytes",
            "/*/io_read_count",
            "/*/io_reopen_count",
            "/*/io_seek_avg_time",
            "/*/io_seek_count",
            "/*/io_sync_avg_time",
            "/*/io_sync_count",
            "/*/io_write_avg_time",
            "/*/io_write_bytes",
            "/*/io_write_count",
            "/*/msg_store_read_count",
            "/*/msg_store_write_count",
            "/*/queue_index_read_count",
            "/*/queue_index_write_count",
        ],
        "RabbitMQ 4.3 has 0 in all of them",
    ),
    (
        "node",
        &["/*/config_files/*", "/*/log_files/*"],
        "where files lie on the broker's machine is not told",
    ),
    (
        "node",
        &["/*/contexts/*/node", "/*/contexts/*/ssl_opts"],
        "contexts are shown as the overview shows them",
    ),
    (
        "overview",
        &[
            "/crypto_lib_version",
            "/is_op_policy_updating_enabled",
            "/require_definition_json_extension",
            "/sample_retention_policies",
        ],
        "for RabbitMQ's own web page",
    ),
    (
        "overview",
        &["/leveret_version", "/uptime"],
        "more than RabbitMQ tells",
    ),
    (
        "overview",
        &["/listeners/*/socket_opts"],
        "options of Erlang's sockets",
    ),
    (
        "overview",
        &["/message_stats/disk_reads", "/message_stats/disk_writes"],
        "messages are read and written in groups, not one by one",
    ),
    (
        "feature flags",
        &["/*/callbacks/*"],
        "there is nothing to call",
    ),
    (
        "channel",
        &["/cached_segments", "/pending_raft_commands"],
        "of stream and quorum queues, which are no Raft clusters here",
    ),
    (
        "channels",
        &["/*/cached_segments", "/*/pending_raft_commands"],
        "of stream and quorum queues, which are no Raft clusters here",
    ),
    (
        "channel",
        &["/global_prefetch_count"],
        "RabbitMQ shows it only where it is set",
    ),
    (
        "channels",
        &["/*/global_prefetch_count"],
        "RabbitMQ shows it only where it is set",
    ),
    (
        "*",
        &["/idle_since", "/*/idle_since", "/items/*/idle_since"],
        "either of the two may be idle or not when it is asked",
    ),
    (
        "connection",
        &["/user_provided_name"],
        "null where the client gives no name; RabbitMQ leaves it out",
    ),
    (
        "exchange",
        &["/user_who_performed_action"],
        "who declared an exchange is not kept",
    ),
    (
        "queue",
        &[
            "/message_bytes_persistent",
            "/message_bytes_ram",
            "/messages_persistent",
            "/messages_ram",
            "/messages_ready_ram",
            "/messages_unacknowledged_ram",
            "/storage_version",
        ],
        "not counted: bodies come and go between memory and disk without being counted",
    ),
    (
        "queues",
        &["/items/*/policy", "/items/*/operator_policy"],
        "null where there is none; RabbitMQ's lists leave it out",
    ),
    (
        "queues",
        &[
            "/items/*/message_bytes_persistent",
            "/items/*/message_bytes_ram",
            "/items/*/messages_persistent",
            "/items/*/messages_ram",
            "/items/*/messages_ready_ram",
            "/items/*/messages_unacknowledged_ram",
            "/items/*/storage_version",
        ],
        "not counted: bodies come and go between memory and disk without being counted",
    ),
];

/// The types of everything in a value, by path; `*` is any element of a list.
fn shape(value: &Value, path: String, types: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "fraction",
        Value::Number(_) => "integer",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    types.entry(path.clone()).or_default().insert(kind);
    match value {
        Value::Array(list) => {
            for element in list {
                shape(element, format!("{path}/*"), types);
            }
        }
        Value::Object(object) => {
            for (name, member) in object {
                shape(member, format!("{path}/{name}"), types);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a client that expects one of the types can read the other one, too: RabbitMQ itself
/// writes whole numbers now and then where it means fractions.
fn agree(left: &BTreeSet<&str>, right: &BTreeSet<&str>) -> bool {
    let plain = |types: &BTreeSet<&str>| -> BTreeSet<String> {
        let types = types.iter().filter(|kind| **kind != "null");
        types
            .map(|kind| if *kind == "fraction" { "integer" } else { kind }.to_owned())
            .collect()
    };
    let (left, right) = (plain(left), plain(right));
    left.is_empty() || right.is_empty() || left == right
}

/// One broker with something of everything, which is there until the guard goes.
struct Populated {
    name: String,
    client: Option<(Client, tokio::runtime::Runtime)>,
}

impl Populated {
    fn new(api: &Api) -> Result<Self> {
        let name = unique();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = runtime.block_on(async {
            let mut client = Client::connect(&api.amqp, &Options::default()).await?;
            let none = Table::new();
            client.open(1).await?;
            client.ok(1, method::confirm_select()).await?;
            client.ok(1, method::basic_qos(0, 2, false)).await?;
            client.ok(1, method::queue_declare(&name, 2, &none)).await?;
            client
                .ok(1, method::exchange_declare(&name, "topic", 2, &none))
                .await?;
            client
                .ok(1, method::queue_bind(&name, &name, "a.*", &none))
                .await?;
            client
                .ok(1, method::basic_consume(&name, &name, 0, &none))
                .await?;
            for _ in 0..3 {
                let publish = method::basic_publish(&name, "a.b", 0);
                client
                    .publish(1, publish, &Properties::default(), "body")
                    .await?;
            }
            anyhow::Ok(client)
        })?;
        Ok(Self {
            name,
            client: Some((client, runtime)),
        })
    }

    fn clean_up(mut self) -> Result<()> {
        let (mut client, runtime) = self.client.take().context("it is there")?;
        runtime.block_on(async {
            client.ok(1, method::queue_delete(&self.name, 0)).await?;
            client.ok(1, method::exchange_delete(&self.name, 0)).await?;
            client.close().await
        })
    }
}

/// Asks until the answer has what `is_ready` looks for: RabbitMQ gathers statistics every 5 s.
fn ask_until(api: &Api, path: &str, is_ready: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = api.get(path)?;
        ensure!(answer.status == 200, "{} {path}: {}", api.name, answer.text);
        let value = answer.json()?;
        if is_ready(&value) {
            return Ok(value);
        }
        ensure!(Instant::now() < deadline, "{} {path}: {value}", api.name);
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// The name that the API gives to the connection which consumes from that queue.
fn connection_of(api: &Api, queue: &str) -> Result<String> {
    let connection = |all: &Value| -> Option<String> {
        let own = all
            .as_array()?
            .iter()
            .find(|consumer| consumer["consumer_tag"] == queue)?;
        Some(
            own["channel_details"]["connection_name"]
                .as_str()?
                .to_owned(),
        )
    };
    let consumers = ask_until(api, "/api/consumers/%2F", |all| connection(all).is_some())?;
    Ok(percent(&connection(&consumers).context("a name")?))
}

/// What is compared: a name for it, the path, and the field that has to be there first.
fn views(name: &str, connection: &str) -> Vec<(&'static str, String, &'static str)> {
    let stats = "/message_stats/publish";
    vec![
        (
            "overview",
            "/api/overview".to_owned(),
            "/message_stats/publish",
        ),
        ("node", "/api/nodes".to_owned(), "/0/mem_used"),
        ("queue", format!("/api/queues/%2F/{name}"), stats),
        (
            "queues",
            format!("/api/queues/%2F?page=1&name={name}"),
            "/items/0/message_stats/publish",
        ),
        (
            "exchange",
            format!("/api/exchanges/%2F/{name}"),
            "/message_stats/publish_in",
        ),
        (
            "bindings",
            format!("/api/exchanges/%2F/{name}/bindings/source"),
            "/0/properties_key",
        ),
        (
            "connection",
            format!("/api/connections/{connection}"),
            "/recv_oct",
        ),
        (
            "channels",
            format!("/api/connections/{connection}/channels"),
            "/0/message_stats/deliver",
        ),
        (
            "channel",
            format!("/api/channels/{connection}%20%281%29"),
            "/message_stats/deliver",
        ),
        ("consumers", "/api/consumers/%2F".to_owned(), "/0/queue"),
        (
            "samples",
            format!(
                "/api/queues/%2F/{name}?lengths_age=60&lengths_incr=5&msg_rates_age=60\
                 &msg_rates_incr=5&columns=messages_details,message_stats.publish_details"
            ),
            "/message_stats/publish_details/samples/0",
        ),
        ("feature flags", "/api/feature-flags".to_owned(), "/0/name"),
        ("whoami", "/api/whoami".to_owned(), "/name"),
        ("cluster name", "/api/cluster-name".to_owned(), "/name"),
        ("version", "/api/version".to_owned(), ""),
        (
            "memory",
            "/api/nodes/{node}/memory".to_owned(),
            "/memory/total",
        ),
    ]
}

type Shapes = BTreeMap<&'static str, BTreeMap<String, BTreeSet<&'static str>>>;

fn shapes(api: &Api) -> Result<Shapes> {
    let populated = Populated::new(api)?;
    let connection = connection_of(api, &populated.name)?;
    let node = api.get("/api/overview?columns=node")?.json()?;
    let node = node["node"].as_str().context("a node")?.to_owned();
    let mut shapes = Shapes::new();
    for (view, path, needed) in views(&populated.name, &connection) {
        let path = path.replace("{node}", &node);
        let value = ask_until(api, &path, |value| value.pointer(needed).is_some())?;
        shape(&value, String::new(), shapes.entry(view).or_default());
    }
    populated.clean_up()?;
    Ok(shapes)
}

fn is_known(view: &str, field: &str) -> bool {
    DIFFERENCES.iter().any(|(known, fields, _)| {
        (*known == "*" || *known == view)
            && fields.iter().any(|known| {
                field.strip_prefix(known).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('/') || rest.starts_with("_details")
                })
            })
    })
}

/// Spec 10.2.
#[test]
fn every_field_that_rabbitmq_shows_is_there_and_of_its_type() -> Result<()> {
    let ours = shapes(&Api::leveret()?)?;
    let Some(rabbitmq) = Api::rabbitmq()? else {
        eprintln!("SKIPPED: shapes of RabbitMQ's answers: no URL is given");
        return Ok(());
    };
    let theirs = shapes(&rabbitmq)?;
    let mut different = Vec::new();
    for (view, theirs) in &theirs {
        let ours = ours.get(view).context("the same views")?;
        for (field, types) in theirs {
            let agrees = ours.get(field).is_some_and(|ours| agree(ours, types));
            if !agrees && !is_known(view, field) {
                different.push(format!(
                    "{view} {field}: {types:?}, here {:?}",
                    ours.get(field)
                ));
            }
        }
        for field in ours.keys() {
            if !theirs.contains_key(field) && !is_known(view, field) {
                different.push(format!("{view} {field}: only here"));
            }
        }
    }
    ensure!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}

/// Spec 10.2: what clients cannot do without, whatever RabbitMQ is at hand.
#[test]
fn mandatory_fields_are_there() -> Result<()> {
    let ours = shapes(&Api::leveret()?)?;
    let mandatory: &[(&str, &str)] = &[
        (
            "overview",
            "rabbitmq_version cluster_name erlang_version erlang_full_version node queue_totals \
             object_totals listeners",
        ),
        (
            "node",
            "*/name */type */running */uptime */run_queue */processors */os_pid */fd_total \
             */proc_total */mem_limit */mem_alarm */disk_free */disk_free_limit \
             */disk_free_alarm */rates_mode */enabled_plugins */being_drained",
        ),
        (
            "connection",
            "name node vhost user protocol state client_properties host port peer_host peer_port \
             channels channel_max connected_at",
        ),
        (
            "consumers",
            "*/consumer_tag */active */activity_status */ack_required */prefetch_count \
             */exclusive */arguments */consumer_timeout */queue/name */queue/vhost \
             */channel_details/name */channel_details/number */channel_details/connection_name \
             */channel_details/node */channel_details/peer_host */channel_details/peer_port \
             */channel_details/user",
        ),
        (
            "exchange",
            "name vhost type durable auto_delete internal arguments",
        ),
        (
            "queue",
            "name vhost type durable auto_delete exclusive arguments node state messages \
             messages_ready messages_unacknowledged message_stats/publish_details/rate \
             message_stats/deliver_get_details/rate",
        ),
        (
            "bindings",
            "*/source */vhost */destination */destination_type */routing_key */arguments \
             */properties_key",
        ),
    ];
    for (view, fields) in mandatory {
        let found = ours.get(view).context("a view")?;
        for field in fields.split_whitespace() {
            ensure!(
                found.contains_key(&format!("/{field}")),
                "{view} lacks {field}"
            );
        }
    }
    Ok(())
}
