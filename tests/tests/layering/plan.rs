//! The house plan: which room may import from which, and which crates each may use.
//!
//! A change here is a change of the architecture; `docs/architecture.md` says why the plan is as it
//! is.

#[path = "plan_chat.rs"]
mod chat;

/// A package whose modules are rooms.
#[derive(Debug)]
pub(crate) struct Package {
    /// Where its code lies.
    pub(crate) source: &'static str,
    pub(crate) manifest: &'static str,
    /// From the bottom up.
    pub(crate) rooms: &'static [Room],
}

impl Package {
    pub(crate) fn room(&self, name: &str) -> Option<&'static Room> {
        self.rooms.iter().find(|room| room.name == name)
    }
}

pub(crate) const BROKER: Package = Package {
    source: "broker/src/",
    manifest: "broker/Cargo.toml",
    rooms: ROOMS,
};

pub(crate) const PACKAGES: &[Package] = &[
    BROKER,
    Package {
        source: "client/src/",
        manifest: "client/Cargo.toml",
        rooms: chat::CLIENT,
    },
    Package {
        source: "chat/src/",
        manifest: "chat/Cargo.toml",
        rooms: chat::SERVICE,
    },
];

/// Crates that one file alone may use, by the folder of the package.
pub(crate) const ONE_FILE_CRATES: &[(&str, &str, &str)] = &[
    ("client/src/", "lapin", "client/src/transport/amqp.rs"),
    (
        "client/src/",
        "tokio_tungstenite",
        "client/src/transport/websocket.rs",
    ),
    ("client/src/", "ureq", "client/src/http.rs"),
    ("chat/src/", "lapin", "chat/src/amqp.rs"),
    ("chat/src/", "ureq", "chat/src/management.rs"),
];

/// A top-level module of a package.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: &'static str,
    /// The rooms it may import from.
    pub(crate) rooms: &'static [&'static str],
    /// The crates it may use outside its tests; `crate::path` allows what lies below that path alone.
    pub(crate) crates: &'static [&'static str],
}

/// The room of the binary's own modules, beside `main.rs` itself.
pub(crate) const BINARY: &str = "main";

/// The broker's, from the bottom up.
const ROOMS: &[Room] = &[
    Room {
        name: "allocator",
        rooms: &[],
        crates: &[],
    },
    Room {
        name: "config",
        rooms: &[],
        crates: &["serde", "thiserror", "toml"],
    },
    Room {
        name: "wire",
        rooms: &[],
        crates: &["amq_protocol", "bytes", "smallvec", "thiserror"],
    },
    Room {
        name: "model",
        rooms: &["wire"],
        crates: &[
            "ahash",
            "argon2",
            "base64",
            "getrandom",
            "leveret_log::Location",
            "leveret_log::Lsn",
            "md5",
            // Matches in linear time, whatever the pattern.
            "regex",
            "serde",
            // A policy says what it says in JSON.
            "serde_json",
            "sha2",
            "smallvec",
            // Compares hashes without telling how much of them is right.
            "subtle",
            "thiserror",
            "triomphe",
        ],
    },
    Room {
        name: "topology",
        rooms: &["model", "wire"],
        crates: &["ahash", "smallvec", "thiserror"],
    },
    Room {
        name: "queue",
        rooms: &["model", "wire"],
        crates: &[
            "ahash",
            "leveret_log::Location",
            "leveret_log::Lsn",
            "smallvec",
            "thiserror",
        ],
    },
    Room {
        name: "store",
        rooms: &["model", "wire"],
        crates: &[
            "ahash",
            "bytes",
            "crc32c",
            "leveret_log",
            "parking_lot",
            "rustix",
            "serde",
            "serde_json",
            "sha2",
            "sled",
            "smallvec",
            "thiserror",
            // Only to announce progress to those who wait: the store has no tasks.
            "tokio::sync::watch",
            "tracing",
        ],
    },
    Room {
        name: "engine",
        rooms: &["topology", "queue", "store", "model", "wire"],
        crates: &[
            "ahash",
            "base64",
            "bytes",
            "getrandom",
            "parking_lot",
            "serde",
            "serde_json",
            "smallvec",
            "sysinfo",
            "thiserror",
            "tokio",
            "tracing",
            "triomphe",
        ],
    },
    Room {
        name: "session",
        // Queue and store are here for the few types that the engine hands on: deliveries, tickets.
        rooms: &["engine", "queue", "store", "model", "wire"],
        crates: &[
            "ahash",
            "bytes",
            "getrandom",
            "parking_lot",
            "smallvec",
            "socket2",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Room {
        name: "management",
        // Queue and store are here for the counts, errors and reports that the engine hands on.
        rooms: &["engine", "queue", "store", "model", "wire"],
        crates: &[
            "ahash",
            "axum",
            "base64",
            "hyper",
            "hyper_util",
            "parking_lot",
            // The text that scrapers read, with whatever labels hold.
            "prometheus",
            // Patterns that come from callers: matching takes time in proportion to the text.
            "regex",
            "serde",
            "serde_json",
            "socket2",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Room {
        name: "broker",
        rooms: &[
            "config",
            "session",
            "management",
            "engine",
            "topology",
            "queue",
            "store",
            "model",
            "wire",
        ],
        crates: &[
            "ahash",
            "axum",
            "bytes",
            "getrandom",
            "leveret_log",
            "parking_lot",
            "rustix",
            "serde",
            "socket2",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Room {
        name: BINARY,
        rooms: &[],
        crates: &[
            "anyhow",
            "base64",
            "clap",
            "clap_complete",
            "comfy_table",
            "indicatif",
            "leveret",
            // Only for the limit on descriptors and the modes of files.
            "rustix::fs",
            "rustix::process",
            "serde",
            "serde_json",
            "tokio",
            "tracing",
            "tracing_subscriber",
            "ureq",
        ],
    },
];

/// Modules that may import one another, and why. Everything else that goes in a circle is a mistake,
/// and so is an entry here that is no longer needed.
pub(crate) const KNOWN_CIRCLES: &[(&[&str], &str)] = &[
    (
        &["wire::table::reader", "wire::table::value"],
        "a value may be a table, and a table holds values",
    ),
    (
        &["wire::arguments", "wire::table"],
        "arguments may be tables, and tables hold the same strings as arguments",
    ),
    (
        &["wire::error", "wire::frame"],
        "a frame error knows how many octets the bad frame takes",
    ),
    (
        &[
            "queue::chunk",
            "queue::level",
            "queue::recovered",
            "queue::state",
        ],
        "a chunk is filled from what was recovered, and recovery builds the whole queue",
    ),
    (
        &[
            "engine::afterwork",
            "engine::burial",
            "engine::clients",
            "engine::content",
            "engine::declare_exchange",
            "engine::declare_queue",
            "engine::definitions",
            "engine::delay",
            "engine::exchange",
            "engine::loading",
            "engine::meters",
            "engine::outbox",
            "engine::parameters",
            "engine::policies",
            "engine::publish",
            "engine::queue",
            "engine::recover",
            "engine::reply",
            "engine::timers",
            "engine::transaction",
            "engine::turn",
            "engine::virtual_host",
        ],
        "queues hand deliveries to outboxes, whose consumers name their queue; exchanges lead to \
         queues and hosts hold both. One graph of run-time objects, cut by verb, not by noun",
    ),
    (
        &["session::core", "session::settlements"],
        "the session owns what it has to settle, and settling is something a session does",
    ),
];

/// No file is longer.
pub(crate) const FILE_LINES_MAX: usize = 600;

/// No function is longer, blank lines and comments not counted.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;
