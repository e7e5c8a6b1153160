//! The hot paths, each as a loop that does one thing again and again. `micro` times them,
//! `instructions` counts what they execute.

use std::hint::black_box;

use leveret::model::{ConsumerKey, ExchangeKind, Message, MessageParts, Now, Seq, Settlement};
use leveret::queue::{Consumer, Delivery, Expiry, QueueState, Settings, Sharing, Sink};
use leveret::topology::{BindingArguments, BindingTable};
use leveret::wire::{ContentHeader, FrameKind, FrameLimit, Method, TableReader, encoder, scan};

/// Messages that one burst moves through a queue.
pub const BURST: u64 = 100;
const FRAME_MAX: u32 = 131_072;

/// A loop by name: told a number, it does its work that many times.
pub struct Kernel {
    pub name: &'static str,
    pub prepare: fn() -> Box<dyn FnMut(u64)>,
}

/// All of them.
pub const KERNELS: [Kernel; 6] = [
    Kernel {
        name: "decode-publish",
        prepare: decode_publish,
    },
    Kernel {
        name: "encode-deliver",
        prepare: encode_deliver,
    },
    Kernel {
        name: "topic-match",
        prepare: topic_match,
    },
    Kernel {
        name: "direct-match",
        prepare: direct_match,
    },
    Kernel {
        name: "queue-burst",
        prepare: queue_burst,
    },
    Kernel {
        name: "message-new",
        prepare: message_new,
    },
];

fn limit() -> FrameLimit {
    FrameLimit::negotiated(FRAME_MAX).expect("more than the least")
}

/// Delivery mode 2, and a body of this size.
fn header(body_bytes: u64) -> Vec<u8> {
    let mut header = Vec::new();
    ContentHeader::write(&mut header, body_bytes, &[0x10, 0, 2]);
    header
}

fn append_frame(target: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    target.extend([kind, 0, 1]);
    target.extend(u32::try_from(payload.len()).expect("short").to_be_bytes());
    target.extend_from_slice(payload);
    target.push(0xce);
}

/// Cuts a publish of 1 KiB out of a read buffer and reads method and header.
fn decode_publish() -> Box<dyn FnMut(u64)> {
    let mut buffer = Vec::new();
    for _ in 0..64 {
        let publish = b"\0\x3c\0\x28\0\0\x06orders\x0eregion.created\0";
        append_frame(&mut buffer, 1, publish);
        append_frame(&mut buffer, 2, &header(1024));
        append_frame(&mut buffer, 3, &[7; 1024]);
    }
    let mut rest = 0..buffer.len();
    Box::new(move |count| {
        for _ in 0..count {
            for _ in 0..3 {
                if rest.is_empty() {
                    rest = 0..buffer.len();
                }
                let found = scan(black_box(&buffer[rest.clone()]), limit());
                let (frame, octets) = found.expect("a frame").expect("a whole one");
                let payload = frame.payload(&buffer[rest.clone()]);
                match frame.kind {
                    FrameKind::Method => {
                        black_box(Method::parse(payload).expect("a publish"));
                    }
                    FrameKind::Header => {
                        black_box(ContentHeader::parse(payload).expect("a header"));
                    }
                    FrameKind::Body | FrameKind::Heartbeat => {
                        black_box(payload);
                    }
                }
                rest.start += octets;
            }
        }
    })
}

/// Appends a delivery of 1 KiB to a write buffer.
fn encode_deliver() -> Box<dyn FnMut(u64)> {
    let (header, body) = (header(1024), vec![7; 1024]);
    let address = encoder::address("orders", "region.created").expect("short names");
    let mut buffer = Vec::with_capacity(256 * 1024);
    Box::new(move |count| {
        for tag in 0..count {
            if buffer.len() > 128 * 1024 {
                buffer.clear();
            }
            let delivery = encoder::Delivery {
                consumer_tag: "amq.ctag-0123456789",
                delivery_tag: tag,
                redelivered: false,
                address: &address,
            };
            let content = encoder::Content {
                header: &header,
                body: &body,
            };
            encoder::deliver(&mut buffer, 1, &delivery, &content, limit()).expect("it fits");
            black_box(&buffer);
        }
    })
}

fn table(kind: ExchangeKind, bindings: impl Iterator<Item = (u32, String)>) -> BindingTable<u32> {
    let mut table = BindingTable::new(kind);
    for (queue, key) in bindings {
        table.bind(&queue, &key, BindingArguments::default());
    }
    table
}

