//! Which command can have led to an event.

use super::{Cause, Command, DrainOrder, Event, Outcome, Why, Worker};
use crate::order::{Order, Wish};
use crate::word::Phase;

impl Worker {
    /// The command that alone can have led to `event` in this state, if no order did.
    pub(super) fn cause_of(&self, event: &Event) -> Command {
        match *event {
            Event::StoodBy => Command::StandBy,
            Event::ServingBegan { .. } => Command::Serve,
            Event::CallReserved { id, class } => Command::Reserve { id, class },
            Event::CallAdmitted { id, class } => Command::Admit { id, class },
            Event::CallAssigned { call } => Command::Assign { call },
            Event::CallProgressed { call } => Command::Progress { call },
            Event::CallStalled { call } => Command::Expire(Why::Stall(call)),
            Event::ReservationLapsed { call } => Command::Expire(Why::Lapse(call)),
            Event::CallEnded { call, reason } => match self.calls.get(call) {
                Some(live) if !live.active => Command::Withdraw { call, reason },
                Some(_) | None => Command::End { call, reason },
            },
            Event::CallsDeclined { reason, count } => Command::CountDeclines { reason, count },
            // Leaving seals a drain for its own cause, which is not final; anything else does for one that is.
            Event::DrainSealed { cause, .. } if !cause.is_final() => Command::Leave,
            // Terms that were added up already stay the same when they are added up once more.
            Event::DrainBegun { cause, actor, terms, .. } | Event::DrainSealed { cause, actor, terms, .. } => {
                Command::BeginDrain(DrainOrder { cause, actor, terms })
            }
            Event::DrainTightened { actor, terms, .. } => {
                Command::BeginDrain(DrainOrder { cause: Cause::Api, actor, terms })
            }
            Event::DrainExtended { actor, deadline } => Command::ExtendDrain { actor, deadline },
            Event::DrainCancelled { actor, .. } => Command::CancelDrain { actor },
            Event::DrainOverdue { .. } => Command::Expire(Why::Overdue),
            Event::DrainForced { actor, .. } => Command::ForceDrain { actor },
            Event::Drained => Command::Expire(Why::Empty),
            Event::Exited { outcome: Outcome::Rejected, .. } => Command::Reject,
            Event::Exited { .. } if self.phase() == Phase::Draining => Command::Expire(Why::GraceOver),
            Event::Exited { .. } => Command::Expire(Why::Leave),
            Event::OrderTaken { stamp, actor } => Command::Obey(Order { stamp, actor, wish: Wish::Join }),
            Event::CallTakenOver { id, class, origin } => Command::TakeOver { id, class, origin },
            Event::CallHandedOver { call, to } => Command::HandOver { call, to },
        }
    }
}
