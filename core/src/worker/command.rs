//! What the world asks of a worker or reports to it.

use serde::{Deserialize, Serialize};

use super::event::{Cause, Decline, EndReason, OnDeadline};
use crate::id::{Actor, CallId, CallNo};
use crate::time::Instant;

/// The kind of call, which decides how long it may stay silent: an index into [`Limits::stall_after`].
///
/// [`Limits::stall_after`]: super::Limits::stall_after
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Class(pub u8);

/// How a drain is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOrder {
    /// What asked for it. One for a [final](Cause::is_final) cause cannot be taken back.
    pub cause: Cause,
    /// Who asked for it.
    pub actor: Actor,
    /// When the drain is overdue; `None` waits for as long as calls last.
    pub deadline: Option<Instant>,
    /// What happens then.
    pub on_deadline: OnDeadline,
}

/// A command to the worker machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take a call that is there now.
    Admit {
        /// What the dispatcher calls it.
        id: CallId,
        /// Its kind.
        class: Class,
    },
    /// The dispatcher gave us a call we reserved.
    Assign {
        /// The reservation.
        call: CallNo,
    },
    /// Stop taking calls; let those in flight end.
    BeginDrain(DrainOrder),
    /// Take calls again.
    CancelDrain {
        /// Who asked.
        actor: Actor,
    },
    /// Everything is flushed: leave. Accepted once drained.
    Close,
    /// Put calls declined since the last count into the journal.
    CountDeclines {
        /// Why they were declined.
        reason: Decline,
        /// How many.
        count: u64,
    },
    /// A call is over.
    End {
        /// Which.
        call: CallNo,
        /// Why.
        reason: EndReason,
    },
    /// Give the drain more time.
    ExtendDrain {
        /// Who asked.
        actor: Actor,
        /// The new deadline.
        deadline: Instant,
    },
    /// End every call that is left, now.
    ForceDrain {
        /// Who asked.
        actor: Actor,
    },
    /// A call moved: media flowed, a turn was taken.
    Progress {
        /// Which.
        call: CallNo,
    },
    /// The fleet does not want this worker.
    Reject,
    /// Say yes to an offer: the call counts from here.
    Reserve {
        /// What the dispatcher calls it.
        id: CallId,
        /// Its kind.
        class: Class,
    },
    /// Start taking calls.
    Serve,
    /// Be ready, but wait to be promoted.
    StandBy,
    /// A deadline was reached.
    Wake,
}
