//! From a message to its queues: routing, and the bursts that lock each queue once.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

use smallvec::SmallVec;

use super::Engine;
use super::afterwork::Afterwork;
use super::delay::Delay;
use super::exchange::Exchange;
use super::groups::Groups;
use super::outbox::Outbox;
use super::queue::Queue;
use super::reply::ReplyConsumer;
use super::virtual_host::VirtualHost;
use crate::model::{HashInput, HashProperty, Message, Overflow, delay_ms, value_term};
use crate::store::Ticket;
use crate::topology::{Graph, Router, Targets};
use crate::wire::{Properties, TableReader, Value};

/// The queues and the reply consumers that a message goes to, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    /// Where the message was published to; `None` before a route was found.
    exchange: Option<Arc<Exchange>>,
    queues: SmallVec<[Arc<Queue>; 2]>,
    replies: Vec<Arc<ReplyConsumer>>,
    delays: Vec<Arc<Delay>>,
    depends_on_headers: bool,
}

impl Route {
    /// Whether nobody takes the message.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.replies.is_empty() && self.delays.is_empty()
    }

    /// Where the message waits before it goes on.
    pub(super) fn delays(&self) -> &[Arc<Delay>] {
        &self.delays
    }

    /// Whether messages with the same exchange and key, and no other keys, take the same route
    /// until names or bindings change.
    pub(crate) fn depends_on_key_alone(&self) -> bool {
        !self.depends_on_headers && self.replies.is_empty()
    }

    /// Where the message was published to.
    pub(super) const fn exchange(&self) -> Option<&Arc<Exchange>> {
        self.exchange.as_ref()
    }

    /// The queues.
    pub(crate) fn queues(&self) -> &[Arc<Queue>] {
        &self.queues
    }

    /// Whether some queue on it keeps duplicates out.
    pub(crate) fn tells_duplicates(&self) -> bool {
        let mut queues = self.queues.iter();
        queues.any(|queue| queue.arguments().deduplication.is_some())
    }

    /// The reply consumers.
    pub(super) fn replies(&self) -> &[Arc<ReplyConsumer>] {
        &self.replies
    }

    /// The same route without some of its queues.
    pub(super) fn without(mut self, is_left_out: impl Fn(&Queue) -> bool) -> Self {
        self.queues.retain(|queue| !is_left_out(queue));
        self
    }

    /// Finds the queues for a message with these routing keys and properties (spec 3.3.3, 3.4, 5.1.8).
    pub(crate) fn find<'k>(
        host: &'k VirtualHost,
        exchange: &Arc<Exchange>,
        keys: impl Iterator<Item = &'k [u8]>,
        properties: Properties<'k>,
    ) -> Self {
        let headers = properties.headers().unwrap_or(TableReader::EMPTY);
        let keys: SmallVec<[&[u8]; 4]> = keys.collect();
        let map = Map {
            host,
            keys,
            properties,
            headers,
            depends_on_headers: Cell::new(false),
            replies: RefCell::default(),
            delays: RefCell::default(),
        };
        let mut router = Router::default();
        let queues = SmallVec::from(router.route(&map, exchange));
        Self {
            exchange: Some(Arc::clone(exchange)),
            queues,
            depends_on_headers: map.depends_on_headers.get(),
            replies: map.replies.into_inner(),
            delays: map.delays.into_inner(),
        }
    }
}

/// The exchanges of a host, as one message sees them.
struct Map<'a> {
    host: &'a VirtualHost,
    keys: SmallVec<[&'a [u8]; 4]>,
    properties: Properties<'a>,
    headers: TableReader<'a>,
    depends_on_headers: Cell<bool>,
    /// The router knows queues and exchanges only, so these are kept beside it.
    replies: RefCell<Vec<Arc<ReplyConsumer>>>,
    delays: RefCell<Vec<Arc<Delay>>>,
}

impl Map<'_> {
    /// What of the message a hashing exchange looks at (spec 3.7.1). What is not there is all the
    /// same.
    fn hash_input(&self, exchange: &Exchange) -> Cow<'_, [u8]> {
        match &exchange.hash_input {
            HashInput::RoutingKey => self.keys.first().copied().unwrap_or_default().into(),
            HashInput::Header(name) => match self.headers.get(name.as_bytes()) {
                Some(Value::LongString(text)) => text.into(),
                Some(other) => value_term(other).into_bytes().into(),
                None => Cow::default(),
            },
            HashInput::Property(HashProperty::MessageId) => {
                self.properties.message_id().unwrap_or_default().into()
            }
            HashInput::Property(HashProperty::CorrelationId) => {
                self.properties.correlation_id().unwrap_or_default().into()
            }
            HashInput::Property(HashProperty::Timestamp) => {
                let timestamp = self.properties.timestamp().map(u64::to_be_bytes);
                timestamp.map_or_else(Cow::default, |bytes| bytes.to_vec().into())
            }
        }
    }

    /// What has that name by itself: a queue, or else a reply consumer.
    fn named(&self, key: &[u8]) -> Option<Arc<Queue>> {
        let key = str::from_utf8(key).ok()?;
        let queue = self.host.queue(key);
        if queue.is_none()
            && let Some(consumer) = self.host.reply_consumer(key)
        {
            // Many keys may name one consumer, which gets the message once all the same.
            let mut replies = self.replies.borrow_mut();
            if !replies.iter().any(|known| Arc::ptr_eq(known, &consumer)) {
                replies.push(consumer);
            }
        }
        queue
    }
}

