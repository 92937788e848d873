//! A worker's life without its calls.

use super::{Availability, Drain, Entry, Limits, OnDeadline, Outcome, Tally, Why};
use crate::machine::Head;
use crate::time::{Instant, Span};
use crate::word::{Phase, Word};

/// Everything of a worker but its calls: of fixed size, so that it can be kept where the calls are not at hand.
///
/// Whatever is asked of the worker as a whole (drains, phases, the exit) is judged here; the worker's own verbs add
/// what concerns single calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub(super) limits: Limits,
    pub(super) word: Word,
    pub(super) now: Instant,
    pub(super) drain: Option<Drain>,
    pub(super) outcome: Option<Outcome>,
    pub(super) tally: Tally,
}

impl Life {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, word: Word::START, now: Instant::EPOCH, drain: None, outcome: None, tally: Tally::default() }
    }

    /// This life as far as it is recorded, seen at a word that has moved on and under the drain in force there.
    #[must_use]
    pub const fn seen_at(self, word: Word, drain: Option<Drain>) -> Self {
        Self { word, drain, ..self }
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

    /// What dispatchers may be told.
    #[must_use]
    pub const fn availability(&self) -> Availability {
        match self.phase() {
            Phase::Serving if self.word.in_flight() < self.limits.capacity => Availability::Open,
            Phase::Serving => Availability::Full,
            Phase::Starting | Phase::Standby | Phase::Draining | Phase::Drained | Phase::Exited => Availability::Closed,
        }
    }

    /// The earliest time-out the drain owes; those of single calls are the worker's to add.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Why)> {
        let drain = self.drain.as_ref().filter(|_| self.phase() == Phase::Draining);
        if drain.is_some() && self.word.in_flight() == 0 {
            return Some((self.now, Why::Empty));
        }
        let forced = drain.and_then(|drain| drain.forced).map(|forced| (forced.until, Why::GraceOver));
        let overdue = drain
            .filter(|drain| match drain.on_deadline {
                OnDeadline::Wait => false,
                OnDeadline::Alert => !drain.overdue,
                OnDeadline::Force => drain.forced.is_none(),
            })
            .and_then(|drain| drain.deadline)
            .map(|deadline| (deadline, Why::Overdue));
        [forced, overdue].into_iter().flatten().min()
    }

    /// The number and the time of the last entry.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { seq: self.word.seq(), now: self.now }
    }

    /// Folds one entry in; what it does to calls is the worker's to add.
    pub fn apply(&mut self, entry: &Entry) {
        let from = self.phase();
        self.word = entry.event.transition(self.word, self.drain.as_ref());
        self.now = entry.at;
        self.tally.clock_steps += u64::from(entry.behind > Span::ZERO);
        self.fold(entry, from);
    }
}
