//! Quorum queues: what clients rely on, on one node.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Delivery};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, consume_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

leveret_tests::on_both_targets![
    quorum_queues_are_durable_shared_and_permanent,
    arguments_of_other_types_are_refused,
    a_stream_is_never_another_queue,
    consumers_with_a_channel_wide_limit_are_refused,
    a_channel_wide_limit_after_the_consumer,
    get_beside_single_active_consumers_is_locked,
    a_queue_whose_active_consumer_goes_while_it_hands_over,
    deleting_on_a_condition_is_refused,
    exclusive_consumers_are_ordinary_ones,
    priorities_need_no_argument,
    the_head_of_every_priority_expires,
    a_purge_counts_what_it_removes,
    transient_messages_are_delivered_as_such,
    what_came_back_says_how_often,
    what_comes_back_is_offered_before_it_counts,
];

async fn declared(context: &Context, arguments: Table) -> Result<(Client, String)> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let arguments = arguments.with("x-queue-type", "quorum");
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &arguments);
    client.ok(1, declare).await?;
    Ok((client, queue))
}

fn consume(queue: &str, tag: &str, bits: u8) -> method::Method {
    method::basic_consume(queue, tag, bits, &Table::new())
}

/// Waits until so many publishes, counted from 1, are confirmed.
async fn await_confirms(client: &mut Client, count: usize) -> Result<()> {
    let mut confirmed = BTreeSet::new();
    while confirmed.len() < count {
        let ack = client.next_of(1, method::BASIC_ACK).await?;
        let mut reader = ack.method.reader();
        let (number, multiple) = (reader.u64()?, reader.u8()? == 1);
        confirmed.extend(if multiple {
            1..=number
        } else {
            number..=number
        });
    }
    Ok(())
}

/// Spec 4.4.1.
async fn quorum_queues_are_durable_shared_and_permanent(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let arguments = one("x-queue-type", "quorum");
    for (bits, property) in [
        (0, "non-durable"),
        (
            queue_bits::DURABLE | queue_bits::EXCLUSIVE,
            "exclusive-owner",
        ),
        (queue_bits::DURABLE | queue_bits::AUTO_DELETE, "auto-delete"),
    ] {
        let queue = context.queue("q");
        let declare = method::queue_declare(&queue, bits, &arguments);
        let expected =
            format!("406c invalid property '{property}' for queue '{queue}' in vhost '/'");
        client.refused(1, declare, &expected).await?;
    }
    Ok(())
}

/// Spec 4.4.2. Spec 4.3.1.
async fn arguments_of_other_types_are_refused(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for (argument, value) in [
        ("x-max-priority", Value::I32(5)),
        ("x-queue-mode", Value::text("lazy")),
        ("x-max-age", Value::text("1D")),
    ] {
        let queue = context.queue("q");
        let arguments = one("x-queue-type", "quorum").with(argument, value);
        let declare = method::queue_declare(&queue, queue_bits::DURABLE, &arguments);
        let expected = format!(
            "406c invalid arg '{argument}' for queue '{queue}' in vhost '/' of queue type \
             rabbit_quorum_queue"
        );
        client.refused(1, declare, &expected).await?;
    }
    let queue = context.queue("q");
    let arguments = one("x-queue-type", "quorum")
        .with("x-delivery-limit", Value::I32(-1))
        .with("x-quorum-initial-group-size", Value::I32(3))
        .with("x-dead-letter-strategy", "at-least-once")
        .with("x-max-in-memory-length", Value::I32(0))
        .with("x-delayed-retry-type", "all")
        .with("x-consumer-timeout", Value::I64(60_000))
        .with("x-overflow", "reject-publish");
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &arguments);
    client.ok(1, declare).await?;
    Ok(())
}

/// Spec 4.4.4.
async fn a_stream_is_never_another_queue(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let arguments = one("x-queue-type", "stream");
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &arguments);
    let refused = format!(
        "406c invalid arg 'x-queue-type' for queue '{queue}' in vhost '/': \"unsupported queue \
         type 'stream'\""
    );
    let expected = context.differs("4.4.4", "ok", &refused)?;
    client.call(1, declare).await?.expect(expected)
}

/// Spec 4.4.3. Spec 5.4.3.
async fn consumers_with_a_channel_wide_limit_are_refused(context: &Context) -> Result<()> {
    let (mut client, queue) = declared(context, Table::new()).await?;
    client.ok(1, method::basic_qos(0, 0, true)).await?;
    client.ok(1, consume(&queue, "no limit", 0)).await?;
    client.open(2).await?;
    client.ok(2, method::basic_qos(0, 5, true)).await?;
    let expected = format!("540x queue '{queue}' in vhost '/' does not support global qos");
    client.expect(2, consume(&queue, "", 0), &expected).await
}

