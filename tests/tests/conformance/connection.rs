//! Opening a connection: protocol header, start, tune, open.

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use leveret_tests::Context;
use leveret_tests::client::{Options, Tune, plain};
use leveret_tests::outcome::Outcome;
use leveret_tests::raw::bytes::Reader;
use leveret_tests::raw::method::{self, Method};
use leveret_tests::raw::value::{Table, Value, one};
use leveret_tests::raw::{Frame, PATIENCE, PROTOCOL_HEADER, Peer};

leveret_tests::on_both_targets![
    the_protocol_header_is_answered_with_start,
    the_header_of_0_9_is_answered_with_start_too,
    a_mismatched_0_9_header_is_answered_with_0_9_1_and_the_end,
    any_other_header_is_answered_with_a_header_and_the_end,
    other_protocols_get_a_header_and_the_end,
    a_connection_without_a_byte_harms_nobody,
    the_handshake_has_a_deadline_from_its_start,
    start_offers_version_mechanisms_and_locale,
    server_properties_name_the_product,
    server_capabilities_are_all_true,
    the_product_is_one_that_clients_know,
    the_locale_of_the_client_is_ignored,
    only_start_ok_may_follow_start,
    tune_offers_the_usual_limits,
    a_tuning_outside_the_limits_is_refused,
    a_small_frame_max_is_refused_below_the_minimum,
    a_frame_max_between_4096_and_8192_serves_old_clients,
    a_start_ok_larger_than_the_initial_frame_limit_ends_the_connection,
    a_start_ok_within_the_initial_frame_limit_is_taken,
    frames_of_the_negotiated_size_pass_at_once,
    an_unknown_virtual_host_is_not_allowed,
    open_ok_carries_an_empty_string,
    open_ignores_its_reserved_arguments,
];

/// Spec 1.1.1.
async fn the_protocol_header_is_answered_with_start(context: &Context) -> Result<()> {
    let mut peer = context.peer().await?;
    peer.send(b"AMQP\x00\x00\x09\x01").await?;
    let start = peer.expect(0, method::CONNECTION_START).await?;
    ensure!(
        start.arguments[..2] == [0, 9],
        "version {:?}",
        &start.arguments[..2]
    );
    Ok(())
}

/// Spec 1.1.1.
async fn the_header_of_0_9_is_answered_with_start_too(context: &Context) -> Result<()> {
    let mut peer = context.peer().await?;
    peer.send(b"AMQP\x01\x01\x00\x09").await?;
    let start = peer.expect(0, method::CONNECTION_START).await?;
    ensure!(
        start.arguments[..2] == [0, 9],
        "version {:?}",
        &start.arguments[..2]
    );
    Ok(())
}

async fn header_is_answered(context: &Context, sent: &[u8], expected: &[u8; 8]) -> Result<()> {
    let mut peer = context.peer().await?;
    peer.send(sent).await?;
    let answer = peer
        .bytes(8)
        .await?
        .with_context(|| format!("no answer to {sent:?}"))?;
    ensure!(answer == expected, "{sent:?} was answered with {answer:?}");
    peer.expect_end().await
}

/// Spec 1.1.2.
async fn a_mismatched_0_9_header_is_answered_with_0_9_1_and_the_end(
    context: &Context,
) -> Result<()> {
    for sent in [
        b"AMQP\x00\x00\x09\x00",
        b"AMQP\x00\x00\x09\x02",
        b"AMQP\x00\x00\x0a\x01",
    ] {
        header_is_answered(context, sent, PROTOCOL_HEADER).await?;
    }
    Ok(())
}

/// Spec 1.1.2.
async fn any_other_header_is_answered_with_a_header_and_the_end(context: &Context) -> Result<()> {
    let expected = context.differs("1.1.2", b"AMQP\x03\x01\x00\x00", PROTOCOL_HEADER)?;
    for sent in [
        b"AMQP\x01\x01\x08\x00",
        b"AMQP\x02\x02\x02\x02",
        b"AMQP\x00\x01\x09\x01",
        b"AMQP\xFF\xFF\xFF\xFF",
        b"XXXX\x00\x00\x09\x01",
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
    ] {
        header_is_answered(context, sent, expected).await?;
    }
    Ok(())
}

/// Spec 1.1.3.
async fn other_protocols_get_a_header_and_the_end(context: &Context) -> Result<()> {
    let expected = context.differs("1.1.2", b"AMQP\x03\x01\x00\x00", PROTOCOL_HEADER)?;
    for sent in [
        b"\x16\x03\x01\x00\xc8\x01\x00\x00",
        b"GET / HT",
        b"HEAD / H",
        b"\x16\x03\x03\x02\x00\x01\x00\x01",
    ] {
        header_is_answered(context, sent, expected).await?;
    }
    Ok(())
}

