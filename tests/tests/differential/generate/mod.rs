//! Generates scripts from seeds: the same seed gives the same script.
//!
//! The generator remembers roughly what it has declared, so that most steps make sense and some do not. Each
//! script draws its own weights, so that one is all about consumers and the next about dead letters.

mod arguments;
mod ending;
mod messages;

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::script::{
    Action, Binding, Consume, DeclareExchange, DeclareQueue, Fields, Publish, Script, Settle, Slot,
    Step, Verdict, Which,
};

const QUEUES: [&str; 4] = ["q0", "q1", "q2", "q3"];
const EXCHANGES: [&str; 4] = ["x0", "x1", "x2", "x3"];
const KEYS: [&str; 7] = ["a", "b", "a.b", "a.b.c", "", "q0", "q1"];
const PATTERNS: [&str; 9] = ["a", "#", "*", "a.*", "a.#", "*.b", "#.c", "a.*.c", ""];
const KINDS: [&str; 4] = ["direct", "fanout", "topic", "headers"];

/// What a generated script may be about; each is about some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    TimeToLive,
    DeadLetters,
    LengthLimits,
    Priorities,
    SingleActiveConsumer,
    Quorum,
}

/// All of them.
const FEATURES: [Feature; 6] = [
    Feature::TimeToLive,
    Feature::DeadLetters,
    Feature::LengthLimits,
    Feature::Priorities,
    Feature::SingleActiveConsumer,
    Feature::Quorum,
];

/// The kinds of steps, to be weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    DeclareQueue,
    DeclareExchange,
    Bind,
    Unbind,
    Publish,
    Get,
    Consume,
    Cancel,
    Settle,
    Recover,
    Qos,
    Confirms,
    Transaction,
    Purge,
    DeleteQueue,
    DeleteExchange,
    Close,
    Mistake,
}

/// How often each kind comes, before a script's own taste.
const WEIGHTS: [(Kind, u32); 18] = [
    (Kind::DeclareQueue, 8),
    (Kind::DeclareExchange, 5),
    (Kind::Bind, 10),
    (Kind::Unbind, 2),
    (Kind::Publish, 26),
    (Kind::Get, 6),
    (Kind::Consume, 8),
    (Kind::Cancel, 3),
    (Kind::Settle, 16),
    (Kind::Recover, 2),
    (Kind::Qos, 3),
    (Kind::Confirms, 2),
    (Kind::Transaction, 3),
    (Kind::Purge, 2),
    (Kind::DeleteQueue, 2),
    (Kind::DeleteExchange, 2),
    (Kind::Close, 2),
    (Kind::Mistake, 3),
];

/// What a channel does with publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Plain,
    Confirms,
    Transaction,
}

/// The script that belongs to a seed.
pub(crate) fn script(seed: u64) -> Script {
    let mut generator = Generator::new(seed);
    let steps = generator.random.random_range(12..40);
    generator.begin();
    for _ in 0..steps {
        let kind = generator.kind();
        generator.step(kind);
    }
    Script(generator.steps)
}

