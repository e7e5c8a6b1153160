//! Arguments of queues: every argument with every kind of value, made from one table.

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::management::segment;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};
use serde_json::json;

leveret_tests::on_both_targets![
    every_argument_of_a_classic_queue_takes_its_own_values_alone,
    every_argument_of_a_quorum_queue_takes_its_own_values_alone,
    a_routing_key_for_dead_letters_needs_their_exchange,
    old_versions_of_queues,
    arguments_of_other_types_are_refused_whatever_they_say,
    arguments_that_nobody_knows_are_kept_and_shown,
    a_refused_declaration_changes_nothing_of_a_queue_that_is_there,
];

/// What an argument takes.
#[derive(Clone, Copy, Debug)]
enum Takes {
    /// Milliseconds, at least so many.
    Milliseconds(i64),
    /// A number, at least so many.
    Number(i64),
    Priority,
    Truth,
    /// One of these words, or the complaint.
    Word(&'static [&'static str], &'static str),
    Exchange,
    Anything,
}

const OVERFLOW: Takes = Takes::Word(&["drop-head", "reject-publish"], "invalid_overflow");
const LOCATOR: Takes = Takes::Word(&["client-local", "balanced"], "invalid_queue_locator_arg");

const CLASSIC: &[(&str, Takes)] = &[
    ("x-message-ttl", Takes::Milliseconds(0)),
    ("x-expires", Takes::Milliseconds(1)),
    ("x-max-length", Takes::Number(0)),
    ("x-max-length-bytes", Takes::Number(0)),
    ("x-overflow", OVERFLOW),
    ("x-dead-letter-exchange", Takes::Exchange),
    ("x-max-priority", Takes::Priority),
    ("x-single-active-consumer", Takes::Truth),
    ("x-queue-leader-locator", LOCATOR),
    ("x-queue-mode", Takes::Anything),
];

const QUORUM: &[(&str, Takes)] = &[
    ("x-message-ttl", Takes::Milliseconds(0)),
    ("x-expires", Takes::Milliseconds(1)),
    ("x-max-length", Takes::Number(0)),
    ("x-max-length-bytes", Takes::Number(0)),
    ("x-max-in-memory-length", Takes::Number(0)),
    ("x-max-in-memory-bytes", Takes::Number(0)),
    ("x-overflow", OVERFLOW),
    ("x-dead-letter-exchange", Takes::Exchange),
    (
        "x-dead-letter-strategy",
        Takes::Word(&["at-most-once", "at-least-once"], "invalid_dlx_strategy"),
    ),
    ("x-single-active-consumer", Takes::Truth),
    ("x-quorum-initial-group-size", Takes::Number(1)),
    ("x-queue-leader-locator", LOCATOR),
    ("x-consumer-timeout", Takes::Number(0)),
    ("x-consumer-disconnected-timeout", Takes::Number(0)),
];

/// The longest time that an argument may say: ten years.
const LONGEST: i64 = 315_360_000_000;

/// Values of every type, with RabbitMQ's name of the type.
fn values() -> Vec<(&'static str, Value)> {
    let mut values = vec![
        ("bool", Value::Bool(true)),
        ("bool", Value::Bool(false)),
        ("float", Value::F32(5.0)),
        ("double", Value::F64(5.0)),
        ("decimal", Value::Decimal(0, 5)),
        ("longstr", Value::text("5")),
        ("longstr", Value::text("")),
        ("timestamp", Value::Timestamp(5)),
        ("table", Value::Table(one("a", 5))),
        ("array", Value::Array(vec![Value::I32(5)])),
        ("void", Value::Void),
        ("binary", Value::Bytes(b"5".to_vec())),
        ("byte", Value::I8(5)),
        ("unsignedbyte", Value::U8(5)),
        ("short", Value::I16(5)),
        ("unsignedshort", Value::U16(5)),
        ("unsignedint", Value::U32(5)),
        ("byte", Value::I8(-1)),
        ("signedint", Value::I32(0)),
        ("long", Value::UpperL(5)),
    ];
    values.extend([-1, 1, 255, 256, LONGEST, LONGEST + 1].map(|number| ("long", number.into())));
    values
}

