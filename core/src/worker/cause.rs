//! Which command can have led to an event.

use super::{Cause, Command, DrainOrder, Event, Outcome};

/// The command that alone can have led to `event`.
pub(super) fn command(event: &Event) -> Command {
    match *event {
        Event::StoodBy => Command::StandBy,
        Event::ServingBegan => Command::Serve,
        Event::CallReserved { id, class } => Command::Reserve { id, class },
        Event::CallAdmitted { id, class } => Command::Admit { id, class },
        Event::CallAssigned { call } => Command::Assign { call },
        Event::CallProgressed { call } => Command::Progress { call },
        Event::CallEnded { call, reason } => Command::End { call, reason },
        Event::CallsDeclined { reason, count } => Command::CountDeclines { reason, count },
        Event::DrainBegun { cause, actor, deadline, on_deadline } => {
            Command::BeginDrain(DrainOrder { cause, actor, deadline, on_deadline })
        }
        Event::DrainSealed { actor, deadline, on_deadline } => {
            Command::BeginDrain(DrainOrder { cause: Cause::Signal, actor, deadline, on_deadline })
        }
        Event::DrainExtended { actor, deadline } => Command::ExtendDrain { actor, deadline },
        Event::DrainCancelled { actor } => Command::CancelDrain { actor },
        Event::DrainForced { actor, .. } => Command::ForceDrain { actor },
        Event::Exited { outcome: Outcome::Rejected } => Command::Reject,
        Event::Exited { outcome: Outcome::Clean | Outcome::Forced { .. } } => Command::Close,
        Event::CallStalled { .. } | Event::ReservationLapsed { .. } | Event::DrainOverdue { .. } | Event::Drained => {
            Command::Wake
        }
    }
}
