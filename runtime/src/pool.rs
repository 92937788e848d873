//! The pool: what an embedder holds.

pub mod blocking;
pub(crate) mod builder;
pub(crate) mod call;
pub(crate) mod call_end;
pub mod doc;
pub(crate) mod error;
pub(crate) mod listening;
#[cfg(feature = "http")]
mod network;
#[cfg(test)]
mod ordering_tests;
mod runner;
mod serve;
pub(crate) mod source;
mod tokio_ports;
#[cfg(feature = "tower")]
pub mod tower;
mod unique;
pub(crate) mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use openrtc_core::id::{Actor, CallId, Identity, Seq, Version};
use openrtc_core::order::Order;
use openrtc_core::snapshot::RuntimeSnapshot;
use openrtc_core::word::Refusal;
use openrtc_core::worker::{Availability, Cause, Class, Command, Outcome};
use openrtc_records::journal::Recovered;
use tokio::time::{Instant as Moment, timeout_at};

use crate::audit::Trail;
use crate::config::DrainTerms;
use crate::engine::done::{CommandError, Done};
use crate::engine::handle::{Lost, WorkerHandle};
#[cfg(feature = "http")]
use crate::ops::Farewell;
use crate::process::{Exit, descriptors};
use builder::AgentPoolBuilder;
use call::{CallGuard, OpenCall, Reservation};
use listening::Listening;
use unique::{Taken, Unique};
use view::WorkerView;

/// How long a worker that leaves waits for its audit trail.
const AUDIT: Duration = Duration::from_millis(500);

/// The calls of one worker. Every call begins here, and every drain does. Cheap to clone; all clones are the same pool.
///
/// The functions that are not async never wait, and may be called from any thread.
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
    #[cfg(feature = "http")]
    farewell: Farewell,
    /// How long the process may stay when its last worker has left, if this one is served.
    exit_watchdog: Duration,
    /// Whether a call needs a descriptor.
    takes_descriptors: bool,
    /// The ids in use, if a call may not have one that another has.
    unique: Option<Unique>,
}

impl AgentPool {
    /// A builder with the defaults of [`Config`](crate::Config).
    pub fn builder() -> AgentPoolBuilder {
        AgentPoolBuilder::default()
    }

    /// Begins a call that needs no assignment, such as an accepted connection. The call is in flight until the guard is
    /// dropped.
    ///
    /// # Errors
    /// The refusal is the answer to give to the dispatcher or the caller. It may be retried at another worker.
    pub fn admit(&self, id: CallId) -> Result<CallGuard, Refusal> {
        self.admit_class(id, Class::default())
    }

    /// [`AgentPool::admit`] for a call of another class.
    pub fn admit_class(&self, id: CallId, class: Class) -> Result<CallGuard, Refusal> {
        self.spare_descriptors()?;
        let taken = self.take(&id)?;
        let number = self.worker.gate().admit(&id, class)?;
        let open = OpenCall::new(self.worker.clone(), number, id, class, true, taken);
        Ok(CallGuard::new(open, Seq::new(number.get())))
    }

    /// Reserves a call. Use it if your dispatcher offers a call, waits for a yes and then assigns the call. The call
    /// counts from its reservation, so a drain that begins before the assignment waits for it.
    ///
    /// # Errors
    /// As for [`AgentPool::admit`].
    pub fn reserve(&self, id: CallId) -> Result<Reservation, Refusal> {
        self.reserve_class(id, Class::default())
    }

    /// [`AgentPool::reserve`] for a call of another class.
    pub fn reserve_class(&self, id: CallId, class: Class) -> Result<Reservation, Refusal> {
        self.spare_descriptors()?;
        let taken = self.take(&id)?;
        let number = self.worker.gate().reserve(self.worker.now(), &id, class)?;
        let open = OpenCall::new(self.worker.clone(), number, id, class, false, taken);
        Ok(Reservation::new(open, Seq::new(number.get())))
    }

    /// Refuses a call as [`Refusal::Full`] if no descriptor is left for it.
    fn spare_descriptors(&self) -> Result<(), Refusal> {
        if self.built.takes_descriptors && descriptors::run_out() && self.view().availability() == Availability::Open {
            return Err(self.worker.gate().refuse(Refusal::Full));
        }
        Ok(())
    }

