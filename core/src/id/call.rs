//! What the dispatcher calls a call.

use alloc::format;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use siphasher::sip::SipHasher13;

use super::Digest;

/// What the dispatcher calls a call: a LiveKit job id, a SIP Call-ID, a UUID. 1 to 255 bytes of printable UTF-8. A
/// label for people and for matching across systems; within a worker a call is told apart by its
/// [`CallNo`](super::CallNo). Cheap to clone.
#[derive(Clone)]
pub struct CallId(Text);

#[derive(Clone)]
enum Text {
    Fixed(&'static str),
    Shared(Arc<str>),
}

/// What call ids are digested with. A key of its own for each run keeps a caller from choosing an id that collides with
/// another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DigestKey(pub [u64; 2]);

/// Why a text is not a call id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCallId {
    /// There is nothing in it.
    Empty,
    /// It has too many bytes.
    Long {
        /// How many there are.
        len: usize,
    },
    /// It has a character that does not show.
    Unprintable {
        /// Where it begins, in bytes.
        at: usize,
        /// The character.
        found: char,
    },
}

impl fmt::Display for BadCallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = CallId::LEN_MAX;
        match self {
            Self::Empty => write!(f, "the call id is empty: give 1 to {max} bytes of printable text"),
            Self::Long { len } => write!(f, "the call id is {len} bytes long: shorten it to at most {max}"),
            Self::Unprintable { at, found } => {
                write!(
                    f,
                    "the call id has the unprintable character U+{:04X} at byte {at}: leave it out",
                    *found as u32
                )
            }
        }
    }
}

impl core::error::Error for BadCallId {}

impl CallId {
    /// The longest call id, in bytes.
    pub const LEN_MAX: usize = 255;

    /// Checks and copies an id.
    pub fn new(text: &str) -> Result<Self, BadCallId> {
        check(text)?;
        Ok(Self(Text::Shared(text.into())))
    }

    /// An id written in the source, checked when it is compiled if used in a `const`. It must be printable ASCII.
    ///
    /// # Panics
    /// When the text is not such an id.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        assert!(!text.is_empty() && text.len() <= Self::LEN_MAX, "a call id has 1 to 255 bytes");
        let mut at = 0;
        while at < text.len() {
            assert!(matches!(text.as_bytes()[at], b' '..=b'~'), "a call id written in the source is printable ASCII");
            at += 1;
        }
        Self(Text::Fixed(text))
    }

    /// The text that is shown for a call whose id is not in the journal.
    #[must_use]
    pub fn unnamed(digest: Digest) -> Self {
        Self(Text::Shared(format!("digest {:016x}", digest.get()).into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Fixed(text) => text,
            Text::Shared(text) => text,
        }
    }

    /// The id as machines know it.
    #[must_use]
    pub fn digest(&self, key: DigestKey) -> Digest {
        key.digest(self.as_str())
    }
}

impl DigestKey {
    /// The digest of the call id `text`, by which machines know it.
    #[must_use]
    pub fn digest(self, text: &str) -> Digest {
        Digest::new(SipHasher13::new_with_keys(self.0[0], self.0[1]).hash(text.as_bytes()))
    }
}

/// Printable ASCII is nearly all there is, and that is found out without a decision per byte.
fn check(text: &str) -> Result<(), BadCallId> {
    if text.is_empty() {
        return Err(BadCallId::Empty);
    }
    if text.len() > CallId::LEN_MAX {
        return Err(BadCallId::Long { len: text.len() });
    }
    if text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match text.char_indices().find(|(_, found)| is_unprintable(*found)) {
        Some((at, found)) => Err(BadCallId::Unprintable { at, found }),
        None => Ok(()),
    }
}

/// Control characters, and those that are invisible or turn the text around them: they would let one id pass for
/// another in a log.
fn is_unprintable(found: char) -> bool {
    found.is_control()
        || matches!(
            found,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

impl PartialEq for CallId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for CallId {}

impl PartialOrd for CallId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CallId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for CallId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl FromStr for CallId {
    type Err = BadCallId;

    fn from_str(text: &str) -> Result<Self, BadCallId> {
        Self::new(text)
    }
}

impl TryFrom<&str> for CallId {
    type Error = BadCallId;

    fn try_from(text: &str) -> Result<Self, BadCallId> {
        Self::new(text)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = CallId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a call id of 1 to {} bytes of printable text", CallId::LEN_MAX)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<CallId, E> {
                CallId::new(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn any_printable_text_of_255_bytes_is_an_id() {
        for text in ["c", "a SIP Call-ID@example.org", "Ärger mit 電話 ☎", &"x".repeat(255), &"é".repeat(127)] {
            assert_eq!(CallId::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_empty_long_or_unseen_is_refused_by_name() {
        let told = |text: &str| CallId::new(text).unwrap_err().to_string();
        assert!(told("").contains("empty"));
        assert!(told(&"é".repeat(128)).contains("256 bytes long"));
        assert!(told("a\nb").contains("U+000A at byte 1"));
        assert!(told("é\u{202e}gpj.exe").contains("U+202E at byte 2"));
    }

    #[test]
    fn a_digest_is_of_the_text_and_the_key() {
        let (fixed, shared) = (CallId::from_static("call"), CallId::new("call").unwrap());
        let key = DigestKey([1, 2]);
        assert_eq!((&fixed, fixed.digest(key)), (&shared, shared.digest(key)));
        assert_ne!(fixed.digest(key), fixed.digest(DigestKey([1, 3])));
        assert_ne!(fixed.digest(key), CallId::from_static("cal").digest(key));
    }
}
