//! Whose word counts when a server says who it is: the system's certificate authorities, and whatever
//! else a file names. There is no way around it: a server that cannot prove its name is not spoken to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Why a file of certificates is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("{path:?} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no certificate in it.
    #[error("{path:?} holds no certificate in PEM")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Who may vouch for servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Besides the system's.
    own: Option<Own>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Own {
    pem: Arc<str>,
    certificates: Arc<[CertificateDer<'static>]>,
}

impl Trust {
    /// The system's authorities alone.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// Those of the system and of a file in PEM.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or holds no certificate.
    pub fn with_file(path: &Path) -> Result<Self, TrustError> {
        let pem = std::fs::read_to_string(path).map_err(|source| TrustError::Unreadable {
            path: path.to_path_buf(),
            source,
        })?;
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(Self {
                own: Some(Own {
                    pem: pem.into(),
                    certificates: certificates.into(),
                }),
            }),
            Ok(_) | Err(_) => Err(TrustError::Empty {
                path: path.to_path_buf(),
            }),
        }
    }

    /// The same, if a file is named.
    ///
    /// # Errors
    ///
    /// As [`with_file`](Self::with_file).
    pub fn with_file_if_any(path: Option<&Path>) -> Result<Self, TrustError> {
        path.map_or_else(|| Ok(Self::system()), Self::with_file)
    }

    /// What the file holds, for libraries that know the system's authorities by themselves.
    #[must_use]
    pub fn own_pem(&self) -> Option<String> {
        self.own.as_ref().map(|own| own.pem.as_ref().to_owned())
    }

    /// All authorities. Those of the system that cannot be read vouch for nobody.
    #[must_use]
    pub fn authorities(&self) -> Vec<CertificateDer<'static>> {
        let mut all = rustls_native_certs::load_native_certs().certs;
        all.extend(
            self.own
                .iter()
                .flat_map(|own| own.certificates.iter().cloned()),
        );
        all
    }

    /// A client's side of TLS on these terms.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.authorities());
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(client)
    }
}

/// The cryptography that everything here uses.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let complaint = || Trust::with_file(&path).map_err(|error| error.to_string());
        let missing = complaint().expect_err("there is no file");
        assert!(missing.contains("ca.pem\" cannot be read"), "{missing}");
        std::fs::write(
            &path,
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        )
        .expect("writes");
        let damaged = complaint().expect_err("it is damaged");
        assert!(damaged.contains("holds no certificate"), "{damaged}");
        std::fs::write(&path, "").expect("writes");
        let empty = complaint().expect_err("it is empty");
        assert!(empty.contains("holds no certificate"), "{empty}");
    }
}
