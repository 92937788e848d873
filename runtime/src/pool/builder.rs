//! The builder: from settings to a running pool.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openrtc_core::id::{DigestKey, Incarnation};
use openrtc_core::worker::{Command, Leave, OnDeadline, Worker};
use openrtc_records::journal::{Journal, JournalConfig, Recovered};
use tokio::runtime::Handle;

use super::error::StartError;
#[cfg(feature = "http")]
use super::network::Network;
use super::runner::Runner;
use super::tokio_ports::Host;
use super::unique::Unique;
use super::{AgentPool, Built};
use crate::audit::{AuditSink, Outlets};
use crate::config::{Config, ConfigError, Control, Duplicates, KeySource, Settings, SocketMode, Start};
use crate::engine::clock::Clock;
use crate::engine::control;
use crate::engine::handle::WorkerHandle;
#[cfg(feature = "http")]
use crate::http::Trust;
use crate::log;
use crate::process::descriptors::{self, TooFew};
use crate::process::signal::{self, Orders};
use crate::process::systemd::Systemd;
use crate::process::{attend, supervisor, watchdog};
use crate::secret::Secret;
use crate::writer::Writer;

/// Builds an [`AgentPool`].
#[derive(Default)]
#[must_use]
pub struct AgentPoolBuilder {
    config: Config,
    sinks: Vec<Box<dyn AuditSink>>,
    #[cfg(feature = "http")]
    orders: axum::Router,
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
    /// Starts from a whole configuration. It replaces what was set before.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The version that the worker runs (`deployment_version`). Required.
    pub fn deployment_version(mut self, version: impl Into<String>) -> Self {
        self.config.deployment_version = version.into();
        self
    }

    /// The service's name. Default: `default`.
    pub fn deployment(mut self, deployment: impl Into<String>) -> Self {
        self.config.deployment = deployment.into();
        self
    }

    /// The worker's place in the fleet. Default: the host's name.
    pub fn worker(mut self, worker: impl Into<String>) -> Self {
        self.config.worker = Some(worker.into());
        self
    }

    /// Gives the audit trail to `sink` too. Needs a journal.
    pub fn audit_sink(mut self, sink: impl AuditSink) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// Answers these routes on the ops endpoints too, to whoever may give orders. For a program of this project that
    /// owns more than a worker.
    #[cfg(feature = "http")]
    #[doc(hidden)]
    pub fn ops_orders(mut self, orders: axum::Router) -> Self {
        self.orders = orders;
        self
    }

