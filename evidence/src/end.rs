//! How runs and calls end.

use std::fmt;

use openrtc_core::worker::{EndReason, Outcome};
use serde::{Deserialize, Serialize};

/// How a run of a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Drained; no drain cut a call.
    Clean,
    /// A forced drain cut calls.
    Forced,
    /// The fleet did not want the worker.
    Rejected,
    /// Without a word: it was killed, it crashed, or its node was lost.
    Unclosed,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum CallEnd {
    /// As its journal records.
    Recorded(EndReason),
    /// It was reserved and not assigned in time.
    Lapsed,
    /// It was open when its worker ended without a word: a kill or a crash took it.
    PlatformForced,
}

impl RunEnd {
    /// How the calls ended that were open when a run did.
    pub(crate) const fn end_of_open_calls(self) -> CallEnd {
        match self {
            Self::Clean | Self::Forced | Self::Rejected => CallEnd::Recorded(EndReason::DrainForced),
            // The unclosed journal is the evidence: what was open in it went with the process.
            Self::Unclosed => CallEnd::PlatformForced,
        }
    }
}

impl From<Option<Outcome>> for RunEnd {
    fn from(outcome: Option<Outcome>) -> Self {
        match outcome {
            Some(Outcome::Clean) => Self::Clean,
            Some(Outcome::Forced { .. }) => Self::Forced,
            Some(Outcome::Rejected) => Self::Rejected,
            None => Self::Unclosed,
        }
    }
}

impl CallEnd {
    /// Whether the caller would have talked on.
    #[must_use]
    pub const fn is_drop(self) -> bool {
        match self {
            Self::Recorded(EndReason::DrainForced) | Self::PlatformForced => true,
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
            | Self::Lapsed => false,
        }
    }

    /// The end as certificates write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded(reason) => reason.as_str(),
            Self::Lapsed => "lapsed",
            Self::PlatformForced => "platform_forced",
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
        let ends = EndReason::ALL.map(Self::Recorded).into_iter().chain([Self::Lapsed, Self::PlatformForced]);
        ends.into_iter().find(|end| end.as_str() == text).ok_or_else(|| format!("`{text}` is no end of a call"))
    }
}
