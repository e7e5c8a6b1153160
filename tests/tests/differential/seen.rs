//! What one step brought, in words that two brokers can be compared by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use leveret_tests::client::{Delivery, Received, declared};
use leveret_tests::raw::content::{Content, Properties};
use leveret_tests::raw::method;
use leveret_tests::raw::value::{Table, Value};

use crate::script::Slot;

/// A timestamp of the broker's own is this near to now.
const NOW: Duration = Duration::from_secs(3600);

/// Everything that a step brought on one broker.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// The answer to the step itself.
    pub(crate) reply: String,
    /// A channel or connection was closed for it.
    pub(crate) is_closed: bool,
    /// What came unasked: for each consumer its deliveries in their order, and so on. Nothing is promised
    /// about the order between two streams.
    pub(crate) streams: BTreeMap<String, Vec<String>>,
    /// Publishes that were answered, by channel.
    pub(crate) confirms: BTreeMap<Slot, Confirms>,
    /// Each queue's counts.
    pub(crate) queues: BTreeMap<String, String>,
}

/// Numbers of publishes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Confirms {
    pub(crate) acked: BTreeSet<u64>,
    pub(crate) nacked: BTreeSet<u64>,
}

impl Seen {
    /// One line for each fact.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.reply.is_empty() {
            lines.push(format!("reply: {}", self.reply));
        }
        for (stream, events) in &self.streams {
            lines.extend(events.iter().map(|event| format!("{stream}: {event}")));
        }
        for (slot, Confirms { acked, nacked }) in &self.confirms {
            if !acked.is_empty() {
                lines.push(format!("{slot} acked: {acked:?}"));
            }
            if !nacked.is_empty() {
                lines.push(format!("{slot} nacked: {nacked:?}"));
            }
        }
        let counts = self.queues.iter();
        lines.extend(counts.map(|(queue, counts)| format!("{queue}: {counts}")));
        lines
    }

    /// Adds what came unasked.
    pub(crate) fn event(&mut self, stream: String, event: String) {
        self.streams.entry(stream).or_default().push(event);
    }
}

/// The answer to a synchronous method.
pub(crate) fn reply(received: &Received) -> Result<String> {
    let id = received.method.id;
    let mut reader = received.method.reader();
    Ok(match id {
        method::QUEUE_DECLARE_OK => {
            let (name, messages, consumers) = declared(received)?;
            format!("declared {name}, {messages} ready, {consumers} consumers")
        }
        method::QUEUE_DELETE_OK | method::QUEUE_PURGE_OK => format!("{id:?} {}", reader.u32()?),
        method::BASIC_CONSUME_OK | method::BASIC_CANCEL_OK => format!("{id:?} {}", reader.short()?),
        method::BASIC_GET_OK => {
            let delivery = Delivery::read(received)?;
            format!("got {}, {} left", message(&delivery), delivery.left)
        }
        _ => format!("{id:?}"),
    })
}

/// A delivered message.
pub(crate) fn message(delivery: &Delivery) -> String {
    // RabbitMQ also says so of a dead letter that was rejected elsewhere (line 7.2.8 of the differences).
    let headers = delivery.content.properties.headers.as_ref();
    let is_dead_letter = headers.is_some_and(|headers| headers.value("x-death").is_some());
    let again = if delivery.redelivered && !is_dead_letter {
        " again"
    } else {
        ""
    };
    format!(
        "{}{again} from '{}' by '{}'",
        content(&delivery.content),
        delivery.exchange,
        delivery.routing_key,
    )
}

/// basic.return.
pub(crate) fn returned(received: &Received) -> Result<String> {
    let mut reader = received.method.reader();
    let (code, text, exchange, key) = (
        reader.u16()?,
        reader.short()?,
        reader.short()?,
        reader.short()?,
    );
    let Some(returned) = &received.content else {
        bail!("a return without content");
    };
    Ok(format!(
        "{code} {text} {} from '{exchange}' by '{key}'",
        content(returned)
    ))
}

fn content(content: &Content) -> String {
    let body = String::from_utf8_lossy(&content.body);
    let (number, dots) = body.split_at(body.find('.').unwrap_or(body.len()));
    let padding = match dots.len() {
        0 => String::new(),
        dots => format!("+{dots}"),
    };
    format!("{number}{padding}{}", properties(&content.properties))
}

fn properties(properties: &Properties) -> String {
    let mut text = String::new();
    let mut show = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            write!(text, " {name}={value}").expect("a string takes it");
        }
    };
    show("headers", properties.headers.clone().map(table));
    let number = |number: Option<u8>| number.map(|number| number.to_string());
    show("mode", number(properties.delivery_mode));
    show("priority", number(properties.priority));
    show("expiration", properties.expiration.clone());
    show("user", properties.user_id.clone());
    show("id", properties.message_id.clone());
    show("time", properties.timestamp.map(|time| time.to_string()));
    for (name, value) in [
        ("content-type", &properties.content_type),
        ("content-encoding", &properties.content_encoding),
        ("correlation-id", &properties.correlation_id),
        ("reply-to", &properties.reply_to),
        ("type", &properties.kind),
        ("app-id", &properties.app_id),
        ("cluster-id", &properties.cluster_id),
    ] {
        show(name, value.clone());
    }
    text
}

/// By key: nobody promises the order of headers.
fn table(table: Table) -> String {
    let entries = table.sorted().0.into_iter();
    let entries: Vec<_> = entries
        .map(|(key, field)| format!("{key}: {}", value(field)))
        .collect();
    format!("{{{}}}", entries.join(", "))
}

fn value(field: Value) -> String {
    match field {
        Value::Text(text) => format!("'{}'", String::from_utf8_lossy(&text)),
        Value::Timestamp(seconds) if is_now(seconds) => "now".to_owned(),
        Value::Table(inner) => table(inner),
        Value::Array(items) => {
            let items: Vec<_> = items.into_iter().map(value).collect();
            format!("[{}]", items.join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn is_now(seconds: u64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    now.abs_diff(seconds) < NOW.as_secs()
}
