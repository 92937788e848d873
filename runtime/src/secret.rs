//! Keys and tokens: how they are read, and that they are never shown.

pub(crate) mod file;
mod key;

use std::fmt;

use zeroize::Zeroizing;

pub(crate) use key::parse_signing_key;
pub use key::{KeyError, read_public_key, read_signing_key, write_key_pair};

/// A value that never reaches a log, and is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A shorter one could be guessed, in bytes.
    pub(crate) const LEN_MIN: usize = 16;

    /// Keeps a text secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a header can carry it and nobody would guess it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.0.len() >= Self::LEN_MIN && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
