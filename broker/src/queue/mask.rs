//! A set of small numbers: places within one chunk, levels of a queue.

/// One bit per number below 64 times `WORDS`; by default, one per place of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask<const WORDS: usize = 8>([u64; WORDS]);

/// One bit per level of a queue.
pub(super) type LevelMask = Mask<4>;

impl<const WORDS: usize> Default for Mask<WORDS> {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl<const WORDS: usize> Mask<WORDS> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(super) fn contains(&self, offset: u16) -> bool {
        self.0
            .get(Self::word(offset))
            .is_some_and(|word| word & Self::bit(offset) != 0)
    }

    pub(super) fn insert(&mut self, offset: u16) {
        if let Some(word) = self.0.get_mut(Self::word(offset)) {
            *word |= Self::bit(offset);
        }
    }

    pub(super) fn remove(&mut self, offset: u16) {
        if let Some(word) = self.0.get_mut(Self::word(offset)) {
            *word &= !Self::bit(offset);
        }
    }

    pub(super) fn first(&self) -> Option<u16> {
        self.first_from(0)
    }

    pub(super) fn last(&self) -> Option<u16> {
        let index = self.0.iter().rposition(|word| *word != 0)?;
        let highest = 63 - self.0[index].leading_zeros() as usize;
        u16::try_from(index * 64 + highest).ok()
    }

    /// The lowest member that is not below `offset`.
    pub(super) fn first_from(&self, offset: u16) -> Option<u16> {
        let start = Self::word(offset);
        let words = self.0.iter().enumerate().skip(start);
        for (index, &word) in words {
            let wanted = if index == start {
                word & (u64::MAX << (offset % 64))
            } else {
                word
            };
            if wanted != 0 {
                return u16::try_from(index * 64 + wanted.trailing_zeros() as usize).ok();
            }
        }
        None
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        let mut next = self.first();
        std::iter::from_fn(move || {
            let offset = next?;
            next = self.first_from(offset + 1);
            Some(offset)
        })
    }

    const fn word(offset: u16) -> usize {
        (offset / 64) as usize
    }

    const fn bit(offset: u16) -> u64 {
        1 << (offset % 64)
    }
}

#[cfg(test)]
mod tests {
    use super::Mask;

    #[test]
    fn members_come_back_in_ascending_order() {
        let mut mask: Mask = Mask::default();
        for offset in [511, 0, 64, 63, 300] {
            mask.insert(offset);
        }
        assert_eq!(mask.iter().collect::<Vec<_>>(), [0, 63, 64, 300, 511]);
        assert_eq!(mask.first_from(64), Some(64));
        assert_eq!(mask.first_from(301), Some(511));
        assert_eq!(mask.first_from(512), None);
        assert_eq!(mask.last(), Some(511));
        assert_eq!(mask.count(), 5);
    }

    #[test]
    fn a_removed_member_is_gone_and_outsiders_are_ignored() {
        let mut mask: Mask = Mask::default();
        mask.insert(7);
        mask.remove(7);
        mask.insert(512);
        mask.remove(600);
        assert!(!mask.contains(7) && !mask.contains(512));
        assert!(mask.is_empty());
    }
}
