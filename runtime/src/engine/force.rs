//! The order of a forced drain to every call: end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Given once, heard by every call. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Force {
    given: Arc<AtomicBool>,
    heard: CancellationToken,
}

impl Force {
    pub(crate) fn order(&self) {
        self.given.store(true, Ordering::Release);
        self.heard.cancel();
    }

    /// Asked at every hang-up, so a flag of its own: the token would take a lock to answer.
    pub(crate) fn is_ordered(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    pub(crate) async fn ordered(&self) {
        self.heard.cancelled().await;
    }
}
