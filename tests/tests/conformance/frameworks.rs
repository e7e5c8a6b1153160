//! What frameworks build out of queues and exchanges: their declarations, replayed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::outcome::Outcome;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, exchange_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};
use tokio::time::Instant;

leveret_tests::on_both_targets![
    a_delay_ladder_of_classic_queues_delivers_when_it_should,
    a_delay_ladder_of_quorum_queues_delivers_when_it_should,
    message_types_fan_out_through_exchanges_once_to_each_endpoint,
    queues_made_for_one_delay_hand_over_and_vanish,
    a_retry_exchange_brings_failed_work_back_until_it_is_given_up,
];

const NONE: &Table = &Table(Vec::new());

/// Levels of NServiceBus's ladder: delays of up to 2^28 - 1 seconds.
const LEVELS: u32 = 28;

/// The ladder: a queue and an exchange for each level.
struct Ladder {
    names: Vec<String>,
    delivery: String,
}

impl Ladder {
    /// Declares what NServiceBus's transport declares, from the top level down.
    async fn declare(context: &Context, client: &mut Client, quorum: bool) -> Result<Self> {
        let names: Vec<String> = (0..LEVELS)
            .map(|level| context.queue_and_exchange(&format!("delay-level-{level:02}")))
            .collect();
        let delivery = context.exchange("delay-delivery");
        let ladder = Self { names, delivery };
        let mut binding = "1.#".to_owned();
        for level in (0..LEVELS as usize).rev() {
            let name = &ladder.names[level];
            let next = level.checked_sub(1).map(|next| &ladder.names[next]);
            client
                .ok(
                    1,
                    method::exchange_declare(name, "topic", exchange_bits::DURABLE, NONE),
                )
                .await?;
            let arguments = ladder_arguments(level, next.unwrap_or(&ladder.delivery), quorum);
            client
                .ok(
                    1,
                    method::queue_declare(name, queue_bits::DURABLE, &arguments),
                )
                .await?;
            client
                .ok(1, method::queue_bind(name, name, &binding, NONE))
                .await?;
            binding.insert_str(0, "*.");
        }
        binding = "0.#".to_owned();
        for level in (1..LEVELS as usize).rev() {
            let (above, below) = (&ladder.names[level], &ladder.names[level - 1]);
            client
                .ok(1, method::exchange_bind(below, above, &binding, NONE))
                .await?;
            binding.insert_str(0, "*.");
        }
        let declare =
            method::exchange_declare(&ladder.delivery, "topic", exchange_bits::DURABLE, NONE);
        client.ok(1, declare).await?;
        let last = method::exchange_bind(&ladder.delivery, &ladder.names[0], &binding, NONE);
        client.ok(1, last).await?;
        Ok(ladder)
    }

    /// Sends a message that is due after so many seconds.
    async fn send(&self, client: &mut Client, seconds: u32, address: &str) -> Result<()> {
        let level = seconds.checked_ilog2().context("no delay")?;
        let bits: Vec<_> = (0..LEVELS)
            .rev()
            .map(|bit| (seconds >> bit & 1).to_string())
            .collect();
        let key = format!("{}.{address}", bits.join("."));
        let exchange = &self.names[level as usize];
        let publish = method::basic_publish(exchange, &key, 1);
        let properties = Properties::persistent();
        client
            .publish(1, publish, &properties, format!("{seconds}"))
            .await
    }
}

fn ladder_arguments(level: usize, next: &str, quorum: bool) -> Table {
    let arguments = Table::new()
        .with("x-message-ttl", (1_i64 << level) * 1000)
        .with("x-dead-letter-exchange", next);
    if quorum {
        return arguments
            .with("x-queue-type", "quorum")
            .with("x-dead-letter-strategy", "at-least-once")
            .with("x-overflow", "reject-publish");
    }
    arguments
}

