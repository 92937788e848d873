//! The one module that knows how values become bytes.
//!
//! The format is bincode 2's `standard` configuration over serde (little endian, variable-length integers), written
//! down in `docs/journal-format.md` so that it outlives the crate.

use alloc::vec::Vec;
use core::fmt;

use bincode::config;
use serde::Serialize;
use serde::de::DeserializeOwned;

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
    let config = config::standard().with_limit::<LIMIT>();
    let (value, read) = bincode::serde::borrow_decode_from_slice(bytes, config).map_err(|_| BadBytes::Malformed)?;
    match bytes.len() - read {
        0 => Ok(value),
        extra => Err(BadBytes::Trailing { extra }),
    }
}
