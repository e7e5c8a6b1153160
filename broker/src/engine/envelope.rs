//! What a message's properties demand where it is published, whoever publishes it (spec 5.1).

use std::sync::Arc;

use super::Engine;
use super::meters::Event;
use super::publish::{Burst, Origin, Route};
use super::reply::REPLY_QUEUE;
use super::rights::Rights;
use super::virtual_host::VirtualHost;
use crate::model::{AmqpError, ExchangeKind, ExchangeName, Message, ReplyCode, Resource, Verb};
use crate::store::Ticket;
use crate::wire::{Properties, Value};

/// What became of a message that came without a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    /// Whether somebody takes it.
    pub(crate) routed: bool,
    /// Whether some queue refused it.
    pub(crate) refused: bool,
    /// It is safe once this is durable.
    pub(crate) ticket: Ticket,
}

impl VirtualHost {
    /// Publishes a message that came without a channel.
    pub(crate) fn publish(
        &self,
        engine: &Arc<Engine>,
        rights: &Rights,
        message: Message,
    ) -> Result<Published, AmqpError> {
        let name = ExchangeName::from(&*text(message.exchange()));
        rights.check(Verb::Write, Resource::Exchange(name.as_str()))?;
        let exchange = self.existing_exchange(&name)?;
        if exchange.definition.internal {
            return Err(AmqpError::exchange_is_internal(&name, self.name()));
        }
        let properties = Properties::new(message.header().get(12..).unwrap_or_default());
        if properties.reply_to() == Some(REPLY_QUEUE.as_bytes()) {
            return Err(AmqpError::no_reply_consumer());
        }
        check_expiration(properties)?;
        let carbon_copies = CarbonCopies::read(properties)?;
        let keys = std::iter::once(message.routing_key()).chain(carbon_copies.keys());
        if exchange.definition.kind == ExchangeKind::Topic {
            for key in keys.clone() {
                rights.check_topic(Verb::Write, &name, key)?;
            }
        }
        check_user_id(properties, rights)?;
        let route = Route::find(self, &exchange, keys, properties);
        engine.count_publish(self, message.body().len() as u64);
        if route.is_empty() {
            engine.count(self, Event::ReturnUnroutable, 1);
        }
        let mut burst = Burst::default();
        let origin = Origin {
            channel: 0,
            number: 1,
        };
        burst.add(&route, message, origin);
        let flushed = burst.flush(engine);
        Ok(Published {
            routed: !route.is_empty(),
            refused: !flushed.refused.is_empty(),
            ticket: flushed.ticket,
        })
    }
}

/// The extra routing keys of a message (spec 5.1.8).
pub(crate) struct CarbonCopies<'a> {
    visible: Option<Value<'a>>,
    blind: Option<Value<'a>>,
}

impl<'a> CarbonCopies<'a> {
    /// Reads them, or says what is wrong with them.
    pub(crate) fn read(properties: Properties<'a>) -> Result<Self, AmqpError> {
        let headers = properties.headers();
        let list = |name: &str| match headers.and_then(|headers| headers.get(name)) {
            None => Ok(None),
            Some(value @ Value::Array(_)) => Ok(Some(value)),
            Some(value) => Err(AmqpError::new(
                ReplyCode::PreconditionFailed,
                format!(
                    "invalid message: {{unacceptable_type_in_header,\"{name}\",{}}}",
                    value.type_name()
                ),
            )),
        };
        Ok(Self {
            visible: list("CC")?,
            blind: list("BCC")?,
        })
    }

    /// The keys, visible ones first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a [u8]> + Clone {
        [self.visible, self.blind]
            .into_iter()
            .flatten()
            .filter_map(|value| value.as_array())
            .flat_map(|array| array.iter())
            .filter_map(|value| match value {
                Value::LongString(key) => Some(key),
                _ => None,
            })
    }

    /// Whether there are some that no consumer may see.
    pub(crate) const fn are_blind(&self) -> bool {
        self.blind.is_some()
    }
}

/// Spec 5.1.6.
pub(crate) fn check_expiration(properties: Properties<'_>) -> Result<(), AmqpError> {
    const TEN_YEARS_MS: i128 = 315_360_000_000;
    let Some(expiration) = properties.expiration() else {
        return Ok(());
    };
    let refuse = |detail: String| {
        let text = format!("invalid expiration '{}': {detail}", text(expiration));
        Err(AmqpError::new(ReplyCode::PreconditionFailed, text))
    };
    let signed = usize::from(matches!(expiration.first(), Some(b'+' | b'-')));
    let digits = expiration[signed..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits == 0 {
        return refuse("no_integer".to_owned());
    }
    let (number, leftover) = expiration.split_at(signed + digits);
    if !leftover.is_empty() {
        return refuse(format!("{{leftover_string,\"{}\"}}", text(leftover)));
    }
    match text(number).parse::<i128>() {
        Ok(value) if value < 0 => refuse(format!("{{value_negative,{value}}}")),
        Ok(value) if value <= TEN_YEARS_MS => Ok(()),
        Ok(_) | Err(_) => refuse(format!("{{value_too_large,{}}}", text(number))),
    }
}

/// Spec 5.1.7.
pub(crate) fn check_user_id(properties: Properties<'_>, rights: &Rights) -> Result<(), AmqpError> {
    let user = rights.name().as_str();
    match properties.user_id() {
        Some(claimed) if claimed != user.as_bytes() && !rights.may_impersonate() => {
            let text = format!(
                "user_id property set to '{}' but authenticated user was '{user}'",
                text(claimed)
            );
            Err(AmqpError::new(ReplyCode::PreconditionFailed, text))
        }
        Some(_) | None => Ok(()),
    }
}

/// Short strings of methods are UTF-8; those of properties may be anything.
pub(crate) fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
