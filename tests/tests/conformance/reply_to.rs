//! Direct reply-to: answers without a queue.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Delivery, declared};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, Method, consume_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

leveret_tests::on_both_targets![
    a_reply_consumer_cannot_acknowledge,
    a_channel_has_one_reply_consumer,
    each_channel_can_have_a_reply_consumer,
    a_reply_consumer_needs_a_tag_of_its_own,
    a_cancelled_reply_consumer_makes_room_for_another,
    a_request_gets_the_address_of_its_channel,
    a_request_keeps_all_other_properties,
    a_request_needs_a_reply_consumer_on_its_own_channel,
    the_reply_consumer_is_looked_for_before_the_expiration,
    other_values_of_reply_to_pass_unchanged,
    replies_go_straight_to_the_requester,
    replies_and_deliveries_share_the_delivery_tags_of_a_channel,
    a_reply_is_confirmed_and_not_returned,
    a_reply_in_a_transaction_waits_for_the_commit,
    a_reply_to_a_requester_that_has_gone_is_unroutable,
    an_address_is_no_key_to_other_exchanges,
    nothing_goes_to_a_cancelled_reply_consumer,
    the_plain_name_can_be_declared,
    an_address_is_declared_as_long_as_its_requester_is_there,
    addresses_are_short_and_never_the_same,
    a_message_with_many_copies_of_an_address_arrives_once,
    a_changed_address_leads_nowhere,
];

const REPLIES: &str = "amq.rabbitmq.reply-to";

fn consume(tag: &str) -> Method {
    method::basic_consume(REPLIES, tag, consume_bits::NO_ACK, &Table::new())
}

fn asking() -> Properties {
    Properties {
        reply_to: Some(REPLIES.to_owned()),
        ..Properties::default()
    }
}

/// A client with a reply consumer `c` on channel 1, and the address of that.
async fn requester(context: &Context) -> Result<(Client, String)> {
    let mut client = context.client().await?;
    client.ok(1, consume("c")).await?;
    let address = address(context, &mut client, 1).await?;
    Ok((client, address))
}

/// What a request from this channel carries as its reply-to.
async fn address(context: &Context, client: &mut Client, channel: u16) -> Result<String> {
    let request = request(context, client, channel, &asking()).await?;
    request.reply_to.context("no reply-to")
}

/// The properties of a request as they arrive in a queue.
async fn request(
    context: &Context,
    client: &mut Client,
    channel: u16,
    properties: &Properties,
) -> Result<Properties> {
    let queue = context.queue("requests");
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &Table::new());
    client.ok(channel, declare).await?;
    let publish = method::basic_publish("", &queue, 0);
    client
        .publish(channel, publish, properties, "request")
        .await?;
    let mut responder = context.client().await?;
    responder.await_ready(1, &queue, 1).await?;
    let request = responder.take(1, &queue).await?;
    ensure!(request.text() == "request", "{request:?}");
    Ok(request.content.properties)
}

/// A publish that must close the channel; the close names basic.publish.
async fn refused(
    client: &mut Client,
    channel: u16,
    properties: &Properties,
    expected: &str,
) -> Result<()> {
    let publish = method::basic_publish("amq.direct", "nowhere", 0);
    client
        .publish(channel, publish, properties, "request")
        .await?;
    let outcome = client.reply(channel).await?;
    outcome.expect(expected)?;
    let close = outcome.close().context("a close")?;
    ensure!(close.method == method::BASIC_PUBLISH, "{close:?}");
    Ok(())
}

/// The next reply must have this body.
async fn expect_reply(client: &mut Client, address: &str, body: &str) -> Result<Delivery> {
    let reply = client.delivery(1).await?;
    ensure!(
        reply.text() == body && reply.routing_key == address,
        "{reply:?}"
    );
    Ok(reply)
}

/// Spec 7.6.1.
async fn a_reply_consumer_cannot_acknowledge(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let consume = method::basic_consume(REPLIES, "c", 0, &Table::new());
    let expected = "406c reply consumer cannot acknowledge";
    client.refused(1, consume.clone(), expected).await?;
    client.ok(1, self::consume("c")).await?;
    client.expect(1, consume, expected).await
}

/// Spec 7.6.1.
async fn a_channel_has_one_reply_consumer(context: &Context) -> Result<()> {
    for tag in ["c", "d"] {
        let mut client = context.client().await?;
        client.ok(1, consume("c")).await?;
        client
            .expect(1, consume(tag), "406c reply consumer already set")
            .await?;
    }
    Ok(())
}

