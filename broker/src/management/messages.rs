//! Messages that are taken out of a queue, or looked at (spec 10.2).
//!
//! `get` takes messages out and settles them as it is told; RabbitMQ's own way of looking, it leaves
//! its marks: order, redelivered flags and counts change. `/api/leveret/queues/…/messages` shows
//! them and changes nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::queues::NO_CONNECTION;
use super::request::{Host, JsonBody, Query, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Refusal, Shared, table};
use crate::engine::{Engine, Event, PeekFailure, Queue, Shown};
use crate::model::{Attempts, Message, QueueName, Resource, Seq, Settlement, Verb};
use crate::wire::{Properties, Property};

/// What a message costs in an answer beside its payload, in bytes.
const MESSAGE_BYTES: usize = 512;

/// Messages of one look, where the query does not say.
const PEEK_COUNT: usize = 10;

/// Messages of one look at most.
const PEEK_COUNT_MAX: usize = 1_000;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .at(
            "/api/queues/{vhost}/{queue}/get",
            Methods::new().post(Gate::Management, get),
        )
        .at(
            "/api/leveret/queues/{vhost}/{queue}/messages",
            Methods::new().get(Gate::Management, peek),
        )
}

/// How payloads are shown.
#[derive(Clone, Copy, Debug)]
struct Shape {
    always_base64: bool,
    /// Bytes of a payload.
    truncate: usize,
}

impl Shape {
    fn new(encoding: &str, truncate: Option<i64>) -> Result<Self, Refusal> {
        let always_base64 = match encoding {
            "auto" => false,
            "base64" => true,
            _ => {
                let reason = "Unsupported encoding. Please use auto or base64.";
                return Err(Refusal::bad_request(reason));
            }
        };
        let truncate = truncate.and_then(|bytes| usize::try_from(bytes).ok());
        Ok(Self {
            always_base64,
            truncate: truncate.unwrap_or(usize::MAX),
        })
    }

    /// What a message takes in an answer, in bytes, more or less.
    fn cost(self, message: &Message) -> usize {
        let header = message.encoded().len() - message.body().len();
        MESSAGE_BYTES + header + message.body().len().min(self.truncate)
    }

