//! What our methods mean in the types of `amq-protocol`, field by field and by name.
//!
//! Reserved arguments, which `amq-protocol` drops, are left out.

use amq_protocol::protocol::{self as oracle, AMQPClass};
use amq_protocol::types::{FieldTable, LongString, ShortString};
use leveret::wire::method::{access, basic, channel, confirm, connection, exchange, queue, tx};
use leveret::wire::{Method, Secret, TableReader};

/// A value and its counterpart in the oracle.
trait Meaning {
    type Counterpart;
    fn meaning(self) -> Self::Counterpart;
}

macro_rules! same_type {
    ($($type:ty),*) => {$(
        impl Meaning for $type {
            type Counterpart = Self;
            fn meaning(self) -> Self {
                self
            }
        }
    )*};
}

same_type!(bool, u8, u16, u32, u64);

impl Meaning for &str {
    type Counterpart = ShortString;
    fn meaning(self) -> ShortString {
        self.into()
    }
}

impl Meaning for &[u8] {
    type Counterpart = LongString;
    fn meaning(self) -> LongString {
        self.into()
    }
}

impl Meaning for Secret<'_> {
    type Counterpart = LongString;
    fn meaning(self) -> LongString {
        self.expose().into()
    }
}

impl Meaning for TableReader<'_> {
    type Counterpart = FieldTable;
    fn meaning(self) -> FieldTable {
        self.to_field_table()
            .expect("tables of parsed methods are valid")
    }
}

macro_rules! meanings {
    ($($Class:ident $module:ident {
        $($Structure:ident { $($field:ident),* })*
    })*) => {
        /// The oracle's value for `method`.
        pub(crate) fn meaning(method: Method<'_>) -> AMQPClass {
            match method {
                $(Method::$Class(method) => AMQPClass::$Class(match method {
                    $($module::Method::$Structure($module::$Structure { $($field,)* .. }) => {
                        oracle::$module::AMQPMethod::$Structure(oracle::$module::$Structure {
                            $($field: $field.meaning(),)*
                        })
                    })*
                }),)*
            }
        }
    };
}

meanings! {
    Connection connection {
        Start { version_major, version_minor, server_properties, mechanisms, locales }
        StartOk { client_properties, mechanism, response, locale }
        Secure { challenge }
        SecureOk { response }
        Tune { channel_max, frame_max, heartbeat }
        TuneOk { channel_max, frame_max, heartbeat }
        Open { virtual_host }
        OpenOk {}
        Close { reply_code, reply_text, class_id, method_id }
        CloseOk {}
        Blocked { reason }
        Unblocked {}
        UpdateSecret { new_secret, reason }
        UpdateSecretOk {}
    }
    Channel channel {
        Open {}
        OpenOk {}
        Flow { active }
        FlowOk { active }
        Close { reply_code, reply_text, class_id, method_id }
        CloseOk {}
    }
    Access access {
        Request { realm, exclusive, passive, active, write, read }
        RequestOk {}
    }
    Exchange exchange {
        Declare {
            exchange, kind, passive, durable, auto_delete, internal, nowait, arguments
        }
        DeclareOk {}
        Delete { exchange, if_unused, nowait }
        DeleteOk {}
        Bind { destination, source, routing_key, nowait, arguments }
        BindOk {}
        Unbind { destination, source, routing_key, nowait, arguments }
        UnbindOk {}
    }
    Queue queue {
        Declare { queue, passive, durable, exclusive, auto_delete, nowait, arguments }
        DeclareOk { queue, message_count, consumer_count }
        Bind { queue, exchange, routing_key, nowait, arguments }
        BindOk {}
        Purge { queue, nowait }
        PurgeOk { message_count }
        Delete { queue, if_unused, if_empty, nowait }
        DeleteOk { message_count }
        Unbind { queue, exchange, routing_key, arguments }
        UnbindOk {}
    }
    Basic basic {
        Qos { prefetch_count, global }
        QosOk {}
        Consume { queue, consumer_tag, no_local, no_ack, exclusive, nowait, arguments }
        ConsumeOk { consumer_tag }
        Cancel { consumer_tag, nowait }
        CancelOk { consumer_tag }
        Publish { exchange, routing_key, mandatory, immediate }
        Return { reply_code, reply_text, exchange, routing_key }
        Deliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key }
        Get { queue, no_ack }
        GetOk { delivery_tag, redelivered, exchange, routing_key, message_count }
        GetEmpty {}
        Ack { delivery_tag, multiple }
        Reject { delivery_tag, requeue }
        RecoverAsync { requeue }
        Recover { requeue }
        RecoverOk {}
        Nack { delivery_tag, multiple, requeue }
    }
    Confirm confirm {
        Select { nowait }
        SelectOk {}
    }
    Tx tx {
        Select {}
        SelectOk {}
        Commit {}
        CommitOk {}
        Rollback {}
        RollbackOk {}
    }
}
