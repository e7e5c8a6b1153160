//! Finds the records of a damaged stretch of a segment whose own checksums hold. Pure.

use crate::{
    bytes::Seed,
    group,
    id::Lsn,
    record::{self, RecordHeader},
};

/// Bytes whose checksum may be computed for each byte of the stretch: a payload can be made of what
/// looks like headers of long records, and must not make the search take hours.
const EFFORT: usize = 16;

/// A record that was found, with the place of its payload in the stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) lsn: Lsn,
    pub(crate) at: usize,
    pub(crate) header: RecordHeader,
    pub(crate) payload: &'a [u8],
}

/// Searches a stretch that begins where a group's header should stand for the records from
/// `first_lsn` to before `end_lsn`.
pub(crate) fn salvage(stretch: &[u8], seed: Seed, first_lsn: Lsn, end_lsn: Lsn) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    let mut expected = first_lsn;
    let mut at = group::HEADER_BYTES;
    let mut on_track = true;
    let mut effort = stretch.len().saturating_mul(EFFORT);
    while expected < end_lsn && at + record::HEADER_BYTES <= stretch.len() && effort > 0 {
        match candidate(&stretch[at..], seed, expected, end_lsn, &mut effort) {
            Some((lsn, header, payload))
                if (on_track && lsn == expected)
                    || follows(&stretch[at + record::HEADER_BYTES + payload.len()..], seed) =>
            {
                at += record::HEADER_BYTES;
                found.push(Found {
                    lsn,
                    at,
                    header,
                    payload,
                });
                at += payload.len();
                expected = lsn.next();
                on_track = true;
            }
            _ => {
                at += 1;
                on_track = false;
            }
        }
    }
    found
}

fn candidate<'a>(
    bytes: &'a [u8],
    seed: Seed,
    expected: Lsn,
    end_lsn: Lsn,
    effort: &mut usize,
) -> Option<(Lsn, RecordHeader, &'a [u8])> {
    let header = RecordHeader::decode(bytes)?;
    let length = header.length as usize;
    if length > bytes.len() - record::HEADER_BYTES {
        return None;
    }
    let ahead = header.lsn_bits.wrapping_sub(record::lsn_bits(expected));
    let lsn = expected.plus(u64::from(ahead));
    if lsn >= end_lsn {
        return None;
    }
    *effort = effort.saturating_sub(length + record::HEADER_BYTES);
    let (header, payload) = record::read(bytes, seed)?;
    Some((lsn, header, payload))
}

/// Whether something that belongs into a segment stands here. Without it a record that was come
/// upon by searching is not believed: its checksum alone has only 32 bits.
fn follows(rest: &[u8], seed: Seed) -> bool {
    rest.len() < 8
        || record::read(rest, seed).is_some()
        || (0..8).any(|pad| rest[pad..].starts_with(&seed.bits.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Group, GroupHeader};

    fn stretch(payloads: &[&[u8]]) -> (Vec<u8>, Seed) {
        let seed = Seed::new(0x1234_5678_9abc_def0);
        let mut group = Group::new();
        group.begin(Lsn(65_530), seed);
        for payload in payloads {
            group.record(0x20, 0, &[payload]);
        }
        let length = group.bytes();
        let (_, bytes) = group.finish(GroupHeader {
            number: 1,
            ..GroupHeader::default()
        });
        (bytes[..length].to_vec(), seed)
    }

    fn found(bytes: &[u8], seed: Seed) -> Vec<(u64, Vec<u8>)> {
        salvage(bytes, seed, Lsn(65_530), Lsn(65_540))
            .iter()
            .map(|found| (found.lsn.0, found.payload.to_vec()))
            .collect()
    }

    #[test]
    fn all_records_but_the_damaged_one_are_found_with_their_numbers() {
        let payloads: Vec<Vec<u8>> = (0..10).map(|byte| vec![byte; 20 + byte as usize]).collect();
        let parts: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let (bytes, seed) = stretch(&parts);
        let all: Vec<_> = (0..10)
            .map(|index| (65_530 + index as u64, payloads[index].clone()))
            .collect();
        assert_eq!(found(&bytes, seed), all);
        let mut at = group::HEADER_BYTES;
        for (damaged, payload) in payloads.iter().enumerate() {
            let end = at + record::HEADER_BYTES + payload.len();
            for byte in at..end {
                let mut bytes = bytes.clone();
                bytes[byte] ^= 0x10;
                let mut rest = all.clone();
                rest.remove(damaged);
                assert_eq!(found(&bytes, seed), rest, "byte {byte} of record {damaged}");
            }
            at = end;
        }
    }

    #[test]
    fn a_payload_of_nothing_but_record_headers_does_not_hold_up_the_search() {
        let mut payload = Vec::new();
        while payload.len() < 1 << 20 {
            payload.extend_from_slice(&(400_000u32).to_le_bytes());
            payload.extend_from_slice(&[0, 0, 0, 0, 0x20, 0, 0xfb, 0xff]);
        }
        let (mut bytes, seed) = stretch(&[&payload]);
        bytes[group::HEADER_BYTES + 4] ^= 1;
        assert_eq!(found(&bytes, seed), Vec::new());
    }
}
