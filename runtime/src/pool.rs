//! The pool: what an embedder holds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openrtc_core::id::{Actor, CallId, CallNo, Identity, Incarnation, Seq};
use openrtc_core::snapshot::{JournalHealth, RuntimeSnapshot};
use openrtc_core::time::Instant;
use openrtc_core::word::Refusal;
use openrtc_core::worker::{Cause, Class, Command, DrainOrder, Entry, OnDeadline, Outcome, Refused, Rejection, Worker};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::attend::attend;
use crate::call::{CallGuard, OpenCall, Reservation};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Secret, Start};
use crate::control::{Control, Runner};
use crate::exit::Exit;
use crate::gate::Gate;
use crate::host::Host;
use crate::journal::{Journal, JournalConfig, Recovered, Writer};
use crate::ops;
use crate::shell;
use crate::signal::Signals;

/// The calls of one worker, and the one way in and out of them. Cheap to clone; all clones are the same pool.
#[derive(Clone, Debug)]
pub struct AgentPool {
    pub(crate) shared: Arc<Shared>,
}

/// What every clone and every guard shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    clock: Clock,
    pub(crate) identity: Identity,
    pub(crate) config: Config,
    /// Cancelled when a forced drain tells the calls to end.
    pub(crate) force: CancellationToken,
    published: watch::Receiver<Published>,
    recovered: Option<Recovered>,
    ops_addr: Option<SocketAddr>,
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
        AgentPoolBuilder { config: Config::default() }
    }

    /// Takes a call that is there now. The refusal is an answer to the dispatcher: every one may be retried at another
    /// worker.
    pub fn admit(&self, id: CallId) -> Result<CallGuard, Refusal> {
        self.admit_class(id, Class::default())
    }

    /// [`AgentPool::admit`] for a call of a kind of its own.
    ///
    /// # Panics
    /// When `class` is not below [`CLASSES`](openrtc_core::worker::CLASSES).
    pub fn admit_class(&self, id: CallId, class: Class) -> Result<CallGuard, Refusal> {
        let entry = self.take(Command::Admit { id, class })?;
        Ok(CallGuard::new(self.open(entry.seq, id, true), entry.seq))
    }

    /// Says yes to an offer. The call counts from here: a drain that begins before its assignment waits for it.
    pub fn reserve(&self, id: CallId) -> Result<Reservation, Refusal> {
        self.reserve_class(id, Class::default())
    }

    /// [`AgentPool::reserve`] for a call of a kind of its own.
    ///
    /// # Panics
    /// When `class` is not below [`CLASSES`](openrtc_core::worker::CLASSES).
    pub fn reserve_class(&self, id: CallId, class: Class) -> Result<Reservation, Refusal> {
        let entry = self.take(Command::Reserve { id, class })?;
        Ok(Reservation::new(self.open(entry.seq, id, false), entry.seq))
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
        self.wait(|published| published.drained || published.outcome.is_some()).await;
    }

    /// Leaves: the drained worker's last entry. Everything is in the journal when this resolves.
    pub async fn close(&self) -> Result<Exit, Rejection> {
        match self.submit(Command::Close) {
            Ok(_) | Err(Rejection::Repeat(_)) => Ok(self.exited().await),
            Err(rejection) => Err(rejection),
        }
    }

    /// Resolves when the worker has left, with how it did.
    pub async fn exited(&self) -> Exit {
        let published = self.wait(|published| published.outcome.is_some()).await;
        Exit(published.outcome.unwrap_or(Outcome::Clean))
    }

    /// The worker as it is now: `deployment_version`, `draining`, `active_sessions` and the rest.
    #[must_use]
    pub fn runtime_snapshot(&self) -> RuntimeSnapshot {
        let health = self.shared.published.borrow().health;
        self.shared.gate.read(|worker| RuntimeSnapshot::of(worker, &self.shared.identity, health))
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

    fn start(&self) {
        let start = match self.shared.config.start {
            Start::Serving => Command::Serve,
            Start::Standby => Command::StandBy,
        };
        self.submit(start).expect("a worker that has just started can serve or stand by");
    }

    pub(crate) fn submit(&self, command: Command) -> Result<Entry, Rejection> {
        self.shared.gate.submit(self.shared.now(), command)
    }

    fn take(&self, command: Command) -> Result<Entry, Refusal> {
        self.submit(command).map_err(|rejection| match rejection {
            Rejection::Refused(Refused::Admission(refusal)) => refusal,
            Rejection::Repeat(_) | Rejection::Refused(_) | Rejection::Misuse(_) => {
                panic!("a call class must be below {}: {rejection}", openrtc_core::worker::CLASSES)
            }
        })
    }

    fn open(&self, seq: Seq, id: CallId, assigned: bool) -> OpenCall {
        OpenCall::new(Arc::clone(&self.shared), CallNo::new(seq.get()), id, assigned)
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
        self.wait(|published| published.settled >= seq || published.outcome.is_some()).await;
    }

    /// When the calls of a forced drain are dropped.
    pub(crate) fn force_until(&self) -> Instant {
        let forced = self.gate.read(|worker| worker.drain().and_then(|drain| drain.forced));
        forced.map_or_else(|| self.now(), |forced| forced.until)
    }

    async fn wait(&self, until: impl FnMut(&Published) -> bool) -> Published {
        let mut published = self.published.clone();
        // The shell is gone only with the whole runtime; then nobody is left to wait.
        published.wait_for(until).await.map_or_else(|_| *self.published.borrow(), |published| *published)
    }
}

