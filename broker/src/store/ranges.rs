//! A set of numbers, kept as the ranges that cover it.

use std::collections::BTreeMap;

/// A set of numbers that mostly follow one another: its size is that of its gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeSet {
    /// First to last, both included; never overlapping, never adjacent.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds all numbers from `first` to `last` and returns the range that they are part of now.
    pub(crate) fn insert(&mut self, first: u64, last: u64) -> (u64, u64) {
        let (mut first, mut last) = (first, last);
        if let Some((&begin, &end)) = self.ranges.range(..=first).next_back()
            && end.saturating_add(1) >= first
        {
            first = begin;
            last = last.max(end);
        }
        while let Some((&begin, &end)) = self.ranges.range(first..=last.saturating_add(1)).next() {
            last = last.max(end);
            self.ranges.remove(&begin);
        }
        self.ranges.insert(first, last);
        (first, last)
    }

    /// Takes one number out.
    pub(crate) fn remove(&mut self, number: u64) {
        let Some((&first, &last)) = self.ranges.range(..=number).next_back() else {
            return;
        };
        if last < number {
            return;
        }
        self.ranges.remove(&first);
        if first < number {
            self.ranges.insert(first, number - 1);
        }
        if number < last {
            self.ranges.insert(number + 1, last);
        }
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let before = self.ranges.range(..=number).next_back();
        before.is_some_and(|(_, last)| *last >= number)
    }

    /// All ranges, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }

    /// The parts of the set that lie between `first` and `last`, both included, ascending.
    pub(crate) fn within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let begin = self
            .ranges
            .range(..=first)
            .next_back()
            .map_or(first, |(begin, _)| *begin);
        self.ranges
            .range(begin..)
            .take_while(move |(begin, _)| **begin <= last)
            .map(move |(begin, end)| ((*begin).max(first), (*end).min(last)))
            .filter(|(begin, end)| begin <= end)
    }

    /// How many numbers there are.
    pub(crate) fn count(&self) -> u64 {
        self.iter().map(|(first, last)| last - first + 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_range_set_holds_what_a_plain_set_holds(
            changes in proptest::collection::vec((any::<bool>(), 0_u64..60, 0_u64..8), 0..60),
            window in (0_u64..70, 0_u64..20),
        ) {
            let mut ranges = RangeSet::default();
            let mut plain = BTreeSet::new();
            for (adds, first, more) in changes {
                if adds {
                    let merged = ranges.insert(first, first + more);
                    plain.extend(first..=first + more);
                    prop_assert!((merged.0..=merged.1).all(|number| plain.contains(&number)));
                } else {
                    ranges.remove(first);
                    plain.remove(&first);
                }
            }
            let held: Vec<u64> = ranges.iter().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(held, plain.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(ranges.count(), plain.len() as u64);
            let (from, to) = (window.0, window.0 + window.1);
            let inside: Vec<u64> =
                ranges.within(from, to).flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(inside, plain.range(from..=to).copied().collect::<Vec<_>>());
            prop_assert!((0..80).all(|n| ranges.contains(n) == plain.contains(&n)));
            let pairs: Vec<_> = ranges.iter().collect();
            prop_assert!(pairs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }

    #[test]
    fn the_last_number_of_all_can_be_held() {
        let mut ranges = RangeSet::default();
        ranges.insert(u64::MAX, u64::MAX);
        assert_eq!(ranges.insert(3, u64::MAX - 1), (3, u64::MAX));
        assert!(ranges.contains(u64::MAX));
    }
}
