//! The state: a small ordered store of keys and values, and what is asked of the engine beneath.
//!
//! An engine moves pieces (see `piece.rs`); [`State`] moves whole values and verifies them.

use std::fmt;
use std::sync::Arc;

use super::piece;

/// Why the state does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    /// A value failed its check.
    #[error("the value of key {} is damaged", printable(.0))]
    Damaged(Vec<u8>),
    /// The engine failed. Errors stick: it must be reopened.
    #[error("{0}")]
    Failed(String),
}

fn printable(key: &[u8]) -> String {
    let mut text = String::new();
    for byte in key {
        if byte.is_ascii_alphabetic() && text.is_empty() {
            text.push(char::from(*byte));
            text.push(' ');
        } else {
            text.push_str(&format!("{byte:02x}"));
        }
    }
    text
}

/// A change of one key; `None` removes it.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// An engine that keeps small keys and values in order. Reading may happen while another thread
/// writes; only one thread writes.
pub(crate) trait StateStore: Send + Sync + fmt::Debug {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Calls `each` with every key that begins with `prefix`, ascending, until it says `false`.
    fn scan(
        &self,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError>;

    /// Makes all changes, or none of them. Not durable before [`sync`](Self::sync).
    fn apply(&self, changes: &[Change]) -> Result<(), StateError>;

    /// Makes everything applied so far durable.
    fn sync(&self) -> Result<(), StateError>;

    /// Its size on disk.
    fn bytes_on_disk(&self) -> u64;
}

/// The state, in whole values.
#[derive(Clone, Debug)]
pub(crate) struct State(pub(crate) Arc<dyn StateStore>);

impl State {
    /// The value of a key, verified.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let damaged = || StateError::Damaged(key.to_vec());
        let first_key = piece::key_of(key, 0);
        let Some(first) = self.0.get(&first_key)? else {
            return Ok(None);
        };
        let (count, part) = piece::open(&first_key, &first).ok_or_else(damaged)?;
        let mut value = part.to_vec();
        for number in 1..count {
            let key = piece::key_of(key, number);
            let next = self.0.get(&key)?.ok_or_else(damaged)?;
            let (same_count, part) = piece::open(&key, &next).ok_or_else(damaged)?;
            if same_count != count {
                return Err(damaged());
            }
            value.extend_from_slice(part);
        }
        Ok(Some(value))
    }

    /// Calls `each` with every value whose key begins with `prefix`, ascending; with `None` in its
    /// place if it is damaged.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], Option<Vec<u8>>),
    ) -> Result<(), StateError> {
        let mut current: Option<Joining> = None;
        self.0.scan(prefix, &mut |piece_key, bytes| {
            let Some((key, number)) = piece::split_key(piece_key) else {
                return true;
            };
            if current.as_ref().is_none_or(|joining| joining.key != key)
                && let Some(done) = current.replace(Joining::of(key))
            {
                done.finish(&mut each);
            }
            if let Some(joining) = &mut current {
                joining.add(number, piece::open(piece_key, bytes));
            }
            true
        })?;
        if let Some(done) = current {
            done.finish(&mut each);
        }
        Ok(())
    }

    /// Makes all changes, or none of them.
    pub(crate) fn apply(&self, changes: &[Change]) -> Result<(), StateError> {
        let mut pieces = Vec::with_capacity(changes.len());
        for (key, value) in changes {
            let old = self.piece_count(key)?;
            let mut new = 0;
            if let Some(value) = value {
                let cut = piece::cut(key, value)
                    .ok_or_else(|| StateError::Failed("a value of 390 MB".to_owned()))?;
                new = cut.len() as u16;
                pieces.extend(cut.into_iter().map(|(key, value)| (key, Some(value))));
            }
            pieces.extend((new..old).map(|number| (piece::key_of(key, number), None)));
        }
        self.0.apply(&pieces)
    }

    /// How many pieces the key has now. A damaged first piece hides the others; they are then
    /// left behind, and harmless.
    fn piece_count(&self, key: &[u8]) -> Result<u16, StateError> {
        let first_key = piece::key_of(key, 0);
        let first = self.0.get(&first_key)?;
        let opened = first.map(|first| piece::open(&first_key, &first).map_or(1, |(n, _)| n));
        Ok(opened.unwrap_or(0))
    }
}

/// A value whose pieces are being met.
struct Joining {
    key: Vec<u8>,
    count: u16,
    next: u16,
    /// `None` once a piece was damaged or missing.
    value: Option<Vec<u8>>,
}

