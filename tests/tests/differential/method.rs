//! The method of each action, with the names of one run.

use leveret_tests::raw::bytes::Writer;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, Method, consume_bits, exchange_bits, queue_bits};

use crate::script::{
    Action, Binding, Consume, DeclareExchange, DeclareQueue, Publish, Settle, Verdict, real, table,
};

/// Adds up the bits whose flags are set.
fn bits(flags: &[(bool, u8)]) -> u8 {
    let set = flags.iter().filter(|(is_set, _)| *is_set);
    set.fold(0, |sum, (_, bit)| sum | bit)
}

/// The method of an action that is one method without a tag or content; `None` for the others.
pub(crate) fn plain(prefix: &str, action: &Action) -> Option<Method> {
    let name = |name: &str| real(prefix, name);
    Some(match action {
        Action::DeclareQueue(declare) => declare_queue(prefix, declare),
        Action::DeleteQueue {
            queue,
            if_unused,
            if_empty,
            no_wait,
        } => {
            let bits = bits(&[(*if_unused, 1), (*if_empty, 2), (*no_wait, 4)]);
            method::queue_delete(&name(queue), bits)
        }
        Action::PurgeQueue { queue } => method::queue_purge(&name(queue)),
        Action::DeclareExchange(declare) => declare_exchange(prefix, declare),
        Action::DeleteExchange {
            exchange,
            if_unused,
            no_wait,
        } => method::exchange_delete(&name(exchange), bits(&[(*if_unused, 1), (*no_wait, 2)])),
        Action::Bind(binding) => bind(prefix, binding, method::queue_bind),
        Action::Unbind(binding) => bind(prefix, binding, method::queue_unbind),
        Action::BindExchange(binding) => bind(prefix, binding, method::exchange_bind),
        Action::UnbindExchange(binding) => bind(prefix, binding, method::exchange_unbind),
        Action::Get { queue, no_ack } => method::basic_get(&name(queue), *no_ack),
        Action::Consume(consume) => basic_consume(prefix, consume),
        Action::Cancel { tag } => method::basic_cancel(tag),
        Action::Qos {
            size,
            count,
            global,
        } => method::basic_qos(*size, *count, *global),
        Action::Recover {
            requeue,
            without_reply: false,
        } => method::basic_recover(*requeue),
        Action::Recover {
            requeue,
            without_reply: true,
        } => Method::new(
            method::BASIC_RECOVER_ASYNC,
            Writer::new().u8(u8::from(*requeue)),
        ),
        Action::SelectConfirms => method::confirm_select(),
        Action::SelectTransaction => method::tx_select(),
        Action::Commit => method::tx_commit(),
        Action::Rollback => method::tx_rollback(),
        Action::Flow { active } => method::channel_flow(*active),
        Action::CloseChannel => method::channel_close(),
        Action::Publish(_)
        | Action::Settle(_)
        | Action::CloseConnection
        | Action::DropConnection => return None,
    })
}

/// Whether the broker answers when all goes well.
pub(crate) fn is_answered(action: &Action) -> bool {
    match action {
        Action::DeclareQueue(declare) => !declare.no_wait,
        Action::DeclareExchange(declare) => !declare.no_wait,
        Action::DeleteQueue { no_wait, .. } | Action::DeleteExchange { no_wait, .. } => !no_wait,
        Action::Consume(consume) => !consume.no_wait,
        Action::Recover { without_reply, .. } => !without_reply,
        Action::Publish(_) | Action::Settle(_) => false,
        Action::PurgeQueue { .. }
        | Action::Bind(_)
        | Action::Unbind(_)
        | Action::BindExchange(_)
        | Action::UnbindExchange(_)
        | Action::Get { .. }
        | Action::Cancel { .. }
        | Action::Qos { .. }
        | Action::SelectConfirms
        | Action::SelectTransaction
        | Action::Commit
        | Action::Rollback
        | Action::Flow { .. }
        | Action::CloseChannel
        | Action::CloseConnection
        | Action::DropConnection => true,
    }
}

fn declare_queue(prefix: &str, declare: &DeclareQueue) -> Method {
    let bits = bits(&[
        (declare.passive, queue_bits::PASSIVE),
        (declare.durable, queue_bits::DURABLE),
        (declare.exclusive, queue_bits::EXCLUSIVE),
        (declare.auto_delete, queue_bits::AUTO_DELETE),
        (declare.no_wait, queue_bits::NO_WAIT),
    ]);
    let arguments = table(prefix, &declare.arguments);
    method::queue_declare(&real(prefix, &declare.queue), bits, &arguments)
}

fn declare_exchange(prefix: &str, declare: &DeclareExchange) -> Method {
    let bits = bits(&[
        (declare.passive, exchange_bits::PASSIVE),
        (declare.durable, exchange_bits::DURABLE),
        (declare.auto_delete, exchange_bits::AUTO_DELETE),
        (declare.internal, exchange_bits::INTERNAL),
        (declare.no_wait, exchange_bits::NO_WAIT),
    ]);
    let arguments = table(prefix, &declare.arguments);
    method::exchange_declare(
        &real(prefix, &declare.exchange),
        &declare.kind,
        bits,
        &arguments,
    )
}

fn bind(
    prefix: &str,
    binding: &Binding,
    method: fn(&str, &str, &str, &leveret_tests::raw::value::Table) -> Method,
) -> Method {
    let (destination, source) = (
        real(prefix, &binding.destination),
        real(prefix, &binding.source),
    );
    let arguments = table(prefix, &binding.arguments);
    method(
        &destination,
        &source,
        &real(prefix, &binding.key),
        &arguments,
    )
}

fn basic_consume(prefix: &str, consume: &Consume) -> Method {
    let bits = bits(&[
        (consume.no_ack, consume_bits::NO_ACK),
        (consume.exclusive, consume_bits::EXCLUSIVE),
        (consume.no_wait, consume_bits::NO_WAIT),
    ]);
    let arguments = table(prefix, &consume.arguments);
    method::basic_consume(
        &real(prefix, &consume.queue),
        &consume.tag,
        bits,
        &arguments,
    )
}

/// The settlement of this tag.
pub(crate) fn settle(settle: &Settle, tag: u64) -> Method {
    match settle.how {
        Verdict::Ack => method::basic_ack(tag, settle.multiple),
        Verdict::Nack => method::basic_nack(tag, settle.multiple, settle.requeue),
        Verdict::Reject => method::basic_reject(tag, settle.requeue),
    }
}

/// The publish method, the properties and the body.
pub(crate) fn publish(
    prefix: &str,
    publish: &Publish,
    number: usize,
) -> (Method, Properties, String) {
    let bits = bits(&[(publish.mandatory, 1), (publish.immediate, 2)]);
    let (exchange, key) = (real(prefix, &publish.exchange), real(prefix, &publish.key));
    let properties = Properties {
        headers: publish
            .headers
            .as_ref()
            .map(|headers| table(prefix, headers)),
        delivery_mode: publish.delivery_mode,
        priority: publish.priority,
        expiration: publish.expiration.clone(),
        user_id: publish.user_id.clone(),
        message_id: publish.message_id.clone(),
        timestamp: publish.timestamp,
        ..Properties::default()
    };
    let body = format!("m{number}{}", ".".repeat(publish.padding));
    (
        method::basic_publish(&exchange, &key, bits),
        properties,
        body,
    )
}