/// Spec 7.6.1.
async fn each_channel_can_have_a_reply_consumer(context: &Context) -> Result<()> {
    let (mut client, first) = requester(context).await?;
    client.open(2).await?;
    client.ok(2, consume("c")).await?;
    let second = address(context, &mut client, 2).await?;
    ensure!(first != second, "{first}");
    let mut responder = context.client().await?;
    responder.put(1, &second, "to 2").await?;
    let reply = client.delivery(2).await?;
    ensure!(reply.text() == "to 2", "{reply:?}");
    responder.put(1, &first, "to 1").await?;
    expect_reply(&mut client, &first, "to 1").await?;
    Ok(())
}

/// Spec 7.6.1. Spec 5.3.1.
async fn a_reply_consumer_needs_a_tag_of_its_own(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let none = Table::new();
    client
        .ok(1, method::queue_declare(&queue, queue_bits::DURABLE, &none))
        .await?;
    client
        .ok(1, method::basic_consume(&queue, "c", 0, &none))
        .await?;
    client
        .expect(1, consume("c"), "530x attempt to reuse consumer tag 'c'")
        .await
}

/// Spec 7.6.1.
async fn a_cancelled_reply_consumer_makes_room_for_another(context: &Context) -> Result<()> {
    let (mut client, first) = requester(context).await?;
    client.ok(1, method::basic_cancel("c")).await?;
    client.ok(1, consume("d")).await?;
    let second = address(context, &mut client, 1).await?;
    ensure!(first != second, "{first}");
    context.client().await?.put(1, &second, "reply").await?;
    let reply = expect_reply(&mut client, &second, "reply").await?;
    ensure!(reply.consumer == "d", "{reply:?}");
    client.ok(1, method::basic_cancel("d")).await?;
    let expected = "406c fast reply consumer does not exist";
    refused(&mut client, 1, &asking(), expected).await
}

/// Spec 7.6.2. Spec 5.1.9.
async fn a_request_gets_the_address_of_its_channel(context: &Context) -> Result<()> {
    let (mut client, first) = requester(context).await?;
    let opaque = first
        .strip_prefix(REPLIES)
        .and_then(|rest| rest.strip_prefix('.'));
    ensure!(opaque.is_some_and(|opaque| opaque.len() > 16), "{first}");
    let second = address(context, &mut client, 1).await?;
    ensure!(first == second, "{first} and then {second}");
    Ok(())
}

/// Spec 7.6.2.
async fn a_request_keeps_all_other_properties(context: &Context) -> Result<()> {
    let (mut client, address) = requester(context).await?;
    let sent = Properties {
        content_type: Some("text/plain".to_owned()),
        headers: Some(one("key", "value")),
        delivery_mode: Some(2),
        priority: Some(3),
        correlation_id: Some("correlation".to_owned()),
        timestamp: Some(7),
        app_id: Some("app".to_owned()),
        ..asking()
    };
    let arrived = request(context, &mut client, 1, &sent).await?;
    let expected = Properties {
        reply_to: Some(address.clone()),
        ..sent.clone()
    };
    ensure!(arrived == expected, "{arrived:?}");
    let blind = Table::new().with("key", "value");
    let sent = Properties {
        headers: Some(blind.clone().with("BCC", Value::Array(vec![]))),
        ..sent
    };
    let arrived = request(context, &mut client, 1, &sent).await?;
    ensure!(arrived == expected, "{arrived:?}");
    Ok(())
}

/// Spec 7.6.2.
async fn a_request_needs_a_reply_consumer_on_its_own_channel(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client.open(2).await?;
    client.ok(2, consume("c")).await?;
    let expected = "406c fast reply consumer does not exist";
    refused(&mut client, 1, &asking(), expected).await
}

/// Spec 7.6.2. Spec 5.1.1.
async fn the_reply_consumer_is_looked_for_before_the_expiration(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let properties = Properties {
        expiration: Some("never".to_owned()),
        headers: Some(one("CC", 1)),
        user_id: Some("somebody".to_owned()),
        ..asking()
    };
    let expected = "406c fast reply consumer does not exist";
    refused(&mut client, 1, &properties, expected).await
}

/// Spec 7.6.2. Spec 5.1.9.
async fn other_values_of_reply_to_pass_unchanged(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let values = [
        "",
        "replies",
        "amq.rabbitmq.reply-to.",
        "amq.rabbitmq.reply-to.x",
        "amq.rabbitmq.reply",
        "amq.rabbitmq.reply-tox",
    ];
    for with_consumer in [false, true] {
        if with_consumer {
            client.ok(1, consume("c")).await?;
        }
        for value in values {
            let properties = Properties {
                reply_to: Some(value.to_owned()),
                ..Properties::default()
            };
            let arrived = request(context, &mut client, 1, &properties).await?;
            ensure!(arrived == properties, "{arrived:?}");
        }
    }
    Ok(())
}

