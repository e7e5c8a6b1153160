//! `definitions.json`: all definitions, as of one moment of the log, for the day the state is bad.
//!
//! There may be many of them, and one is all that memory has to hold at a time: large pieces of
//! memory that come and go are what an allocator does not give back.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use leveret_log::{Disk, DiskFile, Lsn};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::Entity;

use super::error::StoreError;
use super::files;

const FORMAT: u32 = 1;
/// Bytes that are gathered for one write.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes whose checksum is taken in one step.
const STEP_BYTES: usize = 4 << 10;

/// What the file says.
#[derive(Clone)]
pub(crate) struct Definitions {
    head: Head,
    file: Arc<Vec<u8>>,
}

/// The file as it is written and read: the content is looked at only once its checksum holds.
#[derive(Deserialize)]
struct Envelope<'a> {
    format: u32,
    /// CRC-32C of the content as it stands in the file, white space left out.
    checksum: &'a str,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// The content without the definitions themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// ENTITY records below this are in it.
    lsn: u64,
    next_queue: u32,
}

#[derive(Deserialize)]
struct Body {
    definitions: Vec<Entity>,
}

impl fmt::Debug for Definitions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Definitions")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl Definitions {
    /// Reads a file, or says in words why it cannot be used.
    pub(crate) fn decode(file: Vec<u8>) -> Result<Self, String> {
        let in_words = |error: serde_json::Error| error.to_string();
        let envelope: Envelope<'_> = serde_json::from_slice(&file).map_err(in_words)?;
        if envelope.format > FORMAT {
            let found = envelope.format;
            return Err(format!("format {found} is newer than this version"));
        }
        if envelope.checksum != in_hexadecimal(checksum(envelope.content.get().as_bytes())) {
            return Err("the checksum fails".to_owned());
        }
        let head = serde_json::from_str(envelope.content.get()).map_err(in_words)?;
        let file = Arc::new(file);
        Ok(Self { head, file })
    }

    /// ENTITY records below this are in it.
    pub(crate) const fn lsn(&self) -> Lsn {
        Lsn(self.head.lsn)
    }

    /// The number of the next queue.
    pub(crate) const fn next_queue(&self) -> u32 {
        self.head.next_queue
    }

    /// All definitions, or in words why they cannot be used.
    pub(crate) fn entities(&self) -> Result<Vec<Entity>, String> {
        let read = serde_json::from_slice::<Envelope<'_>>(&self.file)
            .and_then(|envelope| serde_json::from_str::<Body>(envelope.content.get()));
        let body = read.map_err(|error| error.to_string())?;
        Ok(body.definitions)
    }
}

/// Writes the file anew. Whatever happens, the old content is there or the new.
///
/// # Errors
///
/// That of a definition that cannot be had, or of the disk.
pub(crate) fn write<E: From<StoreError>>(
    disk: &dyn Disk,
    path: &Path,
    (lsn, next_queue): (Lsn, u32),
    definitions: impl Iterator<Item = Result<Entity, E>>,
) -> Result<(), E> {
    let failed = |source| StoreError::io("write", path, source);
    files::replace(disk, path, |file| {
        let mut pen = Pen::new(file);
        let before = format!("{{\"format\":{FORMAT},\"checksum\":\"");
        let checksum_at = before.len() as u64;
        pen.put(before.as_bytes()).map_err(failed)?;
        pen.put(in_hexadecimal(0).as_bytes()).map_err(failed)?;
        pen.put(b"\",\"content\":").map_err(failed)?;
        let head = format!("{{\"lsn\":{},\"next_queue\":{next_queue},", lsn.0);
        pen.content(head.as_bytes()).map_err(failed)?;
        pen.content(b"\"definitions\":[").map_err(failed)?;
        let mut separator: &[u8] = b"";
        for entity in definitions {
            // Definitions are strings, numbers and lists: nothing in them can fail to become JSON.
            let entity = serde_json::to_vec(&entity?).unwrap_or_default();
            pen.content(separator).map_err(failed)?;
            pen.put(b"\n").map_err(failed)?;
            pen.content(&entity).map_err(failed)?;
            separator = b",";
        }
        pen.put(b"\n").map_err(failed)?;
        pen.content(b"]}").map_err(failed)?;
        pen.put(b"}\n").map_err(failed)?;
        let sum = in_hexadecimal(pen.end().map_err(failed)?);
        file.write_at(checksum_at, sum.as_bytes()).map_err(failed)?;
        Ok(())
    })
}

/// Writes piece by piece, and takes the checksum of the content.
struct Pen<'a> {
    file: &'a dyn DiskFile,
    written: u64,
    gathered: Vec<u8>,
    sum: u32,
}

impl<'a> Pen<'a> {
    fn new(file: &'a dyn DiskFile) -> Self {
        Self {
            file,
            written: 0,
            gathered: Vec::with_capacity(PIECE_BYTES),
            sum: 0,
        }
    }

