//! What an exchange's arguments ask for (spec 3.1.7, 3.7).

use super::ArgumentError;
use super::check::{exchange_name, text};
use crate::model::exchange_kind::ExchangeKind;
use crate::model::name::ExchangeName;
use crate::model::terms::plain_text;
use crate::wire::TableReader;

pub(super) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";
pub(super) const DELAYED_TYPE: &str = "x-delayed-type";
const HASH_HEADER: &str = "hash-header";
const HASH_PROPERTY: &str = "hash-property";

/// The property of a message that an exchange may hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashProperty {
    /// `message-id`
    MessageId,
    /// `correlation-id`
    CorrelationId,
    /// `timestamp`
    Timestamp,
}

/// What of a message an exchange hashes (spec 3.7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashInput {
    /// Its routing key.
    #[default]
    RoutingKey,
    /// The header of that name.
    Header(Box<str>),
    /// A property.
    Property(HashProperty),
}

/// An exchange's arguments, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeArguments {
    /// Where messages go that the exchange gives nobody. It need not exist.
    pub alternate: Option<ExchangeName>,
    /// What an exchange that chooses by a hash looks at.
    pub hash_input: HashInput,
    /// How messages are routed, sooner or later.
    pub routing: ExchangeKind,
}

impl ExchangeArguments {
    /// No arguments for an exchange of `kind`.
    #[must_use]
    pub const fn none(kind: ExchangeKind) -> Self {
        Self {
            alternate: None,
            hash_input: HashInput::RoutingKey,
            routing: kind,
        }
    }

    /// Understands the arguments of an exchange of `kind` that is new.
    pub fn parse(kind: ExchangeKind, fields: TableReader<'_>) -> Result<Self, ArgumentError> {
        let alternate = exchange_name(fields, ALTERNATE_EXCHANGE)?;
        let hash_input = match kind {
            ExchangeKind::ConsistentHash | ExchangeKind::Delayed => hash_input(fields)?,
            ExchangeKind::Direct
            | ExchangeKind::Fanout
            | ExchangeKind::Topic
            | ExchangeKind::Headers
            | ExchangeKind::ModulusHash => HashInput::RoutingKey,
        };
        let routing = match kind {
            ExchangeKind::Delayed => delayed_kind(fields)?,
            ExchangeKind::Direct
            | ExchangeKind::Fanout
            | ExchangeKind::Topic
            | ExchangeKind::Headers
            | ExchangeKind::ConsistentHash
            | ExchangeKind::ModulusHash => kind,
        };
        Ok(Self {
            alternate: alternate.map(ExchangeName::from),
            hash_input,
            routing,
        })
    }
}

/// The kind that a delayed exchange is once the time has come.
fn delayed_kind(fields: TableReader<'_>) -> Result<ExchangeKind, ArgumentError> {
    let name = text(fields, DELAYED_TYPE).unwrap_or_default();
    let refuse = |text: String| Err(ArgumentError::Text(text));
    match name.map(plain_text) {
        None => refuse(format!(
            "Invalid argument, '{DELAYED_TYPE}' must be an existing exchange type"
        )),
        Some(name) => match ExchangeKind::parse(&name) {
            Some(ExchangeKind::Delayed) => refuse(format!(
                "Invalid argument, '{name}' can't be used for '{DELAYED_TYPE}'"
            )),
            Some(kind) => Ok(kind),
            None => refuse(format!("unknown exchange type '{name}'")),
        },
    }
}

fn hash_input(fields: TableReader<'_>) -> Result<HashInput, ArgumentError> {
    let header = text(fields, HASH_HEADER)?;
    let property = text(fields, HASH_PROPERTY)?;
    let property = match (header, property) {
        (None, None) => return Ok(HashInput::RoutingKey),
        (Some(header), None) => return Ok(HashInput::Header(plain_text(header).into())),
        (None, Some(property)) => property,
        (Some(_), Some(_)) => {
            let text = "hash-header and hash-property are mutually exclusive";
            return Err(ArgumentError::Text(text.to_owned()));
        }
    };
    match property {
        b"message_id" => Ok(HashInput::Property(HashProperty::MessageId)),
        b"correlation_id" => Ok(HashInput::Property(HashProperty::CorrelationId)),
        b"timestamp" => Ok(HashInput::Property(HashProperty::Timestamp)),
        other => {
            let text = format!("Unsupported property: {}", plain_text(other));
            Err(ArgumentError::Text(text))
        }
    }
}
