//! Keys as text: 64 hex digits, on one line of a file or in a variable. A secret key's file must be its owner's alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::{SigningKey, VerifyingKey};
use openrtc_core::hex;
use zeroize::Zeroizing;

use super::Secret;
use super::file::{self, Unreadable};

/// Digits in a key.
const DIGITS: usize = 64;

/// Why a key cannot be had. Never shows what is in a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("key file {path:?}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not. Part of the message, and so not a source that a chain would tell once more.
        error: io::Error,
    },
    /// Others may read a secret key.
    #[error("key file {path:?} may be read by others (mode {mode:o}): chmod 600 it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold a key.
    #[error("key file {path:?} does not hold one line of {DIGITS} hex digits that are a key")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The variable does not hold a key.
    #[error("OPENRTC_SIGNING_KEY does not hold {DIGITS} hex digits: copy them from a file that `openrtc keygen` wrote")]
    NotAVariable,
    /// Two keys are given, and which one counts would have to be guessed.
    #[error("OPENRTC_SIGNING_KEY and OPENRTC_SIGNING_KEY_FILE are both set: keep one")]
    Two,
}

/// Reads a secret key that is its owner's alone.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, KeyError> {
    let mut file = file::open(path).map_err(|problem| match problem {
        Unreadable::Io(error) => io(path)(error),
        Unreadable::Exposed(mode) => KeyError::Exposed { path: path.to_owned(), mode },
    })?;
    let seed = Zeroizing::new(read_bytes(&mut file, path)?);
    Ok(SigningKey::from_bytes(&seed))
}

/// Reads a secret key given as text.
pub(crate) fn parse_signing_key(digits: &Secret) -> Result<SigningKey, KeyError> {
    let mut digits = Zeroizing::new(digits.expose().as_bytes().to_vec());
    let seed = Zeroizing::new(parse(&mut digits).ok_or(KeyError::NotAVariable)?);
    Ok(SigningKey::from_bytes(&seed))
}

/// Reads a public key.
pub fn read_public_key(path: &Path) -> Result<VerifyingKey, KeyError> {
    let bytes = read_bytes(&mut File::open(path).map_err(io(path))?, path)?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotAKey { path: path.to_owned() })
}

/// Writes a new key pair: the secret key to `path`, readable by its owner alone, the public key to `path` with `.pub`
/// behind it. Files that are there are not overwritten.
pub fn write_key_pair(path: &Path, key: &SigningKey) -> Result<PathBuf, KeyError> {
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    write(path, 0o600, &key.to_bytes())?;
    write(&public, 0o644, key.verifying_key().as_bytes())?;
    Ok(public)
}

fn write(path: &Path, mode: u32, bytes: &[u8; 32]) -> Result<(), KeyError> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(io(path))?;
    let mut line = Zeroizing::new(Vec::with_capacity(DIGITS + 1));
    hex::append(bytes, &mut line);
    line.push(b'\n');
    file.write_all(&line).map_err(io(path))
}

fn read_bytes(file: &mut File, path: &Path) -> Result<[u8; 32], KeyError> {
    let mut text = Zeroizing::new(Vec::with_capacity(DIGITS + 3));
    file.take(DIGITS as u64 + 2).read_to_end(&mut text).map_err(io(path))?;
    parse(&mut text).ok_or_else(|| KeyError::NotAKey { path: path.to_owned() })
}

/// Reads hex digits, whatever their case; white space may follow them.
fn parse(text: &mut [u8]) -> Option<[u8; 32]> {
    text.make_ascii_lowercase();
    hex::read(text.trim_ascii_end())
}

fn io(path: &Path) -> impl Fn(io::Error) -> KeyError {
    let path = path.to_owned();
    move |error| KeyError::Io { path: path.clone(), error }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_pair_is_read_back_and_not_overwritten() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("worker.key");
        let key = SigningKey::from_bytes(&[0xa7; 32]);
        let public = write_key_pair(&path, &key).unwrap();
        assert_eq!(read_signing_key(&path).unwrap(), key);
        assert_eq!(read_public_key(&public).unwrap(), key.verifying_key());
        assert!(write_key_pair(&path, &key).unwrap_err().to_string().contains("exists"));
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused_with_the_fix() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("worker.key");
        write_key_pair(&path, &SigningKey::from_bytes(&[1; 32])).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(read_signing_key(&path).unwrap_err().to_string().ends_with("(mode 640): chmod 600 it"));
    }

    #[test]
    fn a_variable_holds_the_same_digits_and_is_not_shown_when_it_does_not() {
        let key = parse_signing_key(&Secret::new("a7".repeat(32))).unwrap();
        assert_eq!(key, SigningKey::from_bytes(&[0xa7; 32]));
        let error = parse_signing_key(&Secret::new("hunter2")).unwrap_err().to_string();
        assert!(error.contains("OPENRTC_SIGNING_KEY") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("key");
        for text in ["", "hunter2", &"g".repeat(64), &"a".repeat(63), &"a".repeat(65), "é"] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let error = read_signing_key(&path).unwrap_err().to_string();
            assert!(error.contains("does not hold") && !error.contains("hunter2"), "{error}");
        }
    }
}
