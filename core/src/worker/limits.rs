//! What a worker is allowed.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::CLASSES;
use super::command::Class;
use crate::time::Span;
use crate::word::Word;

/// What a worker is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most calls in flight; 1 to [`Word::IN_FLIGHT_MAX`].
    pub capacity: u32,
    /// The grace of a force: how long calls have to end once a drain was forced.
    pub force_grace: Span,
    /// How long a reservation waits for its assignment.
    pub reservation_ttl: Span,
    /// How long a call of each class may go without progress before it is flagged; `None` never flags.
    pub stall_after: [Option<Span>; CLASSES],
    /// How long a worker that leaves goes on declining offers, counted from the moment when admission closed.
    pub lame_duck: Span,
    /// When a drained worker leaves.
    pub leave: Leave,
}

/// When a drained worker leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// As soon as it has drained. For a worker without a coordinator.
    #[default]
    WhenDrained,
    /// Parked: a drained worker stays up, answers, and its drain can be cancelled. It leaves when it is told to, or
    /// when its drain becomes final. For a worker with a coordinator, and under a supervisor that restarts every
    /// process that ends.
    Parked,
}

impl Leave {
    /// The policy as configuration writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhenDrained => "when_drained",
            Self::Parked => "parked",
        }
    }
}

impl Default for Limits {
    /// 1 000 calls, 2 s of grace, 10 s to assign, 30 s of silence for class 0.
    fn default() -> Self {
        Self {
            capacity: 1_000,
            force_grace: Span::from_secs(2),
            reservation_ttl: Span::from_secs(10),
            stall_after: [Some(Span::from_secs(30)), None, None, None],
            lame_duck: Span::ZERO,
            leave: Leave::WhenDrained,
        }
    }
}

/// Why limits cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLimits {
    /// The capacity is zero.
    CapacityZero,
    /// The capacity exceeds [`Word::IN_FLIGHT_MAX`].
    CapacityHuge,
    /// Reservations would lapse at once.
    ReservationTtlZero,
    /// Calls would be flagged at once.
    StallAfterZero,
}

impl fmt::Display for BadLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CapacityZero => f.write_str("capacity is 0, so no call could ever be taken: set it to 1 or more"),
            Self::CapacityHuge => write!(f, "capacity is above {}, the most one worker can hold", Word::IN_FLIGHT_MAX),
            Self::ReservationTtlZero => f.write_str(
                "the reservation time is 0, so every accepted offer would lapse at once: set it to 10s or so",
            ),
            Self::StallAfterZero => {
                f.write_str("the stall limit is 0, so every call would be flagged at once: set a limit or leave it out")
            }
        }
    }
}

impl core::error::Error for BadLimits {}

impl Limits {
    /// Refuses limits with which no worker could work.
    pub fn check(&self) -> Result<(), BadLimits> {
        if self.capacity == 0 {
            return Err(BadLimits::CapacityZero);
        }
        if self.capacity > Word::IN_FLIGHT_MAX {
            return Err(BadLimits::CapacityHuge);
        }
        if self.reservation_ttl == Span::ZERO {
            return Err(BadLimits::ReservationTtlZero);
        }
        if self.stall_after.contains(&Some(Span::ZERO)) {
            return Err(BadLimits::StallAfterZero);
        }
        Ok(())
    }

    /// How long progress of a call of this class goes unnoted after the last that was noted, so that a chatty call does
    /// not fill the journal: a quarter of its stall limit. `None` if calls of this class are never flagged.
    #[must_use]
    pub fn progress_every(&self, class: Class) -> Option<Span> {
        const PER_LIMIT: u64 = 4;
        self.stall_limit(class).map(|limit| Span::from_micros(limit.as_micros() / PER_LIMIT))
    }

    pub(super) fn stall_limit(&self, class: Class) -> Option<Span> {
        self.stall_after.get(usize::from(class.index())).copied().flatten()
    }
}
