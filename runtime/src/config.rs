//! The settings of an [`AgentPool`](crate::AgentPool), checked before it starts.

mod env;
mod error;
#[cfg(feature = "http")]
mod loopback;
mod settings;
mod url;

use std::net::SocketAddr;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::time::Duration;

use openrtc_core::worker::{CLASSES, Leave, Limits, OnDeadline};
use openrtc_records::journal::JournalConfig;

use crate::secret::Secret;
pub use env::{VARIABLES, Variable};
pub use error::ConfigError;
#[cfg(feature = "http")]
pub(crate) use loopback::{host, is_loopback};
pub use settings::DrainTerms;
#[cfg(feature = "http")]
pub(crate) use settings::{HttpSettings, OpsSettings, SocketSettings};
pub(crate) use settings::{KeySource, Settings, TrailSettings};
pub use url::UrlError;
#[cfg(feature = "http")]
pub use url::parse_url;

/// What a worker may still need after its last call has ended, to finish handlers, reports, journal and audit trail.
/// The platform's grace must cover it.
pub const FLUSH: Duration = Duration::from_secs(2);

/// How long a worker that leaves goes on declining offers, unless it is told otherwise: enough for those that were
/// under way when it stopped taking calls. How long others go on sending depends on who sends them, so templates for a
/// platform set more.
const LAME_DUCK: Duration = Duration::from_secs(1);

/// Whether a worker takes calls as soon as it is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// It takes calls at once.
    #[default]
    Serving,
    /// It waits until [`AgentPool::promote`](crate::AgentPool::promote) is called.
    Standby,
}

/// Whom the ops socket's file lets in. Orders through it need no token, so never everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketMode {
    /// Its owner: mode 600.
    #[default]
    Owner,
    /// Its owner and its group: mode 660.
    Group,
}

/// Whether two calls in flight may have one id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Duplicates {
    /// They may: ids are labels.
    #[default]
    Allow,
    /// They may not: an offer of an id that is in flight is refused ([`Refusal::Duplicate`](crate::Refusal)), so that
    /// a dispatcher that offers a call again makes no second one of it here.
    Refuse,
}

/// Where the control loop, the signals and the ops endpoints run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// On a thread of their own: a handler that blocks its thread delays no drain, no probe and no exit.
    #[default]
    OwnThread,
    /// On the tokio runtime that builds the pool: for tests, which then control its time and its end. The runtime must
    /// have time and I/O enabled.
    Shared,
}

/// The settings of a pool. Set them through the methods of [`AgentPoolBuilder`](crate::AgentPoolBuilder) or by
/// `OPENRTC_*` variables ([`VARIABLES`]); a program that only looks at settings, such as a linter, starts from
/// [`Config::default`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The service's name.
    pub deployment: String,
    /// The version that the worker runs. There is no default.
    pub deployment_version: String,
    /// The worker's place in the fleet. `None`: the host's name.
    pub worker: Option<String>,
    /// The most calls in flight.
    pub capacity: u32,
    /// How long an accepted offer waits for its assignment.
    pub reservation_ttl: Duration,
    /// Whether two calls in flight may have one id.
    pub duplicates: Duplicates,
    /// How long a call of each class may stay silent before it is flagged as stalled. `None`: it never is.
    pub stall_after: [Option<Duration>; CLASSES],
    /// How long after its beginning a drain is overdue. `None`: it never is.
    pub drain_timeout: Option<Duration>,
    /// What happens when a drain is overdue.
    pub on_deadline: OnDeadline,
    /// When the drained worker leaves.
    pub leave: Leave,
    /// How long a worker that leaves goes on declining offers, counted from the moment when it stopped taking calls.
    pub lame_duck: Duration,
    /// How long calls have to end by themselves after a forced drain has told them to.
    pub force_grace: Duration,
    /// How long the platform waits between SIGTERM and SIGKILL, if it is known.
    pub platform_grace: Option<Duration>,
    /// Where and how the journal is kept. `None`: no journal is kept.
    pub journal: Option<JournalConfig>,
    /// The file of the audit trail. Needs a journal.
    pub audit_file: Option<PathBuf>,
    /// How long that file gets, in bytes, before it is rotated.
    pub audit_max_bytes: u64,
    /// The URL that the trail is sent to as well. Needs the file.
    pub audit_webhook: Option<String>,
    /// The file of the key that signs the audit trail and this worker's membership.
    pub signing_key_file: Option<PathBuf>,
    /// The same key as 64 hex digits, instead of the file.
    pub signing_key: Option<Secret>,
    /// The URL of the registrar. The worker waits in standby until the registrar admits it. Needs a key. `None`: the
    /// worker does not register.
    pub register: Option<String>,
    /// The URL of the coordinator. The worker keeps one connection to it, waits in standby until it is told to take
    /// calls, and parks when it has drained ([`Leave::Parked`]), whatever `leave` says. Needs a key. `None`: nobody
    /// coordinates the worker.
    pub coordinator: Option<String>,
    /// The file (PEM) of the authorities that the registrar, the coordinator and the webhook must be vouched for by,
    /// instead of the platform's. Read at start.
    pub tls_ca_file: Option<PathBuf>,
    /// Where the ops endpoints listen. `None`: there are none.
    pub ops: Option<SocketAddr>,
    /// The Unix socket that the ops endpoints listen on as well. `None`: there is none.
    pub ops_socket: Option<PathBuf>,
    /// Whom the socket's file lets in.
    pub ops_socket_mode: SocketMode,
    /// The token that orders over TCP must present, from wherever they come. `None`: TCP is read-only.
    pub ops_token: Option<Secret>,
    /// The file (PEM) of the ops endpoints' certificate, with the chain up to its authority. Needs the key. `None`:
    /// they speak plain HTTP.
    pub ops_tls_cert_file: Option<PathBuf>,
    /// The file (PEM) of that certificate's key.
    pub ops_tls_key_file: Option<PathBuf>,
    /// Whether to take calls at once.
    pub start: Start,
    /// Whether SIGTERM and SIGINT drain the worker.
    pub signals: bool,
    /// Where the control loop runs.
    pub control: Control,
    /// How long the process may stay when the last worker that it serves has left, before it is ended. Zero: for ever.
    /// See [`AgentPoolBuilder::exit_watchdog`](crate::AgentPoolBuilder::exit_watchdog).
    pub exit_watchdog: Duration,
    /// How many descriptors one call takes. Zero: it takes none, and the capacity is not checked against them.
    pub call_descriptors: u32,
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
            duplicates: Duplicates::Allow,
            stall_after: limits.stall_after.map(|limit| limit.map(Into::into)),
            drain_timeout: Some(Duration::from_hours(1)),
            on_deadline: OnDeadline::Wait,
            leave: limits.leave,
            lame_duck: LAME_DUCK,
            force_grace: limits.force_grace.into(),
            platform_grace: None,
            journal: None,
            audit_file: None,
            audit_max_bytes: 64 << 20,
            audit_webhook: None,
            signing_key_file: None,
            signing_key: None,
            register: None,
            coordinator: None,
            tls_ca_file: None,
            ops: None,
            ops_socket: None,
            ops_socket_mode: SocketMode::Owner,
            ops_token: None,
            ops_tls_cert_file: None,
            ops_tls_key_file: None,
            start: Start::Serving,
            signals: true,
            control: Control::OwnThread,
            exit_watchdog: FLUSH,
            call_descriptors: 1,
        }
    }
}

/// Parses a duration as people write it, e.g. `90s`, `15m`, `1h 30m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 90s, 15m or 1h30m"))
}

fn parse_count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|error: ParseIntError| format!("{error}; give a whole number"))
}
