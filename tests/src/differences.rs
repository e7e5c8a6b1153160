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
];
