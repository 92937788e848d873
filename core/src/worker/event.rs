//! What became true of a worker.

use serde::{Deserialize, Serialize};

use super::command::Class;
use super::reason::{Cause, Decline, EndReason, Outcome};
use super::terms::Terms;
use crate::id::{Actor, CallNo, Digest, Incarnation};
use crate::machine;
use crate::order::Stamp;
use crate::time::Instant;

/// One event in its place.
pub type Entry = machine::Entry<Event>;

/// What became true. Variants are stored by position: add new ones at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The worker is able to take calls and waits to be promoted.
    StoodBy,
    /// The worker takes calls.
    ServingBegan {
        /// The order that this obeys, if one does.
        stamp: Option<Stamp>,
    },
    /// An offer was answered with yes.
    CallReserved {
        /// The call's id, digested.
        id: Digest,
        /// Its kind.
        class: Class,
    },
    /// A call was taken without an offer before it.
    CallAdmitted {
        /// The call's id, digested.
        id: Digest,
        /// Its kind.
        class: Class,
    },
    /// A reserved call became ours.
    CallAssigned {
        /// The call.
        call: CallNo,
    },
    /// A call moved.
    CallProgressed {
        /// The call.
        call: CallNo,
    },
    /// A call has not moved for its class's limit. It is flagged, not ended: stalled is not long, and silent is not
    /// dead.
    CallStalled {
        /// The call.
        call: CallNo,
    },
    /// A reserved call was not assigned in time.
    ReservationLapsed {
        /// The call.
        call: CallNo,
    },
    /// A call is over.
    CallEnded {
        /// The call.
        call: CallNo,
        /// What ended it.
        reason: EndReason,
    },
    /// Calls were declined before they were promised.
    CallsDeclined {
        /// Why they were declined.
        reason: Decline,
        /// How many since the last count.
        count: u64,
    },
    /// The worker takes no more calls.
    DrainBegun {
        /// What asked for it.
        cause: Cause,
        /// Who asked for it.
        actor: Actor,
        /// When it is overdue and what happens then.
        terms: Terms,
        /// The order that this obeys, if one does.
        stamp: Option<Stamp>,
    },
    /// A drain that could be taken back no longer can: a signal arrived during it, or the fleet does not want the
    /// worker any more.
    DrainSealed {
        /// What sealed it.
        cause: Cause,
        /// Who sealed it.
        actor: Actor,
        /// The terms from now on: the drain's own, joined with those of whoever sealed it.
        terms: Terms,
        /// The order that this obeys, if one does.
        stamp: Option<Stamp>,
    },
    /// The drain got more time.
    DrainExtended {
        /// Who gave it.
        actor: Actor,
        /// The new deadline.
        deadline: Instant,
    },
    /// The drain was taken back.
    DrainCancelled {
        /// Who took it back.
        actor: Actor,
        /// The order that this obeys, if one does.
        stamp: Option<Stamp>,
    },
    /// The drain's deadline passed with calls still in flight.
    DrainOverdue {
        /// How many were left.
        live: u32,
    },
    /// Every call left is told to end, and dropped if it is still there when the grace is over.
    DrainForced {
        /// Who forced it (`"deadline"` for the policy).
        actor: Actor,
        /// How many calls that hits.
        live: u32,
        /// The order that this obeys, if one does.
        stamp: Option<Stamp>,
    },
    /// The last call has ended.
    Drained,
    /// The worker is over.
    Exited {
        /// How it ended.
        outcome: Outcome,
        /// The order that this obeys, if one does.
        stamp: Option<Stamp>,
    },
    /// An order was obeyed that left everything else as it was: it was true already, or it could not be done any more.
    OrderTaken {
        /// The order.
        stamp: Stamp,
        /// Who wants it.
        actor: Actor,
    },
    /// A call of an earlier run that is still alive goes on in this one.
    CallTakenOver {
        /// The call's id, digested.
        id: Digest,
        /// Its kind.
        class: Class,
        /// Where it comes from.
        origin: Origin,
    },
    /// A call goes on in another run. It is over here and has not ended.
    CallHandedOver {
        /// The call.
        call: CallNo,
        /// The run that it goes on in.
        to: Incarnation,
    },
    /// Another order joined the drain, and asked for something sooner.
    DrainTightened {
        /// Who asked.
        actor: Actor,
        /// The terms from now on: the drain's own, joined with those of the order.
        terms: Terms,
        /// The order that this obeys, if one does.
        stamp: Option<Stamp>,
    },
}

