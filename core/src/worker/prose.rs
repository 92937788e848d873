//! An entry in words, for whoever reads a journal at night. The worker is the subject of each sentence.

use core::fmt::{Display, Formatter, Result};

use super::event::{Entry, Event};
use super::reason::Outcome;
use super::terms::Terms;
use crate::time::{Instant, Span};

impl Display for Entry {
    /// Times are told from the entry on: `in 30s`.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let number = self.seq;
        match self.event {
            Event::StoodBy => f.write_str("stands by"),
            Event::ServingBegan { .. } => f.write_str("takes calls"),
            Event::CallReserved { .. } => write!(f, "says yes to call {number}"),
            Event::CallAdmitted { .. } => write!(f, "takes call {number}"),
            Event::CallTakenOver { origin, .. } => {
                write!(f, "goes on with call {number}, which was call {} of run {}", origin.call, origin.run)
            }
            Event::CallHandedOver { call, to } => write!(f, "call {call} goes on in run {to}"),
            Event::CallAssigned { call } => write!(f, "call {call} is assigned and runs"),
            Event::CallProgressed { call } => write!(f, "call {call} moves"),
            Event::CallStalled { call } => write!(f, "call {call} has stalled"),
            Event::ReservationLapsed { call } => write!(f, "call {call} was not assigned in time"),
            Event::CallEnded { call, reason } => write!(f, "call {call} is over: {reason}"),
            Event::CallsDeclined { reason, count } => write!(f, "declined {count} calls: {}", reason.as_str()),
            Event::DrainBegun { cause, actor, terms, .. } => {
                write!(f, "takes no more calls: drain by {actor} ({})", cause.as_str())?;
                self.terms(&terms, f)
            }
            Event::DrainSealed { cause, .. } if !cause.is_final() => {
                f.write_str("is told to leave: the drain can no longer be taken back")
            }
            Event::DrainSealed { actor, terms, .. } => {
                write!(f, "the drain can no longer be taken back, by {actor}")?;
                self.terms(&terms, f)
            }
            Event::DrainTightened { actor, terms, .. } => {
                write!(f, "the drain is held to more, by {actor}")?;
                self.terms(&terms, f)
            }
            Event::DrainExtended { actor, deadline } => {
                write!(f, "the drain now ends {}, by {actor}", self.until(deadline))
            }
            Event::DrainCancelled { actor, .. } => write!(f, "the drain is taken back by {actor}"),
            Event::DrainOverdue { live } => write!(f, "the drain is overdue with {live} calls left"),
            Event::DrainForced { actor, live, .. } => write!(f, "tells {live} calls to end, forced by {actor}"),
            Event::Drained => f.write_str("is drained: no call is left"),
            Event::Exited { outcome, .. } => write!(f, "leaves; {outcome}"),
            Event::OrderTaken { stamp, actor } => {
                write!(f, "order {}.{} of {actor} changes nothing", stamp.epoch, stamp.order)
            }
        }
    }
}

impl Entry {
    fn terms(&self, terms: &Terms, f: &mut Formatter<'_>) -> Result {
        let Some(deadline) = terms.deadline else { return f.write_str("; for as long as calls last") };
        let policy = terms.on_deadline().as_str();
        match terms.force_at.or(terms.alert_at).filter(|at| *at != deadline) {
            Some(at) => write!(f, "; due {}, then {policy} {}", self.until(deadline), self.until(at)),
            None => write!(f, "; due {}, then {policy}", self.until(deadline)),
        }
    }

    fn until(&self, deadline: Instant) -> In {
        In(deadline.since(self.at))
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Clean => f.write_str("no call was cut"),
            Self::Forced { dropped } => write!(f, "{dropped} calls were cut"),
            Self::Rejected => f.write_str("the fleet does not want it"),
        }
    }
}

struct In(Span);

