//! A value as it was given, before it is known whether it fits its option.

use std::fmt;

/// What stands beside an option's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// From a flag or an environment variable: the option says what it means.
    Word(String),
    /// A text in a file.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A list of texts.
    List(Vec<String>),
    /// What no option takes, as it stands in the file.
    Other(String),
}

impl Value {
    /// The number, if it is one.
    pub(super) const fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Word(_) | Self::Text(_) | Self::Boolean(_) | Self::List(_) | Self::Other(_) => {
                None
            }
        }
    }
}

impl fmt::Display for Value {
    /// As TOML, on one line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Text(text) => quote(formatter, text),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Boolean(truth) => write!(formatter, "{truth}"),
            Self::Other(text) => formatter.write_str(text),
            Self::List(texts) => {
                formatter.write_str("[")?;
                for (index, text) in texts.iter().enumerate() {
                    if index > 0 {
                        formatter.write_str(", ")?;
                    }
                    quote(formatter, text)?;
                }
                formatter.write_str("]")
            }
        }
    }
}

fn quote(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    formatter.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => formatter.write_str("\\\"")?,
            '\\' => formatter.write_str("\\\\")?,
            '\n' => formatter.write_str("\\n")?,
            '\t' => formatter.write_str("\\t")?,
            '\r' => formatter.write_str("\\r")?,
            control if control.is_control() => {
                write!(formatter, "\\u{:04X}", u32::from(control))?;
            }
            other => write!(formatter, "{other}")?,
        }
    }
    formatter.write_str("\"")
}