/// Spec 1.1.4.
async fn a_connection_without_a_byte_harms_nobody(context: &Context) -> Result<()> {
    for _ in 0..20 {
        drop(context.peer().await?);
    }
    context.still_serves().await
}

/// Spec 1.1.5. Spec 13.8. Each peer stops at another step; one goes on sending a byte now and then.
async fn the_handshake_has_a_deadline_from_its_start(context: &Context) -> Result<()> {
    let scripts: Vec<Vec<u8>> = vec![
        Vec::new(),
        PROTOCOL_HEADER[..4].to_vec(),
        PROTOCOL_HEADER.to_vec(),
        [PROTOCOL_HEADER.as_slice(), b"\x01\x00\x00"].concat(),
    ];
    let silent = scripts.into_iter().map(|script| async move {
        let mut peer = context.peer().await?;
        peer.send(&script).await?;
        peer.drain().await
    });
    let trickle = async {
        let mut peer = context.peer().await?;
        peer.send(PROTOCOL_HEADER).await?;
        peer.expect(0, method::CONNECTION_START).await?;
        peer.send(b"\x01\x00\x00\x00\x00\x10\x00").await?;
        let mut end = std::pin::pin!(peer.frame());
        // The frame is never complete, so the end can come from the deadline alone.
        let ended = tokio::time::timeout(PATIENCE, &mut end).await??;
        ensure!(ended.is_none(), "a frame instead of the end: {ended:?}");
        Ok(())
    };
    tokio::try_join!(try_join_all(silent), trickle)?;
    Ok(())
}

async fn started(context: &Context) -> Result<(Peer, Method)> {
    let mut peer = context.peer().await?;
    peer.send(PROTOCOL_HEADER).await?;
    let start = peer.expect(0, method::CONNECTION_START).await?;
    Ok((peer, start))
}

async fn server_properties(context: &Context) -> Result<Table> {
    let (_, start) = started(context).await?;
    let mut reader = start.reader();
    reader.u16()?;
    reader.table()
}

/// Spec 1.2.1.
async fn start_offers_version_mechanisms_and_locale(context: &Context) -> Result<()> {
    let (_, start) = started(context).await?;
    let mut reader = start.reader();
    ensure!((reader.u8()?, reader.u8()?) == (0, 9), "version");
    reader.table()?;
    let mechanisms = String::from_utf8(reader.long()?)?;
    let mut mechanisms: Vec<_> = mechanisms.split(' ').collect();
    mechanisms.sort_unstable();
    ensure!(
        mechanisms == ["AMQPLAIN", "ANONYMOUS", "PLAIN"],
        "mechanisms {mechanisms:?}"
    );
    let locales = String::from_utf8(reader.long()?)?;
    ensure!(locales == "en_US", "locales {locales:?}");
    ensure!(reader.rest().is_empty(), "trailing bytes");
    Ok(())
}

/// Spec 1.2.2.
async fn server_properties_name_the_product(context: &Context) -> Result<()> {
    let properties = server_properties(context).await?;
    for key in [
        "cluster_name",
        "copyright",
        "information",
        "platform",
        "product",
        "version",
    ] {
        let value = properties.value(key).and_then(Value::as_text);
        ensure!(
            value.is_some_and(|text| !text.is_empty()),
            "{key} in {properties:?}"
        );
    }
    ensure!(
        matches!(properties.value("capabilities"), Some(Value::Table(_))),
        "capabilities"
    );
    Ok(())
}

/// Spec 1.2.3.
async fn server_capabilities_are_all_true(context: &Context) -> Result<()> {
    let properties = server_properties(context).await?;
    let Some(Value::Table(capabilities)) = properties.value("capabilities") else {
        anyhow::bail!("no capabilities in {properties:?}");
    };
    for key in [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ] {
        ensure!(
            capabilities.value(key) == Some(&Value::Bool(true)),
            "{key} in {capabilities:?}"
        );
    }
    Ok(())
}

/// Spec 1.2.4.
async fn the_product_is_one_that_clients_know(context: &Context) -> Result<()> {
    let properties = server_properties(context).await?;
    let text = |key| {
        properties
            .value(key)
            .and_then(Value::as_text)
            .unwrap_or_default()
    };
    ensure!(
        text("product") == "RabbitMQ",
        "product {:?}",
        text("product")
    );
    ensure!(
        text("version").starts_with("4."),
        "version {:?}",
        text("version")
    );
    Ok(())
}