/// Spec 7.6.3.
async fn replies_go_straight_to_the_requester(context: &Context) -> Result<()> {
    let (mut client, address) = requester(context).await?;
    let mut responder = context.client().await?;
    let properties = Properties {
        correlation_id: Some("correlation".to_owned()),
        headers: Some(one("key", "value")),
        ..Properties::persistent()
    };
    for n in 0..50 {
        let publish = method::basic_publish("", &address, 0);
        responder
            .publish(1, publish, &properties, n.to_string())
            .await?;
    }
    for n in 0..50 {
        let reply = expect_reply(&mut client, &address, &n.to_string()).await?;
        ensure!(
            reply.exchange.is_empty()
                && reply.consumer == "c"
                && !reply.redelivered
                && reply.content.properties == properties,
            "{reply:?}"
        );
    }
    Ok(())
}

/// Spec 7.6.3.
async fn replies_and_deliveries_share_the_delivery_tags_of_a_channel(
    context: &Context,
) -> Result<()> {
    let (mut client, address) = requester(context).await?;
    let queue = context.queue("q");
    let none = Table::new();
    client
        .ok(1, method::queue_declare(&queue, queue_bits::DURABLE, &none))
        .await?;
    client
        .ok(1, method::basic_consume(&queue, "q", 0, &none))
        .await?;
    for tag in 1..=10_u64 {
        let key = if tag % 2 == 0 { &queue } else { &address };
        client.put(1, key, tag.to_string()).await?;
        let delivery = client.delivery(1).await?;
        ensure!(
            delivery.tag == tag && delivery.text() == tag.to_string(),
            "{delivery:?}"
        );
    }
    client.ok(1, method::channel_close()).await?;
    client.open(1).await?;
    client.expect_ready(1, &queue, 5).await
}

/// Spec 7.6.3.
async fn a_reply_is_confirmed_and_not_returned(context: &Context) -> Result<()> {
    let (mut client, address) = requester(context).await?;
    let mut responder = context.client().await?;
    responder.ok(1, method::confirm_select()).await?;
    let publish = method::basic_publish("", &address, 1);
    responder
        .publish(1, publish, &Properties::persistent(), "reply")
        .await?;
    let first = responder.next().await?;
    ensure!(first.method.id == method::BASIC_ACK, "{first:?}");
    expect_reply(&mut client, &address, "reply").await?;
    Ok(())
}

/// Spec 7.6.3. Spec 6.2.2.
async fn a_reply_in_a_transaction_waits_for_the_commit(context: &Context) -> Result<()> {
    let (mut client, address) = requester(context).await?;
    let mut responder = context.client().await?;
    responder.ok(1, method::tx_select()).await?;
    responder.put(1, &address, "rolled back").await?;
    responder.ok(1, method::tx_rollback()).await?;
    responder.put(1, &address, "committed").await?;
    let mut other = context.client().await?;
    other.put(1, &address, "before").await?;
    expect_reply(&mut client, &address, "before").await?;
    responder.ok(1, method::tx_commit()).await?;
    expect_reply(&mut client, &address, "committed").await?;
    Ok(())
}

/// Spec 7.6.3.
async fn a_reply_to_a_requester_that_has_gone_is_unroutable(context: &Context) -> Result<()> {
    let mut responder = context.client().await?;
    responder.ok(1, method::confirm_select()).await?;
    for leave in [
        method::basic_cancel("c"),
        method::channel_close(),
        method::connection_close(),
    ] {
        let (mut client, address) = requester(context).await?;
        // The same channel has replied before, so that it must not remember the way.
        for _ in 0..2 {
            responder.put(1, &address, "reply").await?;
            responder.next_of(1, method::BASIC_ACK).await?;
            expect_reply(&mut client, &address, "reply").await?;
        }
        let id = leave.id;
        let channel = u16::from(id != method::CONNECTION_CLOSE);
        client.ok(channel, leave).await?;
        let publish = method::basic_publish("", &address, 1);
        responder
            .publish(1, publish, &Properties::default(), "late")
            .await?;
        responder.next_of(1, method::BASIC_ACK).await?;
        let returned = responder.kept().len();
        let expected = context.differs("7.6.3", 0, 1)?;
        ensure!(returned == expected, "{returned} returns after {id:?}");
    }
    Ok(())
}

/// Spec 7.6.3.
async fn an_address_is_no_key_to_other_exchanges(context: &Context) -> Result<()> {
    let (mut client, address) = requester(context).await?;
    for exchange in ["amq.direct", "amq.topic", "amq.fanout", "amq.headers"] {
        let publish = method::basic_publish(exchange, &address, 1);
        client
            .publish(1, publish, &Properties::default(), "reply")
            .await?;
        client.next_of(1, method::BASIC_RETURN).await?;
    }
    client.put(1, &address, "after").await?;
    expect_reply(&mut client, &address, "after").await?;
    Ok(())
}

