//! What the world asks of a worker or reports to it.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::event::Origin;
use super::reason::{Cause, Decline, EndReason};
use super::terms::Terms;
use super::{CLASSES, Why};
use crate::id::{Actor, CallNo, Digest, Incarnation};
use crate::order::Order;
use crate::time::Instant;

/// The kind of call, which decides how long it may stay silent: an index into [`Limits::stall_after`].
///
/// [`Limits::stall_after`]: super::Limits::stall_after
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Class(u8);

impl Class {
    /// The class with this index; `None` unless it is below [`CLASSES`].
    #[must_use]
    pub const fn new(index: u8) -> Option<Self> {
        if (index as usize) < CLASSES { Some(Self(index)) } else { None }
    }

    /// The class's index.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }
}

impl Command {
    /// The call that the command speaks of.
    #[must_use]
    pub const fn call(&self) -> Option<CallNo> {
        match *self {
            Self::Assign { call }
            | Self::End { call, .. }
            | Self::Expire(Why::Lapse(call) | Why::Stall(call))
            | Self::HandOver { call, .. }
            | Self::Progress { call }
            | Self::Withdraw { call, .. } => Some(call),
            Self::Admit { .. }
            | Self::BeginDrain(_)
            | Self::CancelDrain { .. }
            | Self::CountDeclines { .. }
            | Self::Expire(Why::Empty | Why::GraceOver | Why::Force | Why::Overdue | Why::Leave)
            | Self::ExtendDrain { .. }
            | Self::ForceDrain { .. }
            | Self::Leave
            | Self::Obey(_)
            | Self::Reject
            | Self::Reserve { .. }
            | Self::Serve
            | Self::StandBy
            | Self::TakeOver { .. }
            | Self::Wake => None,
        }
    }
}

/// A call class that is not below [`CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchClass {
    /// The index given.
    pub index: u8,
}

impl fmt::Display for NoSuchClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no call class {}: use 0 to {}", self.index, CLASSES - 1)
    }
}

impl core::error::Error for NoSuchClass {}

impl TryFrom<u8> for Class {
    type Error = NoSuchClass;

    fn try_from(index: u8) -> Result<Self, NoSuchClass> {
        Self::new(index).ok_or(NoSuchClass { index })
    }
}

impl From<Class> for u8 {
    fn from(class: Class) -> Self {
        class.0
    }
}

/// How a drain is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOrder {
    /// What asked for it. If the cause is [final](Cause::is_final), the drain cannot be cancelled.
    pub cause: Cause,
    /// Who asked for it.
    pub actor: Actor,
    /// When it is overdue and what happens then.
    pub terms: Terms,
}

/// A command to the worker machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take a call that is there now.
    Admit {
        /// The call's id, digested.
        id: Digest,
        /// Its kind.
        class: Class,
    },
    /// A call that this worker has reserved is assigned to it.
    Assign {
        /// The reservation.
        call: CallNo,
    },
    /// Stop taking calls; let those in flight end.
    BeginDrain(DrainOrder),
    /// Take calls again.
    CancelDrain {
        /// Who asks.
        actor: Actor,
    },
    /// Put calls declined since the last count into the journal.
    CountDeclines {
        /// Why they were declined.
        reason: Decline,
        /// How many there were.
        count: u64,
    },
    /// An assigned call has ended.
    End {
        /// The call.
        call: CallNo,
        /// What ended it.
        reason: EndReason,
    },
    /// One time-out was reached: act on it. [`Command::Wake`] picks the most urgent.
    Expire(Why),
    /// Give the drain more time.
    ExtendDrain {
        /// Who asks.
        actor: Actor,
        /// The new deadline.
        deadline: Instant,
    },
    /// End every call that is left, now.
    ForceDrain {
        /// Who asks.
        actor: Actor,
    },
    /// An assigned call goes on in another run.
    HandOver {
        /// The call.
        call: CallNo,
        /// The run that it goes on in.
        to: Incarnation,
    },
    /// Leave. Accepted once drained: the drain can no longer be taken back, and the worker leaves by itself as soon as
    /// its lame-duck time is over.
    Leave,
    /// Do what a coordinator wants.
    Obey(Order),
    /// A call moved: media flowed, a turn was taken.
    Progress {
        /// The call.
        call: CallNo,
    },
    /// Reject the worker: the fleet does not want it.
    Reject,
    /// Say yes to an offer: the call counts from here.
    Reserve {
        /// The call's id, digested.
        id: Digest,
        /// Its kind.
        class: Class,
    },
    /// Start taking calls.
    Serve,
    /// Be ready, but wait to be promoted.
    StandBy,
    /// Begin with a call of an earlier run that is still alive.
    TakeOver {
        /// The call's id, digested.
        id: Digest,
        /// Its kind.
        class: Class,
        /// Where it comes from.
        origin: Origin,
    },
    /// A deadline was reached.
    Wake,
    /// A reservation is taken back before it was assigned.
    Withdraw {
        /// The reservation.
        call: CallNo,
        /// What ended it.
        reason: EndReason,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gate files a command under its call: one that it took for a command to the worker would wait for nobody.
    #[test]
    fn a_command_speaks_of_a_call_if_it_names_one() {
        let call = CallNo::new(7);
        let (reason, to) = (EndReason::CallerHangup, Incarnation::new(2));
        for command in [
            Command::Assign { call },
            Command::End { call, reason },
            Command::Expire(Why::Lapse(call)),
            Command::Expire(Why::Stall(call)),
            Command::HandOver { call, to },
            Command::Progress { call },
            Command::Withdraw { call, reason },
        ] {
            assert_eq!(command.call(), Some(call), "{command:?}");
        }
        let (id, class) = (Digest::new(7), Class::default());
        for command in [
            Command::Admit { id, class },
            Command::Reserve { id, class },
            Command::Expire(Why::Overdue),
            Command::Leave,
            Command::Wake,
        ] {
            assert_eq!(command.call(), None, "{command:?}");
        }
    }

    #[test]
    fn there_are_as_many_classes_as_limits() {
        let last = u8::try_from(CLASSES - 1).unwrap();
        assert_eq!(Class::new(last).map(Class::index), Some(last));
        assert_eq!(Class::try_from(last + 1), Err(NoSuchClass { index: last + 1 }));
    }
}