    setters! {
        /// The most calls in flight. Default: 1000.
        capacity(capacity: u32) => |config, capacity| config.capacity = capacity;
        /// How many file descriptors one call takes: sockets, files, pipes. The pool starts only if the system's limit
        /// suffices for the capacity, and refuses calls while no descriptor is left. Zero turns both off. Default: 1.
        call_descriptors(count: u32) => |config, count| config.call_descriptors = count;
        /// How long after its beginning a drain is overdue. Default: an hour.
        drain_timeout(timeout: Duration) => |config, timeout| config.drain_timeout = Some(timeout);
        /// What happens when a drain is overdue. Default: wait.
        on_deadline(policy: OnDeadline) => |config, policy| config.on_deadline = policy;
        /// When the drained worker leaves. Default: at once.
        leave(leave: Leave) => |config, leave| config.leave = leave;
        /// How long a worker that leaves goes on declining offers, counted from the moment when it stopped taking
        /// calls. Default: 1 s, for offers that are under way then. Zero: not at all.
        lame_duck(time: Duration) => |config, time| config.lame_duck = time;
        /// How long calls have to end by themselves after a forced drain has told them to. Default: 2 s.
        force_grace(grace: Duration) => |config, grace| config.force_grace = grace;
        /// How long an accepted offer waits for its assignment. Default: 10 s.
        reservation_ttl(ttl: Duration) => |config, ttl| config.reservation_ttl = ttl;
        /// Whether two calls in flight may have one id. Default: they may.
        duplicates(duplicates: Duplicates) => |config, duplicates| config.duplicates = duplicates;
        /// How long a call of class 0 may stay silent before it is flagged as stalled. `None`: it never is.
        /// Default: 30 s.
        stall_after(limit: Option<Duration>) => |config, limit| config.stall_after[0] = limit;
        /// How long the platform waits between SIGTERM and SIGKILL. A drain that may take longer is refused at start.
        platform_grace(grace: Duration) => |config, grace| config.platform_grace = Some(grace);
        /// Keeps a journal.
        journal(journal: JournalConfig) => |config, journal| config.journal = Some(journal);
        /// Keeps a journal in this directory, with the defaults of [`JournalConfig::new`].
        journal_dir(dir: PathBuf) => |config, dir| config.journal = Some(JournalConfig::new(dir));
        /// Writes the audit trail to a file. If the file exists, the trail in it is continued. Needs a journal.
        audit_file(file: PathBuf) => |config, file| config.audit_file = Some(file);
        /// The size in bytes at which the audit trail's file is rotated: it is renamed, and the trail goes on in a new
        /// file. Default: 64 MiB.
        audit_max_bytes(bytes: u64) => |config, bytes| config.audit_max_bytes = bytes;
        /// Sends the audit trail to this URL too, as lines of JSON, several at once and in order. Lines are sent again
        /// until the collector accepts them. Needs the trail's file.
        audit_webhook(url: String) => |config, url| config.audit_webhook = Some(url);
        /// Signs the audit trail and the worker's membership with the key in this file.
        signing_key_file(file: PathBuf) => |config, file| config.signing_key_file = Some(file);
        /// The same key as 64 hex digits, instead of the file.
        signing_key(digits: Secret) => |config, digits| config.signing_key = Some(digits);
        /// Registers at this URL. The worker waits in standby until the registrar there admits it, and leaves with
        /// [`Exit::REJECTED`](crate::Exit::REJECTED) if it is refused. Needs a key.
        register(url: String) => |config, url| config.register = Some(url);
        /// Dials in to the coordinator at this URL, over TLS unless it is on loopback. The worker waits in standby
        /// until the coordinator tells it to take calls, and parks when it has drained. It serves on while the
        /// coordinator is away. Needs a key.
        coordinator(url: String) => |config, url| config.coordinator = Some(url);
        /// A file (PEM) of the certificate authorities to trust, in place of the platform's, for HTTPS to the
        /// registrar, the coordinator and the webhook. It is read when the pool is built.
        tls_ca_file(file: PathBuf) => |config, file| config.tls_ca_file = Some(file);
        /// Where the ops endpoints listen. Port 0 picks a free one: see [`AgentPool::ops_addr`]. Default: nowhere.
        ops(addr: SocketAddr) => |config, addr| config.ops = Some(addr);
        /// A Unix socket on which the ops endpoints listen too. Only this user may open it, and orders through it need
        /// no token. A socket file that an earlier worker left behind is replaced. Default: none.
        ops_socket(path: PathBuf) => |config, path| config.ops_socket = Some(path);
        /// Who may open the socket. Default: its owner.
        ops_socket_mode(mode: SocketMode) => |config, mode| config.ops_socket_mode = mode;
        /// The token that every order over TCP must present, also from loopback. Without a token, TCP is read-only.
        ops_token(token: Secret) => |config, token| config.ops_token = Some(token);
        /// The certificate of the ops endpoints, with the chain up to its authority, and its key, each in a file (PEM).
        /// They speak HTTPS then, and nothing else. Files that are replaced are read again within 10 s.
        ops_tls(files: (PathBuf, PathBuf)) => |config, (cert, key)| {
            (config.ops_tls_cert_file, config.ops_tls_key_file) = (Some(cert), Some(key));
        };
        /// Whether the process's signals are handled as [`SIGNALS`](crate::process::SIGNALS) says, so that SIGTERM and
        /// SIGINT drain the worker. Default: they are.
        signals(handle: bool) => |config, handle| config.signals = handle;
        /// Where the control loop runs. Default: on a thread of its own.
        control(control: Control) => |config, control| config.control = control;
        /// Whether to take calls at once. Default: yes.
        start(start: Start) => |config, start| config.start = start;
        /// The exit watchdog: how long the process may stay up after its last worker has left. Then a separate thread
        /// ends the process with the gravest exit code of its workers. Default: 2 s, which is [`FLUSH`](crate::FLUSH).
        /// Zero turns it off.
        ///
        /// It is needed because a handler that blocks its thread cannot be aborted, and tokio waits for such a thread
        /// for ever when its runtime is dropped, as at the end of `#[tokio::main]`. A read of standard input blocks in
        /// the same way. When the watchdog ends the process, the journal is complete, and the audit trail and the
        /// reports have had their time; destructors do not run. If your program has more to do after
        /// [`serve`](AgentPool::serve) has returned, set a longer time.
        ///
        /// Only [`serve`](AgentPool::serve) arms it, and not under [`Control::Shared`].
        exit_watchdog(time: Duration) => |config, time| config.exit_watchdog = time;
    }

    /// Sets what the `OPENRTC_*` variables of the environment say. Setters that are called later win over it.
    pub fn from_env(mut self) -> Result<Self, ConfigError> {
        self.config.merge_env()?;
        Ok(self)
    }

