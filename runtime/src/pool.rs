//! The pool: what an embedder holds.

pub(crate) mod builder;
pub(crate) mod call;
pub mod doc;
mod host;
mod runner;
mod serve;
pub(crate) mod source;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use openrtc_core::id::{Actor, CallId, CallNo, Identity, Seq};
use openrtc_core::snapshot::{JournalHealth, RuntimeSnapshot};
use openrtc_core::time::Instant;
use openrtc_core::word::Refusal;
use openrtc_core::worker::{CLASSES, Cause, Class, Command, DrainOrder, Outcome, Refused, Rejection};
use openrtc_records::journal::Recovered;
use tokio::sync::watch;
use tokio::time::{Instant as Moment, timeout_at};

use crate::audit::Trail;
use crate::config::{Config, Start};
use crate::engine::clock::Clock;
use crate::engine::force::Force;
use crate::engine::gate::{Gate, View};
use crate::process::Exit;
use builder::AgentPoolBuilder;
use call::{CallGuard, OpenCall, Reservation};

/// How long a worker that leaves waits for its audit trail.
const AUDIT: Duration = Duration::from_millis(500);

/// The calls of one worker, and the one way in and out of them. Cheap to clone; all clones are the same pool.
#[derive(Clone, Debug)]
pub struct AgentPool {
    pub(crate) shared: Arc<Shared>,
}

/// What every clone and every guard shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    pub(crate) clock: Clock,
    pub(crate) identity: Identity,
    pub(crate) config: Config,
    /// Cancelled when a forced drain tells the calls to end.
    pub(crate) force: Force,
    pub(crate) published: watch::Receiver<Published>,
    /// How far the audit trail is; `None` without one.
    pub(crate) trail: Option<Trail>,
    pub(crate) recovered: Option<Recovered>,
    pub(crate) ops_addr: Option<SocketAddr>,
}

/// What the shell makes known after each batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Published {
    /// Entries up to here are in the journal, or never will be.
    pub(crate) settled: Seq,
    pub(crate) drained: bool,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) health: JournalHealth,
}

impl AgentPool {
    /// A builder with the defaults of [`Config`].
    pub fn builder() -> AgentPoolBuilder {
        AgentPoolBuilder::default()
    }

    /// Takes a call that is there now. The refusal is an answer to the dispatcher: every one may be retried at another
    /// worker.
    pub fn admit(&self, id: CallId) -> Result<CallGuard, Refusal> {
        self.admit_class(id, Class::default())
    }

    /// [`AgentPool::admit`] for a call of a kind of its own.
    ///
    /// # Panics
    /// When `class` is not below [`CLASSES`].
    pub fn admit_class(&self, id: CallId, class: Class) -> Result<CallGuard, Refusal> {
        check_class(class);
        let number = self.shared.gate.admit(id, class)?;
        let open = OpenCall::new(Arc::clone(&self.shared), number, id, class, true);
        Ok(CallGuard::new(open, Seq::new(number.get())))
    }

    /// Says yes to an offer. The call counts from here: a drain that begins before its assignment waits for it.
    pub fn reserve(&self, id: CallId) -> Result<Reservation, Refusal> {
        self.reserve_class(id, Class::default())
    }

    /// [`AgentPool::reserve`] for a call of a kind of its own.
    ///
    /// # Panics
    /// When `class` is not below [`CLASSES`].
    pub fn reserve_class(&self, id: CallId, class: Class) -> Result<Reservation, Refusal> {
        check_class(class);
        let begun = self.submit(Command::Reserve { id, class }).map_err(|rejection| match rejection {
            Rejection::Refused(Refused::Admission(refusal)) => refusal,
            Rejection::Repeat(_) | Rejection::Refused(_) | Rejection::Misuse(_) => unreachable!("{rejection}"),
        })?;
        let number = CallNo::new(begun.get());
        Ok(Reservation::new(OpenCall::new(Arc::clone(&self.shared), number, id, class, false), begun))
    }

    /// Stops taking calls and lets those in flight end, by the configured deadline and policy. Once this has returned,
    /// no admission can slip in, and every admission before it is waited for.
    pub fn begin_drain(&self, actor: Actor) -> Result<(), Rejection> {
        self.drain(Cause::Api, actor)
    }

    /// [`AgentPool::begin_drain`] with a cause, deadline and policy of its own.
    pub fn begin_drain_with(&self, order: DrainOrder) -> Result<(), Rejection> {
        self.submit(Command::BeginDrain(order)).map(drop)
    }

    /// Takes calls again. Refused after a signal or a force.
    pub fn cancel_drain(&self, actor: Actor) -> Result<(), Rejection> {
        self.submit(Command::CancelDrain { actor }).map(drop)
    }

