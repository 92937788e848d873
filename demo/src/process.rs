//! Worker processes: started, signalled, waited for.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use openrtc_runtime::VARIABLES;
use openrtc_runtime::http::{Method, ask, parse_url};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::echo::Ready;
use crate::membership::DEPLOYMENT;

/// How long a worker may take until it is ready.
const START: Duration = Duration::from_secs(10);

/// What starts a worker process that echoes: `openrtc worker --json --exit-with-parent`, say. All else it is told by
/// environment variables.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// How one worker is started.
pub(crate) struct Recipe<'a> {
    pub(crate) worker: &'a WorkerCommand,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) journal: &'a Path,
    /// Further environment.
    pub(crate) settings: &'a [(&'static str, String)],
}

/// A running worker.
pub(crate) struct Worker {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) calls: SocketAddr,
    pub(crate) journal: PathBuf,
    /// From the start of the process to its first 200 on /readyz.
    pub(crate) start_to_ready: Duration,
}

/// Starts a worker and waits until it says that it takes calls.
pub(crate) async fn start(recipe: Recipe<'_>) -> anyhow::Result<Worker> {
    let begun = Instant::now();
    let mut child = spawn(&recipe)?;
    let pid = child.id().context("a process that has just been started has an id")?;
    let stdout = child.stdout.take().context("its output is a pipe")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = timeout(START, lines.next_line())
        .await
        .with_context(|| format!("worker {} was not ready within {START:?}", recipe.name))??
        .with_context(|| format!("worker {} ended before it was ready", recipe.name))?;
    let Ready { calls, ops, .. } = serde_json::from_str(&line)
        .with_context(|| format!("worker {} said {line:?} instead of where it listens", recipe.name))?;
    let ops = ops.with_context(|| format!("worker {} has no ops endpoint", recipe.name))?;
    await_ready(ops).await.with_context(|| format!("worker {}", recipe.name))?;
    let start_to_ready = begun.elapsed();
    Ok(Worker { child, pid, calls, journal: recipe.journal.to_owned(), start_to_ready })
}

/// Starts a worker that is to be refused, and waits until it has left.
pub(crate) async fn run_refused(recipe: Recipe<'_>) -> anyhow::Result<ExitStatus> {
    let mut child = spawn(&recipe)?;
    let left = timeout(START, child.wait()).await;
    Ok(left.with_context(|| format!("worker {} had not left after {START:?}: was it let in?", recipe.name))??)
}

/// Starts a worker.
fn spawn(recipe: &Recipe<'_>) -> anyhow::Result<Child> {
    let mut command = Command::new(&recipe.worker.program);
    // What is set for this user's own workers is not for the demo's.
    for variable in VARIABLES {
        command.env_remove(variable.name);
    }
    command
        .env_remove("NOTIFY_SOCKET")
        .args(&recipe.worker.args)
        .env("OPENRTC_DEPLOYMENT_VERSION", recipe.version)
        .env("OPENRTC_DEPLOYMENT", DEPLOYMENT.as_str())
        .env("OPENRTC_WORKER", recipe.name)
        .env("OPENRTC_JOURNAL_DIR", recipe.journal)
        .env("OPENRTC_AUDIT_FILE", recipe.journal.with_extension("audit.jsonl"))
        .env("OPENRTC_OPS_ADDR", "127.0.0.1:0")
        .envs(recipe.settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // A terminal's Ctrl-C is for the demo; it ends its workers itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("worker {} cannot be started", recipe.name))
}

async fn await_ready(ops: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + START;
    let url = parse_url(&format!("http://{ops}/readyz"))?;
    loop {
        match ask(Method::GET, &url, None, String::new()).await {
            Ok(response) if response.status == 200 => return Ok(()),
            answer => {
                let said = answer.map_or_else(|error| error.to_string(), |response| response.body);
                ensure!(Instant::now() < deadline, "is not ready after {START:?}: {said}");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}

impl Worker {
    /// Sends a real signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, signal).with_context(|| format!("process {} cannot be signalled", self.pid))
    }

    /// Waits until the process has ended.
    pub(crate) async fn wait(&mut self) -> anyhow::Result<(ExitStatus, Instant)> {
        let status = self.child.wait().await?;
        Ok((status, Instant::now()))
    }
}
