//! Exchanges that choose one destination by a hash. Where a message goes is the broker's own affair;
//! that messages of one key stay together, and that each goes to one queue, is not.
//!
//! RabbitMQ has one of the two kinds as a plugin: where it is not enabled, the kind is unknown.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::outcome::Outcome;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

leveret_tests::on_both_targets![
    every_message_goes_to_one_queue_and_keys_stay_together,
    weights_decide_how_much_a_queue_gets,
    a_binding_key_that_is_no_weight_is_refused,
    a_second_binding_changes_no_weight,
    headers_and_properties_can_be_hashed,
    arguments_that_make_no_sense_are_refused,
    copies_do_not_multiply_a_message,
    a_modulus_needs_no_weights,
];

const CONSISTENT: &str = "x-consistent-hash";
const MODULUS: &str = "x-modulus-hash";

/// Declares an exchange; `None` where the kind is unknown, which ours is never.
async fn declared(
    context: &Context,
    client: &mut Client,
    kind: &str,
    arguments: &Table,
) -> Result<Option<String>> {
    let exchange = context.exchange("hash");
    let declare = method::exchange_declare(&exchange, kind, 0, arguments);
    match client.call(1, declare).await? {
        Outcome::Reply(_) => Ok(Some(exchange)),
        other => {
            let expected = context.differs("3.7.1", "406c unknown exchange type '…'", "ok")?;
            other.expect(expected)?;
            client.open(1).await?;
            Ok(None)
        }
    }
}

async fn bound(
    context: &Context,
    client: &mut Client,
    exchange: &str,
    keys: &[&str],
) -> Result<Vec<String>> {
    let mut queues = Vec::new();
    for key in keys {
        let queue = context.queue("q");
        let declare = method::queue_declare(&queue, queue_bits::DURABLE, &Table::new());
        client.ok(1, declare).await?;
        let bind = method::queue_bind(&queue, exchange, key, &Table::new());
        client.ok(1, bind).await?;
        queues.push(queue);
    }
    Ok(queues)
}

