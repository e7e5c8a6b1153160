//! The line that is being written. Pure.

/// A text and a place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Composer {
    letters: Vec<char>,
    place: usize,
}

impl Composer {
    pub(super) fn text(&self) -> String {
        self.letters.iter().collect()
    }

    pub(super) fn before(&self) -> String {
        self.letters[..self.place].iter().collect()
    }

    pub(super) fn set(&mut self, text: &str) {
        self.letters = text.chars().collect();
        self.place = self.letters.len();
    }

    pub(super) fn take(&mut self) -> String {
        let text = self.text();
        *self = Self::default();
        text
    }

    pub(super) fn insert(&mut self, letter: char) {
        self.letters.insert(self.place, letter);
        self.place += 1;
    }

    pub(super) fn backspace(&mut self) {
        if self.place > 0 {
            self.place -= 1;
            self.letters.remove(self.place);
        }
    }

    pub(super) fn delete(&mut self) {
        if self.place < self.letters.len() {
            self.letters.remove(self.place);
        }
    }

    pub(super) fn left(&mut self) {
        self.place = self.place.saturating_sub(1);
    }

    pub(super) fn right(&mut self) {
        self.place = (self.place + 1).min(self.letters.len());
    }

    pub(super) fn home(&mut self) {
        self.place = 0;
    }

    pub(super) fn end(&mut self) {
        self.place = self.letters.len();
    }
}
