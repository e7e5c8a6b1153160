//! The check every table passes before anything else looks at it.
//!
//! It keeps its own small stack, so nesting costs no stack frames, and it allocates nothing. Values
//! without width are bounded by the type octet each of them has, and by the number of entries.

use super::super::error::TableError;

/// The deepest nesting that any limit may allow: the size of the validator's stack.
const DEPTH_CEILING: usize = 100;

/// How deep and how large a table may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLimits {
    /// Levels of tables and arrays, the outermost table included; 100 at most.
    pub depth_max: usize,
    /// Entries and array values, counted over all levels.
    pub entries_max: usize,
}

impl TableLimits {
    /// What a frame may carry.
    pub const FRAME: Self = Self {
        depth_max: DEPTH_CEILING,
        entries_max: 10_000,
    };
}

/// Checks the whole of `bytes`, a table without the length before it: every entry complete, every
/// type known, every nested table and array ending exactly where its length says.
///
/// # Errors
///
/// See [`TableError`].
pub fn validate(bytes: &[u8], limits: TableLimits) -> Result<(), TableError> {
    check(bytes, limits, Keys::Octets)
}

/// As [`validate`], and the keys must be UTF-8.
pub(in super::super) fn validate_keyed_by_text(
    bytes: &[u8],
    limits: TableLimits,
) -> Result<(), TableError> {
    check(bytes, limits, Keys::Text)
}

/// Most tables are flat and need no stack; preparing one would cost more than the check itself.
fn check(bytes: &[u8], limits: TableLimits, keys: Keys) -> Result<(), TableError> {
    let flat = Validator::new(bytes, limits, keys, &mut []).run();
    if let Err(TableError::TooDeep { .. }) = flat {
        check_nested(bytes, limits, keys)
    } else {
        flat
    }
}

#[inline(never)]
fn check_nested(bytes: &[u8], limits: TableLimits, keys: Keys) -> Result<(), TableError> {
    let depth_max = limits.depth_max.min(DEPTH_CEILING);
    let unused = Level {
        container: Container::Table,
        end: 0,
    };
    let mut outer = [unused; DEPTH_CEILING];
    Validator::new(
        bytes,
        limits,
        keys,
        &mut outer[..depth_max.saturating_sub(1)],
    )
    .run()
}

/// What keys may be made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Octets,
    Text,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Table,
    Array,
}

/// A table or array that is being read.
#[derive(Clone, Copy)]
struct Level {
    container: Container,
    end: usize,
}

struct Validator<'a, 's> {
    bytes: &'a [u8],
    position: usize,
    entries_max: usize,
    keys: Keys,
    entries: usize,
    current: Level,
    /// Room for the levels around the current one; its length is what limits the depth.
    outer: &'s mut [Level],
    /// How many levels are around the current one.
    depth: usize,
}

impl<'a, 's> Validator<'a, 's> {
    fn new(bytes: &'a [u8], limits: TableLimits, keys: Keys, outer: &'s mut [Level]) -> Self {
        let current = Level {
            container: Container::Table,
            end: bytes.len(),
        };
        let entries_max = limits.entries_max;
        Self {
            bytes,
            position: 0,
            entries_max,
            keys,
            entries: 0,
            current,
            outer,
            depth: 0,
        }
    }

    fn run(mut self) -> Result<(), TableError> {
        loop {
            while self.position == self.current.end {
                if self.depth == 0 {
                    return Ok(());
                }
                self.depth -= 1;
                self.current = self.outer[self.depth];
            }
            self.entry()?;
        }
    }

    /// Steps over one entry or array value; into it, if it is a table or array.
    fn entry(&mut self) -> Result<(), TableError> {
        let offset = self.position;
        let truncated = TableError::Truncated { offset };
        self.entries += 1;
        if self.entries > self.entries_max {
            return Err(TableError::TooManyEntries {
                limit: self.entries_max,
            });
        }
        if self.current.container == Container::Table {
            let length = usize::from(self.take(1).ok_or(truncated)?[0]);
            let key = self.take(length).ok_or(truncated)?;
            if self.keys == Keys::Text && std::str::from_utf8(key).is_err() {
                return Err(TableError::KeyNotText { offset });
            }
        }
        let type_offset = self.position;
        let octet = self.take(1).ok_or(truncated)?[0];
        let width = match octet {
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            b'S' | b'x' => self.length().ok_or(truncated)?,
            b'F' => return self.enter(Container::Table, truncated),
            b'A' => return self.enter(Container::Array, truncated),
            _ => {
                return Err(TableError::UnknownType {
                    octet,
                    offset: type_offset,
                });
            }
        };
        self.take(width).map(|_| ()).ok_or(truncated)
    }

    fn enter(&mut self, container: Container, truncated: TableError) -> Result<(), TableError> {
        let length = self.length().ok_or(truncated)?;
        if length > self.current.end - self.position {
            return Err(truncated);
        }
        let limit = self.outer.len() + 1;
        let room = self
            .outer
            .get_mut(self.depth)
            .ok_or(TableError::TooDeep { limit })?;
        *room = self.current;
        self.current = Level {
            container,
            end: self.position + length,
        };
        self.depth += 1;
        Ok(())
    }

    fn length(&mut self) -> Option<usize> {
        let octets = self.take(4)?.first_chunk()?;
        Some(u32::from_be_bytes(*octets) as usize)
    }

    /// The next `length` octets, within the current level.
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        if length > self.current.end - self.position {
            return None;
        }
        let taken = self.bytes.get(self.position..self.position + length)?;
        self.position += length;
        Some(taken)
    }
}