async fn play_ladder(context: &Context, quorum: bool) -> Result<()> {
    let mut client = context.client().await?;
    let ladder = Ladder::declare(context, &mut client, quorum).await?;
    // Declared once more by each endpoint that starts.
    let top = ladder.names.last().context("no level")?;
    let below = &ladder.names[LEVELS as usize - 2];
    let again = ladder_arguments(LEVELS as usize - 1, below, quorum);
    client
        .ok(1, method::queue_declare(top, queue_bits::DURABLE, &again))
        .await?;
    let endpoint = context.queue("endpoint");
    client
        .ok(
            1,
            method::queue_declare(&endpoint, queue_bits::DURABLE, NONE),
        )
        .await?;
    let address = format!("#.{endpoint}");
    client
        .ok(
            1,
            method::queue_bind(&endpoint, &ladder.delivery, &address, NONE),
        )
        .await?;
    client.ok(1, method::confirm_select()).await?;
    let begin = Instant::now();
    for seconds in [3, 1, (1 << LEVELS) - 1] {
        ladder.send(&mut client, seconds, &endpoint).await?;
    }
    client
        .ok(1, method::basic_consume(&endpoint, "", 0, NONE))
        .await?;
    for seconds in [1_u32, 3] {
        let delivery = client.delivery(1).await?;
        let early = begin.elapsed() < Duration::from_secs(seconds.into());
        ensure!(!early, "{seconds} came after {:?}", begin.elapsed());
        ensure!(delivery.text() == seconds.to_string(), "{delivery:?}");
        ensure!(delivery.exchange == ladder.delivery, "{delivery:?}");
        let headers = delivery.content.properties.headers.context("no headers")?;
        let Some(Value::Array(deaths)) = headers.value("x-death") else {
            anyhow::bail!("no deaths: {headers:?}");
        };
        ensure!(deaths.len() == seconds.count_ones() as usize, "{deaths:?}");
        client
            .send(1, &method::basic_ack(delivery.tag, false))
            .await?;
    }
    client.await_ready(1, top, 1).await?;
    let returned = client.kept();
    ensure!(
        returned
            .iter()
            .all(|kept| kept.method.id == method::BASIC_ACK),
        "{returned:?}"
    );
    client.close().await
}

/// Spec 7.1.1. Spec 7.1.2. Spec 7.2.2. Spec 7.2.4. Spec 3.5.1. Spec 3.4.8.
async fn a_delay_ladder_of_classic_queues_delivers_when_it_should(context: &Context) -> Result<()> {
    play_ladder(context, false).await
}

/// Spec 4.4.2. Spec 7.1.1. Spec 7.2.2. Spec 7.2.4.
async fn a_delay_ladder_of_quorum_queues_delivers_when_it_should(context: &Context) -> Result<()> {
    play_ladder(context, true).await
}

const TYPES: usize = 24;
const INTERFACES: usize = 4;
const ENDPOINTS: usize = 6;

fn fanout(name: &str) -> method::Method {
    method::exchange_declare(name, "fanout", exchange_bits::DURABLE, NONE)
}

/// Exchanges of interfaces and of message types.
async fn declare_types(
    context: &Context,
    client: &mut Client,
) -> Result<(Vec<String>, Vec<String>)> {
    let mut interfaces = Vec::new();
    for number in 0..INTERFACES {
        let name = context.exchange(&format!("Contracts:IEvent{number}"));
        client.ok(1, fanout(&name)).await?;
        interfaces.push(name);
    }
    // Interfaces extend one another, so that some are reached on several ways.
    for pair in interfaces.windows(2) {
        client
            .ok(1, method::exchange_bind(&pair[1], &pair[0], "", NONE))
            .await?;
    }
    let mut types = Vec::new();
    for number in 0..TYPES {
        let name = context.exchange(&format!("Contracts:Event{number}"));
        client.ok(1, fanout(&name)).await?;
        for interface in &interfaces[number % INTERFACES..] {
            client
                .ok(1, method::exchange_bind(interface, &name, "", NONE))
                .await?;
        }
        types.push(name);
    }
    Ok((interfaces, types))
}

