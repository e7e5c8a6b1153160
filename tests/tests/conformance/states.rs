//! Every method in every state of a connection: the legal ones pass, all others end in the right
//! error or the end of the connection, and never in silence that lasts.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use leveret_tests::Context;
use leveret_tests::client::{Client, Options, plain};
use leveret_tests::outcome::{Close, Outcome, text_matches};
use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::method::{self, METHODS, Method, MethodId, Sender};
use leveret_tests::raw::value::Table;
use leveret_tests::raw::{Frame, PROTOCOL_HEADER, Peer};

leveret_tests::on_both_targets![
    before_the_header_a_method_is_answered_with_a_header,
    in_the_handshake_only_the_next_step_is_legal,
    every_method_on_channel_0_of_an_open_connection,
    every_method_on_a_channel_that_is_not_open,
    every_method_on_an_open_channel,
    every_method_while_the_channel_is_closing,
    every_method_while_the_connection_is_closing,
];

const NOT_OPEN: &str = "504x expected 'channel.open'";
const SECOND_OPEN: &str = "504x second 'channel.open' seen";
const SERVERS_OWN: &str = "503x unimplemented method";
/// For a method with content: the probe that follows is no header.
const NO_HEADER: &str =
    "505x expected content header for class 60, got non content header frame instead";

fn carries_content(id: MethodId) -> bool {
    [
        method::BASIC_PUBLISH,
        method::BASIC_RETURN,
        method::BASIC_DELIVER,
        method::BASIC_GET_OK,
    ]
    .contains(&id)
}

/// A method with well-formed arguments; names in them name nothing that exists.
fn sample(id: MethodId) -> Method {
    let table = Table::new();
    match id {
        method::EXCHANGE_DECLARE => method::exchange_declare("amq.direct", "direct", 2, &table),
        method::EXCHANGE_BIND | method::EXCHANGE_UNBIND => Method {
            id,
            ..method::exchange_bind("no-exchange", "amq.direct", "", &table)
        },
        method::QUEUE_DECLARE => method::queue_declare("", 4, &table),
        method::QUEUE_BIND => method::queue_bind("no-queue", "amq.direct", "", &table),
        method::QUEUE_UNBIND => method::queue_unbind("no-queue", "amq.direct", "", &table),
        method::BASIC_CONSUME => method::basic_consume("no-queue", "", 0, &table),
        method::CONNECTION_START_OK => method::start_ok(&table, "PLAIN", &plain("guest", "guest")),
        _ => Method::new(id, sample_arguments(id)),
    }
}

fn sample_arguments(id: MethodId) -> Writer {
    let writer = Writer::new();
    match id {
        method::CONNECTION_START => writer
            .u8(0)
            .u8(9)
            .table(&Table::new())
            .long("PLAIN")
            .long("en_US"),
        method::CONNECTION_TUNE | method::CONNECTION_TUNE_OK => {
            writer.u16(2047).u32(131_072).u16(0)
        }
        method::CONNECTION_OPEN => writer.short("/").short("").u8(0),
        method::CONNECTION_CLOSE | method::CHANNEL_CLOSE => writer.u16(200).short("").u32(0),
        method::CONNECTION_UPDATE_SECRET => writer.long("secret").short("reason"),
        method::CONNECTION_SECURE | method::CONNECTION_SECURE_OK | method::CHANNEL_OPEN_OK => {
            writer.long("")
        }
        method::CONNECTION_OPEN_OK
        | method::CONNECTION_BLOCKED
        | method::CHANNEL_OPEN
        | method::BASIC_GET_EMPTY => writer.short(""),
        method::CHANNEL_FLOW
        | method::CHANNEL_FLOW_OK
        | method::BASIC_RECOVER
        | method::BASIC_RECOVER_ASYNC => writer.u8(1),
        method::CONFIRM_SELECT => writer.u8(0),
        method::ACCESS_REQUEST => writer.short("/data").u8(0),
        method::ACCESS_REQUEST_OK => writer.u16(1),
        method::EXCHANGE_DELETE => writer.u16(0).short("no-exchange").u8(0),
        method::QUEUE_DECLARE_OK => writer.short("q").u32(0).u32(0),
        method::QUEUE_PURGE | method::QUEUE_DELETE | method::BASIC_GET => {
            writer.u16(0).short("no-queue").u8(0)
        }
        method::QUEUE_PURGE_OK | method::QUEUE_DELETE_OK => writer.u32(0),
        method::BASIC_QOS => writer.u32(0).u16(1).u8(0),
        method::BASIC_CANCEL => writer.short("no-consumer").u8(0),
        method::BASIC_CONSUME_OK | method::BASIC_CANCEL_OK => writer.short("no-consumer"),
        method::BASIC_PUBLISH => writer.u16(0).short("").short("no-queue").u8(0),
        method::BASIC_RETURN => writer.u16(312).short("NO_ROUTE").short("").short(""),
        method::BASIC_DELIVER => writer.short("c").u64(1).u8(0).short("").short(""),
        method::BASIC_GET_OK => writer.u64(1).u8(0).short("").short("").u32(0),
        method::BASIC_ACK | method::BASIC_REJECT | method::BASIC_NACK => writer.u64(1).u8(0),
        _ => writer,
    }
}

