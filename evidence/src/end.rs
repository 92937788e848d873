//! How runs and calls end.

use std::fmt;

use openrtc_core::worker::{EndReason, Outcome};
use serde::{Deserialize, Serialize};

/// What a run's exit entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Drained; no drain cut a call.
    Clean,
    /// A forced drain cut calls.
    Forced,
    /// The fleet did not want the worker.
    Rejected,
}

/// How a call ended, or why that is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum CallEnd {
    /// As its journal records.
    Recorded(EndReason),
    /// It was reserved and not assigned in time.
    Lapsed,
    /// It was open when its worker ended without a word: a kill or a crash took it.
    PlatformForced,
    /// It is up on a worker that the rollout retires.
    Open,
    /// It was up on a worker that takes over when the last retired one had drained.
    InProgress,
    /// The records do not tell.
    Unknown,
}

/// What a call's end means for a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is over, and no rollout and no platform ended it.
    Ended,
    /// The caller would have talked on.
    Dropped,
    /// It is up where the rollout waits for it.
    Open,
    /// It is up where the rollout does not mind.
    InProgress,
    /// It is not told.
    Unknown,
}

impl Meaning {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::Unknown as usize + 1;
}

impl From<Outcome> for RunEnd {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Clean => Self::Clean,
            Outcome::Forced { .. } => Self::Forced,
            Outcome::Rejected => Self::Rejected,
        }
    }
}

impl CallEnd {
    /// Every end.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [Self::Lapsed, Self::PlatformForced, Self::Open, Self::InProgress, Self::Unknown];
        EndReason::ALL.map(Self::Recorded).into_iter().chain(others)
    }

    /// What it means for a rollout.
    #[must_use]
    pub const fn meaning(self) -> Meaning {
        match self {
            Self::Recorded(EndReason::DrainForced) | Self::PlatformForced => Meaning::Dropped,
            Self::Recorded(
                EndReason::CallerHangup
                | EndReason::AgentHangup
                | EndReason::Withdrawn
                | EndReason::Failed
                | EndReason::Panicked
                | EndReason::Disconnected
                | EndReason::GuardDropped
                | EndReason::OperatorHangup
                | EndReason::ProgramFailed,
            )
            | Self::Lapsed => Meaning::Ended,
            Self::Open => Meaning::Open,
            Self::InProgress => Meaning::InProgress,
            Self::Unknown => Meaning::Unknown,
        }
    }

    /// Whether the caller would have talked on.
    #[must_use]
    pub fn is_drop(self) -> bool {
        self.meaning() == Meaning::Dropped
    }

    /// The end as certificates write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded(reason) => reason.as_str(),
            Self::Lapsed => "lapsed",
            Self::PlatformForced => "platform_forced",
            Self::Open => "open",
            Self::InProgress => "in_progress",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for CallEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<CallEnd> for &'static str {
    fn from(end: CallEnd) -> Self {
        end.as_str()
    }
}

impl TryFrom<String> for CallEnd {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::all().find(|end| end.as_str() == text).ok_or_else(|| format!("`{text}` is no end of a call"))
    }
}
