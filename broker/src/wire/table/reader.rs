//! Looking into tables and arrays without decoding them.

use std::fmt;

use super::value::Value;

/// A field table as it came over the wire, without the length before it.
///
/// Reading never fails: bytes that did not pass `validate` end where they stop
/// making sense.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct TableReader<'a>(&'a [u8]);

impl<'a> TableReader<'a> {
    /// The table without entries.
    pub const EMPTY: TableReader<'static> = TableReader(&[]);

    /// Reads `bytes`, which should have been validated.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, without the length before them.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether the table has no entries.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// All entries in the order of the wire, duplicates included.
    #[must_use]
    pub fn iter(self) -> Entries<'a> {
        Entries { rest: self.0 }
    }

    /// The value of the first entry with this key.
    #[must_use]
    pub fn get(self, key: impl AsRef<[u8]>) -> Option<Value<'a>> {
        let key = key.as_ref();
        self.iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value)
    }
}

impl<'a> IntoIterator for TableReader<'a> {
    type Item = Entry<'a>;
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.iter()
    }
}

/// Only the size is shown: entries may hold anything, and nest.
impl fmt::Debug for TableReader<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Table({} octets)", self.0.len())
    }
}

/// One entry of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    /// The key; text by custom, but any octets are legal.
    pub key: &'a [u8],
    /// The value.
    pub value: Value<'a>,
    /// The whole entry as it came, for copying it unchanged.
    pub bytes: &'a [u8],
}

/// Iterates over a table.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    fn read(&self) -> Option<Entry<'a>> {
        let (&key_length, rest) = self.rest.split_first()?;
        let (key, rest) = rest.split_at_checked(usize::from(key_length))?;
        let (&octet, rest) = rest.split_first()?;
        let (value, value_length) = Value::read(octet, rest)?;
        let bytes = self.rest.get(..key.len() + 2 + value_length)?;
        Some(Entry { key, value, bytes })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let entry = self.read();
        self.rest = entry.map_or(&[], |entry| &self.rest[entry.bytes.len()..]);
        entry
    }
}

/// An array as it came over the wire, without the length before it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ArrayReader<'a>(&'a [u8]);

impl<'a> ArrayReader<'a> {
    /// Reads `bytes`, which should have been validated.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, without the length before them.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether the array has no values.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The values in order.
    #[must_use]
    pub fn iter(self) -> Values<'a> {
        Values { rest: self.0 }
    }
}

impl<'a> IntoIterator for ArrayReader<'a> {
    type Item = Value<'a>;
    type IntoIter = Values<'a>;

    fn into_iter(self) -> Values<'a> {
        self.iter()
    }
}

impl fmt::Debug for ArrayReader<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Array({} octets)", self.0.len())
    }
}

/// Iterates over an array.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let rest = self.rest;
        self.rest = &[];
        let (&octet, rest) = rest.split_first()?;
        let (value, length) = Value::read(octet, rest)?;
        self.rest = &rest[length..];
        Some(value)
    }
}
