//! Publisher confirms: every number answered once, acks and nacks where they belong.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, Method, consume_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

leveret_tests::on_both_targets![
    select_is_answered_and_repeating_it_resets_nothing,
    select_with_no_wait_is_not_answered_but_counts,
    a_transactional_channel_cannot_confirm,
    numbers_start_with_the_first_publish_after_select,
    each_channel_counts_for_itself,
    every_kind_of_message_is_acked,
    messages_purged_or_deleted_with_their_queue_are_acked,
    messages_dropped_or_expired_at_once_are_acked,
    a_refused_message_is_nacked_once,
    one_refusing_queue_among_several_makes_it_a_nack,
    each_number_is_answered_exactly_once,
    a_single_publish_need_not_wait_for_others,
];

async fn confirming(context: &Context) -> Result<Client> {
    let mut client = context.client().await?;
    client.ok(1, method::confirm_select()).await?;
    Ok(client)
}

async fn queue(context: &Context, client: &mut Client, arguments: &Table) -> Result<String> {
    let queue = context.queue("q");
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, arguments),
        )
        .await?;
    Ok(queue)
}

async fn put_persistent(client: &mut Client, queue: &str, body: &str) -> Result<()> {
    let publish = method::basic_publish("", queue, 0);
    client
        .publish(1, publish, &Properties::persistent(), body)
        .await
}

/// Reads confirms until `count` numbers are answered; number → acked. None may come twice.
async fn confirms(client: &mut Client, count: usize) -> Result<BTreeMap<u64, bool>> {
    let mut answered = BTreeMap::new();
    while answered.len() < count {
        let received = client.next().await?;
        let ack = match received.method.id {
            method::BASIC_ACK => true,
            method::BASIC_NACK => false,
            other => anyhow::bail!("{other:?} instead of a confirm"),
        };
        let mut reader = received.method.reader();
        let (tag, multiple) = (reader.u64()?, reader.u8()? & 1 == 1);
        if multiple {
            // All up to the tag, but for those that were answered before.
            let open: Vec<_> = (1..=tag)
                .filter(|number| !answered.contains_key(number))
                .collect();
            ensure!(open.contains(&tag), "{tag} answered twice");
            answered.extend(open.into_iter().map(|number| (number, ack)));
        } else {
            ensure!(answered.insert(tag, ack).is_none(), "{tag} answered twice");
        }
    }
    Ok(answered)
}

async fn next_is(client: &mut Client, expected: Method) -> Result<()> {
    let received = client.next().await?;
    ensure!(
        received.method == expected,
        "{:?} instead of {expected:?}",
        received.method
    );
    Ok(())
}

/// Spec 6.1.1.
async fn select_is_answered_and_repeating_it_resets_nothing(context: &Context) -> Result<()> {
    let mut client = confirming(context).await?;
    let queue = queue(context, &mut client, &Table::new()).await?;
    put_persistent(&mut client, &queue, "one").await?;
    next_is(&mut client, method::basic_ack(1, false)).await?;
    client.ok(1, method::confirm_select()).await?;
    put_persistent(&mut client, &queue, "two").await?;
    next_is(&mut client, method::basic_ack(2, false)).await
}

/// Spec 6.1.1. Spec 2.9.
async fn select_with_no_wait_is_not_answered_but_counts(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client
        .send(1, &Method::new(method::CONFIRM_SELECT, Writer::new().u8(1)))
        .await?;
    client.put(1, &context.unique("nowhere"), "body").await?;
    next_is(&mut client, method::basic_ack(1, false)).await
}

/// Spec 6.1.1.
async fn a_transactional_channel_cannot_confirm(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client.ok(1, method::tx_select()).await?;
    let expected = "406c cannot switch from tx to confirm mode";
    client.expect(1, method::confirm_select(), expected).await
}

/// Spec 6.1.2.
async fn numbers_start_with_the_first_publish_after_select(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for _ in 0..3 {
        client.put(1, &context.unique("nowhere"), "before").await?;
    }
    client.ok(1, method::confirm_select()).await?;
    for number in 1..=3 {
        client.put(1, &context.unique("nowhere"), "after").await?;
        next_is(&mut client, method::basic_ack(number, false)).await?;
    }
    Ok(())
}

/// Spec 6.1.2.
async fn each_channel_counts_for_itself(context: &Context) -> Result<()> {
    let mut client = confirming(context).await?;
    client.open(2).await?;
    client.ok(2, method::confirm_select()).await?;
    for number in 1..=2 {
        for channel in [1, 2] {
            client
                .put(channel, &context.unique("nowhere"), "body")
                .await?;
            let received = client.next().await?;
            ensure!(received.channel == channel, "{received:?}");
            ensure!(
                received.method == method::basic_ack(number, false),
                "{received:?}"
            );
        }
    }
    Ok(())
}

/// Spec 6.1.3. Unroutable, transient, persistent, to a transient queue, to a waiting consumer.
async fn every_kind_of_message_is_acked(context: &Context) -> Result<()> {
    let mut client = confirming(context).await?;
    let durable = queue(context, &mut client, &Table::new()).await?;
    let (transient, consumed) = (context.queue("transient"), context.queue("consumed"));
    let none = Table::new();
    client
        .ok(
            1,
            method::queue_declare(&transient, queue_bits::EXCLUSIVE, &none),
        )
        .await?;
    client
        .ok(
            1,
            method::queue_declare(&consumed, queue_bits::DURABLE, &none),
        )
        .await?;
    client.open(2).await?;
    let no_ack = consume_bits::NO_ACK;
    client
        .ok(2, method::basic_consume(&consumed, "c", no_ack, &none))
        .await?;
    let mut number = 0;
    for queue in [&durable, &transient, &consumed, &context.unique("nowhere")] {
        for properties in [Properties::default(), Properties::persistent()] {
            let publish = method::basic_publish("", queue, 0);
            client.publish(1, publish, &properties, "body").await?;
            number += 1;
            let ack = client.next_of(1, method::BASIC_ACK).await?;
            ensure!(ack.method == method::basic_ack(number, false), "{ack:?}");
        }
    }
    Ok(())
}

