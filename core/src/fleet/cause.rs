//! Which command can have led to an event.

use super::{Command, Departure, Event, Fleet, PauseReason, Request};
use crate::id::Actor;

impl Fleet {
    /// The one command that can have led to an event in this state. What it was judged on beyond that, the event says.
    pub(super) fn cause_of(&self, event: &Event) -> Command {
        let request = |actor: Actor, request| Command::Request { epoch: self.epoch, actor, request };
        match *event {
            Event::TookOver { epoch, actor } => Command::TakeOver { epoch, actor },
            Event::DemandStated { calls } => Command::Demand { calls },
            Event::Planned { .. } if self.queued.is_some() => Command::Wake,
            Event::Planned { actor, spec } | Event::Superseded { actor, spec } => {
                request(actor, Request::RollOut(spec))
            }
            Event::RollbackStarted { actor } => request(actor, Request::Rollback),
            Event::Paused { actor, reason: PauseReason::Asked } => request(actor, Request::Pause),
            Event::GatesSet { actor, asked, on_failure } => request(actor, Request::SetGates { asked, on_failure }),
            Event::GatePassed { gate, step } => Command::Judge { gate, step, passed: true },
            Event::GateFailed { gate, step } => Command::Judge { gate, step, passed: false },
            Event::Promoted { actor, .. } => request(actor, Request::Promote),
            Event::Scaled { actor, workers, .. } => request(actor, Request::Scale { workers }),
            Event::Resumed { actor } => request(actor, Request::Resume),
            Event::WorkerRegistered { run, version, .. } | Event::WorkerRejected { run, version, .. } => {
                Command::Register { run, version }
            }
            Event::FencedOff(report) | Event::WorkerReported(report) => Command::Report(report),
            Event::WorkerFenced { run, actor } => request(actor, Request::Fence { worker: run.worker }),
            Event::WorkerCordoned { run, actor } => request(actor, Request::Cordon { worker: run.worker }),
            Event::WorkerUncordoned { run, actor } => request(actor, Request::Uncordon { worker: run.worker }),
            Event::WorkerDismissed { run, actor, terms } => {
                request(actor, Request::Drain { worker: run.worker, terms })
            }
            Event::WorkerWrittenOff { run, actor, .. } | Event::ForceOrdered { run, actor, .. } => {
                request(actor, Request::Force { worker: run.worker })
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
            | Event::Paused { reason: PauseReason::DrainWithdrawn | PauseReason::GateFailed, .. }
            | Event::WorkerLost { .. }
            | Event::WorkerDrained { .. }
            | Event::WorkerGone { departure: Departure::Exited { .. }, .. }
            | Event::DrainOrdered { .. }
            | Event::ScaleInOrdered { .. }
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
