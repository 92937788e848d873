//! What a rollout amounted to: for people a page, for scripts JSON.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::time::Duration;

use openrtc_evidence::dispatch::Dispatch;
use openrtc_runtime::Exit;
use serde::Serialize;

/// The whole outcome. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Calls that callers made, the probes of the drain among them.
    pub calls_offered: usize,
    /// Of those, taken by a worker.
    pub calls_answered: usize,
    /// Of those, declined by another worker before.
    pub calls_declined_and_retried: usize,
    /// Calls that no worker took.
    pub calls_unanswered: usize,
    /// Calls that ended as their callers wanted.
    pub calls_ended: usize,
    /// Calls whose callers would have talked on.
    pub calls_dropped: usize,
    /// Calls on the old version that began before the SIGTERM and ended after it.
    pub calls_alive_across_sigterm: usize,
    /// Calls that a worker of the old version took after it had refused one.
    pub new_calls_on_old_version_after_drain: u32,
    /// Frames of sound that callers sent.
    pub frames_sent: u64,
    /// Of those, without an echo.
    pub frames_lost: u64,
    /// Of those, in calls that were not dropped.
    pub frames_lost_in_ended_calls: u64,
    /// Echoes that a usual jitter buffer would have missed.
    pub frames_late: u64,
    /// The longest time without an echo while its caller talked.
    pub longest_gap_ms: f64,
    /// From the SIGTERM until the last worker of the old version refused its first call.
    pub sigterm_to_refusal_ms: Option<f64>,
    /// The longest time from a last hang-up to the exit of its worker, of those of the old version that left in order.
    pub last_hangup_to_exit_ms: Option<f64>,
    /// How long the rollout took, in seconds.
    pub elapsed_s: f64,
    /// Every worker that took calls.
    pub workers: Vec<WorkerSummary>,
    /// Every dropped call.
    pub dropped: Vec<DroppedCall>,
    /// Workers that were not admitted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<RejectedWorker>,
    /// Of a rollout on LiveKit: what became of each dispatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub livekit: Option<LivekitSummary>,
    /// What the certificate over the workers' journals says.
    pub certificate: &'static str,
    /// Where it is.
    pub certificate_file: PathBuf,
    /// The public key that it is checked with.
    pub certificate_key: PathBuf,
    /// Whether every worker's journal tells what its callers saw.
    pub journals_agree: bool,
    /// Where one does not.
    pub disagreements: Vec<String>,
}

/// One worker.
#[derive(Debug, Serialize)]
pub struct WorkerSummary {
    /// Its name.
    pub worker: String,
    /// The version that it ran.
    pub version: &'static str,
    /// Its process.
    pub pid: u32,
    /// Its exit code, if it had one.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Calls it took.
    pub calls: usize,
    /// Of those, dropped.
    pub dropped: usize,
    /// From its start until it took calls.
    pub start_to_ready_ms: f64,
    /// From the last hang-up to its exit.
    pub last_hangup_to_exit_ms: Option<f64>,
}

/// One dropped call.
#[derive(Debug, Serialize)]
pub struct DroppedCall {
    /// What the dispatcher calls it.
    pub call: String,
    /// The worker that it was on.
    pub worker: String,
    /// What dropped it.
    pub reason: &'static str,
}

/// One worker that was not admitted.
#[derive(Clone, Debug, Serialize)]
pub struct RejectedWorker {
    /// The audit event: `worker.rejected`.
    pub event: &'static str,
    /// Its name.
    pub worker: String,
    /// The version that it ran.
    pub version: &'static str,
    /// Its exit code, if it had one.
    pub exit_code: Option<i32>,
    /// In one word.
    pub reason: &'static str,
    /// The same for a person.
    pub message: String,
}

/// What became of the dispatches of a rollout on LiveKit. Each call is one, or several if the server lost some: a
/// dispatch that no agent answered is made again.
#[derive(Debug, Serialize)]
pub struct LivekitSummary {
    /// The server's URL.
    pub server: String,
    /// How many were made.
    pub dispatches: usize,
    /// Of those, answered by an agent.
    pub answered: usize,
    /// Of those, refused by one worker or more.
    pub refused: usize,
    /// Of those, lost by the server.
    pub lost: usize,
    /// Each of them.
    pub each: Vec<Dispatch>,
}

/// At most so many dropped calls are printed by name; JSON has them all.
const NAMES_MAX: usize = 12;

impl Summary {
    /// Whether everything was as a rollout without faults must be.
    #[must_use]
    pub fn is_spotless(&self) -> bool {
        self.calls_dropped == 0 && self.holds() && self.workers.iter().all(|worker| worker.exit_code == Some(0))
    }