/// Publishes and waits until all is in its queues; how many messages each queue has.
async fn spread(
    client: &mut Client,
    exchange: &str,
    queues: &[String],
    messages: &[(String, Properties)],
) -> Result<Vec<u32>> {
    client.ok(1, method::confirm_select()).await?;
    for (key, properties) in messages {
        let publish = method::basic_publish(exchange, key, 0);
        client.publish(1, publish, properties, key).await?;
    }
    let all = u32::try_from(messages.len())?;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let mut counts = Vec::new();
        for queue in queues {
            counts.push(client.counts(1, queue).await?.0);
        }
        let sum: u32 = counts.iter().sum();
        ensure!(sum <= all, "a message went to two queues: {counts:?}");
        if sum == all {
            return Ok(counts);
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{counts:?} of {all}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn keys(count: u32) -> Vec<(String, Properties)> {
    let plain = |number: u32| (number.to_string(), Properties::default());
    (0..count).map(plain).collect()
}

/// Spec 3.7.1.
async fn every_message_goes_to_one_queue_and_keys_stay_together(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let Some(exchange) = declared(context, &mut client, CONSISTENT, &Table::new()).await? else {
        return Ok(());
    };
    let queues = bound(context, &mut client, &exchange, &["1", "1", "1"]).await?;
    let messages = [keys(50), keys(50), keys(50)].concat();
    let counts = spread(&mut client, &exchange, &queues, &messages).await?;
    ensure!(counts.iter().all(|count| *count > 0), "{counts:?}");
    let mut seen = BTreeMap::new();
    for queue in &queues {
        for key in client.take_all(1, queue).await? {
            let first = seen.entry(key).or_insert(queue);
            ensure!(*first == queue, "a key went two ways");
        }
    }
    Ok(())
}

/// Spec 3.7.1.
async fn weights_decide_how_much_a_queue_gets(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let Some(exchange) = declared(context, &mut client, CONSISTENT, &Table::new()).await? else {
        return Ok(());
    };
    let queues = bound(context, &mut client, &exchange, &["1", "+9"]).await?;
    let counts = spread(&mut client, &exchange, &queues, &keys(2_000)).await?;
    ensure!(
        (100..320).contains(&counts[0]),
        "{counts:?}, not 200 and 1800"
    );
    Ok(())
}

/// Spec 3.7.1.
async fn a_binding_key_that_is_no_weight_is_refused(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let Some(exchange) = declared(context, &mut client, CONSISTENT, &Table::new()).await? else {
        return Ok(());
    };
    let queue = context.queue("q");
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await?;
    for (key, expected) in [
        ("0", "The binding key must be greater than 0"),
        ("-3", "The binding key must be greater than 0"),
        ("10001", "The binding key must not exceed 10000"),
        ("x", "The binding key must be an integer: <<\"x\">>"),
        ("", "The binding key must be an integer: <<>>"),
    ] {
        // An empty key and no queue would mean the queue's name.
        let bind = method::queue_bind(&queue, &exchange, key, &Table::new());
        client.refused(1, bind, &format!("406c {expected}")).await?;
    }
    Ok(())
}

/// Spec 3.7.1.
async fn a_second_binding_changes_no_weight(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let Some(exchange) = declared(context, &mut client, CONSISTENT, &Table::new()).await? else {
        return Ok(());
    };
    let queues = bound(context, &mut client, &exchange, &["1", "1"]).await?;
    let again = method::queue_bind(&queues[0], &exchange, "50", &Table::new());
    client.ok(1, again).await?;
    let counts = spread(&mut client, &exchange, &queues, &keys(1_000)).await?;
    ensure!((350..650).contains(&counts[0]), "{counts:?}");
    Ok(())
}

/// Spec 3.7.1.
async fn headers_and_properties_can_be_hashed(context: &Context) -> Result<()> {
    let header = |value: Value| Properties::with_headers(one("k", value));
    let with_id = |id: u32| Properties {
        message_id: Some(id.to_string()),
        correlation_id: Some(id.to_string()),
        timestamp: Some(id.into()),
        ..Properties::default()
    };
    for (argument, value) in [
        ("hash-header", "k"),
        ("hash-property", "message_id"),
        ("hash-property", "correlation_id"),
        ("hash-property", "timestamp"),
    ] {
        let mut client = context.client().await?;
        let arguments = one(argument, value);
        let Some(exchange) = declared(context, &mut client, CONSISTENT, &arguments).await? else {
            return Ok(());
        };
        let queues = bound(context, &mut client, &exchange, &["1", "1"]).await?;
        let make = |id: u32| match argument {
            "hash-header" => header(Value::text(&id.to_string())),
            _ => with_id(id),
        };
        // One key, many values: they are spread; many keys, one value: they are not.
        let values: Vec<_> = (0..200).map(|id| ("key".to_owned(), make(id))).collect();
        let counts = spread(&mut client, &exchange, &queues, &values).await?;
        ensure!(
            counts.iter().all(|count| *count > 40),
            "{value}: {counts:?}"
        );
        for queue in &queues {
            client.ok(1, method::queue_purge(queue)).await?;
        }
        let same: Vec<_> = (0..50).map(|key: u32| (key.to_string(), make(7))).collect();
        let counts = spread(&mut client, &exchange, &queues, &same).await?;
        ensure!(counts.contains(&50), "{value}: {counts:?}");
        for queue in &queues {
            client.ok(1, method::queue_purge(queue)).await?;
        }
        let odd = [
            Properties::default(),
            header(Value::Void),
            header(Value::Table(one("a", 1))),
            header(Value::Array(vec![Value::I32(1)])),
            header(Value::Bool(true)),
        ];
        let odd: Vec<_> = odd.map(|odd| ("key".to_owned(), odd)).into();
        spread(&mut client, &exchange, &queues, &odd).await?;
    }
    Ok(())
}

/// Spec 3.7.1.
async fn arguments_that_make_no_sense_are_refused(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    if declared(context, &mut client, CONSISTENT, &Table::new())
        .await?
        .is_none()
    {
        return Ok(());
    }
    for (arguments, expected) in [
        (
            one("hash-header", "k").with("hash-property", "message_id"),
            "406c hash-header and hash-property are mutually exclusive",
        ),
        (
            one("hash-property", "type"),
            "406c Unsupported property: type",
        ),
    ] {
        let exchange = context.exchange("refused");
        let declare = method::exchange_declare(&exchange, CONSISTENT, 0, &arguments);
        client.refused(1, declare, expected).await?;
    }
    Ok(())
}

/// Spec 3.7.1. Spec 5.1.8.
async fn copies_do_not_multiply_a_message(context: &Context) -> Result<()> {
    for kind in [CONSISTENT, MODULUS] {
        let mut client = context.client().await?;
        let Some(exchange) = declared(context, &mut client, kind, &Table::new()).await? else {
            continue;
        };
        let queues = bound(context, &mut client, &exchange, &["1", "2"]).await?;
        let copies = vec![Value::text("other"), Value::text("another")];
        let properties = Properties::with_headers(one("CC", Value::Array(copies)));
        let messages: Vec<_> = (0..100)
            .map(|key: u32| (key.to_string(), properties.clone()))
            .collect();
        spread(&mut client, &exchange, &queues, &messages).await?;
    }
    Ok(())
}

/// Spec 3.7.2.
async fn a_modulus_needs_no_weights(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let Some(exchange) = declared(context, &mut client, MODULUS, &Table::new()).await? else {
        return Ok(());
    };
    let queues = bound(context, &mut client, &exchange, &["", "any key", "1"]).await?;
    let counts = spread(&mut client, &exchange, &queues, &keys(600)).await?;
    ensure!(
        counts.iter().all(|count| (120..280).contains(count)),
        "{counts:?}"
    );
    Ok(())
}
