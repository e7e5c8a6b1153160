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

/// All of them, in the order of their lines.
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
    Difference {
        line: "3.4.5",
        rabbitmq: "refuses to bind `amq.rabbitmq.reply-to` itself with 404, longer names with 403",
        leveret: "refuses both with 403",
        reason: "one rule for one family of names",
    },
    Difference {
        line: "3.5.2",
        rabbitmq: "refuses a topic binding key with more than two `#` (4.3.5 and later)",
        leveret: "accepts any number",
        reason: "the matcher's time is linear in the key, so that the limit protects nothing",
    },
    Difference {
        line: "3.6.3",
        rabbitmq: "never finds two timestamps equal in a headers exchange",
        leveret: "finds equal timestamps equal",
        reason: "RabbitMQ scales only one side to milliseconds before it compares",
    },
    Difference {
        line: "3.7.1",
        rabbitmq: "has `x-consistent-hash` as a plugin that has to be enabled",
        leveret: "has it built in; a destination stays while one of several bindings is left",
        reason: "in RabbitMQ it gets nothing any more once any of its bindings goes",
    },
    Difference {
        line: "3.7.3",
        rabbitmq: "has delayed exchanges as a plugin of its community alone",
        leveret: "has `x-delayed-message` built in; what waits counts as routed, and is on disk",
        reason: "it is the plugin that is asked for most",
    },
    Difference {
        line: "4.1.1",
        rabbitmq: "4.3.6 ignores `x-name-prefix` of a server-named queue",
        leveret: "lets it replace `amq.gen`; more than 64 bytes are refused with 406",
        reason: "later releases have it",
    },
    Difference {
        line: "4.1.3",
        rabbitmq: "counts among the consumers of a quorum queue whoever holds a message, `basic.get` and cancelled ones included, \
                   and of those that wait for a single active one none",
        leveret: "counts the consumers, as with classic queues",
        reason: "they are consumers, and the HTTP API counts them",
    },
    Difference {
        line: "4.3",
        rabbitmq: "refuses `x-queue-version` 1 and, unless permitted, `x-queue-master-locator`",
        leveret: "accepts both and ignores them, as it ignores `x-queue-mode` and `x-queue-leader-locator`",
        reason: "there is one kind of file and one node",
    },
    Difference {
        line: "4.3.2",
        rabbitmq: "refuses `x-delivery-limit` and `x-consumer-timeout` on classic queues; has `x-message-deduplication` as a plugin \
                   of its community alone, and the argument means nothing without it",
        leveret: "takes both, without defaults; has `x-message-deduplication` built in, checks and compares its arguments",
        reason: "neither limit needs replication, and all of it is what programs with classic queues ask for",
    },
    Difference {
        line: "4.4.4",
        rabbitmq: "has streams",
        leveret: "refuses `x-queue-type=stream` with 406",
        reason: "not there yet; a program for streams would lose data on any other queue",
    },
    Difference {
        line: "5.3.7",
        rabbitmq: "leaves a quorum queue without an active consumer when its single active one goes while it hands over to one \
                   of a higher priority on the same channel",
        leveret: "makes the next one active",
        reason: "a queue with consumers that delivers nothing helps nobody",
    },
    Difference {
        line: "5.3.8",
        rabbitmq: "closes the connection with 541 when a client sends basic.cancel-ok",
        leveret: "ignores it",
        reason: "a client may well answer a server's cancel",
    },
    Difference {
        line: "5.4.3",
        rabbitmq: "refuses consumers of quorum queues on a channel with a `global` limit, but lets those go on that were there \
                   before it, without a limit",
        leveret: "refuses them too, and limits those that were there before",
        reason: "a limit that is asked for is kept",
    },
    Difference {
        line: "5.4.4",
        rabbitmq: "delivers nothing to consumers that need not settle while their channel is at its `global` limit",
        leveret: "delivers to them whatever the limit",
        reason: "the limit is on what is not settled yet, and theirs is",
    },
    Difference {
        line: "6.2.5",
        rabbitmq: "closes the connection with 504 at a method that arrives while a commit is pending",
        leveret: "queues it behind the commit",
        reason: "a client may send ahead anywhere else; here it would be a matter of luck",
    },
    Difference {
        line: "7.2.2",
        rabbitmq: "leaves the header `CC` in a dead letter that goes by its queue's `x-dead-letter-routing-key`",
        leveret: "takes it out",
        reason: "the letter was not routed by those keys, nor will it be",
    },
    Difference {
        line: "7.2.8",
        rabbitmq: "sets the redelivered bit of a dead letter that a consumer rejected, at its first delivery",
        leveret: "delivers every dead letter for the first time with the bit clear",
        reason: "the letter is new in its queue, and whoever gets it is the first",
    },
    Difference {
        line: "7.6.3",
        rabbitmq: "takes a reply to a requester that has gone for routed, and drops it",
        leveret: "returns it if it is mandatory",
        reason: "the responder can know that nobody waits for the answer",
    },
    Difference {
        line: "7.7.6",
        rabbitmq: "leaves a delivery that is held already to the `consumer-timeout` that held before the policy",
        leveret: "applies the new one to it at once",
        reason: "a policy is what an operator reaches for when consumers hang",
    },
    Difference {
        line: "8.1.3",
        rabbitmq: "takes patterns with look-around and back-references, which may take forever",
        leveret: "refuses them where they are given, with 400",
        reason: "patterns are matched in time linear in the name; one that is not must not deny unseen",
    },
    Difference {
        line: "8.3.2",
        rabbitmq: "takes any name of a hashing algorithm, and fails at the next login",
        leveret: "refuses unknown names with 400; knows `argon2id` too, and shows such a hash to nobody",
        reason: "the mistake shows where it is made; no other broker can use an Argon2id hash",
    },
    Difference {
        line: "10.1.2",
        rabbitmq: "answers values of the wrong JSON type with 500 in many places",
        leveret: "answers them with 400",
        reason: "the fault is the sender's",
    },
    Difference {
        line: "13.4",
        rabbitmq: "takes tables nested to any depth",
        leveret: "refuses more than 100 levels with a connection error",
        reason: "deep nesting has no use but to exhaust somebody's stack, the consumers' included",
    },
    Difference {
        line: "13.12",
        rabbitmq: "closes the connection with 541 when some forged reply addresses are declared",
        leveret: "answers 404, as for any queue that does not exist",
        reason: "an error of the broker's own is no answer",
    },
];

