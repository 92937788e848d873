//! The handle that the rest of the process holds on a worker: to give it orders, to ask for its state, and to wait for
//! it. The pool is not needed for that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openrtc_core::fleet::Facts;
use openrtc_core::id::{Actor, CallNo, DigestKey, Identity, Seq, Version};
use openrtc_core::snapshot::{JournalHealth, RuntimeSnapshot};
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Availability, Cause, Command, DrainOrder, Entry, Leave, Outcome, Rejection, Terms, Worker};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::clock::Clock;
use super::done::{CommandError, Done};
use super::ended::Ended;
use super::force::Force;
use super::gate::{Gate, View};
use super::hangup::Hangups;
use super::roster::Roster;
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
    /// The version that new calls are served by: the identity's, unless whoever starts programs named another.
    serving: Mutex<Version>,
    terms: DrainTerms,
    force: Force,
    hangups: Hangups,
    roster: Roster,
    published: watch::Receiver<Published>,
    lapses: watch::Receiver<()>,
    listeners: Listeners,
}

/// The receivers that wait for the ends of calls.
type Listeners = Arc<Mutex<Vec<mpsc::UnboundedSender<(CallNo, Ended)>>>>;

/// What the control loop publishes after each batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    /// Entries up to here are in the journal, or never will be.
    pub(crate) settled: Seq,
    /// What the worker says of itself, as far as that.
    pub(crate) facts: Facts,
    /// What dispatchers may be told.
    pub(crate) availability: Availability,
    /// How the worker left, once it has.
    pub(crate) outcome: Option<Outcome>,
    /// How the journal fares.
    pub(crate) health: JournalHealth,
}

/// The control loop ended before the worker could leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// How often a worker without a control loop is looked at for calls that are left.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The control loop's end of the handle.
#[derive(Debug)]
pub(crate) struct Publisher {
    published: watch::Sender<Published>,
    lapses: watch::Sender<()>,
    listeners: Listeners,
    force: Force,
}

impl Publisher {
    /// Publishes the state as far as the journal has it.
    pub(crate) fn publish(&self, settled: Seq, worker: &Worker, health: JournalHealth) {
        let facts = Facts::of(worker.life());
        self.published.send_modify(|published| *published = Published { settled, facts, health, ..*published });
    }

    /// Publishes how the journal fares.
    pub(crate) fn publish_health(&self, health: JournalHealth) {
        self.published.send_modify(|published| published.health = health);
    }

    /// Tells the receivers how calls ended. The journal has the entries, or never will.
    pub(crate) fn report(&self, entries: &[Entry]) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.is_empty() {
            return;
        }
        for ended in entries.iter().filter_map(|entry| Ended::by(&entry.event)) {
            listeners.retain(|listener| listener.send(ended).is_ok());
        }
    }

    /// Publishes whether dispatchers may send calls.
    pub(crate) fn announce(&self, availability: Availability) {
        self.published.send_modify(|published| published.availability = availability);
    }

    /// Tells every call to end; what is left at `until` is dropped.
    pub(crate) fn cancel_calls(&self, until: Instant) {
        self.force.order(until);
    }

    /// Tells the holder of a reservation that it has lapsed.
    pub(crate) fn lapse(&self) {
        self.lapses.send_replace(());
    }

    /// Tells everybody that the worker has left.
    pub(crate) fn exit(&self, outcome: Outcome) {
        self.published.send_modify(|published| published.outcome = Some(outcome));
    }
}

