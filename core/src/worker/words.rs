//! An entry in words, for whoever reads a journal at night. The worker is the subject of each sentence.

use core::fmt::{Display, Formatter, Result};

use super::event::{Entry, Event, OnDeadline, Outcome};
use crate::time::{Instant, Span};

impl Display for Entry {
    /// Times are told from the entry on: `in 30s`.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let number = self.seq;
        match self.event {
            Event::StoodBy => f.write_str("stands by"),
            Event::ServingBegan => f.write_str("takes calls"),
            Event::CallReserved { id, .. } => write!(f, "says yes to call {number} ({id})"),
            Event::CallAdmitted { id, .. } => write!(f, "takes call {number} ({id})"),
            Event::CallAssigned { call } => write!(f, "call {call} is assigned and runs"),
            Event::CallProgressed { call } => write!(f, "call {call} moves"),
            Event::CallStalled { call } => write!(f, "call {call} has stalled"),
            Event::ReservationLapsed { call } => write!(f, "call {call} was not assigned in time"),
            Event::CallEnded { call, reason } => write!(f, "call {call} is over: {reason}"),
            Event::CallsDeclined { reason, count } => write!(f, "declined {count} calls: {}", reason.as_str()),
            Event::DrainBegun { cause, actor, deadline, on_deadline } => {
                write!(f, "takes no more calls: drain by {actor} ({})", cause.as_str())?;
                self.terms(deadline, on_deadline, f)
            }
            Event::DrainSealed { actor, deadline, on_deadline } => {
                write!(f, "the drain can no longer be taken back, by {actor}")?;
                self.terms(deadline, on_deadline, f)
            }
            Event::DrainExtended { actor, deadline } => {
                write!(f, "the drain now ends {}, by {actor}", self.until(deadline))
            }
            Event::DrainCancelled { actor } => write!(f, "the drain is taken back by {actor}"),
            Event::DrainOverdue { live } => write!(f, "the drain is overdue with {live} calls left"),
            Event::DrainForced { actor, live, until } => {
                write!(f, "tells {live} calls to end {}, forced by {actor}", self.until(until))
            }
            Event::Drained => f.write_str("is drained: no call is left"),
            Event::Exited { outcome } => write!(f, "leaves; {outcome}"),
        }
    }
}

impl Entry {
    fn terms(&self, deadline: Option<Instant>, on_deadline: OnDeadline, f: &mut Formatter<'_>) -> Result {
        match deadline {
            Some(deadline) => write!(f, "; due {}, then {}", self.until(deadline), on_deadline.as_str()),
            None => f.write_str("; for as long as calls last"),
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
    use super::super::event::{Cause, Decline, EndReason};
    use super::*;
    use crate::id::{Actor, CallId, CallNo, Seq};

    #[test]
    fn every_event_has_words() {
        let (actor, id, call) = (Actor::from_static("alice"), CallId::new("c7").unwrap(), CallNo::new(3));
        let (soon, on_deadline) = (Some(Instant::from_micros(31_000_000)), OnDeadline::Force);
        let class = Class(0);
        for (event, words) in [
            (Event::StoodBy, "stands by"),
            (Event::ServingBegan, "takes calls"),
            (Event::CallReserved { id, class }, "says yes to call 9 (c7)"),
            (Event::CallAdmitted { id, class }, "takes call 9 (c7)"),
            (Event::CallAssigned { call }, "call 3 is assigned and runs"),
            (Event::CallProgressed { call }, "call 3 moves"),
            (Event::CallStalled { call }, "call 3 has stalled"),
            (Event::ReservationLapsed { call }, "call 3 was not assigned in time"),
            (Event::CallEnded { call, reason: EndReason::CallerHangup }, "call 3 is over: caller_hangup"),
            (Event::CallsDeclined { reason: Decline::Full, count: 2 }, "declined 2 calls: full"),
            (
                Event::DrainBegun { cause: Cause::Signal, actor, deadline: soon, on_deadline },
                "takes no more calls: drain by alice (signal); due in 30s, then force",
            ),
            (
                Event::DrainBegun { cause: Cause::Api, actor, deadline: None, on_deadline },
                "takes no more calls: drain by alice (api); for as long as calls last",
            ),
            (
                Event::DrainSealed { actor, deadline: soon, on_deadline },
                "the drain can no longer be taken back, by alice; due in 30s, then force",
            ),
            (
                Event::DrainExtended { actor, deadline: Instant::from_micros(61_000_000) },
                "the drain now ends in 60s, by alice",
            ),
            (Event::DrainCancelled { actor }, "the drain is taken back by alice"),
            (Event::DrainOverdue { live: 4 }, "the drain is overdue with 4 calls left"),
            (
                Event::DrainForced { actor, live: 4, until: Instant::from_micros(1_000_000) },
                "tells 4 calls to end at once, forced by alice",
            ),
            (Event::Drained, "is drained: no call is left"),
            (Event::Exited { outcome: Outcome::Clean }, "leaves; no call was cut"),
            (Event::Exited { outcome: Outcome::Forced { dropped: 4 } }, "leaves; 4 calls were cut"),
            (Event::Exited { outcome: Outcome::Rejected }, "leaves; the fleet does not want it"),
        ] {
            let entry = Entry { seq: Seq::new(9), at: Instant::from_micros(1_000_000), behind: Span::ZERO, event };
            assert_eq!(entry.to_string(), words);
        }
    }
}
