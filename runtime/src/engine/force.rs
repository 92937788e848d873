//! The order of a forced drain to every call: end.

use std::sync::{Arc, OnceLock};

use openrtc_core::time::Instant;
use tokio_util::sync::CancellationToken;

/// Given once, heard by every call. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Force {
    /// When the calls that are left are dropped.
    until: Arc<OnceLock<Instant>>,
    heard: CancellationToken,
}

impl Force {
    pub(crate) fn order(&self, until: Instant) {
        // Once given it stands: a drain is forced at most once.
        let _ = self.until.set(until);
        self.heard.cancel();
    }

    /// Asked at every hang-up, so a flag of its own: the token would take a lock to answer.
    pub(crate) fn is_ordered(&self) -> bool {
        self.until.get().is_some()
    }

    /// Resolves when the order is given, with the instant at which the calls that are left are dropped.
    pub(crate) async fn ordered(&self) -> Instant {
        self.heard.cancelled().await;
        self.until.get().copied().unwrap_or(Instant::EPOCH)
    }
}
