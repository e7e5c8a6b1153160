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
            "parking_lot",
            "serde",
            "serde_json",
            "thiserror",
        ],
    },
    Room {
        name: "topology",
        rooms: &[],
        crates: &["leveret_client::message", "serde"],
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
        name: BINARY,
        rooms: &[],
        crates: &[],
    },
];
