//! A read-only view of a worker.

use std::future::pending;

use openrtc_core::id::Identity;
use openrtc_core::word::Phase;
use openrtc_core::worker::Availability;
use tokio::sync::watch;

use super::listening::Listening;
use crate::engine::handle::{Published, WorkerHandle};

/// A read-only view of a worker, for code that sends it calls: whether it takes calls, and how many it has.
///
/// The control loop publishes the values; they are at most a few milliseconds old. Use them to inform a dispatcher.
/// Whether a call is taken is decided by [`AgentPool::reserve`](crate::AgentPool::reserve) and
/// [`AgentPool::admit`](crate::AgentPool::admit) alone.
///
/// Cheap to clone. A clone reports the changes that the original has not reported yet.
#[derive(Clone, Debug)]
pub struct WorkerView {
    worker: WorkerHandle,
    published: watch::Receiver<Published>,
    /// What [`WorkerView::changed`] last reported.
    seen: Seen,
}

type Seen = (Availability, u32);

impl WorkerView {
    pub(crate) fn new(worker: WorkerHandle) -> Self {
        let published = worker.published();
        let seen = seen(&published.borrow());
        Self { worker, published, seen }
    }

    /// Whether the worker takes calls: open, full, or closed because it waits, drains or has left.
    #[must_use]
    pub fn availability(&self) -> Availability {
        self.published.borrow().availability
    }

    /// Where the worker is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.published.borrow().facts.phase
    }

    /// The calls in flight, reserved ones included.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.published.borrow().facts.in_flight
    }

    /// The most calls that the worker may have in flight.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.worker.gate().limits().capacity
    }

    /// Calls in flight divided by the capacity: 0 when idle, 1 when full. It is above 1 only while the worker has calls
    /// that it took over from an earlier run.
    #[must_use]
    pub fn load(&self) -> f64 {
        f64::from(self.in_flight()) / f64::from(self.capacity())
    }

    /// Keeps the worker from leaving until a listener of the source has closed: see [`Listening`].
    #[must_use]
    pub fn listening(&self) -> Listening {
        Listening::new(self.worker.clone())
    }

    /// Who the worker is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.worker.identity()
    }

    /// Resolves when the availability or the number of calls in flight differs from what it was when `changed` last
    /// resolved (the first time: when the view was made). Several changes may be reported as one. After the worker has
    /// left nothing changes, and this never resolves.
    ///
    /// Cancel-safe: a change is reported by the next call if this one is dropped.
    pub async fn changed(&mut self) {
        loop {
            let now = seen(&self.published.borrow_and_update());
            if now != self.seen {
                self.seen = now;
                return;
            }
            if self.published.changed().await.is_err() {
                pending::<()>().await;
            }
        }
    }
}

const fn seen(published: &Published) -> Seen {
    (published.availability, published.facts.in_flight)
}