impl Takes {
    /// Values that mean something to this argument alone.
    fn words(self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Word(words, _) => words
                .iter()
                .map(|word| ("longstr", Value::text(word)))
                .collect(),
            Self::Milliseconds(_)
            | Self::Number(_)
            | Self::Priority
            | Self::Truth
            | Self::Exchange
            | Self::Anything => Vec::new(),
        }
    }

    /// What is wrong with a value: `None` for nothing.
    fn complaint(self, type_name: &str, value: &Value) -> Option<String> {
        match self {
            Self::Anything => None,
            Self::Milliseconds(least) => complaint_of_number(least, LONGEST, type_name, value),
            Self::Number(least) => complaint_of_number(least, i64::MAX, type_name, value),
            Self::Priority => complaint_of_number(0, i64::MAX, type_name, value).or_else(|| {
                let priority = value.integer().filter(|priority| *priority > 255);
                priority.map(|priority| format!("{{max_value_exceeded,{priority}}}"))
            }),
            Self::Truth if type_name == "bool" => None,
            Self::Word(words, complaint) if type_name == "longstr" => {
                let said = value.as_text().unwrap_or_default();
                (!words.contains(&said.as_str())).then(|| complaint.to_owned())
            }
            Self::Exchange if type_name == "longstr" => None,
            Self::Truth | Self::Word(..) | Self::Exchange => {
                Some(format!("{{unacceptable_type,{type_name}}}"))
            }
        }
    }

    fn refusal(
        self,
        argument: &str,
        queue: &str,
        type_name: &str,
        value: &Value,
    ) -> Option<String> {
        let complaint = self.complaint(type_name, value)?;
        let queue = format!("queue '{queue}' in vhost '/'");
        Some(match self {
            Self::Exchange => {
                format!("406c invalid type '{type_name}' for arg '{argument}' in {queue}")
            }
            Self::Milliseconds(_)
            | Self::Number(_)
            | Self::Priority
            | Self::Truth
            | Self::Word(..)
            | Self::Anything => format!("406c invalid arg '{argument}' for {queue}: {complaint}"),
        })
    }
}

fn complaint_of_number(least: i64, most: i64, type_name: &str, value: &Value) -> Option<String> {
    match value.integer() {
        None => Some(format!("\"expected integer, got {type_name}\"")),
        Some(number) if number < 0 => Some(format!("{{value_negative,{number}}}")),
        Some(number) if number < least => Some("{value_zero,0}".to_owned()),
        Some(number) if number > most => Some(format!("{{value_too_large,{number}}}")),
        Some(_) => None,
    }
}

fn declare(queue: &str, arguments: &Table) -> method::Method {
    method::queue_declare(queue, queue_bits::DURABLE, arguments)
}

/// Declares a queue that must be refused, and is not there afterwards.
async fn expect_refused(
    client: &mut Client,
    queue: &str,
    arguments: &Table,
    refusal: &str,
) -> Result<()> {
    client
        .refused(1, declare(queue, arguments), refusal)
        .await?;
    let look = method::queue_declare(queue, queue_bits::PASSIVE, &Table::new());
    let absent = format!("404c no queue '{queue}' in vhost '/'");
    client.refused(1, look, &absent).await
}

/// Every argument with every value, on queues of one type.
async fn expect_matrix(
    context: &Context,
    queue_type: &str,
    arguments: &[(&str, Takes)],
) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    for (argument, takes) in arguments {
        for (type_name, value) in values().into_iter().chain(takes.words()) {
            let declared = one("x-queue-type", queue_type).with(argument, value.clone());
            match takes.refusal(argument, &queue, type_name, &value) {
                Some(refusal) => expect_refused(&mut client, &queue, &declared, &refusal).await?,
                None => {
                    client.ok(1, declare(&queue, &declared)).await?;
                    client.ok(1, method::queue_delete(&queue, 0)).await?;
                }
            }
        }
    }
    Ok(())
}

/// Spec 4.3.
async fn every_argument_of_a_classic_queue_takes_its_own_values_alone(
    context: &Context,
) -> Result<()> {
    expect_matrix(context, "classic", CLASSIC).await
}

/// Spec 4.4.2.
async fn every_argument_of_a_quorum_queue_takes_its_own_values_alone(
    context: &Context,
) -> Result<()> {
    expect_matrix(context, "quorum", QUORUM).await
}

/// Spec 4.3.
async fn a_routing_key_for_dead_letters_needs_their_exchange(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let refusal = |complaint: &str| {
        format!(
            "406c invalid arg 'x-dead-letter-routing-key' for queue '{queue}' in vhost '/': {complaint}"
        )
    };
    let with = one("x-dead-letter-exchange", "");
    for (type_name, value) in values() {
        let alone = one("x-dead-letter-routing-key", value.clone());
        let both = with.clone().with("x-dead-letter-routing-key", value);
        let wrong = refusal(&format!("{{unacceptable_type,{type_name}}}"));
        if type_name == "longstr" {
            let lonely = refusal("routing_key_but_no_dlx_defined");
            expect_refused(&mut client, &queue, &alone, &lonely).await?;
            client.ok(1, declare(&queue, &both)).await?;
            client.ok(1, method::queue_delete(&queue, 0)).await?;
        } else {
            expect_refused(&mut client, &queue, &alone, &wrong).await?;
            expect_refused(&mut client, &queue, &both, &wrong).await?;
        }
    }
    Ok(())
}

