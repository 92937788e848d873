//! A certificate's file: two lines of JSON, the certificate and the seal over it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use openrtc_core::hex::{self, Hex};
use openrtc_core::membership::KeyId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::certificate::{Certificate, CertificateV1, Format};
use crate::page;

/// What a certificate's signature starts with, so that it means nothing elsewhere.
const DOMAIN: &[u8] = b"openrtc certificate v1\0";

/// No certificate is longer, in bytes.
const LEN_MAX: u64 = 1 << 30;

/// The second line of a certificate.
#[derive(Serialize, Deserialize)]
struct Seal {
    /// SHA-256 of the first line, without its newline.
    digest: String,
    key: Option<String>,
    /// Ed25519 over the domain and the first line's digest.
    signature: Option<String>,
}

/// Why a certificate cannot be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The certificate's file cannot be written.
    #[error("the certificate {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The page beside it cannot be written.
    #[error("the page {}", path.display())]
    Page {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Why a file cannot be read as a certificate.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing in it.
    #[error("it is empty: name the file that `openrtc certify` wrote")]
    Empty,
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is larger than any certificate.
    #[error("it is {size} bytes long: no certificate is")]
    Long {
        /// Its size in bytes.
        size: u64,
    },
    /// It is not UTF-8.
    #[error("it is not text")]
    NotText(#[from] FromUtf8Error),
}

/// Why a certificate is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The first line is not a certificate.
    #[error("line 1")]
    Certificate(#[source] serde_json::Error),
    /// A line is missing.
    #[error("it is not two lines: it was cut short")]
    Cut,
    /// The second line is one, and not as it was written.
    #[error("line 2 is not as it was written: it was altered")]
    Altered,
    /// The digest in the seal is not that of the certificate.
    #[error("the digest does not match: the certificate was altered")]
    Digest,
    /// The second line is not a seal.
    #[error("line 2")]
    Seal(#[source] serde_json::Error),
    /// The signature cannot be one.
    #[error("line 2: the signature is not 128 hex digits")]
    SignatureText,
    /// A key was given, and there is no signature to check with it.
    #[error("it is not signed: the key proves nothing")]
    Unsigned,
    /// The verdict or the sums are not what the calls lead to.
    #[error("its verdict is not what its ledger leads to")]
    Verdict,
    /// The signature is not of the key that was given.
    #[error("it is not signed by the key that was given")]
    WrongKey,
}

/// Writes a certificate to `out`, signed if there is a key, and the same as a page beside it, with `.html` for its last
/// part. Returns where the page is.
pub fn issue(certificate: &Certificate, out: &Path, key: Option<&SigningKey>) -> Result<PathBuf, IssueError> {
    let body = serde_json::to_string(certificate).expect("names and numbers can be written as JSON");
    let seal = Seal::over(&body, key);
    let text = format!("{body}\n{}", seal.line());
    fs::write(out, text).map_err(|source| IssueError::Certificate { path: out.to_owned(), source })?;
    let path = out.with_extension("html");
    match fs::write(&path, page::render(certificate, &seal.digest, seal.key.as_deref())) {
        Ok(()) => Ok(path),
        Err(source) => Err(IssueError::Page { path, source }),
    }
}

impl Seal {
    fn over(body: &str, key: Option<&SigningKey>) -> Self {
        let digest = Sha256::digest(body.as_bytes());
        Self {
            digest: Hex(&digest).to_string(),
            key: key.map(|key| KeyId::of(&key.verifying_key()).to_string()),
            signature: key.map(|key| Hex(&key.sign(&[DOMAIN, &digest[..]].concat()).to_bytes()).to_string()),
        }
    }

    /// The second line, to its end.
    fn line(&self) -> String {
        serde_json::to_string(self).expect("a seal can be written as JSON") + "\n"
    }
}

/// Reads a certificate's file, to be checked.
pub fn read(path: &Path) -> Result<String, ReadError> {
    let size = fs::metadata(path)?.len();
    if size > LEN_MAX {
        return Err(ReadError::Long { size });
    }
    let text = fs::read(path)?;
    if text.is_empty() {
        return Err(ReadError::Empty);
    }
    Ok(String::from_utf8(text)?)
}

/// Checks the two lines of a certificate: that nothing was altered since it was sealed, that it was signed by `key` if
/// one is given, and that its verdict is what its calls lead to. Needs no journal.
///
/// Without a key, what the seal says of a signer is not checked.
pub fn check(text: &str, key: Option<&VerifyingKey>) -> Result<Certificate, CheckError> {
    let (body, line) = text.split_once('\n').ok_or(CheckError::Cut)?;
    let seal: Seal = serde_json::from_str(line).map_err(CheckError::Seal)?;
    let digest = Sha256::digest(body.as_bytes());
    if Hex(&digest).to_string() != seal.digest {
        return Err(CheckError::Digest);
    }
    if line != seal.line() {
        return Err(CheckError::Altered);
    }
    let certificate = parse(body).map_err(CheckError::Certificate)?;
    if let Some(key) = key {
        let signature = seal.signature.ok_or(CheckError::Unsigned)?;
        let bytes = hex::read(signature.as_bytes()).ok_or(CheckError::SignatureText)?;
        let signature = Signature::from_bytes(&bytes);
        key.verify_strict(&[DOMAIN, &digest[..]].concat(), &signature).map_err(|_| CheckError::WrongKey)?;
        if seal.key != Some(KeyId::of(key).to_string()) {
            return Err(CheckError::Altered);
        }
    }
    let sums_up = certificate.format == Format::V1 || certificate.sums == certificate.sum_up();
    if certificate.verdict != certificate.judge() || !sums_up {
        return Err(CheckError::Verdict);
    }
    Ok(certificate)
}

/// Reads the first line, of whichever format.
fn parse(body: &str) -> Result<Certificate, serde_json::Error> {
    #[derive(Deserialize)]
    struct Head {
        format: Format,
    }
    match serde_json::from_str::<Head>(body)?.format {
        Format::V1 => serde_json::from_str::<CertificateV1>(body).map(Certificate::from),
        Format::V2 => serde_json::from_str(body),
    }
}
