//! The worker program under test: a process that is told by variables, signals and files.
//!
//! A program that takes part
//! - registers as the agent `matrix` with `LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`, and has room for
//!   100 jobs;
//! - decides on an offer whose job's metadata is `slow` with yes after 3 s, on `hang` never, on `panic` by failing, and
//!   on every other with yes at once;
//! - appends a line with id and url of each job that begins to `started` in the folder `MATRIX_DIR`, and ends it when
//!   there is a file `<id>.end` there: well if that says `ok`, as failed if it says `error`, by a crash if `panic`;
//! - reads its load from the file `load`, every quarter of a second, if there is one;
//! - begins a drain when the file `drain` says `begin`, and takes it back when it says `cancel`, if it can;
//! - ends a drain that takes longer than `MATRIX_DRAIN_SECS` by force, if that is set.

use std::ffi::OsString;
use std::fs::{self, File};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::stage::{Door, JOB_TOKEN, Stage, Wire, assignment, offer};
use crate::verdict::{Flaw, Verdict, check, until};

pub(crate) const KEY: &str = "devkey";
pub(crate) const SECRET: &str = "a-secret-that-nobody-sees";
/// How long a program may take to start.
const START: u64 = 60;

/// What is tested.
#[derive(Clone)]
pub(crate) struct Program(pub(crate) Arc<[OsString]>);

/// Whether what a program says is shown when its case is over.
pub(crate) static SHOWS: AtomicBool = AtomicBool::new(false);

/// A worker before its server.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    child: Child,
    dir: TempDir,
}

impl Program {
    /// A worker that has registered.
    pub(crate) async fn start(&self) -> Verdict<(Scene, Wire)> {
        let scene = self.launch(&[], Door::Open).await;
        let wire = scene.stage.wire(0, START).await?;
        let open = || !wire.told().is_empty() && !wire.is_full();
        // One that says nothing is open.
        let _ = until(2, "", open).await;
        Ok((scene, wire))
    }

    /// A worker whose first connection is met like this.
    pub(crate) async fn launch(&self, variables: &[(&str, &str)], door: Door) -> Scene {
        let stage = Stage::new().await;
        stage.door(door);
        let dir = tempfile::tempdir().expect("a folder");
        let output = File::create(dir.path().join("output")).expect("a file");
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]).env("LIVEKIT_URL", &stage.url).env("LIVEKIT_API_KEY", KEY);
        command.env("LIVEKIT_API_SECRET", SECRET).env("MATRIX_DIR", dir.path()).env("RUST_LOG", "debug");
        command.envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(output.try_clone().expect("a second handle")).stderr(output);
        let child = command.spawn().expect("the program under test starts");
        Scene { stage, child, dir }
    }
}

impl Scene {
    /// One whose first connection has come.
    pub(crate) async fn attempt(&self, number: usize, secs: u64) -> Verdict {
        let wrong = format!("no {number}. attempt within {secs} s");
        until(secs, &wrong, || self.stage.attempts().len() >= number).await
    }

    /// The first one, from a program that has yet to start.
    pub(crate) async fn first_attempt(&self) -> Verdict {
        self.attempt(1, START).await
    }

    pub(crate) async fn offer(&self, wire: &Wire, job: &str) -> Verdict {
        wire.say(offer(job, ""));
        until(3, &format!("no answer to the offer of {job}"), || !wire.answers(job).is_empty()).await
    }

    /// A job that is up.
    pub(crate) async fn call(&self, wire: &Wire, job: &str) -> Verdict {
        self.offer(wire, job).await?;
        check(wire.answers(job) == [true], format!("it refuses {job}"))?;
        wire.say(assignment(job));
        self.begins(job).await
    }

    pub(crate) async fn begins(&self, job: &str) -> Verdict {
        until(20, &format!("{job} was assigned and does not begin"), || self.begun(job) > 0).await
    }

    /// How often a job has begun.
    pub(crate) fn begun(&self, job: &str) -> usize {
        self.started().lines().filter(|line| line.split(' ').next() == Some(job)).count()
    }

    /// The jobs that have begun, a line for each, with their urls.
    pub(crate) fn started(&self) -> String {
        fs::read_to_string(self.dir.path().join("started")).unwrap_or_default()
    }

    pub(crate) fn tell(&self, name: &str, what: &str) {
        let (new, file) = (self.dir.path().join(format!("{name}.new")), self.dir.path().join(name));
        fs::write(&new, what).and_then(|()| fs::rename(new, file)).expect("a file is written");
    }

    pub(crate) fn end(&self, job: &str) {
        self.tell(&format!("{job}.end"), "ok");
    }

    /// The job ends well, and the server hears it once.
    pub(crate) async fn succeeds(&self, wire: &Wire, job: &str) -> Verdict {
        self.end(job);
        until(20, &format!("the end of {job} is not told"), || !wire.ends(job).is_empty()).await?;
        let ends = wire.ends(job);
        check(ends == [openrtc_livekit::proto::JobStatus::Success], format!("{job} ends as {ends:?}"))
    }

    /// What the program has said.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("output")).unwrap_or_default()).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // One that is gone gets no signal.
            let _ = kill_process(pid, signal);
        }
    }

    pub(crate) fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()?).ok()?)
    }

    /// The memory of the process and its children, in KiB: what each has for itself.
    pub(crate) fn memory(&self) -> u64 {
        let of = |id: u32| {
            let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
            text.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<u64>().ok())
        };
        self.family().into_iter().filter_map(of).sum()
    }

    /// The processor time that the process and its children have taken, in milliseconds.
    pub(crate) fn processor_time(&self) -> u64 {
        let of = |id: u32| {
            let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let fields: Vec<_> = text.rsplit(')').next()?.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        };
        // The kernel counts in hundredths of a second.
        self.family().into_iter().filter_map(of).sum::<u64>() * 10
    }

    /// The process and what it has started.
    fn family(&self) -> Vec<u32> {
        let mut family: Vec<_> = self.child.id().into_iter().collect();
        let mut at = 0;
        while let Some(id) = family.get(at) {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
            at += 1;
        }
        family
    }

    /// The program's arguments, as everybody on the machine can read them.
    pub(crate) fn arguments(&self) -> String {
        let id = self.child.id().unwrap_or_default();
        fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    pub(crate) async fn exit(&mut self, secs: u64) -> Verdict<ExitStatus> {
        let waited = tokio::time::timeout(std::time::Duration::from_secs(secs), self.child.wait()).await;
        let status = waited.map_err(|_| Flaw::Wrong(format!("it does not exit within {secs} s")))?;
        status.map_err(|error| Flaw::Wrong(error.to_string()))
    }

    /// It is told to leave, and takes no more jobs.
    pub(crate) async fn drains(&self, wire: &Wire) -> Verdict {
        self.sigterm();
        until(5, "no FULL", || wire.is_full()).await
    }

    /// It exits, and has cut nothing.
    pub(crate) async fn leaves(&mut self, secs: u64) -> Verdict {
        let exit = self.exit(secs).await?;
        check(exit.success(), format!("it exits with {exit}"))
    }

    /// What must not be shown and is.
    pub(crate) fn leaks(&self, token: &str) -> Vec<&'static str> {
        let shown = self.output() + &self.arguments();
        let secrets = [(SECRET, "the secret"), (JOB_TOKEN, "the job's token"), (token, "its own token")];
        secrets.iter().filter(|(secret, _)| shown.contains(secret)).map(|(_, name)| *name).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if SHOWS.load(Ordering::Relaxed) {
            eprintln!("{}", self.output());
        }
    }
}
