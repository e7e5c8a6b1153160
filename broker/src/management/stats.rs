//! `message_stats`: what happened to messages, in the words of RabbitMQ's API (spec 10.1.6).

use serde_json::{Map, Value};

use super::Management;
use super::history::{Count, Detailed, Kind, Ranges, Subject, insert};
use crate::engine::{Client, Counts, Event, Exchange, Queue, Tally};

/// What publishers see, by name.
const PUBLISHING: [(&str, Event); 4] = [
    ("publish", Event::Publish),
    ("confirm", Event::Confirm),
    ("return_unroutable", Event::ReturnUnroutable),
    ("drop_unroutable", Event::DropUnroutable),
];

/// What consumers see, by name.
const CONSUMING: [(&str, Event); 7] = [
    ("ack", Event::Acknowledge),
    ("deliver", Event::Deliver),
    ("deliver_no_ack", Event::DeliverNoAck),
    ("get", Event::Get),
    ("get_empty", Event::GetEmpty),
    ("get_no_ack", Event::GetNoAck),
    ("redeliver", Event::Redeliver),
];

const DELIVER_GET: &str = "deliver_get";

/// The counts of a channel, a virtual host or the whole broker.
pub(super) fn message_counts(tally: &Tally) -> Vec<Count> {
    named(tally, &PUBLISHING).chain(consuming(tally)).collect()
}

/// How many messages there are.
pub(super) const fn length_counts(ready: u64, unacknowledged: u64) -> [Count; 3] {
    let messages = ready.saturating_add(unacknowledged);
    [
        Count::new(Kind::Lengths, "messages", messages),
        Count::new(Kind::Lengths, "messages_ready", ready),
        Count::new(Kind::Lengths, "messages_unacknowledged", unacknowledged),
    ]
}

/// The counts of a queue.
pub(super) fn queue_counts(counts: &Counts, tally: &Tally) -> Vec<Count> {
    let published = Count::new(Kind::Messages, "publish", tally.of(Event::Publish));
    length_counts(counts.ready, counts.unacked)
        .into_iter()
        .chain([published])
        .chain(consuming(tally))
        .collect()
}

/// The counts of an exchange.
pub(super) fn exchange_counts(exchange: &Exchange) -> [Count; 2] {
    let (came, went) = (&exchange.published_in, &exchange.published_out);
    [
        Count::new(Kind::Messages, "publish_in", came.value()),
        Count::new(Kind::Messages, "publish_out", went.value()),
    ]
}

/// The counts of a connection.
pub(super) fn connection_counts(client: &Client) -> [Count; 2] {
    let meter = &client.meter;
    [
        Count::new(Kind::Data, "recv_oct", meter.received_bytes.value()),
        Count::new(Kind::Data, "send_oct", meter.sent_bytes.value()),
    ]
}

fn named<'a>(
    tally: &'a Tally,
    names: &'a [(&'static str, Event)],
) -> impl Iterator<Item = Count> + 'a {
    names
        .iter()
        .map(|(name, event)| Count::new(Kind::Messages, name, tally.of(*event)))
}

fn consuming(tally: &Tally) -> impl Iterator<Item = Count> {
    let delivered = Count::new(Kind::Messages, DELIVER_GET, tally.deliveries());
    named(tally, &CONSUMING).chain([delivered])
}

/// Puts counts of events together as RabbitMQ does: what publishers see is shown once a publisher
/// did something, what consumers see once a consumer did, and nothing at all before that.
pub(super) fn message_stats(detailed: Vec<Detailed>) -> Option<Value> {
    let is_publishing = |detailed: &Detailed| {
        PUBLISHING
            .iter()
            .any(|(name, _)| *name == detailed.count.name)
    };
    let groups: (Vec<_>, Vec<_>) = detailed.into_iter().partition(is_publishing);
    let mut stats = Map::new();
    for group in [groups.0, groups.1] {
        if group.iter().any(|detailed| detailed.count.value > 0) {
            insert(&mut stats, group);
        }
    }
    (!stats.is_empty()).then_some(Value::Object(stats))
}

impl Management {
    /// The counts of a queue: those that stand beside its other fields, and its statistics.
    pub(super) fn queue_details(
        &self,
        queue: &Queue,
        counts: &Counts,
        ranges: &Ranges,
    ) -> (Vec<Detailed>, Option<Value>) {
        let counts = queue_counts(counts, &queue.tally());
        let subject = Subject::Queue(queue.number());
        let mut lengths = self
            .history
            .detailed(self.now_ms(), subject, &counts, ranges);
        let events = lengths.split_off(3);
        (lengths, message_stats(events))
    }

    /// The statistics of what has events and nothing else.
    pub(super) fn event_details(
        &self,
        subject: Subject,
        counts: &[Count],
        ranges: &Ranges,
    ) -> Option<Value> {
        let detailed = self
            .history
            .detailed(self.now_ms(), subject, counts, ranges);
        message_stats(detailed)
    }

    /// Now, in milliseconds since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        self.engine.now().wall_ms
    }
}
