//! Keys, as far as the interface knows them.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter.
    Char(char),
    /// A letter with the control key.
    Control(char),
    /// Sends, or opens.
    Enter,
    /// A line end within a text.
    Newline,
    /// Takes the letter before.
    Backspace,
    /// Takes the letter after.
    Delete,
    /// One to the left.
    Left,
    /// One to the right.
    Right,
    /// One up.
    Up,
    /// One down.
    Down,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the beginning.
    Home,
    /// To the end.
    End,
    /// To the next part of the screen.
    Tab,
    /// Back.
    Escape,
    /// The conversation above.
    PreviousConversation,
    /// The conversation below.
    NextConversation,
    /// A function key.
    Function(u8),
}

impl Key {
    /// From the terminal's; `None` for those that do nothing.
    #[must_use]
    pub fn from_terminal(event: KeyEvent) -> Option<Self> {
        let has = |modifier| event.modifiers.contains(modifier);
        let (control, alt) = (has(KeyModifiers::CONTROL), has(KeyModifiers::ALT));
        Some(match event.code {
            KeyCode::Char(letter) if control => Self::Control(letter),
            KeyCode::Char(_) if alt => return None,
            KeyCode::Char(letter) => Self::Char(letter),
            KeyCode::Enter if alt => Self::Newline,
            KeyCode::Enter => Self::Enter,
            KeyCode::Backspace => Self::Backspace,
            KeyCode::Delete => Self::Delete,
            KeyCode::Left => Self::Left,
            KeyCode::Right => Self::Right,
            KeyCode::Up if alt || control => Self::PreviousConversation,
            KeyCode::Down if alt || control => Self::NextConversation,
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            KeyCode::PageUp => Self::PageUp,
            KeyCode::PageDown => Self::PageDown,
            KeyCode::Home => Self::Home,
            KeyCode::End => Self::End,
            KeyCode::Tab => Self::Tab,
            KeyCode::Esc => Self::Escape,
            KeyCode::F(number) => Self::Function(number),
            _ => return None,
        })
    }
}
