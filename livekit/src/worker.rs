//! A LiveKit worker as a call source: what an embedder holds.

mod builder;
mod driver;
mod job;
mod offer;
mod socket;

use std::future::Future;
use std::sync::Arc;

use openrtc_runtime::{
    AgentPool, Call, CallEnd, CallSource, EndReason, Ended, Ending, Exit, Reporter, ServeError, WorkerView,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::session::{Counts, End, Patience, Registration};
use driver::{Driver, Order};
use offer::Decide;

pub use builder::{SetupError, WorkerBuilder};
pub use job::Job;
pub use offer::{Decision, JobOffer, Request};
pub(crate) use socket::Server;
#[cfg(any(feature = "guard", feature = "peer", feature = "server"))]
pub(crate) use socket::now_secs;

/// A worker of a LiveKit server: registers with it, and yields the jobs that it offers as calls.
///
/// ```no_run
/// use openrtc_livekit::{Job, Worker};
/// use openrtc_runtime::{AgentPool, Call};
///
/// # async fn talk(_: &Job) -> Result<(), String> { Ok(()) }
/// # async fn example() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
/// let pool = AgentPool::builder().deployment_version("v2.0.0").from_env()?.build()?;
/// let worker = Worker::builder().agent_name("greeter").from_env()?.build()?;
/// let exit = worker
///     .serve(&pool, |call: Call<Job>| async move {
///         let Call { session: job, guard, .. } = call;
///         let result = talk(&job).await;      // joins job.room() at job.url() with job.token()
///         job.finish(guard, result).await;    // tells LiveKit, then frees the slot; leave the room after this
///     })
///     .await?;
/// # Ok(exit.into())
/// # }
/// ```
#[derive(Debug)]
pub struct Worker {
    setup: Option<Setup>,
    orders: mpsc::UnboundedSender<Order>,
    offers: mpsc::UnboundedReceiver<JobOffer>,
    health: watch::Receiver<Health>,
}

/// What the driver needs, until the pool attaches it.
struct Setup {
    server: Server,
    registration: Registration,
    patience: Patience,
    decide: Option<Arc<dyn Decide>>,
    orders: mpsc::UnboundedReceiver<Order>,
    offers: mpsc::UnboundedSender<JobOffer>,
    health: watch::Sender<Health>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("registration", &self.registration).finish_non_exhaustive()
    }
}

/// How a worker and its server get on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether the server has confirmed a registration that still stands.
    pub registered: bool,
    /// Whether the server gives jobs: a registration stands, and the server is known to have heard that the worker
    /// takes them.
    pub available: bool,
    /// Why there is no registration, if something went wrong since.
    pub trouble: Option<String>,
    /// What happened so far.
    pub counts: Counts,
    /// Whether the session is over: everything is delivered, or was given its time.
    pub left: bool,
}

/// Sees how a [`Worker`] and its server get on, and tells the server how busy the worker is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Monitor {
    orders: mpsc::UnboundedSender<Order>,
    health: watch::Receiver<Health>,
}

impl Monitor {
    /// How they get on now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Resolves when the server has confirmed a registration, at once if one stands; or when the session is over. A
    /// worker that waits to be promoted is registered and gets no jobs. Cancel-safe.
    pub async fn registered(&mut self) {
        // An error says that the session is over.
        let _ = self.health.wait_for(|health| health.registered || health.left).await;
    }

    /// Resolves when the server gives jobs to this worker, or when the session is over. If the server does so already,
    /// it resolves at once. Wait for it before you stop the worker that this one replaces: a dispatch is lost if no
    /// worker takes jobs. Cancel-safe.
    pub async fn available(&mut self) {
        let _ = self.health.wait_for(|health| health.available || health.left).await;
    }

    /// Resolves when the session is over: what was owed to the server is delivered, and the connection closed; or both
    /// had their time. Cancel-safe.
    pub async fn left(&mut self) {
        let _ = self.health.wait_for(|health| health.left).await;
    }

    /// Tells the server how busy the worker is by your own measure: 0 is idle, 1 is all it can do. Say it every few
    /// seconds; it counts for 10 s. With a free slot it makes the worker less preferred, and never unavailable, since
    /// LiveKit loses calls whose workers are all too busy. [`f32::NAN`] says that the worker can take nothing.
    pub fn measure(&self, load: f32) {
        // A session that is over needs no load.
        let _ = self.orders.send(Order::Measure(load));
    }
}

