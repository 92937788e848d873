//! Whether an entry can follow a state: the check a journal from outside must pass before it is folded.

use core::fmt;

use super::pages::Place;
use super::{Entry, Event, Worker};
use crate::id::{CallNo, Seq};
use crate::time::{Instant, Span};
use crate::word::{Phase, Refusal, Word};

/// Why an entry cannot follow the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The worker could not take this call.
    Admission(Refusal),
    /// It happened before the entry before it.
    Backwards {
        /// When the entry before it became true.
        last: Instant,
    },
    /// It speaks of a call that is not in flight, or is not in the state it needs.
    Call(CallNo),
    /// The sequence numbers are used up: nothing can follow.
    Exhausted,
    /// The event cannot happen in this phase.
    Phase(Phase),
    /// It is not the next in sequence.
    Sequence {
        /// The number that should have come.
        expected: Seq,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admission(refusal) => write!(f, "it takes a call although {refusal}"),
            Self::Backwards { last } => write!(f, "it lies before the entry before it ({} µs)", last.as_micros()),
            Self::Call(call) => write!(f, "call #{call} is not in flight in the state it needs"),
            Self::Exhausted => f.write_str("no sequence number is left for it"),
            Self::Phase(phase) => write!(f, "it cannot happen while the worker is {phase}"),
            Self::Sequence { expected } => write!(f, "entry #{expected} should have come here"),
        }
    }
}

impl core::error::Error for Misfit {}

impl Worker {
    /// Whether `entry` can follow this state. Every entry that [`decide`] emits can.
    ///
    /// [`decide`]: crate::machine::Machine::decide
    pub fn fits(&self, entry: &Entry) -> Result<(), Misfit> {
        self.check(entry, self.locate(&entry.event))
    }

    /// Applies `entry` if it can follow this state, which `seen` is shown before; on a misfit nothing changes. The call
    /// it speaks of is searched for once.
    pub(crate) fn follow(&mut self, entry: &Entry, seen: impl FnOnce(&Self)) -> Result<(), Misfit> {
        let place = self.locate(&entry.event);
        self.check(entry, place)?;
        seen(self);
        self.fold(entry, place);
        Ok(())
    }

    /// `place` is where the call lies that the entry speaks of.
    fn check(&self, entry: &Entry, place: Option<Place>) -> Result<(), Misfit> {
        if self.word().seq().get() == Word::SEQ_MAX {
            return Err(Misfit::Exhausted);
        }
        let expected = Seq::new(self.word().seq().get() + 1);
        if entry.seq != expected {
            return Err(Misfit::Sequence { expected });
        }
        if entry.at < self.now() || (entry.behind > Span::ZERO && entry.at != self.now()) {
            return Err(Misfit::Backwards { last: self.now() });
        }
        let phase = self.phase();
        let may = match entry.event {
            Event::CallAdmitted { class, .. } | Event::CallReserved { class, .. } => {
                self.word().admit(self.limits().capacity).map_err(Misfit::Admission)?;
                usize::from(class.0) < self.limits().stall_after.len()
            }
            Event::CallAssigned { call } | Event::ReservationLapsed { call } => self.holds(call, place, false)?,
            Event::CallProgressed { call } | Event::CallStalled { call } => self.holds(call, place, true)?,
            Event::CallEnded { call, .. } => place.map(|_| phase != Phase::Exited).ok_or(Misfit::Call(call))?,
            Event::CallsDeclined { count, .. } => count > 0 && phase != Phase::Exited,
            Event::StoodBy => phase == Phase::Starting,
            Event::ServingBegan => phase < Phase::Serving,
            Event::DrainBegun { .. } => phase < Phase::Draining,
            Event::DrainCancelled { .. } | Event::DrainSealed { .. } => {
                matches!(phase, Phase::Draining | Phase::Drained)
            }
            Event::DrainExtended { .. } | Event::DrainForced { .. } | Event::DrainOverdue { .. } => {
                phase == Phase::Draining
            }
            Event::Drained => phase == Phase::Draining && self.word().in_flight() == 0,
            Event::Exited { .. } => phase != Phase::Exited,
        };
        if may { Ok(()) } else { Err(Misfit::Phase(phase)) }
    }

    fn holds(&self, call: CallNo, place: Option<Place>, active: bool) -> Result<bool, Misfit> {
        match place.map(|place| self.calls.at(place)) {
            Some(live) if live.active == active => Ok(self.phase() != Phase::Exited),
            Some(_) | None => Err(Misfit::Call(call)),
        }
    }
}