    fn show(self, message: &Message, redelivered: bool) -> Map<String, Value> {
        let body = message.body();
        let payload = &body[..body.len().min(self.truncate)];
        let (payload, encoding) = match str::from_utf8(payload) {
            Ok(text) if !self.always_base64 => (text.to_owned(), "string"),
            _ => (STANDARD.encode(payload), "base64"),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shown = json!({
            "payload_bytes": body.len(),
            "redelivered": redelivered,
            "exchange": text(message.exchange()),
            "routing_key": text(message.routing_key()),
            "properties": properties(message),
            "payload": payload,
            "payload_encoding": encoding,
        });
        match shown {
            Value::Object(shown) => shown,
            _ => Map::new(),
        }
    }
}

/// A message's properties. Where there are none RabbitMQ has an empty list, and so do we.
fn properties(message: &Message) -> Value {
    let header = message.header_for(Attempts::default());
    let properties = Properties::new(header.get(12..).unwrap_or_default());
    let mut shown = Map::new();
    for property in Property::ALL {
        if !properties.contains(property) {
            continue;
        }
        let value: Option<Value> = match property {
            Property::Headers => properties.headers().map(table::to_json),
            Property::DeliveryMode => properties.delivery_mode().map(Value::from),
            Property::Priority => properties.priority().map(Value::from),
            Property::Timestamp => properties.timestamp().map(Value::from),
            Property::ContentType
            | Property::ContentEncoding
            | Property::CorrelationId
            | Property::ReplyTo
            | Property::Expiration
            | Property::MessageId
            | Property::Type
            | Property::UserId
            | Property::AppId
            | Property::ClusterId => properties
                .get(property)
                .map(|text| String::from_utf8_lossy(text).into_owned().into()),
        };
        let name = property.name().replace('-', "_");
        shown.extend(value.map(|value| (name, value)));
    }
    if shown.is_empty() {
        json!([])
    } else {
        Value::Object(shown)
    }
}

/// Messages that were taken out and are not settled yet. Whatever becomes of the request, they go
/// back.
struct Held {
    engine: Arc<Engine>,
    queue: Arc<Queue>,
    seqs: Vec<Seq>,
}

impl Held {
    fn settle(mut self, settlement: Settlement) {
        let seqs = std::mem::take(&mut self.seqs);
        self.queue.settle(&self.engine, &seqs, settlement);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.seqs.is_empty() {
            let seqs = std::mem::take(&mut self.seqs);
            self.queue.settle(&self.engine, &seqs, Settlement::Requeue);
        }
    }
}

fn settlement(mode: &str) -> Result<Settlement, Refusal> {
    match mode {
        "ack_requeue_false" => Ok(Settlement::Acknowledge),
        "reject_requeue_false" => Ok(Settlement::Discard),
        "ack_requeue_true" | "reject_requeue_true" => Ok(Settlement::Requeue),
        _ => Err(Refusal::bad_request(format!(
            "Invalid ackmode value: {mode}. Valid values are: ack_requeue_true, \
             ack_requeue_false, reject_requeue_true, reject_requeue_false"
        ))),
    }
}

async fn get(
    State(management): Shared,
    caller: Caller,
    Host(host): Host,
    Segments((_, name)): Segments<(String, String)>,
    body: JsonBody,
) -> Result<Json<Value>, Refusal> {
    if host.queue(&name).is_none() {
        return Err(Refusal::no_such("queue_not_found"));
    }
    body.require(&["ackmode", "count", "encoding"])?;
    let settlement = settlement(body.text("ackmode")?.unwrap_or_default())?;
    let count = body.integer("count")?.unwrap_or_default();
    let encoding = body.text("encoding")?.unwrap_or_default();
    let shape = Shape::new(encoding, body.integer("truncate")?)?;
    let rights = management.rights(&caller, host.name());
    rights.check(Verb::Read, Resource::Queue(&name))?;
    let queue = host.usable_queue(&QueueName::from(name.as_str()), NO_CONNECTION)?;

    let mut held = Held {
        engine: Arc::clone(&management.engine),
        queue: Arc::clone(&queue),
        seqs: Vec::new(),
    };
    let mut shown = Vec::new();
    let mut room = management.settings.body_bytes_max;
    for _ in 0..count {
        if room == 0 {
            break;
        }
        let Some((delivery, left)) = queue.get(&management.engine, false).await else {
            management.engine.count(&host, Event::GetEmpty, 1);
            break;
        };
        held.seqs.push(delivery.seq);
        management.engine.count(&host, Event::Get, 1);
        if delivery.redelivered {
            management.engine.count(&host, Event::Redeliver, 1);
        }
        room = room.saturating_sub(shape.cost(&delivery.message));
        let mut message = shape.show(&delivery.message, delivery.redelivered);
        message.insert("message_count".to_owned(), left.into());
        shown.push(Value::Object(message));
    }
    let taken = held.seqs.len() as u64;
    held.settle(settlement);
    if settlement == Settlement::Acknowledge {
        management.engine.count(&host, Event::Acknowledge, taken);
    }
    Ok(Json(shown.into()))
}

async fn peek(
    State(management): Shared,
    caller: Caller,
    Host(host): Host,
    Segments((_, name)): Segments<(String, String)>,
    query: Query,
) -> Result<Json<Value>, Refusal> {
    let number = |name: &str, default: u64| match query.value(name) {
        None => Ok(default),
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| Refusal::bad_request(format!("{name} must be a whole number"))),
    };
    let offset = number("offset", 0)?;
    let count = number("count", PEEK_COUNT as u64)?;
    let count = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(PEEK_COUNT_MAX);
    let truncate = number("truncate", u64::MAX)?;
    let (shown, word) = match query.value("state").unwrap_or("ready") {
        "ready" => (Shown::Ready, "ready"),
        "unacked" => (Shown::Unacked, "unacked"),
        _ => return Err(Refusal::bad_request("state must be ready or unacked")),
    };
    let encoding = query.value("encoding").unwrap_or("auto");
    let shape = Shape::new(encoding, i64::try_from(truncate).ok())?;
    let queue = host.queue(&name).ok_or_else(Refusal::not_found)?;
    let rights = management.rights(&caller, host.name());
    rights.check(Verb::Read, Resource::Queue(&name))?;
    let engine = &management.engine;
    let bytes_max = management.settings.body_bytes_max as u64;
    let look = queue.peek(engine, shown, (offset, count), bytes_max);
    let peeked = tokio::time::timeout(management.settings.timeout, look)
        .await
        .map_err(|_| Refusal::unavailable("the disk does not answer"))?
        .map_err(|failure| match failure {
            PeekFailure::Gone => Refusal::not_found(),
            PeekFailure::TooFar => Refusal::bad_request("too much on disk lies before the offset"),
        })?;
    let rows: Vec<Value> = (offset..)
        .zip(peeked)
        .map(|(position, peeked)| {
            let mut row = shape.show(&peeked.message, peeked.redelivered);
            row.insert("state".to_owned(), word.into());
            row.insert("offset".to_owned(), position.into());
            Value::Object(row)
        })
        .collect();
    Ok(Json(rows.into()))
}