/// Spec 4.3.
async fn old_versions_of_queues(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let refusal = |complaint: &str| {
        format!("406c invalid arg 'x-queue-version' for queue '{queue}' in vhost '/': {complaint}")
    };
    let unsupported = |version: i32| refusal(&format!("\"unsupported queue version '{version}'\""));
    for version in [0, 3, 255] {
        let arguments = one("x-queue-version", version);
        expect_refused(&mut client, &queue, &arguments, &unsupported(version)).await?;
    }
    let text = one("x-queue-version", "2");
    let wrong = refusal("\"expected integer, got longstr\"");
    expect_refused(&mut client, &queue, &text, &wrong).await?;
    client
        .ok(1, declare(&queue, &one("x-queue-version", 2)))
        .await?;
    client.ok(1, method::queue_delete(&queue, 0)).await?;
    let refused = unsupported(1);
    let expected = context.differs("4.3", refused.as_str(), "ok")?;
    let outcome = client
        .call(1, declare(&queue, &one("x-queue-version", 1)))
        .await?;
    outcome.expect(expected)
}

/// Arguments that mean something to queues of another type alone.
const FOREIGN: [(&str, &[&str]); 2] = [
    (
        "classic",
        &[
            "x-max-age",
            "x-stream-max-segment-size-bytes",
            "x-stream-filter-size-bytes",
            "x-initial-cluster-size",
            "x-dead-letter-strategy",
            "x-quorum-initial-group-size",
            "x-max-in-memory-length",
            "x-max-in-memory-bytes",
            "x-consumer-disconnected-timeout",
            "x-delayed-retry-type",
            "x-delayed-retry-min",
            "x-delayed-retry-max",
        ],
    ),
    (
        "quorum",
        &[
            "x-max-age",
            "x-stream-max-segment-size-bytes",
            "x-stream-filter-size-bytes",
            "x-initial-cluster-size",
            "x-max-priority",
            "x-queue-mode",
            "x-queue-version",
        ],
    ),
];

/// Spec 4.3.1.
async fn arguments_of_other_types_are_refused_whatever_they_say(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    for (queue_type, arguments) in FOREIGN {
        for argument in arguments {
            let refusal = format!(
                "406c invalid arg '{argument}' for queue '{queue}' in vhost '/' of queue type \
                 rabbit_{queue_type}_queue"
            );
            for value in [Value::I32(5), Value::text("1D"), Value::Void] {
                let declared = one("x-queue-type", queue_type).with(argument, value);
                expect_refused(&mut client, &queue, &declared, &refusal).await?;
            }
        }
    }
    Ok(())
}

/// Spec 4.3.1. Spec 4.3.
async fn arguments_that_nobody_knows_are_kept_and_shown(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for queue_type in ["classic", "quorum"] {
        let queue = context.queue("q");
        let arguments = one("x-queue-type", queue_type)
            .with("x-our-own", 5)
            .with("ha-mode", "all")
            .with("x-ha-policy", "all")
            .with("plain", Value::Table(one("inner", true)));
        client.ok(1, declare(&queue, &arguments)).await?;
        let path = format!("queues/%2F/{}", segment(&queue));
        let shown = context.management()?.get(&path).await?.body;
        let expected = json!({
            "x-queue-type": queue_type,
            "x-our-own": 5,
            "ha-mode": "all",
            "x-ha-policy": "all",
            "plain": { "inner": true },
        });
        ensure!(shown["arguments"] == expected, "{shown}");
    }
    Ok(())
}

/// Spec 4.3. Spec 4.1.5.
async fn a_refused_declaration_changes_nothing_of_a_queue_that_is_there(
    context: &Context,
) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let arguments = one("x-max-length", 2);
    client.ok(1, declare(&queue, &arguments)).await?;
    for number in 0..2 {
        client.put(1, &queue, number.to_string()).await?;
    }
    client.await_ready(1, &queue, 2).await?;
    for (argument, _) in CLASSIC {
        // An existing queue's arguments are compared; what they may be is not asked any more.
        let other = one(argument, Value::Array(Vec::new()));
        let refusal = format!("406c inequivalent arg '…' for queue '{queue}' in vhost '/': …");
        client.refused(1, declare(&queue, &other), &refusal).await?;
    }
    client.ok(1, declare(&queue, &arguments)).await?;
    client.put(1, &queue, "2").await?;
    client.expect_ready(1, &queue, 2).await?;
    let left = client.take_all(1, &queue).await?;
    ensure!(left == ["1", "2"], "{left:?}");
    Ok(())
}
