//! What an [`AgentPool`](crate::AgentPool) is told, checked before it starts.

mod env;

use std::net::SocketAddr;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::time::Duration;

use openrtc_core::id::{BadName, Deployment, Identity, Incarnation, Version, WorkerId};
use openrtc_core::membership::SigningKey;
use openrtc_core::worker::{BadLimits, CLASSES, Limits, OnDeadline};
use openrtc_records::journal::{JournalConfig, JournalError, Sync};
use openrtc_records::trail::TrailError;

pub use env::{VARIABLES, Variable};

use crate::audit::{AuditError, parse_webhook};
use crate::http::{HttpError, Uri, parse_url};
use crate::secret::{KeyError, Secret, parse_signing_key, read_signing_key};
use crate::uplink::register::Registration;

/// What remains to be done after the last call has ended: finish handlers, journal and audit trail, leave.
pub const FLUSH: Duration = Duration::from_secs(2);

/// Whether a worker takes calls as soon as it is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Take calls.
    #[default]
    Serving,
    /// Wait to be promoted.
    Standby,
}

/// Where the shell, the signals and the ops endpoints run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// On a thread of their own: a handler that blocks its thread delays no drain, no probe and no exit.
    #[default]
    OwnThread,
    /// On the runtime that builds the pool: for tests, which then control its time and its end.
    Shared,
}

/// Everything a pool can be told. Set through the builder's methods or `OPENRTC_*` variables ([`VARIABLES`]).
#[derive(Clone, Debug)]
pub struct Config {
    /// The service's name.
    pub deployment: String,
    /// The version this worker runs; there is no default.
    pub deployment_version: String,
    /// The worker's place in the fleet; the host's name if not given.
    pub worker: Option<String>,
    /// The most calls in flight.
    pub capacity: u32,
    /// How long an accepted offer waits for its assignment.
    pub reservation_ttl: Duration,
    /// How long a call of each class may stay silent before it is flagged.
    pub stall_after: [Option<Duration>; CLASSES],
    /// When a drain is overdue; `None`: never.
    pub drain_timeout: Option<Duration>,
    /// What happens then.
    pub on_deadline: OnDeadline,
    /// How long calls may say goodbye after a force.
    pub force_grace: Duration,
    /// How long the platform waits between SIGTERM and SIGKILL, if it is known.
    pub platform_grace: Option<Duration>,
    /// Where and how the journal is kept; `None` keeps none.
    pub journal: Option<JournalConfig>,
    /// The file of the audit trail; needs a journal.
    pub audit_file: Option<PathBuf>,
    /// Where the trail is sent as well; needs the file.
    pub audit_webhook: Option<String>,
    /// The file of the key that signs the audit trail and this worker's membership.
    pub signing_key_file: Option<PathBuf>,
    /// The same key as 64 hex digits, instead of the file.
    pub signing_key: Option<Secret>,
    /// Where the worker registers, and waits in standby until it is let in; `None`: nobody is asked. Needs a key.
    pub register: Option<String>,
    /// Where the ops endpoints listen; `None`: nowhere.
    pub ops: Option<SocketAddr>,
    /// What `POST`s from outside loopback must present.
    pub ops_token: Option<Secret>,
    /// Whether to take calls at once.
    pub start: Start,
    /// Whether SIGTERM and SIGINT drain the worker.
    pub signals: bool,
    /// Where the control loop runs.
    pub control: Control,
}

impl Default for Config {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            deployment: "default".into(),
            deployment_version: String::new(),
            worker: None,
            capacity: limits.capacity,
            reservation_ttl: limits.reservation_ttl.into(),
            stall_after: limits.stall_after.map(|limit| limit.map(Into::into)),
            drain_timeout: Some(Duration::from_hours(1)),
            on_deadline: OnDeadline::Wait,
            force_grace: limits.force_grace.into(),
            platform_grace: None,
            journal: None,
            audit_file: None,
            audit_webhook: None,
            signing_key_file: None,
            signing_key: None,
            register: None,
            ops: None,
            ops_token: None,
            start: Start::Serving,
            signals: true,
            control: Control::OwnThread,
        }
    }
}

