//! The rooms of the chat's two packages, from the bottom up.

use super::{BINARY, Room};

/// The client. `message`, `outbox` and `timeline` are pure.
pub(crate) const CLIENT: &[Room] = &[
    Room {
        name: "message",
        rooms: &[],
        crates: &[
            "crc32fast",
            "data_encoding",
            "getrandom",
            "humantime",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "uuid",
        ],
    },
    Room {
        name: "outbox",
        rooms: &["message"],
        crates: &[],
    },
    Room {
        name: "timeline",
        rooms: &["message"],
        crates: &[],
    },
    Room {
        name: "journal",
        rooms: &["message"],
        crates: &["serde", "serde_json"],
    },
    Room {
        name: "transport",
        rooms: &["message"],
        crates: &[
            "async_trait",
            "futures_util",
            "lapin",
            "parking_lot",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Room {
        name: BINARY,
        rooms: &[],
        crates: &[],
    },
];

/// The service. Only its binary knows the broker.
pub(crate) const SERVICE: &[Room] = &[
    Room {
        name: "store",
        rooms: &[],
        crates: &[
            "async_trait",
            "leveret_client::message",
            "leveret_log",
            "parking_lot",
            "serde",
            "serde_json",
            "sled",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Room {
        name: "topology",
        rooms: &[],
        crates: &["leveret_client::message", "serde"],
    },
    Room {
        name: "settings",
        rooms: &[],
        crates: &[],
    },
    Room {
        name: "rate",
        rooms: &[],
        crates: &[],
    },
    Room {
        name: "identity",
        rooms: &[],
        crates: &["leveret_client::message"],
    },
    Room {
        name: "amqp",
        rooms: &["topology"],
        crates: &[
            "futures_util",
            "lapin",
            "leveret_client::message",
            "thiserror",
            "tokio",
        ],
    },
    Room {
        name: "links",
        rooms: &["amqp"],
        crates: &["tokio"],
    },
    Room {
        name: "management",
        rooms: &["topology"],
        crates: &[
            "data_encoding",
            "leveret_client::message",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
            "ureq",
        ],
    },
    Room {
        name: "directory",
        rooms: &["store"],
        crates: &["leveret_client::message", "parking_lot", "serde"],
    },
    Room {
        name: "fanout",
        rooms: &["amqp", "directory", "store"],
        crates: &["leveret_client::message", "thiserror"],
    },
    Room {
        name: "desk",
        rooms: &["settings", "store"],
        crates: &["leveret_client::message", "tracing"],
    },
    Room {
        name: "worker",
        rooms: &["amqp", "fanout", "links", "store"],
        crates: &[
            "async_trait",
            "futures_util",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Room {
        name: "router",
        rooms: &[
            "amqp",
            "directory",
            "fanout",
            "identity",
            "rate",
            "store",
            "worker",
        ],
        crates: &[
            "async_trait",
            "leveret_client::message",
            "parking_lot",
            "tracing",
        ],
    },
    Room {
        name: "receipts",
        rooms: &["amqp", "directory", "fanout", "identity", "store", "worker"],
        crates: &["async_trait", "leveret_client::message", "tracing"],
    },
    Room {
        name: "ephemeral",
        rooms: &["amqp", "directory", "fanout", "identity", "store", "worker"],
        crates: &[
            "async_trait",
            "leveret_client::message",
            "parking_lot",
            "tracing",
        ],
    },
    Room {
        name: "requests",
        rooms: &["amqp", "desk", "identity", "worker"],
        crates: &["async_trait", "leveret_client::message"],
    },
    Room {
        name: "dead_letters",
        rooms: &["amqp", "directory", "fanout", "store", "worker"],
        crates: &["async_trait", "leveret_client::message", "tracing"],
    },
    Room {
        name: "service",
        rooms: &[
            "settings",
            "rate",
            "identity",
            "amqp",
            "links",
            "directory",
            "fanout",
            "desk",
            "worker",
            "router",
            "receipts",
            "ephemeral",
            "requests",
            "dead_letters",
            "store",
            "topology",
        ],
        crates: &[
            "leveret_client::message",
            "parking_lot",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Room {
        name: "accounts",
        rooms: &[
            "amqp",
            "directory",
            "links",
            "management",
            "rate",
            "service",
            "store",
            "topology",
        ],
        crates: &[
            "argon2",
            "data_encoding",
            "getrandom",
            "leveret_client::message",
            "parking_lot",
            "sha2",
            "thiserror",
            "tokio",
            "tracing",
        ],
    },
    Room {
        name: BINARY,
        rooms: &[],
        crates: &[],
    },
];
