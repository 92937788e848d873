//! What people ask for, and how far it is, in words.

use core::fmt::{Display, Formatter, Result};

use super::super::{Fleet, Gate, Request, Spec, Stage};
use super::write_gates;

impl Display for Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Cordon { worker } => write!(f, "cordon {worker}"),
            Self::Drain { worker, terms } => write!(f, "drain {worker}, {terms}"),
            Self::Fence { worker } => write!(f, "fence {worker}"),
            Self::Force { worker } => write!(f, "force {worker}"),
            Self::Pause => f.write_str("pause the rollout"),
            Self::Promote => f.write_str("promote the rollout"),
            Self::RollOut(Spec { version, .. }) => write!(f, "roll out {version}"),
            Self::Resume => f.write_str("resume the rollout"),
            Self::Rollback => f.write_str("undo the rollout"),
            Self::Scale { workers } => write!(f, "scale to {workers}"),
            Self::SetGates { asked, on_failure } => write_gates(f, *asked, *on_failure),
            Self::Uncordon { worker } => write!(f, "uncordon {worker}"),
        }
    }
}

impl Display for Stage {
    /// The stage for people. [`Stage::as_str`] is for programs.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::RollingBack => "rolling back",
            Self::RolledBack => "rolled back",
            Self::Planned
            | Self::Provisioning
            | Self::Verifying
            | Self::Shifting
            | Self::Draining
            | Self::Completed
            | Self::Superseded
            | Self::Failed => self.as_str(),
        })
    }
}

impl Fleet {
    /// What the rollout does just now: its stage, unless it does nothing until a person says so.
    #[must_use]
    pub fn doing(&self) -> Option<impl Display> {
        let stage = self.rollout?.stage;
        Some(Doing {
            stage,
            paused: self.paused.is_some() && !stage.is_over(),
            asks: self.gates_awaited().has(Gate::Person),
        })
    }
}

struct Doing {
    stage: Stage,
    paused: bool,
    asks: bool,
}

impl Display for Doing {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self { paused: true, .. } => f.write_str("paused"),
            Self { asks: true, .. } => f.write_str("waits for promote"),
            Self { stage, .. } => stage.fmt(f),
        }
    }
}
