//! The method tables: number, name, sender, and arguments in the order of the wire.
//!
//! `&str` is a short string, `&[u8]` a long one, `bool` a bit packed with its neighbours. Reserved
//! arguments are kept, so that a method that was read can be written again unchanged.

/// Setting up a connection and taking it down.
pub mod connection {
    use crate::wire::arguments::Secret;
    use crate::wire::table::TableReader;

    class! {
        "connection" 10 <'a>;
        10 "start" Server Start<'a> {
            version_major: u8,
            version_minor: u8,
            server_properties: TableReader<'a>,
            mechanisms: &'a [u8],
            locales: &'a [u8],
        }
        11 "start-ok" Client StartOk<'a> {
            client_properties: TableReader<'a>,
            mechanism: &'a str,
            response: Secret<'a>,
            locale: &'a str,
        }
        20 "secure" Server Secure<'a> { challenge: &'a [u8] }
        21 "secure-ok" Client SecureOk<'a> { response: Secret<'a> }
        30 "tune" Server Tune { channel_max: u16, frame_max: u32, heartbeat: u16 }
        31 "tune-ok" Client TuneOk { channel_max: u16, frame_max: u32, heartbeat: u16 }
        40 "open" Client Open<'a> { virtual_host: &'a str, capabilities: &'a str, insist: bool }
        41 "open-ok" Server OpenOk<'a> { known_hosts: &'a str }
        50 "close" Either Close<'a> {
            reply_code: u16,
            reply_text: &'a str,
            class_id: u16,
            method_id: u16,
        }
        51 "close-ok" Either CloseOk {}
        60 "blocked" Server Blocked<'a> { reason: &'a str }
        61 "unblocked" Server Unblocked {}
        70 "update-secret" Client UpdateSecret<'a> { new_secret: Secret<'a>, reason: &'a str }
        71 "update-secret-ok" Server UpdateSecretOk {}
    }
}

/// Opening and closing channels.
pub mod channel {
    class! {
        "channel" 20 <'a>;
        10 "open" Client Open<'a> { out_of_band: &'a str }
        11 "open-ok" Server OpenOk<'a> { channel_id: &'a [u8] }
        20 "flow" Either Flow { active: bool }
        21 "flow-ok" Either FlowOk { active: bool }
        40 "close" Either Close<'a> {
            reply_code: u16,
            reply_text: &'a str,
            class_id: u16,
            method_id: u16,
        }
        41 "close-ok" Either CloseOk {}
    }
}

/// Access tickets, which nothing uses any more.
pub mod access {
    class! {
        "access" 30 <'a>;
        10 "request" Client Request<'a> {
            realm: &'a str,
            exclusive: bool,
            passive: bool,
            active: bool,
            write: bool,
            read: bool,
        }
        11 "request-ok" Server RequestOk { ticket: u16 }
    }
}

/// Exchanges and the bindings between them.
pub mod exchange {
    use crate::wire::table::TableReader;

    class! {
        "exchange" 40 <'a>;
        10 "declare" Client Declare<'a> {
            ticket: u16,
            exchange: &'a str,
            kind: &'a str,
            passive: bool,
            durable: bool,
            auto_delete: bool,
            internal: bool,
            nowait: bool,
            arguments: TableReader<'a>,
        }
        11 "declare-ok" Server DeclareOk {}
        20 "delete" Client Delete<'a> {
            ticket: u16,
            exchange: &'a str,
            if_unused: bool,
            nowait: bool,
        }
        21 "delete-ok" Server DeleteOk {}
        30 "bind" Client Bind<'a> {
            ticket: u16,
            destination: &'a str,
            source: &'a str,
            routing_key: &'a str,
            nowait: bool,
            arguments: TableReader<'a>,
        }
        31 "bind-ok" Server BindOk {}
        40 "unbind" Client Unbind<'a> {
            ticket: u16,
            destination: &'a str,
            source: &'a str,
            routing_key: &'a str,
            nowait: bool,
            arguments: TableReader<'a>,
        }
        51 "unbind-ok" Server UnbindOk {}
    }
}

/// Queues and their bindings.
pub mod queue {
    use crate::wire::table::TableReader;