impl Display for In {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.0 == Span::ZERO { f.write_str("at once") } else { write!(f, "in {}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::super::command::Class;
    use super::super::event::Origin;
    use super::super::reason::{Cause, Decline, EndReason, OnDeadline};
    use super::*;
    use crate::id::{Actor, CallNo, Digest, Epoch, Incarnation, Seq};
    use crate::order::Stamp;

    #[test]
    fn every_event_has_words() {
        let (actor, id, call) = (Actor::from_static("alice"), Digest::new(7), CallNo::new(3));
        let at = |secs: u64| Instant::from_micros(secs * 1_000_000);
        let terms = Terms::new(Some(at(31)), OnDeadline::Force).unwrap();
        let both = Terms::new(Some(at(11)), OnDeadline::Wait).unwrap().and(terms);
        let (class, stamp) = (Class::default(), None);
        let origin = Origin { run: Incarnation::new(1), call: CallNo::new(5), given: true };
        for (event, words) in [
            (Event::StoodBy, "stands by"),
            (Event::ServingBegan { stamp }, "takes calls"),
            (Event::CallReserved { id, class }, "says yes to call 9"),
            (Event::CallAdmitted { id, class }, "takes call 9"),
            (Event::CallTakenOver { id, class, origin }, "goes on with call 9, which was call 5 of run 1"),
            (Event::CallHandedOver { call, to: Incarnation::new(2) }, "call 3 goes on in run 2"),
            (Event::CallAssigned { call }, "call 3 is assigned and runs"),
            (Event::CallProgressed { call }, "call 3 moves"),
            (Event::CallStalled { call }, "call 3 has stalled"),
            (Event::ReservationLapsed { call }, "call 3 was not assigned in time"),
            (Event::CallEnded { call, reason: EndReason::CallerHangup }, "call 3 is over: caller_hangup"),
            (Event::CallsDeclined { reason: Decline::Full, count: 2 }, "declined 2 calls: full"),
            (
                Event::DrainBegun { cause: Cause::Signal, actor, terms, stamp },
                "takes no more calls: drain by alice (signal); due in 30s, then force",
            ),
            (
                Event::DrainBegun { cause: Cause::Api, actor, terms: Terms::PATIENT, stamp },
                "takes no more calls: drain by alice (api); for as long as calls last",
            ),
            (
                Event::DrainSealed { cause: Cause::Signal, actor, terms: both, stamp },
                "the drain can no longer be taken back, by alice; due in 10s, then force in 30s",
            ),
            (
                Event::DrainSealed { cause: Cause::Api, actor, terms: both, stamp },
                "is told to leave: the drain can no longer be taken back",
            ),
            (
                Event::DrainTightened { actor, terms: both, stamp },
                "the drain is held to more, by alice; due in 10s, then force in 30s",
            ),
            (Event::DrainExtended { actor, deadline: at(61) }, "the drain now ends in 60s, by alice"),
            (Event::DrainCancelled { actor, stamp }, "the drain is taken back by alice"),
            (Event::DrainOverdue { live: 4 }, "the drain is overdue with 4 calls left"),
            (Event::DrainForced { actor, live: 4, stamp }, "tells 4 calls to end, forced by alice"),
            (Event::Drained, "is drained: no call is left"),
            (Event::Exited { outcome: Outcome::Clean, stamp }, "leaves; no call was cut"),
            (Event::Exited { outcome: Outcome::Forced { dropped: 4 }, stamp }, "leaves; 4 calls were cut"),
            (Event::Exited { outcome: Outcome::Rejected, stamp }, "leaves; the fleet does not want it"),
            (
                Event::OrderTaken { stamp: Stamp { epoch: Epoch::new(2), order: Seq::new(8) }, actor },
                "order 2.8 of alice changes nothing",
            ),
        ] {
            let entry = Entry { seq: Seq::new(9), at: at(1), behind: Span::ZERO, event };
            assert_eq!(entry.to_string(), words);
        }
    }
}
