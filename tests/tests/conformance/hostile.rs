//! Input that must not hurt: whatever a peer sends ends in an error of its own, and the broker
//! goes on serving everybody else.

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use leveret_tests::Context;
use leveret_tests::client::Options;
use leveret_tests::outcome::Outcome;
use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};
use leveret_tests::raw::{BODY, Frame, HEADER, METHOD, PROTOCOL_HEADER, Peer};

leveret_tests::on_both_targets![
    huge_frames_announced_before_login_are_dropped,
    bodies_announced_and_never_sent_do_no_harm,
    half_sent_bodies_on_many_channels_do_no_harm,
    content_for_channels_that_are_not_open_is_unexpected,
    a_storm_of_opens_and_closes_is_served,
    closing_inside_a_content,
    extreme_numbers_in_arguments_are_answered,
    thousands_of_carbon_copies_are_one_message_each,
    forged_reply_addresses_lead_nowhere,
    a_poisoned_message_goes_through_and_stops_nothing,
    random_bytes_end_only_their_own_connection,
];

/// What the server says next, or that it hung up.
pub(crate) async fn next_outcome(peer: &mut Peer) -> Result<Outcome> {
    let Some((channel, method)) = peer.method().await? else {
        return Ok(Outcome::Dropped);
    };
    if method.id == method::CONNECTION_CLOSE {
        let close = leveret_tests::outcome::Close::read(&method.arguments)?;
        return Ok(Outcome::ConnectionClosed(close));
    }
    Ok(Outcome::Reply(Box::new(leveret_tests::client::Received {
        channel,
        method,
        content: None,
    })))
}

/// Spec 13.1. Spec 13.2. Spec 1.4.5.
async fn huge_frames_announced_before_login_are_dropped(context: &Context) -> Result<()> {
    try_join_all((0..50_u32).map(|number| async move {
        let mut peer = context.peer().await?;
        peer.send(PROTOCOL_HEADER).await?;
        peer.expect(0, method::CONNECTION_START).await?;
        let size = if number % 2 == 0 {
            u32::MAX
        } else {
            8193 + number * 1000
        };
        let kind = [METHOD, HEADER, BODY, 77][number as usize % 4];
        let head = Writer::new().u8(kind).u16(0).u32(size).raw([0; 100]);
        peer.send_or_hang_up(&head.finish()).await;
        next_outcome(&mut peer).await?.expect("drop || 50…x…")
    }))
    .await?;
    context.still_serves().await
}

/// Spec 13.2. Spec 13.3. A hundred gigabytes in claims, not one in bytes.
async fn bodies_announced_and_never_sent_do_no_harm(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for channel in 2..=200 {
        client.open(channel).await?;
    }
    let mut bytes = Vec::new();
    for channel in 2..=200 {
        bytes.extend(Frame::method(channel, &method::basic_publish("", "nowhere", 0)).encode());
        bytes.extend(Frame::header(channel, 512 << 20, &Properties::default()).encode());
    }
    client.peer.send(&bytes).await?;
    // It may be refused by now, channel by channel; the connection works, or is closed in order.
    client
        .call(1, method::basic_qos(0, 1, false))
        .await?
        .expect("ok || 50…x… || 406x…")?;
    context.still_serves().await
}

/// Spec 13.3. Twelve megabytes, each body lacking its end; then the connection vanishes.
async fn half_sent_bodies_on_many_channels_do_no_harm(context: &Context) -> Result<()> {
    let queue = context.queue("q");
    let mut client = context.client().await?;
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    for channel in 2..=100 {
        client.open(channel).await?;
        let mut bytes = Frame::method(channel, &method::basic_publish("", &queue, 0)).encode();
        bytes.extend(Frame::header(channel, 16 << 20, &Properties::default()).encode());
        bytes.extend(Frame::body(channel, vec![1; 128_000]).encode());
        client.peer.send_or_hang_up(&bytes).await;
    }
    drop(client);
    let mut client = context.client().await?;
    client.expect_ready(1, &queue, 0).await
}

