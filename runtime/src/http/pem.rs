//! Certificates and keys in files, in PEM form.

use std::io;
use std::path::PathBuf;

/// Why a certificate or its key cannot be read from a file. The message never shows the file's content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// The file cannot be read.
    #[error("{path:?} cannot be read: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not. Part of the message, and so not a source that a chain would tell once more.
        error: io::Error,
    },
    /// The file holds something else.
    #[error("{path:?} holds no {what} in PEM form (-----BEGIN …): {problem}")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was looked for in it.
        what: &'static str,
        /// What was found.
        problem: String,
    },
    /// Others may read the key.
    #[error("{path:?}, the key of a certificate, may be read by others (mode {mode:o}): chmod 600 it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Certificate and key are no pair.
    #[cfg(feature = "tls")]
    #[error("the certificate in {cert:?} and the key in {key:?} cannot be used together: {error}")]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's.
        key: PathBuf,
        /// Why not. Part of the message.
        error: rustls::Error,
    },
    /// The certificate cannot be used as an authority.
    #[cfg(feature = "tls")]
    #[error("{0:?} holds a certificate that cannot be used as an authority: {1}")]
    NotAnAuthority(PathBuf, rustls::Error),
    /// The file is needed for TLS only, and this program was built without TLS.
    #[cfg(not(feature = "tls"))]
    #[error("{0:?}: this program was built without TLS: turn on the feature `tls` of openrtc-runtime")]
    WithoutTls(PathBuf),
}

#[cfg(feature = "tls")]
pub(super) use read::{certificates, key, parse_certificates, provider, read_certificates, read_key};

#[cfg(feature = "tls")]
mod read {
    use std::fs::File;
    use std::io::{self, Read};
    use std::path::Path;
    use std::sync::Arc;

    use rustls::crypto::{CryptoProvider, ring};
    use rustls::pki_types::pem::{Error, PemObject};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use zeroize::Zeroizing;

    use super::PemError;
    use crate::secret::file::{self, Unreadable};

    /// No file of certificates needs more, in bytes: it is about what all the authorities of a platform take.
    const FILE_MAX: u64 = 1 << 20;

    /// The cryptography of all TLS in this crate.
    pub(crate) fn provider() -> Arc<CryptoProvider> {
        Arc::new(ring::default_provider())
    }

    /// Every certificate in a file; one at least.
    pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
        parse_certificates(path, &read_certificates(path)?)
    }

    /// What is in a file of certificates.
    pub(crate) fn read_certificates(path: &Path) -> Result<Vec<u8>, PemError> {
        read_all(File::open(path).map_err(io(path))?, path)
    }

    /// Every certificate in what was read from a file; one at least.
    pub(crate) fn parse_certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
        let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
        let found = found.and_then(|found| if found.is_empty() { Err(Error::NoItemsFound) } else { Ok(found) });
        found.map_err(|error| not_pem(path, "certificate", &error))
    }

    /// What is in the file of a key.
    pub(crate) fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, PemError> {
        let file = file::open(path).map_err(|problem| match problem {
            Unreadable::Io(error) => io(path)(error),
            Unreadable::Exposed(mode) => PemError::Exposed { path: path.to_owned(), mode },
        })?;
        Ok(Zeroizing::new(read_all(file, path)?))
    }

    /// The key in what was read from a file.
    pub(crate) fn key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
        PrivateKeyDer::from_pem_slice(text).map_err(|error| not_pem(path, "private key", &error))
    }

    fn read_all(file: File, path: &Path) -> Result<Vec<u8>, PemError> {
        let mut text = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut text).map_err(io(path))?;
        Ok(text)
    }

    fn not_pem(path: &Path, what: &'static str, error: &Error) -> PemError {
        let problem = match error {
            Error::NoItemsFound => "there is none in it".to_owned(),
            error => error.to_string(),
        };
        PemError::NotPem { path: path.to_owned(), what, problem }
    }

    fn io(path: &Path) -> impl Fn(io::Error) -> PemError {
        let path = path.to_owned();
        move |error| PemError::Io { path: path.clone(), error }
    }
}