struct Generator {
    random: StdRng,
    weights: Vec<(Kind, u32)>,
    features: Vec<Feature>,
    slots: Vec<Slot>,
    steps: Vec<Step>,
    /// Prefetch for whole channels. RabbitMQ counts what `basic.get` fetched, but only if it was fetched before the limit
    /// was set; so a script has the one or the other. When the limit is reached, it delivers nothing to consumers that need
    /// not settle either (line 5.4.4 of the differences); so these scripts have none. It does not hold for consumers of
    /// quorum queues that were there before (line 5.4.3), so these scripts have no quorum queues.
    has_global_qos: bool,
    /// Consumers that need not settle. RabbitMQ ends the channels of a connection one by one, and what one of them held may
    /// be lost to such a consumer on another; so in these scripts no connection ends before the script.
    has_no_ack: bool,
    /// Deleting a quorum queue on a condition ends the connection.
    has_quorum: bool,
    /// What was declared, as it was declared first.
    queues: BTreeMap<&'static str, DeclareQueue>,
    exchanges: BTreeMap<&'static str, DeclareExchange>,
    bindings: Vec<(bool, Binding)>,
    tags: Vec<(Slot, String)>,
    modes: BTreeMap<Slot, Mode>,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let weights = WEIGHTS
            .iter()
            .map(|(kind, weight)| {
                let taste = *[0, 1, 1, 3].choose(&mut random).unwrap_or(&1);
                let needed = matches!(kind, Kind::Publish | Kind::DeclareQueue | Kind::Bind);
                (*kind, weight * if needed { taste.max(1) } else { taste })
            })
            .collect();
        let features = FEATURES.into_iter();
        let features: Vec<_> = features.filter(|_| random.random_bool(0.5)).collect();
        let has_quorum = features.contains(&Feature::Quorum);
        let has_global_qos = random.random_bool(0.3) && !has_quorum;
        let has_no_ack = random.random_bool(0.5) && !has_global_qos;
        let mut slots = Vec::new();
        for connection in 0..random.random_range(1..=2) {
            for channel in 1..=random.random_range(1..=2) {
                slots.push(Slot {
                    connection,
                    channel,
                });
            }
        }
        Self {
            random,
            weights,
            features,
            slots,
            steps: Vec::new(),
            has_global_qos,
            has_no_ack,
            has_quorum,
            queues: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            bindings: Vec::new(),
            tags: Vec::new(),
            modes: BTreeMap::new(),
        }
    }

    fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.random.random_ratio(1, count)
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        all.choose(&mut self.random).cloned()
    }

    fn text(&mut self, all: &[&str]) -> String {
        self.pick(all).unwrap_or_default().to_owned()
    }

    fn slot(&mut self) -> Slot {
        let first = Slot {
            connection: 0,
            channel: 1,
        };
        self.pick(&self.slots.clone()).unwrap_or(first)
    }

    fn kind(&mut self) -> Kind {
        let weights = self.weights.clone();
        let chosen = weights.choose_weighted(&mut self.random, |(_, weight)| *weight);
        chosen.map_or(Kind::Publish, |(kind, _)| *kind)
    }

    fn push(&mut self, on: Slot, action: Action) {
        self.steps.push(Step { on, action });
    }

    /// Something to begin with, so that the first steps are not all in vain.
    fn begin(&mut self) {
        for _ in 0..self.random.random_range(1..=3) {
            self.declare_queue();
        }
        for _ in 0..self.random.random_range(0..=2) {
            self.declare_exchange();
            self.bind();
        }
    }

    fn step(&mut self, kind: Kind) {
        match kind {
            Kind::DeclareQueue => self.declare_queue(),
            Kind::DeclareExchange => self.declare_exchange(),
            Kind::Bind => self.bind(),
            Kind::Unbind => self.unbind(),
            Kind::Publish => {
                let on = self.slot();
                let publish = self.publish();
                self.push(on, Action::Publish(publish));
            }
            Kind::Get if self.has_global_qos => {}
            Kind::Get => {
                let (on, queue, no_ack) = (self.slot(), self.queue(), self.one_in(3));
                self.push(on, Action::Get { queue, no_ack });
            }
            Kind::Consume => self.consume(),
            Kind::Cancel => self.cancel(),
            Kind::Settle => self.settle(),
            Kind::Recover => {
                let (on, without_reply) = (self.slot(), self.one_in(4));
                let requeue = true;
                self.push(
                    on,
                    Action::Recover {
                        requeue,
                        without_reply,
                    },
                );
            }
            Kind::Qos => {
                // RabbitMQ forgets a channel's limit when a limit for new consumers follows it.
                let (on, global) = (self.slot(), self.has_global_qos);
                let count = self.random.random_range(0..4);
                self.push(
                    on,
                    Action::Qos {
                        size: 0,
                        count,
                        global,
                    },
                );
            }
            Kind::Confirms => {
                let on = self.slot();
                self.modes.entry(on).or_insert(Mode::Confirms);
                self.push(on, Action::SelectConfirms);
            }
            Kind::Transaction => self.transaction(),
            Kind::Purge => {
                let (on, queue) = (self.slot(), self.queue());
                self.push(on, Action::PurgeQueue { queue });
            }
            Kind::DeleteQueue => self.delete_queue(),
            Kind::DeleteExchange => self.delete_exchange(),
            Kind::Close => self.close(),
            Kind::Mistake => self.mistake(),
        }
    }

    /// A queue's name; most likely one that was declared.
    fn queue(&mut self) -> String {
        let declared: Vec<_> = self.queues.keys().copied().collect();
        match self.random.random_range(0..20) {
            0 => String::new(),
            1 => self.text(&QUEUES),
            _ => {
                let declared = self.pick(&declared);
                declared.unwrap_or("q0").to_owned()
            }
        }
    }

    fn exchange(&mut self) -> String {
        let declared: Vec<_> = self.exchanges.keys().copied().collect();
        match self.random.random_range(0..20) {
            0 => self.text(&EXCHANGES),
            // Not those of the virtual host, which others may bind meanwhile.
            _ => {
                let declared = self.pick(&declared);
                declared.unwrap_or("x0").to_owned()
            }
        }
    }

    fn declare_queue(&mut self) {
        let (on, name) = (self.slot(), self.pick(&QUEUES).unwrap_or("q0"));
        if let Some(declare) = self.queues.get(name).cloned()
            && !self.one_in(8)
        {
            // Again, equal or nearly so.
            let mut declare = declare;
            match self.random.random_range(0..8) {
                0 => declare.durable = !declare.durable,
                1 => declare.auto_delete = !declare.auto_delete,
                2 => declare.passive = true,
                3 => declare.arguments = self.queue_arguments(),
                _ => {}
            }
            self.push(on, Action::DeclareQueue(declare));
            return;
        }
        let quorum = self.has(Feature::Quorum) && self.one_in(3);
        let mut declare = DeclareQueue {
            queue: name.to_owned(),
            durable: quorum || self.one_in(2),
            exclusive: !quorum && self.one_in(8),
            auto_delete: !quorum && self.one_in(8),
            no_wait: self.one_in(10),
            arguments: self.queue_arguments(),
            ..DeclareQueue::default()
        };
        if quorum {
            declare.arguments = self.quorum_arguments();
        }
        if self.one_in(15) {
            declare.queue = String::new();
            declare.no_wait = false;
        } else {
            self.queues.insert(name, declare.clone());
        }
        self.push(on, Action::DeclareQueue(declare));
    }

    fn declare_exchange(&mut self) {
        let (on, name) = (self.slot(), self.pick(&EXCHANGES).unwrap_or("x0"));
        if let Some(mut declare) = self.exchanges.get(name).cloned() {
            match self.random.random_range(0..8) {
                0 => declare.durable = !declare.durable,
                1 => declare.kind = self.text(&KINDS),
                2 => declare.passive = true,
                3 => declare.arguments = self.exchange_arguments(),
                _ => {}
            }
            self.push(on, Action::DeclareExchange(declare));
            return;
        }
        let declare = DeclareExchange {
            exchange: name.to_owned(),
            kind: self.text(&KINDS),
            durable: self.one_in(2),
            auto_delete: self.one_in(8),
            internal: self.one_in(10),
            no_wait: self.one_in(10),
            arguments: self.exchange_arguments(),
            ..DeclareExchange::default()
        };
        self.exchanges.insert(name, declare.clone());
        self.push(on, Action::DeclareExchange(declare));
    }

    fn key_for(&mut self, exchange: &str) -> String {
        let kind = self
            .exchanges
            .get(exchange)
            .map(|declare| declare.kind.clone());
        match kind.as_deref() {
            Some("topic") => self.text(&PATTERNS),
            _ => self.text(&KEYS),
        }
    }

    fn bind(&mut self) {
        let (on, source) = (self.slot(), self.exchange());
        let to_exchange = self.one_in(4);
        let destination = if to_exchange {
            self.exchange()
        } else {
            self.queue()
        };
        let kind = self
            .exchanges
            .get(source.as_str())
            .map(|declare| declare.kind.clone());
        let arguments: Fields = match kind.as_deref() {
            Some("headers") => self.match_arguments(),
            _ if self.one_in(10) => self.headers(),
            _ => Fields::new(),
        };
        let binding = Binding {
            key: self.key_for(&source),
            source,
            destination,
            arguments,
        };
        self.bindings.push((to_exchange, binding.clone()));
        let action = if to_exchange {
            Action::BindExchange(binding)
        } else {
            Action::Bind(binding)
        };
        self.push(on, action);
    }

    fn unbind(&mut self) {
        let on = self.slot();
        let Some((to_exchange, binding)) = self.pick(&self.bindings.clone()) else {
            return;
        };
        let action = if to_exchange {
            Action::UnbindExchange(binding)
        } else {
            Action::Unbind(binding)
        };
        self.push(on, action);
    }

    fn consume(&mut self) {
        let on = self.slot();
        let tag = if self.one_in(12) {
            String::new()
        } else {
            format!("c{}", self.tags.len())
        };
        let consume = Consume {
            queue: self.queue(),
            no_ack: self.has_no_ack && self.one_in(2),
            exclusive: self.one_in(12),
            no_wait: !tag.is_empty() && self.one_in(10),
            arguments: self.consumer_arguments(),
            tag: tag.clone(),
        };
        self.tags.push((on, tag));
        self.push(on, Action::Consume(consume));
    }

    fn cancel(&mut self) {
        if let Some((on, tag)) = self.pick(&self.tags.clone())
            && !tag.is_empty()
        {
            self.push(on, Action::Cancel { tag });
        }
    }

    fn settle(&mut self) {
        let on = self.slot();
        let how = self.pick(&[
            Verdict::Ack,
            Verdict::Ack,
            Verdict::Ack,
            Verdict::Nack,
            Verdict::Nack,
            Verdict::Reject,
        ]);
        let which = match self.random.random_range(0..40) {
            0 => Which::Unknown,
            1 => Which::Zero,
            _ => Which::Outstanding(self.random.random_range(0..4)),
        };
        let settle = Settle {
            how: how.unwrap_or(Verdict::Ack),
            multiple: how != Some(Verdict::Reject) && self.one_in(4),
            requeue: match how {
                Some(Verdict::Ack) | None => false,
                Some(Verdict::Nack | Verdict::Reject) => self.one_in(2),
            },
            which,
        };
        self.push(on, Action::Settle(settle));
    }

    fn transaction(&mut self) {
        let on = self.slot();
        let in_one = self.modes.get(&on) == Some(&Mode::Transaction);
        let action = match self.random.random_range(0..6) {
            _ if !in_one => {
                self.modes.entry(on).or_insert(Mode::Transaction);
                Action::SelectTransaction
            }
            0 => Action::SelectTransaction,
            1 | 2 => Action::Rollback,
            _ => Action::Commit,
        };
        self.push(on, action);
    }
}
