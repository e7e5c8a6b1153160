//! Secrets that never show themselves.

use std::fmt;

/// A password or token. It is wiped from no log because it is written to none.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Keeps a copy of `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Whether there is nothing to keep secret. Such a password never opens anything (spec 1.3.8).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How long it is.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.0.len()
    }

    /// Whether the secret is exactly `bytes`. For tests; it does not hide how long it takes.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        *self.0 == *bytes
    }

    /// The secret itself, for hashing.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// What a client logs in with.
#[derive(Clone, Debug)]
pub struct LoginRequest {
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_themselves() {
        let request = LoginRequest {
            user: "guest".to_owned(),
            password: Secret::new(b"canary-password"),
        };
        assert!(!format!("{request:?}").contains("canary"));
    }
}
