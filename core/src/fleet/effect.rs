//! What a coordinator's shell must now do.

use super::command::{Run, Stamp};
use super::event::RejectReason;
use super::gate::{Gate, GatedStep};
use super::member::DrainTerms;
use crate::id::{Epoch, Version};

/// What a person on call should hear about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alert {
    /// A step waits for capacity.
    CapacityBlocked,
    /// A worker has not drained in the time given.
    DrainOverdue(Run),
    /// A drain was withdrawn because no sign came back that it had arrived.
    DrainWithdrawn(Run),
    /// A later coordinator is in office.
    FencedOff,
    /// A gate failed.
    GateFailed(Gate),
    /// The new workers were not ready in time.
    VerifyFailed,
    /// A worker went without saying that its calls had ended, or its lease expired.
    WorkerLost(Run),
}

/// What the shell must now do. Orders to workers and to the platform may arrive twice or late; the stamp says which
/// is the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Tell a person.
    Alert(Alert),
    /// Tell a worker to take calls again.
    CancelDrain {
        /// The worker's run.
        run: Run,
        /// The order's stamp.
        stamp: Stamp,
    },
    /// Tell a worker to end the calls it has left.
    ForceDrain {
        /// The worker's run.
        run: Run,
        /// The order's stamp.
        stamp: Stamp,
    },
    /// Have a gate judged: the result comes as a [`Command::Judge`](super::Command::Judge), a person's as a
    /// [`Request::Promote`](super::Request::Promote).
    Judge {
        /// Which gate.
        gate: Gate,
        /// What is to be judged.
        step: GatedStep,
        /// The coordinator's term.
        epoch: Epoch,
    },
    /// Tell a worker to take no more calls and let those it has end.
    OrderDrain {
        /// The worker's run.
        run: Run,
        /// The order's stamp.
        stamp: Stamp,
        /// How long that may take and what happens then.
        terms: DrainTerms,
    },
    /// Tell a worker that stands by to take calls.
    Promote {
        /// The worker's run.
        run: Run,
        /// The order's stamp.
        stamp: Stamp,
    },
    /// See to it that this many workers of a version run that do not leave.
    Provision {
        /// Which version.
        version: Version,
        /// How many.
        workers: u32,
        /// The coordinator's term.
        epoch: Epoch,
    },
    /// Tell a worker that it is not wanted.
    Reject {
        /// The worker's run.
        run: Run,
        /// The order's stamp.
        stamp: Stamp,
        /// Why it is turned away.
        reason: RejectReason,
    },
    /// Tell the dispatchers which share of new calls a version gets. They ignore a term before the latest they know.
    Route {
        /// Which version.
        version: Version,
        /// Its share, per cent.
        weight: u8,
        /// The coordinator's term.
        epoch: Epoch,
    },
    /// Tell the platform to end a worker's process. Only ever for a drained worker or one a person gave up.
    StopWorker {
        /// The worker's run.
        run: Run,
        /// The order's stamp.
        stamp: Stamp,
    },
}

impl Effect {
    /// The term it was ordered in, if it is an order.
    #[must_use]
    pub const fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Alert(_) => None,
            Self::CancelDrain { stamp, .. }
            | Self::ForceDrain { stamp, .. }
            | Self::OrderDrain { stamp, .. }
            | Self::Promote { stamp, .. }
            | Self::Reject { stamp, .. }
            | Self::StopWorker { stamp, .. } => Some(stamp.epoch),
            Self::Judge { epoch, .. } | Self::Provision { epoch, .. } | Self::Route { epoch, .. } => Some(*epoch),
        }
    }
}
