//! Every limit in one place: its meaning, its default, the range that makes sense.

use serde::{Deserialize, Serialize};

/// What a limit counts, and thereby how it may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A bare number.
    Count,
    /// Bytes: `16MiB` is understood, too.
    Bytes,
}

/// What is known of one limit.
#[derive(Debug)]
pub(super) struct Limit {
    /// Its name in the file.
    pub(super) key: &'static str,
    /// What it is for.
    pub(super) about: &'static [&'static str],
    pub(super) unit: Unit,
    pub(super) min: u64,
    pub(super) max: u64,
    /// Whether 0, below the range, means that there is no limit.
    pub(super) zero: bool,
    pub(super) read: fn(&Limits) -> u64,
    /// Takes a value within the range.
    pub(super) write: fn(&mut Limits, u64),
}

/// Whether a limit may be 0 although its range starts higher.
macro_rules! may_be_zero {
    (or_zero) => {
        true
    };
    () => {
        false
    };
}

macro_rules! limits {
    ($(
        $(#[doc = $about:literal])+
        $name:ident: $type:ty = $default:expr, $unit:ident in $range:expr $(, $zero:ident)?;
    )+) => {
        /// Every limit of a broker.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits {
            $($(#[doc = $about])+ pub $name: $type,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// All limits, in the order in which they are shown.
        pub(super) const LIMITS: &[Limit] = &[$(
            Limit {
                key: concat!("limits.", stringify!($name)),
                about: &[$($about),+],
                unit: Unit::$unit,
                min: *$range.start(),
                max: *$range.end(),
                zero: may_be_zero!($($zero)?),
                read: |limits| limits.$name as u64,
                // The range fits the type: a test takes every limit to both ends.
                write: |limits, value| limits.$name = value as $type,
            },
        )+];
    };
}

limits! {
    /// Connections. RabbitMQ has no limit; this one keeps a leak in a client from taking all
    /// descriptors.
    connections_max: usize = 10_000, Count in 1..=10_000_000;
    /// Connections of one address that have not logged in: slow ones must not fill the door.
    handshakes_per_address_max: usize = 1_000, Count in 1..=10_000_000;
    /// From accept to an open virtual host, in milliseconds (spec 1.1.5).
    handshake_timeout_ms: u64 = 10_000, Count in 1..=600_000;
    /// How long a refused login waits, in milliseconds: the brake on guessing (spec 1.3.6).
    refusal_delay_ms: u64 = 3_000, Count in 0..=60_000;
    /// Bytes that the password of a user must have at least, where it is given as text; hashes are taken
    /// as they come (spec 8.3.4). RabbitMQ asks for none either.
    password_bytes_min: usize = 0, Count in 0..=1_000;
    /// Channels of one connection, as RabbitMQ offers; 0 for no limit.
    channel_max: u16 = 2047, Count in 0..=65_535;
    /// Channels of all connections together; 0 for no limit, as in RabbitMQ.
    channels_max: u64 = 0, Count in 0..=1_000_000_000;
    /// Virtual hosts; 0 for no limit, as in RabbitMQ.
    virtual_hosts_max: usize = 0, Count in 0..=1_000_000;
    /// Queues of all virtual hosts together; 0 for no limit, as in RabbitMQ.
    queues_max: usize = 0, Count in 0..=1_000_000_000;
    /// Exchanges of all virtual hosts together, predeclared ones included; 0 for no limit, as in
    /// RabbitMQ.
    exchanges_max: usize = 0, Count in 0..=1_000_000_000;
    /// Bytes of one frame, as RabbitMQ offers; 0 for no limit.
    frame_max: u32 = 131_072, Bytes in 4_096..=536_870_912, or_zero;
    /// The smallest frame size that a client may ask for. AMQP's own minimum; RabbitMQ 4 asks for
    /// 8192, which shuts old clients out.
    frame_min: u32 = 4096, Bytes in 4_096..=1_048_576;
    /// Bytes of one frame before the client has logged in (spec 1.4.5).
    initial_frame_max: u32 = 8192, Bytes in 4_096..=1_048_576;
    /// Seconds between heartbeats, as RabbitMQ offers; 0 for none.
    heartbeat_seconds: u16 = 60, Count in 0..=65_535;
    /// Bytes of one message's body, as RabbitMQ 4 has it (spec 5.1.2).
    message_bytes_max: u64 = 16 << 20, Bytes in 1..=536_870_912;
    /// Bytes of incomplete messages on one connection (spec 13.3).
    partial_bytes_max: usize = 64 << 20, Bytes in 1..=68_719_476_736;
    /// Consumers of one channel; 0 for no limit, as in RabbitMQ.
    consumers_per_channel_max: usize = 0, Count in 0..=10_000_000;
    /// Bytes of deliveries that wait for one connection: a consumer that does not read costs this.
    outbox_bytes: usize = 1 << 20, Bytes in 4_096..=1_073_741_824;
    /// Bytes that wait to be written to one socket before deliveries to it stop.
    write_buffer_bytes: usize = 256 << 10, Bytes in 4_096..=1_073_741_824;
    /// Bytes that wait to be written to one socket before it is no longer read: a client that asks
    /// without reading the answers costs this.
    write_buffer_bytes_max: usize = 4 << 20, Bytes in 4_096..=1_073_741_824;
    /// How long a peer may take nothing of what waits for it, in milliseconds (spec 11.4).
    write_timeout_ms: u64 = 30_000, Count in 1..=3_600_000;
    /// Bodies kept in memory although the log holds them, in bytes, for the whole broker: enough for
    /// consumers that keep up; a backlog is read back, and most of it from the system's own cache.
    body_cache_bytes: usize = 4 << 20, Bytes in 0..=1_099_511_627_776;
    /// Bytes handed to the log and not yet written before publishers wait. More than one commit
    /// group, so that the next one fills while one is synced.
    store_backlog_bytes_max: usize = 16 << 20, Bytes in 65_536..=17_179_869_184;
    /// Keys that a queue with `x-message-deduplication` knows where it does not say how many, some 130
    /// bytes each. A queue with more messages than that lets the duplicates of its oldest in.
    deduplication_keys: u64 = 100_000, Count in 1..=1_000_000_000;
    /// Keys that such a queue may ask for with `x-cache-size`, at most: what one client can make one queue
    /// take of the broker's memory.
    deduplication_keys_max: u64 = 1_000_000, Count in 1..=1_000_000_000;
    /// Connections to the HTTP API.
    management_connections_max: usize = 256, Count in 1..=1_000_000;
    /// Bytes of the body of one request to the HTTP API, as RabbitMQ has it (spec 10.1.4).
    management_body_bytes_max: usize = 10_000_000, Bytes in 1_024..=1_073_741_824;
    /// How long a request to the HTTP API may take to arrive, in milliseconds; as long may a
    /// connection be idle.
    management_timeout_ms: u64 = 30_000, Count in 1..=600_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_keeps_both_ends_of_its_range() {
        for limit in LIMITS {
            for value in [limit.min, limit.max] {
                let mut limits = Limits::default();
                (limit.write)(&mut limits, value);
                assert_eq!((limit.read)(&limits), value, "{}", limit.key);
            }
        }
    }

    #[test]
    fn every_default_lies_in_its_range() {
        for limit in LIMITS {
            let default = (limit.read)(&Limits::default());
            let fits = (limit.min..=limit.max).contains(&default) || (limit.zero && default == 0);
            assert!(fits, "{} = {default}", limit.key);
        }
    }
}