    /// Gives the drain until `deadline` from now.
    pub fn extend_drain(&self, actor: Actor, deadline: Duration) -> Result<(), Rejection> {
        let deadline = self.shared.now() + deadline.into();
        self.submit(Command::ExtendDrain { actor, deadline }).map(drop)
    }

    /// Tells every call left to end, counts and names each.
    pub fn force_drain(&self, actor: Actor) -> Result<(), Rejection> {
        self.submit(Command::ForceDrain { actor }).map(drop)
    }

    /// Takes calls from now on, if the pool was started in [`Start::Standby`].
    pub fn promote(&self) -> Result<(), Rejection> {
        self.submit(Command::Serve).map(drop)
    }

    /// Resolves when the last call of a drain has ended and the journal says so, or the worker has left.
    pub async fn drained(&self) {
        self.shared.drained().await;
    }

    /// Leaves: the drained worker's last entry. Everything is in the journal when this resolves.
    pub async fn close(&self) -> Result<Exit, Rejection> {
        match self.submit(Command::Close) {
            Ok(_) | Err(Rejection::Repeat(_)) => {
                let exit = self.exited().await;
                self.audited().await;
                Ok(exit)
            }
            Err(rejection) => Err(rejection),
        }
    }

    /// Resolves when the worker has left, with how it did.
    pub async fn exited(&self) -> Exit {
        let published = self.wait(|published| published.outcome.is_some()).await;
        Exit(published.outcome.unwrap_or(Outcome::Clean))
    }

    /// Resolves when the audit trail is closed and sent, or has had its time: what is missing then, the next run
    /// derives and sends.
    pub(crate) async fn audited(&self) {
        let Some(mut trail) = self.shared.trail.clone() else { return };
        let patience = Moment::now() + AUDIT;
        if timeout_at(patience, trail.closed()).await.is_err() {
            tracing::warn!("the audit trail is behind; the next run completes it from the journal");
        } else if timeout_at(patience, trail.delivered()).await.is_err() {
            let records = trail.undelivered();
            tracing::warn!(
                records,
                "the audit webhook is behind; the records are in the trail, the next run sends them"
            );
        }
    }

    /// The worker as it is now: `deployment_version`, `draining`, `active_sessions` and the rest.
    #[must_use]
    pub fn runtime_snapshot(&self) -> RuntimeSnapshot {
        let health = self.shared.published.borrow().health;
        let View { life, reserved, stalled } = self.shared.gate.view(self.shared.now());
        RuntimeSnapshot::of_life(&life, reserved, stalled, &self.shared.identity, health)
    }

    /// Who this worker is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Where the ops endpoints listen, with the port that the system chose if it was left to it.
    #[must_use]
    pub fn ops_addr(&self) -> Option<SocketAddr> {
        self.shared.ops_addr
    }

    /// What the journal of the run before told, if there is one: above all, which calls a crash took.
    #[must_use]
    pub fn recovered(&self) -> Option<&Recovered> {
        self.shared.recovered.as_ref()
    }

    /// A drain by the configured deadline and policy.
    pub(crate) fn drain(&self, cause: Cause, actor: Actor) -> Result<(), Rejection> {
        let config = &self.shared.config;
        let deadline = config.drain_timeout.map(|timeout| self.shared.now() + timeout.into());
        self.begin_drain_with(DrainOrder { cause, actor, deadline, on_deadline: config.on_deadline })
    }

    pub(crate) fn start(&self) {
        let start = match self.shared.config.start {
            Start::Serving => Command::Serve,
            Start::Standby => Command::StandBy,
        };
        self.submit(start).expect("a worker that has just started can serve or stand by");
    }

    pub(crate) fn submit(&self, command: Command) -> Result<Seq, Rejection> {
        self.shared.gate.submit(self.shared.now(), command)
    }

    async fn wait(&self, until: impl FnMut(&Published) -> bool) -> Published {
        self.shared.wait(until).await
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Resolves when the entry is in the journal, or never will be.
    pub(crate) async fn settled(&self, seq: Seq) {
        if self.published.borrow().settled < seq {
            self.gate.nudge();
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

    /// When the calls of a forced drain are dropped.
    pub(crate) fn force_until(&self) -> Instant {
        let now = self.now();
        let forced = self.gate.view(now).life.drain().and_then(|drain| drain.forced);
        forced.map_or(now, |forced| forced.until)
    }

    async fn wait(&self, until: impl FnMut(&Published) -> bool) -> Published {
        let mut published = self.published.clone();
        // The shell is gone only with the whole runtime; then nobody is left to wait.
        published.wait_for(until).await.map_or_else(|_| *self.published.borrow(), |published| *published)
    }
}

fn check_class(class: Class) {
    assert!(usize::from(class.0) < CLASSES, "a call class must be below {CLASSES}, not {}", class.0);
}
