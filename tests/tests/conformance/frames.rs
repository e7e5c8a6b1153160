//! Frames and their order on a running connection.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Options, Tune};
use leveret_tests::outcome::Outcome;
use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::content::{Properties, header_payload};
use leveret_tests::raw::method::{self, Method, MethodId};
use leveret_tests::raw::value::{Table, one};
use leveret_tests::raw::{BODY, Frame, HEADER, HEARTBEAT, METHOD};

leveret_tests::on_both_targets![
    a_bad_end_octet_is_a_frame_error,
    an_oversized_frame_is_refused_from_its_header_alone,
    an_unknown_frame_is_a_frame_error,
    a_heartbeat_on_a_channel_is_unexpected,
    content_on_channel_0_is_unexpected,
    content_out_of_order_is_unexpected,
    a_header_of_another_class_or_with_a_weight_is_unexpected,
    channels_interleave_their_contents,
    an_absurd_body_size_is_a_frame_error,
    more_body_than_announced_is_a_frame_error,
    a_body_of_size_zero_is_complete_at_its_header,
    empty_body_frames_are_legal,
    arguments_that_do_not_parse_exactly_are_a_frame_error,
    invalid_utf_8_in_a_short_string_is_a_frame_error,
    an_unknown_method_ends_the_connection,
    a_method_that_servers_send_is_not_implemented,
    undecodable_properties_end_the_connection,
    a_body_is_delivered_in_frames_of_the_consumers_size,
    a_header_larger_than_the_consumers_frames_never_loops,
    pipelined_methods_are_answered_in_order,
];

/// What a client gets for these frames, sent after basic.publish to nowhere in particular.
async fn outcome_of(client: &mut Client, bytes: &[u8]) -> Result<Outcome> {
    client.peer.send_or_hang_up(bytes).await;
    client.reply(1).await
}

/// A connection error from a frame, not from a method: it names none.
async fn frame_error(context: &Context, bytes: &[u8], expected: &str) -> Result<()> {
    let mut client = context.client().await?;
    let outcome = outcome_of(&mut client, bytes).await?;
    outcome
        .expect(expected)
        .with_context(|| format!("{bytes:?}"))?;
    let close = outcome.close().context("a close")?;
    ensure!(
        close.method == MethodId(0, 0),
        "the close names {:?}",
        close.method
    );
    Ok(())
}

fn publish() -> Vec<u8> {
    Frame::method(1, &method::basic_publish("", "nowhere", 0)).encode()
}

fn header(body_size: u64) -> Vec<u8> {
    Frame::header(1, body_size, &Properties::default()).encode()
}

/// Spec 1.6.1. Spec 0.4.
async fn a_bad_end_octet_is_a_frame_error(context: &Context) -> Result<()> {
    let mut bytes = Frame::method(1, &method::basic_qos(0, 1, false)).encode();
    *bytes.last_mut().context("an end octet")? = 0xCD;
    let expected = "501x type 1, all octets = …: {invalid_frame_end_marker,…205}";
    frame_error(context, &bytes, expected).await
}

/// Spec 1.6.2.
async fn an_oversized_frame_is_refused_from_its_header_alone(context: &Context) -> Result<()> {
    for size in [131_073_u32, 1 << 24, u32::MAX] {
        for (kind, channel) in [(METHOD, 1), (BODY, 1), (HEADER, 1), (METHOD, 0)] {
            let bytes = Writer::new().u8(kind).u16(channel).u32(size).u8(0).finish();
            let expected = format!("501x type {kind}, …{{frame_too_large,…");
            frame_error(context, &bytes, &expected).await?;
        }
    }
    Ok(())
}

