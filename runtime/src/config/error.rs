//! Why a pool cannot start.

use std::net::SocketAddr;
use std::time::Duration;

use openrtc_core::id::BadName;
use openrtc_core::worker::{BadLimits, OnDeadline};
use openrtc_records::journal::JournalError;
use openrtc_records::trail::TrailError;

use super::FLUSH;
use super::url::UrlError;
use crate::secret::{KeyError, Secret};

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
    /// A trail needs a journal to be derived from.
    #[error("an audit trail needs a journal to be derived from: set OPENRTC_JOURNAL_DIR too")]
    TrailWithoutJournal,
    /// The trail's file cannot be had.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// A webhook is fed from the file.
    #[error("an audit webhook sends on what is in the trail's file: set OPENRTC_AUDIT_FILE too")]
    WebhookWithoutFile,
    /// Nobody can be sent anything there.
    #[error("OPENRTC_AUDIT_WEBHOOK: {0}")]
    Webhook(UrlError),
    /// TLS is for a collector.
    #[error(
        "OPENRTC_AUDIT_WEBHOOK: {0}: only http is spoken here; name a log collector on this host (http://127.0.0.1:…) \
         and let that send the records on over TLS"
    )]
    WebhookTls(String),
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
    Register(UrlError),
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
    /// The setting needs a part of this library that was left out.
    #[error("{0} is set, but this program was built without HTTP: turn on the feature `http` of openrtc-runtime")]
    WithoutHttp(&'static str),
    /// Built outside a tokio runtime.
    #[error("build the pool inside a tokio runtime (under #[tokio::main] or Runtime::enter)")]
    NoRuntime,
}
