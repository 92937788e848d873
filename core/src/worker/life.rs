//! A worker's life without its calls.

use super::{Availability, Drain, Entry, Leave, Limits, Outcome, Tally, Why};
use crate::machine::Head;
use crate::order::Stamp;
use crate::time::{Instant, Span};
use crate::word::{Phase, Word};

/// The state of a worker without its calls. It has a fixed size, so it can be kept where the calls are not at hand.
///
/// Commands to the worker as a whole (drains, phases, the exit) are judged here. [`Worker`](super::Worker) adds the
/// rules for single calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub(super) limits: Limits,
    pub(super) word: Word,
    pub(super) now: Instant,
    pub(super) drain: Option<Drain>,
    pub(super) outcome: Option<Outcome>,
    pub(super) tally: Tally,
    pub(super) obeyed: Stamp,
}

impl Life {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            word: Word::START,
            now: Instant::EPOCH,
            drain: None,
            outcome: None,
            tally: Tally::default(),
            obeyed: Stamp::default(),
        }
    }

    /// The same life, with a word that has moved on and the drain that is in force there.
    #[must_use]
    pub const fn seen_at(&self, word: Word, drain: Option<Drain>) -> Self {
        Self { word, drain, ..*self }
    }

    /// What the worker is allowed.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Phase, calls in flight and sequence number.
    #[must_use]
    pub const fn word(&self) -> Word {
        self.word
    }

    /// Where the worker is in its life.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.word.phase()
    }

    /// When the last entry became true.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The drain, if there is one.
    #[must_use]
    pub const fn drain(&self) -> Option<&Drain> {
        self.drain.as_ref()
    }

    /// How the worker ended, once it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// The worker's totals.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The stamp of the last order that was obeyed.
    #[must_use]
    pub const fn obeyed(&self) -> Stamp {
        self.obeyed
    }

    /// Whether the worker leaves by itself once it has drained.
    #[must_use]
    pub fn leaves(&self) -> bool {
        match self.limits.leave {
            Leave::WhenDrained => true,
            Leave::Parked => self.drain.is_some_and(|drain| drain.sealed),
        }
    }

    /// What dispatchers may be told.
    #[must_use]
    pub const fn availability(&self) -> Availability {
        match self.phase() {
            Phase::Serving if self.word.in_flight() < self.limits.capacity => Availability::Open,
            Phase::Serving => Availability::Full,
            Phase::Starting | Phase::Standby | Phase::Draining | Phase::Drained | Phase::Exited => Availability::Closed,
        }
    }

    /// The earliest time-out that the drain owes. The worker adds the time-outs of single calls.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Why)> {
        self.drain.as_ref()?;
        let whys = [Why::Empty, Why::GraceOver, Why::Force, Why::Overdue, Why::Leave];
        whys.into_iter().filter_map(|why| Some((self.due(why)?, why))).min()
    }

    /// When a time-out of the drain is reached, if it is owed at all.
    pub(super) fn due(&self, why: Why) -> Option<Instant> {
        let drain = self.drain.as_ref()?;
        match (self.phase(), why) {
            (Phase::Drained, Why::Leave) => self.leaves().then(|| (drain.begun + self.limits.lame_duck).max(self.now)),
            (Phase::Draining, Why::Empty) => (self.word.in_flight() == 0).then_some(self.now),
            (Phase::Draining, _) if self.word.in_flight() == 0 => None,
            (Phase::Draining, Why::GraceOver) => drain.forced.map(|forced| forced.until),
            (Phase::Draining, Why::Force) => drain.terms.force_at.filter(|_| drain.forced.is_none()),
            (Phase::Draining, Why::Overdue) => {
                drain.terms.alert_at.filter(|_| !drain.overdue && drain.forced.is_none())
            }
            (Phase::Draining, Why::Leave | Why::Lapse(_) | Why::Stall(_))
            | (
                Phase::Drained,
                Why::Empty | Why::GraceOver | Why::Force | Why::Overdue | Why::Lapse(_) | Why::Stall(_),
            )
            | (Phase::Starting | Phase::Standby | Phase::Serving | Phase::Exited, _) => None,
        }
    }

    /// The number and the time of the last entry.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { seq: self.word.seq(), now: self.now }
    }

    /// Folds one entry in, except for what it does to calls: the worker adds that.
    pub fn apply(&mut self, entry: &Entry) {
        let from = self.phase();
        if let Some(stamp) = entry.event.stamp() {
            self.obeyed = stamp;
        }
        self.word = entry.event.transition(self.word, self.drain.as_ref());
        self.now = entry.at;
        self.tally.clock_steps += u64::from(entry.behind > Span::ZERO);
        self.fold(entry, from);
    }
}
