//! Who may log in, and secrets that never show themselves.

use std::fmt;

use sha2::{Digest, Sha256};

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

    /// Whether the secret is exactly `bytes`. For tests; it does not hide how long it takes.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        *self.0 == *bytes
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

/// A user who may log in.
#[derive(Clone, Debug)]
struct User {
    name: String,
    hash: PasswordHash,
    loopback_only: bool,
}

/// A salted password hash in RabbitMQ's own form, SHA-256 over salt and password (spec 8.3.2).
#[derive(Clone)]
struct PasswordHash {
    salt: [u8; 4],
    digest: [u8; 32],
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(..)")
    }
}

impl PasswordHash {
    fn new(salt: [u8; 4], password: &Secret) -> Self {
        Self {
            salt,
            digest: digest(salt, password),
        }
    }

    /// Compares without telling by its duration how much of the hash is right.
    fn accepts(&self, password: &Secret) -> bool {
        let given = digest(self.salt, password);
        let difference = self
            .digest
            .iter()
            .zip(given)
            .fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        std::hint::black_box(difference) == 0
    }
}

fn digest(salt: [u8; 4], password: &Secret) -> [u8; 32] {
    Sha256::new()
        .chain_update(salt)
        .chain_update(&password.0)
        .finalize()
        .into()
}

/// Everybody who may log in.
#[derive(Clone, Debug)]
pub struct Credentials {
    users: Vec<User>,
    /// Checked when the name is unknown, so that a guess takes as long as a hit.
    nobody: PasswordHash,
}

impl Credentials {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            users: Vec::new(),
            nobody: PasswordHash::new([0; 4], &Secret::new(b"")),
        }
    }

    /// Adds a user. `loopback_only` keeps it from logging in from elsewhere (spec 8.3.3).
    #[must_use]
    pub fn with_user(
        mut self,
        name: &str,
        password: &Secret,
        salt: [u8; 4],
        loopback_only: bool,
    ) -> Self {
        let hash = PasswordHash::new(salt, password);
        self.users.push(User {
            name: name.to_owned(),
            hash,
            loopback_only,
        });
        self
    }

    /// Whether `request` may log in from a peer that is or is not on this machine.
    ///
    /// Takes as long for an unknown name as for a wrong password (spec 1.3.7). Hashes: not for an
    /// asynchronous worker.
    #[must_use]
    pub fn accept(&self, request: &LoginRequest, from_loopback: bool) -> bool {
        let user = self.users.iter().find(|user| user.name == request.user);
        let hash = user.map_or(&self.nobody, |user| &user.hash);
        let known = hash.accepts(&request.password);
        known
            && !request.password.is_empty()
            && user.is_some_and(|user| from_loopback || !user.loopback_only)
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(user: &str, password: &str) -> LoginRequest {
        LoginRequest {
            user: user.to_owned(),
            password: Secret::new(password.as_bytes()),
        }
    }

    #[test]
    fn only_the_right_name_with_the_right_password_is_let_in() {
        let credentials =
            Credentials::new().with_user("guest", &Secret::new(b"guest"), [1, 2, 3, 4], true);
        assert!(credentials.accept(&request("guest", "guest"), true));
        assert!(!credentials.accept(&request("guest", "guess"), true));
        assert!(!credentials.accept(&request("guests", "guest"), true));
        assert!(!credentials.accept(&request("guest", "guest"), false));
    }

    #[test]
    fn an_empty_password_never_opens_anything() {
        let credentials = Credentials::new().with_user("open", &Secret::new(b""), [0; 4], false);
        assert!(!credentials.accept(&request("open", ""), true));
        assert!(!credentials.accept(&request("nobody", ""), true));
    }

    #[test]
    fn secrets_do_not_show_themselves() {
        let shown = format!("{:?}", request("guest", "canary-password"));
        assert!(!shown.contains("canary"));
    }
}
