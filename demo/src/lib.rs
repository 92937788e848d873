//! A whole blue-green rollout with real worker processes, real signals and real audio streams.
#![forbid(unsafe_code)]

mod accounts;
mod caller;
pub mod callers;
mod directory;
mod dispatch;
pub mod echo;
mod error;
mod ledger;
#[cfg(feature = "livekit")]
pub mod livekit;
mod load;
mod membership;
mod process;
mod progress;
mod reconcile;
mod rollout;
mod summary;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use openrtc_core::membership::SigningKey;
use openrtc_core::worker::OnDeadline;

use directory::Directory;
use dispatch::Dispatcher;
pub use error::{DemoError, WorkerFault};
pub use load::{CallsError, Load};
use membership::Membership;
pub use process::WorkerCommand;
use rollout::Rollout;
pub use summary::{DroppedCall, LivekitSummary, RejectedWorker, Summary, WorkerSummary};

const BLUE: &str = "v1";
const GREEN: &str = "v2";

/// The certificate's name in the demo's directory.
const CERTIFICATE: &str = "certificate.jsonl";

/// What a demo does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Workers of the old version.
    pub blue: u8,
    /// Workers of the new version.
    pub green: u8,
    /// What calls are made.
    pub load: Load,
    /// When the drain is overdue.
    pub drain_timeout: Option<Duration>,
    /// What happens then.
    pub on_deadline: Option<OnDeadline>,
    /// Whether a draining worker is killed (SIGKILL).
    pub kill_one: bool,
    /// Whether a worker of the old version is started again after the switch.
    pub leftover: bool,
    /// Where journals, audit trails and the callers' ledger are kept: a directory that does not exist yet. Without it
    /// only the certificate and the key to check it with are kept, in a temporary directory.
    pub dir: Option<PathBuf>,
}

/// Performs a rollout, and shows on standard error how it goes. Workers and certificate are signed with `key`.
///
/// Dropped before it is done, it kills the workers and removes its temporary directory.
pub async fn run(options: &Options, worker: &WorkerCommand, key: SigningKey) -> Result<Summary, DemoError> {
    perform(options, worker, key, async || Ok(Dispatcher::default())).await
}

/// Performs a rollout as [`run`] does, of workers that get their calls from a LiveKit server: a call is a job. The
/// worker command is told where the callers are, with `--callers ADDR` behind its arguments; the program does then what
/// [`livekit::serve`] does.
#[cfg(feature = "livekit")]
pub async fn run_on_livekit(
    options: &Options,
    server: &livekit::Server,
    worker: &WorkerCommand,
    key: SigningKey,
) -> Result<Summary, DemoError> {
    perform(options, worker, key, async || Ok(Dispatcher::over(livekit::Exchange::open(server).await?))).await
}

async fn perform(
    options: &Options,
    worker: &WorkerCommand,
    key: SigningKey,
    dispatcher: impl AsyncFnOnce() -> Result<Dispatcher, DemoError>,
) -> Result<Summary, DemoError> {
    let calls = options.load.plan()?;
    let dispatcher = dispatcher().await?;
    let mut dir = Directory::create(options.dir.as_deref())?;
    let membership = Membership::start(dir.path(), key).await?;
    let summary = Rollout::new(options, worker, dir.path(), membership, dispatcher).perform(calls).await?;
    dir.certified = true;
    Ok(summary)
}