impl WorkerHandle {
    /// A handle on `worker`, which has just started, and the end that its control loop publishes through.
    pub(crate) fn new(
        worker: &Worker,
        clock: Clock,
        identity: Identity,
        key: DigestKey,
        terms: DrainTerms,
    ) -> (Self, Publisher) {
        let first = Published {
            settled: worker.word().seq(),
            facts: Facts::of(worker.life()),
            availability: worker.availability(),
            outcome: worker.outcome(),
            health: JournalHealth::default(),
        };
        let publisher = Publisher {
            published: watch::Sender::new(first),
            lapses: watch::Sender::new(()),
            listeners: Listeners::default(),
            force: Force::default(),
        };
        let inner = Inner {
            gate: Gate::new(worker, key),
            clock,
            identity,
            serving: Mutex::new(identity.version),
            terms,
            force: publisher.force.clone(),
            hangups: Hangups::default(),
            roster: Roster::default(),
            published: publisher.published.subscribe(),
            lapses: publisher.lapses.subscribe(),
            listeners: Arc::clone(&publisher.listeners),
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

    /// From now on, calls are served by another version than the identity's.
    pub(crate) fn set_serving(&self, version: Version) {
        *self.inner.serving.lock().unwrap_or_else(PoisonError::into_inner) = version;
    }

    /// The deadline and policy of a drain whose order names none.
    pub(crate) fn drain_terms(&self) -> DrainTerms {
        self.inner.terms
    }

    /// Gives a command. When this has returned, every later command is judged after it.
    pub(crate) fn submit(&self, command: Command) -> Result<Done, CommandError> {
        Done::of(self.command(command))
    }

    /// Gives a command about one call, for the number of its entry.
    pub(crate) fn command(&self, command: Command) -> Result<Seq, Rejection> {
        self.gate().submit(self.now(), command)
    }

    /// Begins a drain whose deadline counts from now.
    pub(crate) fn drain(&self, cause: Cause, actor: Actor, terms: DrainTerms) -> Result<Done, CommandError> {
        let deadline = terms.timeout.map(|timeout| self.due(timeout)).transpose()?;
        let terms = Terms::new(deadline, terms.on_deadline).map_err(CommandError::DeadlineMissing)?;
        self.submit(Command::BeginDrain(DrainOrder { cause, actor, terms }))
    }

    /// Cordons the worker: begins a drain without a deadline, of a worker that stays up.
    pub(crate) fn cordon(&self, actor: Actor) -> Result<Done, CommandError> {
        if self.gate().limits().leave != Leave::Parked {
            return Err(CommandError::NotParked);
        }
        let order = DrainOrder { cause: Cause::Api, actor, terms: Terms::PATIENT };
        let done = self.submit(Command::BeginDrain(order))?;
        let drain = self.gate().view(self.now()).life.drain().copied();
        match drain {
            Some(drain) if drain.sealed || drain.terms != Terms::PATIENT => Err(CommandError::DrainsForGood),
            Some(_) | None => Ok(done),
        }
    }

    /// Takes calls again.
    pub(crate) fn cancel_drain(&self, actor: Actor) -> Result<Done, CommandError> {
        self.submit(Command::CancelDrain { actor })
    }

    /// Gives the drain until `deadline` from now.
    pub(crate) fn extend_drain(&self, actor: Actor, deadline: Duration) -> Result<Done, CommandError> {
        let deadline = self.due(deadline)?;
        self.submit(Command::ExtendDrain { actor, deadline })
    }

    fn due(&self, within: Duration) -> Result<Instant, CommandError> {
        Terms::due(self.now(), within.into()).map_err(CommandError::BadDeadline)
    }

    /// Tells every call left to end.
    pub(crate) fn force_drain(&self, actor: Actor) -> Result<Done, CommandError> {
        self.submit(Command::ForceDrain { actor })
    }

    /// Takes calls, if it stands by.
    pub(crate) fn promote(&self) -> Result<Done, CommandError> {
        self.submit(Command::Serve)
    }

    /// Tells one call to end within the force grace; whether it was not told before.
    pub(crate) fn end_call(&self, call: CallNo) -> bool {
        self.inner.hangups.order(call, self.now() + self.gate().limits().force_grace)
    }

    /// The calls that a person has told to end.
    pub(crate) fn hangups(&self) -> &Hangups {
        &self.inner.hangups
    }

    /// The calls in flight by name, if the control loop was told to keep it.
    pub(crate) fn roster(&self) -> &Roster {
        &self.inner.roster
    }

    /// Resolves when the worker is in another phase than this, and the journal says so.
    pub(crate) async fn has_left_phase(&self, phase: Phase) {
        let over = |published: &Published| published.facts.phase != Phase::Exited || published.outcome.is_some();
        // Of a worker whose control loop is lost, nothing more becomes known.
        let _ = self.wait(|published| published.facts.phase != phase && over(published)).await;
    }

    /// The worker as it is now.
    pub(crate) fn snapshot(&self) -> RuntimeSnapshot {
        let health = self.inner.published.borrow().health;
        let View { life, reserved, stalled } = self.gate().view(self.now());
        let version = *self.inner.serving.lock().unwrap_or_else(PoisonError::into_inner);
        RuntimeSnapshot::of_life(&life, reserved, stalled, &Identity { version, ..*self.identity() }, health)
    }

    /// Resolves when the entry is in the journal, or never will be.
    pub(crate) async fn settled(&self, seq: Seq) {
        if self.inner.published.borrow().settled < seq {
            self.gate().nudge();
        }
        // A worker that is lost journals nothing any more.
        let _ = self.wait(|published| published.settled >= seq || published.outcome.is_some()).await;
    }

    /// Resolves when the last call of a drain has ended, or the worker has left or is lost.
    pub(crate) async fn drained(&self) {
        let drained =
            self.wait(|published| published.facts.phase == Phase::Drained || published.outcome.is_some()).await;
        if drained.is_err() {
            self.outlived().await;
        }
    }

    /// Resolves when the worker has left, with how it did, or is lost.
    pub(crate) async fn exited(&self) -> Result<Outcome, Lost> {
        match self.wait(|published| published.outcome.is_some()).await.map(|published| published.outcome) {
            Ok(Some(outcome)) => Ok(outcome),
            Ok(None) | Err(Lost) => Err(self.outlived().await),
        }
    }

    /// Tells a drained worker to leave, and resolves when it has left or is lost. A drain that is taken back before it
    /// could leave is none: the next one counts.
    pub(crate) async fn retired(&self) -> Result<Outcome, Lost> {
        loop {
            self.drained().await;
            if self.submit(Command::Leave).is_ok() {
                return self.exited().await;
            }
            // It takes calls again. What is published may say so a moment later.
            self.gate().nudge();
            if self.wait(|published| published.facts.phase != Phase::Drained).await.is_err() {
                return Err(self.outlived().await);
            }
        }
    }

    /// Without its control loop a worker takes no more calls, and there is nobody to say when the last of those that
    /// are left has ended.
    async fn outlived(&self) -> Lost {
        while self.gate().view(self.now()).life.word().in_flight() > 0 {
            sleep(LOOK_EVERY).await;
        }
        Lost
    }

    /// What the control loop last made known, and every change of it.
    pub(crate) fn published(&self) -> watch::Receiver<Published> {
        self.inner.published.clone()
    }

    /// Every call's end from now on, in the order of the journal, once it is there. All of them are here when the
    /// worker has left, but for those of the calls that its exit cut: an exit has no entry for each.
    pub(crate) fn listen(&self) -> mpsc::UnboundedReceiver<(CallNo, Ended)> {
        let (listener, ends) = mpsc::unbounded_channel();
        self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
        ends
    }

    /// Resolves when a reservation has lapsed, or was assigned or withdrawn.
    pub(crate) async fn lapsed(&self, call: CallNo) {
        let mut lapses = self.inner.lapses.clone();
        while self.gate().is_promised(call) {
            if lapses.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether a forced drain has told the calls to end.
    pub(crate) fn is_forced(&self) -> bool {
        self.inner.force.is_ordered()
    }

    /// Resolves when a forced drain tells the calls to end, with the instant at which what is left is dropped.
    pub(crate) async fn forced(&self) -> std::time::Instant {
        let until = self.inner.force.ordered().await;
        self.inner.clock.timer(until).into_std()
    }

    /// Resolves when a person tells this call to end, with the instant at which it is dropped if it has not.
    pub(crate) async fn hung_up(&self, call: CallNo) -> std::time::Instant {
        let until = self.inner.hangups.ordered_for(call).await;
        self.inner.clock.timer(until).into_std()
    }

    async fn wait(&self, until: impl FnMut(&Published) -> bool) -> Result<Published, Lost> {
        let mut published = self.inner.published.clone();
        published.wait_for(until).await.map(|published| *published).map_err(|_| Lost)
    }
}

#[cfg(test)]
impl WorkerHandle {
    /// A handle on a worker `w1` of version `v1` whose drains have no deadline.
    pub(crate) fn for_test(worker: &Worker, clock: Clock) -> (Self, Publisher) {
        use openrtc_core::worker::OnDeadline;

        Self::for_test_with(worker, clock, DrainTerms { timeout: None, on_deadline: OnDeadline::Wait })
    }

    /// The same worker, whose drains are configured like this.
    pub(crate) fn for_test_with(worker: &Worker, clock: Clock, terms: DrainTerms) -> (Self, Publisher) {
        use openrtc_core::id::{Deployment, Incarnation, WorkerId};

        let identity = Identity {
            deployment: const { Deployment::from_static("default") },
            version: const { Version::from_static("v1") },
            worker: const { WorkerId::from_static("w1") },
            incarnation: Incarnation::new(1),
        };
        Self::new(worker, clock, identity, DigestKey::default(), terms)
    }
}