/// Spec 1.2.1.
async fn the_locale_of_the_client_is_ignored(context: &Context) -> Result<()> {
    let (mut peer, _) = started(context).await?;
    let response = plain(&context.address.user, &context.address.password);
    let mut start_ok = method::start_ok(&Table::new(), "PLAIN", &response);
    let locale = start_ok.arguments.len() - 5;
    start_ok.arguments[locale..].copy_from_slice(b"xx_YY");
    peer.send_method(0, &start_ok).await?;
    peer.expect(0, method::CONNECTION_TUNE).await?;
    Ok(())
}

/// Spec 1.2.6.
async fn only_start_ok_may_follow_start(context: &Context) -> Result<()> {
    let wrong = [
        (0, method::tune_ok(0, 0, 0)),
        (0, method::connection_open("/")),
        (
            0,
            Method::new(
                method::CONNECTION_SECURE_OK,
                leveret_tests::raw::bytes::Writer::new().long(""),
            ),
        ),
        (1, method::channel_open()),
    ];
    try_join_all(wrong.map(|(channel, wrong)| async move {
        let (mut peer, _) = started(context).await?;
        peer.send_method(channel, &wrong).await?;
        peer.expect_end()
            .await
            .with_context(|| format!("{wrong:?} on {channel}"))
    }))
    .await?;
    context.still_serves().await
}

/// Spec 1.4.1.
async fn tune_offers_the_usual_limits(context: &Context) -> Result<()> {
    let client = context.client().await?;
    let expected = Tune {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 60,
    };
    ensure!(client.offered == expected, "{:?}", client.offered);
    Ok(())
}

async fn tuning(context: &Context, tune: Tune) -> Result<Outcome> {
    let options = Options {
        tune: Some(tune),
        ..Options::default()
    };
    Ok(match context.try_client(&options).await? {
        Ok(mut client) => client.call(1, method::channel_open()).await?,
        Err(outcome) => outcome,
    })
}

