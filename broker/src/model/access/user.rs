//! Users and their tags (spec 8.3).

use serde::{Deserialize, Serialize};

use super::limits::UserLimits;
use super::password::PasswordHash;
use crate::model::name::UserName;

/// How many tags a user may have.
const TAGS_MAX: usize = 32;
/// Bytes of one tag.
const TAG_BYTES_MAX: usize = 255;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name.
    pub name: UserName,
    /// What the password is checked against.
    pub password: PasswordHash,
    /// What the HTTP API lets the user do.
    pub tags: Tags,
    /// What the user is held to.
    #[serde(default, skip_serializing_if = "UserLimits::is_empty")]
    pub limits: UserLimits,
}

/// A user's tags, in the order in which they were given. They open the HTTP API and nothing in AMQP,
/// but for `impersonator` (spec 5.1.7, 8.3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(Vec<String>);

/// Why tags are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagsError {
    /// There are more than a user may have.
    #[error("a user has at most {TAGS_MAX} tags")]
    TooMany,
    /// One is too long.
    #[error("a tag has at most {TAG_BYTES_MAX} bytes")]
    TooLong,
}

impl Tags {
    /// Tags, cut at both ends of white space; empty ones are left out.
    ///
    /// # Errors
    ///
    /// If there are too many, or one is too long.
    pub fn new<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Self, TagsError> {
        let mut taken = Vec::new();
        for tag in tags.into_iter().map(str::trim) {
            if tag.is_empty() {
                continue;
            }
            if tag.len() > TAG_BYTES_MAX {
                return Err(TagsError::TooLong);
            }
            if taken.len() == TAGS_MAX {
                return Err(TagsError::TooMany);
            }
            taken.push(tag.to_owned());
        }
        Ok(Self(taken))
    }

    /// Tags as one text, between commas.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn parse(text: &str) -> Result<Self, TagsError> {
        Self::new(text.split(','))
    }

    /// The tags.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn has(&self, tag: &str) -> bool {
        self.iter().any(|own| own == tag)
    }

    /// Whether the user may do everything.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.has("administrator")
    }

    /// Whether the user may look at everything that runs.
    #[must_use]
    pub fn is_monitor(&self) -> bool {
        self.is_administrator() || self.has("monitoring")
    }

    /// Whether the user may change policies and parameters where it has rights.
    #[must_use]
    pub fn is_policymaker(&self) -> bool {
        self.is_administrator() || self.has("policymaker")
    }

    /// Whether the user may use the HTTP API at all.
    #[must_use]
    pub fn is_management(&self) -> bool {
        self.is_monitor() || self.is_policymaker() || self.has("management")
    }

    /// Whether the user may publish in other users' names (spec 5.1.7).
    #[must_use]
    pub fn is_impersonator(&self) -> bool {
        self.has("impersonator")
    }

    /// Whether the HTTP API may neither change nor delete the user.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.has("protected")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Tags {
        Tags::parse(text).expect("few and short")
    }

    #[test]
    fn tags_are_cut_at_commas_and_trimmed() {
        let found = tags(" a, b ,,c d,");
        assert_eq!(found.iter().collect::<Vec<_>>(), ["a", "b", "c d"]);
        assert_eq!(tags("").iter().count(), 0);
    }

    #[test]
    fn administrators_may_what_monitors_and_policymakers_may() {
        assert!(tags("administrator").is_monitor() && tags("administrator").is_policymaker());
        assert!(tags("monitoring").is_management() && !tags("monitoring").is_policymaker());
        assert!(tags("policymaker").is_management() && !tags("policymaker").is_monitor());
        assert!(tags("management").is_management() && !tags("management").is_monitor());
        assert!(!tags("impersonator,protected,Administrator").is_management());
    }

    #[test]
    fn there_are_no_more_tags_than_thirty_two() {
        let many = vec!["t"; 33].join(",");
        assert_eq!(Tags::parse(&many), Err(TagsError::TooMany));
        assert!(Tags::parse(&many[2..]).is_ok());
        assert_eq!(Tags::parse(&"t".repeat(256)), Err(TagsError::TooLong));
    }
}
