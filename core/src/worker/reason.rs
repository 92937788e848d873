//! The words for why: what asked for a drain, what happens at its deadline, what ended a call, how a worker ended.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// What asked for a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// `begin_drain()` or the ops endpoint.
    Api,
    /// SIGTERM or SIGINT. The platform will kill the process, so the drain is final.
    Signal,
    /// The fleet's coordinator.
    Coordinator,
    /// The fleet does not want the worker any more. The drain is final.
    Fence,
}

impl Cause {
    /// Whether a drain for this cause cannot be taken back, and ends in the worker's exit.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Signal | Self::Fence => true,
            Self::Api | Self::Coordinator => false,
        }
    }

    /// The cause as journals and metrics write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Signal => "signal",
            Self::Coordinator => "coordinator",
            Self::Fence => "fence",
        }
    }
}

/// What happens when a drain's deadline passes (`OnDrainTimeout` elsewhere). Never encoded in a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeadline {
    /// Nothing: wait for the calls.
    #[default]
    Wait,
    /// Raise an alert, then wait for the calls.
    Alert,
    /// End the calls that are left; count and name each.
    Force,
}

impl OnDeadline {
    /// Every policy, in stored order.
    pub const ALL: [Self; 3] = [Self::Wait, Self::Alert, Self::Force];

    /// The policy as configuration writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Alert => "alert",
            Self::Force => "force",
        }
    }
}

impl FromStr for OnDeadline {
    type Err = BadPolicy;

    fn from_str(text: &str) -> Result<Self, BadPolicy> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or(BadPolicy)
    }
}

/// A text that is no [`OnDeadline`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPolicy;

impl fmt::Display for BadPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [wait, alert, force] = OnDeadline::ALL.map(OnDeadline::as_str);
        write!(f, "use `{wait}`, `{alert}` or `{force}`")
    }
}

impl core::error::Error for BadPolicy {}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The caller hung up.
    CallerHangup,
    /// The handler ended it in good order.
    AgentHangup,
    /// A reservation was withdrawn before it was assigned: by the dispatcher, the caller or this worker.
    Withdrawn,
    /// The handler returned an error.
    Failed,
    /// The handler panicked.
    Panicked,
    /// The transport broke.
    Disconnected,
    /// A forced drain cut it.
    DrainForced,
    /// Its guard was dropped and nobody said why.
    GuardDropped,
    /// A person ended it.
    OperatorHangup,
    /// The program that held it failed.
    ProgramFailed,
}

impl EndReason {
    /// Every reason, in stored order.
    pub const ALL: [Self; 10] = [
        Self::CallerHangup,
        Self::AgentHangup,
        Self::Withdrawn,
        Self::Failed,
        Self::Panicked,
        Self::Disconnected,
        Self::DrainForced,
        Self::GuardDropped,
        Self::OperatorHangup,
        Self::ProgramFailed,
    ];

    /// The reason as journals and metrics write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallerHangup => "caller_hangup",
            Self::AgentHangup => "agent_hangup",
            Self::Withdrawn => "withdrawn",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Disconnected => "disconnected",
            Self::DrainForced => "drain_forced",
            Self::GuardDropped => "guard_dropped",
            Self::OperatorHangup => "operator_hangup",
            Self::ProgramFailed => "program_failed",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a call was declined before it was promised. The first three are retryable elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decline {
    /// The worker does not take calls yet.
    NotServing,
    /// The worker is full.
    Full,
    /// The worker drains or has left.
    Draining,
    /// The offer is not valid: its call has no usable id, or reading the offer failed.
    Invalid,
    /// The worker has a call with this id already.
    Duplicate,
}

impl Decline {
    /// Every reason, in stored order.
    pub const ALL: [Self; 5] = [Self::NotServing, Self::Full, Self::Draining, Self::Invalid, Self::Duplicate];

    /// The reason as journals and metrics write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotServing => "not_serving",
            Self::Full => "full",
            Self::Draining => "draining",
            Self::Invalid => "invalid",
            Self::Duplicate => "duplicate",
        }
    }
}

/// How a worker's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Drained; no drain cut a call.
    Clean,
    /// A forced drain cut calls.
    Forced {
        /// How many; each is named in the journal.
        dropped: u64,
    },
    /// The fleet did not want the worker.
    Rejected,
}