    /// Claims the call's id, if an id may be in flight only once.
    fn take(&self, id: &CallId) -> Result<Option<Taken>, Refusal> {
        match &self.built.unique {
            None => Ok(None),
            Some(unique) => match unique.take(id) {
                Some(taken) => Ok(Some(taken)),
                None => Err(self.worker.gate().refuse(Refusal::Duplicate)),
            },
        }
    }

    /// Stops taking calls and lets those in flight run to their end, with the configured deadline and policy. Once this
    /// has returned, no call is admitted, and the drain waits for every call that was admitted before.
    pub fn begin_drain(&self, actor: Actor) -> Result<Done, CommandError> {
        self.begin_drain_with(Cause::Api, actor, self.worker.drain_terms())
    }

    /// [`AgentPool::begin_drain`] with another cause, deadline and policy. If the worker drains already, the two sets
    /// of terms are combined: each deadline becomes the earlier of the two. So you can shorten a deadline with this,
    /// and cannot lengthen one.
    ///
    /// # Errors
    /// [`CommandError::BadDeadline`] for a deadline that is now or more than a year away, and
    /// [`CommandError::DeadlineMissing`] for a policy that needs one. Nothing has changed then.
    pub fn begin_drain_with(&self, cause: Cause, actor: Actor, terms: DrainTerms) -> Result<Done, CommandError> {
        self.worker.drain(cause, actor, terms)
    }

    /// Cancels the drain: the worker takes calls again. Refused if the drain was begun by a signal, or was forced.
    pub fn cancel_drain(&self, actor: Actor) -> Result<Done, CommandError> {
        self.worker.cancel_drain(actor)
    }

    /// Takes the worker out of rotation: it takes no more calls, lets those in flight run to their end, and stays up. A
    /// cordon is a drain without a deadline, for a worker that parks when it has drained
    /// ([`Leave::Parked`](crate::Leave::Parked)). [`AgentPool::uncordon`] cancels it; SIGTERM makes it final.
    ///
    /// # Errors
    /// [`CommandError::NotParked`] if the worker would exit after its drain. [`CommandError::DrainsForGood`] if it
    /// drains already and that drain is final or has a deadline. The command has changed nothing then.
    pub fn cordon(&self, actor: Actor) -> Result<Done, CommandError> {
        self.worker.cordon(actor)
    }

    /// Takes calls again after a [`cordon`](AgentPool::cordon). It is the same as cancelling a drain.
    pub fn uncordon(&self, actor: Actor) -> Result<Done, CommandError> {
        self.worker.cancel_drain(actor)
    }

    /// Moves the drain's deadline to `deadline` from now. It must be later than the deadline in force, and at most a
    /// year away.
    pub fn extend_drain(&self, actor: Actor, deadline: Duration) -> Result<Done, CommandError> {
        self.worker.extend_drain(actor, deadline)
    }

    /// Forces the drain: tells every call in flight to end, and drops each call that is still there when the force
    /// grace is over. The journal counts and names each call that was told.
    pub fn force_drain(&self, actor: Actor) -> Result<Done, CommandError> {
        self.worker.force_drain(actor)
    }

    /// Takes calls from now on, if the pool was started in [`Start::Standby`](crate::Start::Standby).
    pub fn promote(&self) -> Result<Done, CommandError> {
        self.worker.promote()
    }

    /// Obeys an order of a coordinator, unless the worker has obeyed a later one.
    pub fn obey(&self, order: Order) -> Result<Done, CommandError> {
        self.worker.submit(Command::Obey(order))
    }

    /// Tells a drained worker to leave. Only a parked worker ([`Leave::Parked`](crate::Leave::Parked)) needs this; any
    /// other leaves by itself. The drain becomes final, and the worker leaves when its lame-duck time is over. Then
    /// wait for [`AgentPool::exited`]. [`AgentPool::retired`] does both.
    pub fn leave(&self) -> Result<Done, CommandError> {
        self.worker.submit(Command::Leave)
    }

    /// Resolves when the last call of a drain has ended and the journal has that entry, or when the worker has left. A
    /// parked worker's drain can still be cancelled after that, so do not end your program on this alone: use
    /// [`AgentPool::retired`]. Cancel-safe.
    pub async fn drained(&self) {
        self.worker.drained().await;
    }