    /// Checks the configuration, opens the journal and starts the pool. From then on the pool drains on SIGTERM and
    /// SIGINT and answers on its ops endpoints. Call it inside a tokio runtime with time enabled; without tokio, use
    /// [`blocking::AgentPool::start`](crate::blocking::AgentPool::start).
    ///
    /// # Errors
    /// [`StartError::Config`] if a setting is wrong, before anything is opened; the other errors if something cannot be
    /// opened or started. No run of the worker is in the journal then.
    ///
    /// A SIGTERM that arrives before this is lost, unless the program began with
    /// [`process::begin`](crate::process::begin).
    pub fn build(self) -> Result<AgentPool, StartError> {
        let here = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let settings = self.config.settings(!self.sinks.is_empty())?;
        // First: a signal that comes while the rest is prepared is kept, and drains the worker once it can be.
        let orders = settings.signals.then(listen).transpose()?;
        prepare_process(&settings)?;
        let key = settings.key.map(KeySource::read).transpose()?;
        let digests = digest_key().map_err(StartError::Random)?;
        let clock = Clock::start();
        let start = Worker::new(settings.limits).map_err(ConfigError::from)?;
        let runner = Runner::new(settings.control, here).map_err(StartError::Thread)?;
        let entered = runner.enter();
        #[cfg(feature = "http")]
        let trust = Trust::new(settings.http.ca_file.as_deref())?;
        #[cfg(feature = "http")]
        let network = Network::open(settings.http, &trust, key.clone(), self.orders)?;
        // Before the journal: a start that fails here leaves no trace of a run in it.
        #[cfg(feature = "http")]
        let open = |trail| Outlets::open(trail, &settings.identity, key, self.sinks, &trust);
        #[cfg(not(feature = "http"))]
        let open = |trail| Outlets::open(trail, &settings.identity, key, self.sinks);
        let outlets = settings.trail.map(open).transpose()?;
        let (mut identity, mut recovered, mut writer) = (settings.identity, None, Writer::none());
        identity.incarnation = Incarnation::new(clock.now().as_micros());
        if let Some(journal) = settings.journal {
            let journal = JournalConfig { say: |line| log::say(line), ..journal };
            let (journal, numbered, found) = Journal::open(journal, identity, clock.now(), &start)?;
            (identity, recovered) = (numbered, found);
            writer = Writer::start(journal).map_err(StartError::Thread)?;
        }
        report(recovered.as_ref());
        let audit = outlets.map(|outlets| outlets.start(identity, clock, start.clone())).transpose();
        let (feed, trail) = audit.map_err(StartError::Thread)?.unzip();
        let (worker, publisher) = WorkerHandle::new(&start, clock, identity, digests, settings.terms);
        let first = match settings.start {
            Start::Serving => Command::Serve,
            Start::Standby => Command::StandBy,
        };
        worker.submit(first).expect("a worker that has just started can serve or stand by");
        #[cfg(feature = "http")]
        let (ops_addr, farewell) = (network.ops_addr(), network.farewell());
        #[cfg(feature = "http")]
        let (roster, network) = (
            network.answers().then(|| worker.roster().clone()),
            network.run(worker.clone(), trail.clone(), recovered.as_ref()),
        );
        #[cfg(not(feature = "http"))]
        let (ops_addr, roster, network) = (None, None, std::future::ready(()));
        let unique = match settings.duplicates {
            Duplicates::Allow => None,
            Duplicates::Refuse => Some(Unique::default()),
        };
        let built = Arc::new(Built {
            trail,
            recovered,
            ops_addr,
            #[cfg(feature = "http")]
            farewell,
            exit_watchdog: settings.exit_watchdog,
            takes_descriptors: settings.call_descriptors > 0,
            unique,
        });
        let pool = AgentPool { worker: worker.clone(), built };
        let systemd = Systemd::from_env();
        let mut host = Host::new(clock, writer, feed, publisher, systemd.clone()).listing(roster);
        let work = async move {
            let attend = attend(worker.clone(), orders, systemd);
            tokio::join!(control::run(worker.gate(), start, &mut host), attend, network);
        };
        drop(entered);
        watchdog::enter();
        runner.run(work).map_err(StartError::Thread)?;
        Ok(pool)
    }
}

fn listen() -> Result<Orders, StartError> {
    signal::install().map_err(StartError::Signals)?;
    Ok(Orders::listen())
}

/// Makes the process fit for the worker.
fn prepare_process(settings: &Settings) -> Result<(), StartError> {
    if settings.control == Control::OwnThread {
        log::start().and_then(|()| watchdog::start()).map_err(StartError::Thread)?;
    }
    let (capacity, each) = (settings.limits.capacity, settings.call_descriptors);
    descriptors::provide(capacity, each).map_err(|few| {
        let TooFew { needed, limit, suffices_for } = few;
        StartError::Descriptors { capacity, each, needed, limit, suffices_for }
    })?;
    if settings.signals && settings.platform_grace.is_none() {
        supervisor::warn_of_unknown_grace();
    }
    if cfg!(panic = "abort") {
        tracing::warn!(
            "this program is built with panic = \"abort\": a panic in one call ends all of them; remove it from the \
             profile in Cargo.toml"
        );
    }
    Ok(())
}

fn report(recovered: Option<&Recovered>) {
    let Some(recovered) = recovered else { return };
    if let Some((path, torn)) = &recovered.torn {
        tracing::warn!(segment = %path.display(), %torn, "the last journal segment has a torn end");
    }
    for segment in &recovered.newer {
        let segment = segment.display();
        tracing::warn!(%segment, "a newer build wrote this journal segment: it stays as it is, beside a new journal");
    }
    let incarnation = recovered.predecessor.map(|predecessor| predecessor.incarnation.get());
    for call in &recovered.lost_calls {
        tracing::warn!(%call, incarnation, "call lost in the crash of the run before");
    }
}

/// A key of its own for each run, so that no caller can choose an id that collides with another one.
fn digest_key() -> io::Result<DigestKey> {
    Ok(DigestKey([getrandom::u64()?, getrandom::u64()?]))
}