/// Why a pool cannot start. Each message names the setting and the fix.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The limits cannot work.
    #[error(transparent)]
    Limits(#[from] BadLimits),
    /// The drain policy needs a deadline.
    #[error("on_deadline is {0:?} but there is no drain_timeout: set OPENRTC_DRAIN_TIMEOUT, or use `wait`")]
    DeadlineMissing(OnDeadline),
    /// A zero that would have to be guessed at.
    #[error("{0} is 0: give a positive duration; where there may be no limit, set it to `none`")]
    Zero(&'static str),
    /// The platform would kill the worker in the middle of its drain.
    #[error(
        "a drain may take {needed:?} (drain_timeout + force_grace + {FLUSH:?} to flush), but the platform kills after \
         {grace:?}: shorten drain_timeout or raise the platform's grace (terminationGracePeriodSeconds, TimeoutStopSec)"
    )]
    GraceTooShort {
        /// What the drain may need.
        needed: Duration,
        /// What the platform gives.
        grace: Duration,
    },
    /// A drain without limit cannot fit into any grace.
    #[error(
        "a drain may take for ever (no drain_timeout), but the platform kills after {0:?}: set OPENRTC_DRAIN_TIMEOUT"
    )]
    GraceUnused(Duration),
    /// The token is no protection, or no client could present it.
    #[error(
        "OPENRTC_OPS_TOKEN: use at least {} characters of printable ASCII without spaces or line ends",
        Secret::LEN_MIN
    )]
    OpsToken,
    /// The ops endpoints would let anybody drain the worker.
    #[error("the ops endpoints listen on {0}, which is not loopback, without a token: set OPENRTC_OPS_TOKEN")]
    OpsOpen(SocketAddr),
    /// An environment variable does not parse.
    #[error("{name}={value:?}: {problem}")]
    Variable {
        /// Which.
        name: &'static str,
        /// Its value, unless it is secret.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The audit trail cannot be kept.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Its file cannot be had.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// The signing key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A worker that registers signs for itself.
    #[error(
        "a worker that registers needs a key to sign with: set OPENRTC_SIGNING_KEY_FILE (`openrtc keygen` writes one)"
    )]
    RegisterWithoutKey,
    /// Nobody can be asked at the address given.
    #[error("OPENRTC_REGISTER_URL: {0}")]
    Register(HttpError),
    /// The journal cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ops endpoints cannot listen.
    #[error(
        "the ops endpoints cannot listen on {addr}: {source} (name another OPENRTC_OPS_ADDR; port 0 picks a free one)"
    )]
    Ops {
        /// Where they should have listened.
        addr: SocketAddr,
        /// Why they cannot.
        source: std::io::Error,
    },
    /// Signal handlers cannot be installed.
    #[error("signal handlers cannot be installed: {0}")]
    Signals(std::io::Error),
    /// A thread could not be started.
    #[error("a thread of the runtime's own could not be started: {0}")]
    Thread(std::io::Error),
    /// Built outside a tokio runtime.
    #[error("build the pool inside a tokio runtime (under #[tokio::main] or Runtime::enter)")]
    NoRuntime,
}

impl Config {
    /// Takes every `OPENRTC_*` variable that is set.
    pub fn merge_env(&mut self) -> Result<(), ConfigError> {
        env::merge(self)
    }