/// Spec 5.4.3.
async fn a_channel_wide_limit_after_the_consumer(context: &Context) -> Result<()> {
    let (mut client, queue) = declared(context, Table::new()).await?;
    client.ok(1, consume(&queue, "c", 0)).await?;
    client.ok(1, method::basic_qos(0, 1, true)).await?;
    for number in 0..3 {
        client.put(1, &queue, number.to_string()).await?;
    }
    client.delivery(1).await?;
    let ready = context.differs("5.4.3", 0, 2)?;
    client.expect_ready(1, &queue, ready).await
}

/// Spec 4.4.3. Spec 5.3.7.
async fn get_beside_single_active_consumers_is_locked(context: &Context) -> Result<()> {
    let single = one("x-single-active-consumer", true);
    let (mut client, queue) = declared(context, single).await?;
    let expected = format!(
        "405c cannot obtain access to locked queue '{queue}' in vhost '/'. basic.get operations \
         are not supported by <<\"quorum\">> queues with single active consumer"
    );
    client
        .refused(1, method::basic_get(&queue, true), &expected)
        .await
}

/// Spec 5.3.7. The active consumer holds a message for which one of a higher priority waits, and both go with
/// their channel.
async fn a_queue_whose_active_consumer_goes_while_it_hands_over(context: &Context) -> Result<()> {
    let single = one("x-single-active-consumer", true);
    let (mut client, queue) = declared(context, single).await?;
    client.open(2).await?;
    client.ok(2, consume(&queue, "active", 0)).await?;
    client.put(1, &queue, "held").await?;
    client.delivery(2).await?;
    let higher = one("x-priority", Value::I32(1));
    let waiting = method::basic_consume(&queue, "waiting", 0, &higher);
    client.ok(2, waiting).await?;
    let missing = context.queue("no exchange");
    let bind = method::exchange_bind(&missing, &missing, "", &Table::new());
    let refused = format!("404c no exchange '{missing}' in vhost '/'");
    client.refused(2, bind, &refused).await?;
    client.ok(1, consume(&queue, "next", 0)).await?;
    if context.differs("5.3.7", false, true)? {
        let delivery = client.delivery(1).await?;
        ensure!(delivery.content.body == b"held", "{delivery:?}");
        return Ok(());
    }
    client.no_delivery(1, &queue).await
}

/// Spec 4.4.3. Spec 4.5.1.
async fn deleting_on_a_condition_is_refused(context: &Context) -> Result<()> {
    for (bits, flag) in [(1, "if-unused"), (2, "if-empty"), (3, "if-unused")] {
        let (mut client, queue) = declared(context, Table::new()).await?;
        let expected = format!(
            "540x cannot delete queue '{queue}' in vhost '/'. queue.delete operations with {flag} \
             flag set are not supported by quorum queues"
        );
        client
            .expect(1, method::queue_delete(&queue, bits), &expected)
            .await?;
    }
    Ok(())
}

/// Spec 5.3.3.
async fn exclusive_consumers_are_ordinary_ones(context: &Context) -> Result<()> {
    for arguments in [Table::new(), one("x-single-active-consumer", true)] {
        let (mut client, queue) = declared(context, arguments).await?;
        client
            .ok(1, consume(&queue, "a", consume_bits::EXCLUSIVE))
            .await?;
        client.ok(1, consume(&queue, "b", 0)).await?;
        client
            .ok(1, consume(&queue, "c", consume_bits::EXCLUSIVE))
            .await?;
    }
    Ok(())
}

/// Spec 4.4.2. Spec 7.4.1.
async fn priorities_need_no_argument(context: &Context) -> Result<()> {
    let (mut client, queue) = declared(context, Table::new()).await?;
    let priorities = [
        None,
        Some(0),
        Some(5),
        Some(4),
        None,
        Some(31),
        Some(255),
        Some(32),
    ];
    for (number, priority) in priorities.iter().enumerate() {
        let properties = Properties {
            priority: *priority,
            ..Properties::default()
        };
        let publish = method::basic_publish("", &queue, 0);
        client
            .publish(1, publish, &properties, number.to_string())
            .await?;
    }
    client.await_ready(1, &queue, 8).await?;
    let order = client.take_all(1, &queue).await?;
    ensure!(
        order == ["5", "6", "7", "2", "0", "3", "4", "1"],
        "{order:?}"
    );
    Ok(())
}

