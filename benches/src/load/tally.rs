//! Which messages of one queue a consumer has seen, and in what order.

/// What a consumer saw of each producer.
#[derive(Debug)]
pub(crate) struct Tally {
    producers: Vec<Seen>,
    pub(crate) received: u64,
    pub(crate) unique: u64,
    pub(crate) redelivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
}

/// One bit for each sequence number.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    words: Vec<u64>,
    /// One more than the latest sequence number seen without the redelivered flag.
    next: u64,
}

impl Tally {
    pub(crate) fn new(producers: usize) -> Self {
        Self {
            producers: vec![Seen::default(); producers],
            received: 0,
            unique: 0,
            redelivered: 0,
            duplicates: 0,
            out_of_order: 0,
        }
    }

    /// Counts a message without a sequence number.
    pub(crate) fn mark_unnumbered(&mut self, redelivered: bool) {
        self.received += 1;
        self.unique += 1;
        self.redelivered += u64::from(redelivered);
    }

    /// Counts a message. The caller has checked that the producer exists and has sent this
    /// sequence number, which bounds the memory taken here.
    #[inline]
    pub(crate) fn mark(&mut self, producer: usize, sequence: u64, redelivered: bool) {
        let Some(seen) = self.producers.get_mut(producer) else {
            return;
        };
        self.received += 1;
        let new = seen.set(sequence);
        self.unique += u64::from(new);
        if redelivered {
            self.redelivered += 1;
        } else if !new {
            self.duplicates += 1;
        } else if sequence < seen.next {
            self.out_of_order += 1;
        } else {
            seen.next = sequence + 1;
        }
    }

    pub(crate) fn seen(&self, producer: usize) -> &Seen {
        &self.producers[producer]
    }
}

impl Seen {
    /// Sets the bit; false when it was set before.
    #[inline]
    fn set(&mut self, sequence: u64) -> bool {
        let index = usize::try_from(sequence / 64).unwrap_or(usize::MAX);
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        let bit = 1 << (sequence % 64);
        let new = self.words[index] & bit == 0;
        self.words[index] |= bit;
        new
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        let index = usize::try_from(sequence / 64).unwrap_or(usize::MAX);
        self.words
            .get(index)
            .is_some_and(|word| word & 1 << (sequence % 64) != 0)
    }

    /// Takes over what `other` saw; gives the number seen by both.
    pub(crate) fn add(&mut self, other: &Self) -> u64 {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        let mut both = 0;
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            both += u64::from((*word & more).count_ones());
            *word |= more;
        }
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_delivery_is_counted_as_what_it_is() {
        let mut tally = Tally::new(2);
        let deliveries = [
            (0, 0, false),
            (0, 2, false),
            (1, 0, false),
            (0, 1, false),
            (0, 2, false),
            (0, 1, true),
            (0, 500, true),
            (0, 3, false),
        ];
        for (producer, sequence, redelivered) in deliveries {
            tally.mark(producer, sequence, redelivered);
        }
        assert_eq!(tally.received, 8);
        assert_eq!(tally.unique, 6);
        assert_eq!(tally.redelivered, 2);
        assert_eq!(tally.duplicates, 1, "2 came twice without the flag");
        assert_eq!(tally.out_of_order, 1, "1 after 2");
        assert!(tally.seen(0).contains(500) && !tally.seen(0).contains(499));
    }

    #[test]
    fn two_consumers_of_a_queue_add_up() {
        let (mut first, mut second) = (Tally::new(1), Tally::new(1));
        for sequence in [0, 2, 4, 70] {
            first.mark(0, sequence, false);
        }
        for sequence in [1, 2, 3, 200] {
            second.mark(0, sequence, false);
        }
        let mut union = first.seen(0).clone();
        assert_eq!(union.add(second.seen(0)), 1);
        let seen: Vec<u64> = (0..300)
            .filter(|sequence| union.contains(*sequence))
            .collect();
        assert_eq!(seen, [0, 1, 2, 3, 4, 70, 200]);
    }
}