impl Graph for Map<'_> {
    type Exchange = Arc<Exchange>;
    type Queue = Arc<Queue>;

    fn route_from(
        &self,
        exchange: &Arc<Exchange>,
        targets: &mut Targets<'_, Arc<Queue>, Arc<Exchange>>,
    ) {
        if exchange.depends_on_more_than_keys() {
            self.depends_on_headers.set(true);
        }
        if exchange.definition.name.is_default() {
            for queue in self.keys.iter().filter_map(|key| self.named(key)) {
                targets.add(&super::exchange::Destination::Queue(queue));
            }
            return;
        }
        if let Some(delay) = exchange.delay.get()
            && delay_ms(self.headers).is_some()
        {
            // Each exchange is visited once, so this one is not among them yet.
            self.delays.borrow_mut().push(Arc::clone(delay));
            targets.taken();
            return;
        }
        let table = exchange.table.read();
        if exchange.chooses_one() {
            let input = self.hash_input(exchange);
            if let Some(destination) = table.choose(&input) {
                targets.add(destination);
            }
            return;
        }
        for key in &self.keys {
            table.route(key, self.headers, &mut |destination| {
                targets.add(destination)
            });
        }
    }

    fn alternate(&self, exchange: &Arc<Exchange>) -> Option<Arc<Exchange>> {
        self.host.exchange(exchange.alternate()?.as_str())
    }
}

/// The publish that a message came with, for its confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The channel.
    pub(crate) channel: u16,
    /// The publish's number on that channel; 0 if nobody waits for a confirm.
    pub(crate) number: u64,
}

/// Messages on their way to queues, collected while one read of a socket is worked on.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    queues: Groups<u64, QueueBurst>,
    replies: Vec<(Arc<ReplyConsumer>, Message)>,
    delayed: Vec<(Arc<Delay>, Message)>,
    /// How many messages came to each exchange, and how many it gave to queues.
    exchanges: Vec<(Arc<Exchange>, u64, u64)>,
}

#[derive(Debug)]
struct QueueBurst {
    queue: Arc<Queue>,
    messages: Vec<(Message, Origin)>,
}

/// What became of a burst.
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    /// Everything that was taken is safe once this is durable; zero if nothing has to wait.
    pub(crate) ticket: Ticket,
    /// What some queue refused, a publish to several queues perhaps more than once.
    pub(crate) refused: Vec<Origin>,
}

impl Queue {
    /// Adds messages, in order. Says which publishes it refused; the ticket covers the records of
    /// the others and is zero if nothing was recorded. What follows is left to `work`.
    fn publish(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        messages: Vec<(Message, Origin)>,
        work: &mut Afterwork,
    ) -> (Vec<Origin>, Ticket) {
        self.turn_leaving(engine, work, |state, turn| {
            let mut refused = Vec::new();
            for (message, origin) in messages {
                if !turn.publish(state, message) {
                    refused.push(origin);
                } else if state.terms().overflow != Overflow::DropHead {
                    // What a consumer can take at once does not count towards the length.
                    turn.dispatch(state);
                }
            }
            refused
        })
        .unwrap_or_default()
    }
}

impl Burst {
    /// Whether nothing was collected.
    pub(crate) const fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// Adds a message for everybody on its route.
    pub(crate) fn add(&mut self, route: &Route, message: Message, origin: Origin) {
        self.count(route);
        for consumer in route.replies() {
            self.replies.push((Arc::clone(consumer), message.clone()));
        }
        for delay in route.delays() {
            self.delayed.push((Arc::clone(delay), message.clone()));
        }
        let Some((last, others)) = route.queues.split_last() else {
            return;
        };
        for queue in others {
            self.add_to(queue, message.clone(), origin);
        }
        self.add_to(last, message, origin);
    }

    /// Counted here and added up at the end, so that publishers to one exchange do not contend.
    fn count(&mut self, route: &Route) {
        let Some(exchange) = &route.exchange else {
            return;
        };
        let to_queues = route.queues.len() as u64;
        match self.exchanges.last_mut() {
            Some((last, messages, taken)) if last == exchange => {
                *messages += 1;
                *taken += to_queues;
            }
            Some(_) | None => self.exchanges.push((Arc::clone(exchange), 1, to_queues)),
        }
    }

    fn add_to(&mut self, queue: &Arc<Queue>, message: Message, origin: Origin) {
        let burst = self.queues.group(queue.number(), || QueueBurst {
            queue: Arc::clone(queue),
            messages: Vec::new(),
        });
        burst.messages.push((message, origin));
    }

    /// Hands everything over.
    pub(crate) fn flush(&mut self, engine: &Arc<Engine>) -> Flushed {
        let mut flushed = Flushed::default();
        let mut work = Afterwork::default();
        for QueueBurst { queue, messages } in self.queues.drain() {
            let (refused, ticket) = queue.publish(engine, messages, &mut work);
            flushed.ticket = flushed.ticket.max(ticket);
            flushed.refused.extend(refused);
        }
        // What dies of it comes to other queues after what was published to them.
        engine.work_off(work);
        for (exchange, messages, to_queues) in self.exchanges.drain(..) {
            exchange.published(messages, to_queues);
        }
        for (consumer, message) in self.replies.drain(..) {
            Outbox::push_reply(consumer, message);
        }
        for (delay, message) in self.delayed.drain(..) {
            flushed.ticket = flushed.ticket.max(delay.add(engine, &message));
        }
        flushed
    }
}
