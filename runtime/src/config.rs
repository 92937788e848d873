//! What an [`AgentPool`](crate::AgentPool) is told, checked before it starts.

mod env;
mod error;
mod settings;
mod url;

use std::net::SocketAddr;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::time::Duration;

use openrtc_core::membership::SigningKey;
use openrtc_core::worker::{CLASSES, Limits, OnDeadline};
use openrtc_records::journal::JournalConfig;

use crate::secret::{KeyError, Secret, parse_signing_key, read_signing_key};
pub use env::{VARIABLES, Variable};
pub use error::ConfigError;
pub(crate) use settings::{DrainTerms, TrailSettings};
#[cfg(feature = "http")]
pub(crate) use settings::{HttpSettings, OpsSettings, Registering};
pub use url::UrlError;
#[cfg(feature = "http")]
pub use url::parse_url;

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

impl Config {
    /// Takes every `OPENRTC_*` variable that is set.
    pub fn merge_env(&mut self) -> Result<(), ConfigError> {
        env::merge(self)
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
}

/// Parses a duration as people write it, e.g. `90s`, `15m`, `1h 30m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 90s, 15m or 1h30m"))
}

fn parse_count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|error: ParseIntError| format!("{error}; give a whole number"))
}
