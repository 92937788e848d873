//! Why a pool cannot start.

use std::fmt::Display;
use std::io;

use openrtc_records::journal::JournalError;
use openrtc_records::trail::TrailError;

use crate::config::ConfigError;
#[cfg(feature = "http")]
use crate::http::PemError;
#[cfg(feature = "http")]
use crate::ops::OpsError;
use crate::secret::KeyError;

/// An error of [`AgentPool::serve`](crate::AgentPool::serve), returned in place of the exit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError<E: Display> {
    /// The call source failed. The worker has drained and left.
    #[error("{0}")]
    Source(E),
    /// The worker's control loop ended before the worker could leave. All its calls have ended; the journal does not
    /// say how.
    #[error(
        "the worker's control loop was lost: its calls have ended, and the journal does not say how (a panic in the \
         log tells why, or the runtime that it ran on was dropped)"
    )]
    Lost,
}

/// Why a pool cannot start. Each message names the cause and the fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is wrong. Nothing has been opened.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The signing key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate, a key or an authority for TLS cannot be read.
    #[cfg(feature = "http")]
    #[error("TLS: {0}")]
    Tls(#[from] PemError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The audit trail's file cannot be opened.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// The ops endpoints cannot listen.
    #[cfg(feature = "http")]
    #[error(transparent)]
    Ops(#[from] OpsError),
    /// The system gives too few descriptors for the capacity.
    #[error(
        "a capacity of {capacity} needs {needed} descriptors ({each} for each call, and some for the worker), but the \
         process may have {limit}{}raise the limit (LimitNOFILE= in a systemd unit, --ulimit nofile= for docker, \
         ulimit -Hn in a shell)",
        less(*suffices_for)
    )]
    Descriptors {
        /// The capacity that was asked for.
        capacity: u32,
        /// How many descriptors one call takes.
        each: u32,
        /// How many are needed.
        needed: u64,
        /// How many there can be.
        limit: u64,
        /// The capacity that they suffice for.
        suffices_for: u64,
    },
    /// Signal handlers cannot be installed.
    #[error("signal handlers cannot be installed: {0}")]
    Signals(io::Error),
    /// A thread could not be started.
    #[error("a thread of the runtime's own could not be started: {0}")]
    Thread(io::Error),
    /// The system has no random numbers to make this run's key for call ids from.
    #[error("the system gives no random numbers: {0}")]
    Random(io::Error),
    /// The pool was built outside a tokio runtime.
    #[error(
        "build the pool inside a tokio runtime (under #[tokio::main] or Runtime::enter), or use \
         openrtc_runtime::blocking"
    )]
    NoRuntime,
}

/// What to do about too few descriptors, beside raising their limit.
fn less(suffices_for: u64) -> String {
    match suffices_for {
        0 => ", which is too few for a single call: ".into(),
        calls => format!(": set OPENRTC_CAPACITY to {calls} or less, or "),
    }
}