/// Spec 6.1.3. Spec 4.5.1. Spec 4.5.2.
async fn messages_purged_or_deleted_with_their_queue_are_acked(context: &Context) -> Result<()> {
    for end in [method::queue_purge, |queue: &str| {
        method::queue_delete(queue, 0)
    }] {
        let mut client = confirming(context).await?;
        let queue = queue(context, &mut client, &Table::new()).await?;
        for n in 0..50 {
            put_persistent(&mut client, &queue, &n.to_string()).await?;
        }
        client.ok(1, end(&queue)).await?;
        let answered = confirms(&mut client, 50).await?;
        ensure!(answered.values().all(|acked| *acked), "{answered:?}");
    }
    Ok(())
}

/// Spec 6.1.3.
async fn messages_dropped_or_expired_at_once_are_acked(context: &Context) -> Result<()> {
    for arguments in [
        one("x-max-length", 0),
        one("x-message-ttl", 0),
        one("x-max-length", 1),
    ] {
        let mut client = confirming(context).await?;
        let queue = queue(context, &mut client, &arguments).await?;
        for n in 0..10 {
            put_persistent(&mut client, &queue, &n.to_string()).await?;
        }
        let answered = confirms(&mut client, 10).await?;
        ensure!(
            answered.values().all(|acked| *acked),
            "{arguments:?}: {answered:?}"
        );
    }
    Ok(())
}

fn refusing(length: i32) -> Table {
    one("x-max-length", length).with("x-overflow", "reject-publish")
}

/// Spec 6.1.4.
async fn a_refused_message_is_nacked_once(context: &Context) -> Result<()> {
    let mut client = confirming(context).await?;
    let queue = queue(context, &mut client, &refusing(2)).await?;
    for n in 1..=5 {
        put_persistent(&mut client, &queue, &n.to_string()).await?;
    }
    let answered = confirms(&mut client, 5).await?;
    let acked: Vec<_> = answered.values().copied().collect();
    ensure!(acked == [true, true, false, false, false], "{answered:?}");
    client.take(1, &queue).await?;
    put_persistent(&mut client, &queue, "6").await?;
    next_is(&mut client, method::basic_ack(6, false)).await?;
    let left = client.take_all(1, &queue).await?;
    ensure!(left == ["2", "6"], "{left:?}");
    Ok(())
}

/// Spec 6.1.4.
async fn one_refusing_queue_among_several_makes_it_a_nack(context: &Context) -> Result<()> {
    let mut client = confirming(context).await?;
    let full = queue(context, &mut client, &refusing(0)).await?;
    let roomy = queue(context, &mut client, &Table::new()).await?;
    let cc = one("CC", vec![Value::text(&full)]);
    for number in 1..=3 {
        let publish = method::basic_publish("", &roomy, 1);
        client
            .publish(1, publish, &Properties::with_headers(cc.clone()), "body")
            .await?;
        let nack = client.next().await?;
        ensure!(nack.method.id == method::BASIC_NACK, "{nack:?}");
        ensure!(nack.method.reader().u64()? == number, "{nack:?}");
    }
    client.await_ready(1, &roomy, 3).await?;
    put_persistent(&mut client, &roomy, "alone").await?;
    next_is(&mut client, method::basic_ack(4, false)).await
}

/// Spec 6.1.5. Durable, transient, unroutable and refused ones, all in one burst.
async fn each_number_is_answered_exactly_once(context: &Context) -> Result<()> {
    const COUNT: u64 = 1000;
    let mut client = confirming(context).await?;
    let full = queue(context, &mut client, &refusing(0)).await?;
    let roomy = queue(context, &mut client, &Table::new()).await?;
    let nowhere = context.unique("nowhere");
    for number in 1..=COUNT {
        let key = match number % 7 {
            0 => &full,
            1 => &nowhere,
            _ => &roomy,
        };
        let properties = if number % 2 == 0 {
            Properties::persistent()
        } else {
            Properties::default()
        };
        client
            .publish(1, method::basic_publish("", key, 0), &properties, "body")
            .await?;
    }
    let answered = confirms(&mut client, COUNT as usize).await?;
    let wrong: Vec<_> = answered
        .iter()
        .filter(|(number, acked)| (**number % 7 != 0) != **acked)
        .collect();
    ensure!(wrong.is_empty(), "{wrong:?}");
    ensure!(answered.keys().copied().eq(1..=COUNT), "other numbers");
    client.flush(1, &roomy).await?;
    ensure!(client.kept().is_empty(), "more confirms than messages");
    Ok(())
}

/// Spec 6.1.7. A batch timer of a tenth of a second would not get this far within the deadline of
/// all tests.
async fn a_single_publish_need_not_wait_for_others(context: &Context) -> Result<()> {
    let mut client = confirming(context).await?;
    let queue = queue(context, &mut client, &Table::new()).await?;
    for number in 1..=1000 {
        put_persistent(&mut client, &queue, "body").await?;
        next_is(&mut client, method::basic_ack(number, false)).await?;
    }
    Ok(())
}
