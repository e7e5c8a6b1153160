//! Field tables that must not hurt: nested, lying, hollow, double.

use super::hostile::next_outcome;
use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use leveret_tests::Context;
use leveret_tests::client::{Client, plain};
use leveret_tests::outcome::Outcome;
use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::content::{Properties, header_payload};
use leveret_tests::raw::method::{self, Method, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};
use leveret_tests::raw::{Frame, HEADER, PROTOCOL_HEADER};

leveret_tests::on_both_targets![
    client_properties_nested_deeply,
    arguments_nested_deeply,
    message_headers_nested_deeply,
    client_properties_that_claim_too_much_end_the_connection,
    arguments_that_claim_too_much_are_a_frame_error,
    arrays_of_nothing_do_no_harm,
    duplicate_keys_are_taken_consistently,
];

/// A field value nested to this depth, `F` for tables or `A` for arrays, type octet first. Written
/// from the outside in: each level's length follows from how many are below it.
fn nested(kind: u8, depth: u32) -> Vec<u8> {
    let mut writer = Writer::new();
    for below in (0..depth).rev() {
        writer = match kind {
            b'A' => writer.u8(b'A').u32(5 * below),
            _ if below > 0 => writer.u8(b'F').u32(7 * below).short("k"),
            _ => writer.u8(b'F').u32(0),
        };
    }
    writer.finish()
}

/// A table, with its length, of one entry that is nested to this depth.
fn nested_table(kind: u8, depth: u32) -> Vec<u8> {
    let entry = Writer::new().short("n").raw(nested(kind, depth)).finish();
    Writer::new().long(entry).finish()
}

const DEPTHS: [u32; 5] = [1, 60, 300, 3000, 18_000];

/// What nesting of this depth has for an outcome: we have a limit of about a hundred.
fn nesting_outcome<'a>(context: &Context, depth: u32, refused: &'a str) -> Result<&'a str> {
    if depth <= 60 {
        Ok("ok")
    } else {
        context.differs("13.4", "ok", refused)
    }
}

async fn log_in_with(context: &Context, properties: &[u8]) -> Result<Outcome> {
    let mut peer = context.peer().await?;
    peer.send(PROTOCOL_HEADER).await?;
    peer.expect(0, method::CONNECTION_START).await?;
    let response = plain(&context.address.user, &context.address.password);
    let arguments = Writer::new()
        .raw(properties)
        .short("PLAIN")
        .long(response)
        .short("en_US");
    let start_ok = Method::new(method::CONNECTION_START_OK, arguments);
    peer.send_or_hang_up(&Frame::method(0, &start_ok).encode())
        .await;
    next_outcome(&mut peer).await
}

/// Spec 13.4. Spec 13.1.
async fn client_properties_nested_deeply(context: &Context) -> Result<()> {
    let cases = [1, 60, 300, 500, 1000]
        .into_iter()
        .flat_map(|depth| [(b'F', depth), (b'A', depth)]);
    try_join_all(cases.map(|(kind, depth)| async move {
        let expected = nesting_outcome(context, depth, "drop || 50…x…")?;
        let outcome = log_in_with(context, &nested_table(kind, depth)).await?;
        outcome
            .expect(expected)
            .with_context(|| format!("{depth} levels of {}", char::from(kind)))
    }))
    .await?;
    let too_large = log_in_with(context, &nested_table(b'F', 2000)).await?;
    too_large.expect("drop || 50…x…")?;
    context.still_serves().await
}

/// Spec 13.4.
async fn arguments_nested_deeply(context: &Context) -> Result<()> {
    let queue = context.queue("q");
    let mut client = context.client().await?;
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    for depth in DEPTHS {
        for kind in [b'F', b'A'] {
            let table = nested_table(kind, depth);
            let expected = nesting_outcome(context, depth, "50…x…")?;
            let name = context.queue("nested");
            let declare = Writer::new().u16(0).short(&name).u8(2).raw(&table);
            let bind = Writer::new()
                .u16(0)
                .short(&queue)
                .short("amq.direct")
                .short("nested");
            for method in [
                Method::new(method::QUEUE_DECLARE, declare),
                Method::new(method::QUEUE_BIND, bind.u8(0).raw(&table)),
            ] {
                let mut client = context.client().await?;
                let outcome = client.call(1, method).await?;
                outcome
                    .expect(expected)
                    .with_context(|| format!("{depth} levels"))?;
            }
        }
    }
    context.still_serves().await
}

/// Publishes a message with these property bytes; the outcome of the next request.
async fn publish_raw(client: &mut Client, queue: &str, properties: &[u8]) -> Result<Outcome> {
    let mut bytes = Frame::method(1, &method::basic_publish("", queue, 0)).encode();
    let payload = header_payload(4, properties);
    bytes.extend(
        Frame {
            kind: HEADER,
            channel: 1,
            payload,
        }
        .encode(),
    );
    bytes.extend(Frame::body(1, "body").encode());
    client.peer.send_or_hang_up(&bytes).await;
    client.call(1, method::basic_qos(0, 1, false)).await
}

