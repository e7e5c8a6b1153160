//! What a message carries: properties and headers arrive as they were sent.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::content::{Properties, header_payload};
use leveret_tests::raw::method::{self, exchange_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};
use leveret_tests::raw::{Frame, HEADER};

leveret_tests::on_both_targets![
    properties_arrive_bit_faithful,
    unknown_flag_bits_are_ignored,
    every_field_type_is_accepted_and_passed_on,
    headers_like_the_brokers_own_are_plain_data,
    delivery_mode_and_priority_are_passed_on_as_they_are,
];

async fn with_queue(context: &Context) -> Result<(Client, String)> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    Ok((client, queue))
}

/// Sends a message with these property bytes through a queue; the bytes that come out.
async fn through_a_queue(client: &mut Client, queue: &str, raw: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Frame::method(1, &method::basic_publish("", queue, 0)).encode();
    let payload = header_payload(4, raw);
    bytes.extend(
        Frame {
            kind: HEADER,
            channel: 1,
            payload,
        }
        .encode(),
    );
    bytes.extend(Frame::body(1, "body").encode());
    client.peer.send(&bytes).await?;
    client.await_ready(1, queue, 1).await?;
    Ok(client.take(1, queue).await?.content.raw_properties)
}

/// Spec 0.7. Spec 0.8.
async fn properties_arrive_bit_faithful(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let text = |value: &str| Some(value.to_owned());
    let all = Properties {
        content_type: text("application/json"),
        content_encoding: text(""),
        headers: Some(Table::new()),
        delivery_mode: Some(1),
        priority: Some(255),
        correlation_id: text("correlation"),
        reply_to: text("reply"),
        expiration: text("60000"),
        message_id: text(""),
        timestamp: Some(u64::MAX),
        kind: text("type"),
        user_id: text(&context.address.user),
        app_id: text("ü"),
        cluster_id: text("cluster"),
    };
    let empty_texts = Properties {
        kind: text(""),
        app_id: text(""),
        ..Properties::default()
    };
    let zero_time = Properties {
        timestamp: Some(0),
        ..Properties::default()
    };
    let cases = [
        Properties::default(),
        Properties::with_headers(Table::new()),
        all,
        empty_texts,
        zero_time,
    ];
    for properties in cases {
        let raw = properties.encode();
        let arrived = through_a_queue(&mut client, &queue, &raw).await?;
        ensure!(arrived == raw, "{raw:?} became {arrived:?}");
    }
    Ok(())
}

/// Spec 0.7.
async fn unknown_flag_bits_are_ignored(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let raw = Properties {
        priority: Some(3),
        ..Properties::default()
    }
    .encode();
    for bit in [1, 2, 3] {
        let mut odd = raw.clone();
        odd[1] |= bit;
        let arrived = through_a_queue(&mut client, &queue, &odd).await?;
        ensure!(
            arrived[0] == odd[0] && arrived[2..] == raw[2..],
            "{odd:?} became {arrived:?}"
        );
    }
    Ok(())
}

fn every_type() -> Table {
    Table::new()
        .with("t", true)
        .with("b", Value::I8(-128))
        .with("B", Value::U8(255))
        .with("s", Value::I16(-32768))
        .with("u", Value::U16(65535))
        .with("I", Value::I32(i32::MIN))
        .with("i", Value::U32(u32::MAX))
        .with("l", Value::I64(i64::MIN))
        .with("f", Value::F32(1.25))
        .with("d", Value::F64(-1.0e300))
        .with("D", Value::Decimal(255, u32::MAX))
        .with("S", Value::Text(vec![0, 255, 254]))
        .with("T", Value::Timestamp(u64::MAX))
        .with("F", one("nested", one("deeper", Value::Void)))
        .with(
            "A",
            vec![Value::Void, Value::Array(vec![]), Value::text("x")],
        )
        .with("V", Value::Void)
        .with("x", Value::Bytes(vec![0, 1, 2]))
        .with("", "an empty key")
}

/// Spec 0.6. Spec 0.8. Table types, as header values and as arguments of a declare.
async fn every_field_type_is_accepted_and_passed_on(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let properties = Properties::with_headers(every_type());
    let publish = method::basic_publish("", &queue, 0);
    client.publish(1, publish, &properties, "body").await?;
    client.await_ready(1, &queue, 1).await?;
    let mut arrived = client
        .take(1, &queue)
        .await?
        .content
        .properties
        .headers
        .context("none")?;
    let mut expected = every_type();
    for table in [&mut arrived, &mut expected] {
        table.0.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    ensure!(arrived == expected, "{arrived:?}");
    let with_long = every_type().with("L", Value::UpperL(-1));
    let declare = method::queue_declare("", queue_bits::EXCLUSIVE, &with_long);
    client.ok(1, declare).await?;
    let exchange = context.exchange("x");
    let bits = exchange_bits::AUTO_DELETE;
    client
        .ok(
            1,
            method::exchange_declare(&exchange, "direct", bits, &with_long),
        )
        .await?;
    client
        .ok(1, method::queue_bind(&queue, &exchange, "key", &with_long))
        .await?;
    Ok(())
}

/// Spec 5.1.10.
async fn headers_like_the_brokers_own_are_plain_data(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    let death = one("queue", &queue)
        .with("reason", "expired")
        .with("count", 7_i64);
    let headers = one("x-death", vec![Value::Table(death)])
        .with("x-first-death-queue", &queue)
        .with("x-delivery-count", 1000_i64)
        .with("x-delay", 60_000)
        .with("x-deduplication-header", "d");
    let properties = Properties::with_headers(headers);
    client
        .publish(1, method::basic_publish("", &queue, 0), &properties, "body")
        .await?;
    client.await_ready(1, &queue, 1).await?;
    let got = client.take(1, &queue).await?;
    let headers = got.content.properties.headers.context("no headers")?;
    ensure!(
        Some(headers.clone().sorted()) == properties.headers.map(Table::sorted),
        "{headers:?}"
    );
    Ok(())
}

/// Spec 5.1.10.
async fn delivery_mode_and_priority_are_passed_on_as_they_are(context: &Context) -> Result<()> {
    let (mut client, queue) = with_queue(context).await?;
    for mode in [0, 1, 2, 3, 255] {
        let raw = Writer::new().u16(0x1800).u8(mode).u8(mode).finish();
        let arrived = through_a_queue(&mut client, &queue, &raw).await?;
        ensure!(arrived == raw, "{raw:?} became {arrived:?}");
    }
    Ok(())
}
