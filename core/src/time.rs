//! Time as data: it enters a machine with each command and is never read from a clock.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, Sub};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: microseconds since an epoch the shell chooses.
///
/// `openrtc-runtime` samples the Unix epoch once at start and advances it by the monotonic clock, so that instants
/// never step within one process and are readable across processes.
///
/// Held as one more than its microseconds, so that `Option<Instant>` takes no more room: an entry has up to four.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The epoch itself.
    pub const EPOCH: Self = Self(NonZeroU64::MIN);

    /// The instant `micros` microseconds after the epoch; the last one there is for `u64::MAX`.
    #[must_use]
    #[inline]
    pub const fn from_micros(micros: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(micros))
    }

    /// The instant written as `micros`; none for `u64::MAX`, which would be a second way to write the last one.
    /// one.
    #[must_use]
    #[inline]
    pub const fn read_micros(micros: u64) -> Option<Self> {
        match NonZeroU64::MIN.checked_add(micros) {
            Some(held) => Some(Self(held)),
            None => None,
        }
    }

    /// Microseconds since the epoch.
    #[must_use]
    #[inline]
    pub const fn as_micros(self) -> u64 {
        self.0.get() - 1
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::EPOCH
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&self.as_micros()).finish()
    }
}

impl Serialize for Instant {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_micros().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Instant {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read_micros(u64::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("no instant lies so far ahead"))
    }
}

impl Add<Span> for Instant {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Instant {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self::from_micros(self.as_micros().saturating_sub(span.0))
    }
}

/// A length of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `micros` microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// A span of `millis` milliseconds, saturating.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// A span of `secs` seconds, saturating.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// The span in microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

impl From<core::time::Duration> for Span {
    fn from(duration: core::time::Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl From<Span> for core::time::Duration {
    fn from(span: Span) -> Self {
        Self::from_micros(span.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", core::time::Duration::from_micros(self.0))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;

    use super::*;

    #[test]
    fn an_instant_that_may_be_missing_takes_no_more_room() {
        assert_eq!(size_of::<Option<Instant>>(), size_of::<u64>());
    }

    #[test]
    fn arithmetic_ends_at_the_first_and_the_last_instant() {
        let (micros, last) = (Instant::from_micros, Instant::from_micros(u64::MAX));
        assert_eq!((micros(7).as_micros(), Instant::EPOCH.as_micros(), last.as_micros()), (7, 0, u64::MAX - 1));
        assert_eq!(micros(7) + Span::from_micros(2), micros(9));
        assert_eq!(micros(7) - Span::from_micros(2), micros(5));
        assert_eq!((micros(7) - Span::from_micros(8), micros(7) + Span::from_micros(u64::MAX)), (Instant::EPOCH, last));
        assert_eq!((micros(7).since(micros(5)), micros(5).since(micros(7))), (Span::from_micros(2), Span::ZERO));
    }

    #[test]
    fn an_instant_has_one_number() {
        let read = |micros: u64| {
            let number: serde::de::value::U64Deserializer<serde::de::value::Error> = micros.into_deserializer();
            Instant::deserialize(number)
        };
        assert_eq!(read(u64::MAX - 1), Ok(Instant::from_micros(u64::MAX)));
        assert!(read(u64::MAX).is_err());
    }
}