/// Spec 13.7. Spec 13.10.
async fn content_for_channels_that_are_not_open_is_unexpected(context: &Context) -> Result<()> {
    for channel in [2, 2047, 2048, u16::MAX] {
        for frame in [
            Frame::header(channel, 1, &Properties::default()),
            Frame::body(channel, "x"),
        ] {
            let mut client = context.client().await?;
            client.peer.send_or_hang_up(&frame.encode()).await;
            let outcome = client.reply(channel).await?;
            outcome
                .expect("504x… || 505x…")
                .with_context(|| format!("{frame:?}"))?;
        }
    }
    context.still_serves().await
}

/// Spec 13.7.
async fn a_storm_of_opens_and_closes_is_served(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for round in 0..10_u16 {
        let channels: Vec<u16> = (0..100).map(|n| 2 + round * 100 + n).collect();
        let mut bytes = Vec::new();
        for channel in &channels {
            bytes.extend(Frame::method(*channel, &method::channel_open()).encode());
            bytes.extend(Frame::method(*channel, &method::channel_close()).encode());
        }
        client.peer.send(&bytes).await?;
        for channel in channels {
            client.next_of(channel, method::CHANNEL_OPEN_OK).await?;
            client.next_of(channel, method::CHANNEL_CLOSE_OK).await?;
        }
    }
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    Ok(())
}

/// Spec 13.10. Spec 1.6.5.
async fn closing_inside_a_content(context: &Context) -> Result<()> {
    let start = Frame::method(1, &method::basic_publish("", "nowhere", 0)).encode();
    let header = Frame::header(1, 10, &Properties::default()).encode();
    for begun in [start.clone(), [start, header].concat()] {
        let mut client = context.client().await?;
        client.peer.send(&begun).await?;
        client
            .call(1, method::channel_close())
            .await?
            .expect("505x expected content …")?;
        let mut client = context.client().await?;
        client.peer.send(&begun).await?;
        client
            .call(0, method::connection_close())
            .await?
            .expect("ok")?;
    }
    context.still_serves().await
}

/// Spec 13.5.
async fn extreme_numbers_in_arguments_are_answered(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let extremes = [
        Value::I64(i64::MAX),
        Value::I64(i64::MIN),
        Value::U32(u32::MAX),
        Value::I32(i32::MIN),
        Value::I64(1 << 32),
        Value::Timestamp(u64::MAX),
        Value::F64(f64::MAX),
        Value::Decimal(255, u32::MAX),
    ];
    for argument in [
        "x-message-ttl",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
    ] {
        for extreme in &extremes {
            let queue = context.queue("q");
            let arguments = one(argument, extreme.clone());
            let declare = method::queue_declare(&queue, queue_bits::DURABLE, &arguments);
            let outcome = client.call(1, declare).await?;
            outcome
                .expect("ok || 406c…")
                .with_context(|| format!("{arguments:?}"))?;
            if outcome.close().is_some() {
                client.open(1).await?;
                continue;
            }
            client.put(1, &queue, "body").await?;
            client.get(1, &queue, true).await?;
            client.ok(1, method::queue_delete(&queue, 0)).await?;
        }
    }
    Ok(())
}

/// Spec 13.11. Spec 5.1.8.
async fn thousands_of_carbon_copies_are_one_message_each(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queues = [context.queue("a"), context.queue("b")];
    for queue in &queues {
        client
            .ok(
                1,
                method::queue_declare(queue, queue_bits::DURABLE, &Table::new()),
            )
            .await?;
    }
    let keys = (0..3000).map(|n| match n % 3 {
        0 => Value::text(&queues[0]),
        1 => Value::text(&queues[1]),
        _ => Value::text(&format!("nowhere-{n}")),
    });
    let headers = one("CC", Value::Array(keys.collect()));
    let publish = method::basic_publish("", "nowhere", 1);
    client
        .publish(1, publish, &Properties::with_headers(headers), "body")
        .await?;
    for queue in &queues {
        client.expect_ready(1, queue, 1).await?;
    }
    Ok(())
}

