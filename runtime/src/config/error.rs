//! What is wrong with settings.

use std::path::PathBuf;
use std::time::Duration;

use openrtc_core::id::BadName;
use openrtc_core::worker::{BadLimits, OnDeadline};

use super::FLUSH;
use super::url::UrlError;
use crate::secret::{KeyError, Secret};

/// What is wrong with the settings of a pool. Each message names the setting and the fix. Found by
/// [`Config::check`](crate::Config::check), before anything is opened or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A name is empty, too long, or has characters that a name may not have.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The host's name cannot name the worker, and nothing else does.
    #[error("the host's name {name:?} cannot be the worker's ({error}): set OPENRTC_WORKER")]
    HostName {
        /// The host's name.
        name: String,
        /// What is wrong with it.
        error: BadName,
    },
    /// No worker could do its work under these limits.
    #[error(transparent)]
    Limits(#[from] BadLimits),
    /// The drain policy needs a deadline.
    #[error("on_deadline is {0:?} but there is no drain_timeout: set OPENRTC_DRAIN_TIMEOUT, or use `wait`")]
    DeadlineMissing(OnDeadline),
    /// A duration is zero, and could mean either "at once" or "without limit".
    #[error("{0} is 0: give a positive duration; where there may be no limit, set it to `none`")]
    Zero(&'static str),
    /// A duration is so long that nobody can mean it.
    #[error("{0} is more than a year: give a shorter time; where there may be no limit, set it to `none`")]
    Long(&'static str),
    /// Nothing ends the drain before the platform does.
    #[error(
        "on_deadline is {policy:?}, so a drain takes as long as its calls, but the platform kills after {grace:?} \
         without a word: set OPENRTC_ON_DEADLINE=force with an OPENRTC_DRAIN_TIMEOUT inside that time, so that calls \
         are told to end, or leave OPENRTC_PLATFORM_GRACE out where the platform waits for the worker"
    )]
    GraceNeedsForce {
        /// What happens when a drain is overdue.
        policy: OnDeadline,
        /// How long the platform waits.
        grace: Duration,
    },
    /// The platform would kill the worker in the middle of its drain.
    #[error(
        "a drain may take {needed:?} (drain_timeout + force_grace, at least lame_duck, + {FLUSH:?} to flush), but the \
         platform kills after {grace:?}: shorten drain_timeout and lame_duck, or raise the platform's grace \
         (terminationGracePeriodSeconds, TimeoutStopSec)"
    )]
    GraceTooShort {
        /// How long the drain may take.
        needed: Duration,
        /// How long the platform waits.
        grace: Duration,
    },
    /// The token could be guessed, or no client could send it.
    #[error(
        "OPENRTC_OPS_TOKEN: use at least {} characters of printable ASCII without spaces or line ends",
        Secret::LEN_MIN
    )]
    OpsToken,
    /// The system takes no such path for a socket.
    #[error("OPENRTC_OPS_SOCKET={0:?}: the path of a Unix socket has at most 107 bytes: shorten it")]
    OpsSocket(PathBuf),
    /// An environment variable does not parse.
    #[error("{name}={value:?}: {problem}")]
    Variable {
        /// The variable's name.
        name: &'static str,
        /// Its value, unless it is secret.
        value: String,
        /// What is wrong with the value.
        problem: String,
    },
    /// A trail needs a journal to be derived from.
    #[error("an audit trail needs a journal to be derived from: set OPENRTC_JOURNAL_DIR too")]
    TrailWithoutJournal,
    /// The trail's file would be rotated all the time.
    #[error("OPENRTC_AUDIT_MAX_BYTES is {given}: the file would be rotated all the time; give {least} or more")]
    AuditBytes {
        /// What was given.
        given: u64,
        /// What it must be at least.
        least: u64,
    },
    /// A webhook is fed from the trail's file.
    #[error("an audit webhook sends on what is in the trail's file: set OPENRTC_AUDIT_FILE too")]
    WebhookWithoutFile,
    /// The webhook's URL cannot be used.
    #[error("OPENRTC_AUDIT_WEBHOOK: {0}")]
    Webhook(UrlError),
    /// The signing key is given twice, or is not a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A worker that registers signs its membership.
    #[error(
        "a worker that registers or dials in needs a key to sign with: set OPENRTC_SIGNING_KEY_FILE (`openrtc keygen` \
         writes one)"
    )]
    RegisterWithoutKey,
    /// Two say when the worker takes calls.
    #[error("OPENRTC_REGISTER_URL and OPENRTC_COORDINATOR are both set: a coordinator is the registrar; keep one")]
    RegisterAndCoordinator,
    /// The coordinator's URL cannot be used.
    #[error("OPENRTC_COORDINATOR: {0}")]
    Coordinator(UrlError),
    /// Whoever is on the way could give the worker orders.
    #[error("OPENRTC_COORDINATOR={0:?}: orders come from there, so beyond loopback it must be an https:// URL")]
    CoordinatorInTheOpen(String),
    /// The registrar's URL cannot be used.
    #[error("OPENRTC_REGISTER_URL: {0}")]
    Register(UrlError),
    /// The setting needs a part of this library that was left out of this program.
    #[error("{0} is set, but this program was built without HTTP: turn on the feature `http` of openrtc-runtime")]
    WithoutHttp(&'static str),
    /// The setting needs TLS, which was left out of this program.
    #[error("{0} is set, but this program was built without TLS: turn on the feature `tls` of openrtc-runtime")]
    WithoutTls(&'static str),
    /// A certificate without its key, or a key without its certificate.
    #[error("TLS on the ops endpoints needs a certificate and its key: set {0} too")]
    OpsTlsHalf(&'static str),
    /// A certificate for ops endpoints that there are not.
    #[error("OPENRTC_OPS_TLS_CERT_FILE is set, but there are no ops endpoints: set OPENRTC_OPS_ADDR too")]
    OpsTlsUnused,
}