    class! {
        "queue" 50 <'a>;
        10 "declare" Client Declare<'a> {
            ticket: u16,
            queue: &'a str,
            passive: bool,
            durable: bool,
            exclusive: bool,
            auto_delete: bool,
            nowait: bool,
            arguments: TableReader<'a>,
        }
        11 "declare-ok" Server DeclareOk<'a> {
            queue: &'a str,
            message_count: u32,
            consumer_count: u32,
        }
        20 "bind" Client Bind<'a> {
            ticket: u16,
            queue: &'a str,
            exchange: &'a str,
            routing_key: &'a str,
            nowait: bool,
            arguments: TableReader<'a>,
        }
        21 "bind-ok" Server BindOk {}
        30 "purge" Client Purge<'a> { ticket: u16, queue: &'a str, nowait: bool }
        31 "purge-ok" Server PurgeOk { message_count: u32 }
        40 "delete" Client Delete<'a> {
            ticket: u16,
            queue: &'a str,
            if_unused: bool,
            if_empty: bool,
            nowait: bool,
        }
        41 "delete-ok" Server DeleteOk { message_count: u32 }
        50 "unbind" Client Unbind<'a> {
            ticket: u16,
            queue: &'a str,
            exchange: &'a str,
            routing_key: &'a str,
            arguments: TableReader<'a>,
        }
        51 "unbind-ok" Server UnbindOk {}
    }
}

/// Publishing, consuming, acknowledging.
pub mod basic {
    use crate::wire::table::TableReader;

    class! {
        "basic" 60 <'a>;
        10 "qos" Client Qos { prefetch_size: u32, prefetch_count: u16, global: bool }
        11 "qos-ok" Server QosOk {}
        20 "consume" Client Consume<'a> {
            ticket: u16,
            queue: &'a str,
            consumer_tag: &'a str,
            no_local: bool,
            no_ack: bool,
            exclusive: bool,
            nowait: bool,
            arguments: TableReader<'a>,
        }
        21 "consume-ok" Server ConsumeOk<'a> { consumer_tag: &'a str }
        30 "cancel" Either Cancel<'a> { consumer_tag: &'a str, nowait: bool }
        31 "cancel-ok" Either CancelOk<'a> { consumer_tag: &'a str }
        40 "publish" Client Publish<'a> {
            ticket: u16,
            exchange: &'a str,
            routing_key: &'a str,
            mandatory: bool,
            immediate: bool,
        }
        50 "return" Server Return<'a> {
            reply_code: u16,
            reply_text: &'a str,
            exchange: &'a str,
            routing_key: &'a str,
        }
        60 "deliver" Server Deliver<'a> {
            consumer_tag: &'a str,
            delivery_tag: u64,
            redelivered: bool,
            exchange: &'a str,
            routing_key: &'a str,
        }
        70 "get" Client Get<'a> { ticket: u16, queue: &'a str, no_ack: bool }
        71 "get-ok" Server GetOk<'a> {
            delivery_tag: u64,
            redelivered: bool,
            exchange: &'a str,
            routing_key: &'a str,
            message_count: u32,
        }
        72 "get-empty" Server GetEmpty<'a> { cluster_id: &'a str }
        80 "ack" Either Ack { delivery_tag: u64, multiple: bool }
        90 "reject" Client Reject { delivery_tag: u64, requeue: bool }
        100 "recover-async" Client RecoverAsync { requeue: bool }
        110 "recover" Client Recover { requeue: bool }
        111 "recover-ok" Server RecoverOk {}
        120 "nack" Either Nack { delivery_tag: u64, multiple: bool, requeue: bool }
    }
}

/// Publisher confirms.
pub mod confirm {
    class! {
        "confirm" 85;
        10 "select" Client Select { nowait: bool }
        11 "select-ok" Server SelectOk {}
    }
}

/// Transactions.
pub mod tx {
    class! {
        "tx" 90;
        10 "select" Client Select {}
        11 "select-ok" Server SelectOk {}
        20 "commit" Client Commit {}
        21 "commit-ok" Server CommitOk {}
        30 "rollback" Client Rollback {}
        31 "rollback-ok" Server RollbackOk {}
    }
}