/// The worker had no registration for too long, and no job: there is no point in going on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no registration with LiveKit for too long: {trouble}")]
#[non_exhaustive]
pub struct Unregistered {
    /// What went wrong last.
    pub trouble: String,
}

impl Worker {
    /// A builder with nothing set.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder::default()
    }

    /// A worker from `LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`, and if they are set from
    /// `LIVEKIT_AGENT_NAME` and `LIVEKIT_AGENT_DEPLOYMENT`.
    ///
    /// # Errors
    /// Names the variable that is missing or wrong.
    pub fn from_env() -> Result<Self, SetupError> {
        Self::builder().from_env()?.build()
    }

    /// Sees how the worker and its server get on.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor { orders: self.orders.clone(), health: self.health.clone() }
    }

    /// Runs a pool on this worker's jobs to its end, as [`AgentPool::serve`] does, and then sees the last statuses off:
    /// returns once the server has them and the connection is closed, half a second later at most.
    ///
    /// # Errors
    /// As [`AgentPool::serve`].
    pub async fn serve<H, F>(self, pool: &AgentPool, handler: H) -> Result<Exit, ServeError<Unregistered>>
    where
        H: Fn(Call<Job>) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Ending,
    {
        let mut monitor = self.monitor();
        let exit = pool.serve(self, handler).await;
        monitor.left().await;
        exit
    }

    /// One that takes every offer and has the usual patience.
    #[cfg(feature = "peer")]
    pub(crate) fn plain(server: Server, registration: Registration) -> Self {
        Self::new(server, registration, Patience::default(), None)
    }

    fn new(server: Server, registration: Registration, patience: Patience, decide: Option<Arc<dyn Decide>>) -> Self {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (offers, offered) = mpsc::unbounded_channel();
        let (health, healthy) = watch::channel(Health::default());
        let setup = Setup { server, registration, patience, decide, orders: ordered, offers, health };
        Self { setup: Some(setup), orders, offers: offered, health: healthy }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A driver that is gone has nothing left to do.
        let _ = self.orders.send(Order::Leave);
    }
}

impl CallSource for Worker {
    type Offer = JobOffer;
    type Error = Unregistered;
    type Reporter = JobReporter;

    /// Connects. Needs a tokio runtime.
    fn attach(&mut self, worker: WorkerView) -> JobReporter {
        if let Some(setup) = self.setup.take() {
            tokio::spawn(Driver::new(setup, worker, self.orders.clone()).run());
        }
        JobReporter(self.orders.clone())
    }

    async fn next(&mut self) -> Result<Option<JobOffer>, Unregistered> {
        if let Some(offer) = self.offers.recv().await {
            return Ok(Some(offer));
        }
        let trouble = self.health.borrow().trouble.clone();
        Err(Unregistered { trouble: trouble.unwrap_or_else(|| "the session ended".to_owned()) })
    }
}

/// Tells the server how the jobs of a [`Worker`] ended.
#[derive(Debug)]
pub struct JobReporter(mpsc::UnboundedSender<Order>);

impl Reporter for JobReporter {
    async fn ended(&self, end: CallEnd) {
        let Some(how) = end_of(end.how) else { return };
        let (done, delivered) = oneshot::channel();
        if self.0.send(Order::End { job: end.id, end: how, patient: true, done }).is_ok() {
            // An error says that the session is over, or that the job has no status.
            let _ = delivered.await;
        }
    }
}

/// What the server hears about a call's end. `None` if it has not ended.
fn end_of(how: Ended) -> Option<End> {
    let failed = |why: &str| Some(End::Failed(why.to_owned()));
    match how {
        Ended::Lapsed | Ended::Recorded(EndReason::Withdrawn) => Some(End::Lapsed),
        Ended::Recorded(EndReason::CallerHangup | EndReason::AgentHangup | EndReason::OperatorHangup) => {
            Some(End::Succeeded)
        }
        Ended::Recorded(EndReason::Failed) => failed("the handler failed"),
        Ended::Recorded(EndReason::Panicked) => failed("the handler panicked"),
        Ended::Recorded(EndReason::Disconnected) => failed("the transport broke"),
        Ended::Recorded(EndReason::DrainForced) => failed("the drain deadline cut it"),
        Ended::Recorded(EndReason::GuardDropped) => failed("it was dropped without a word"),
        Ended::Recorded(EndReason::ProgramFailed) => failed("the program that held it failed"),
        // It goes on in another run. What this build does not know it does not report.
        _ => None,
    }
}