/// Exchanges and queues of endpoints; the queues' names.
async fn declare_endpoints(
    context: &Context,
    client: &mut Client,
    interfaces: &[String],
    types: &[String],
) -> Result<Vec<String>> {
    let mut endpoints = Vec::new();
    for number in 0..ENDPOINTS {
        let name = context.queue(&format!("endpoint{number}"));
        let exchange = context.exchange(&format!("endpoint-exchange{number}"));
        for queue in [
            name.clone(),
            format!("{name}_error"),
            format!("{name}_skipped"),
        ] {
            let declare = method::queue_declare(&queue, queue_bits::DURABLE, NONE);
            client.ok(1, declare).await?;
        }
        client.ok(1, fanout(&exchange)).await?;
        client
            .ok(1, method::queue_bind(&name, &exchange, "", NONE))
            .await?;
        // Each endpoint takes one interface, and some types by themselves.
        let taken = types.iter().skip(number).step_by(ENDPOINTS);
        for source in taken.chain([&interfaces[number % INTERFACES]]) {
            client
                .ok(1, method::exchange_bind(&exchange, source, "", NONE))
                .await?;
        }
        endpoints.push(name);
    }
    Ok(endpoints)
}

/// MassTransit's topology: an exchange for each message type, bound to those of its interfaces; an exchange for
/// each endpoint, bound to what it takes, with its queue behind it.
///
/// Spec 3.4.8. Spec 3.4.1.
async fn message_types_fan_out_through_exchanges_once_to_each_endpoint(
    context: &Context,
) -> Result<()> {
    let mut client = context.client().await?;
    let (interfaces, types) = declare_types(context, &mut client).await?;
    let endpoints = declare_endpoints(context, &mut client, &interfaces, &types).await?;
    client.ok(1, method::confirm_select()).await?;
    for (number, name) in types.iter().enumerate() {
        let publish = method::basic_publish(name, "", 1);
        let properties = Properties::persistent();
        client
            .publish(1, publish, &properties, number.to_string())
            .await?;
    }
    for (endpoint, name) in endpoints.iter().enumerate() {
        let takes = |number: &usize| {
            number % ENDPOINTS == endpoint || number % INTERFACES <= endpoint % INTERFACES
        };
        let expected: Vec<_> = (0..TYPES).filter(takes).map(|n| n.to_string()).collect();
        client.expect_ready(1, name, expected.len() as u32).await?;
        let taken = client.take_all(1, name).await?;
        ensure!(
            taken == expected,
            "{name} got {taken:?} instead of {expected:?}"
        );
    }
    for name in &endpoints {
        for queue in [format!("{name}_error"), format!("{name}_skipped")] {
            client.ok(1, method::queue_delete(&queue, 0)).await?;
        }
    }
    Ok(())
}

/// Symfony's Messenger and Laravel's driver: a queue for each delay, made when it is needed, that dies some time
/// after its last message.
///
/// Spec 4.2.4. Spec 7.1.1. Spec 7.2.2. Spec 7.2.8.
async fn queues_made_for_one_delay_hand_over_and_vanish(context: &Context) -> Result<()> {
    const DELAYS: [i64; 4] = [40, 80, 120, 160];
    let mut client = context.client().await?;
    let (messages, target) = (context.exchange("messages"), context.queue("messages"));
    let delays = context.exchange("delays");
    let durable = queue_bits::DURABLE;
    for (exchange, kind) in [(&messages, "fanout"), (&delays, "direct")] {
        client
            .ok(
                1,
                method::exchange_declare(exchange, kind, exchange_bits::DURABLE, NONE),
            )
            .await?;
    }
    client
        .ok(1, method::queue_declare(&target, durable, NONE))
        .await?;
    client
        .ok(1, method::queue_bind(&target, &messages, "", NONE))
        .await?;
    let mut queues = BTreeMap::new();
    for (number, delay) in DELAYS.iter().rev().chain(&DELAYS).enumerate() {
        let name = queues
            .entry(*delay)
            .or_insert_with(|| context.queue(&format!("delay_messages__{delay}")));
        let arguments = Table::new()
            .with("x-message-ttl", *delay)
            .with("x-expires", *delay + 10_000)
            .with("x-dead-letter-exchange", &messages)
            .with("x-dead-letter-routing-key", "");
        client
            .ok(1, method::queue_declare(name, durable, &arguments))
            .await?;
        client
            .ok(1, method::queue_bind(name, &delays, name, NONE))
            .await?;
        let publish = method::basic_publish(&delays, name, 1);
        let properties = Properties::persistent();
        client
            .publish(1, publish, &properties, number.to_string())
            .await?;
    }
    client
        .expect_ready(1, &target, 2 * DELAYS.len() as u32)
        .await?;
    for _ in 0..2 * DELAYS.len() {
        let message = client.take(1, &target).await?;
        ensure!(
            (message.exchange.as_str(), message.routing_key.as_str()) == (messages.as_str(), ""),
            "{message:?}"
        );
    }
    // Laravel's die after twice the delay.
    let brief = context.queue("delay.60");
    let arguments = Table::new()
        .with("x-message-ttl", 60_i64)
        .with("x-expires", 120_i64)
        .with("x-dead-letter-exchange", "")
        .with("x-dead-letter-routing-key", &target);
    client
        .ok(1, method::queue_declare(&brief, durable, &arguments))
        .await?;
    client.put(1, &brief, "brief").await?;
    client.await_ready(1, &target, 1).await?;
    until_gone(&mut client, &brief).await
}

