//! The audit trail of a worker, written beside its journal.
//!
//! The auditor has a thread of its own. The shell hands it what it journaled and never waits for it: if it falls
//! behind, or a sink fails, what is missing is derived from the journal later. So a slow or failing sink delays no call
//! and fails no deploy, and the trail has no gap in the end.

mod auditor;
mod file;

use std::io;
use std::path::PathBuf;

pub(crate) use auditor::{Auditor, Feed};
pub(crate) use file::TrailFile;

/// Receives the audit trail, one line of JSON per record, newline included, in order. Any
/// `FnMut(&[u8]) -> io::Result<()>` is one.
///
/// A sink sees the records of this run. An error is counted and logged; the lines are not offered again. What must not
/// be lost goes to a file ([`AgentPoolBuilder::audit_file`](crate::AgentPoolBuilder::audit_file)), which is filled from
/// the journal.
pub trait AuditSink: Send + 'static {
    /// Takes whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<()>;
}

impl<F: FnMut(&[u8]) -> io::Result<()> + Send + 'static> AuditSink for F {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self(lines)
    }
}

/// A sink that prints to standard output.
#[must_use]
pub fn stdout_sink() -> impl AuditSink {
    |lines: &[u8]| io::Write::write_all(&mut io::stdout().lock(), lines)
}

/// A sink that emits each record as a `tracing` event with target `openrtc::audit`.
#[must_use]
pub fn tracing_sink() -> impl AuditSink {
    |lines: &[u8]| {
        for line in String::from_utf8_lossy(lines).lines() {
            tracing::info!(target: "openrtc::audit", record = line);
        }
        Ok(())
    }
}

/// Why an audit trail cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A trail needs a journal to be derived from.
    #[error("an audit trail needs a journal to be derived from: set OPENRTC_JOURNAL_DIR too")]
    NoJournal,
    /// Another worker writes this trail.
    #[error("audit file {path:?} is in use by another worker: give each worker a file of its own")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened or read.
    #[error("audit file {path:?}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("audit file {path:?} does not end in an audit record: name another file, or move this one away")]
    NotATrail {
        /// The file.
        path: PathBuf,
    },
}
