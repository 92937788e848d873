//! How a call ended.

use openrtc_core::id::{CallNo, Incarnation};
use openrtc_core::worker::{EndReason, Event};

/// How a call ended, as the journal records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It ended for this reason. A call that a forced drain dropped ends as [`EndReason::DrainForced`].
    Recorded(EndReason),
    /// It was reserved, and no assignment came within the reservation's time.
    Lapsed,
    /// It has not ended: it goes on in this other run of the worker.
    HandedOver(Incarnation),
}

impl Ended {
    /// The call that an event ends in this run, and how.
    pub(crate) const fn by(event: &Event) -> Option<(CallNo, Self)> {
        match *event {
            Event::CallEnded { call, reason } => Some((call, Self::Recorded(reason))),
            Event::ReservationLapsed { call } => Some((call, Self::Lapsed)),
            Event::CallHandedOver { call, to } => Some((call, Self::HandedOver(to))),
            Event::StoodBy
            | Event::ServingBegan { .. }
            | Event::CallReserved { .. }
            | Event::CallAdmitted { .. }
            | Event::CallAssigned { .. }
            | Event::CallProgressed { .. }
            | Event::CallStalled { .. }
            | Event::CallsDeclined { .. }
            | Event::DrainBegun { .. }
            | Event::DrainSealed { .. }
            | Event::DrainExtended { .. }
            | Event::DrainTightened { .. }
            | Event::DrainCancelled { .. }
            | Event::DrainOverdue { .. }
            | Event::DrainForced { .. }
            | Event::Drained
            | Event::Exited { .. }
            | Event::OrderTaken { .. }
            | Event::CallTakenOver { .. } => None,
        }
    }
}