/// All cases at once, some at a time; the mismatches in one error.
async fn check_all<C, R>(cases: Vec<(C, String)>, run: impl Fn(C) -> R) -> Result<()>
where
    C: Clone + std::fmt::Debug + Ord,
    R: Future<Output = Result<String>>,
{
    let run = &run;
    let outcomes: BTreeMap<C, String> = futures_util::stream::iter(cases.clone())
        .map(|(case, _)| async move {
            let outcome = run(case.clone())
                .await
                .unwrap_or_else(|error| format!("{error:#}"));
            (case, outcome)
        })
        .buffer_unordered(96)
        .collect()
        .await;
    let wrong: Vec<_> = cases
        .iter()
        .filter(|(case, expected)| {
            !expected
                .split(" || ")
                .any(|pattern| text_matches(pattern, &outcomes[case]))
        })
        .map(|(case, expected)| format!("{case:?}: {:?} instead of {expected:?}", outcomes[case]))
        .collect();
    ensure!(
        wrong.is_empty(),
        "{} of {} wrong\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// Spec 13.10. Spec 1.1.2.
async fn before_the_header_a_method_is_answered_with_a_header(context: &Context) -> Result<()> {
    let cases = METHODS
        .iter()
        .map(|method| (method.id, "header".to_owned()))
        .collect();
    check_all(cases, async |id| {
        let mut peer = context.peer().await?;
        peer.send(&Frame::method(0, &sample(id)).encode()).await?;
        let answer = peer.bytes(8).await?.context("no answer")?;
        ensure!(answer.starts_with(b"AMQP"), "{answer:?}");
        peer.expect_end().await?;
        Ok("header".to_owned())
    })
    .await?;
    context.still_serves().await
}

/// The steps of the handshake, after each of which only one method is legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Started,
    Tuned,
    Opening,
}

async fn at_step(context: &Context, step: Step) -> Result<Peer> {
    let mut peer = context.peer().await?;
    peer.send(PROTOCOL_HEADER).await?;
    peer.expect(0, method::CONNECTION_START).await?;
    if step >= Step::Tuned {
        let response = plain(&context.address.user, &context.address.password);
        peer.send_method(0, &method::start_ok(&Table::new(), "PLAIN", &response))
            .await?;
        peer.expect(0, method::CONNECTION_TUNE).await?;
    }
    if step == Step::Opening {
        peer.send_method(0, &method::tune_ok(2047, 131_072, 0))
            .await?;
    }
    Ok(peer)
}

/// What a server says to a method, up to the end of the connection.
async fn last_words(peer: &mut Peer) -> Result<String> {
    match peer.method().await? {
        None => Ok("drop".to_owned()),
        Some((0, close)) if close.id == method::CONNECTION_CLOSE => {
            let outcome = Outcome::ConnectionClosed(Close::read(&close.arguments)?);
            let ok = Frame::method(0, &Method::empty(method::CONNECTION_CLOSE_OK));
            peer.send_or_hang_up(&ok.encode()).await;
            peer.drain().await?;
            Ok(outcome.notation())
        }
        Some((channel, other)) => Ok(format!("{channel} {:?}", other.id)),
    }
}

/// Spec 13.10. Spec 1.2.6. Spec 1.3.5.
async fn in_the_handshake_only_the_next_step_is_legal(context: &Context) -> Result<()> {
    let mut cases = Vec::new();
    for (step, next, answer) in [
        (
            Step::Started,
            method::CONNECTION_START_OK,
            "0 connection.tune",
        ),
        (Step::Tuned, method::CONNECTION_TUNE_OK, "drop"),
        (
            Step::Opening,
            method::CONNECTION_OPEN,
            "0 connection.open-ok",
        ),
    ] {
        for id in METHODS.iter().map(|method| method.id) {
            for channel in [0, 1] {
                if id == next && step == Step::Tuned && channel == 0 {
                    continue;
                }
                let legal = id == next && channel == 0;
                let illegal = "drop || 50…x … || 540x…";
                let expected = if legal { answer } else { illegal };
                cases.push(((step, channel, id), expected.to_owned()));
            }
        }
    }
    check_all(cases, async |(step, channel, id)| {
        let mut peer = at_step(context, step).await?;
        peer.send_or_hang_up(&Frame::method(channel, &sample(id)).encode())
            .await;
        last_words(&mut peer).await
    })
    .await?;
    context.still_serves().await
}

/// Sends a method; what is said to it before `probe` on `probe_channel` is answered.
async fn said_before(
    client: &mut Client,
    channel: u16,
    method: &Method,
    probe_channel: u16,
    probe: Method,
) -> Result<String> {
    client
        .peer
        .send_or_hang_up(&Frame::method(channel, method).encode())
        .await;
    let probe_reply = MethodId(probe.id.0, probe.id.1 + 1);
    client
        .peer
        .send_or_hang_up(&Frame::method(probe_channel, &probe).encode())
        .await;
    let Some(first) = client.next_or_end().await? else {
        return Ok("drop".to_owned());
    };
    let answers_probe = first.channel == probe_channel && first.method.id == probe_reply;
    Ok(match first.method.id {
        method::CONNECTION_CLOSE => {
            Outcome::ConnectionClosed(Close::read(&first.method.arguments)?).notation()
        }
        method::CHANNEL_CLOSE => {
            Outcome::ChannelClosed(Close::read(&first.method.arguments)?).notation()
        }
        _ if answers_probe && method.id != probe.id => "silence".to_owned(),
        other => format!("{other:?}"),
    })
}

/// Spec 13.10. Spec 0.2. Spec 1.2.6.
async fn every_method_on_channel_0_of_an_open_connection(context: &Context) -> Result<()> {
    let cases = METHODS.iter().map(|method| {
        let expected = match method.id {
            method::CONNECTION_CLOSE => "connection.close-ok",
            method::CONNECTION_UPDATE_SECRET => "connection.update-secret-ok",
            _ => "504x unexpected method in connection state running",
        };
        (method.id, expected.to_owned())
    });
    check_all(cases.collect(), async |id| {
        let mut client = context.client().await?;
        said_before(&mut client, 0, &sample(id), 7, method::channel_open()).await
    })
    .await?;
    context.still_serves().await
}

/// Spec 13.10. Spec 2.1.
async fn every_method_on_a_channel_that_is_not_open(context: &Context) -> Result<()> {
    let cases = METHODS.iter().map(|method| {
        let expected = match method.id {
            method::CHANNEL_OPEN => "channel.open-ok",
            id if carries_content(id) => &format!("{NO_HEADER} || {NOT_OPEN}"),
            _ => NOT_OPEN,
        };
        (method.id, expected.to_owned())
    });
    check_all(cases.collect(), async |id| {
        let mut client = context.client().await?;
        said_before(
            &mut client,
            5,
            &sample(id),
            5,
            method::basic_qos(0, 1, false),
        )
        .await
    })
    .await?;
    context.still_serves().await
}

/// Spec 13.10. Spec 1.6.8. Spec 0.5.
async fn every_method_on_an_open_channel(context: &Context) -> Result<()> {
    let cancel_ok = context.differs("5.3.8", "541x…", "silence")?;
    let cases = METHODS.iter().map(|method| {
        let expected = match method.id {
            method::CHANNEL_OPEN => SECOND_OPEN.to_owned(),
            method::BASIC_CANCEL_OK => cancel_ok.to_owned(),
            method::BASIC_RECOVER_ASYNC => "silence".to_owned(),
            method::BASIC_PUBLISH => NO_HEADER.to_owned(),
            id if carries_content(id) => format!("{NO_HEADER} || {SERVERS_OWN}"),
            method::EXCHANGE_BIND => "404c no exchange 'no-exchange' in vhost '/'".to_owned(),
            method::QUEUE_BIND
            | method::QUEUE_PURGE
            | method::BASIC_CONSUME
            | method::BASIC_GET => "404c no queue 'no-queue' in vhost '/'".to_owned(),
            method::BASIC_ACK | method::BASIC_REJECT | method::BASIC_NACK => {
                "406c unknown delivery tag 1".to_owned()
            }
            method::TX_COMMIT | method::TX_ROLLBACK => {
                "406c channel is not transactional".to_owned()
            }
            id if id.0 == 10 || method.sender == Sender::Server => SERVERS_OWN.to_owned(),
            method::CHANNEL_FLOW_OK => SERVERS_OWN.to_owned(),
            // RabbitMQ's connection forgets the channel even while the channel itself objects.
            method::CHANNEL_CLOSE_OK => format!("{SERVERS_OWN} || {NOT_OPEN}"),
            _ => format!("{}-ok", method.name),
        };
        (method.id, expected)
    });
    check_all(cases.collect(), async |id| {
        let mut client = context.client().await?;
        said_before(
            &mut client,
            1,
            &sample(id),
            1,
            method::basic_qos(0, 1, false),
        )
        .await
    })
    .await?;
    context.still_serves().await
}

/// Spec 13.10. Spec 2.3.
async fn every_method_while_the_channel_is_closing(context: &Context) -> Result<()> {
    let cases = METHODS.iter().map(|method| {
        let expected = match method.id {
            method::CHANNEL_OPEN => SECOND_OPEN,
            method::CHANNEL_CLOSE => "channel.close-ok",
            // The probe comes too late then.
            method::CHANNEL_CLOSE_OK => NOT_OPEN,
            id if carries_content(id) => &format!("{NO_HEADER} || silence"),
            _ => "silence",
        };
        (method.id, expected.to_owned())
    });
    check_all(cases.collect(), async |id| {
        let mut client = context.client().await?;
        client.send(1, &method::queue_purge("no-queue")).await?;
        client.peer.expect(1, method::CHANNEL_CLOSE).await?;
        said_before(&mut client, 1, &sample(id), 1, method::channel_close()).await
    })
    .await?;
    context.still_serves().await
}

/// Spec 13.10. Spec 1.8.2.
async fn every_method_while_the_connection_is_closing(context: &Context) -> Result<()> {
    let cases = METHODS.iter().flat_map(|method| {
        [0, 1, 2].map(|channel| {
            let expected = match method.id {
                method::CONNECTION_CLOSE => "connection.close-ok",
                method::CONNECTION_CLOSE_OK if channel == 0 => "silence || drop",
                _ => "silence",
            };
            ((channel, method.id), expected.to_owned())
        })
    });
    check_all(cases.collect(), async |(channel, id)| {
        let mut client = Client::connect(&context.address, &Options::default()).await?;
        client.open(1).await?;
        client.send(1, &method::channel_open()).await?;
        client.peer.expect(0, method::CONNECTION_CLOSE).await?;
        said_before(
            &mut client,
            channel,
            &sample(id),
            0,
            method::connection_close(),
        )
        .await
    })
    .await?;
    context.still_serves().await
}
