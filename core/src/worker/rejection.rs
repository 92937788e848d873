//! Why a command changed nothing, by who is at fault.

use core::fmt;

use crate::machine;
use crate::order::Stamp;
use crate::word::Refusal;

/// Why a command changed nothing.
pub type Rejection = machine::Rejection<Repeat, Refused, Misuse>;

/// Why an entry cannot follow the ones before it.
pub type Misfit = machine::Misfit<Rejection>;

/// A command for what is true already. It is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The call is active already.
    AlreadyAssigned,
    /// The worker drains already.
    AlreadyDraining,
    /// The call is over already.
    AlreadyEnded,
    /// The drain has this deadline already.
    AlreadyExtended,
    /// The drain is forced already, or has no call left to force.
    AlreadyForced,
    /// The worker has left already.
    AlreadyExited,
    /// The worker has drained and leaves.
    AlreadyLeaving,
    /// The order was obeyed.
    AlreadyObeyed,
    /// The worker is there already.
    AlreadyThere,
    /// The worker does not drain, so there is nothing to cancel.
    NotDraining,
    /// Nothing to count.
    NothingDeclined,
}

/// A command answered with no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No call can be taken.
    Admission(Refusal),
    /// The drain was forced; it can neither be extended nor cancelled.
    Forced,
    /// The drain came with a signal; it cannot be cancelled.
    Irrevocable,
    /// A later order was obeyed.
    Overtaken {
        /// That order.
        by: Stamp,
    },
    /// The reservation is gone: it lapsed, was withdrawn, or the worker has left.
    ReservationGone,
}

/// A command that makes no sense in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// The call was assigned, so it can end but not be withdrawn.
    Assigned,
    /// The terms ask for something before the deadline, or without a deadline.
    BadTerms,
    /// There is no drain.
    NotDraining,
    /// The worker still has calls, or was never drained.
    NotDrained,
    /// The call is reserved and not assigned yet.
    NotAssigned,
    /// No deadline has been reached.
    NotDue,
    /// A call cannot end as forced without a forced drain.
    NotForced,
    /// The new deadline is not later than the old one.
    NotLater,
    /// No call has had this number.
    NoSuchCall,
    /// The phase cannot be reached from here.
    WrongPhase,
}

impl fmt::Display for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyAssigned => "the call is active already",
            Self::AlreadyDraining => "the worker drains already",
            Self::AlreadyEnded => "the call is over already",
            Self::AlreadyExtended => "the drain has this deadline already",
            Self::AlreadyForced => "the drain is forced already, or has no call left to force",
            Self::AlreadyExited => "the worker has left already",
            Self::AlreadyLeaving => "the worker has drained for good and leaves by itself",
            Self::AlreadyObeyed => "the order was obeyed already",
            Self::AlreadyThere => "the worker is in that phase already",
            Self::NotDraining => "the worker does not drain: there is nothing to cancel",
            Self::NothingDeclined => "no call was declined since the last count",
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admission(refusal) => return refusal.fmt(f),
            Self::Forced => "the drain was forced: it can neither be extended nor cancelled",
            Self::Irrevocable => "the drain came with a signal: start a new worker instead of cancelling it",
            Self::Overtaken { by } => {
                return write!(f, "order {}.{} was obeyed, which is later", by.epoch, by.order);
            }
            Self::ReservationGone => "the reservation lapsed or was withdrawn: offer the call again",
        })
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Assigned => "the call was assigned: end it instead of withdrawing it",
            Self::BadTerms => "the terms hold something that is due before the drain's deadline",
            Self::NotDraining => "the worker does not drain: begin a drain first",
            Self::NotDrained => "the worker is not drained: begin a drain and wait for it",
            Self::NotAssigned => "the call is not assigned yet: assign it first, or withdraw it",
            Self::NotDue => "no deadline has been reached",
            Self::NotForced => "the drain was not forced: end the call with its own reason",
            Self::NotLater => {
                "the new deadline is not later than the one in force: for an earlier one, order the drain again with it"
            }
            Self::NoSuchCall => "no call has this number",
            Self::WrongPhase => "the worker cannot get there from its phase",
        })
    }
}

impl From<Repeat> for Rejection {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Refused::Admission(refusal))
    }
}

impl From<Misuse> for Rejection {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}
