//! The builder: from settings to a running pool.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openrtc_core::id::Incarnation;
use openrtc_core::worker::{Command, OnDeadline, Worker};
use openrtc_records::journal::{Journal, JournalConfig, Recovered};
use tokio::runtime::Handle;

use super::host::Host;
#[cfg(feature = "http")]
use super::network::Network;
use super::runner::Runner;
use super::writer::Writer;
use super::{AgentPool, Built};
use crate::audit::{AuditSink, Outlets};
use crate::config::{Config, ConfigError, Control, Start};
use crate::engine::clock::Clock;
use crate::engine::handle::WorkerHandle;
use crate::engine::shell;
use crate::process::attend;
use crate::process::signal::Signals;
use crate::secret::Secret;

/// Builds an [`AgentPool`].
#[derive(Default)]
#[must_use]
pub struct AgentPoolBuilder {
    config: Config,
    sinks: Vec<Box<dyn AuditSink>>,
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

    /// Hands the audit trail to `sink` too. Needs a journal.
    pub fn audit_sink(mut self, sink: impl AuditSink) -> Self {
        self.sinks.push(Box::new(sink));
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
        /// Writes the audit trail to a file, and continues the one that is there. Needs a journal.
        audit_file(file: PathBuf) => |config, file| config.audit_file = Some(file);
        /// Sends the audit trail to this URL as well: lines of JSON, several at once, in order, until they are taken.
        /// Needs the file.
        audit_webhook(url: String) => |config, url| config.audit_webhook = Some(url);
        /// Signs the audit trail and the worker's membership with the key in this file.
        signing_key_file(file: PathBuf) => |config, file| config.signing_key_file = Some(file);
        /// The same key as 64 hex digits, instead of the file.
        signing_key(digits: Secret) => |config, digits| config.signing_key = Some(digits);
        /// Stays in standby until whoever hands out calls at this URL lets the worker in, and leaves with
        /// [`Exit::REJECTED`](crate::Exit::REJECTED) if refused. Needs a key.
        register(url: String) => |config, url| config.register = Some(url);
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
        let settings = self.config.check(!self.sinks.is_empty())?;
        let clock = Clock::start();
        let start = Worker::new(settings.limits)?;
        let runner = Runner::new(settings.control, here).map_err(ConfigError::Thread)?;
        let entered = runner.enter();
        // First: a signal that comes while the rest is prepared is kept, and drains the worker once it can be.
        let signals = settings.signals.then(Signals::install).transpose().map_err(ConfigError::Signals)?;
        #[cfg(feature = "http")]
        let network = Network::open(settings.http)?;
        // Before the journal: a start that fails here leaves no trace of a run in it.
        let outlets = settings.trail.map(|trail| Outlets::open(trail, self.sinks)).transpose()?;
        let (mut identity, mut recovered, mut writer) = (settings.identity, None, None);
        identity.incarnation = Incarnation::new(clock.now().as_micros());
        if let Some(journal) = settings.journal {
            let (journal, numbered, found) = Journal::open(journal, identity, clock.now(), &start)?;
            (identity, recovered) = (numbered, found);
            writer = Some(Writer::start(journal).map_err(ConfigError::Thread)?);
        }
        report(recovered.as_ref());
        let audit = outlets.map(|outlets| outlets.start(identity, clock, start.clone())).transpose();
        let (feed, trail) = audit.map_err(ConfigError::Thread)?.unzip();
        let (worker, publisher) = WorkerHandle::new(&start, clock, identity, settings.terms);
        let first = match settings.start {
            Start::Serving => Command::Serve,
            Start::Standby => Command::StandBy,
        };
        worker.submit(first).expect("a worker that has just started can serve or stand by");
        #[cfg(feature = "http")]
        let (ops_addr, network) = (network.ops_addr(), network.run(worker.clone(), trail.clone()));
        #[cfg(not(feature = "http"))]
        let (ops_addr, network) = (None, std::future::ready(()));
        let built = Arc::new(Built { trail, recovered, ops_addr });
        let pool = AgentPool { worker: worker.clone(), built };
        let mut host = Host::new(clock, writer, feed, publisher);
        let work = async move {
            let attend = attend(worker.clone(), signals);
            tokio::join!(shell::run(worker.gate(), start, &mut host), attend, network);
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