/// A difference that generated scripts come across. A play ends at one that is listed here, and fails at any
/// other. `…` stands for anything.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// Number of the line in the behavioural specification.
    pub line: &'static str,
    /// The step at which it shows, as it is printed.
    pub step: &'static str,
    /// What RabbitMQ says; empty if it does not matter.
    pub rabbitmq: &'static str,
    /// What Leveret says; empty if it does not matter.
    pub leveret: &'static str,
    /// Why this is so.
    pub reason: &'static str,
}

/// All of them.
pub const ACCEPTED: &[Accepted] = &[
    Accepted {
        line: "2.6",
        step: "…lose…",
        rabbitmq: "…delivers to …x-death: …",
        leveret: "",
        reason: "RabbitMQ ends a channel's consumers one by one: a letter that dies with one may reach the other",
    },
    Accepted {
        line: "3.1.2",
        step: "…DeclareExchange…",
        rabbitmq: "reply: 406c invalid exchange type '…'",
        leveret: "reply: 406c unknown exchange type '…'",
        reason: "RabbitMQ's word depends on whether its virtual machine has met the name before",
    },
    Accepted {
        line: "3.5.2",
        step: "…ind…",
        rabbitmq: "reply: 406c Topic binding key '…' uses … '#' wildcards…",
        leveret: "reply: …bind-ok",
        reason: "the matcher's time is linear in the key, so that the limit protects nothing",
    },
    Accepted {
        line: "4.3.2",
        step: "…DeclareQueue…",
        rabbitmq: "reply: 406c invalid arg 'x-delivery-limit' for queue '…' of queue type rabbit_classic_queue",
        leveret: "",
        reason: "classic queues may have a delivery limit too",
    },
    Accepted {
        line: "4.3.2",
        step: "…DeclareQueue…",
        rabbitmq: "reply: declared …",
        leveret: "reply: 406c inequivalent arg 'x-delivery-limit' for queue '…",
        reason: "an argument that counts is compared; RabbitMQ leaves one out that the queue's type does not know",
    },
    Accepted {
        line: "5.1.6",
        step: "…",
        rabbitmq: "…expiration=7000…",
        leveret: "…expiration=+7000…",
        reason: "an expiration that is written with a sign is delivered as it was published",
    },
    Accepted {
        line: "5.5.3",
        step: "…, after messages came back to a quorum queue",
        rabbitmq: "…m… from '…",
        leveret: "…m… from '…",
        reason: "what comes back to a quorum queue has its old place again, as in a classic queue; in RabbitMQ it goes before \
                 all others, whatever their priority, in the order of its return",
    },
    Accepted {
        line: "5.5.3",
        step: "…, after messages came back to a quorum queue",
        rabbitmq: "q…: … ready",
        leveret: "q…: … ready",
        reason: "for the same reason others are the first, which are what expires and what is dropped",
    },
    Accepted {
        line: "5.3.7",
        step: "…, and an active consumer may have gone while it handed over, after messages came back to a quorum queue",
        rabbitmq: "",
        leveret: "…delivers to …",
        reason: "when a quorum queue's single active consumer goes while one of a higher priority waits for what it holds, the \
                 next one becomes active; in RabbitMQ 4.3 none does, and consumers that come later get nothing",
    },
    Accepted {
        line: "5.5.6",
        step: "…Recover…",
        rabbitmq: "…delivers to …again from…",
        leveret: "…delivers to …again from…",
        reason: "whose turn it is after a recover is no promise: consumers of one channel get back what they held in another \
                 turn",
    },
    Accepted {
        line: "7.2.2",
        step: "…",
        rabbitmq: "…CC: […x-death: …",
        leveret: "…x-death: …",
        reason: "a dead letter that goes by its queue's `x-dead-letter-routing-key` was not routed by the keys in `CC`, nor will \
                 it be",
    },
    Accepted {
        line: "7.2.4",
        step: "…",
        rabbitmq: "…x-death: …routing-keys: [], …",
        leveret: "…x-death: …",
        reason: "RabbitMQ leaves the key that a letter came by out of its next death if it once was a blind copy's",
    },
    Accepted {
        line: "7.2.4",
        step: "…",
        rabbitmq: "…x-acquired-count: …x-death: …",
        leveret: "…x-death: …",
        reason: "RabbitMQ leaves in a dead letter how often it came back to the quorum queue where it died",
    },
    Accepted {
        line: "7.4.2",
        step: "…Publish…\"priority\":…",
        rabbitmq: "q…: … ready…",
        leveret: "q…: … ready…",
        reason: "RabbitMQ does not look whether a message has expired that passes others by its priority",
    },
    Accepted {
        line: "6.2.3",
        step: "…Commit…",
        rabbitmq: "…delivers to…",
        leveret: "…delivers to…",
        reason: "a transaction happens at once: what it gives back has an older place than what it publishes, and what is \
                 urgent goes first; RabbitMQ delivers the one before it knows of the other",
    },
    Accepted {
        line: "6.2.3",
        step: "…Commit…",
        rabbitmq: "reply: 506x failed to deliver message: {not_found,…}",
        leveret: "reply: tx.commit-ok",
        reason: "a queue may go between publish and commit, which is no more the publisher's fault than without a \
                 transaction",
    },
];

