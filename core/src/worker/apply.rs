//! How an entry changes a worker.

use super::{Call, Class, Drain, Entry, Event, Forced, Life, Worker};
use crate::id::{CallNo, Digest};
use crate::pages::Place;
use crate::word::{Phase, Word};

impl Event {
    /// How this event moves the admission word: the one place where events and the word meet.
    #[must_use]
    pub fn transition(&self, word: Word, drain: Option<&Drain>) -> Word {
        match self {
            Self::CallAdmitted { .. } | Self::CallReserved { .. } => {
                word.admit(Word::IN_FLIGHT_MAX).unwrap_or_else(|_| word.note())
            }
            Self::CallTakenOver { .. } if word.in_flight() < Word::IN_FLIGHT_MAX => word.take_over(),
            Self::CallEnded { .. } | Self::CallHandedOver { .. } | Self::ReservationLapsed { .. }
                if word.in_flight() > 0 =>
            {
                word.release()
            }
            Self::StoodBy => word.enter(Phase::Standby),
            Self::ServingBegan { .. } => word.enter(Phase::Serving),
            Self::DrainBegun { .. } => word.enter(Phase::Draining),
            Self::DrainCancelled { .. } => word.enter(drain.map_or(Phase::Serving, |drain| drain.from)),
            Self::Drained => word.enter(Phase::Drained),
            Self::Exited { .. } => word.enter(Phase::Exited),
            Self::CallAssigned { .. }
            | Self::CallEnded { .. }
            | Self::CallHandedOver { .. }
            | Self::CallProgressed { .. }
            | Self::CallsDeclined { .. }
            | Self::CallStalled { .. }
            | Self::CallTakenOver { .. }
            | Self::DrainExtended { .. }
            | Self::DrainForced { .. }
            | Self::DrainOverdue { .. }
            | Self::DrainSealed { .. }
            | Self::DrainTightened { .. }
            | Self::OrderTaken { .. }
            | Self::ReservationLapsed { .. } => word.note(),
        }
    }
}

impl Life {
    pub(super) fn fold(&mut self, entry: &Entry, from: Phase) {
        match entry.event {
            Event::StoodBy
            | Event::ServingBegan { .. }
            | Event::Drained
            | Event::CallAssigned { .. }
            | Event::CallProgressed { .. }
            | Event::OrderTaken { .. } => {}
            Event::CallTakenOver { .. } => self.tally.taken_over += 1,
            Event::CallHandedOver { .. } => self.tally.handed_over += 1,
            Event::CallReserved { .. } => self.tally.reserved += 1,
            Event::CallAdmitted { .. } => self.tally.admitted += 1,
            Event::CallStalled { .. } => self.tally.stalled += 1,
            Event::ReservationLapsed { .. } => self.tally.lapsed += 1,
            Event::CallEnded { reason, .. } => self.tally.ended[reason as usize] += 1,
            Event::CallsDeclined { reason, count } => {
                let declined = &mut self.tally.declined[reason as usize];
                *declined = declined.saturating_add(count);
            }
            Event::Exited { outcome, .. } => self.outcome = Some(outcome),
            Event::DrainBegun { .. }
            | Event::DrainCancelled { .. }
            | Event::DrainExtended { .. }
            | Event::DrainForced { .. }
            | Event::DrainOverdue { .. }
            | Event::DrainSealed { .. }
            | Event::DrainTightened { .. } => self.fold_drain(entry, from),
        }
    }

