//! The one module that knows how values become bytes.
//!
//! The format is bincode 2's `standard` configuration over serde (little endian, variable-length integers), written
//! down in `docs/journal-format.md` so that it outlives the crate.

use alloc::vec::Vec;
use core::fmt;

use bincode::config;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBytes {
    /// They do not decode to a value of the expected type.
    Malformed,
    /// A value is there, and bytes are left after it.
    Trailing {
        /// How many.
        extra: usize,
    },
}

impl fmt::Display for BadBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the bytes do not decode: they were altered or come from another version"),
            Self::Trailing { extra } => write!(f, "{extra} bytes are left after the value"),
        }
    }
}

impl core::error::Error for BadBytes {}

/// Appends a value's bytes to `out`.
///
/// # Panics
/// Never for the types of this crate: they hold nothing serde or bincode refuses.
pub fn encode(value: &impl Serialize, out: &mut Vec<u8>) {
    struct Append<'a>(&'a mut Vec<u8>);

    impl bincode::enc::write::Writer for Append<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }

    bincode::serde::encode_into_writer(value, Append(out), config::standard())
        .expect("writing to memory cannot fail and no type here is unencodable");
}

/// Reads a value that fills `bytes` to the last one. No length inside can claim more memory than `LIMIT` bytes; text is
/// looked at where it lies, so that its length claims none.
pub fn decode<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, BadBytes> {
    decode_borrowed::<T, LIMIT>(bytes)
}

/// [`decode`] for a value that may borrow its text from `bytes`.
pub(crate) fn decode_borrowed<'a, T: Deserialize<'a>, const LIMIT: usize>(bytes: &'a [u8]) -> Result<T, BadBytes> {
    let (value, rest) = decode_first::<T, LIMIT>(bytes)?;
    match rest.len() {
        0 => Ok(value),
        extra => Err(BadBytes::Trailing { extra }),
    }
}

/// Reads the value that `bytes` begin with, and returns the bytes after it too.
pub(crate) fn decode_first<'a, T: Deserialize<'a>, const LIMIT: usize>(
    bytes: &'a [u8],
) -> Result<(T, &'a [u8]), BadBytes> {
    let config = config::standard().with_limit::<LIMIT>();
    let (value, read) = bincode::serde::borrow_decode_from_slice(bytes, config).map_err(|_| BadBytes::Malformed)?;
    Ok((value, &bytes[read..]))
}

/// Reads values one at a time, for a caller that knows the layout; `None` at the end, and for forms that [`encode`]
/// does not write.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A byte, or the index of a variant; there are never more than a byte can tell.
    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// An unsigned number: itself if it is small, or a mark and then two, four or eight bytes.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<u64> {
        match self.byte()? {
            small @ 0..=250 => Some(u64::from(small)),
            251 => self.bytes().map(u16::from_le_bytes).map(u64::from),
            252 => self.bytes().map(u32::from_le_bytes).map(u64::from),
            253 => self.bytes().map(u64::from_le_bytes),
            254.. => None,
        }
    }

    /// Everything that is left.
    #[inline]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[inline]
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }
}
