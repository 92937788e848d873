//! The pool: what an embedder holds.

pub(crate) mod builder;
pub(crate) mod call;
pub mod doc;
mod host;
#[cfg(feature = "http")]
mod network;
mod runner;
mod serve;
pub(crate) mod source;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use openrtc_core::id::{Actor, CallId, CallNo, Identity, Seq};
use openrtc_core::snapshot::RuntimeSnapshot;
use openrtc_core::word::Refusal;
use openrtc_core::worker::{CLASSES, Cause, Class, Command, DrainOrder, Refused, Rejection};
use openrtc_records::journal::Recovered;
use tokio::time::{Instant as Moment, timeout_at};

use crate::audit::Trail;
use crate::engine::handle::WorkerHandle;
use crate::process::Exit;
use builder::AgentPoolBuilder;
use call::{CallGuard, OpenCall, Reservation};

/// How long a worker that leaves waits for its audit trail.
const AUDIT: Duration = Duration::from_millis(500);

/// The calls of one worker, and the one way in and out of them. Cheap to clone; all clones are the same pool.
#[derive(Clone, Debug)]
pub struct AgentPool {
    worker: WorkerHandle,
    built: Arc<Built>,
}

/// What building the pool led to, besides a worker that runs.
#[derive(Debug)]
struct Built {
    /// How far the audit trail is; `None` without one.
    trail: Option<Trail>,
    recovered: Option<Recovered>,
    ops_addr: Option<SocketAddr>,
}

impl AgentPool {
    /// A builder with the defaults of [`Config`](crate::Config).
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
        let number = self.worker.gate().admit(id, class)?;
        let open = OpenCall::new(self.worker.clone(), number, id, class, true);
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
        let begun = self.worker.submit(Command::Reserve { id, class }).map_err(|rejection| match rejection {
            Rejection::Refused(Refused::Admission(refusal)) => refusal,
            Rejection::Repeat(_) | Rejection::Refused(_) | Rejection::Misuse(_) => unreachable!("{rejection}"),
        })?;
        let number = CallNo::new(begun.get());
        Ok(Reservation::new(OpenCall::new(self.worker.clone(), number, id, class, false), begun))
    }

    /// Stops taking calls and lets those in flight end, by the configured deadline and policy. Once this has returned,
    /// no admission can slip in, and every admission before it is waited for.
    pub fn begin_drain(&self, actor: Actor) -> Result<(), Rejection> {
        self.worker.drain(Cause::Api, actor, self.worker.drain_terms())
    }

    /// [`AgentPool::begin_drain`] with a cause, deadline and policy of its own.
    pub fn begin_drain_with(&self, order: DrainOrder) -> Result<(), Rejection> {
        self.worker.submit(Command::BeginDrain(order)).map(drop)
    }

    /// Takes calls again. Refused after a signal or a force.
    pub fn cancel_drain(&self, actor: Actor) -> Result<(), Rejection> {
        self.worker.cancel_drain(actor)
    }

    /// Gives the drain until `deadline` from now.
    pub fn extend_drain(&self, actor: Actor, deadline: Duration) -> Result<(), Rejection> {
        self.worker.extend_drain(actor, deadline)
    }

    /// Tells every call left to end, counts and names each.
    pub fn force_drain(&self, actor: Actor) -> Result<(), Rejection> {
        self.worker.force_drain(actor)
    }

    /// Takes calls from now on, if the pool was started in [`Start::Standby`](crate::Start::Standby).
    pub fn promote(&self) -> Result<(), Rejection> {
        self.worker.submit(Command::Serve).map(drop)
    }

    /// Resolves when the last call of a drain has ended and the journal says so, or the worker has left.
    pub async fn drained(&self) {
        self.worker.drained().await;
    }

    /// Leaves: the drained worker's last entry. Everything is in the journal when this resolves.
    pub async fn close(&self) -> Result<Exit, Rejection> {
        match self.worker.submit(Command::Close) {
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
        Exit(self.worker.exited().await)
    }

    /// Resolves when the audit trail is closed and sent, or has had its time: what is missing then, the next run
    /// derives and sends.
    async fn audited(&self) {
        let Some(mut trail) = self.built.trail.clone() else { return };
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
        self.worker.snapshot()
    }

    /// Who this worker is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.worker.identity()
    }

    /// Where the ops endpoints listen, with the port that the system chose if it was left to it.
    #[must_use]
    pub fn ops_addr(&self) -> Option<SocketAddr> {
        self.built.ops_addr
    }

    /// What the journal of the run before told, if there is one: above all, which calls a crash took.
    #[must_use]
    pub fn recovered(&self) -> Option<&Recovered> {
        self.built.recovered.as_ref()
    }
}

fn check_class(class: Class) {
    assert!(usize::from(class.0) < CLASSES, "a call class must be below {CLASSES}, not {}", class.0);
}