/// Spec 7.6.1. Spec 7.6.3.
async fn nothing_goes_to_a_cancelled_reply_consumer(context: &Context) -> Result<()> {
    let (mut client, old) = requester(context).await?;
    client.ok(1, method::basic_cancel("c")).await?;
    client.ok(1, consume("c")).await?;
    let new = address(context, &mut client, 1).await?;
    let mut responder = context.client().await?;
    responder.put(1, &old, "late").await?;
    responder.put(1, &new, "in time").await?;
    expect_reply(&mut client, &new, "in time").await?;
    Ok(())
}

/// A declaration must be answered with this name, no messages and one consumer.
async fn expect_declared(client: &mut Client, name: &str, bits: u8) -> Result<()> {
    let declare = method::queue_declare(name, bits, &Table::new());
    let answer = declared(&client.ok(1, declare).await?)?;
    ensure!(answer == (name.to_owned(), 0, 1), "{answer:?}");
    Ok(())
}

/// Spec 7.6.4.
async fn the_plain_name_can_be_declared(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for bits in [queue_bits::DURABLE, queue_bits::PASSIVE] {
        expect_declared(&mut client, REPLIES, bits).await?;
    }
    Ok(())
}

/// Spec 7.6.4.
async fn an_address_is_declared_as_long_as_its_requester_is_there(context: &Context) -> Result<()> {
    let mut other = context.client().await?;
    for leave in [
        method::basic_cancel("c"),
        method::channel_close(),
        method::connection_close(),
    ] {
        let (mut client, address) = requester(context).await?;
        for bits in [queue_bits::DURABLE, queue_bits::PASSIVE] {
            expect_declared(&mut other, &address, bits).await?;
        }
        let channel = u16::from(leave.id != method::CONNECTION_CLOSE);
        client.ok(channel, leave).await?;
        for bits in [queue_bits::DURABLE, queue_bits::PASSIVE] {
            let declare = method::queue_declare(&address, bits, &Table::new());
            let expected = format!("404c no queue '{address}' in vhost '/'");
            other.refused(1, declare, &expected).await?;
        }
    }
    Ok(())
}

/// Spec 7.6.5. Spec 13.12.
async fn addresses_are_short_and_never_the_same(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let mut addresses = BTreeSet::new();
    for _ in 0..20 {
        client.ok(1, consume("c")).await?;
        let address = address(context, &mut client, 1).await?;
        ensure!(address.len() <= 255, "{address}");
        // 128 bits take 22 letters at least.
        let tail = address.len() - 22;
        ensure!(
            addresses.insert(address[tail..].to_owned()),
            "{address} twice"
        );
        client.ok(1, method::basic_cancel("c")).await?;
    }
    Ok(())
}

/// Spec 7.6.5. Spec 13.12.
async fn a_message_with_many_copies_of_an_address_arrives_once(context: &Context) -> Result<()> {
    let (mut client, address) = requester(context).await?;
    let mut responder = context.client().await?;
    let copies = || Value::Array((0..1000).map(|_| Value::text(&address)).collect());
    for (key, header) in [(address.as_str(), "CC"), ("nowhere", "CC"), ("", "BCC")] {
        let properties = Properties::with_headers(one(header, copies()));
        let publish = method::basic_publish("", key, 0);
        responder.publish(1, publish, &properties, "copies").await?;
        responder.put(1, &address, "after").await?;
        for body in ["copies", "after"] {
            let reply = client.delivery(1).await?;
            ensure!(reply.text() == body, "{key} {header}: {reply:?}");
        }
    }
    Ok(())
}

/// Spec 7.6.5. Spec 13.12.
async fn a_changed_address_leads_nowhere(context: &Context) -> Result<()> {
    let (mut client, address) = requester(context).await?;
    let mut responder = context.client().await?;
    let (head, last) = address.split_at(address.len() - 3);
    let turned: String = last.chars().rev().collect();
    let changed = [
        format!("{head}{last}A"),
        format!("{head}{last}\0"),
        format!("{head}{last} "),
        format!("{head}___"),
        format!("{head}{turned}="),
        head.to_owned(),
        address.to_lowercase(),
        address.replace("reply-to.", "reply-to.."),
    ];
    for changed in &changed {
        ensure!(*changed != address, "{changed} is unchanged");
        responder.put(1, changed, "forged").await?;
    }
    responder.put(1, &address, "true").await?;
    expect_reply(&mut client, &address, "true").await?;
    context.still_serves().await
}
