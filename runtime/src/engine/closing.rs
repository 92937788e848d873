//! The door: what a worker that leaves waits for, so that everybody who asks it is told no, and counted.

use std::sync::atomic::{AtomicUsize, Ordering};

use openrtc_core::time::Span;
use tokio_util::sync::CancellationToken;

/// How long a worker that is about to leave waits at most for its listeners to close.
pub(crate) const CLOSING: Span = Span::from_secs(1);

/// Held open by whatever a caller can still ask: a listener, and an offer that has no answer yet.
#[derive(Debug, Default)]
pub(crate) struct Door {
    holds: AtomicUsize,
    closing: CancellationToken,
}

impl Door {
    /// Holds it open.
    pub(crate) fn hold(&self) {
        self.holds.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives a hold back. Returns whether it was the last.
    pub(crate) fn let_go(&self) -> bool {
        self.holds.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether somebody holds it open.
    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }

    /// Asks everybody who holds it to let go, from now on.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Resolves when everybody is asked to let go.
    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }
}
