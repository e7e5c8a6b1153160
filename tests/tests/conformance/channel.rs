//! Channels: open, close, numbers, flow, and what each remembers.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Options, Tune, close_ok, declared};
use leveret_tests::raw::method::{self, Method, MethodId, exchange_bits, queue_bits};
use leveret_tests::raw::value::Table;
use leveret_tests::raw::{Frame, bytes::Writer, content::Properties};

leveret_tests::on_both_targets![
    open_ok_carries_an_empty_channel_id,
    a_method_on_an_unopened_channel_is_a_channel_error,
    a_second_open_is_a_channel_error,
    channel_0_cannot_be_opened,
    a_number_may_be_reused_after_close_ok,
    more_channels_than_agreed_on_are_not_allowed,
    a_channel_number_above_the_agreed_one_is_not_allowed,
    everything_is_swallowed_between_the_servers_close_and_close_ok,
    an_open_before_close_ok_is_a_second_open,
    a_client_close_that_crosses_the_servers_is_answered,
    a_half_sent_content_dies_with_its_channel,
    settling_on_a_closed_number,
    settling_on_a_number_that_never_was_open,
    flow_true_is_answered_and_flow_false_is_not_implemented,
    closing_a_channel_requeues_in_place_and_ends_consumers,
    access_request_gives_ticket_1_and_tickets_are_ignored,
    the_last_declared_queue_stands_for_an_empty_name,
    an_empty_key_with_an_empty_name_is_the_queues_name,
    an_empty_name_without_a_declare_is_not_found,
    no_wait_suppresses_only_the_ok,
    line_breaks_are_stripped_from_names,
    names_may_be_any_utf_8,
];

/// Spec 2.1.
async fn open_ok_carries_an_empty_channel_id(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let reply = client.ok(2047, method::channel_open()).await?;
    ensure!(reply.method.arguments == [0; 4], "{reply:?}");
    Ok(())
}

/// Spec 2.1.
async fn a_method_on_an_unopened_channel_is_a_channel_error(context: &Context) -> Result<()> {
    for wrong in [
        method::basic_qos(0, 1, false),
        method::channel_close(),
        method::tx_select(),
    ] {
        let mut client = context.client().await?;
        client
            .expect(2, wrong, "504x expected 'channel.open'")
            .await?;
    }
    Ok(())
}

/// Spec 2.1.
async fn a_second_open_is_a_channel_error(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client
        .expect(1, method::channel_open(), "504x second 'channel.open' seen")
        .await
}

/// Spec 2.1. Spec 0.3.
async fn channel_0_cannot_be_opened(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client
        .call(0, method::channel_open())
        .await?
        .expect("503x… || 504x…")
}

/// Spec 2.1.
async fn a_number_may_be_reused_after_close_ok(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for _ in 0..20 {
        client.ok(1, method::channel_close()).await?;
        client.open(1).await?;
    }
    Ok(())
}

async fn with_channels(context: &Context, channel_max: u16) -> Result<Client> {
    let tune = Some(Tune {
        channel_max,
        frame_max: 131_072,
        heartbeat: 0,
    });
    context
        .client_with(&Options {
            tune,
            ..Options::default()
        })
        .await
}

/// Spec 2.2. Spec 13.7.
async fn more_channels_than_agreed_on_are_not_allowed(context: &Context) -> Result<()> {
    let mut client = with_channels(context, 3).await?;
    client.open(2).await?;
    client.open(3).await?;
    client.ok(2, method::channel_close()).await?;
    client.open(2).await?;
    let text = "530x number of channels opened (3) has reached the negotiated channel_max (3)";
    client.call(4, method::channel_open()).await?.expect(text)
}

/// Spec 2.2. Spec 13.7.
async fn a_channel_number_above_the_agreed_one_is_not_allowed(context: &Context) -> Result<()> {
    let mut client = with_channels(context, 3).await?;
    let expected = context.differs("2.2", "ok", "530x… || 504x…")?;
    client
        .call(4, method::channel_open())
        .await?
        .expect(expected)
}

/// Makes the server close channel 1, without answering.
async fn closed_by_the_server(context: &Context) -> Result<Client> {
    let mut client = context.client().await?;
    client
        .send(1, &method::queue_purge(&context.unique("nowhere")))
        .await?;
    client.peer.expect(1, method::CHANNEL_CLOSE).await?;
    Ok(client)
}

