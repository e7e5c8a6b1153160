//! A map that is a short list until it is long.

use std::collections::HashMap;
use std::hash::Hash;

use ahash::RandomState;
use smallvec::SmallVec;

/// Up to this many entries a scan is as fast as a hash and needs no second structure.
const SCANNED_MAX: usize = 16;

/// Where each key lies.
#[derive(Clone, Debug)]
struct Positions<K>(HashMap<K, usize, RandomState>);

/// A map for places where one entry is the rule and ten thousand are the exception: it iterates
/// like a slice, costs no allocation for one entry, and finds by hash when it is long.
#[derive(Clone, Debug)]
pub(super) struct CompactMap<K, V> {
    entries: SmallVec<[(K, V); 1]>,
    /// Kept only while a scan would be slow; in a box, because most maps never have it.
    positions: Option<Box<Positions<K>>>,
}

impl<K, V> Default for CompactMap<K, V> {
    fn default() -> Self {
        Self {
            entries: SmallVec::new(),
            positions: None,
        }
    }
}

impl<K, V> CompactMap<K, V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }
}

impl<K: Clone + Eq + Hash, V> CompactMap<K, V> {
    pub(super) fn contains(&self, key: &K) -> bool {
        self.position(key).is_some()
    }

    pub(super) fn value(&self, key: &K) -> Option<&V> {
        self.position(key).map(|position| &self.entries[position].1)
    }

    pub(super) fn value_mut(&mut self, key: &K) -> Option<&mut V> {
        let position = self.position(key)?;
        Some(&mut self.entries[position].1)
    }

    /// The value of `key`, which is inserted with a default value where it is missing.
    pub(super) fn value_or_default(&mut self, key: &K) -> &mut V
    where
        V: Default,
    {
        let position = self.position(key).unwrap_or_else(|| {
            self.push(key.clone(), V::default());
            self.entries.len() - 1
        });
        &mut self.entries[position].1
    }

    /// Inserts a pair. Returns `false`, and changes nothing, if the key is there already.
    pub(super) fn insert(&mut self, key: K, value: V) -> bool {
        let missing = !self.contains(&key);
        if missing {
            self.push(key, value);
        }
        missing
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let position = self.position(key)?;
        let (_, value) = self.entries.swap_remove(position);
        if self.entries.len() <= SCANNED_MAX / 2 {
            self.positions = None;
            self.entries.shrink_to_fit();
        }
        if let Some(Positions(positions)) = self.positions.as_deref_mut() {
            positions.remove(key);
            if let Some((moved, _)) = self.entries.get(position) {
                positions.insert(moved.clone(), position);
            }
        }
        Some(value)
    }

    fn position(&self, key: &K) -> Option<usize> {
        match self.positions.as_deref() {
            Some(Positions(positions)) => positions.get(key).copied(),
            None => self.entries.iter().position(|(entry, _)| entry == key),
        }
    }

    fn push(&mut self, key: K, value: V) {
        self.entries.push((key, value));
        match self.positions.as_deref_mut() {
            Some(Positions(positions)) => {
                let position = self.entries.len() - 1;
                positions.insert(self.entries[position].0.clone(), position);
            }
            None if self.entries.len() > SCANNED_MAX => {
                let keys = self.entries.iter().map(|(key, _)| key.clone());
                self.positions = Some(Box::new(Positions(keys.zip(0..).collect())));
            }
            None => {}
        }
    }
}

impl<K, V> IntoIterator for CompactMap<K, V> {
    type Item = (K, V);
    type IntoIter = smallvec::IntoIter<[(K, V); 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_behaves_as_an_ordinary_map_at_every_length(
            steps in prop::collection::vec((any::<bool>(), 0u16..60), 1..400),
        ) {
            let mut map = CompactMap::default();
            let mut reference = BTreeMap::new();
            for (step, (insert, key)) in steps.into_iter().enumerate() {
                if insert {
                    let new = !reference.contains_key(&key);
                    reference.entry(key).or_insert(step);
                    prop_assert_eq!(map.insert(key, step), new);
                } else {
                    prop_assert_eq!(map.remove(&key), reference.remove(&key));
                }
                prop_assert_eq!(map.len(), reference.len());
                for key in 0..60 {
                    prop_assert_eq!(map.contains(&key), reference.contains_key(&key));
                    prop_assert_eq!(map.value_mut(&key).copied(), reference.get(&key).copied());
                }
            }
            let mut pairs: Vec<_> = map.into_iter().collect();
            pairs.sort_unstable();
            prop_assert_eq!(pairs, reference.into_iter().collect::<Vec<_>>());
        }
    }
}