fn route(table: &BindingTable<u32>, keys: &[String], count: u64) {
    for key in keys
        .iter()
        .cycle()
        .take(usize::try_from(count).expect("small"))
    {
        let mut sum = 0;
        table.route(
            black_box(key.as_bytes()),
            TableReader::new(&[]),
            &mut |queue| {
                sum += queue;
            },
        );
        black_box(sum);
    }
}

/// Finds one queue among 1,000 bindings of a topic exchange, many of them with wildcards.
fn topic_match() -> Box<dyn FnMut(u64)> {
    let bindings = (0..100_u32).flat_map(|queue| {
        [
            format!("region.{queue}.order.*"),
            format!("audit.{queue}.#"),
            format!("#.{queue}.gone"),
            format!("a.*.{queue}"),
            format!("b.*.{queue}"),
            format!("c.*.{queue}"),
            format!("d.{queue}.#"),
            format!("e.{queue}.#"),
            format!("*.f.{queue}"),
            format!("g.#.{queue}"),
        ]
        .map(|key| (queue, key))
    });
    let table = table(ExchangeKind::Topic, bindings);
    let keys: Vec<String> = (0..100)
        .map(|key| format!("region.{key}.order.created"))
        .collect();
    Box::new(move |count| route(&table, &keys, count))
}

/// Finds one queue among 1,000 bindings of a direct exchange.
fn direct_match() -> Box<dyn FnMut(u64)> {
    let keys: Vec<String> = (0..1000).map(|key| format!("order.{key}")).collect();
    let table = table(ExchangeKind::Direct, (0..).zip(keys.iter().cloned()));
    Box::new(move |count| route(&table, &keys, count))
}

fn message(body: &[u8]) -> Message {
    let header = header(body.len() as u64);
    let mut encoded = b"\x06orders\x0eregion.created".to_vec();
    encoded.extend_from_slice(&header);
    encoded.extend_from_slice(body);
    let parts = MessageParts {
        exchange_bytes: 6,
        routing_key_bytes: 14,
        header_bytes: u32::try_from(header.len()).expect("short"),
        ..MessageParts::default()
    };
    Message::new(parts, &encoded).expect("the lengths agree")
}

/// Makes a message of 1 KiB, which copies it out of the read buffer.
fn message_new() -> Box<dyn FnMut(u64)> {
    let body = vec![7; 1024];
    Box::new(move |count| (0..count).for_each(|_| drop(black_box(message(&body)))))
}

/// A queue with one consumer that takes everything and acknowledges it.
pub struct Bench {
    queue: QueueState<ConsumerKey>,
    taken: Taken,
    message: Message,
}

#[derive(Default)]
struct Taken(Vec<Seq>);

impl Sink<ConsumerKey> for Taken {
    fn offer(&mut self, _: &ConsumerKey, delivery: Delivery) -> Result<(), Delivery> {
        self.0.push(delivery.seq);
        Ok(())
    }
}

impl Bench {
    pub fn new() -> Self {
        let mut queue = QueueState::new(Settings {
            levels: 1,
            default_priority: 0,
            recording: leveret::queue::Recording::Nothing,
            sharing: Sharing::Competing,
            expiry: Expiry::default(),
        });
        let consumer = Consumer {
            key: ConsumerKey(1),
            handle: ConsumerKey(1),
            no_ack: false,
            prefetch: 0,
            priority: 0,
            exclusive: false,
        };
        queue.consume(consumer).expect("the first consumer");
        Self {
            queue,
            taken: Taken::default(),
            message: message(&[7; 64]),
        }
    }

    /// A burst in, out, and acknowledged.
    pub fn burst(&mut self, messages: u64) {
        let now = Now {
            monotonic_ms: 1,
            wall_ms: 1,
        };
        let mut effects = Vec::new();
        for _ in 0..messages {
            let message = self.message.clone();
            black_box(self.queue.enqueue(now, message, &mut effects));
        }
        self.queue.dispatch(now, &mut self.taken, &mut effects);
        let settlement = Settlement::Acknowledge;
        self.queue
            .settle(now, &self.taken.0, settlement, &mut effects);
        self.taken.0.clear();
        black_box(effects);
    }
}

/// Moves bursts of 100 messages through a queue; counts the messages.
fn queue_burst() -> Box<dyn FnMut(u64)> {
    let mut bench = Bench::new();
    Box::new(move |count| {
        for _ in 0..count.div_ceil(BURST) {
            bench.burst(BURST);
        }
    })
}