/// Spec 2.3.
async fn everything_is_swallowed_between_the_servers_close_and_close_ok(
    context: &Context,
) -> Result<()> {
    let queue = context.queue("q");
    let mut client = closed_by_the_server(context).await?;
    client
        .send(
            1,
            &method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    let publish = method::basic_publish("", &queue, 0);
    client
        .publish(1, publish, &Properties::default(), "lost")
        .await?;
    client.send(1, &method::basic_ack(77, false)).await?;
    client.send(1, &close_ok(1)).await?;
    client.open(1).await?;
    let passive = method::queue_declare(&queue, queue_bits::PASSIVE, &Table::new());
    client
        .expect(1, passive, &format!("404c no queue '{queue}' in vhost '/'"))
        .await
}

/// Spec 2.3. The one method that is not swallowed.
async fn an_open_before_close_ok_is_a_second_open(context: &Context) -> Result<()> {
    let mut client = closed_by_the_server(context).await?;
    client
        .expect(1, method::channel_open(), "504x second 'channel.open' seen")
        .await
}

/// Spec 2.3.
async fn a_client_close_that_crosses_the_servers_is_answered(context: &Context) -> Result<()> {
    let mut client = closed_by_the_server(context).await?;
    client.send(1, &method::channel_close()).await?;
    client.peer.expect(1, method::CHANNEL_CLOSE_OK).await?;
    client.send(1, &close_ok(1)).await?;
    client.open(1).await
}

/// Spec 2.3. Spec 13.10. The header came, the body did not; the rest is swallowed too.
async fn a_half_sent_content_dies_with_its_channel(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    let mut bytes = Frame::method(1, &method::queue_purge(&context.unique("nowhere"))).encode();
    bytes.extend(Frame::method(1, &method::basic_publish("", &queue, 0)).encode());
    bytes.extend(Frame::header(1, 10, &Properties::default()).encode());
    client.peer.send(&bytes).await?;
    client.peer.expect(1, method::CHANNEL_CLOSE).await?;
    client.peer.send_frame(&Frame::body(1, "01234")).await?;
    client.peer.send_frame(&Frame::body(1, "56789")).await?;
    client.send(1, &close_ok(1)).await?;
    client.open(1).await?;
    client.put(1, &queue, "whole").await?;
    client.await_ready(1, &queue, 1).await?;
    let text = client.take(1, &queue).await?.text();
    ensure!(text == "whole", "{text:?}");
    Ok(())
}

/// Spec 2.4.
async fn settling_on_a_closed_number(context: &Context) -> Result<()> {
    let expected = context.differs("2.4", "504x expected 'channel.open'", "ok")?;
    for settle in [
        method::basic_ack(1, false),
        method::basic_nack(1, false, true),
        method::basic_reject(1, true),
    ] {
        let mut client = context.client().await?;
        client.open(2).await?;
        client.ok(1, method::channel_close()).await?;
        client.send(1, &settle).await?;
        // RabbitMQ may answer a later request before it comes to the close.
        let mut outcome = client.call(2, method::basic_qos(0, 1, false)).await?;
        for _ in 0..5 {
            if outcome.close().is_none() {
                outcome = client.call(2, method::basic_qos(0, 1, false)).await?;
            }
        }
        outcome
            .expect(expected)
            .with_context(|| format!("{settle:?}"))?;
    }
    Ok(())
}

/// Spec 2.4.
async fn settling_on_a_number_that_never_was_open(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client
        .expect(
            9,
            method::basic_ack(1, false),
            "504x expected 'channel.open'",
        )
        .await
}

/// Spec 2.5.
async fn flow_true_is_answered_and_flow_false_is_not_implemented(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let reply = client.ok(1, method::channel_flow(true)).await?;
    ensure!(reply.method.arguments == [1], "{reply:?}");
    client
        .expect(1, method::channel_flow(false), "540x active=false")
        .await
}

/// Spec 2.6. Spec 5.5.3.
async fn closing_a_channel_requeues_in_place_and_ends_consumers(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client.open(2).await?;
    let queue = context.queue("q");
    client
        .ok(
            2,
            method::queue_declare(&queue, queue_bits::DURABLE, &Table::new()),
        )
        .await?;
    for n in 0..6 {
        client.put(2, &queue, n.to_string()).await?;
    }
    client.await_ready(2, &queue, 6).await?;
    client.ok(1, method::basic_qos(0, 4, false)).await?;
    client
        .ok(1, method::basic_consume(&queue, "c", 0, &Table::new()))
        .await?;
    for _ in 0..4 {
        client.delivery(1).await?;
    }
    client.send(1, &method::basic_ack(2, false)).await?;
    client.delivery(1).await?;
    client.ok(1, method::channel_close()).await?;
    client.kept();
    client.await_ready(2, &queue, 5).await?;
    ensure!(
        client.counts(2, &queue).await? == (5, 0),
        "the consumer is still there"
    );
    for (body, redelivered) in [
        ("0", true),
        ("2", true),
        ("3", true),
        ("4", true),
        ("5", false),
    ] {
        let got = client.take(2, &queue).await?;
        ensure!(
            (got.text().as_str(), got.redelivered) == (body, redelivered),
            "{body}: {got:?}"
        );
    }
    client.put(2, &queue, "late").await?;
    client.await_ready(2, &queue, 1).await?;
    ensure!(client.kept().is_empty(), "deliveries after close-ok");
    Ok(())
}

/// Spec 2.7.
async fn access_request_gives_ticket_1_and_tickets_are_ignored(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let reply = client.ok(1, method::access_request()).await?;
    ensure!(reply.method.arguments == [0, 1], "{reply:?}");
    let mut declare = method::queue_declare("", queue_bits::EXCLUSIVE, &Table::new());
    declare.arguments[..2].copy_from_slice(&[0xAB, 0xCD]);
    client.ok(1, declare).await?;
    Ok(())
}

/// Spec 2.8.
async fn the_last_declared_queue_stands_for_an_empty_name(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (first, second) = (context.queue("first"), context.queue("second"));
    let exclusive = |name: &str| method::queue_declare(name, queue_bits::EXCLUSIVE, &Table::new());
    client.ok(1, exclusive(&first)).await?;
    client.ok(1, exclusive(&second)).await?;
    client
        .ok(
            1,
            method::queue_declare(&first, queue_bits::PASSIVE, &Table::new()),
        )
        .await?;
    client
        .ok(
            1,
            method::queue_bind("", "amq.direct", &first, &Table::new()),
        )
        .await?;
    let publish = method::basic_publish("amq.direct", &first, 0);
    client
        .publish(1, publish, &Properties::default(), "body")
        .await?;
    client.await_ready(1, &first, 1).await?;
    ensure!(client.take(1, "").await?.text() == "body", "get");
    ensure!(
        client
            .ok(1, method::queue_purge(""))
            .await?
            .method
            .arguments
            == [0; 4],
        "purge"
    );
    client
        .ok(1, method::basic_consume("", "c", 0, &Table::new()))
        .await?;
    ensure!(client.counts(1, &first).await?.1 == 1, "consume");
    client
        .ok(
            1,
            method::queue_unbind("", "amq.direct", &first, &Table::new()),
        )
        .await?;
    client.ok(1, method::queue_delete("", 0)).await?;
    client.counts(1, &second).await?;
    let passive = method::queue_declare(&first, queue_bits::PASSIVE, &Table::new());
    client
        .expect(1, passive, &format!("404c no queue '{first}' in vhost '/'"))
        .await
}

/// Spec 2.8.
async fn an_empty_key_with_an_empty_name_is_the_queues_name(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client
        .ok(
            1,
            method::queue_declare(&queue, queue_bits::EXCLUSIVE, &Table::new()),
        )
        .await?;
    client
        .ok(1, method::queue_bind("", "amq.direct", "", &Table::new()))
        .await?;
    let publish = || method::basic_publish("amq.direct", &queue, 0);
    client
        .publish(1, publish(), &Properties::default(), "body")
        .await?;
    client.await_ready(1, &queue, 1).await?;
    client
        .ok(1, method::queue_unbind("", "amq.direct", "", &Table::new()))
        .await?;
    client
        .publish(1, publish(), &Properties::default(), "lost")
        .await?;
    client.expect_ready(1, &queue, 1).await?;
    Ok(())
}

/// Spec 2.8. What another channel declared does not count.
async fn an_empty_name_without_a_declare_is_not_found(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client.open(2).await?;
    client
        .ok(
            2,
            method::queue_declare("", queue_bits::EXCLUSIVE, &Table::new()),
        )
        .await?;
    let none = Table::new();
    for nameless in [
        method::queue_bind("", "amq.direct", "key", &none),
        method::queue_unbind("", "amq.direct", "key", &none),
        method::basic_consume("", "", 0, &none),
        method::basic_get("", true),
        method::queue_purge(""),
        method::queue_delete("", 0),
    ] {
        client
            .refused(1, nameless, "404c no previously declared queue")
            .await?;
    }
    Ok(())
}

/// Spec 2.9.
async fn no_wait_suppresses_only_the_ok(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (queue, exchange) = (context.queue("q"), context.exchange("x"));
    let none = Table::new();
    let bits = exchange_bits::NO_WAIT;
    client
        .send(
            1,
            &method::exchange_declare(&exchange, "direct", bits, &none),
        )
        .await?;
    let bits = queue_bits::NO_WAIT | queue_bits::DURABLE;
    client
        .send(1, &method::queue_declare(&queue, bits, &none))
        .await?;
    let mut bind = method::queue_bind(&queue, &exchange, "key", &none);
    let bit = bind.arguments.len() - 5;
    bind.arguments[bit] = 1;
    client.send(1, &bind).await?;
    let reply = client.ok(1, method::basic_qos(0, 1, false)).await?;
    ensure!(reply.method.id == method::BASIC_QOS_OK, "{reply:?}");
    let (name, ..) = declared(
        &client
            .ok(1, method::queue_declare(&queue, 1, &none))
            .await?,
    )?;
    ensure!(name == queue, "{name}");
    let other = method::queue_declare(&queue, queue_bits::NO_WAIT | queue_bits::PASSIVE, &none);
    client.ok(1, method::queue_delete(&queue, 0)).await?;
    client
        .expect(1, other, &format!("404c no queue '{queue}' in vhost '/'"))
        .await
}

/// Spec 2.10. Spec 13.13.
async fn line_breaks_are_stripped_from_names(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let none = Table::new();
    let (queue, exchange) = (context.queue("qq"), context.exchange("xx"));
    let broken = |name: &str| format!("\r\n{}\n{}\r", &name[..4], &name[4..]);
    let (broken_queue, broken_exchange) = (broken(&queue), broken(&exchange));
    let declare = method::queue_declare(&broken_queue, queue_bits::EXCLUSIVE, &none);
    ensure!(
        declared(&client.ok(1, declare).await?)?.0 == queue,
        "declare-ok"
    );
    let declare = method::exchange_declare(&broken_exchange, "direct", 2, &none);
    client.ok(1, declare).await?;
    client
        .ok(1, method::exchange_declare(&exchange, "direct", 1, &none))
        .await?;
    client
        .ok(
            1,
            method::queue_bind(&broken_queue, &broken_exchange, "key", &none),
        )
        .await?;
    let publish = method::basic_publish(&exchange, "key", 0);
    client
        .publish(1, publish, &Properties::default(), "body")
        .await?;
    client.await_ready(1, &queue, 1).await?;
    client
        .ok(
            1,
            method::queue_unbind(&broken_queue, &broken_exchange, "key", &none),
        )
        .await?;
    client
        .ok(1, method::exchange_delete(&broken_exchange, 0))
        .await?;
    client.ok(1, method::queue_delete(&broken_queue, 0)).await?;
    let passive = method::queue_declare(&queue, queue_bits::PASSIVE, &none);
    client
        .expect(1, passive, &format!("404c no queue '{queue}' in vhost '/'"))
        .await
}

/// Spec 2.10. Spec 13.5. Spec 13.13.
async fn names_may_be_any_utf_8(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let filled = |name: String, fill: &str| {
        let mut name = name;
        while name.len() + fill.len() <= 255 {
            name.push_str(fill);
        }
        name
    };
    for fill in ["a", " ", "ü", "兎", "🐇", "\0", "\t<b>'\"%{}\\", "\u{202e}"] {
        let queue = filled(context.unique("q"), fill);
        let declare = method::queue_declare(&queue, queue_bits::EXCLUSIVE, &Table::new());
        let (name, ..) = declared(&client.ok(1, declare).await?)?;
        ensure!(name == queue, "{name:?} instead of {queue:?}");
        client.put(1, &queue, "body").await?;
        client.await_ready(1, &queue, 1).await?;
        let got = client.take(1, &queue).await?;
        ensure!(got.routing_key == queue, "{got:?}");
    }
    let too_long = Writer::new()
        .u16(0)
        .short("x".repeat(256))
        .u8(0)
        .table(&Table::new());
    let outcome = client
        .call(1, Method::new(method::QUEUE_DECLARE, too_long))
        .await?;
    outcome.expect("501x…")?;
    ensure!(
        outcome.close().map(|close| close.method) != Some(MethodId(60, 40)),
        "{outcome:?}"
    );
    Ok(())
}