/// Spec 7.4.2. Spec 7.1.2.
async fn the_head_of_every_priority_expires(context: &Context) -> Result<()> {
    let (mut client, queue) = declared(context, Table::new()).await?;
    client.ok(1, method::confirm_select()).await?;
    let messages = [
        (9, None),
        (1, None),
        (1, Some("1")),
        (2, Some("1")),
        (2, Some("1")),
    ];
    for (priority, expiration) in messages {
        let properties = Properties {
            priority: Some(priority),
            expiration: expiration.map(str::to_owned),
            ..Properties::default()
        };
        let publish = method::basic_publish("", &queue, 0);
        client.publish(1, publish, &properties, "x").await?;
    }
    await_confirms(&mut client, messages.len()).await?;
    // Those of priority 2 are gone; of priority 1 one lives, and the other is behind it.
    client.expect_ready(1, &queue, 3).await
}

/// Spec 4.5.2.
async fn a_purge_counts_what_it_removes(context: &Context) -> Result<()> {
    let (mut client, queue) = declared(context, Table::new()).await?;
    for n in 0..3 {
        client.put(1, &queue, n.to_string()).await?;
    }
    client.await_ready(1, &queue, 3).await?;
    client.get(1, &queue, false).await?.context("empty")?;
    let purged = client.ok(1, method::queue_purge(&queue)).await?;
    ensure!(purged.method.reader().u32()? == 2, "{purged:?}");
    Ok(())
}

/// Spec 4.4.3.
async fn transient_messages_are_delivered_as_such(context: &Context) -> Result<()> {
    let (mut client, queue) = declared(context, Table::new()).await?;
    client.ok(1, method::confirm_select()).await?;
    let modes = [None, Some(1), Some(2)];
    for delivery_mode in modes {
        let properties = Properties {
            delivery_mode,
            ..Properties::default()
        };
        let publish = method::basic_publish("", &queue, 0);
        client.publish(1, publish, &properties, "x").await?;
    }
    await_confirms(&mut client, modes.len()).await?;
    for delivery_mode in modes {
        let got: Delivery = client.take(1, &queue).await?;
        ensure!(
            got.content.properties.delivery_mode == delivery_mode,
            "{got:?}"
        );
    }
    Ok(())
}

/// Spec 4.4.3. Spec 5.5.7.
async fn what_came_back_says_how_often(context: &Context) -> Result<()> {
    let (mut client, queue) = declared(context, Table::new()).await?;
    client.put(1, &queue, "x").await?;
    client.await_ready(1, &queue, 1).await?;
    let (mut acquired, mut failed) = (0_i64, 0_i64);
    for what in ["reject", "nack", "recover", "end", "nack", "reject", "look"] {
        let got = client.get(1, &queue, false).await?.context("empty")?;
        let headers = got.content.properties.headers.clone().unwrap_or_default();
        for (name, count) in [("x-acquired-count", acquired), ("x-delivery-count", failed)] {
            let expected = (count > 0).then_some(Value::I64(count));
            ensure!(
                headers.value(name).cloned() == expected,
                "before {what}, {name}: {headers:?}"
            );
        }
        ensure!(got.redelivered == (acquired > 0), "{got:?}");
        acquired += 1;
        match what {
            "reject" => client.send(1, &method::basic_reject(got.tag, true)).await?,
            "nack" => {
                client
                    .send(1, &method::basic_nack(got.tag, false, true))
                    .await?;
            }
            "recover" => {
                client.ok(1, method::basic_recover(true)).await?;
            }
            _ => {
                client.ok(1, method::channel_close()).await?;
                client.open(1).await?;
            }
        }
        // Who gave it back knows of no failure; who rejected it or is lost does.
        failed += i64::from(!["nack", "recover"].contains(&what));
        client.await_ready(1, &queue, 1).await?;
    }
    Ok(())
}

/// Spec 7.3.1. Spec 5.5.3.
async fn what_comes_back_is_offered_before_it_counts(context: &Context) -> Result<()> {
    let (mut client, queue) = declared(context, one("x-max-length", Value::I32(1))).await?;
    client.ok(1, consume(&queue, "holds", 0)).await?;
    for number in 0..2 {
        client.put(1, &queue, number.to_string()).await?;
        client.delivery(1).await?;
    }
    client.open(2).await?;
    client.ok(2, consume(&queue, "next", 0)).await?;
    client.ok(1, method::channel_close()).await?;
    for number in 0..2 {
        let delivery = client.delivery(2).await?;
        ensure!(delivery.text() == number.to_string(), "{delivery:?}");
    }
    Ok(())
}
