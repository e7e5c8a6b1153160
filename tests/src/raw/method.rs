//! Method ids, and the bytes of those methods that a client sends.

use std::fmt;

use super::bytes::{Reader, Writer};
use super::value::Table;

/// Class id and method id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MethodId(pub u16, pub u16);

impl fmt::Debug for MethodId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match METHODS.iter().find(|method| method.id == *self) {
            Some(method) => formatter.write_str(method.name),
            None => write!(formatter, "method {}/{}", self.0, self.1),
        }
    }
}

/// Who may send a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The client alone.
    Client,
    /// The server alone.
    Server,
    /// Both sides.
    Both,
}

/// One row of the protocol's method table.
#[derive(Clone, Copy, Debug)]
pub struct MethodInfo {
    /// Class id and method id.
    pub id: MethodId,
    /// Name as in the protocol, `class.method`.
    pub name: &'static str,
    /// Who may send it.
    pub sender: Sender,
}

macro_rules! methods {
    ($($constant:ident = $class:literal, $method:literal, $name:literal, $sender:ident;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: MethodId = MethodId($class, $method);
        )*
        /// All methods of AMQP 0-9-1 with RabbitMQ's extensions, in the order of their ids.
        pub const METHODS: &[MethodInfo] = &[
            $(MethodInfo { id: $constant, name: $name, sender: Sender::$sender },)*
        ];
    };
}

methods! {
    CONNECTION_START = 10, 10, "connection.start", Server;
    CONNECTION_START_OK = 10, 11, "connection.start-ok", Client;
    CONNECTION_SECURE = 10, 20, "connection.secure", Server;
    CONNECTION_SECURE_OK = 10, 21, "connection.secure-ok", Client;
    CONNECTION_TUNE = 10, 30, "connection.tune", Server;
    CONNECTION_TUNE_OK = 10, 31, "connection.tune-ok", Client;
    CONNECTION_OPEN = 10, 40, "connection.open", Client;
    CONNECTION_OPEN_OK = 10, 41, "connection.open-ok", Server;
    CONNECTION_CLOSE = 10, 50, "connection.close", Both;
    CONNECTION_CLOSE_OK = 10, 51, "connection.close-ok", Both;
    CONNECTION_BLOCKED = 10, 60, "connection.blocked", Server;
    CONNECTION_UNBLOCKED = 10, 61, "connection.unblocked", Server;
    CONNECTION_UPDATE_SECRET = 10, 70, "connection.update-secret", Client;
    CONNECTION_UPDATE_SECRET_OK = 10, 71, "connection.update-secret-ok", Server;
    CHANNEL_OPEN = 20, 10, "channel.open", Client;
    CHANNEL_OPEN_OK = 20, 11, "channel.open-ok", Server;
    CHANNEL_FLOW = 20, 20, "channel.flow", Both;
    CHANNEL_FLOW_OK = 20, 21, "channel.flow-ok", Both;
    CHANNEL_CLOSE = 20, 40, "channel.close", Both;
    CHANNEL_CLOSE_OK = 20, 41, "channel.close-ok", Both;
    ACCESS_REQUEST = 30, 10, "access.request", Client;
    ACCESS_REQUEST_OK = 30, 11, "access.request-ok", Server;
    EXCHANGE_DECLARE = 40, 10, "exchange.declare", Client;
    EXCHANGE_DECLARE_OK = 40, 11, "exchange.declare-ok", Server;
    EXCHANGE_DELETE = 40, 20, "exchange.delete", Client;
    EXCHANGE_DELETE_OK = 40, 21, "exchange.delete-ok", Server;
    EXCHANGE_BIND = 40, 30, "exchange.bind", Client;
    EXCHANGE_BIND_OK = 40, 31, "exchange.bind-ok", Server;
    EXCHANGE_UNBIND = 40, 40, "exchange.unbind", Client;
    EXCHANGE_UNBIND_OK = 40, 51, "exchange.unbind-ok", Server;
    QUEUE_DECLARE = 50, 10, "queue.declare", Client;
    QUEUE_DECLARE_OK = 50, 11, "queue.declare-ok", Server;
    QUEUE_BIND = 50, 20, "queue.bind", Client;
    QUEUE_BIND_OK = 50, 21, "queue.bind-ok", Server;
    QUEUE_PURGE = 50, 30, "queue.purge", Client;
    QUEUE_PURGE_OK = 50, 31, "queue.purge-ok", Server;
    QUEUE_DELETE = 50, 40, "queue.delete", Client;
    QUEUE_DELETE_OK = 50, 41, "queue.delete-ok", Server;
    QUEUE_UNBIND = 50, 50, "queue.unbind", Client;
    QUEUE_UNBIND_OK = 50, 51, "queue.unbind-ok", Server;
    BASIC_QOS = 60, 10, "basic.qos", Client;
    BASIC_QOS_OK = 60, 11, "basic.qos-ok", Server;
    BASIC_CONSUME = 60, 20, "basic.consume", Client;
    BASIC_CONSUME_OK = 60, 21, "basic.consume-ok", Server;
    BASIC_CANCEL = 60, 30, "basic.cancel", Both;
    BASIC_CANCEL_OK = 60, 31, "basic.cancel-ok", Both;
    BASIC_PUBLISH = 60, 40, "basic.publish", Client;
    BASIC_RETURN = 60, 50, "basic.return", Server;
    BASIC_DELIVER = 60, 60, "basic.deliver", Server;
    BASIC_GET = 60, 70, "basic.get", Client;
    BASIC_GET_OK = 60, 71, "basic.get-ok", Server;
    BASIC_GET_EMPTY = 60, 72, "basic.get-empty", Server;
    BASIC_ACK = 60, 80, "basic.ack", Both;
    BASIC_REJECT = 60, 90, "basic.reject", Client;
    BASIC_RECOVER_ASYNC = 60, 100, "basic.recover-async", Client;
    BASIC_RECOVER = 60, 110, "basic.recover", Client;
    BASIC_RECOVER_OK = 60, 111, "basic.recover-ok", Server;
    BASIC_NACK = 60, 120, "basic.nack", Both;
    CONFIRM_SELECT = 85, 10, "confirm.select", Client;
    CONFIRM_SELECT_OK = 85, 11, "confirm.select-ok", Server;
    TX_SELECT = 90, 10, "tx.select", Client;
    TX_SELECT_OK = 90, 11, "tx.select-ok", Server;
    TX_COMMIT = 90, 20, "tx.commit", Client;
    TX_COMMIT_OK = 90, 21, "tx.commit-ok", Server;
    TX_ROLLBACK = 90, 30, "tx.rollback", Client;
    TX_ROLLBACK_OK = 90, 31, "tx.rollback-ok", Server;
}

