//! What a command came to.

use openrtc_core::id::Seq;
use openrtc_core::worker::{BadDeadline, DeadlineMissing, Misuse, Refused, Rejection, Repeat};

/// The result of a command that succeeded. A command for what is true already succeeds, and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The command has taken effect.
    Now,
    /// It was true already; nothing changed.
    Already(Repeat),
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The answer is no; nobody is at fault.
    #[error("{0}")]
    Refused(Refused),
    /// The command makes no sense here; the caller is at fault.
    #[error("{0}")]
    Misuse(Misuse),
    /// A drain was asked for whose policy needs a deadline.
    #[error(transparent)]
    DeadlineMissing(DeadlineMissing),
    /// A drain was asked for with a deadline that must be a mistake: now, or more than a year away.
    #[error(transparent)]
    BadDeadline(BadDeadline),
    /// A worker that leaves by itself once it has drained cannot be cordoned.
    #[error(
        "this worker leaves once it has drained, so a cordon could not be taken back: start it with \
         OPENRTC_LEAVE=parked, or drain it"
    )]
    NotParked,
    /// A cordon was asked for while a drain runs that ends by itself.
    #[error("the worker drains for good or by a deadline: take that drain back first, if it can be")]
    DrainsForGood,
}

impl Done {
    pub(crate) fn of(submitted: Result<Seq, Rejection>) -> Result<Self, CommandError> {
        match submitted {
            Ok(_) => Ok(Self::Now),
            Err(Rejection::Repeat(repeat)) => Ok(Self::Already(repeat)),
            Err(Rejection::Refused(refused)) => Err(CommandError::Refused(refused)),
            Err(Rejection::Misuse(misuse)) => Err(CommandError::Misuse(misuse)),
        }
    }
}
