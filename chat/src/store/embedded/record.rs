//! What stands in the log.
//!
//! ```text
//!   MESSAGE (0x10)  length of the key u16 | key | the message as JSON
//!   CHANGES (0x11)  any number of:
//!                     1 | length of the key u16 | key | length of the value u32 | value     put
//!                     0 | length of the key u16 | key                                       removed
//! ```
//!
//! Numbers are little-endian. The keys are those of `kv/key.rs`; a change is absolute, so that reading
//! the same records twice comes to the same.

use leveret_log::{FIRST_OWNER_KIND, Location, SegmentId};

use crate::store::kv::view::Changes;

/// A message, alone, so that it can be read back alone.
pub(super) const MESSAGE: u8 = FIRST_OWNER_KIND;
/// Everything else that changed.
pub(super) const CHANGES: u8 = FIRST_OWNER_KIND + 1;

/// Octets of a [`CHANGES`] record, at most, unless a single change is longer.
const CHANGES_BYTES_MAX: usize = 256 << 10;

fn encode_key(bytes: &mut Vec<u8>, key: &[u8]) {
    let length = u16::try_from(key.len()).expect("keys are ids, which are short");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(key);
}

/// What stands before a message.
pub(super) fn message_head(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 2);
    encode_key(&mut bytes, key);
    bytes
}

/// Key and message.
pub(super) fn decode_message(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    take_key(payload)
}

/// One more change.
pub(super) fn encode_change(bytes: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    bytes.push(u8::from(value.is_some()));
    encode_key(bytes, key);
    if let Some(value) = value {
        let length = u32::try_from(value.len()).expect("values are bounded");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(value);
    }
}

/// Changes in parts of bearable length.
pub(super) fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let mut end = 0;
        while let Some((_, _, rest)) = take_change(&bytes[end..]) {
            let next = bytes.len() - rest.len();
            if end > 0 && next > CHANGES_BYTES_MAX {
                break;
            }
            end = next;
            if rest.is_empty() {
                break;
            }
        }
        let (part, rest) = bytes.split_at(end.max(1));
        parts.push(part);
        bytes = rest;
    }
    parts
}

/// All changes; `None` if the payload is no list of changes.
pub(super) fn decode_changes(mut payload: &[u8]) -> Option<Changes> {
    let mut changes = Changes::new();
    while !payload.is_empty() {
        let (key, value, rest) = take_change(payload)?;
        changes.insert(key.to_vec(), value.map(|value| value.to_vec()));
        payload = rest;
    }
    Some(changes)
}

fn take_key(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

type Change<'b> = (&'b [u8], Option<&'b [u8]>, &'b [u8]);

fn take_change(bytes: &[u8]) -> Option<Change<'_>> {
    let (is_put, rest) = bytes.split_first()?;
    let (key, rest) = take_key(rest)?;
    if *is_put == 0 {
        return Some((key, None, rest));
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (value, rest) = rest.split_at_checked(length)?;
    Some((key, Some(value), rest))
}

/// A place in the log, as the index keeps it.
pub(super) fn encode_location(location: Location) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&location.segment.0.to_le_bytes());
    bytes[4..8].copy_from_slice(&location.offset.to_le_bytes());
    bytes[8..].copy_from_slice(&location.length.to_le_bytes());
    bytes
}

/// The place again.
pub(super) fn decode_location(bytes: &[u8]) -> Option<Location> {
    let number = |from: usize| {
        let octets = bytes.get(from..from + 4)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*octets))
    };
    Some(Location {
        segment: SegmentId(number(0)?),
        offset: number(4)?,
        length: number(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn changes_come_back_from_their_parts(
            changes in prop::collection::btree_map(
                prop::collection::vec(any::<u8>(), 0..20),
                prop::option::of(prop::collection::vec(any::<u8>(), 0..100_000)), 0..12)
        ) {
            let mut bytes = Vec::new();
            for (key, value) in &changes {
                encode_change(&mut bytes, key, value.as_deref());
            }
            let mut found = Changes::new();
            for part in split(&bytes) {
                found.append(&mut decode_changes(part).unwrap());
            }
            prop_assert_eq!(found, changes);
        }

        #[test]
        fn no_octets_are_a_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode_changes(&bytes);
            let _ = decode_message(&bytes);
            let _ = decode_location(&bytes);
        }
    }

    #[test]
    fn a_place_comes_back() {
        let location = Location {
            segment: SegmentId(7),
            offset: 1 << 30,
            length: 99,
        };
        assert_eq!(decode_location(&encode_location(location)), Some(location));
    }
}
