//! Salted password hashes, in RabbitMQ's own forms and in a stronger one (spec 8.3.2).
//!
//! RabbitMQ's: four bytes of salt, then the digest of salt and password, together as base64. Argon2id
//! is ours alone: sixteen bytes of salt, then 32 bytes of output, with the parameters of
//! [`argon2::Params::DEFAULT`]; other parameters would be another algorithm with another name.

use std::fmt;

use argon2::Argon2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::login::Secret;

/// Bytes of salt in RabbitMQ's forms.
const SALT_BYTES: usize = 4;
const ARGON2_SALT_BYTES: usize = 16;
const ARGON2_OUTPUT_BYTES: usize = 32;

/// What is more than any algorithm's hash, in bytes; longer ones are not kept.
const HASH_BYTES_MAX: usize = 1024;

/// How a password is hashed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum HashAlgorithm {
    /// SHA-256 over salt and password; RabbitMQ's default.
    #[default]
    #[serde(rename = "rabbit_password_hashing_sha256")]
    Sha256,
    /// SHA-512 over salt and password.
    #[serde(rename = "rabbit_password_hashing_sha512")]
    Sha512,
    /// MD5 over salt and password, for users that come from old brokers.
    #[serde(rename = "rabbit_password_hashing_md5")]
    Md5,
    /// Argon2id: slow on purpose. RabbitMQ cannot read it.
    #[serde(rename = "argon2id")]
    Argon2id,
}

/// Why a hash is not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// No such algorithm.
    #[error("unknown hashing algorithm '{0}'")]
    Algorithm(String),
    /// The text is no base64.
    #[error("not_base64")]
    NotBase64,
    /// It is longer than any hash.
    #[error("a password hash of more than {HASH_BYTES_MAX} bytes")]
    TooLong,
}

impl HashAlgorithm {
    /// The algorithm of that name.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn parse(name: &str) -> Result<Self, HashError> {
        [Self::Sha256, Self::Sha512, Self::Md5, Self::Argon2id]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or_else(|| HashError::Algorithm(name.to_owned()))
    }

    /// The name that definitions and the HTTP API use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "rabbit_password_hashing_sha256",
            Self::Sha512 => "rabbit_password_hashing_sha512",
            Self::Md5 => "rabbit_password_hashing_md5",
            Self::Argon2id => "argon2id",
        }
    }

    const fn salt_bytes(self) -> usize {
        match self {
            Self::Sha256 | Self::Sha512 | Self::Md5 => SALT_BYTES,
            Self::Argon2id => ARGON2_SALT_BYTES,
        }
    }

    fn digest(self, salt: &[u8], password: &Secret) -> Vec<u8> {
        fn salted<D: Digest>(salt: &[u8], password: &Secret) -> Vec<u8> {
            D::new()
                .chain_update(salt)
                .chain_update(password.expose())
                .finalize()
                .to_vec()
        }
        match self {
            Self::Sha256 => salted::<Sha256>(salt, password),
            Self::Sha512 => salted::<Sha512>(salt, password),
            Self::Md5 => salted::<Md5>(salt, password),
            Self::Argon2id => {
                let mut output = vec![0; ARGON2_OUTPUT_BYTES];
                let hashed =
                    Argon2::default().hash_password_into(password.expose(), salt, &mut output);
                // Fails for salts and passwords of absurd lengths alone. Nothing equals no bytes.
                hashed.map_or_else(|_| Vec::new(), |()| output)
            }
        }
    }
}

/// What is kept instead of a password. Does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    algorithm: HashAlgorithm,
    /// Salt, then digest; nothing for a user who cannot log in with a password.
    bytes: Vec<u8>,
}