    /// What the worker machine is allowed.
    pub(crate) fn limits(&self) -> Result<Limits, ConfigError> {
        let limits = Limits {
            capacity: self.capacity,
            force_grace: self.force_grace.into(),
            reservation_ttl: self.reservation_ttl.into(),
            stall_after: self.stall_after.map(|limit| limit.map(Into::into)),
        };
        limits.check()?;
        self.check_drain()?;
        self.check_ops()?;
        match self.journal.as_ref().map(|journal| journal.sync) {
            Some(Sync::Every(Duration::ZERO)) => Err(ConfigError::Zero("the journal's sync period")),
            Some(Sync::Always | Sync::Every(_)) | None => Ok(limits),
        }
    }

    /// Who the worker is; its incarnation is numbered when the journal is opened.
    pub(crate) fn identity(&self) -> Result<Identity, ConfigError> {
        let worker = match &self.worker {
            Some(worker) => WorkerId::new(worker)?,
            None => host_name(),
        };
        Ok(Identity {
            deployment: Deployment::new(&self.deployment)?,
            version: Version::new(&self.deployment_version)?,
            worker,
            incarnation: Incarnation::new(0),
        })
    }

    /// The key to sign with, from its file or as given.
    pub fn signing_key(&self) -> Result<Option<SigningKey>, KeyError> {
        match (&self.signing_key_file, &self.signing_key) {
            (None, None) => Ok(None),
            (Some(file), None) => read_signing_key(file).map(Some),
            (None, Some(digits)) => parse_signing_key(digits).map(Some),
            (Some(_), Some(_)) => Err(KeyError::Two),
        }
    }

    /// How the worker gets in, if it has to ask.
    pub(crate) fn registration(&self) -> Result<Option<Registration>, ConfigError> {
        let Some(url) = &self.register else { return Ok(None) };
        let url = parse_url(url).map_err(ConfigError::Register)?;
        let key = self.signing_key()?.ok_or(ConfigError::RegisterWithoutKey)?;
        Ok(Some(Registration::new(url, key)))
    }

    /// Where the trail is sent, if anywhere.
    pub(crate) fn webhook(&self) -> Result<Option<Uri>, AuditError> {
        match &self.audit_webhook {
            Some(_) if self.audit_file.is_none() => Err(AuditError::WebhookWithoutFile),
            Some(url) => parse_webhook(url).map(Some),
            None => Ok(None),
        }
    }

    fn check_drain(&self) -> Result<(), ConfigError> {
        if self.force_grace.is_zero() {
            return Err(ConfigError::Zero("force_grace"));
        }
        let Some(timeout) = self.drain_timeout else {
            return match (self.on_deadline, self.platform_grace) {
                (OnDeadline::Wait, None) => Ok(()),
                (OnDeadline::Wait, Some(grace)) => Err(ConfigError::GraceUnused(grace)),
                (policy @ (OnDeadline::Alert | OnDeadline::Force), _) => Err(ConfigError::DeadlineMissing(policy)),
            };
        };
        if timeout.is_zero() {
            return Err(ConfigError::Zero("drain_timeout"));
        }
        let needed = timeout.saturating_add(self.force_grace).saturating_add(FLUSH);
        match self.platform_grace {
            Some(grace) if grace <= needed => Err(ConfigError::GraceTooShort { needed, grace }),
            Some(_) | None => Ok(()),
        }
    }

    fn check_ops(&self) -> Result<(), ConfigError> {
        if !self.ops_token.as_ref().is_none_or(Secret::is_usable) {
            return Err(ConfigError::OpsToken);
        }
        match self.ops {
            Some(addr) if !addr.ip().is_loopback() && self.ops_token.is_none() => Err(ConfigError::OpsOpen(addr)),
            Some(_) | None => Ok(()),
        }
    }
}

/// The host's name as far as it is a valid one.
fn host_name() -> WorkerId {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().unwrap_or_default();
    WorkerId::new(name).unwrap_or(const { WorkerId::from_static("worker") })
}

/// Parses a duration as people write it, e.g. `90s`, `15m`, `1h 30m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 90s, 15m or 1h30m"))
}

fn parse_count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|error: ParseIntError| format!("{error}; give a whole number"))
}