    /// A piece of the content, without white space between tokens.
    fn content(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum = crc32c::crc32c_append(self.sum, bytes);
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.write_at(self.written, &self.gathered)?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    /// Writes what is left, and gives the checksum.
    fn end(mut self) -> std::io::Result<u32> {
        self.flush()?;
        Ok(self.sum)
    }
}

/// A checksum as it stands in the file: always as long.
fn in_hexadecimal(sum: u32) -> String {
    format!("{sum:08x}")
}

/// The checksum of a content as it stands in the file: of valid JSON, without the white space
/// between its tokens. What was read is not written anew for it: the order of a JSON object's keys
/// would then depend on how `serde_json` was built.
fn checksum(json: &[u8]) -> u32 {
    let (mut in_string, mut escaped) = (false, false);
    let mut is_kept = |byte: &u8| {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            return true;
        }
        in_string = *byte == b'"';
        !byte.is_ascii_whitespace()
    };
    let mut kept = Vec::with_capacity(STEP_BYTES);
    json.chunks(STEP_BYTES).fold(0, |sum, step| {
        kept.clear();
        kept.extend(step.iter().copied().filter(&mut is_kept));
        crc32c::crc32c_append(sum, &kept)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{VirtualHostLimits, VirtualHostMetadata, VirtualHostName};
    use leveret_log::RealDisk;

    fn entity(name: &str) -> Entity {
        Entity::VirtualHost {
            name: VirtualHostName::from(name),
            metadata: VirtualHostMetadata::default(),
            limits: VirtualHostLimits::default(),
        }
    }

    fn written(entities: &[Entity]) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("definitions.json");
        let entities = entities.iter().cloned().map(Ok::<_, StoreError>);
        write(&RealDisk, &path, (Lsn(7), 3), entities).expect("writes");
        std::fs::read(path).expect("reads")
    }

    fn read(file: &[u8]) -> Result<(Head, Vec<Entity>), String> {
        let definitions = Definitions::decode(file.to_vec())?;
        Ok((definitions.head, definitions.entities()?))
    }

    fn sample() -> (Head, Vec<Entity>) {
        let head = Head {
            lsn: 7,
            next_queue: 3,
        };
        (head, vec![entity("/"), entity("a \"\\ b")])
    }

    #[test]
    fn definitions_come_back_and_a_changed_byte_does_not_pass() {
        let file = written(&sample().1);
        assert_eq!(read(&file), Ok(sample()));
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 0x04;
            // A change that leaves the meaning alone is harmless: white space, for example.
            if let Ok(decoded) = read(&flipped) {
                assert_eq!(decoded, sample(), "byte {at}");
            }
        }
        for length in 0..file.len() - 1 {
            assert!(read(&file[..length]).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn none_and_more_than_fit_into_one_piece_come_back() {
        assert_eq!(read(&written(&[])).expect("reads").1, []);
        let many: Vec<_> = (0..5000)
            .map(|number| entity(&number.to_string()))
            .collect();
        let file = written(&many);
        assert!(file.len() > 2 * PIECE_BYTES, "{}", file.len());
        assert_eq!(read(&file).expect("reads").1, many);
    }

    #[test]
    fn a_definition_that_cannot_be_had_leaves_the_old_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("definitions.json");
        let good = [Ok::<_, StoreError>(entity("/"))];
        write(&RealDisk, &path, (Lsn(7), 3), good.into_iter()).expect("writes");
        let bad = [Ok(entity("a")), Err(StoreError::Closed)];
        write(&RealDisk, &path, (Lsn(8), 4), bad.into_iter()).expect_err("fails");
        let file = std::fs::read(path).expect("reads");
        let (head, entities) = read(&file).expect("reads");
        assert_eq!((head.lsn, entities), (7, vec![entity("/")]));
    }

    /// Whether a program keeps the order of keys is decided by whoever enables `preserve_order` anywhere
    /// in its dependencies.
    #[test]
    fn the_order_in_which_another_program_wrote_an_objects_keys_does_not_matter() {
        let entity =
            r#"{"entity":"global_parameter","name":"n","value":{"z \\\" ":1,"a":{"y":2,"b":[]}}}"#;
        let content = format!(r#"{{"lsn":7,"next_queue":3,"definitions":[{entity}]}}"#);
        let checksum = crc32c::crc32c(content.as_bytes());
        let spaced = content.replace(',', " ,\n\t").replace("\":", "\" : ");
        let file = format!(r#"{{"format": 1, "checksum": "{checksum:08x}", "content": {spaced}}}"#);
        let (head, entities) = read(file.as_bytes()).expect("the checksum holds");
        assert_eq!(head.lsn, 7);
        assert_eq!(read(&written(&entities)), Ok((head, entities)));
    }
}
