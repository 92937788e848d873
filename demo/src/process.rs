//! Worker processes: started, signalled, waited for.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use openrtc_runtime::VARIABLES;
use openrtc_runtime::http::{Client, Method, Trust, parse_url};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::echo::Ready;
use crate::error::{DemoError, WorkerFault};
use crate::membership::DEPLOYMENT;
use crate::progress::Voice;

/// How long a worker may take until it is ready.
const START: Duration = Duration::from_secs(10);
/// How long until it is asked again.
const RETRY: Duration = Duration::from_millis(2);

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
#[derive(Clone, Copy)]
pub(crate) struct Recipe<'a> {
    pub(crate) worker: &'a WorkerCommand,
    pub(crate) name: &'a str,
    pub(crate) version: &'static str,
    pub(crate) journal: &'a Path,
    /// Where its own lines go.
    pub(crate) voice: &'a Voice,
    /// Further environment.
    pub(crate) settings: &'a [(&'static str, String)],
}

/// A running worker.
pub(crate) struct Worker {
    child: Child,
    pub(crate) name: String,
    pub(crate) version: &'static str,
    pub(crate) pid: u32,
    pub(crate) calls: Option<SocketAddr>,
    pub(crate) journal: PathBuf,
    /// From the start of the process to its first 200 on /readyz.
    pub(crate) start_to_ready: Duration,
}

/// Starts a worker and waits until it says that it takes calls.
pub(crate) async fn start(recipe: Recipe<'_>) -> Result<Worker, DemoError> {
    try_start(recipe).await.map_err(|fault| fault.of(recipe.name))
}

async fn try_start(recipe: Recipe<'_>) -> Result<Worker, WorkerFault> {
    let begun = Instant::now();
    let (mut child, _) = spawn(&recipe)?;
    let pid = child.id().expect("a process that has just been started has an id");
    let stdout = child.stdout.take().expect("its output is a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let not_ready = |_| WorkerFault::NotReady { after: START, said: "it said nothing".into() };
    let line = timeout(START, lines.next_line()).await.map_err(not_ready)??.ok_or(WorkerFault::Ended)?;
    let Ready { calls, ops, .. } =
        serde_json::from_str(&line).map_err(|error| WorkerFault::Gibberish { line, error })?;
    await_ready(ops.ok_or(WorkerFault::NoOps)?).await?;
    let start_to_ready = begun.elapsed();
    let Recipe { name, version, journal, .. } = recipe;
    Ok(Worker { child, name: name.into(), version, pid, calls, journal: journal.into(), start_to_ready })
}

/// Starts a worker that is to be refused, and waits until it has left.
pub(crate) async fn run_refused(recipe: Recipe<'_>) -> Result<ExitStatus, DemoError> {
    let left = async {
        let (mut child, lines) = spawn(&recipe)?;
        let status = timeout(START, child.wait()).await.map_err(|_| WorkerFault::Stays(START))??;
        // What it said comes before what is said of it.
        lines.await.expect("passing lines on does not panic");
        Ok(status)
    };
    left.await.map_err(|fault: WorkerFault| fault.of(recipe.name))
}

/// Starts a worker, and passes on its lines.
fn spawn(recipe: &Recipe<'_>) -> Result<(Child, JoinHandle<()>), WorkerFault> {
    let mut command = Command::new(&recipe.worker.program);
    // What is set for this user's own workers is not for the demo's.
    for variable in VARIABLES {
        command.env_remove(variable.name);
    }
    let mut child = command
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
        .stderr(Stdio::piped())
        // A terminal's Ctrl-C is for the demo; it ends its workers itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(WorkerFault::Start)?;
    let mut lines = BufReader::new(child.stderr.take().expect("its standard error is a pipe")).lines();
    let voice = recipe.voice.clone();
    let name = recipe.name.to_owned();
    let passed_on = tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            voice.worker(&name, &line);
        }
    });
    Ok((child, passed_on))
}

async fn await_ready(ops: SocketAddr) -> Result<(), WorkerFault> {
    let client = Client::new(&Trust::new(None).expect("there is no file to read"));
    let deadline = Instant::now() + START;
    let url = parse_url(&format!("http://{ops}/readyz")).expect("an address makes a URL");
    loop {
        let said = match client.ask(Method::GET, &url, None, String::new()).await {
            Ok(response) if response.status == 200 => return Ok(()),
            Ok(response) => response.body,
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(WorkerFault::NotReady { after: START, said });
        }
        sleep(RETRY).await;
    }
}

impl Worker {
    /// Sends a real signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), DemoError> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).map_err(|error| WorkerFault::Signal(error).of(&self.name))
    }

    /// Waits until the process has ended.
    pub(crate) async fn wait(&mut self) -> Result<(ExitStatus, Instant), DemoError> {
        let status = self.child.wait().await.map_err(|error| WorkerFault::Io(error).of(&self.name))?;
        Ok((status, Instant::now()))
    }
}
