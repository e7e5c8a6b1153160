//! What can be set, each with its default and why it is that.

use std::time::Duration;

use crate::planted::Planted;

/// Limits and sizes of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Unsettled deliveries of one send shard: half of them a batch that is appended together, while those
    /// before it wait for their confirms. More makes batches that wait longer for one sync, less makes more
    /// syncs.
    pub send_prefetch: u16,
    /// Unsettled deliveries of one shard of receipts, half of them a batch. They merge, so more is better
    /// than less.
    pub receipt_prefetch: u16,
    /// Requests that one worker has in its hands; half of them are answered at a time.
    pub request_prefetch: u16,
    /// How long receipts are gathered before the cursors move: long enough to merge a reader's burst,
    /// short enough not to be noticed.
    pub receipt_delay: Duration,
    /// Messages of a user per second, in the long run. A person types less; a bot is told to wait.
    pub user_rate: u32,
    /// Messages of a user at once: what an outbox holds after a day without a network.
    pub user_burst: u32,
    /// Messages in a group per second, in the long run. In a group of a thousand each becomes a thousand
    /// deliveries.
    pub group_rate: u32,
    /// Messages in a group at once.
    pub group_burst: u32,
    /// Members up to which a message is put into everybody's queue; above, they are told that there is
    /// one and fetch it. On RabbitMQ 1,000 take about a third of a second.
    pub fanout_write_max: u64,
    /// Queues that one publish is for. RabbitMQ is slower per queue above 200, and closes the connection
    /// above some 3,000.
    pub fanout_chunk: usize,
    /// Members up to which everybody sees everybody's cursor move; above, on request only.
    pub cursor_members_max: u64,
    /// Members up to which everybody sees who is writing.
    pub typing_members_max: u64,
    /// A router that others do not hear for so long is thrown out, so that its shards go on elsewhere. Short enough that
    /// no shard is idle for two seconds, with time to throw it out; some five times as long as the pause between two
    /// signs of life, so that a busy machine is not taken for a stopped process. Not below a second.
    pub router_silence_max: Duration,
    /// Messages in one answer.
    pub page_messages_max: usize,
    /// Octets of messages in one answer, about: an answer is one AMQP message, kept in memory.
    pub page_bytes_max: usize,
    /// Messages that one search looks at: it reads them one by one.
    pub search_messages_max: usize,
    /// Faults that are planted. There are none but in tests.
    pub planted: Planted,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            send_prefetch: 128,
            receipt_prefetch: 512,
            request_prefetch: 32,
            receipt_delay: Duration::from_millis(50),
            user_rate: 20,
            user_burst: 500,
            group_rate: 50,
            group_burst: 1_000,
            fanout_write_max: 1_000,
            fanout_chunk: 100,
            cursor_members_max: 32,
            typing_members_max: 200,
            router_silence_max: Duration::from_millis(1_200),
            page_messages_max: 500,
            page_bytes_max: 1 << 20,
            search_messages_max: 20_000,
            planted: Planted::default(),
        }
    }
}

/// Limits of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Connections, at most, each a descriptor: below the 20,000 that systems commonly allow.
    pub connections_max: usize,
    /// WebSockets of one user, at most: twenty devices, some with more than one window.
    pub sockets_per_user_max: usize,
    /// Frames of one connection per second, in the long run. A page that catches up sends some tens.
    pub frames_per_second: u32,
    /// Frames of one connection at once: an outbox after a day without a network.
    pub frames_burst: u32,
    /// Requests over HTTP of one user, or of one address that is not logged in, per second, in the long run.
    pub requests_per_second: u32,
    /// The same at once.
    pub requests_burst: u32,
    /// Events that wait for a connection that does not read; then it gets bumps.
    pub events_max: usize,
    /// Octets of these events. Ten thousand such connections would hold 2.5 GiB.
    pub event_bytes_max: usize,
    /// Octets of answers that those who asked have not taken, over all connections: a hundred of the largest.
    /// Whoever asks then waits, and is told to ask again.
    pub answer_bytes_max: usize,
    /// The same of one user: two of the largest, so that it takes many who do not read to hold up others.
    pub answer_bytes_per_user_max: usize,
    /// Publishes and requests of a connection that are under way; then its socket is not read.
    pub under_way_max: usize,
    /// How long a connection may take to say who it is, or to send a request.
    pub hello_patience: Duration,
    /// How often a client is asked whether it is there, and its login is looked at again. Below the 30
    /// seconds after which some proxies end what is silent.
    pub ping_interval: Duration,
    /// How long a client may be silent: three pings.
    pub idle_max: Duration,
    /// How long a client may take to take what is sent to it.
    pub write_patience: Duration,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            sockets_per_user_max: 32,
            frames_per_second: 50,
            frames_burst: 500,
            requests_per_second: 20,
            requests_burst: 200,
            events_max: 1_000,
            event_bytes_max: 256 << 10,
            answer_bytes_max: 128 << 20,
            answer_bytes_per_user_max: 2 << 20,
            under_way_max: 16,
            hello_patience: Duration::from_secs(10),
            ping_interval: Duration::from_secs(25),
            idle_max: Duration::from_secs(80),
            write_patience: Duration::from_secs(30),
        }
    }
}