/// A difference that generated calls of the HTTP API come across; as [`Accepted`].
#[derive(Clone, Copy, Debug)]
pub struct AcceptedByHttp {
    /// Number of the line in the behavioural specification.
    pub line: &'static str,
    /// Method and path.
    pub call: &'static str,
    /// What RabbitMQ says; empty if it does not matter.
    pub rabbitmq: &'static str,
    /// What Leveret says; empty if it does not matter.
    pub leveret: &'static str,
    /// Why this is so.
    pub reason: &'static str,
}

/// All of them.
pub const ACCEPTED_BY_HTTP: &[AcceptedByHttp] = &[AcceptedByHttp {
    line: "10.2",
    call: "GET /api/queues/%2F/…/bindings",
    rabbitmq: "status 200",
    leveret: "status 404",
    reason: "a queue that does not exist is bound to nothing; RabbitMQ makes a default binding up for any name",
}];

/// How a line's behaviour in RabbitMQ is to be had from Leveret, for every line where the two differ on purpose, by
/// default or always.
pub const RABBITMQS_WAY: &[(&str, &str)] = &[
    ("1.1.2", "not to be had: AMQP 1.0 is not spoken"),
    ("1.2.4", "options `product` and `version`"),
    ("1.4.2", "not to be had: clients take both"),
    ("1.4.3", "not to be had: whoever asks for 8192 gets it"),
    ("1.6.8", "not to be had: both end the connection"),
    ("1.6.9", "not to be had: both end the connection"),
    (
        "1.6.10",
        "agree on a frame-max above the size of all headers",
    ),
    (
        "2.2",
        "not to be had: both refuse more channels than agreed",
    ),
    (
        "2.4",
        "not to be had: only a client's mistake would show it",
    ),
    ("2.6", "not to be had: it is a matter of luck"),
    ("3.1.2", "it is the same: 406"),
    ("3.4.5", "not to be had: both refuse it"),
    ("3.5.2", "bind with no more than two `#`"),
    ("3.6.3", "not to be had: it is a mistake in RabbitMQ"),
    (
        "3.7.1",
        "enable the plugin in RabbitMQ, and bind each destination once",
    ),
    (
        "3.7.3",
        "install the plugin in RabbitMQ, and publish without `mandatory`",
    ),
    ("4.1.1", "do not send `x-name-prefix`"),
    (
        "4.1.3",
        "count the active consumer alone, by `active` in `/api/consumers`",
    ),
    (
        "4.1.8",
        "declare queues durable or exclusive: those are the same on both",
    ),
    (
        "4.3",
        "do not send `x-queue-version` 1 or `x-queue-master-locator`",
    ),
    (
        "4.3.2",
        "do not send arguments of quorum queues to classic ones",
    ),
    ("4.4.1", "not to be had: there is one node"),
    ("4.4.4", "not to be had: there are no streams"),
    ("5.1.6", "write expirations without a sign"),
    (
        "5.4.4",
        "consume without acknowledgements on a channel of its own",
    ),
    (
        "5.5.3",
        "not to be had: who wants another order gives messages another priority",
    ),
    ("5.5.6", "have one consumer on a channel that recovers"),
    ("5.3.7", "not to be had: it would stall the queue"),
    (
        "5.3.8",
        "not to be had: only a client's mistake would show it",
    ),
    ("5.4.3", "send `basic.qos` with `global` false"),
    ("5.5.8", "argument or policy `consumer-timeout`"),
    (
        "6.2.3",
        "not to be had: what RabbitMQ does by parts happens at once",
    ),
    (
        "6.2.5",
        "await `tx.commit-ok` before the next method: that is the same on both",
    ),
    (
        "7.2.2",
        "not to be had: a dead letter cannot be lost by a crash, and shows no keys that it does not go by",
    ),
    ("7.2.8", "not to be had: the bit is only ever clearer"),
    ("7.2.4", "not to be had: the counts are another queue's"),
    (
        "7.4.2",
        "not to be had: nobody wants a message that has expired",
    ),
    ("7.6.3", "publish replies without `mandatory`"),
    ("7.7.6", "set the policy before consumers start"),
    (
        "8.1.3",
        "not to be had: write the pattern without look-around and back-references",
    ),
    (
        "8.3.2",
        "`password_hashing = \"rabbit_password_hashing_sha256\"`, the default; unknown names stay refused",
    ),
    ("9.2", "`durability = \"os\"`"),
    (
        "10.2",
        "not to be had: a binding of a queue that does not exist is nothing to count on",
    ),
    ("10.1.2", "not to be had: send values of the right type"),
    ("13.4", "not to be had: nest no deeper than 100 tables"),
    ("13.12", "not to be had: only forged addresses show it"),
];
