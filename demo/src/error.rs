//! Why a demo cannot go on.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use openrtc_evidence::IssueError;
use openrtc_evidence::journal::JournalError;
use openrtc_runtime::KeyError;
use rustix::io::Errno;

use crate::load::CallsError;

/// Why a demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The call records cannot be replayed.
    #[error("the call records {}", path.display())]
    Calls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CallsError,
    },
    /// The callers have nowhere to listen.
    #[error("a port for the callers")]
    Callers(#[source] io::Error),
    /// The certificate cannot be written.
    #[error(transparent)]
    Certificate(#[from] IssueError),
    /// The directory to keep everything in cannot be made.
    #[error("the directory {} cannot be made: name one that does not exist yet", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A worker's journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The key pair cannot be written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The callers' ledger cannot be written.
    #[error("the callers' ledger {}", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The LiveKit server cannot be used.
    #[error("{0}")]
    Livekit(String),
    /// The registrar has nowhere to listen.
    #[error("a port for the registrar")]
    Registrar(#[source] io::Error),
    /// A worker did not do its part.
    #[error("worker {name} {fault}")]
    Worker {
        /// Its name.
        name: String,
        /// What it did, or did not do.
        fault: WorkerFault,
    },
}

impl DemoError {
    /// Whether the fault is in what the demo was given, so that nothing was started.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Calls { .. } | Self::Directory { .. } | Self::Livekit(_))
    }
}

/// What a worker did, or did not do.
#[derive(Debug, thiserror::Error)]
pub enum WorkerFault {
    /// It ended too early.
    #[error("ended before it was ready")]
    Ended,
    /// It did not print where it listens.
    #[error("said {line:?} instead of where it listens: {error}")]
    Gibberish {
        /// What it printed.
        line: String,
        /// What is wrong with that.
        error: serde_json::Error,
    },
    /// Its process cannot be watched.
    #[error("cannot be watched: {0}")]
    Io(#[from] io::Error),
    /// It has no readiness to ask for.
    #[error("has no ops endpoint")]
    NoOps,
    /// It did not become ready in time.
    #[error("is not ready after {after:?}: {said}")]
    NotReady {
        /// How long it was given.
        after: Duration,
        /// What it said last, if anything.
        said: String,
    },
    /// It was to be refused, and left for another reason.
    #[error("left with {0}, but nobody refused it")]
    NotRefused(ExitStatus),
    /// Its process cannot be sent a signal.
    #[error("cannot be signalled: {0}")]
    Signal(Errno),
    /// Its process cannot be started.
    #[error("cannot be started: {0}")]
    Start(io::Error),
    /// It was to be refused, and did not leave.
    #[error("had not left after {0:?}: was it admitted?")]
    Stays(Duration),
    /// It takes calls without having proved what it is.
    #[error("takes calls, but never proved that it is of version {0}")]
    Unproven(&'static str),
}

impl WorkerFault {
    /// Says whose fault it is.
    pub(crate) fn of(self, name: &str) -> DemoError {
        DemoError::Worker { name: name.into(), fault: self }
    }
}
