//! What all clients of a run share: the history, the queues, and whether the broker is dying.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use leveret_tests::checker::{Binding, Entity, History, MessageId, TransactionId};
use leveret_tests::client::{Client, Options};
use leveret_tests::raw::method::{self, exchange_bits, queue_bits};
use leveret_tests::raw::value::Table;
use leveret_tests::target::Address;

/// Exchanges that exist all the time, with their types.
const EXCHANGES: [(&str, &str); 3] = [("fan", "fanout"), ("topic", "topic"), ("churn", "direct")];

/// Queues that exist all the time.
const QUEUES: [&str; 9] = [
    "direct", "spare", "idle", "fan-0", "fan-1", "topic-0", "topic-1", "topic-2", DEAD,
];

/// Bindings that exist all the time: exchange, key, queue.
const BINDINGS: [(&str, &str, &str); 5] = [
    ("fan", "", "fan-0"),
    ("fan", "", "fan-1"),
    ("topic", "a.*", "topic-0"),
    ("topic", "#.b", "topic-1"),
    ("topic", "#", "topic-2"),
];

/// Where rejected messages go.
pub(crate) const DEAD: &str = "dead";

/// Where a publish may go: exchange, key, and the queues it must reach.
pub(crate) const ROUTES: [(&str, &str, &[&str]); 8] = [
    ("", "direct", &["direct"]),
    ("", "spare", &["spare"]),
    ("", "idle", &["idle"]),
    ("fan", "", &["fan-0", "fan-1"]),
    ("topic", "a.b", &["topic-0", "topic-1", "topic-2"]),
    ("topic", "a.c", &["topic-0", "topic-2"]),
    ("topic", "x.y.b", &["topic-1", "topic-2"]),
    ("topic", "x", &["topic-2"]),
];

/// What all clients of a run share.
#[derive(Debug, Default)]
pub(crate) struct World {
    history: Mutex<History>,
    /// From just before the broker is killed: what fails from then on fails because of that.
    dying: AtomicBool,
    channels: AtomicU64,
    transactions: AtomicU64,
    sequences: [AtomicU32; 8],
}

impl World {
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a channel that nobody else has.
    pub(crate) fn channel(&self) -> u64 {
        self.channels.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn transaction(&self) -> TransactionId {
        TransactionId(self.transactions.fetch_add(1, Ordering::Relaxed))
    }

    /// The next message of a publisher.
    pub(crate) fn message(&self, publisher: u32) -> MessageId {
        let sequence = self.sequences[publisher as usize].fetch_add(1, Ordering::Relaxed);
        MessageId {
            publisher,
            sequence,
        }
    }

    pub(crate) fn is_dying(&self) -> bool {
        self.dying.load(Ordering::SeqCst)
    }

    pub(crate) fn set_dying(&self, dying: bool) {
        self.dying.store(dying, Ordering::SeqCst);
        if dying {
            self.history().killed();
        }
    }

    /// Declares what exists all the time.
    pub(crate) async fn declare(self: &Arc<Self>, address: &Address) -> Result<()> {
        let mut client = connect(address).await?;
        self.history().is_unordered(DEAD);
        for (name, kind) in EXCHANGES {
            let declare =
                method::exchange_declare(name, kind, exchange_bits::DURABLE, &Table::new());
            client.ok(1, declare).await?;
            let entity = Entity::Exchange(name.to_owned());
            self.history().declare_ok(&entity);
        }
        let arguments = Table::new()
            .with("x-dead-letter-exchange", "")
            .with("x-dead-letter-routing-key", DEAD);
        for name in QUEUES {
            let arguments = match name {
                "direct" => arguments.clone(),
                // Nothing may be given up for having come back too often.
                "fan-1" | "topic-1" => Table::new()
                    .with("x-queue-type", "quorum")
                    .with("x-delivery-limit", -1),
                _ => Table::new(),
            };
            let declare = method::queue_declare(name, queue_bits::DURABLE, &arguments);
            client.ok(1, declare).await?;
            let entity = Entity::Queue(name.to_owned());
            self.history().declare_ok(&entity);
        }
        for (exchange, key, queue) in BINDINGS {
            let bind = method::queue_bind(queue, exchange, key, &Table::new());
            client.ok(1, bind).await?;
        }
        client.close().await
    }
}

/// A client with channel 1 open.
pub(crate) async fn connect(address: &Address) -> Result<Client> {
    let mut client = Client::connect(address, &Options::default()).await?;
    client.open(1).await?;
    Ok(client)
}

/// The entity that a binding of these is.
pub(crate) fn binding(exchange: &str, key: &str, queue: &str) -> Entity {
    Entity::Binding(Binding {
        exchange: exchange.to_owned(),
        key: key.to_owned(),
        queue: queue.to_owned(),
    })
}

/// Owned names.
pub(crate) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
