//! The audit trail of a worker, written beside its journal.
//!
//! The auditor has a thread of its own. The shell hands it what it journaled and never waits for it: if it falls
//! behind, or a sink fails, what is missing is derived from the journal later. So a slow or failing sink delays no call
//! and fails no deploy, and the trail has no gap in the end.

mod auditor;
mod outlets;
#[cfg_attr(not(feature = "http"), allow(dead_code, reason = "only the webhook reads it"))]
mod recent;
#[cfg(feature = "http")]
mod webhook;

use std::io;

use tokio::sync::watch;

pub(crate) use auditor::Feed;
pub(crate) use outlets::Outlets;

/// Receives the audit trail, one line of JSON per record, newline included, in order. Any
/// `FnMut(&[u8]) -> io::Result<()>` is one.
///
/// A sink sees the records of this run. An error is counted, its beginning and end are logged; the lines are not
/// offered again. What must not be lost goes to a file
/// ([`AgentPoolBuilder::audit_file`](crate::AgentPoolBuilder::audit_file)), which is filled from the journal, and from
/// there to a webhook ([`AgentPoolBuilder::audit_webhook`](crate::AgentPoolBuilder::audit_webhook)).
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

/// How far the trail is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    /// Its last record.
    pub(crate) records: u64,
    /// How often a sink or the file failed.
    pub(crate) errors: u64,
    /// How often somebody else moved, cut or wrote the file.
    pub(crate) disturbed: u64,
    /// Whether the auditor is done with it.
    pub(crate) closed: bool,
}

/// How far the webhook's collector is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivery {
    /// The last record it took.
    pub(crate) records: u64,
    /// Whether it did not take the last batch when asked.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the metrics tell"))]
    pub(crate) failing: bool,
    /// Records that it found too large and will never have.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the metrics tell"))]
    pub(crate) refused: u64,
    /// Records that were taken away before they were sent.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the metrics tell"))]
    pub(crate) missing: u64,
    /// Whether it has the whole of a closed trail.
    pub(crate) done: bool,
}

/// What the rest of the worker sees of its trail.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    extent: watch::Receiver<Extent>,
    /// `None` without a webhook.
    delivery: Option<watch::Receiver<Delivery>>,
}

impl Trail {
    /// Resolves when nothing will be added.
    pub(crate) async fn closed(&mut self) {
        // An auditor that is gone adds nothing either.
        let _ = self.extent.wait_for(|extent| extent.closed).await;
    }

    /// Resolves when the webhook, if there is one, has delivered all of a closed trail.
    pub(crate) async fn delivered(&mut self) {
        if let Some(delivery) = &mut self.delivery {
            let _ = delivery.wait_for(|delivery| delivery.done).await;
        }
    }

    pub(crate) fn extent(&self) -> Extent {
        *self.extent.borrow()
    }

    pub(crate) fn delivery(&self) -> Option<Delivery> {
        self.delivery.as_ref().map(|delivery| *delivery.borrow())
    }

    /// Records that the webhook has not delivered yet.
    pub(crate) fn undelivered(&self) -> u64 {
        self.delivery().map_or(0, |delivery| self.extent().records.saturating_sub(delivery.records))
    }
}
