//! Whether an entry can follow a worker's state.

use super::pages::Place;
use super::{Entry, Event, Misfit, Misuse, Rejection, Worker};
use crate::machine::Machine;
use crate::word::{Phase, Refusal, Word};

const NO_SUCH_CALL: Misfit = Misfit::Rejected(Rejection::Misuse(Misuse::NoSuchCall));

impl Worker {
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
    pub(super) fn check(&self, entry: &Entry, place: Option<Place>) -> Result<(), Misfit> {
        if self.word().seq().get() == Word::SEQ_MAX {
            return Err(Misfit::Rejected(Refusal::Exhausted.into()));
        }
        self.head().precedes(entry)?;
        let phase = self.phase();
        let may = match entry.event {
            Event::CallAdmitted { class, .. } | Event::CallReserved { class, .. } => {
                self.word().admit(self.limits().capacity).map_err(|refusal| Misfit::Rejected(refusal.into()))?;
                usize::from(class.0) < self.limits().stall_after.len()
            }
            Event::CallAssigned { .. } | Event::ReservationLapsed { .. } => self.holds(place, false)?,
            Event::CallProgressed { .. } | Event::CallStalled { .. } => self.holds(place, true)?,
            Event::CallEnded { .. } => place.map(|_| phase != Phase::Exited).ok_or(NO_SUCH_CALL)?,
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
        if may { Ok(()) } else { Err(Misfit::Rejected(Misuse::WrongPhase.into())) }
    }

    fn holds(&self, place: Option<Place>, active: bool) -> Result<bool, Misfit> {
        match place.map(|place| self.calls.at(place)) {
            Some(live) if live.active == active => Ok(self.phase() != Phase::Exited),
            Some(_) | None => Err(NO_SUCH_CALL),
        }
    }
}
