//! The arguments that make a queue tell duplicates (spec 4.3.2), as RabbitMQ's plugin and LavinMQ know
//! them.

use std::num::NonZeroU64;

use super::ArgumentError;
use super::check::{boolean, check_length, milliseconds, natural, text, zero};
use crate::model::deduplication::{DEFAULT_HEADER, Deduplication, Retention};
use crate::wire::TableReader;

const MESSAGE_DEDUPLICATION: &str = "x-message-deduplication";
pub(super) const CACHE_SIZE: &str = "x-cache-size";
const CACHE_TTL: &str = "x-cache-ttl";
const HEADER: &str = "x-deduplication-header";

/// All of them, in the order in which a redeclaration is compared.
pub(super) const ARGUMENTS: [&str; 4] = [MESSAGE_DEDUPLICATION, CACHE_SIZE, CACHE_TTL, HEADER];

/// How many keys one queue may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeduplicationLimits {
    /// Where its arguments do not say.
    pub keys: NonZeroU64,
    /// At most.
    pub keys_max: NonZeroU64,
}

/// What the arguments ask for. Without the first, the others mean nothing and may be anything.
pub(super) fn deduplication(
    fields: TableReader<'_>,
) -> Result<Option<Box<Deduplication>>, ArgumentError> {
    if boolean(fields, MESSAGE_DEDUPLICATION)? != Some(true) {
        return Ok(None);
    }
    let keys_max = above_zero(CACHE_SIZE, natural(fields, CACHE_SIZE)?)?;
    let ttl_ms = above_zero(CACHE_TTL, milliseconds(fields, CACHE_TTL)?)?;
    let header = text(fields, HEADER)?.unwrap_or(DEFAULT_HEADER.as_bytes());
    check_length(HEADER, header)?;
    let retention = if keys_max.is_some() || ttl_ms.is_some() {
        Retention::Window { ttl_ms }
    } else {
        Retention::WhileQueued
    };
    Ok(Some(Box::new(Deduplication {
        header: header.into(),
        retention,
        keys_max,
    })))
}

fn above_zero(
    argument: &'static str,
    number: Option<u64>,
) -> Result<Option<NonZeroU64>, ArgumentError> {
    let number = number.map(|number| NonZeroU64::new(number).ok_or_else(|| zero(argument)));
    number.transpose()
}
