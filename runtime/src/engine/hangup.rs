//! The order of a person to one call: end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrtc_core::id::CallNo;
use openrtc_core::time::Instant;
use tokio::sync::watch;

/// Which calls a person has told to end, and by when each must have. All clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Hangups(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whether there was ever such an order. Every hang-up reads it, so it must not take a lock.
    any: AtomicBool,
    ordered: Mutex<BTreeMap<CallNo, Instant>>,
    changed: watch::Sender<()>,
}

impl Default for Hangups {
    fn default() -> Self {
        let (any, ordered) = (AtomicBool::new(false), Mutex::default());
        Self(Arc::new(Inner { any, ordered, changed: watch::Sender::new(()) }))
    }
}

impl Hangups {
    /// Tells a call to end by `until`; whether it was not told before.
    pub(crate) fn order(&self, call: CallNo, until: Instant) -> bool {
        self.0.any.store(true, Ordering::Release);
        let mut ordered = self.ordered();
        let is_new = !ordered.contains_key(&call);
        ordered.entry(call).or_insert(until);
        drop(ordered);
        self.0.changed.send_replace(());
        is_new
    }

    /// By when a call that was told to end must have ended.
    pub(crate) fn until(&self, call: CallNo) -> Option<Instant> {
        if !self.0.any.load(Ordering::Acquire) {
            return None;
        }
        self.ordered().get(&call).copied()
    }

    /// Resolves when this call is told to end, with the instant by which it must have. Cancel-safe.
    pub(crate) async fn ordered_for(&self, call: CallNo) -> Instant {
        let mut changes = self.0.changed.subscribe();
        loop {
            if let Some(until) = self.until(call) {
                return until;
            }
            // The sender is in `self`.
            let _ = changes.changed().await;
        }
    }

    /// Forgets a call that has ended.
    pub(crate) fn forget(&self, call: CallNo) {
        if self.0.any.load(Ordering::Acquire) {
            self.ordered().remove(&call);
        }
    }

    fn ordered(&self) -> MutexGuard<'_, BTreeMap<CallNo, Instant>> {
        // A map of numbers is whole whatever panics around it.
        self.0.ordered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
