//! The token's bytes. One token has one encoding: numbers are fixed-width little endian, names carry their length.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signer, SigningKey};

use super::{Claims, KeyId, Token};
use crate::id::{Deployment, Epoch, Identity, Incarnation, Version, WorkerId};
use crate::time::Instant;

/// Put before the signed bytes, so that a signature made for another purpose is never one of these.
const DOMAIN: &[u8] = b"openrtc membership v1\0";
const FORMAT: u8 = 1;
const SIGNATURE: usize = 64;
/// The longest token, in bytes.
pub(super) const LEN_MAX: usize =
    1 + KeyId::LEN + (1 + Deployment::LEN_MAX) + (1 + Version::LEN_MAX) + (1 + WorkerId::LEN_MAX) + 3 * 8 + SIGNATURE;

/// Where a token stops making sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset in bytes of the part that does not read; 0 for [`Part::Text`].
    pub at: usize,
    /// What was expected there.
    pub part: Part,
}

/// A part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The base64url text as a whole.
    Text,
    /// The format number, 1.
    Format,
    /// The key's id.
    Key,
    /// The deployment's name.
    Deployment,
    /// The version's name.
    Version,
    /// The worker's name.
    Worker,
    /// The incarnation, the epoch or the time of issue.
    Number,
    /// The signature.
    Signature,
    /// The end: nothing may follow the signature.
    End,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, part } = self;
        write!(f, "the token does not read at byte {at} ({part:?}): copy it again, whole, or sign a new one")
    }
}

impl core::error::Error for Malformed {}

/// The signed text: the domain, then everything in the token before the signature.
pub(super) fn message(claims: &Claims, key: KeyId) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    append(claims, key, &mut bytes);
    bytes
}

pub(super) fn body(claims: &Claims, key: KeyId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEN_MAX);
    append(claims, key, &mut bytes);
    bytes
}

pub(super) fn sign(key: &SigningKey, message: &[u8]) -> [u8; SIGNATURE] {
    key.sign(message).to_bytes()
}

pub(super) fn read(bytes: &[u8]) -> Result<Token, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.array::<1>(Part::Format)? != [FORMAT] {
        return Err(Malformed { at: 0, part: Part::Format });
    }
    let key = KeyId(reader.array(Part::Key)?);
    let identity = Identity {
        deployment: reader.name(Part::Deployment, Deployment::new)?,
        version: reader.name(Part::Version, Version::new)?,
        worker: reader.name(Part::Worker, WorkerId::new)?,
        incarnation: Incarnation::new(reader.number()?),
    };
    let epoch = Epoch::new(reader.number()?);
    let beyond = Malformed { at: reader.at, part: Part::Number };
    let issued_at = Instant::read_micros(reader.number()?).ok_or(beyond)?;
    let signature = reader.array(Part::Signature)?;
    if reader.at < bytes.len() {
        return Err(Malformed { at: reader.at, part: Part::End });
    }
    Ok(Token { claims: Claims { identity, epoch, issued_at }, key, signature })
}

fn append(claims: &Claims, key: KeyId, out: &mut Vec<u8>) {
    let Claims { identity, epoch, issued_at } = claims;
    out.push(FORMAT);
    out.extend_from_slice(&key.0);
    for name in [identity.deployment.as_str(), identity.version.as_str(), identity.worker.as_str()] {
        out.push(u8::try_from(name.len()).expect("names have at most 63 bytes"));
        out.extend_from_slice(name.as_bytes());
    }
    for number in [identity.incarnation.get(), epoch.get(), issued_at.as_micros()] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self, part: Part) -> Result<[u8; N], Malformed> {
        let found = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        let array = *found.ok_or(Malformed { at: self.at, part })?;
        self.at += N;
        Ok(array)
    }

    fn name<T, E>(&mut self, part: Part, parse: impl Fn(&'a str) -> Result<T, E>) -> Result<T, Malformed> {
        let malformed = Malformed { at: self.at, part };
        let [len] = self.array::<1>(part)?;
        let bytes = self.bytes.get(self.at..self.at + usize::from(len)).ok_or(malformed)?;
        self.at += bytes.len();
        parse(core::str::from_utf8(bytes).map_err(|_| malformed)?).map_err(|_| malformed)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        self.array(Part::Number).map(u64::from_le_bytes)
    }
}
