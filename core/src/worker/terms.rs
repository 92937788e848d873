//! How long a drain may take and what happens then.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::reason::OnDeadline;
use crate::time::{Instant, Span};

/// The terms of a drain: when it is overdue, and what happens then. If several orders ask for the same drain, their
/// terms are combined, and each time is the earliest that any of them asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// When the drain is overdue; `None` waits for as long as calls last.
    pub deadline: Option<Instant>,
    /// When an alert is raised if calls are left.
    pub alert_at: Option<Instant>,
    /// When the calls that are left are ended.
    pub force_at: Option<Instant>,
}

impl Terms {
    /// Waits for as long as calls last.
    pub const PATIENT: Self = Self { deadline: None, alert_at: None, force_at: None };

    /// The terms of one order; an error if something is to happen at a deadline that is not given.
    pub fn new(deadline: Option<Instant>, on_deadline: OnDeadline) -> Result<Self, DeadlineMissing> {
        let (alert_at, force_at) = match (on_deadline, deadline) {
            (OnDeadline::Wait, _) => (None, None),
            (OnDeadline::Alert | OnDeadline::Force, None) => return Err(DeadlineMissing { on_deadline }),
            (OnDeadline::Alert, Some(_)) => (deadline, None),
            (OnDeadline::Force, Some(_)) => (None, deadline),
        };
        Ok(Self { deadline, alert_at, force_at })
    }

    /// The longest time that a drain, or a step of it, may be given: a year. Longer ones are slips of the pen.
    pub const LONGEST: Span = Span::from_secs(366 * 24 * 60 * 60);

    /// The deadline `within` from `now`; an error if that is now, or further away than [`Terms::LONGEST`].
    pub fn due(now: Instant, within: Span) -> Result<Instant, BadDeadline> {
        if within == Span::ZERO {
            return Err(BadDeadline::Now);
        }
        if within > Self::LONGEST {
            return Err(BadDeadline::TooFar);
        }
        Ok(now + within)
    }

    /// Combines two terms. Neither is weakened: each thing happens no later than either of them says.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let earlier = |one: Option<Instant>, two: Option<Instant>| one.into_iter().chain(two).min();
        Self {
            deadline: earlier(self.deadline, other.deadline),
            alert_at: earlier(self.alert_at, other.alert_at),
            force_at: earlier(self.force_at, other.force_at),
        }
    }

    /// The same terms with `deadline` as the new deadline, and nothing due before it.
    #[must_use]
    pub fn extended(self, deadline: Instant) -> Self {
        let later = |at: Option<Instant>| at.map(|at| at.max(deadline));
        Self { deadline: Some(deadline), alert_at: later(self.alert_at), force_at: later(self.force_at) }
    }

    /// The strictest thing that will happen.
    #[must_use]
    pub const fn on_deadline(&self) -> OnDeadline {
        match (self.alert_at, self.force_at) {
            (_, Some(_)) => OnDeadline::Force,
            (Some(_), None) => OnDeadline::Alert,
            (None, None) => OnDeadline::Wait,
        }
    }

    /// Whether nothing happens before the deadline, and nothing without one.
    pub(super) fn is_sound(&self) -> bool {
        let due = [self.alert_at, self.force_at];
        due.into_iter().flatten().all(|at| self.deadline.is_some_and(|deadline| deadline <= at))
    }
}

/// A deadline policy that needs a deadline, and none is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineMissing {
    /// What is to happen.
    pub on_deadline: OnDeadline,
}

impl fmt::Display for DeadlineMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy `{}` needs a deadline: give one, or use `wait`", self.on_deadline.as_str())
    }
}

impl core::error::Error for DeadlineMissing {}

/// A deadline that must be a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDeadline {
    /// It is now.
    Now,
    /// It is further away than [`Terms::LONGEST`].
    TooFar,
}

impl fmt::Display for BadDeadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now => "the deadline is now: give a time, or force the drain to end its calls at once",
            Self::TooFar => "the deadline is more than a year away: give a shorter time, or none for no deadline",
        })
    }
}

impl core::error::Error for BadDeadline {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_ahead_and_within_a_year() {
        let micro = Span::from_micros(1);
        assert_eq!(Terms::due(at(9), Span::ZERO), Err(BadDeadline::Now));
        assert_eq!(Terms::due(at(9), micro), Ok(at(9) + micro));
        assert_eq!(Terms::due(at(9), Terms::LONGEST), Ok(at(9 + 366 * 86_400)));
        for long in [Terms::LONGEST.as_micros() + 1, u64::MAX] {
            assert_eq!(Terms::due(at(9), Span::from_micros(long)), Err(BadDeadline::TooFar));
        }
    }

    const fn at(secs: u64) -> Instant {
        Instant::from_micros(secs * 1_000_000)
    }

    fn terms(secs: u64, on_deadline: OnDeadline) -> Terms {
        Terms::new(Some(at(secs)), on_deadline).unwrap()
    }

    #[test]
    fn terms_together_keep_what_each_asked_for() {
        let (patient, strict) = (terms(20, OnDeadline::Wait), terms(30, OnDeadline::Force));
        let both = Terms { deadline: Some(at(20)), alert_at: None, force_at: Some(at(30)) };
        assert_eq!((patient.and(strict), strict.and(patient)), (both, both));
        assert_eq!(both.on_deadline(), OnDeadline::Force);
        assert_eq!(both.and(Terms::PATIENT), both);
        let alerted = both.and(terms(10, OnDeadline::Alert));
        assert_eq!(alerted, Terms { deadline: Some(at(10)), alert_at: Some(at(10)), force_at: Some(at(30)) });
    }

    #[test]
    fn more_time_is_more_time_for_everything() {
        let terms = Terms { deadline: Some(at(10)), alert_at: Some(at(10)), force_at: Some(at(30)) };
        let later = Terms { deadline: Some(at(20)), alert_at: Some(at(20)), force_at: Some(at(30)) };
        assert_eq!(terms.extended(at(20)), later);
    }
}