    /// Whether what must hold under every fault does.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.journals_agree
            && self.new_calls_on_old_version_after_drain == 0
            && self.calls_unanswered == 0
            && self.frames_lost_in_ended_calls == 0
            && self.rejected.iter().all(|rejected| rejected.exit_code == Some(Exit::REJECTED.into()))
    }
}

/// Milliseconds with what lies behind the point.
pub(crate) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optional = |time: Option<f64>| time.map_or_else(|| "not measured".into(), |time| format!("{time:.1} ms"));
        let rows = [
            ("calls offered", self.calls_offered.to_string()),
            ("  answered", self.calls_answered.to_string()),
            ("  declined, then taken elsewhere", self.calls_declined_and_retried.to_string()),
            ("  never answered", self.calls_unanswered.to_string()),
            ("  alive across the SIGTERM", self.calls_alive_across_sigterm.to_string()),
            ("  ended by their caller", self.calls_ended.to_string()),
            ("  DROPPED", self.calls_dropped.to_string()),
            ("new calls on v1 after it refused one", self.new_calls_on_old_version_after_drain.to_string()),
            ("frames sent, one every 20 ms", self.frames_sent.to_string()),
            ("  lost", self.frames_lost.to_string()),
            ("  lost in calls that were not dropped", self.frames_lost_in_ended_calls.to_string()),
            ("  later than 100 ms", self.frames_late.to_string()),
            ("  longest gap", format!("{:.1} ms", self.longest_gap_ms)),
            ("SIGTERM to first refusal", optional(self.sigterm_to_refusal_ms)),
            ("last hang-up to exit", optional(self.last_hangup_to_exit_ms)),
        ];
        for (name, value) in rows {
            writeln!(f, "  {name:<38} {value:>12}")?;
        }
        writeln!(f)?;
        writeln!(f, "  {:<8} {:<8} {:>8} {:>7} {:>9}  exit", "worker", "version", "pid", "calls", "dropped")?;
        for worker in &self.workers {
            let WorkerSummary { worker: name, version, pid, calls, dropped, .. } = worker;
            writeln!(f, "  {name:<8} {version:<8} {pid:>8} {calls:>7} {dropped:>9}  {}", worker.exit())?;
        }
        if let Some(livekit) = &self.livekit {
            write!(f, "\n{livekit}")?;
        }
        self.write_drops(f)?;
        self.write_rejections(f)?;
        writeln!(f)?;
        if self.journals_agree {
            return writeln!(f, "  every worker's journal agrees with its callers, call by call");
        }
        self.disagreements.iter().try_for_each(|problem| writeln!(f, "  DISAGREEMENT: {problem}"))
    }
}

impl Summary {
    fn write_rejections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rejected.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n  not admitted:")?;
        self.rejected.iter().try_for_each(|RejectedWorker { worker, version, exit_code, message, .. }| {
            let code = exit_code.map_or_else(|| "unknown".into(), |code| code.to_string());
            writeln!(f, "  {worker:<8} {version:<8} {message}; exit {code}")
        })
    }

    fn write_drops(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dropped.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n  dropped:")?;
        for DroppedCall { call, worker, reason } in self.dropped.iter().take(NAMES_MAX) {
            writeln!(f, "  {call:<12} on {worker:<8} {reason}")?;
        }
        match self.dropped.len().saturating_sub(NAMES_MAX) {
            0 => Ok(()),
            more => writeln!(f, "  … and {more} more (--json names all)"),
        }
    }
}

impl Display for LivekitSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  dispatches at {}", self.server)?;
        for (name, value) in [
            ("  made", self.dispatches),
            ("  answered by an agent", self.answered),
            ("  refused by a worker", self.refused),
            ("  LOST by the server, and made again", self.lost),
        ] {
            writeln!(f, "  {name:<38} {value:>12}")?;
        }
        let lost = self.each.iter().filter_map(|dispatch| dispatch.lost.as_ref().map(|why| (dispatch, why)));
        lost.take(NAMES_MAX).try_for_each(|(dispatch, why)| writeln!(f, "  {}  {why}", dispatch.room))?;
        match self.lost.saturating_sub(NAMES_MAX) {
            0 => Ok(()),
            more => writeln!(f, "  … and {more} more (--json names all)"),
        }
    }
}

impl WorkerSummary {
    fn exit(&self) -> String {
        match (self.exit_code, self.signal) {
            (Some(code), _) => code.to_string(),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "unknown".into(),
        }
    }
}
