//! The builder: from settings to a running pool.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openrtc_core::id::{Identity, Incarnation};
use openrtc_core::worker::{OnDeadline, Worker};
use openrtc_records::journal::{Journal, JournalConfig, Recovered};
use openrtc_records::trail::TrailFile;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::host::Host;
use super::runner::Runner;
use super::writer::Writer;
use super::{AgentPool, Published, Shared};
use crate::audit::{AuditError, AuditSink, Auditor, Feed, Trail, Webhook};
use crate::config::{Config, ConfigError, Control, Start};
use crate::engine::clock::Clock;
use crate::engine::force::Force;
use crate::engine::gate::Gate;
use crate::engine::shell;
use crate::http::Uri;
use crate::ops;
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
        let mut config = self.config;
        let registration = config.registration()?;
        let webhook = config.webhook()?;
        if registration.is_some() {
            config.start = Start::Standby;
        }
        let clock = Clock::start();
        let worker = Worker::new(config.limits()?)?;
        let mut identity = config.identity()?;
        identity.incarnation = Incarnation::new(clock.now().as_micros());
        let runner = Runner::new(config.control, here).map_err(ConfigError::Thread)?;
        let entered = runner.enter();
        // First: a signal that comes while the rest is prepared is kept, and drains the worker once it can be.
        let signals = config.signals.then(Signals::install).transpose().map_err(ConfigError::Signals)?;
        let ops = match config.ops {
            Some(addr) => Some(ops::listen(addr).map_err(|source| ConfigError::Ops { addr, source })?),
            None => None,
        };
        // Before the journal: a start that fails here leaves no trace of a run in it.
        let opened = Opened::open(&config, webhook)?;
        let mut writer = None;
        let mut recovered = None;
        if let Some(journal) = config.journal.clone() {
            let (journal, numbered, found) = Journal::open(journal, identity, clock.now(), &worker)?;
            (identity, recovered) = (numbered, found);
            writer = Some(Writer::start(journal).map_err(ConfigError::Thread)?);
        }
        report(recovered.as_ref());
        let force = Force::default();
        let (publish, published) = watch::channel(Published::default());
        let (audit, trail) = start_audit(&config, identity, &worker, opened, self.sinks)?;
        let mut host = Host::new(clock, writer, audit, publish, force.clone());
        let gate = Gate::new(&worker);
        let ops_addr = ops.as_ref().map(|(_, addr)| *addr);
        let shared = Arc::new(Shared { gate, clock, identity, config, force, published, trail, recovered, ops_addr });
        let pool = AgentPool { shared: Arc::clone(&shared) };
        pool.start();
        let (attended, asked, registered) = (pool.clone(), pool.clone(), pool.clone());
        let work = async move {
            let answers = async {
                if let Some((listener, _)) = ops {
                    ops::answer_all(listener, asked).await;
                }
            };
            let register = async {
                if let Some(registration) = registration {
                    registration.run(&registered).await;
                }
            };
            tokio::join!(shell::run(&shared.gate, worker, &mut host), attend(attended, signals), answers, register);
        };
        drop(entered);
        runner.run(work).map_err(ConfigError::Thread)?;
        Ok(pool)
    }
}

/// What the audit trail is written to, held against everybody else.
struct Opened {
    file: Option<TrailFile>,
    webhook: Option<Webhook>,
}

impl Opened {
    fn open(config: &Config, webhook: Option<Uri>) -> Result<Self, ConfigError> {
        let Some(path) = config.audit_file.as_deref() else { return Ok(Self { file: None, webhook: None }) };
        let sync = config.journal.as_ref().ok_or(AuditError::NoJournal)?.sync;
        let file = TrailFile::open(path, sync)?;
        let webhook = webhook.map(|url| Webhook::open(url, path)).transpose()?;
        Ok(Self { file: Some(file), webhook })
    }
}

fn start_audit(
    config: &Config,
    identity: Identity,
    worker: &Worker,
    opened: Opened,
    sinks: Vec<Box<dyn AuditSink>>,
) -> Result<(Option<Feed>, Option<Trail>), ConfigError> {
    let Opened { file, webhook } = opened;
    if sinks.is_empty() && file.is_none() {
        return Ok((None, None));
    }
    let journal = config.journal.as_ref().ok_or(AuditError::NoJournal)?.dir.clone();
    let key = config.signing_key()?;
    let auditor = Auditor::new(journal, identity, worker.clone(), file, sinks, key);
    let (feed, extent) = auditor.start().map_err(ConfigError::Thread)?;
    let delivery = webhook.map(|webhook| webhook.start(extent.clone())).transpose().map_err(ConfigError::Thread)?;
    Ok((Some(feed), Some(Trail { extent, delivery })))
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