/// A method as it goes on the wire: its id and its arguments' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Which method.
    pub id: MethodId,
    /// Its arguments, encoded.
    pub arguments: Vec<u8>,
}

impl Method {
    /// A method with these arguments.
    #[must_use]
    pub fn new(id: MethodId, arguments: Writer) -> Self {
        Self {
            id,
            arguments: arguments.finish(),
        }
    }

    /// A method without arguments.
    #[must_use]
    pub fn empty(id: MethodId) -> Self {
        Self {
            id,
            arguments: Vec::new(),
        }
    }

    /// The payload of its frame.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        Writer::new()
            .u16(self.id.0)
            .u16(self.id.1)
            .raw(&self.arguments)
            .finish()
    }

    /// Its arguments, from the first.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.arguments)
    }
}

/// Bits of exchange.declare; they add up.
pub mod exchange_bits {
    /// Only ask whether it exists.
    pub const PASSIVE: u8 = 1;
    /// Survive a restart.
    pub const DURABLE: u8 = 2;
    /// Go with the last binding.
    pub const AUTO_DELETE: u8 = 4;
    /// Closed to publishers.
    pub const INTERNAL: u8 = 8;
    /// Send no reply.
    pub const NO_WAIT: u8 = 16;
}

/// Bits of queue.declare; they add up.
pub mod queue_bits {
    /// Only ask whether it exists.
    pub const PASSIVE: u8 = 1;
    /// Survive a restart.
    pub const DURABLE: u8 = 2;
    /// For this connection alone.
    pub const EXCLUSIVE: u8 = 4;
    /// Go with the last consumer.
    pub const AUTO_DELETE: u8 = 8;
    /// Send no reply.
    pub const NO_WAIT: u8 = 16;
}

