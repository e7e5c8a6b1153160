//! One argument at a time: its type and its range.

use super::ArgumentError;
use crate::model::terms::plain_text;
use crate::wire::{TableReader, Value};

/// Ten years: the longest that a message may live or a queue may be unused.
const MILLISECONDS_MAX: u64 = 315_360_000_000;

/// What a short string can carry, as names and routing keys must.
const SHORT_STRING_BYTES_MAX: usize = 255;

pub(super) fn invalid(argument: &'static str, detail: impl Into<String>) -> ArgumentError {
    let detail = detail.into();
    ArgumentError::Invalid { argument, detail }
}

fn unacceptable_type(argument: &'static str, value: Value<'_>) -> ArgumentError {
    invalid(
        argument,
        format!("{{unacceptable_type,{}}}", value.type_name()),
    )
}

/// A sentence that RabbitMQ shows in quotes, because to it a sentence is a term like others.
pub(super) fn quoted(argument: &'static str, sentence: &str) -> ArgumentError {
    invalid(argument, format!("\"{sentence}\""))
}

/// A number of any integer type.
pub(super) fn integer(
    fields: TableReader<'_>,
    argument: &'static str,
) -> Result<Option<i64>, ArgumentError> {
    fields.get(argument).map_or(Ok(None), |value| {
        let sentence = || format!("expected integer, got {}", value.type_name());
        let number = value.as_integer();
        number.map_or_else(
            || Err(quoted(argument, &sentence())),
            |number| Ok(Some(number)),
        )
    })
}

/// A number that is not below zero.
pub(super) fn natural(
    fields: TableReader<'_>,
    argument: &'static str,
) -> Result<Option<u64>, ArgumentError> {
    let Some(number) = integer(fields, argument)? else {
        return Ok(None);
    };
    u64::try_from(number)
        .map(Some)
        .map_err(|_| invalid(argument, format!("{{value_negative,{number}}}")))
}

/// A time that is not longer than the longest.
pub(super) fn milliseconds(
    fields: TableReader<'_>,
    argument: &'static str,
) -> Result<Option<u64>, ArgumentError> {
    match natural(fields, argument)? {
        Some(time) if time > MILLISECONDS_MAX => {
            Err(invalid(argument, format!("{{value_too_large,{time}}}")))
        }
        time => Ok(time),
    }
}

pub(super) fn zero(argument: &'static str) -> ArgumentError {
    invalid(argument, "{value_zero,0}")
}

pub(super) fn boolean(
    fields: TableReader<'_>,
    argument: &'static str,
) -> Result<Option<bool>, ArgumentError> {
    match fields.get(argument) {
        None => Ok(None),
        Some(Value::Boolean(value)) => Ok(Some(value)),
        Some(other) => Err(unacceptable_type(argument, other)),
    }
}

/// A text of any length and content.
pub(super) fn text<'t>(
    fields: TableReader<'t>,
    argument: &'static str,
) -> Result<Option<&'t [u8]>, ArgumentError> {
    match fields.get(argument) {
        None => Ok(None),
        Some(Value::LongString(text)) => Ok(Some(text)),
        Some(other) => Err(unacceptable_type(argument, other)),
    }
}

/// One of a few words; `mistake` is what any other text is.
pub(super) fn choice<T: Copy>(
    fields: TableReader<'_>,
    argument: &'static str,
    words: &[(&str, T)],
    mistake: &str,
) -> Result<Option<T>, ArgumentError> {
    let Some(text) = text(fields, argument)? else {
        return Ok(None);
    };
    let word = words.iter().find(|(word, _)| word.as_bytes() == text);
    word.map_or_else(
        || Err(invalid(argument, mistake)),
        |(_, value)| Ok(Some(*value)),
    )
}

/// The name of an exchange, which need not exist. RabbitMQ takes any bytes; a name that no exchange
/// can have is refused here.
pub(super) fn exchange_name<'t>(
    fields: TableReader<'t>,
    argument: &'static str,
) -> Result<Option<&'t str>, ArgumentError> {
    match fields.get(argument) {
        None => Ok(None),
        Some(Value::LongString(name)) => {
            check_length(argument, name)?;
            let not_text = |_| {
                let name = plain_text(name);
                quoted(argument, &format!("expected UTF-8, got '{name}'"))
            };
            std::str::from_utf8(name).map(Some).map_err(not_text)
        }
        Some(other) => Err(ArgumentError::InvalidType {
            argument,
            type_name: other.type_name(),
        }),
    }
}

/// Refuses what would not fit where it is used: in the envelope of a message.
pub(super) fn check_length(argument: &'static str, text: &[u8]) -> Result<(), ArgumentError> {
    if text.len() <= SHORT_STRING_BYTES_MAX {
        return Ok(());
    }
    let length = text.len();
    let sentence = format!("expected at most {SHORT_STRING_BYTES_MAX} bytes, got {length}");
    Err(quoted(argument, &sentence))
}
