//! Where Leveret differs from RabbitMQ on purpose. Tests take their expectations from here by the
//! line's number, and `docs/compatibility.md` lists it.

/// One deliberate difference.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// Number of the line in the behavioural specification.
    pub line: &'static str,
    /// What RabbitMQ does.
    pub rabbitmq: &'static str,
    /// What Leveret does.
    pub leveret: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// All of them, by line.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        line: "1.1.2",
        rabbitmq: "answers an unknown protocol header with `AMQP 3 1 0 0`",
        leveret: "answers it with `AMQP 0 0 9 1`",
        reason: "0-9-1 is the only protocol spoken",
    },
    Difference {
        line: "1.4.2",
        rabbitmq: "drops a connection whose tune-ok is out of bounds after 3 s, without a frame",
        leveret: "sends connection.close 530 first; the least frame-max is 4096",
        reason: "the client's author learns what was wrong; clients take both",
    },
    Difference {
        line: "1.4.3",
        rabbitmq: "refuses a frame-max below 8192",
        leveret: "accepts 4096 and above",
        reason: "4096 is the protocol's minimum and what old client releases send",
    },
    Difference {
        line: "1.6.8",
        rabbitmq: "drops the connection at an unknown class or method id",
        leveret: "sends connection.close 503",
        reason: "a crash of the reader is no behaviour to copy",
    },
    Difference {
        line: "1.6.9",
        rabbitmq: "closes with 541 INTERNAL_ERROR at properties that do not decode",
        leveret: "closes with 501 or 502",
        reason: "the fault is the sender's, not the broker's",
    },
    Difference {
        line: "1.6.10",
        rabbitmq: "sends a content header that is larger than the consumer's frame-max as it is",
        leveret: "closes that consumer's channel with 501 or 311",
        reason: "a frame above the agreed size may break the client",
    },
    Difference {
        line: "2.2",
        rabbitmq: "counts open channels but does not check their numbers",
        leveret: "also refuses a channel number above the agreed channel-max",
        reason: "the agreement is on numbers; a table of channels stays bounded",
    },
    Difference {
        line: "2.4",
        rabbitmq: "closes the connection with 504 at a settlement on a channel that was closed",
        leveret: "ignores it; on a number that never was open it is 504",
        reason: "an ack may cross the close on its way, which no client can help",
    },
];
