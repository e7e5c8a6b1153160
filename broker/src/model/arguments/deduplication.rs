//! The arguments that make a queue tell duplicates (spec 4.3.2), as RabbitMQ's plugin and LavinMQ know
//! them.

use std::num::NonZeroU64;

use super::ArgumentError;
use super::check::{boolean, check_length, invalid, milliseconds, natural, text, zero};
use super::queue::QueueArguments;
use crate::model::deduplication::{DEFAULT_HEADER, Deduplication, Retention};
use crate::wire::TableReader;

const MESSAGE_DEDUPLICATION: &str = "x-message-deduplication";
const CACHE_SIZE: &str = "x-cache-size";
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

impl QueueArguments {
    /// Fills in how many keys are known where the arguments do not say.
    ///
    /// # Errors
    ///
    /// If the arguments ask for more than the broker allows.
    pub fn limit_deduplication(
        mut self,
        limits: DeduplicationLimits,
    ) -> Result<Self, ArgumentError> {
        if let Some(deduplication) = &mut self.deduplication {
            let keys_max = *deduplication.keys_max.get_or_insert(limits.keys);
            if keys_max > limits.keys_max {
                let detail = format!("{{max_value_exceeded,{keys_max}}}");
                return Err(invalid(CACHE_SIZE, detail));
            }
        }
        Ok(self)
    }

    /// The same for arguments that were accepted under other limits: what is too much is made the most
    /// that there may be now.
    #[must_use]
    pub fn confine_deduplication(mut self, limits: DeduplicationLimits) -> Self {
        if let Some(deduplication) = &mut self.deduplication {
            let keys_max = deduplication.keys_max.unwrap_or(limits.keys);
            deduplication.keys_max = Some(keys_max.min(limits.keys_max));
        }
        self
    }
}
