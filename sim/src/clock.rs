//! The time of a run, and what a worker's clock shows of it.
//!
//! A run begins at [`Instant::EPOCH`], and all its times are counted from there. Machines see the time of a clock.

use core::fmt;

use openrtc_core::time::{Instant, Span};

/// What clocks show when a run begins, so that they can step back.
const START: u64 = 1_700_000_000_000_000;

/// The second of a run that a moment lies in, from 0.
#[must_use]
pub const fn second(at: Instant) -> u64 {
    at.as_micros() / 1_000_000
}

/// How far a clock stands from where it should, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skew(i64);

impl Skew {
    /// A clock that is ahead.
    #[must_use]
    pub fn ahead(by: Span) -> Self {
        Self(i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
    }

    /// A clock that is behind.
    #[must_use]
    pub fn behind(by: Span) -> Self {
        Self(-Self::ahead(by).0)
    }

    /// How far, whichever way.
    #[must_use]
    pub const fn span(self) -> Span {
        Span::from_micros(self.0.unsigned_abs())
    }

    /// Whether the clock is behind.
    #[must_use]
    pub const fn is_behind(self) -> bool {
        self.0 < 0
    }
}

/// A worker's or a coordinator's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    skew: Skew,
}

impl Clock {
    /// The clock steps.
    pub(crate) const fn step(&mut self, by: Skew) {
        self.skew = Skew(self.skew.0.saturating_add(by.0));
    }

    /// What it shows at a moment of the run.
    pub(crate) const fn shows(self, now: Instant) -> Instant {
        Instant::from_micros((START + now.as_micros()).saturating_add_signed(self.skew.0))
    }

    /// The moment of the run at which it shows `at`.
    pub(crate) const fn when(self, at: Instant) -> Instant {
        Instant::from_micros(at.as_micros().saturating_add_signed(-self.skew.0).saturating_sub(START))
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_behind() { '-' } else { '+' };
        write!(f, "{sign}{}", crate::plan::Time(self.span()))
    }
}
