//! Whether an entry can follow a state: the check a journal from outside must pass before it is folded.

use core::fmt;

use super::{Command, Departure, Entry, Event, Fleet, Order, PauseReason, Rejection};
use crate::id::{Actor, Seq};
use crate::time::{Instant, Span};

/// Why an entry cannot follow the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It happened before the entry before it.
    Backwards {
        /// When the entry before it became true.
        last: Instant,
    },
    /// The command that could have led to it leads to another event here.
    Other,
    /// The command that could have led to it is turned away here.
    Rejected(Rejection),
    /// It is not the next in sequence.
    Sequence {
        /// The number that should have come.
        expected: Seq,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backwards { last } => write!(f, "it lies before the entry before it ({} µs)", last.as_micros()),
            Self::Other => f.write_str("something else would have happened here"),
            Self::Rejected(rejection) => write!(f, "it could not have happened here: {rejection}"),
            Self::Sequence { expected } => write!(f, "entry #{expected} should have come here"),
        }
    }
}

impl core::error::Error for Misfit {}

impl Fleet {
    /// Whether `entry` can follow this state: whether the machine itself would have emitted it. Every entry that
    /// [`decide`] emits can.
    ///
    /// [`decide`]: crate::machine::Machine::decide
    pub fn fits(&self, entry: &Entry) -> Result<(), Misfit> {
        let expected = Seq::new(self.seq.get() + 1);
        if entry.seq != expected {
            return Err(Misfit::Sequence { expected });
        }
        if entry.at < self.now || (entry.behind > Span::ZERO && entry.at != self.now) {
            return Err(Misfit::Backwards { last: self.now });
        }
        let event = self.judge(entry.at, self.command_behind(&entry.event)).map_err(Misfit::Rejected)?;
        if event == entry.event { Ok(()) } else { Err(Misfit::Other) }
    }

    /// The one command that can have led to an event in this state.
    fn command_behind(&self, event: &Event) -> Command {
        let order = |actor: Actor, order| Command::Order { epoch: self.epoch, actor, order };
        match *event {
            Event::TookOver { epoch, actor } => Command::TakeOver { epoch, actor },
            Event::DemandStated { calls } => Command::Demand { calls },
            Event::Planned { .. } if self.queued.is_some() => Command::Wake,
            Event::Planned { actor, plan } | Event::Superseded { actor, plan } => order(actor, Order::Plan(plan)),
            Event::RollbackStarted { actor } => order(actor, Order::Rollback),
            Event::Paused { actor, reason: PauseReason::Asked } => order(actor, Order::Pause),
            Event::Resumed { actor } => order(actor, Order::Resume),
            Event::WorkerRegistered { run, version, .. } | Event::WorkerRejected { run, version, .. } => {
                Command::Register { run, version }
            }
            Event::FencedOff(report) | Event::WorkerReported(report) => Command::Report(report),
            Event::WorkerFenced { run, actor } => order(actor, Order::Fence { worker: run.worker }),
            Event::WorkerWrittenOff { run, actor, .. } | Event::ForceOrdered { run, actor, .. } => {
                order(actor, Order::Force { worker: run.worker })
            }
            Event::WorkerGone { run, departure: Departure::Stopped | Departure::Vanished { .. } } => {
                Command::Gone { run }
            }
            Event::ProvisionOrdered { .. }
            | Event::VerifyingBegan
            | Event::VerifyFailed { .. }
            | Event::ShiftingBegan
            | Event::Shifted { .. }
            | Event::CapacityBlocked { .. }
            | Event::WaveStarted { .. }
            | Event::VersionDrained { .. }
            | Event::Completed
            | Event::RolledBack
            | Event::Paused { reason: PauseReason::DrainWithdrawn, .. }
            | Event::WorkerSilent { .. }
            | Event::WorkerLost { .. }
            | Event::WorkerDrained { .. }
            | Event::WorkerGone { departure: Departure::Exited { .. }, .. }
            | Event::Ordered { .. }
            | Event::Acked { .. }
            | Event::CancelRefused { .. }
            | Event::Reissued { .. }
            | Event::DrainWithdrawn { .. }
            | Event::DrainOverdue { .. } => Command::Wake,
        }
    }
}
