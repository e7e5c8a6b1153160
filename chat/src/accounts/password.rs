//! Passwords and tokens. Hashing takes tens of milliseconds of a processor and 19 MiB: never on an async
//! worker, and never more than a few at once.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash as Parsed;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::AccountError;
use crate::store::{PasswordHash, TokenHash};

/// Characters of a password, at least.
const PASSWORD_CHARACTERS_MIN: usize = 8;
/// Octets of a password, at most: a longer one only costs time.
const PASSWORD_BYTES_MAX: usize = 1024;
/// Hashes computed at a time.
const HASHES_MAX: usize = 2;
/// Octets of a token: 256 bits.
const TOKEN_BYTES: usize = 32;

/// Computes hashes, a few at a time.
#[derive(Clone, Debug)]
pub(super) struct Hashing {
    slots: Arc<Semaphore>,
}

impl Hashing {
    pub(super) fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(HASHES_MAX)),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountError> {
        let slot = self.slots.clone().acquire_owned().await;
        let slot = slot.map_err(|_| AccountError::Unavailable)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(slot);
            result
        });
        done.await.map_err(|_| AccountError::Unavailable)
    }

    /// The hash of a new password.
    pub(super) async fn hash(&self, password: String) -> Result<PasswordHash, AccountError> {
        if password.chars().count() < PASSWORD_CHARACTERS_MIN || password.len() > PASSWORD_BYTES_MAX
        {
            return Err(AccountError::BadPassword {
                min: PASSWORD_CHARACTERS_MIN,
            });
        }
        let hash = move || {
            let salt = random::<16>();
            let hash: Result<Parsed, _> =
                Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| PasswordHash(hash.to_string())).ok()
        };
        self.run(hash).await?.ok_or(AccountError::Unavailable)
    }

    /// Whether the password is the one that was hashed. Takes as long if there is no hash, so that nobody
    /// learns who has an account.
    pub(super) async fn is_right(
        &self,
        password: String,
        hash: Option<PasswordHash>,
    ) -> Result<bool, AccountError> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let check = move || match &hash {
            Some(hash) => Parsed::new(&hash.0).is_ok_and(|hash| {
                let verified = Argon2::default().verify_password(password.as_bytes(), &hash);
                verified.is_ok()
            }),
            None => {
                // Only for the time it takes.
                let _: Result<Parsed, _> =
                    Argon2::default().hash_password_with_salt(password.as_bytes(), &[0; 16]);
                false
            }
        };
        self.run(check).await
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    bytes
}

/// A secret that nobody can guess, as text of letters and digits.
pub(super) fn secret() -> String {
    BASE32_NOPAD
        .encode(&random::<TOKEN_BYTES>())
        .to_ascii_lowercase()
}

/// What is kept of a token.
pub(super) fn token_hash(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_recognised_and_a_short_one_is_refused() {
        let hashing = Hashing::new();
        let hash = hashing.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.0.starts_with("$argon2id$"));
        let right = hashing.is_right("correct horse".to_owned(), Some(hash.clone()));
        assert_eq!(right.await, Ok(true));
        let wrong = hashing.is_right("correct house".to_owned(), Some(hash));
        assert_eq!(wrong.await, Ok(false));
        let nobody = hashing.is_right("correct horse".to_owned(), None);
        assert_eq!(nobody.await, Ok(false));
        assert!(hashing.hash("short".to_owned()).await.is_err());
    }

    #[test]
    fn secrets_differ_and_are_long() {
        assert_ne!(secret(), secret());
        assert_eq!(secret().len(), 52);
        assert_ne!(token_hash("a"), token_hash("b"));
    }
}