/// Builds an [`AgentPool`].
#[derive(Clone, Debug)]
#[must_use]
pub struct AgentPoolBuilder {
    config: Config,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($value:ident: $type:ty) => $field:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $value: $type) -> Self {
            let set: fn(&mut Config, $type) = $field;
            set(&mut self.config, $value);
            self
        }
    )*};
}

impl AgentPoolBuilder {
    /// Starts from a whole configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The version this worker runs (`deployment_version`); required.
    pub fn deployment_version(mut self, version: impl Into<String>) -> Self {
        self.config.deployment_version = version.into();
        self
    }

    /// The service's name.
    pub fn deployment(mut self, deployment: impl Into<String>) -> Self {
        self.config.deployment = deployment.into();
        self
    }

    /// The worker's place in the fleet; the host's name if not given.
    pub fn worker(mut self, worker: impl Into<String>) -> Self {
        self.config.worker = Some(worker.into());
        self
    }

    setters! {
        /// The most calls in flight.
        capacity(capacity: u32) => |config, capacity| config.capacity = capacity;
        /// When a drain is overdue.
        drain_timeout(timeout: Duration) => |config, timeout| config.drain_timeout = Some(timeout);
        /// What happens when a drain is overdue.
        on_deadline(policy: OnDeadline) => |config, policy| config.on_deadline = policy;
        /// How long calls may say goodbye after a force.
        force_grace(grace: Duration) => |config, grace| config.force_grace = grace;
        /// How long an accepted offer waits for its assignment.
        reservation_ttl(ttl: Duration) => |config, ttl| config.reservation_ttl = ttl;
        /// How long a call of class 0 may stay silent before it is flagged.
        stall_after(limit: Option<Duration>) => |config, limit| config.stall_after[0] = limit;
        /// How long the platform waits between SIGTERM and SIGKILL; a drain that may outlast it is refused.
        platform_grace(grace: Duration) => |config, grace| config.platform_grace = Some(grace);
        /// Keeps a journal.
        journal(journal: JournalConfig) => |config, journal| config.journal = Some(journal);
        /// Keeps a journal in this directory, with the defaults of [`JournalConfig::new`].
        journal_dir(dir: PathBuf) => |config, dir| config.journal = Some(JournalConfig::new(dir));
        /// Where the ops endpoints listen.
        ops(addr: SocketAddr) => |config, addr| config.ops = Some(addr);
        /// What `POST`s from outside loopback must present.
        ops_token(token: Secret) => |config, token| config.ops_token = Some(token);
        /// Whether SIGTERM and SIGINT drain the worker; they do by default.
        signals(handle: bool) => |config, handle| config.signals = handle;
        /// Where the control loop runs.
        control(control: Control) => |config, control| config.control = control;
        /// Whether to take calls at once.
        start(start: Start) => |config, start| config.start = start;
    }

    /// Takes every `OPENRTC_*` variable that is set; later setters win over it.
    pub fn from_env(mut self) -> Result<Self, ConfigError> {
        self.config.merge_env()?;
        Ok(self)
    }

    /// Checks the configuration, opens the journal and starts the pool: from here on it drains on SIGTERM and SIGINT
    /// and answers on its ops endpoints. Must be called inside a tokio runtime.
    pub fn build(self) -> Result<AgentPool, ConfigError> {
        let here = Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        let config = self.config;
        let clock = Clock::start();
        let worker = Worker::new(config.limits()?)?;
        let mut identity = config.identity()?;
        identity.incarnation = Incarnation::new(clock.now().as_micros());
        let runner = Runner::new(config.control, here).map_err(ConfigError::Thread)?;
        let entered = runner.enter();
        let ops = match config.ops {
            Some(addr) => Some(ops::listen(addr).map_err(|source| ConfigError::Ops { addr, source })?),
            None => None,
        };
        let mut writer = None;
        let mut recovered = None;
        if let Some(journal) = config.journal.clone() {
            let (journal, numbered, found) = Journal::open(journal, identity, clock.now(), &worker)?;
            (identity, recovered) = (numbered, found);
            writer = Some(Writer::start(journal).map_err(ConfigError::Thread)?);
        }
        report(recovered.as_ref());
        let signals = config.signals.then(Signals::install).transpose().map_err(ConfigError::Signals)?;
        let force = CancellationToken::new();
        let (publish, published) = watch::channel(Published::default());
        let mut host = Host::new(clock, writer, publish, force.clone());
        let gate = Gate::new(worker.clone());
        let ops_addr = ops.as_ref().map(|(_, addr)| *addr);
        let shared = Arc::new(Shared { gate, clock, identity, config, force, published, recovered, ops_addr });
        let pool = AgentPool { shared: Arc::clone(&shared) };
        pool.start();
        let (attended, asked) = (pool.clone(), pool.clone());
        let work = async move {
            let answers = async {
                if let Some((listener, _)) = ops {
                    ops::answer_all(listener, asked).await;
                }
            };
            tokio::join!(shell::run(&shared.gate, worker, &mut host), attend(attended, signals), answers);
        };
        drop(entered);
        runner.run(work).map_err(ConfigError::Thread)?;
        Ok(pool)
    }
}

fn report(recovered: Option<&Recovered>) {
    let Some(recovered) = recovered else { return };
    if let Some((path, torn)) = &recovered.torn {
        tracing::warn!(segment = %path.display(), %torn, "the last journal segment has a torn end");
    }
    for call in &recovered.lost_calls {
        let incarnation = recovered.predecessor.incarnation;
        tracing::warn!(%call, %incarnation, "call lost in the crash of the run before");
    }
}