/// Spec 13.4. What is taken comes out again as it went in.
async fn message_headers_nested_deeply(context: &Context) -> Result<()> {
    let queue = context.queue("q");
    let mut client = context.client().await?;
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    for depth in DEPTHS {
        for kind in [b'F', b'A'] {
            let table = nested_table(kind, depth);
            let properties = Writer::new().u16(1 << 13).raw(table).finish();
            let expected = nesting_outcome(context, depth, "50…x…")?;
            let mut client = context.client().await?;
            let outcome = publish_raw(&mut client, &queue, &properties).await?;
            outcome
                .expect(expected)
                .with_context(|| format!("{depth} levels"))?;
            if depth <= 60 {
                client.await_ready(1, &queue, 1).await?;
                let arrived = client.take(1, &queue).await?.content.raw_properties;
                ensure!(arrived == properties, "{depth}: {arrived:?}");
            }
        }
    }
    context.still_serves().await
}

/// Tables whose lengths do not fit what is there; each with its own length in front.
fn lying_tables() -> Vec<Vec<u8>> {
    let with = |entry: Writer| Writer::new().long(entry.finish()).finish();
    let entry = || Writer::new().short("k");
    vec![
        Writer::new().u32(u32::MAX).finish(),
        Writer::new().u32(1 << 31).finish(),
        Writer::new().u32(5).raw("\u{1}kI").finish(),
        with(entry().u8(b'S').u32(u32::MAX)),
        with(entry().u8(b'S').u32(i32::MAX as u32).raw("x")),
        with(entry().u8(b'x').u32(5).raw("xxxx")),
        with(entry().u8(b'F').u32(u32::MAX)),
        with(entry().u8(b'F').u32(3).short("k")),
        with(entry().u8(b'A').u32(u32::MAX)),
        with(entry().u8(b'A').u32(4).raw("I\0\0")),
        with(entry().u8(b'A').u32(5).raw("S\0\0\0\u{9}")),
        with(entry().u8(b'I').u16(1)),
        with(entry()),
        with(entry().u8(b'?')),
        with(Writer::new().u8(200).raw("short")),
    ]
}

/// Spec 13.2. Spec 13.4. Spec 13.1.
async fn client_properties_that_claim_too_much_end_the_connection(context: &Context) -> Result<()> {
    try_join_all(lying_tables().into_iter().map(|table| async move {
        let outcome = log_in_with(context, &table).await?;
        outcome
            .expect("drop || 50…x…")
            .with_context(|| format!("{table:?}"))
    }))
    .await?;
    context.still_serves().await
}

/// Spec 13.2. Spec 13.4. Spec 1.6.7.
async fn arguments_that_claim_too_much_are_a_frame_error(context: &Context) -> Result<()> {
    for table in lying_tables() {
        let queue = context.queue("q");
        let arguments = Writer::new().u16(0).short(&queue).u8(0).raw(&table);
        let mut client = context.client().await?;
        let outcome = client
            .call(1, Method::new(method::QUEUE_DECLARE, arguments))
            .await?;
        let expected = context.differs("1.6.9", "501x… || 541x… || drop", "501x… || 502x…")?;
        outcome
            .expect(expected)
            .with_context(|| format!("{table:?}"))?;
    }
    context.still_serves().await
}

/// Spec 13.4. As many elements as bytes.
async fn arrays_of_nothing_do_no_harm(context: &Context) -> Result<()> {
    let array = |count| one("a", vec![Value::Void; count]);
    let mut properties = Vec::new();
    leveret_tests::raw::value::write_table(&mut properties, &array(7000));
    log_in_with(context, &properties)
        .await?
        .expect("ok || drop || 50…x…")?;
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let declare = method::queue_declare(&queue, queue_bits::DURABLE, &array(100_000));
    client
        .call(1, declare)
        .await?
        .expect("ok || 50…x… || 406c…")?;
    let mut client = context.client().await?;
    let raw = Properties::with_headers(array(100_000)).encode();
    publish_raw(&mut client, &queue, &raw)
        .await?
        .expect("ok || 50…x… || 406c…")?;
    context.still_serves().await
}

/// Spec 13.4. Whichever of two equal keys counts, it is the same one each time.
async fn duplicate_keys_are_taken_consistently(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let twice = one("x-max-length", 5).with("x-max-length", 7);
    for _ in 0..3 {
        client
            .ok(
                1,
                method::queue_declare(&queue, queue_bits::DURABLE, &twice),
            )
            .await?;
    }
    Ok(())
}
