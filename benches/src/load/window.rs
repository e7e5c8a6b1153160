//! The publishes that wait for their confirm.

use crate::wire::ClientError;

/// Marks a tag that was confirmed before an older one.
const CONFIRMED: u64 = u64::MAX;

/// Outstanding delivery tags `low..next`, with the time each was sent at.
#[derive(Debug)]
pub(crate) struct ConfirmWindow {
    sent_at: Box<[u64]>,
    mask: u64,
    size: u64,
    low: u64,
    next: u64,
}

impl ConfirmWindow {
    /// A window that lets `size` publishes wait.
    pub(crate) fn new(size: u64) -> Self {
        let capacity = size.max(1).next_power_of_two();
        let slots = usize::try_from(capacity).unwrap_or(usize::MAX);
        let sent_at = vec![CONFIRMED; slots].into_boxed_slice();
        Self {
            sent_at,
            mask: capacity - 1,
            size,
            low: 1,
            next: 1,
        }
    }

    /// How many more may be sent. The oldest unconfirmed one holds the window.
    pub(crate) fn room(&self) -> u64 {
        self.size - self.outstanding()
    }

    /// How many tags the window spans: the confirmed ones above the oldest unconfirmed one too.
    pub(crate) fn outstanding(&self) -> u64 {
        self.next - self.low
    }

    /// How many publishes have not been confirmed.
    pub(crate) fn unconfirmed(&self) -> u64 {
        let open = |tag: &u64| self.sent_at[self.slot(*tag)] != CONFIRMED;
        (self.low..self.next).filter(open).count() as u64
    }

    /// Notes one publish; there has to be room for it.
    #[inline]
    pub(crate) fn sent(&mut self, at: u64) {
        debug_assert!(self.room() > 0);
        let slot = self.slot(self.next);
        // The latest time there is means something else.
        self.sent_at[slot] = at.min(CONFIRMED - 1);
        self.next += 1;
    }

    /// Settles `tag`, or all up to it; gives each one's tag and time to `each`.
    pub(crate) fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        mut each: impl FnMut(u64, u64),
    ) -> Result<(), ClientError> {
        let (low, next) = (self.low, self.next);
        let wrong = ClientError::WrongConfirm { tag, low, next };
        // Tag 0 with "multiple" means all; a multiple may also cover nothing new.
        let last = if multiple && tag == 0 { next - 1 } else { tag };
        if last >= next || last == 0 || (!multiple && last < low) {
            return Err(wrong);
        }
        let first = if multiple { low } else { last };
        for tag in first..=last {
            let slot = self.slot(tag);
            let at = std::mem::replace(&mut self.sent_at[slot], CONFIRMED);
            if at != CONFIRMED {
                each(tag, at);
            } else if !multiple {
                return Err(wrong);
            }
        }
        while self.low < self.next && self.sent_at[self.slot(self.low)] == CONFIRMED {
            self.low += 1;
        }
        Ok(())
    }

    #[inline]
    fn slot(&self, tag: u64) -> usize {
        // The mask is below the length of an array, so the conversion cannot fail.
        usize::try_from(tag & self.mask).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window_with(size: u64, sent: u64) -> ConfirmWindow {
        let mut window = ConfirmWindow::new(size);
        for at in 0..sent {
            window.sent(at * 10);
        }
        window
    }

    fn settle(window: &mut ConfirmWindow, tag: u64, multiple: bool) -> Option<Vec<(u64, u64)>> {
        let mut settled = Vec::new();
        let result = window.settle(tag, multiple, |tag, at| settled.push((tag, at)));
        result.ok().map(|()| settled)
    }

    #[test]
    fn confirms_give_back_the_times_of_what_they_cover() {
        let mut window = window_with(5, 5);
        assert_eq!(window.room(), 0);
        assert_eq!(settle(&mut window, 3, false), Some(vec![(3, 20)]));
        assert_eq!(window.room(), 0, "the oldest holds the window");
        assert_eq!(
            settle(&mut window, 4, true),
            Some(vec![(1, 0), (2, 10), (4, 30)])
        );
        assert_eq!((window.room(), window.outstanding()), (4, 1));
        window.sent(50);
        window.sent(60);
        assert!(settle(&mut window, 6, false).is_some());
        assert_eq!((window.outstanding(), window.unconfirmed()), (3, 2));
        assert_eq!(settle(&mut window, 0, true), Some(vec![(5, 40), (7, 60)]));
        assert_eq!(window.outstanding(), 0);
    }

    #[test]
    fn a_confirm_for_nothing_outstanding_is_an_error() {
        let mut window = window_with(4, 3);
        for (tag, multiple) in [(4, false), (4, true), (u64::MAX, true), (0, false)] {
            assert_eq!(settle(&mut window, tag, multiple), None, "{tag} {multiple}");
        }
        assert!(settle(&mut window, 2, false).is_some());
        assert_eq!(settle(&mut window, 2, false), None, "confirmed twice");
        assert!(settle(&mut window, 2, true).is_some(), "covers 1");
        assert_eq!(settle(&mut window, 1, false), None, "below the window");
        assert_eq!(
            settle(&mut window, 2, true),
            Some(Vec::new()),
            "covers nothing new"
        );
        assert_eq!(
            settle(&mut ConfirmWindow::new(1), 0, true),
            None,
            "nothing was sent"
        );
    }

    #[test]
    fn the_window_goes_round_for_ever() {
        let mut window = ConfirmWindow::new(3);
        for tag in 1..1000 {
            window.sent(tag);
            if tag % 3 == 0 {
                let expected = (tag - 2..=tag).map(|tag| (tag, tag)).collect();
                assert_eq!(settle(&mut window, tag, true), Some(expected));
            }
        }
    }
}