    /// Resolves when the worker has left and its journal and audit trail are complete, and returns how the worker
    /// ended. No call is left, and the worker does not come back, so this is the time to flush what your program holds.
    /// It waits at most half a second for the audit trail; the next run completes the trail if that is too short.
    ///
    /// [`Exit::Lost`] says that the worker's control loop ended before the worker could leave. The worker then takes no
    /// more calls, and this resolves when its last call has ended.
    ///
    /// Cancel-safe: the next call resolves as well.
    pub async fn exited(&self) -> Exit {
        let left = self.worker.exited().await;
        self.told(left).await
    }

    /// Waits until a drain has run to its end, makes the worker leave, and resolves like [`AgentPool::exited`]. A
    /// program with an accept loop of its own needs only this call, under either leave policy. If the drain is
    /// cancelled in time, the worker serves on and this keeps waiting.
    ///
    /// Cancel-safe. If you drop it early, it may already have told a drained worker to leave.
    pub async fn retired(&self) -> Exit {
        let left = self.worker.retired().await;
        self.told(left).await
    }

    /// How the worker left, once its audit trail is complete.
    async fn told(&self, left: Result<Outcome, Lost>) -> Exit {
        match left {
            Ok(outcome) => {
                self.heard().await;
                Exit::Left(outcome)
            }
            Err(Lost) => Exit::Lost,
        }
    }

    /// Resolves when the audit trail's outlets and the clients that watch the ops endpoints have learned that the
    /// worker left, or when their time is over.
    async fn heard(&self) {
        #[cfg(feature = "http")]
        tokio::join!(self.audited(), self.built.farewell.said());
        #[cfg(not(feature = "http"))]
        self.audited().await;
    }

    /// Resolves when the audit trail is closed and sent, or when its time is over. The next run derives and sends the
    /// records that are missing then.
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

    /// Keeps the worker from leaving until your listener has closed and its last connection has its answer. Use it with
    /// an accept loop of your own, or with a server behind [`AdmitLayer`](crate::tower::AdmitLayer).
    #[must_use]
    pub fn listening(&self) -> Listening {
        Listening::new(self.worker.clone())
    }

    /// The worker as it is now: `deployment_version`, `draining`, `active_sessions` and the rest.
    #[must_use]
    pub fn runtime_snapshot(&self) -> RuntimeSnapshot {
        self.worker.snapshot()
    }

    /// Says which version new calls are served by from now on, if the worker stands in front of programs of several
    /// versions. The snapshot and the metrics name it; the worker's [`identity`](Self::identity), under which its
    /// journal runs, stays what it was started with.
    pub fn serves(&self, version: Version) {
        self.worker.set_serving(version);
    }

    /// A view of the worker, for code that must react when its availability or load changes.
    #[must_use]
    pub fn view(&self) -> WorkerView {
        WorkerView::new(self.worker.clone())
    }

    /// Who this worker is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.worker.identity()
    }

    /// Where the ops endpoints listen, with the port that the system chose if it was set to 0.
    #[must_use]
    pub fn ops_addr(&self) -> Option<SocketAddr> {
        self.built.ops_addr
    }

    /// What the journal says about the run before this one, if there is a journal: above all, which calls were lost
    /// when it crashed.
    #[must_use]
    pub fn recovered(&self) -> Option<&Recovered> {
        self.built.recovered.as_ref()
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use openrtc_core::worker::Outcome;

    use super::*;
    use crate::config::Control;

    /// Lets clients that watch the worker learn how it left, before its process ends.
    #[tokio::test(start_paused = true)]
    async fn a_pool_that_has_left_waits_for_those_who_watch() {
        for served in [false, true] {
            let builder =
                AgentPool::builder().deployment_version("v1").worker("w1").signals(false).lame_duck(Duration::ZERO);
            let pool = builder.control(Control::Shared).build().expect("nothing is wrong with that");
            let watches = pool.built.farewell.watcher();
            pool.begin_drain(Actor::from_static("alice")).expect("it serves");
            let begun = Moment::now();
            let exit = async {
                if served {
                    pool.serve(doc::Nothing, async |_| {}).await.expect("it cannot fail")
                } else {
                    pool.exited().await
                }
            };
            let (exit, ()) = tokio::join!(exit, async {
                tokio::time::sleep(Duration::from_millis(1_400)).await;
                drop(watches);
            });
            assert_eq!(exit, Exit::Left(Outcome::Clean));
            // A second after the answer it may ask again, but two seconds are all there is.
            assert_eq!(begun.elapsed().as_millis() / 10, 200, "served: {served}");
        }
    }
}
