//! The handle that the rest of the process holds on a worker: whoever gives it orders, asks how it is or waits for it
//! needs this and not the pool.

use std::sync::Arc;
use std::time::Duration;

use openrtc_core::id::{Actor, Identity, Seq};
use openrtc_core::snapshot::{JournalHealth, RuntimeSnapshot};
use openrtc_core::time::Instant;
use openrtc_core::worker::{Cause, Command, DrainOrder, Outcome, Rejection, Worker};
use tokio::sync::watch;

use super::clock::Clock;
use super::force::Force;
use super::gate::{Gate, View};
use crate::config::DrainTerms;

/// A worker that runs in this process. Cheap to clone; all clones are the same worker.
#[derive(Clone, Debug)]
pub(crate) struct WorkerHandle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    gate: Gate,
    clock: Clock,
    identity: Identity,
    terms: DrainTerms,
    force: Force,
    published: watch::Receiver<Published>,
}

/// What the control loop makes known after each batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Published {
    /// Entries up to here are in the journal, or never will be.
    pub(crate) settled: Seq,
    /// Whether the last call of a drain has ended.
    pub(crate) drained: bool,
    /// How the worker left, once it has.
    pub(crate) outcome: Option<Outcome>,
    /// How the journal fares.
    pub(crate) health: JournalHealth,
}

/// The control loop's end of the handle.
#[derive(Debug)]
pub(crate) struct Publisher {
    sender: watch::Sender<Published>,
    force: Force,
}

impl Publisher {
    /// Makes it known to all who wait.
    pub(crate) fn publish(&self, published: Published) {
        self.sender.send_replace(published);
    }

    /// Tells every call to end.
    pub(crate) fn order_force(&self) {
        self.force.order();
    }
}

impl WorkerHandle {
    /// A handle on `worker`, which has just started, and the end that its control loop publishes through.
    pub(crate) fn new(worker: &Worker, clock: Clock, identity: Identity, terms: DrainTerms) -> (Self, Publisher) {
        let publisher = Publisher { sender: watch::Sender::default(), force: Force::default() };
        let inner = Inner {
            gate: Gate::new(worker),
            clock,
            identity,
            terms,
            force: publisher.force.clone(),
            published: publisher.sender.subscribe(),
        };
        (Self { inner: Arc::new(inner) }, publisher)
    }

    /// The gate itself, for the hot path and the control loop.
    pub(crate) fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// The time by the worker's clock.
    pub(crate) fn now(&self) -> Instant {
        self.inner.clock.now()
    }

    /// Who the worker is.
    pub(crate) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// The deadline and policy of a drain whose order names none.
    pub(crate) fn drain_terms(&self) -> DrainTerms {
        self.inner.terms
    }

    /// Gives a command. Once this has returned, it holds for everyone.
    pub(crate) fn submit(&self, command: Command) -> Result<Seq, Rejection> {
        self.gate().submit(self.now(), command)
    }

    /// Begins a drain whose deadline counts from now.
    pub(crate) fn drain(&self, cause: Cause, actor: Actor, terms: DrainTerms) -> Result<(), Rejection> {
        let deadline = terms.timeout.map(|timeout| self.now() + timeout.into());
        let order = DrainOrder { cause, actor, deadline, on_deadline: terms.on_deadline };
        self.submit(Command::BeginDrain(order)).map(drop)
    }

    /// Takes calls again.
    pub(crate) fn cancel_drain(&self, actor: Actor) -> Result<(), Rejection> {
        self.submit(Command::CancelDrain { actor }).map(drop)
    }

    /// Gives the drain until `deadline` from now.
    pub(crate) fn extend_drain(&self, actor: Actor, deadline: Duration) -> Result<(), Rejection> {
        let deadline = self.now() + deadline.into();
        self.submit(Command::ExtendDrain { actor, deadline }).map(drop)
    }

    /// Tells every call left to end.
    pub(crate) fn force_drain(&self, actor: Actor) -> Result<(), Rejection> {
        self.submit(Command::ForceDrain { actor }).map(drop)
    }

    /// The worker as it is now.
    pub(crate) fn snapshot(&self) -> RuntimeSnapshot {
        let health = self.inner.published.borrow().health;
        let View { life, reserved, stalled } = self.gate().view(self.now());
        RuntimeSnapshot::of_life(&life, reserved, stalled, self.identity(), health)
    }

    /// Resolves when the entry is in the journal, or never will be.
    pub(crate) async fn settled(&self, seq: Seq) {
        if self.inner.published.borrow().settled < seq {
            self.gate().nudge();
        }
        self.wait(|published| published.settled >= seq || published.outcome.is_some()).await;
    }

    /// Resolves when the last call of a drain has ended, or the worker has left, with what made that known.
    pub(crate) async fn drained(&self) -> Published {
        self.wait(|published| published.drained || published.outcome.is_some()).await
    }

    /// Resolves when something later than `seen` is published.
    pub(crate) async fn moved_on(&self, seen: Published) {
        self.wait(|published| published.settled > seen.settled || published.outcome.is_some()).await;
    }

    /// Resolves when the worker has left, with how it did.
    pub(crate) async fn exited(&self) -> Outcome {
        self.wait(|published| published.outcome.is_some()).await.outcome.unwrap_or(Outcome::Clean)
    }

    /// Whether a forced drain has told the calls to end.
    pub(crate) fn is_forced(&self) -> bool {
        self.inner.force.is_ordered()
    }

    /// Resolves when a forced drain tells the calls to end, with the instant at which what is left is dropped.
    pub(crate) async fn forced(&self) -> Instant {
        self.inner.force.ordered().await;
        let now = self.now();
        let forced = self.gate().view(now).life.drain().and_then(|drain| drain.forced);
        forced.map_or(now, |forced| forced.until)
    }

    async fn wait(&self, until: impl FnMut(&Published) -> bool) -> Published {
        let mut published = self.inner.published.clone();
        // The control loop is gone only with the whole runtime; then nobody is left to wait.
        published.wait_for(until).await.map_or_else(|_| *self.inner.published.borrow(), |published| *published)
    }
}

#[cfg(test)]
impl WorkerHandle {
    /// A handle on a worker `w1` of version `v1` whose drains have no deadline.
    pub(crate) fn for_test(worker: &Worker, clock: Clock) -> (Self, Publisher) {
        use openrtc_core::id::{Deployment, Incarnation, Version, WorkerId};
        use openrtc_core::worker::OnDeadline;

        let identity = Identity {
            deployment: const { Deployment::from_static("default") },
            version: const { Version::from_static("v1") },
            worker: const { WorkerId::from_static("w1") },
            incarnation: Incarnation::new(1),
        };
        Self::new(worker, clock, identity, DrainTerms { timeout: None, on_deadline: OnDeadline::Wait })
    }
}