/// Spec 1.6.3.
async fn an_unknown_frame_is_a_frame_error(context: &Context) -> Result<()> {
    for (kind, channel, payload) in [
        (0, 1, b"".as_slice()),
        (4, 1, b""),
        (9, 0, b""),
        (255, 1, b"xxxx"),
        (METHOD, 1, b"\x00\x3c\x00"),
        (METHOD, 0, b""),
        (HEADER, 1, b"\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        (HEARTBEAT, 0, b"x"),
    ] {
        let frame = Frame {
            kind,
            channel,
            payload: payload.to_vec(),
        };
        frame_error(context, &frame.encode(), "501x type …: unknown_frame").await?;
    }
    Ok(())
}

/// Spec 1.6.4.
async fn a_heartbeat_on_a_channel_is_unexpected(context: &Context) -> Result<()> {
    let frame = Frame {
        channel: 1,
        ..Frame::heartbeat()
    };
    frame_error(context, &frame.encode(), "505x…").await
}

/// Spec 1.6.4.
async fn content_on_channel_0_is_unexpected(context: &Context) -> Result<()> {
    for frame in [
        Frame::header(0, 1, &Properties::default()),
        Frame::body(0, "x"),
    ] {
        let expected = format!("505x type {}, all octets = …", frame.kind);
        frame_error(context, &frame.encode(), &expected).await?;
    }
    Ok(())
}

/// Spec 1.6.5. Spec 13.10.
async fn content_out_of_order_is_unexpected(context: &Context) -> Result<()> {
    let body = Frame::body(1, "x").encode();
    let qos = Frame::method(1, &method::basic_qos(0, 1, false)).encode();
    let no_method = "505x expected method frame, got non method frame instead";
    let no_header =
        "505x expected content header for class 60, got non content header frame instead";
    let no_body = "505x expected content body, got non content body frame instead";
    for (bytes, expected) in [
        (header(1), no_method),
        (body.clone(), no_method),
        ([publish(), body].concat(), no_header),
        ([publish(), qos.clone()].concat(), no_header),
        ([publish(), publish()].concat(), no_header),
        ([publish(), header(1), header(1)].concat(), no_body),
        ([publish(), header(1), qos].concat(), no_body),
        ([publish(), header(0), header(0)].concat(), no_method),
    ] {
        frame_error_naming_publish_or_none(context, &bytes, expected).await?;
    }
    Ok(())
}

async fn frame_error_naming_publish_or_none(
    context: &Context,
    bytes: &[u8],
    expected: &str,
) -> Result<()> {
    let mut client = context.client().await?;
    let outcome = outcome_of(&mut client, bytes).await?;
    outcome
        .expect(expected)
        .with_context(|| format!("{bytes:?}"))?;
    let close = outcome.close().context("a close")?;
    let named = [MethodId(0, 0), method::BASIC_PUBLISH, method::BASIC_QOS];
    ensure!(
        named.contains(&close.method),
        "the close names {:?}",
        close.method
    );
    Ok(())
}

/// Spec 1.6.5.
async fn a_header_of_another_class_or_with_a_weight_is_unexpected(context: &Context) -> Result<()> {
    let other_class = "505x expected content header for class 60, got one for class 50 instead";
    let weight = "505x expected content header for class 60, got non content header frame instead";
    for (class, weight, expected) in [(50_u16, 0_u16, other_class), (60, 1, weight)] {
        let payload = Writer::new().u16(class).u16(weight).u64(0).u16(0).finish();
        let frame = Frame {
            kind: HEADER,
            channel: 1,
            payload,
        };
        let bytes = [publish(), frame.encode()].concat();
        frame_error_naming_publish_or_none(context, &bytes, expected).await?;
    }
    Ok(())
}

/// Spec 1.6.5. Spec 0.8.
async fn channels_interleave_their_contents(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client.open(2).await?;
    let queue = context.queue("q");
    client
        .ok(1, method::queue_declare(&queue, 2, &Table::new()))
        .await?;
    let mut bytes = Vec::new();
    for channel in [1, 2] {
        bytes.extend(Frame::method(channel, &method::basic_publish("", &queue, 0)).encode());
    }
    for channel in [1, 2] {
        bytes.extend(Frame::header(channel, 4, &Properties::default()).encode());
    }
    for (channel, part) in [(1, "o"), (2, "t"), (1, "n"), (2, "w"), (2, "o!"), (1, "e!")] {
        bytes.extend(Frame::body(channel, part).encode());
    }
    client.peer.send(&bytes).await?;
    client.await_ready(1, &queue, 2).await?;
    let mut bodies = client.take_all(1, &queue).await?;
    bodies.sort();
    ensure!(bodies == ["one!", "two!"], "{bodies:?}");
    Ok(())
}

/// Spec 1.6.6. Spec 13.2.
async fn an_absurd_body_size_is_a_frame_error(context: &Context) -> Result<()> {
    for size in [536_870_913_u64, 1 << 63, u64::MAX] {
        let bytes = [publish(), header(size)].concat();
        let expected =
            format!("501x content body size {size} exceeds maximum allowed size 536870912");
        frame_error_naming_publish_or_none(context, &bytes, &expected).await?;
    }
    Ok(())
}

/// Spec 1.6.6. Spec 13.2.
async fn more_body_than_announced_is_a_frame_error(context: &Context) -> Result<()> {
    let expected = "501x content body frame exceeds remaining content size";
    for parts in [vec!["123456789"], vec!["1234", "567", "89"]] {
        let mut bytes = [publish(), header(8)].concat();
        for part in parts {
            bytes.extend(Frame::body(1, part).encode());
        }
        frame_error_naming_publish_or_none(context, &bytes, expected).await?;
    }
    Ok(())
}

/// Spec 1.6.6.
async fn a_body_of_size_zero_is_complete_at_its_header(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client
        .ok(1, method::queue_declare(&queue, 2, &Table::new()))
        .await?;
    client.put(1, &queue, "").await?;
    client.await_ready(1, &queue, 1).await?;
    let got = client.take(1, &queue).await?;
    ensure!(
        got.content.body.is_empty() && got.content.body_frames.is_empty(),
        "{got:?}"
    );
    Ok(())
}

/// Spec 1.6.6.
async fn empty_body_frames_are_legal(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client
        .ok(1, method::queue_declare(&queue, 2, &Table::new()))
        .await?;
    let mut bytes = Frame::method(1, &method::basic_publish("", &queue, 0)).encode();
    bytes.extend(header(2));
    for part in ["", "a", "", "", "b"] {
        bytes.extend(Frame::body(1, part).encode());
    }
    client.peer.send(&bytes).await?;
    client.await_ready(1, &queue, 1).await?;
    let text = client.take(1, &queue).await?.text();
    ensure!(text == "ab", "{text:?}");
    Ok(())
}

/// Spec 1.6.7.
async fn arguments_that_do_not_parse_exactly_are_a_frame_error(context: &Context) -> Result<()> {
    let declare = method::queue_declare("", 4, &Table::new());
    let cut = |count: usize| {
        let end = declare.arguments.len() - count;
        Method {
            id: declare.id,
            arguments: declare.arguments[..end].to_vec(),
        }
    };
    let longer = Method {
        arguments: [&declare.arguments[..], b"x"].concat(),
        ..declare.clone()
    };
    for wrong in [cut(1), cut(4), cut(declare.arguments.len()), longer] {
        let bytes = Frame::method(1, &wrong).encode();
        let expected = "501x cannot decode …";
        let mut client = context.client().await?;
        let outcome = outcome_of(&mut client, &bytes).await?;
        outcome
            .expect(expected)
            .with_context(|| format!("{wrong:?}"))?;
    }
    Ok(())
}

/// Spec 1.6.7.
async fn invalid_utf_8_in_a_short_string_is_a_frame_error(context: &Context) -> Result<()> {
    let name = Writer::new()
        .u16(0)
        .short(b"\xff\xfe")
        .u8(4)
        .table(&Table::new());
    let declare = Method::new(method::QUEUE_DECLARE, name);
    let mut client = context.client().await?;
    let outcome = client.call(1, declare).await?;
    outcome.expect("501x Malformed UTF-8 in shortstr…")
}

/// Spec 1.6.8. Spec 13.10.
async fn an_unknown_method_ends_the_connection(context: &Context) -> Result<()> {
    let expected = context.differs("1.6.8", "drop || 501x cannot decode…", "503x…")?;
    for id in [
        MethodId(60, 200),
        MethodId(61, 10),
        MethodId(0, 0),
        MethodId(65535, 65535),
    ] {
        let mut client = context.client().await?;
        let outcome = client.call(1, Method::empty(id)).await?;
        outcome
            .expect(expected)
            .with_context(|| format!("{id:?}"))?;
    }
    context.still_serves().await
}

/// Spec 1.6.8.
async fn a_method_that_servers_send_is_not_implemented(context: &Context) -> Result<()> {
    let qos_ok = Method::empty(method::BASIC_QOS_OK);
    let get_empty = Method::new(method::BASIC_GET_EMPTY, Writer::new().short(""));
    let open_ok = Method::new(method::CHANNEL_OPEN_OK, Writer::new().long(""));
    for wrong in [qos_ok, get_empty, open_ok] {
        let mut client = context.client().await?;
        client.expect(1, wrong, "503x unimplemented method").await?;
    }
    Ok(())
}

/// Spec 1.6.9. Spec 13.4.
async fn undecodable_properties_end_the_connection(context: &Context) -> Result<()> {
    let expected = context.differs("1.6.9", "541x…", "501x… || 502x…")?;
    let queue = context.queue("q");
    let mut client = context.client().await?;
    client
        .ok(1, method::queue_declare(&queue, 2, &Table::new()))
        .await?;
    let cases = [
        b"\x80\x00\x05ab".to_vec(),
        b"\x20\x00\x00\x00\x00\x09\x01a".to_vec(),
        b"\x20\x00\x00\x00\x00\x03\x01aZ".to_vec(),
        b"\x20\x00\x00\x00\x00\x07\x01aS\x00\x00\x00\x09".to_vec(),
        b"\x00\x40\x00\x00".to_vec(),
    ];
    for properties in cases {
        let mut client = context.client().await?;
        let payload = header_payload(0, &properties);
        let frame = Frame {
            kind: HEADER,
            channel: 1,
            payload,
        };
        let publish = Frame::method(1, &method::basic_publish("", &queue, 0)).encode();
        let outcome = outcome_of(&mut client, &[publish, frame.encode()].concat()).await?;
        outcome
            .expect(expected)
            .with_context(|| format!("{properties:?}"))?;
    }
    context.still_serves().await
}

fn with_frame_max(frame_max: u32) -> Options {
    let tune = Some(Tune {
        channel_max: 2047,
        frame_max,
        heartbeat: 0,
    });
    Options {
        tune,
        ..Options::default()
    }
}

/// Spec 1.6.10.
async fn a_body_is_delivered_in_frames_of_the_consumers_size(context: &Context) -> Result<()> {
    let mut sender = context.client().await?;
    let queue = context.queue("q");
    sender
        .ok(1, method::queue_declare(&queue, 2, &Table::new()))
        .await?;
    let body = vec![7_u8; 20_000];
    sender.put(1, &queue, &body).await?;
    sender.await_ready(1, &queue, 1).await?;
    let mut receiver = context.client_with(&with_frame_max(8192)).await?;
    let got = receiver.take(1, &queue).await?;
    ensure!(got.content.body == body, "another body");
    let frames = got.content.body_frames;
    ensure!(frames == [8184, 8184, 20_000 - 2 * 8184], "{frames:?}");
    Ok(())
}

/// Spec 1.6.10. Spec 13.6. The receiver's connection may suffer, the broker not.
async fn a_header_larger_than_the_consumers_frames_never_loops(context: &Context) -> Result<()> {
    let mut sender = context.client().await?;
    let queue = context.queue("q");
    sender
        .ok(1, method::queue_declare(&queue, 2, &Table::new()))
        .await?;
    let headers = one("padding", "x".repeat(20_000).as_str());
    let properties = Properties::with_headers(headers);
    let publish = method::basic_publish("", &queue, 0);
    sender.publish(1, publish, &properties, "body").await?;
    sender.await_ready(1, &queue, 1).await?;
    let mut receiver = context.client_with(&with_frame_max(8192)).await?;
    let outcome = receiver.call(1, method::basic_get(&queue, true)).await?;
    let expected = context.differs("1.6.10", "ok", "501c… || 311c…")?;
    outcome.expect(expected)?;
    context.still_serves().await
}

/// Spec 1.6.11.
async fn pipelined_methods_are_answered_in_order(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let requests = [
        method::queue_declare(&queue, 2, &Table::new()),
        method::basic_qos(0, 10, false),
        method::confirm_select(),
        method::access_request(),
        method::queue_purge(&queue),
        method::basic_get(&queue, true),
        method::queue_delete(&queue, 0),
    ];
    let bytes: Vec<u8> = requests
        .iter()
        .flat_map(|request| Frame::method(1, request).encode())
        .collect();
    client.peer.send(&bytes).await?;
    for request in requests {
        let reply = client.next().await?;
        let expected = match request.id {
            method::BASIC_GET => method::BASIC_GET_EMPTY,
            MethodId(class, id) => MethodId(class, id + 1),
        };
        ensure!(
            reply.method.id == expected,
            "{:?} instead of {expected:?}",
            reply.method.id
        );
    }
    Ok(())
}
