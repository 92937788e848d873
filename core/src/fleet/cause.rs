//! Which command can have led to an event.

use super::{Command, Departure, Event, Fleet, Order, PauseReason};
use crate::id::Actor;

impl Fleet {
    /// The one command that can have led to an event in this state. What it was judged on beyond that, the event says.
    pub(super) fn cause_of(&self, event: &Event) -> Command {
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
            | Event::VerifyingBegan { .. }
            | Event::VerifyFailed { .. }
            | Event::ShiftingBegan { .. }
            | Event::Shifted { .. }
            | Event::CapacityBlocked { .. }
            | Event::WaveStarted { .. }
            | Event::VersionDrained { .. }
            | Event::Completed
            | Event::RolledBack
            | Event::Paused { reason: PauseReason::DrainWithdrawn, .. }
            | Event::WorkerLost { .. }
            | Event::WorkerDrained { .. }
            | Event::WorkerGone { departure: Departure::Exited { .. }, .. }
            | Event::DrainOrdered { .. }
            | Event::CancelOrdered { .. }
            | Event::ServeOrdered { .. }
            | Event::StopOrdered { .. }
            | Event::Acked { .. }
            | Event::CancelRefused { .. }
            | Event::DrainUndone { .. }
            | Event::DrainWithdrawn { .. }
            | Event::DrainOverdue { .. }
            | Event::WatchBegan
            | Event::WorkerSilent { .. }
            | Event::Reissued { .. } => Command::Wake,
        }
    }
}