impl Event {
    /// The order that led to this event.
    #[must_use]
    pub const fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::ServingBegan { stamp }
            | Self::DrainBegun { stamp, .. }
            | Self::DrainSealed { stamp, .. }
            | Self::DrainCancelled { stamp, .. }
            | Self::DrainForced { stamp, .. }
            | Self::DrainTightened { stamp, .. }
            | Self::Exited { stamp, .. } => *stamp,
            Self::OrderTaken { stamp, .. } => Some(*stamp),
            Self::StoodBy
            | Self::CallReserved { .. }
            | Self::CallAdmitted { .. }
            | Self::CallAssigned { .. }
            | Self::CallProgressed { .. }
            | Self::CallStalled { .. }
            | Self::ReservationLapsed { .. }
            | Self::CallEnded { .. }
            | Self::CallsDeclined { .. }
            | Self::DrainExtended { .. }
            | Self::DrainOverdue { .. }
            | Self::Drained
            | Self::CallTakenOver { .. }
            | Self::CallHandedOver { .. } => None,
        }
    }

    /// The same event as the obedience to an order; `None` for an event that no order leads to.
    pub(super) const fn obeying(mut self, order: Stamp) -> Option<Self> {
        match &mut self {
            Self::ServingBegan { stamp }
            | Self::DrainBegun { stamp, .. }
            | Self::DrainSealed { stamp, .. }
            | Self::DrainCancelled { stamp, .. }
            | Self::DrainForced { stamp, .. }
            | Self::DrainTightened { stamp, .. }
            | Self::Exited { stamp, .. } => *stamp = Some(order),
            Self::OrderTaken { stamp, .. } => *stamp = order,
            Self::StoodBy
            | Self::CallReserved { .. }
            | Self::CallAdmitted { .. }
            | Self::CallAssigned { .. }
            | Self::CallProgressed { .. }
            | Self::CallStalled { .. }
            | Self::ReservationLapsed { .. }
            | Self::CallEnded { .. }
            | Self::CallsDeclined { .. }
            | Self::DrainExtended { .. }
            | Self::DrainOverdue { .. }
            | Self::Drained
            | Self::CallTakenOver { .. }
            | Self::CallHandedOver { .. } => return None,
        }
        Some(self)
    }

    /// Whether this event begins a call. The call's number is that of the entry.
    #[must_use]
    pub const fn begins_call(&self) -> bool {
        match self {
            Self::CallReserved { .. } | Self::CallAdmitted { .. } | Self::CallTakenOver { .. } => true,
            Self::StoodBy
            | Self::ServingBegan { .. }
            | Self::CallAssigned { .. }
            | Self::CallProgressed { .. }
            | Self::CallStalled { .. }
            | Self::ReservationLapsed { .. }
            | Self::CallEnded { .. }
            | Self::CallsDeclined { .. }
            | Self::DrainBegun { .. }
            | Self::DrainSealed { .. }
            | Self::DrainExtended { .. }
            | Self::DrainCancelled { .. }
            | Self::DrainOverdue { .. }
            | Self::DrainForced { .. }
            | Self::Drained
            | Self::Exited { .. }
            | Self::OrderTaken { .. }
            | Self::CallHandedOver { .. }
            | Self::DrainTightened { .. } => false,
        }
    }

    /// The call that this event ends here.
    #[must_use]
    pub const fn ended_call(&self) -> Option<CallNo> {
        match *self {
            Self::ReservationLapsed { call } | Self::CallEnded { call, .. } | Self::CallHandedOver { call, .. } => {
                Some(call)
            }
            Self::StoodBy
            | Self::ServingBegan { .. }
            | Self::CallReserved { .. }
            | Self::CallAdmitted { .. }
            | Self::CallAssigned { .. }
            | Self::CallProgressed { .. }
            | Self::CallStalled { .. }
            | Self::CallsDeclined { .. }
            | Self::DrainBegun { .. }
            | Self::DrainSealed { .. }
            | Self::DrainExtended { .. }
            | Self::DrainTightened { .. }
            | Self::DrainCancelled { .. }
            | Self::DrainOverdue { .. }
            | Self::DrainForced { .. }
            | Self::Drained
            | Self::Exited { .. }
            | Self::OrderTaken { .. }
            | Self::CallTakenOver { .. } => None,
        }
    }

    /// The call in flight that this event speaks of.
    #[must_use]
    pub const fn call(&self) -> Option<CallNo> {
        match *self {
            Self::CallAssigned { call }
            | Self::CallProgressed { call }
            | Self::CallStalled { call }
            | Self::ReservationLapsed { call }
            | Self::CallEnded { call, .. }
            | Self::CallHandedOver { call, .. } => Some(call),
            Self::StoodBy
            | Self::ServingBegan { .. }
            | Self::CallReserved { .. }
            | Self::CallAdmitted { .. }
            | Self::CallsDeclined { .. }
            | Self::DrainBegun { .. }
            | Self::DrainSealed { .. }
            | Self::DrainExtended { .. }
            | Self::DrainTightened { .. }
            | Self::DrainCancelled { .. }
            | Self::DrainOverdue { .. }
            | Self::DrainForced { .. }
            | Self::Drained
            | Self::Exited { .. }
            | Self::OrderTaken { .. }
            | Self::CallTakenOver { .. } => None,
        }
    }
}

/// Where a call that was taken over comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The run that had it.
    pub run: Incarnation,
    /// Its number there.
    pub call: CallNo,
    /// Whether that run gave it away; if not, the call was found alive after the run had ended.
    pub given: bool,
}