/// Spec 1.4.2. Spec 13.6.
async fn a_tuning_outside_the_limits_is_refused(context: &Context) -> Result<()> {
    let tune = |channel_max, frame_max| Tune {
        channel_max,
        frame_max,
        heartbeat: 0,
    };
    let cases = [
        (
            tune(0, 131_072),
            "530x negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
        ),
        (
            tune(2048, 131_072),
            "530x negotiated channel_max = 2048 is higher than the maximum allowed value (2047)",
        ),
        (
            tune(2047, 0),
            "530x negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)",
        ),
        (
            tune(2047, 131_073),
            "530x negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
    ];
    try_join_all(cases.map(|(tune, refusal)| async move {
        let expected = context.differs("1.4.2", "drop", refusal)?;
        let outcome = tuning(context, tune).await?;
        outcome
            .expect(expected)
            .with_context(|| format!("{tune:?}"))
    }))
    .await?;
    let smallest = tuning(context, tune(1, 8192)).await?;
    smallest.expect("ok")
}

/// Spec 1.4.2. Spec 13.6.
async fn a_small_frame_max_is_refused_below_the_minimum(context: &Context) -> Result<()> {
    try_join_all([1, 100, 4095].map(|frame_max| async move {
        let refusal = format!(
            "530x negotiated frame_max = {frame_max} is lower than the minimum allowed value (4096)"
        );
        let expected = context.differs("1.4.2", "drop".to_owned(), refusal)?;
        let outcome = tuning(
            context,
            Tune {
                channel_max: 1,
                frame_max,
                heartbeat: 0,
            },
        )
        .await?;
        outcome
            .expect(&expected)
            .with_context(|| format!("{frame_max}"))
    }))
    .await?;
    Ok(())
}

/// Spec 1.4.3.
async fn a_frame_max_between_4096_and_8192_serves_old_clients(context: &Context) -> Result<()> {
    let expected = context.differs("1.4.3", "drop", "ok")?;
    try_join_all([4096, 8191].map(|frame_max| async move {
        let outcome = tuning(
            context,
            Tune {
                channel_max: 1,
                frame_max,
                heartbeat: 0,
            },
        )
        .await?;
        outcome
            .expect(expected)
            .with_context(|| format!("{frame_max}"))
    }))
    .await?;
    Ok(())
}

/// A start-ok whose frame payload has just `size` bytes.
fn start_ok_of_size(context: &Context, size: usize) -> Method {
    let response = plain(&context.address.user, &context.address.password);
    let of = |padding: usize| {
        let text = "x".repeat(padding);
        method::start_ok(&one("padding", text.as_str()), "PLAIN", &response)
    };
    let least = of(0).payload().len();
    of(size - least)
}

/// Spec 1.4.5. Spec 13.1.
async fn a_start_ok_larger_than_the_initial_frame_limit_ends_the_connection(
    context: &Context,
) -> Result<()> {
    let (mut peer, _) = started(context).await?;
    let frame = Frame::method(0, &start_ok_of_size(context, 8193 + 8));
    peer.send_or_hang_up(&frame.encode()).await;
    peer.expect_end().await
}

/// Spec 1.4.5.
async fn a_start_ok_within_the_initial_frame_limit_is_taken(context: &Context) -> Result<()> {
    let (mut peer, _) = started(context).await?;
    peer.send_method(0, &start_ok_of_size(context, 8192 - 8))
        .await?;
    peer.expect(0, method::CONNECTION_TUNE).await?;
    Ok(())
}

/// Spec 1.4.6. Sent in one write, so that no pause lets the server catch up.
async fn frames_of_the_negotiated_size_pass_at_once(context: &Context) -> Result<()> {
    let (mut peer, _) = started(context).await?;
    let response = plain(&context.address.user, &context.address.password);
    peer.send_method(0, &method::start_ok(&Table::new(), "PLAIN", &response))
        .await?;
    peer.expect(0, method::CONNECTION_TUNE).await?;
    let exchange = "x".repeat(200);
    let declare = |padding: usize| {
        let padding = "x".repeat(padding);
        method::exchange_declare(&exchange, "direct", 1, &one("padding", padding.as_str()))
    };
    let least = declare(0).payload().len();
    for (channel, payload) in [(1, 131_072 - 8), (2, 131_072)] {
        let mut bytes = Vec::new();
        if channel == 1 {
            bytes.extend(Frame::method(0, &method::tune_ok(2047, 131_072, 0)).encode());
            let open = method::connection_open(&context.address.virtual_host);
            bytes.extend(Frame::method(0, &open).encode());
        }
        bytes.extend(Frame::method(channel, &method::channel_open()).encode());
        bytes.extend(Frame::method(channel, &declare(payload - least)).encode());
        peer.send(&bytes).await?;
        if channel == 1 {
            peer.expect(0, method::CONNECTION_OPEN_OK).await?;
        }
        peer.expect(channel, method::CHANNEL_OPEN_OK).await?;
        // The exchange does not exist; what matters is that the frame was read.
        let close = peer.expect(channel, method::CHANNEL_CLOSE).await?;
        ensure!(Reader::new(&close.arguments).u16()? == 404, "{close:?}");
    }
    Ok(())
}

/// Spec 1.5.2. Spec 1.5.3.
async fn an_unknown_virtual_host_is_not_allowed(context: &Context) -> Result<()> {
    for name in [context.unique("nowhere"), String::new()] {
        let options = Options {
            virtual_host: Some(name.clone()),
            ..Options::default()
        };
        let Err(outcome) = context.try_client(&options).await? else {
            anyhow::bail!("virtual host {name:?} is open");
        };
        outcome.expect(&format!("530x vhost {name} not found"))?;
        let offending = outcome.close().map(|close| close.method);
        ensure!(
            offending == Some(method::CONNECTION_OPEN),
            "the close names {offending:?}"
        );
    }
    Ok(())
}

async fn open_answer(context: &Context, open: &Method) -> Result<Method> {
    let (mut peer, _) = started(context).await?;
    let response = plain(&context.address.user, &context.address.password);
    peer.send_method(0, &method::start_ok(&Table::new(), "PLAIN", &response))
        .await?;
    peer.expect(0, method::CONNECTION_TUNE).await?;
    peer.send_method(0, &method::tune_ok(2047, 131_072, 0))
        .await?;
    peer.send_method(0, open).await?;
    peer.expect(0, method::CONNECTION_OPEN_OK).await
}

/// Spec 1.5.3.
async fn open_ok_carries_an_empty_string(context: &Context) -> Result<()> {
    let open = method::connection_open(&context.address.virtual_host);
    let answer = open_answer(context, &open).await?;
    ensure!(answer.arguments == [0], "{answer:?}");
    Ok(())
}

/// Spec 1.5.3.
async fn open_ignores_its_reserved_arguments(context: &Context) -> Result<()> {
    let arguments = leveret_tests::raw::bytes::Writer::new()
        .short(&context.address.virtual_host)
        .short("capability one two")
        .u8(1);
    open_answer(context, &Method::new(method::CONNECTION_OPEN, arguments)).await?;
    Ok(())
}
