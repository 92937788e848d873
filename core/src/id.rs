//! Names and numbers: what a deployment, a version, a worker and a call are called.
//!
//! Names are short printable ASCII held inline, so that entries are `Copy` and a log line, a metric label and a URL
//! can carry them unescaped.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadName {
    /// What the name is of, e.g. `"deployment version"`.
    pub kind: &'static str,
    /// The longest name allowed, in bytes.
    pub max: usize,
    /// What was found instead.
    pub fault: Fault,
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A byte that is not printable ASCII or is a space.
    Byte {
        /// Offset in bytes.
        at: usize,
        /// The byte found there.
        byte: u8,
    },
    /// Nothing in it.
    Empty,
    /// Too many bytes.
    Long {
        /// How many there are.
        len: usize,
    },
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, max, fault } = self;
        match fault {
            Fault::Byte { at, byte } => {
                write!(f, "{kind} has byte 0x{byte:02x} at offset {at}: use printable ASCII without spaces")
            }
            Fault::Empty => write!(f, "{kind} is empty: give 1 to {max} printable ASCII characters"),
            Fault::Long { len } => write!(f, "{kind} is {len} bytes long: shorten it to at most {max}"),
        }
    }
}

impl core::error::Error for BadName {}

/// 1 to `N` printable ASCII bytes, inline; the padding is zero so that order and equality are those of the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Inline<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Inline<N> {
    const fn parse(kind: &'static str, source: &[u8]) -> Result<Self, BadName> {
        const { assert!(N <= u8::MAX as usize) };
        if source.is_empty() {
            return Err(BadName { kind, max: N, fault: Fault::Empty });
        }
        if source.len() > N {
            return Err(BadName { kind, max: N, fault: Fault::Long { len: source.len() } });
        }
        if let Some(at) = first_bad(source) {
            return Err(BadName { kind, max: N, fault: Fault::Byte { at, byte: source[at] } });
        }
        let mut bytes = [0; N];
        bytes.split_at_mut(source.len()).0.copy_from_slice(source);
        #[expect(clippy::cast_possible_truncation, reason = "N fits a byte: asserted above")]
        let len = source.len() as u8;
        Ok(Self { bytes, len })
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// The offset of the first byte that is not printable ASCII or is a space. Nearly always there is none, and that is
/// found out without a decision per byte.
const fn first_bad(source: &[u8]) -> Option<usize> {
    let (mut at, mut good) = (0, true);
    while at < source.len() {
        good &= source[at].is_ascii_graphic();
        at += 1;
    }
    if good {
        return None;
    }
    at = 0;
    while source[at].is_ascii_graphic() {
        at += 1;
    }
    Some(at)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Inline<$max>);

        impl $name {
            /// The longest such name, in bytes.
            pub const LEN_MAX: usize = $max;

            /// Checks and copies a name.
            pub fn new(text: &str) -> Result<Self, BadName> {
                Inline::parse($kind, text.as_bytes()).map(Self)
            }

            /// A name written in the source, checked when it is compiled if used in a `const`.
            ///
            /// # Panics
            /// When the text is not a valid name.
            #[must_use]
            pub const fn from_static(text: &'static str) -> Self {
                match Inline::parse($kind, text.as_bytes()) {
                    Ok(inline) => Self(inline),
                    Err(_) => panic!("not a valid name"),
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = BadName;

            fn try_from(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "a {} of 1 to {} printable ASCII characters", $kind, $max)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}

name!(
    /// Who asked: a person, a signal, a coordinator (`"alice"`, `"SIGTERM"`, `"ops 127.0.0.1"` without the space).
    Actor,
    39,
    "actor"
);
name!(
    /// What the dispatcher calls a call (a LiveKit job id, a SIP Call-ID, a UUID). A label for people and for matching
    /// across systems; within a worker a call is told apart by its [`CallNo`].
    CallId,
    47,
    "call id"
);
name!(
    /// The service that is deployed; every version of it shares this name.
    Deployment,
    63,
    "deployment name"
);
name!(
    /// The tag that tells one version of a deployment from another (`deployment_version`).
    Version,
    63,
    "deployment version"
);
name!(
    /// One worker's place in the fleet (a pod name, a unit instance); it outlives the process.
    WorkerId,
    63,
    "worker id"
);

impl CallId {
    /// [`CallId::new`] of bytes that are text if they are valid.
    #[inline]
    pub(crate) fn from_ascii(bytes: &[u8]) -> Option<Self> {
        Inline::parse("call id", bytes).ok().map(Self)
    }

    /// The id as machine words, for memory that is shared word by word.
    #[must_use]
    pub fn to_words(self) -> [u64; 6] {
        let mut bytes = [0; 48];
        bytes[..47].copy_from_slice(&self.0.bytes);
        bytes[47] = self.0.len;
        let mut words = [0; 6];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        words
    }

    /// The id that became these words; `None` if none did.
    #[must_use]
    pub fn from_words(words: [u64; 6]) -> Option<Self> {
        let mut all = [0; 48];
        for (chunk, word) in all.as_chunks_mut().0.iter_mut().zip(words) {
            *chunk = word.to_le_bytes();
        }
        let (len, bytes) = all.split_last()?;
        let bytes: &[u8; 47] = bytes.try_into().ok()?;
        let (text, padding) = bytes.split_at_checked(usize::from(*len))?;
        let valid = !text.is_empty() && text.iter().all(u8::is_ascii_graphic) && padding.iter().all(|byte| *byte == 0);
        valid.then_some(Self(Inline { bytes: *bytes, len: *len }))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a bare number.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The bare number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// A call's number within its worker's incarnation: the sequence number of the entry that began it.
    CallNo
);
number!(
    /// A coordinator's term of office. A larger one fences every smaller one off.
    Epoch
);
number!(
    /// Which run of a worker this is. Later runs have larger numbers; a smaller one is stale.
    Incarnation
);
number!(
    /// An entry's place in the journal: 1, 2, 3, … without gaps, for the whole of one incarnation.
    Seq
);

impl Seq {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// Who a worker is: what every journal segment, snapshot and membership token starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The service.
    pub deployment: Deployment,
    /// The version it runs.
    pub version: Version,
    /// The worker's place in the fleet.
    pub worker: WorkerId,
    /// The run of that worker.
    pub incarnation: Incarnation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_as_words_and_nothing_else_becomes_one() {
        for text in ["c", "9f3a7c02-5d0e-4a7e-9f64-0c7b6a1f2e11", "12345678901234567890123456789012345678901234567"] {
            let id = CallId::new(text).expect("valid");
            assert_eq!(CallId::from_words(id.to_words()), Some(id));
        }
        let altered = |word: usize, change: fn(u64) -> u64| {
            let mut words = CallId::new("call").expect("valid").to_words();
            words[word] = change(words[word]);
            CallId::from_words(words)
        };
        assert_eq!(CallId::from_words([0; 6]), None, "empty");
        assert_eq!(altered(5, |word| word | 0xff << 56), None, "longer than it can be");
        assert_eq!(altered(0, |word| word & !0xff), None, "not printable");
        assert_eq!(altered(3, |_| 1), None, "dirty padding");
    }
}
