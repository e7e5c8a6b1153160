//! Keys and values, and changes to them that are not made yet.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::iter::Peekable;
use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::StoreError;

/// Changes by key: a new value, or none any more.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What is called with each key and value, and says whether to go on.
pub(crate) type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<Step, StoreError> + 'a;

/// Whether a scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Next,
    Stop,
}

/// In which direction a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// Keys from one to another, the second not included.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Option<Vec<u8>>,
}

impl Range {
    /// All keys that begin so.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        Self {
            from: prefix.to_vec(),
            to: after_all(prefix),
        }
    }

    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let to = self.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(&self.from), to)
    }

    fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// The first key after all that begin so.
fn after_all(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            return Some(key);
        }
    }
    None
}

/// Keys and values to be read.
pub(crate) trait View {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Several, in the same order. One way there and back, where there is a way.
    fn get_all(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    fn scan(
        &self,
        range: &Range,
        direction: Direction,
        each: &mut Each<'_>,
    ) -> Result<(), StoreError>;
}

/// What is written as JSON, read back.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StoreError::Damaged(format!("a value cannot be read: {error}")))
}

pub(crate) fn read<T: DeserializeOwned>(
    view: &dyn View,
    key: &[u8],
) -> Result<Option<T>, StoreError> {
    view.get(key)?.map(|bytes| decode(&bytes)).transpose()
}

/// A view with changes on top, which are seen by whoever reads through it.
pub(crate) struct Transaction<'v> {
    view: &'v dyn View,
    changes: Changes,
}

impl<'v> Transaction<'v> {
    pub(crate) fn new(view: &'v dyn View) -> Self {
        Self {
            view,
            changes: Changes::new(),
        }
    }

    pub(crate) fn put<T: Serialize>(&mut self, key: Vec<u8>, value: &T) {
        let bytes = serde_json::to_vec(value).expect("what is stored has only string keys");
        self.changes.insert(key, Some(bytes));
    }

    /// The key says it all.
    pub(crate) fn mark(&mut self, key: Vec<u8>) {
        self.changes.insert(key, Some(Vec::new()));
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }

    /// Takes over the changes of a transaction on top of this one.
    pub(crate) fn absorb(&mut self, mut changes: Changes) {
        self.changes.append(&mut changes);
    }
}

impl View for Transaction<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.view.get(key),
        }
    }

    fn scan(
        &self,
        range: &Range,
        direction: Direction,
        each: &mut Each<'_>,
    ) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let mut news = News::new(&self.changes, range, direction);
        let mut stopped = false;
        self.view.scan(range, direction, &mut |key, value| {
            while let Some((new_key, change)) = news.before(key) {
                if let Some(value) = change
                    && each(new_key, value)? == Step::Stop
                {
                    stopped = true;
                    return Ok(Step::Stop);
                }
            }
            let step = match news.at(key) {
                Some(Some(value)) => each(key, value)?,
                Some(None) => Step::Next,
                None => each(key, value)?,
            };
            stopped = step == Step::Stop;
            Ok(step)
        })?;
        if stopped {
            return Ok(());
        }
        for (key, change) in news.rest() {
            if let Some(value) = change
                && each(key, value)? == Step::Stop
            {
                break;
            }
        }
        Ok(())
    }
}

type Change<'c> = (&'c [u8], Option<&'c [u8]>);

/// The changes in a range, in the direction of a scan.
struct News<'c> {
    changes: Peekable<Box<dyn Iterator<Item = Change<'c>> + 'c>>,
    direction: Direction,
}

impl<'c> News<'c> {
    fn new(changes: &'c Changes, range: &Range, direction: Direction) -> Self {
        let changes: btree_map::Range<'c, Vec<u8>, Option<Vec<u8>>> =
            changes.range::<[u8], _>(range.bounds());
        let plain =
            |(key, value): (&'c Vec<u8>, &'c Option<Vec<u8>>)| (key.as_slice(), value.as_deref());
        let changes: Box<dyn Iterator<Item = Change<'c>> + 'c> = match direction {
            Direction::Forward => Box::new(changes.map(plain)),
            Direction::Backward => Box::new(changes.rev().map(plain)),
        };
        Self {
            changes: changes.peekable(),
            direction,
        }
    }

    fn before(&mut self, key: &[u8]) -> Option<Change<'c>> {
        let direction = self.direction;
        self.changes.next_if(|(new_key, _)| match direction {
            Direction::Forward => *new_key < key,
            Direction::Backward => *new_key > key,
        })
    }

    fn at(&mut self, key: &[u8]) -> Option<Option<&'c [u8]>> {
        let found = self.changes.next_if(|(new_key, _)| *new_key == key);
        found.map(|(_, change)| change)
    }

    fn rest(self) -> impl Iterator<Item = Change<'c>> {
        self.changes
    }
}

/// Everything in memory.
#[derive(Debug, Default)]
pub(crate) struct Map(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl Map {
    pub(crate) fn apply(&mut self, changes: Changes) {
        for (key, change) in changes {
            match change {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }
}

impl View for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        range: &Range,
        direction: Direction,
        each: &mut Each<'_>,
    ) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let mut entries = self.0.range::<[u8], _>(range.bounds());
        loop {
            let entry = match direction {
                Direction::Forward => entries.next(),
                Direction::Backward => entries.next_back(),
            };
            let Some((key, value)) = entry else {
                return Ok(());
            };
            if each(key, value)? == Step::Stop {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(view: &dyn View, prefix: &[u8], direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        view.scan(&Range::prefix(prefix), direction, &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            Ok(Step::Next)
        })
        .unwrap();
        found
    }

    proptest! {
        #[test]
        fn a_view_with_changes_is_the_map_with_the_changes_made(
            entries in prop::collection::btree_map(
                prop::collection::vec(0..3_u8, 0..3), prop::collection::vec(any::<u8>(), 0..2), 0..12),
            changes in prop::collection::btree_map(
                prop::collection::vec(0..3_u8, 0..3),
                prop::option::of(prop::collection::vec(any::<u8>(), 0..2)), 0..12),
            prefix in prop::collection::vec(prop_oneof![0..3_u8, Just(255)], 0..2),
        ) {
            let mut map = Map(entries);
            let mut changed = Transaction::new(&map);
            changed.absorb(changes.clone());
            let forward = all(&changed, &prefix, Direction::Forward);
            let backward = all(&changed, &prefix, Direction::Backward);
            map.apply(changes);
            prop_assert_eq!(&forward, &all(&map, &prefix, Direction::Forward));
            prop_assert_eq!(&backward, &all(&map, &prefix, Direction::Backward));
            prop_assert!(forward.iter().rev().eq(&backward));
        }
    }
}