/// Bits of basic.consume; they add up.
pub mod consume_bits {
    /// Do not deliver what this connection published.
    pub const NO_LOCAL: u8 = 1;
    /// Deliveries are settled when sent.
    pub const NO_ACK: u8 = 2;
    /// No other consumer.
    pub const EXCLUSIVE: u8 = 4;
    /// Send no reply.
    pub const NO_WAIT: u8 = 8;
}

/// `channel.open`
#[must_use]
pub fn channel_open() -> Method {
    Method::new(CHANNEL_OPEN, Writer::new().short(""))
}

/// `channel.close`
#[must_use]
pub fn channel_close() -> Method {
    Method::new(
        CHANNEL_CLOSE,
        Writer::new().u16(200).short("done").u16(0).u16(0),
    )
}

/// `channel.flow`
#[must_use]
pub fn channel_flow(active: bool) -> Method {
    Method::new(CHANNEL_FLOW, Writer::new().u8(u8::from(active)))
}

/// `connection.close`
#[must_use]
pub fn connection_close() -> Method {
    Method::new(
        CONNECTION_CLOSE,
        Writer::new().u16(200).short("done").u16(0).u16(0),
    )
}

/// `connection.open`
#[must_use]
pub fn connection_open(virtual_host: &str) -> Method {
    Method::new(
        CONNECTION_OPEN,
        Writer::new().short(virtual_host).short("").u8(0),
    )
}

/// `connection.start-ok`
#[must_use]
pub fn start_ok(properties: &Table, mechanism: &str, response: &[u8]) -> Method {
    let arguments = Writer::new()
        .table(properties)
        .short(mechanism)
        .long(response)
        .short("en_US");
    Method::new(CONNECTION_START_OK, arguments)
}

/// `connection.tune-ok`
#[must_use]
pub fn tune_ok(channel_max: u16, frame_max: u32, heartbeat: u16) -> Method {
    Method::new(
        CONNECTION_TUNE_OK,
        Writer::new().u16(channel_max).u32(frame_max).u16(heartbeat),
    )
}

/// `access.request`
#[must_use]
pub fn access_request() -> Method {
    Method::new(ACCESS_REQUEST, Writer::new().short("/data").u8(0b1_1100))
}

/// `exchange.declare`; for `bits` see [`exchange_bits`].
#[must_use]
pub fn exchange_declare(exchange: &str, kind: &str, bits: u8, arguments: &Table) -> Method {
    let writer = Writer::new()
        .u16(0)
        .short(exchange)
        .short(kind)
        .u8(bits)
        .table(arguments);
    Method::new(EXCHANGE_DECLARE, writer)
}

/// `exchange.delete`; bit 0 if-unused, bit 1 no-wait.
#[must_use]
pub fn exchange_delete(exchange: &str, bits: u8) -> Method {
    Method::new(
        EXCHANGE_DELETE,
        Writer::new().u16(0).short(exchange).u8(bits),
    )
}

/// `exchange.bind`
#[must_use]
pub fn exchange_bind(destination: &str, source: &str, key: &str, arguments: &Table) -> Method {
    let writer = Writer::new()
        .u16(0)
        .short(destination)
        .short(source)
        .short(key);
    Method::new(EXCHANGE_BIND, writer.u8(0).table(arguments))
}

/// `exchange.unbind`
#[must_use]
pub fn exchange_unbind(destination: &str, source: &str, key: &str, arguments: &Table) -> Method {
    Method {
        id: EXCHANGE_UNBIND,
        ..exchange_bind(destination, source, key, arguments)
    }
}

/// `queue.declare`; for `bits` see [`queue_bits`].
#[must_use]
pub fn queue_declare(queue: &str, bits: u8, arguments: &Table) -> Method {
    Method::new(
        QUEUE_DECLARE,
        Writer::new().u16(0).short(queue).u8(bits).table(arguments),
    )
}

