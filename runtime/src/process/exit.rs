//! How a worker's process ends: the same exit codes everywhere.

use std::fmt;
use std::process::ExitCode;

use openrtc_core::worker::Outcome;

/// How a worker ended. Converts into the process's [`ExitCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub Outcome);

impl Exit {
    /// Drained; no drain cut a call.
    pub const CLEAN: u8 = 0;
    /// Any failure that has no code of its own.
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
        match self.0 {
            Outcome::Clean => Self::CLEAN,
            Outcome::Forced { .. } => Self::FORCED,
            Outcome::Rejected => Self::REJECTED,
        }
    }

    /// How many calls a forced drain cut.
    #[must_use]
    pub const fn dropped(self) -> u64 {
        match self.0 {
            Outcome::Forced { dropped } => dropped,
            Outcome::Clean | Outcome::Rejected => 0,
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
        match self.0 {
            Outcome::Clean => f.write_str("drained, 0 calls dropped"),
            Outcome::Forced { dropped } => write!(f, "forced, {dropped} calls dropped"),
            Outcome::Rejected => f.write_str("rejected by the fleet"),
        }
    }
}
