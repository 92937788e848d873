//! What the shell must do because of a worker's entry.

use serde::{Deserialize, Serialize};

use super::reason::Outcome;
use crate::id::CallNo;
use crate::time::Instant;

/// What dispatchers may be told. Full is not draining: a full worker will take calls again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// Send calls.
    Open,
    /// Send calls when some have ended.
    Full,
    /// Send no calls.
    Closed,
}

/// What a person on call should hear about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alert {
    /// The drain is past its deadline.
    Overdue,
    /// A call has not moved for its class's limit.
    Stalled(CallNo),
}

/// What the shell must now do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Tell a person.
    Alert(Alert),
    /// Tell the dispatchers.
    Announce(Availability),
    /// Tell every call that is left to end; calls that are still there at `until` are dropped.
    CancelCalls {
        /// The end of the grace.
        until: Instant,
    },
    /// Leave the process with this outcome.
    Exit(Outcome),
    /// Tell the holder of this reservation that it has lapsed.
    Lapse(CallNo),
    /// Tell the supervisor that the process is going and will not come back.
    Stop,
}
