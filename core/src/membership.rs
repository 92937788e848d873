//! Signed membership: which worker, of which version, may take calls.
//!
//! A deployer signs [`Claims`] for one run of a worker ([`sign_membership`], Ed25519); whoever hands out calls holds
//! public keys only and judges the token ([`MembershipVerifier`]). The bytes are laid down in `docs/membership.md`.

mod verifier;
mod wire;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
pub use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::hex::Hex;
use crate::id::{Epoch, Identity};
use crate::time::Instant;

pub use verifier::{Admitted, BadKey, Manifest, MembershipError, MembershipVerifier, VerifierLimits};
pub use wire::{Malformed, Part};

/// What a token states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who the worker is.
    pub identity: Identity,
    /// The coordinator's term of office the token is for.
    pub epoch: Epoch,
    /// When it was signed: microseconds since the Unix epoch.
    pub issued_at: Instant,
}

/// Which key signed: the first eight bytes of the public key. It selects a key and proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId([u8; Self::LEN]);

impl KeyId {
    /// Bytes in an id.
    pub const LEN: usize = 8;

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The id of a public key.
    #[must_use]
    pub fn of(key: &VerifyingKey) -> Self {
        Self(*key.as_bytes().first_chunk().expect("a key is longer than its id"))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Claims with a signature over them, which nobody has checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it states.
    pub claims: Claims,
    /// Which key is said to have signed.
    pub key: KeyId,
    /// The Ed25519 signature: R, then S.
    pub signature: [u8; 64],
}

/// Signs claims.
#[must_use]
pub fn sign_membership(key: &SigningKey, claims: &Claims) -> Token {
    let id = KeyId::of(&key.verifying_key());
    Token { claims: *claims, key: id, signature: wire::sign(key, &wire::message(claims, id)) }
}

impl Token {
    /// The token's only encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = wire::body(&self.claims, self.key);
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Reads a token that fills `bytes` to the last one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        wire::read(bytes)
    }

    /// The token as text for an environment variable or an HTTP header: base64url without padding (RFC 4648 §5).
    #[must_use]
    pub fn to_text(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.to_bytes())
    }

    /// Reads the text form; white space is not skipped.
    pub fn from_text(text: &str) -> Result<Self, Malformed> {
        let mut room = [0; wire::LEN_MAX];
        let bytes = Base64UrlUnpadded::decode(text, &mut room).map_err(|_| Malformed { at: 0, part: Part::Text })?;
        Self::from_bytes(bytes)
    }
}
