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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;

    /// Looks for the order in the moment in which it is woken.
    struct Look(Force, AtomicBool);

    impl Wake for Look {
        fn wake(self: Arc<Self>) {
            self.1.store(self.0.is_ordered(), Ordering::Relaxed);
        }
    }

    #[test]
    fn the_order_is_given_before_anybody_hears_of_it() {
        let (force, until) = (Force::default(), Instant::from_micros(7));
        let look = Arc::new(Look(force.clone(), AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&look));
        let mut context = Context::from_waker(&waker);
        let mut ordered = pin!(force.ordered());
        assert!(ordered.as_mut().poll(&mut context).is_pending());
        force.order(until);
        assert!(look.1.load(Ordering::Relaxed), "woken, it would have read that calls have no time at all");
        assert_eq!(ordered.poll(&mut context), Poll::Ready(until));
    }
}
