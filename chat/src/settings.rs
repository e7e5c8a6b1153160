//! What can be set, each with its default and why it is that.

use std::time::Duration;

/// Limits and sizes of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Unsettled deliveries of one send shard; also the size of a batch that is appended together. More
    /// makes batches that wait longer for one sync, less makes more syncs.
    pub send_prefetch: u16,
    /// Unsettled deliveries of one shard of receipts. They merge, so more is better than less.
    pub receipt_prefetch: u16,
    /// Requests that one worker answers at a time.
    pub request_prefetch: u16,
    /// How long receipts are gathered before the cursors move: long enough to merge a reader's burst,
    /// short enough not to be noticed.
    pub receipt_delay: Duration,
    /// Messages of a user per second, in the long run. A person types less; a bot is told to wait.
    pub user_rate: u32,
    /// Messages of a user at once: what an outbox holds after a day without a network.
    pub user_burst: u32,
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
    /// Messages in one answer.
    pub page_messages_max: usize,
    /// Octets of messages in one answer, about: an answer is one AMQP message, kept in memory.
    pub page_bytes_max: usize,
    /// Messages that one search looks at: it reads them one by one.
    pub search_messages_max: usize,
    /// A text that brings a router down: a planted fault, to see what becomes of such a message and of
    /// its neighbours. There is none but in tests.
    pub poison: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            send_prefetch: 64,
            receipt_prefetch: 256,
            request_prefetch: 32,
            receipt_delay: Duration::from_millis(50),
            user_rate: 20,
            user_burst: 500,
            fanout_write_max: 1_000,
            fanout_chunk: 100,
            cursor_members_max: 32,
            typing_members_max: 200,
            page_messages_max: 500,
            page_bytes_max: 1 << 20,
            search_messages_max: 20_000,
            poison: None,
        }
    }
}
