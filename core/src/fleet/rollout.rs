//! Versions, and the way from one to the next.

use serde::{Deserialize, Serialize};

use super::command::Spec;
use crate::id::{Actor, Version};
use crate::time::Instant;

/// Where a version is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// Its workers may join; it gets no calls yet.
    Inactive,
    /// It gets a share of new calls, or is about to.
    Ramping,
    /// It gets all new calls, except for the share of the version that ramps.
    Current,
    /// It gets no new calls; those it has run to their end.
    Draining,
    /// None of its workers has a call left.
    Drained,
    /// Its workers were not ready in time; it never got a call.
    Failed,
}

impl VersionState {
    /// Whether workers of such a version may join.
    #[must_use]
    pub const fn admits(self) -> bool {
        match self {
            Self::Inactive | Self::Ramping | Self::Current => true,
            Self::Draining | Self::Drained | Self::Failed => false,
        }
    }

    /// The state as the field writes it: lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Ramping => "ramping",
            Self::Current => "current",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Failed => "failed",
        }
    }
}

/// What the fleet knows of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Where it is in its life.
    pub state: VersionState,
    /// Its share of new calls, per cent.
    pub weight: u8,
    /// How many workers the last rollout to it asked for.
    pub workers: u32,
    /// When it was last planned, drained or failed.
    pub since: Instant,
}

/// Where a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// To be done.
    Planned,
    /// New workers are asked for.
    Provisioning,
    /// New workers are there and must become ready.
    Verifying,
    /// New calls move to the new version.
    Shifting,
    /// New calls are with the new version; the old one drains, wave by wave.
    Draining,
    /// Done.
    Completed,
    /// New calls move back to the old version; then the new one drains.
    RollingBack,
    /// Taken back.
    RolledBack,
    /// Overtaken by a newer rollout.
    Superseded,
    /// The new workers were not ready in time.
    Failed,
}

impl Stage {
    /// Whether nothing follows.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Completed | Self::RolledBack | Self::Superseded | Self::Failed => true,
            Self::Planned
            | Self::Provisioning
            | Self::Verifying
            | Self::Shifting
            | Self::Draining
            | Self::RollingBack => false,
        }
    }

    /// The stage as the field writes it: lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Provisioning => "provisioning",
            Self::Verifying => "verifying",
            Self::Shifting => "shifting",
            Self::Draining => "draining",
            Self::Completed => "completed",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
        }
    }
}

/// A rollout, the one under way or the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Who asked for it.
    pub actor: Actor,
    /// What was asked for.
    pub spec: Spec,
    /// The version before; `None` for the first rollout ever.
    pub blue: Option<Version>,
    /// Where it is.
    pub stage: Stage,
    /// When the stage began, or when the rollout was resumed in it.
    pub since: Instant,
    /// How many workers the platform was last asked for; zero before it was.
    pub asked: u32,
}

impl Rollout {
    /// The new version.
    #[must_use]
    pub const fn green(&self) -> Version {
        self.spec.version
    }

    /// The version that new calls move to.
    #[must_use]
    pub fn target(&self) -> Option<Version> {
        if self.is_backward() { self.blue } else { Some(self.green()) }
    }

    /// The version that new calls move away from.
    #[must_use]
    pub fn leaving(&self) -> Option<Version> {
        if self.is_backward() { Some(self.green()) } else { self.blue }
    }

    fn is_backward(&self) -> bool {
        matches!(self.stage, Stage::RollingBack | Stage::RolledBack)
    }
}

/// Workers that drain together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// Of which version.
    pub version: Version,
    /// Which wave of the fleet's life, from 1 on.
    pub number: u32,
    /// How many of its workers are still to be told.
    pub left: u32,
}