    fn fold_drain(&mut self, entry: &Entry, from: Phase) {
        if let Event::DrainBegun { cause, actor, terms, .. } = entry.event {
            let sealed = cause.is_final();
            let begun = entry.at;
            self.drain = Some(Drain { actor, begun, cause, terms, forced: None, from, overdue: false, sealed });
        }
        let Some(drain) = &mut self.drain else { return };
        match entry.event {
            Event::DrainCancelled { .. } => self.drain = None,
            Event::DrainExtended { deadline, .. } => {
                drain.terms = drain.terms.extended(deadline);
                drain.overdue = false;
            }
            // A worker that leaves declines for its lame-duck time first, and it leaves when the grace is over.
            Event::DrainForced { actor, live, .. } => {
                let until = (entry.at + self.limits.force_grace).max(drain.begun + self.limits.lame_duck);
                drain.forced = Some(Forced { actor, live, until });
            }
            Event::DrainOverdue { .. } => drain.overdue = true,
            Event::DrainSealed { terms, .. } => {
                drain.terms = terms;
                drain.sealed = true;
            }
            Event::DrainTightened { terms, .. } => drain.terms = terms,
            Event::StoodBy
            | Event::ServingBegan { .. }
            | Event::CallReserved { .. }
            | Event::CallAdmitted { .. }
            | Event::CallAssigned { .. }
            | Event::CallProgressed { .. }
            | Event::CallStalled { .. }
            | Event::ReservationLapsed { .. }
            | Event::CallEnded { .. }
            | Event::CallsDeclined { .. }
            | Event::DrainBegun { .. }
            | Event::Drained
            | Event::Exited { .. }
            | Event::OrderTaken { .. }
            | Event::CallTakenOver { .. }
            | Event::CallHandedOver { .. } => {}
        }
    }
}

impl Worker {
    /// Where the call lies that an event speaks of, if it is in flight.
    pub(super) fn locate(&self, event: &Event) -> Option<Place> {
        event.call().and_then(|call| self.calls.place(call))
    }

    /// Folds one entry in; `place` is what [`Worker::locate`] says of it.
    pub(super) fn fold(&mut self, entry: &Entry, place: Option<Place>) {
        self.life.apply(entry);
        match entry.event {
            Event::CallReserved { id, class } => self.promise(entry, id, class, false),
            Event::CallAdmitted { id, class } | Event::CallTakenOver { id, class, .. } => {
                self.promise(entry, id, class, true);
            }
            Event::CallAssigned { .. } | Event::CallProgressed { .. } => {
                self.calls.moved(place, entry.at, &self.life.limits);
            }
            Event::CallStalled { .. } => self.calls.flag(place),
            Event::ReservationLapsed { .. } | Event::CallEnded { .. } | Event::CallHandedOver { .. } => {
                self.calls.remove(place);
            }
            Event::StoodBy
            | Event::ServingBegan { .. }
            | Event::CallsDeclined { .. }
            | Event::DrainBegun { .. }
            | Event::DrainSealed { .. }
            | Event::DrainExtended { .. }
            | Event::DrainCancelled { .. }
            | Event::DrainOverdue { .. }
            | Event::DrainForced { .. }
            | Event::DrainTightened { .. }
            | Event::Drained
            | Event::Exited { .. }
            | Event::OrderTaken { .. } => {}
        }
    }

    fn promise(&mut self, entry: &Entry, id: Digest, class: Class, active: bool) {
        let stalls_at = self.limits().stall_limit(class).filter(|_| active).map(|limit| entry.at + limit);
        let call = Call { id, class, since: entry.at, active, moved: entry.at, stalls_at, stalled: false };
        self.calls.insert(CallNo::new(entry.seq.get()), call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use crate::worker::{EndReason, Origin};

    /// A history from outside may say anything. Whatever it says, the count stays within what the word can hold, and
    /// the entry takes its number.
    #[test]
    fn an_entry_that_no_call_can_be_behind_takes_a_number_and_no_more() {
        let (call, class, id) = (CallNo::new(2), Class::default(), Digest::new(7));
        let ends = [
            Event::CallEnded { call, reason: EndReason::CallerHangup },
            Event::CallHandedOver { call, to: Incarnation::new(2) },
            Event::ReservationLapsed { call },
        ];
        let empty = Word::START.enter(Phase::Serving);
        let one = empty.admit(1).unwrap();
        for event in ends {
            assert_eq!(event.transition(empty, None), empty.note(), "{event:?}");
            assert_eq!(event.transition(one, None), one.release(), "{event:?}");
        }
        let begins = [
            Event::CallAdmitted { id, class },
            Event::CallReserved { id, class },
            Event::CallTakenOver { id, class, origin: Origin { run: Incarnation::new(1), call, given: true } },
        ];
        let most = Word::IN_FLIGHT_MAX;
        let full = (0..most).fold(empty, |word, _| Word::from_bits(word.admit(most).unwrap().to_bits() - 1));
        let last = Word::from_bits(full.release().to_bits() - 1);
        for event in begins {
            assert_eq!(event.transition(full, None), full.note(), "{event:?}");
            assert_eq!(event.transition(last, None).in_flight(), most, "{event:?}");
        }
    }
}
