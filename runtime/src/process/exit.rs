//! How a worker's process ends: the same exit codes everywhere.

use std::fmt;
use std::process::ExitCode;

use openrtc_core::worker::Outcome;

/// How a worker ended. Converts into the process's [`ExitCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// It left, and its journal says so.
    Left(Outcome),
    /// Its control loop ended before it could leave, by a panic or with the runtime that it ran on. Nobody journaled
    /// what came after that, so how its calls ended is not on record.
    Lost,
}

impl Exit {
    /// Drained; no drain cut a call.
    pub const CLEAN: u8 = 0;
    /// Any failure that has no code of its own, such as a lost control loop.
    pub const FAILURE: u8 = 1;
    /// Bad usage or configuration.
    pub const USAGE: u8 = 2;
    /// A forced drain cut calls; the journal names them.
    pub const FORCED: u8 = 3;
    /// The fleet did not want the worker.
    pub const REJECTED: u8 = 4;

    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Left(Outcome::Clean) => Self::CLEAN,
            Self::Left(Outcome::Forced { .. }) => Self::FORCED,
            Self::Left(Outcome::Rejected) => Self::REJECTED,
            Self::Lost => Self::FAILURE,
        }
    }

    /// How it left; `None` if nobody knows.
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Left(outcome) => Some(outcome),
            Self::Lost => None,
        }
    }

    /// How many calls a forced drain cut, as far as it is known.
    #[must_use]
    pub const fn dropped(self) -> u64 {
        match self {
            Self::Left(Outcome::Forced { dropped }) => dropped,
            Self::Left(Outcome::Clean | Outcome::Rejected) | Self::Lost => 0,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(Outcome::Clean) => f.write_str("drained, 0 calls dropped"),
            Self::Left(Outcome::Forced { dropped }) => write!(f, "forced, {dropped} calls dropped"),
            Self::Left(Outcome::Rejected) => f.write_str("rejected by the fleet"),
            Self::Lost => f.write_str("its control loop was lost: how its calls ended is not on record"),
        }
    }
}
