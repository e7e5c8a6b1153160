//! What comes to several queues in one burst, grouped by queue in the order of first arrival.

use std::hash::Hash;

use ahash::AHashMap;

/// With so few groups, looking at each of them is quicker than hashing.
const FEW: usize = 8;

/// Groups by key.
#[derive(Debug)]
pub(crate) struct Groups<K, V> {
    groups: Vec<(K, V)>,
    /// Where each group is; nothing while they are few.
    places: AHashMap<K, usize>,
    /// Where the last one was found.
    last: usize,
}

impl<K, V> Default for Groups<K, V> {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            places: AHashMap::default(),
            last: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, V> Groups<K, V> {
    /// The group of a key, made if there is none yet.
    pub(crate) fn group(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.last = match self.find(key) {
            Some(place) => place,
            None => self.push(key, make()),
        };
        &mut self.groups[self.last].1
    }

    /// Whether nothing was collected.
    pub(crate) const fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Takes all groups out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = V> + '_ {
        self.places.clear();
        self.last = 0;
        self.groups.drain(..).map(|(_, group)| group)
    }

    fn find(&self, key: K) -> Option<usize> {
        let is_at = |place: usize| {
            self.groups
                .get(place)
                .is_some_and(|(known, _)| *known == key)
        };
        // Mostly the same again; or the next, where several have their turns.
        let next = (self.last + 1) % self.groups.len().max(1);
        if let Some(place) = [self.last, next].into_iter().find(|place| is_at(*place)) {
            return Some(place);
        }
        if self.places.is_empty() {
            self.groups.iter().position(|(known, _)| *known == key)
        } else {
            self.places.get(&key).copied()
        }
    }

    fn push(&mut self, key: K, group: V) -> usize {
        let place = self.groups.len();
        self.groups.push((key, group));
        if !self.places.is_empty() {
            self.places.insert(key, place);
        } else if self.groups.len() > FEW {
            let keys = self.groups.iter().map(|(key, _)| *key);
            self.places.extend(keys.zip(0..));
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_group_in_the_order_of_first_arrival() {
        for keys in [1, FEW, FEW + 1, 100] {
            let mut groups = Groups::default();
            // Twice: what was drained must not be remembered.
            for _ in 0..2 {
                let arrivals = (0..1000).map(|turn| (turn * turn + turn / 3) % keys);
                let arrivals: Vec<usize> = arrivals.collect();
                let mut expected: Vec<(usize, usize)> = Vec::new();
                for key in &arrivals {
                    groups.group(*key, || (*key, 0)).1 += 1;
                    match expected.iter_mut().find(|(known, _)| known == key) {
                        Some((_, count)) => *count += 1,
                        None => expected.push((*key, 1)),
                    }
                }
                assert_eq!(groups.drain().collect::<Vec<_>>(), expected, "{keys} keys");
                assert!(groups.is_empty());
            }
        }
    }
}
