//! The content header: what a message is, before its body.

use super::error::ContentError;
use super::properties::Properties;

/// Octets before the properties: class, weight, body size.
const FIXED_LENGTH: usize = 12;

/// A decoded content header; the properties borrow from the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class of the method the content belongs to; 60 for all that exist.
    pub class_id: u16,
    /// Always 0.
    pub weight: u16,
    /// How many octets of body follow, as the sender claims.
    pub body_size: u64,
    /// The properties, complete and valid.
    pub properties: Properties<'a>,
}

impl<'a> ContentHeader<'a> {
    /// Decodes the payload of a header frame and validates the properties, headers included.
    ///
    /// # Errors
    ///
    /// See [`ContentError`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, ContentError> {
        let header = Self::parse_unvalidated(payload)?;
        header.properties.validate()?;
        Ok(header)
    }

    /// Decodes a payload that was validated when it came in, for instance one read back from disk.
    ///
    /// # Errors
    ///
    /// If the payload is too short to be a content header at all.
    pub fn parse_unvalidated(payload: &'a [u8]) -> Result<Self, ContentError> {
        let too_short = ContentError::HeaderTooShort {
            octets: payload.len(),
        };
        let (fixed, properties) = payload
            .split_first_chunk::<FIXED_LENGTH>()
            .ok_or(too_short)?;
        if properties.len() < Properties::FLAGS_LENGTH {
            return Err(too_short);
        }
        let [
            class_high,
            class_low,
            weight_high,
            weight_low,
            body_size @ ..,
        ] = *fixed;
        Ok(Self {
            class_id: u16::from_be_bytes([class_high, class_low]),
            weight: u16::from_be_bytes([weight_high, weight_low]),
            body_size: u64::from_be_bytes(body_size),
            properties: Properties::new(properties),
        })
    }

    /// Appends the payload of a header frame of class basic: `properties` are the raw ones, flags
    /// first.
    pub fn write(buffer: &mut Vec<u8>, body_size: u64, properties: &[u8]) {
        buffer.extend_from_slice(&super::method::basic::CLASS_ID.to_be_bytes());
        buffer.extend_from_slice(&[0; 2]);
        buffer.extend_from_slice(&body_size.to_be_bytes());
        buffer.extend_from_slice(properties);
    }
}
