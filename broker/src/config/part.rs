//! A part of a whole, as a decimal fraction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of a whole, exact to a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Part {
    millionths: u32,
}

const WHOLE: u32 = 1_000_000;

/// The greatest part: a hundred wholes.
const MILLIONTHS_MAX: u32 = 100 * WHOLE;

impl Part {
    /// So many millionths, at most a hundred wholes.
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Self {
        Self {
            millionths: if millionths < MILLIONTHS_MAX {
                millionths
            } else {
                MILLIONTHS_MAX
            },
        }
    }

    /// As a number: 1 is the whole.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.millionths) / f64::from(WHOLE)
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: f64 = text.parse().unwrap_or(f64::NAN);
        let millionths = number * f64::from(WHOLE);
        if (0.0..=f64::from(MILLIONTHS_MAX)).contains(&millionths) {
            // In range, so nothing is cut off but what is finer than a millionth.
            Ok(Self::from_millionths(millionths.round() as u32))
        } else {
            Err("must be a part of the memory, for example 0.6".to_owned())
        }
    }
}

impl TryFrom<String> for Part {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.as_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_and_shown_alike() {
        for text in ["0", "0.6", "0.000001", "1", "1.5", "100"] {
            assert_eq!(text.parse::<Part>().unwrap().to_string(), text);
        }
        for text in ["", "-0.1", "101", "NaN", "inf", "half", "1e9"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }
}