/// Spec 13.12.
async fn forged_reply_addresses_lead_nowhere(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let consume = method::basic_consume("amq.rabbitmq.reply-to", "c", 2, &Table::new());
    client.ok(1, consume).await?;
    let prefix = "amq.rabbitmq.reply-to.";
    let long = format!("{prefix}{}", "A".repeat(255 - prefix.len()));
    let forged = [
        "",
        "x",
        "g2dkABByZXBseUAx",
        "....",
        "\0\0",
        "AAAA.BBBB",
        "g1h3.AAAA=",
    ];
    let mut keys: Vec<String> = forged
        .iter()
        .map(|suffix| format!("{prefix}{suffix}"))
        .collect();
    keys.push(long);
    for key in &keys {
        let publish = method::basic_publish("", key, 1);
        client
            .publish(1, publish, &Properties::default(), "body")
            .await?;
        client
            .next_of(1, method::BASIC_RETURN)
            .await
            .with_context(|| key.clone())?;
    }
    let copies = Value::Array(
        (0..1000)
            .map(|n| Value::text(&keys[n % keys.len()]))
            .collect(),
    );
    let publish = method::basic_publish("", &keys[0], 0);
    client
        .publish(
            1,
            publish,
            &Properties::with_headers(one("CC", copies)),
            "body",
        )
        .await?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    ensure!(
        client.kept().is_empty(),
        "a forged address was delivered to"
    );
    let expected = context.differs("13.12", "404c… || 541x…", "404c…")?;
    for key in keys.iter().filter(|key| key.as_str() != prefix) {
        let mut client = context.client().await?;
        let declare = method::queue_declare(key, queue_bits::DURABLE, &Table::new());
        client
            .call(1, declare)
            .await?
            .expect(expected)
            .with_context(|| key.clone())?;
    }
    context.still_serves().await
}

/// Spec 13.17. Odd in every way that is legal; others in the queue must not suffer.
async fn a_poisoned_message_goes_through_and_stops_nothing(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    let odd = Table::new()
        .with("", "")
        .with("k", 1)
        .with("k", "twice")
        .with("x-death", "no array")
        .with("x-first-death-queue", Value::Void)
        .with("x-delivery-count", "many")
        .with("not utf-8", Value::Text(vec![0xFF, 0xFE]))
        .with("large", Value::F64(f64::MAX));
    let properties = Properties {
        content_type: Some("x".repeat(255)),
        priority: Some(255),
        timestamp: Some(u64::MAX),
        ..Properties::with_headers(odd)
    };
    let publish = method::basic_publish("", &queue, 0);
    client.publish(1, publish, &properties, "poison").await?;
    client.put(1, &queue, "sound").await?;
    client.await_ready(1, &queue, 2).await?;
    client
        .ok(1, method::basic_consume(&queue, "c", 0, &Table::new()))
        .await?;
    let first = client.delivery(1).await?;
    ensure!(first.text() == "poison", "{first:?}");
    ensure!(client.delivery(1).await?.text() == "sound", "sound");
    client
        .send(1, &method::basic_reject(first.tag, true))
        .await?;
    let again = client.delivery(1).await?;
    ensure!(again.text() == "poison", "{again:?}");
    context.still_serves().await
}

/// Spec 13.17. Spec 13.10. Random bytes on an open connection, and frames of random content.
async fn random_bytes_end_only_their_own_connection(context: &Context) -> Result<()> {
    let mut bystander = context.client_with(&Options::default()).await?;
    try_join_all((0..40).map(|number| async move {
        let mut client = context.client().await?;
        let noise: Vec<u8> = (0..200).map(|_| rand::random()).collect();
        if number % 2 == 0 {
            client.peer.send_or_hang_up(&noise).await;
        } else {
            for part in noise.chunks(20) {
                let kind = part[0] % 3 + 1;
                let payload = [&[0, 60, 0], &part[1..]].concat();
                let frame = Frame {
                    kind,
                    channel: 1,
                    payload,
                };
                client.peer.send_or_hang_up(&frame.encode()).await;
            }
        }
        // A frame cut short by the noise would wait for more; our going ends that.
        client.peer.finish_sending().await.unwrap_or_default();
        client.peer.drain().await
    }))
    .await?;
    bystander.ok(1, method::basic_qos(0, 1, false)).await?;
    context.still_serves().await
}