/// Waits longer and longer, since each look at a queue lengthens its life.
async fn until_gone(client: &mut Client, queue: &str) -> Result<()> {
    for tenths in 2..40 {
        tokio::time::sleep(Duration::from_millis(100 * tenths)).await;
        let declare = method::queue_declare(queue, queue_bits::PASSIVE, NONE);
        if let Outcome::ChannelClosed(close) = client.call(1, declare).await? {
            ensure!(close.code == 404, "{close:?}");
            return client.open(1).await;
        }
    }
    anyhow::bail!("{queue} never goes")
}

/// Sneakers' handler: a rejected message goes to a retry queue, and from there back after a while; how often it
/// failed is read from its deaths.
///
/// Spec 7.2.1. Spec 7.2.4. Spec 7.2.5. Spec 7.2.7.
async fn a_retry_exchange_brings_failed_work_back_until_it_is_given_up(
    context: &Context,
) -> Result<()> {
    const RETRIES: i64 = 3;
    let mut client = context.client().await?;
    let work = context.queue("work");
    let (retry, error) = (context.queue("work-retry"), context.queue("work-error"));
    let (to_retry, requeue) = (context.exchange("to-retry"), context.exchange("requeue"));
    for exchange in [&to_retry, &requeue] {
        let declare = method::exchange_declare(exchange, "topic", exchange_bits::DURABLE, NONE);
        client.ok(1, declare).await?;
    }
    let durable = queue_bits::DURABLE;
    let arguments = one("x-dead-letter-exchange", &to_retry);
    client
        .ok(1, method::queue_declare(&work, durable, &arguments))
        .await?;
    let arguments = one("x-dead-letter-exchange", &requeue).with("x-message-ttl", 50_i64);
    client
        .ok(1, method::queue_declare(&retry, durable, &arguments))
        .await?;
    client
        .ok(1, method::queue_declare(&error, durable, NONE))
        .await?;
    for (queue, exchange) in [(&retry, &to_retry), (&work, &requeue)] {
        client
            .ok(1, method::queue_bind(queue, exchange, "#", NONE))
            .await?;
    }
    client
        .ok(1, method::basic_consume(&work, "", 0, NONE))
        .await?;
    client.put(1, &work, "task").await?;
    for failures in 0..=RETRIES {
        let delivery = client.delivery(1).await?;
        let headers = delivery
            .content
            .properties
            .headers
            .clone()
            .unwrap_or_default();
        let counted = failures_in(&headers, &work);
        ensure!(
            counted == failures,
            "{counted} instead of {failures}: {headers:?}"
        );
        if failures < RETRIES {
            client
                .send(1, &method::basic_reject(delivery.tag, false))
                .await?;
        } else {
            client.put(1, &error, "task").await?;
            client
                .send(1, &method::basic_ack(delivery.tag, false))
                .await?;
        }
    }
    client.await_ready(1, &error, 1).await?;
    client.expect_ready(1, &work, 0).await?;
    client.expect_ready(1, &retry, 0).await
}

/// How often the message was rejected in `queue`, as the deaths say.
fn failures_in(headers: &Table, queue: &str) -> i64 {
    let Some(Value::Array(deaths)) = headers.value("x-death") else {
        return 0;
    };
    let counts = deaths.iter().filter_map(|death| match death {
        Value::Table(death)
            if death.value("queue") == Some(&Value::text(queue))
                && death.value("reason") == Some(&Value::text("rejected")) =>
        {
            death.value("count")?.integer()
        }
        _ => None,
    });
    counts.sum()
}
