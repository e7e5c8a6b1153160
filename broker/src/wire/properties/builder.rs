//! Making properties, or changing some and leaving the others bit by bit as they were.

use std::borrow::Cow;

use super::super::arguments::{write_long_string, write_short_string};
use super::super::error::EncodeError;
use super::super::table::{TableReader, TableWriter};
use super::{Properties, Property, Shape};

/// Collects properties and writes them in the order of the wire.
#[derive(Clone, Debug, Default)]
pub struct PropertiesBuilder<'a> {
    fields: [Option<Cow<'a, [u8]>>; Property::COUNT],
}

impl<'a> From<Properties<'a>> for PropertiesBuilder<'a> {
    /// Starts from what a message has.
    fn from(properties: Properties<'a>) -> Self {
        let mut builder = Self::new();
        let mut fields = properties.fields();
        for property in fields.present() {
            let Some(field) = fields.read(property) else {
                break;
            };
            builder.fields[property as usize] = Some(Cow::Borrowed(field.bytes));
        }
        builder
    }
}

impl<'a> PropertiesBuilder<'a> {
    /// Starts without properties.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a property that is a short string.
    ///
    /// # Errors
    ///
    /// If the text is longer than 255 octets, or the property is none that holds text.
    pub fn text(mut self, property: Property, text: impl AsRef<[u8]>) -> Result<Self, EncodeError> {
        if property.shape() != Shape::ShortString {
            return Err(EncodeError::NotText {
                property: property.name(),
            });
        }
        let mut field = Vec::with_capacity(1 + text.as_ref().len());
        write_short_string(&mut field, text.as_ref())?;
        self.fields[property as usize] = Some(field.into());
        Ok(self)
    }

    /// Sets the delivery mode.
    #[must_use]
    pub fn delivery_mode(self, mode: u8) -> Self {
        self.fixed(Property::DeliveryMode, &[mode])
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        self.fixed(Property::Priority, &[priority])
    }

    /// Sets the timestamp, in seconds since 1970.
    #[must_use]
    pub fn timestamp(self, seconds: u64) -> Self {
        self.fixed(Property::Timestamp, &seconds.to_be_bytes())
    }

    /// Sets the header table, which may be empty.
    ///
    /// # Errors
    ///
    /// If the table is longer than a field can be.
    pub fn headers(mut self, table: TableReader<'_>) -> Result<Self, EncodeError> {
        let mut field = Vec::with_capacity(4 + table.as_bytes().len());
        write_long_string(&mut field, table.as_bytes())?;
        self.fields[Property::Headers as usize] = Some(field.into());
        Ok(self)
    }

    /// Removes a property.
    #[must_use]
    pub fn without(mut self, property: Property) -> Self {
        self.fields[property as usize] = None;
        self
    }

    /// Removes all headers with this key and leaves the others as they are; a table that becomes
    /// empty stays as an empty table.
    ///
    /// # Errors
    ///
    /// None that a valid table could cause.
    pub fn without_header(self, key: impl AsRef<[u8]>) -> Result<Self, EncodeError> {
        let key = key.as_ref();
        let Some(field) = &self.fields[Property::Headers as usize] else {
            return Ok(self);
        };
        let table = TableReader::new(field.get(4..).unwrap_or_default());
        if table.get(key).is_none() {
            return Ok(self);
        }
        let mut kept = TableWriter::new();
        for entry in table.iter().filter(|entry| entry.key != key) {
            kept.copy(&entry);
        }
        self.headers(kept.as_reader())
    }

    /// Appends flags and fields.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        let flags = Property::ALL
            .into_iter()
            .filter(|property| self.fields[*property as usize].is_some())
            .fold(0, |flags, property| flags | property.flag());
        buffer.extend_from_slice(&flags.to_be_bytes());
        for field in self.fields.iter().flatten() {
            buffer.extend_from_slice(field);
        }
    }

    /// Flags and fields.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let mut buffer = Vec::new();
        self.write(&mut buffer);
        buffer
    }

    fn fixed(mut self, property: Property, octets: &[u8]) -> Self {
        self.fields[property as usize] = Some(octets.to_vec().into());
        self
    }
}