impl Joining {
    fn of(key: &[u8]) -> Self {
        Self {
            key: key.to_vec(),
            count: 0,
            next: 0,
            value: Some(Vec::new()),
        }
    }

    fn add(&mut self, number: u16, opened: Option<(u16, &[u8])>) {
        let fits = opened
            .filter(|(count, _)| number == self.next && (number == 0 || *count == self.count));
        match (fits, &mut self.value) {
            (Some((count, part)), Some(value)) => {
                value.extend_from_slice(part);
                self.count = count;
                self.next += 1;
            }
            // What is left behind a value that shrank after damage does not belong to it.
            _ if number >= self.count && self.count > 0 && self.next == self.count => {}
            _ => self.value = None,
        }
    }

    fn finish(self, each: &mut impl FnMut(&[u8], Option<Vec<u8>>)) {
        let complete = self.next == self.count && self.count > 0;
        each(&self.key, self.value.filter(|_| complete));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::collections::BTreeMap;

    /// An engine in memory.
    #[derive(Debug, Default)]
    pub(crate) struct MapStore(pub(crate) Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

    impl StateStore for MapStore {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
            Ok(self.0.lock().get(key).cloned())
        }

        fn scan(
            &self,
            prefix: &[u8],
            each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
        ) -> Result<(), StateError> {
            let map = self.0.lock().clone();
            map.range(prefix.to_vec()..)
                .take_while(|(key, _)| key.starts_with(prefix))
                .all(|(key, value)| each(key, value));
            Ok(())
        }

        fn apply(&self, changes: &[Change]) -> Result<(), StateError> {
            let mut map = self.0.lock();
            for (key, value) in changes.iter().cloned() {
                match value {
                    Some(value) => drop(map.insert(key, value)),
                    None => drop(map.remove(&key)),
                }
            }
            Ok(())
        }

        fn sync(&self) -> Result<(), StateError> {
            Ok(())
        }

        fn bytes_on_disk(&self) -> u64 {
            0
        }
    }

    fn long(byte: u8, length: usize) -> Vec<u8> {
        vec![byte; length]
    }

    #[test]
    fn values_grow_and_shrink_and_leave_no_pieces() {
        let engine = Arc::new(MapStore::default());
        let state = State(engine.clone());
        for length in [10, 20_000, 7_000, 0, 13_000] {
            let value = long(7, length);
            state
                .apply(&[(b"qa".to_vec(), Some(value.clone()))])
                .expect("applies");
            assert_eq!(state.get(b"qa"), Ok(Some(value)));
        }
        state.apply(&[(b"qa".to_vec(), None)]).expect("applies");
        assert!(engine.0.lock().is_empty());
    }

    #[test]
    fn a_scan_joins_pieces_and_points_at_damage() {
        let engine = Arc::new(MapStore::default());
        let state = State(engine.clone());
        let values = [(b"qa", 13_000), (b"qb", 3), (b"qc", 13_000)];
        for (key, length) in values {
            state
                .apply(&[(key.to_vec(), Some(long(1, length)))])
                .expect("applies");
        }
        if let Some(piece) = engine.0.lock().get_mut(&piece::key_of(b"qc", 1)) {
            piece[9] ^= 1;
        }
        let mut seen = Vec::new();
        state
            .scan(b"q", |key, value| {
                seen.push((key.to_vec(), value.map(|value| value.len())))
            })
            .expect("scans");
        let expected = [
            (b"qa".to_vec(), Some(13_000)),
            (b"qb".to_vec(), Some(3)),
            (b"qc".to_vec(), None),
        ];
        assert_eq!(seen, expected);
        assert!(matches!(state.get(b"qc"), Err(StateError::Damaged(_))));
    }

    #[test]
    fn a_missing_piece_is_damage() {
        let engine = Arc::new(MapStore::default());
        let state = State(engine.clone());
        state
            .apply(&[(b"qa".to_vec(), Some(long(1, 13_000)))])
            .expect("applies");
        engine.0.lock().remove(&piece::key_of(b"qa", 2));
        assert!(matches!(state.get(b"qa"), Err(StateError::Damaged(_))));
        let mut damaged = 0;
        state
            .scan(b"q", |_, value| damaged += u32::from(value.is_none()))
            .expect("scans");
        assert_eq!(damaged, 1);
    }
}
