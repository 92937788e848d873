//! The order that an effect of a coordinator sends to a worker.

use super::{Effect, Run};
use crate::id::Actor;
use crate::order::{Order, Stamp, Wish};

impl Effect {
    /// The order that this effect sends to a worker, on behalf of `actor`; `None` for what goes to the platform, the
    /// dispatchers or a person.
    #[must_use]
    pub fn order(&self, actor: Actor) -> Option<(Run, Order)> {
        let to = |run: Run, stamp: Stamp, wish| Some((run, Order { stamp, actor, wish }));
        match *self {
            Self::CancelDrain { run, stamp } => to(run, stamp, Wish::CancelDrain),
            Self::ForceDrain { run, stamp } => to(run, stamp, Wish::ForceDrain),
            Self::OrderDrain { run, stamp, terms } => {
                to(run, stamp, Wish::Drain { within: terms.within, on_deadline: terms.on_deadline })
            }
            Self::Promote { run, stamp } => to(run, stamp, Wish::Serve),
            Self::Reject { run, stamp, .. } => to(run, stamp, Wish::Reject),
            Self::Alert(_)
            | Self::Judge { .. }
            | Self::Provision { .. }
            | Self::Route { .. }
            | Self::StopWorker { .. } => None,
        }
    }
}
