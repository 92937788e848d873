//! What an event rests on: whether it is a decision, and the observations that it was judged on.

use super::command::{Facts, Run};
use super::event::Event;
use super::room::Room;

/// The observations that a decision was judged on. Counts of workers and calls are in the events themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// What a worker reported.
    pub report: Option<(Run, Facts)>,
    /// The room there was.
    pub room: Option<Room>,
}

impl Event {
    /// Whether this is an observation: it is never stored, takes no number, and is forgotten in a restart. Everything
    /// else is a decision.
    #[must_use]
    #[inline]
    pub const fn is_observation(&self) -> bool {
        self.grounds().is_none()
    }

    /// What a decision was judged on; `None` of an observation.
    #[must_use]
    #[inline]
    pub const fn grounds(&self) -> Option<Grounds> {
        Some(match *self {
            Self::WatchBegan | Self::WorkerReported(_) | Self::WorkerSilent { .. } | Self::Reissued { .. } => {
                return None;
            }
            Self::DrainOrdered { run, facts, room, .. } | Self::ScaleInOrdered { run, facts, room, .. } => {
                Grounds { report: Some((run, facts)), room: Some(room) }
            }
            Self::Shifted { room, .. } | Self::CapacityBlocked { room, .. } | Self::WaveStarted { room, .. } => {
                Grounds { report: None, room: Some(room) }
            }
            Self::WorkerDrained { run, facts }
            | Self::ServeOrdered { run, facts }
            | Self::StopOrdered { run, facts }
            | Self::ForceOrdered { run, facts, .. }
            | Self::Acked { run, facts, .. }
            | Self::CancelRefused { run, facts }
            | Self::DrainUndone { run, facts } => Grounds { report: Some((run, facts)), room: None },
            Self::TookOver { .. }
            | Self::FencedOff(_)
            | Self::DemandStated { .. }
            | Self::Planned { .. }
            | Self::Superseded { .. }
            | Self::ProvisionOrdered { .. }
            | Self::VerifyingBegan { .. }
            | Self::VerifyFailed { .. }
            | Self::ShiftingBegan { .. }
            | Self::VersionDrained { .. }
            | Self::Completed
            | Self::RollbackStarted { .. }
            | Self::RolledBack
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::WorkerRegistered { .. }
            | Self::WorkerRejected { .. }
            | Self::WorkerLost { .. }
            | Self::WorkerFenced { .. }
            | Self::Scaled { .. }
            | Self::GatesSet { .. }
            | Self::GatePassed { .. }
            | Self::GateFailed { .. }
            | Self::Promoted { .. }
            | Self::WorkerCordoned { .. }
            | Self::WorkerUncordoned { .. }
            | Self::WorkerDismissed { .. }
            | Self::WorkerGone { .. }
            | Self::WorkerWrittenOff { .. }
            | Self::CancelOrdered { .. }
            | Self::DrainWithdrawn { .. }
            | Self::DrainOverdue { .. } => Grounds { report: None, room: None },
        })
    }
}