/// `queue.bind`
#[must_use]
pub fn queue_bind(queue: &str, exchange: &str, key: &str, arguments: &Table) -> Method {
    let writer = Writer::new().u16(0).short(queue).short(exchange).short(key);
    Method::new(QUEUE_BIND, writer.u8(0).table(arguments))
}

/// `queue.unbind`
#[must_use]
pub fn queue_unbind(queue: &str, exchange: &str, key: &str, arguments: &Table) -> Method {
    let writer = Writer::new().u16(0).short(queue).short(exchange).short(key);
    Method::new(QUEUE_UNBIND, writer.table(arguments))
}

/// `queue.purge`
#[must_use]
pub fn queue_purge(queue: &str) -> Method {
    Method::new(QUEUE_PURGE, Writer::new().u16(0).short(queue).u8(0))
}

/// `queue.delete`; bit 0 if-unused, bit 1 if-empty, bit 2 no-wait.
#[must_use]
pub fn queue_delete(queue: &str, bits: u8) -> Method {
    Method::new(QUEUE_DELETE, Writer::new().u16(0).short(queue).u8(bits))
}

/// `basic.qos`
#[must_use]
pub fn basic_qos(size: u32, count: u16, global: bool) -> Method {
    Method::new(
        BASIC_QOS,
        Writer::new().u32(size).u16(count).u8(u8::from(global)),
    )
}

/// `basic.consume`; for `bits` see [`consume_bits`].
#[must_use]
pub fn basic_consume(queue: &str, tag: &str, bits: u8, arguments: &Table) -> Method {
    let writer = Writer::new()
        .u16(0)
        .short(queue)
        .short(tag)
        .u8(bits)
        .table(arguments);
    Method::new(BASIC_CONSUME, writer)
}

/// `basic.cancel`
#[must_use]
pub fn basic_cancel(tag: &str) -> Method {
    Method::new(BASIC_CANCEL, Writer::new().short(tag).u8(0))
}

/// `basic.publish`; bit 0 mandatory, bit 1 immediate.
#[must_use]
pub fn basic_publish(exchange: &str, key: &str, bits: u8) -> Method {
    Method::new(
        BASIC_PUBLISH,
        Writer::new().u16(0).short(exchange).short(key).u8(bits),
    )
}

/// `basic.get`
#[must_use]
pub fn basic_get(queue: &str, no_ack: bool) -> Method {
    Method::new(
        BASIC_GET,
        Writer::new().u16(0).short(queue).u8(u8::from(no_ack)),
    )
}

/// `basic.ack`
#[must_use]
pub fn basic_ack(tag: u64, multiple: bool) -> Method {
    Method::new(BASIC_ACK, Writer::new().u64(tag).u8(u8::from(multiple)))
}

/// `basic.nack`
#[must_use]
pub fn basic_nack(tag: u64, multiple: bool, requeue: bool) -> Method {
    let bits = u8::from(multiple) | u8::from(requeue) << 1;
    Method::new(BASIC_NACK, Writer::new().u64(tag).u8(bits))
}

/// `basic.reject`
#[must_use]
pub fn basic_reject(tag: u64, requeue: bool) -> Method {
    Method::new(BASIC_REJECT, Writer::new().u64(tag).u8(u8::from(requeue)))
}

/// `basic.recover`
#[must_use]
pub fn basic_recover(requeue: bool) -> Method {
    Method::new(BASIC_RECOVER, Writer::new().u8(u8::from(requeue)))
}

/// `confirm.select`
#[must_use]
pub fn confirm_select() -> Method {
    Method::new(CONFIRM_SELECT, Writer::new().u8(0))
}

/// `tx.select`
#[must_use]
pub fn tx_select() -> Method {
    Method::empty(TX_SELECT)
}

/// `tx.commit`
#[must_use]
pub fn tx_commit() -> Method {
    Method::empty(TX_COMMIT)
}

/// `tx.rollback`
#[must_use]
pub fn tx_rollback() -> Method {
    Method::empty(TX_ROLLBACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_of_the_66_methods_once_in_order() {
        let mut ids: Vec<_> = METHODS.iter().map(|method| method.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 66);
        assert!(ids.is_sorted());
    }
}
