//! What a coordinator orders a worker to do, and the stamp of an order.

use serde::{Deserialize, Serialize};

use crate::id::{Actor, Epoch, Seq};
use crate::time::Span;
use crate::worker::OnDeadline;

/// The number of an order among all orders. A worker obeys only an order whose stamp is above the last one that it
/// obeyed. So an order of an earlier coordinator has no effect, and neither has one that a later order overtook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The term of the coordinator that gave the order.
    pub epoch: Epoch,
    /// The order's number in that term: the journal entry that gave it. Zero is the coordinator's yes to a worker that
    /// registers, which every order of the same term follows.
    pub order: Seq,
}

impl Stamp {
    /// Before every order.
    pub const NONE: Self = Self { epoch: Epoch::new(0), order: Seq::new(0) };
}

/// One order to one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where it stands among all orders.
    pub stamp: Stamp,
    /// Who wants it: the coordinator, or the person behind it.
    pub actor: Actor,
    /// What is wanted.
    pub wish: Wish,
}

/// What a coordinator wants of a worker. Each states a level: obeying it twice is obeying it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// The worker belongs to the fleet. This changes only the stamp, so that the worker obeys no coordinator of an
    /// earlier term.
    Join,
    /// Take calls.
    Serve,
    /// Take no more calls; let the calls in flight end.
    Drain {
        /// How long after the order arrives the drain is overdue; `None` waits for as long as calls last.
        within: Option<Span>,
        /// What happens then.
        on_deadline: OnDeadline,
    },
    /// Take the drain back.
    CancelDrain,
    /// End the calls that are left.
    ForceDrain,
    /// Leave, now that the drain is done.
    Leave,
    /// The fleet does not want the worker: leave, or drain for good and leave then.
    Reject,
}