impl PasswordHash {
    /// The hash that no password has: its user cannot log in with one.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            algorithm: HashAlgorithm::Sha256,
            bytes: Vec::new(),
        }
    }

    /// A hash that accepts nothing and takes as long to say so as any other of its kind.
    #[must_use]
    pub fn decoy(algorithm: HashAlgorithm) -> Self {
        Self {
            algorithm,
            bytes: vec![0; algorithm.salt_bytes()],
        }
    }

    /// Hashes `password`. Of `salt`, which nobody must guess, the algorithm takes what it needs.
    #[must_use]
    pub fn new(algorithm: HashAlgorithm, salt: [u8; 16], password: &Secret) -> Self {
        let salt = &salt[..algorithm.salt_bytes()];
        let mut bytes = salt.to_vec();
        bytes.extend(algorithm.digest(salt, password));
        Self { algorithm, bytes }
    }

    /// Takes over a hash that was made elsewhere.
    ///
    /// # Errors
    ///
    /// If `text` is no base64, or too long.
    pub fn from_base64(algorithm: HashAlgorithm, text: &str) -> Result<Self, HashError> {
        let bytes = STANDARD.decode(text).map_err(|_| HashError::NotBase64)?;
        if bytes.len() > HASH_BYTES_MAX {
            return Err(HashError::TooLong);
        }
        Ok(Self { algorithm, bytes })
    }

    /// Salt and digest as text, as RabbitMQ has them. Not for logs.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.bytes)
    }

    /// Algorithm and text for those who may read hashes. What only this broker can read is left out:
    /// elsewhere it would be taken for a hash of another kind, or for a mistake.
    #[must_use]
    pub fn exported(&self) -> (HashAlgorithm, String) {
        match self.algorithm {
            HashAlgorithm::Sha256 | HashAlgorithm::Sha512 | HashAlgorithm::Md5 => {
                (self.algorithm, self.to_base64())
            }
            HashAlgorithm::Argon2id => (HashAlgorithm::Sha256, String::new()),
        }
    }

    /// How it was made.
    #[must_use]
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// Compares without telling by its duration how much of the hash is right. Slow.
    #[must_use]
    pub fn accepts(&self, password: &Secret) -> bool {
        let salt_bytes = self.algorithm.salt_bytes();
        // Without a hash the work is done all the same, so that such a user is no quicker to refuse.
        let no_hash = (&[0; ARGON2_SALT_BYTES][..salt_bytes], &[][..]);
        let (salt, digest) = self.bytes.split_at_checked(salt_bytes).unwrap_or(no_hash);
        let given = self.algorithm.digest(salt, password);
        !given.is_empty() && bool::from(given.ct_eq(digest))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PasswordHash({}, ..)", self.algorithm.as_str())
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    algorithm: HashAlgorithm,
    hash: String,
}

impl Serialize for PasswordHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored {
            algorithm: self.algorithm,
            hash: self.to_base64(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        Self::from_base64(stored.algorithm, &stored.hash).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 16] = *b"\x90\x8d\xc6\x0abcdefghijklm";

    fn all() -> [HashAlgorithm; 4] {
        [
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha512,
            HashAlgorithm::Md5,
            HashAlgorithm::Argon2id,
        ]
    }

    #[test]
    fn a_hash_accepts_its_own_password_and_no_other() {
        for algorithm in all() {
            let hash = PasswordHash::new(algorithm, SALT, &Secret::new(b"test12"));
            assert!(hash.accepts(&Secret::new(b"test12")), "{algorithm:?}");
            for other in ["", "test1", "test12 ", "Test12"] {
                assert!(!hash.accepts(&Secret::new(other.as_bytes())), "{other}");
            }
        }
    }

    #[test]
    fn rabbitmqs_own_example_is_accepted() {
        // From RabbitMQ's documentation of its hashes.
        let text = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        let hash = PasswordHash::from_base64(HashAlgorithm::Sha256, text).expect("base64");
        assert!(hash.accepts(&Secret::new(b"test12")));
        assert_eq!(hash.to_base64(), text);
    }

    #[test]
    fn a_short_or_missing_hash_accepts_nothing() {
        for algorithm in all() {
            for text in ["", "AAAA", "AAAAAA=="] {
                let hash = PasswordHash::from_base64(algorithm, text).expect("base64");
                for password in ["", "a"] {
                    assert!(!hash.accepts(&Secret::new(password.as_bytes())), "{text}");
                }
            }
        }
        assert!(!PasswordHash::none().accepts(&Secret::new(b"")));
    }

    #[test]
    fn a_hash_survives_being_stored_and_does_not_show_itself() {
        for algorithm in all() {
            let hash = PasswordHash::new(algorithm, SALT, &Secret::new(b"x"));
            let json = serde_json::to_string(&hash).expect("json");
            assert_eq!(
                serde_json::from_str::<PasswordHash>(&json).expect("the same"),
                hash
            );
            assert!(!format!("{hash:?}").contains(&hash.to_base64()));
        }
    }
}
