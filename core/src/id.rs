//! Names and numbers: what a deployment, a version, a worker and a call are called.
//!
//! Names are short printable ASCII held inline, so that entries are `Copy` and a log line, a metric label and a URL
//! can carry them unescaped.

mod call;
mod log;
mod open;

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use call::{BadCallId, CallId, DigestKey};
pub use log::IdLog;
pub use open::{Ids, OpenIds};

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

/// 1 to `N` printable ASCII bytes, stored inline. The padding is zero, so that values compare as their texts do.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
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

    /// The first bytes, as a number that compares as they do. Most names differ there or end there, and machines that
    /// look names up compare little else.
    #[inline]
    fn head(&self) -> u64 {
        const { assert!(N >= HEAD) };
        self.bytes.first_chunk().map_or(0, |head: &[u8; HEAD]| u64::from_be_bytes(*head))
    }
}

/// How many bytes are compared at once.
const HEAD: usize = size_of::<u64>();

impl<const N: usize> PartialOrd for Inline<N> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Inline<N> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match self.head().cmp(&other.head()) {
            Ordering::Equal if usize::from(self.len.max(other.len)) > HEAD => self.bytes.cmp(&other.bytes),
            order => order,
        }
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
    /// A call's id, digested under the key of its run. Machines tell duplicates apart by it; people read the id.
    Digest
);
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

/// The identity of a worker's run. Every journal segment, snapshot and membership token starts with it.
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
