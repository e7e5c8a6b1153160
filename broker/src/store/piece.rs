//! Values of any length, cut into pieces that the state's engine likes, each with a checksum.
//!
//! ```text
//! key      the value's key | number of the piece, u16
//! value    number of pieces, u16 | bytes | CRC-32C of the whole key and what stands before it, u32
//! ```

/// The most bytes of a value in one piece: larger ones would land in files that the engine never
/// syncs.
const PIECE_BYTES: usize = 6000;

/// Adds the key of one piece to a value's key.
pub(crate) fn key_of(key: &[u8], piece: u16) -> Vec<u8> {
    [key, &piece.to_be_bytes()].concat()
}

/// The value's key and the piece's number, from the key of a piece.
pub(crate) fn split_key(key: &[u8]) -> Option<(&[u8], u16)> {
    let (key, number) = key.split_last_chunk::<2>()?;
    Some((key, u16::from_be_bytes(*number)))
}

/// Cuts a value into pieces, each with its key. `None` if there would be too many.
pub(crate) fn cut(key: &[u8], value: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let count = u16::try_from(value.len().div_ceil(PIECE_BYTES).max(1)).ok()?;
    let pieces = (0..count).map(|number| {
        let start = usize::from(number) * PIECE_BYTES;
        let part = &value[start..value.len().min(start + PIECE_BYTES)];
        let key = key_of(key, number);
        let mut bytes = Vec::with_capacity(part.len() + 6);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(part);
        let checksum = checksum(&key, &bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        (key, bytes)
    });
    Some(pieces.collect())
}

/// The number of pieces of the value and this piece's part of it; `None` if the checksum fails.
pub(crate) fn open<'a>(key: &[u8], piece: &'a [u8]) -> Option<(u16, &'a [u8])> {
    let (content, sum) = piece.split_last_chunk::<4>()?;
    if checksum(key, content) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (count, part) = content.split_first_chunk::<2>()?;
    Some((u16::from_le_bytes(*count), part))
}

fn checksum(key: &[u8], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(length: usize, pieces: usize) {
        let value: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let cut = cut(b"key", &value).expect("few enough");
        assert_eq!(cut.len(), pieces);
        let mut joined = Vec::new();
        for (key, piece) in &cut {
            assert!(piece.len() <= 6144);
            let (count, part) = open(key, piece).expect("the checksum holds");
            assert_eq!(usize::from(count), pieces);
            joined.extend_from_slice(part);
        }
        assert_eq!(joined, value);
    }

    #[test]
    fn a_value_of_any_length_is_cut_and_joined() {
        check(0, 1);
        check(6000, 1);
        check(6001, 2);
        check(100_000, 17);
    }

    #[test]
    fn every_flipped_byte_and_every_foreign_key_is_noticed() {
        let (key, piece) = cut(b"key", b"some value").expect("few enough").remove(0);
        for at in 0..piece.len() {
            let mut flipped = piece.clone();
            flipped[at] ^= 0x10;
            assert_eq!(open(&key, &flipped), None, "byte {at}");
        }
        assert_eq!(open(&key_of(b"kez", 0), &piece), None);
        assert_eq!(open(&key, &piece[..3]), None);
    }
}
