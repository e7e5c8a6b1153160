//! Field tables as raw bytes: validated once, read lazily, written back unchanged.
//!
//! ```text
//! table  = entry*                      its length, 32 bits, stands before it
//! entry  = length:8 key type:8 value
//! array  = (type:8 value)*             its length, 32 bits, stands before it
//!
//! type   value                         type   value
//! t      boolean, 1 octet              f d    floating point, 4 or 8 octets
//! b B    integer, 1 octet              D      decimal: scale, 1 octet; value, 4 octets
//! s u    integer, 2 octets             T      timestamp, 8 octets
//! I i    integer, 4 octets             S x    text or octets after a length of 32 bits
//! l L    integer, 8 octets             F A    table or array after a length of 32 bits
//!                                      V      nothing
//! ```
//!
//! Of duplicate keys the first counts, here as in RabbitMQ's lookups: for [`TableReader::get`] and
//! for the decoded table alike. Iteration and raw bytes keep them all.

mod convert;
mod reader;
mod validate;
mod value;
mod writer;

pub use convert::encode_table;
pub use reader::{ArrayReader, Entries, Entry, TableReader, Values};
pub(super) use validate::validate_keyed_by_text;
pub use validate::{TableLimits, validate};
pub use value::Value;
pub use writer::{ArrayWriter, TableWriter};

#[cfg(test)]
mod tests;
