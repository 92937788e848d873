//! The demo's callers without its rollout: they call workers that are there already, and count what becomes of it.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::dispatch::{Dispatcher, make_calls};
use crate::error::DemoError;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::progress::Progress;
use crate::summary::millis;

/// What became of calls. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub struct CallersSummary {
    /// Calls that callers made.
    pub calls_offered: usize,
    /// Calls that no worker took.
    pub calls_unanswered: usize,
    /// Calls that ended as their callers wanted.
    pub calls_ended: usize,
    /// Calls whose callers would have talked on.
    pub calls_dropped: usize,
    /// Frames of sound that callers sent, one every 20 ms.
    pub frames_sent: u64,
    /// Of those, without an echo.
    pub frames_lost: u64,
    /// Echoes later than 100 ms.
    pub frames_late: u64,
    /// The longest time without an echo while its caller talked.
    pub longest_gap_ms: f64,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
    /// Every worker, in the order in which they were named.
    pub workers: Vec<WorkerCalls>,
}

/// What one worker did.
#[derive(Debug, Serialize)]
pub struct WorkerCalls {
    /// Where it takes calls.
    pub worker: SocketAddr,
    /// Calls that it took.
    pub taken: usize,
    /// Of those, dropped.
    pub dropped: usize,
    /// Offers that it declined.
    pub declined: u32,
    /// Offers that it did not answer.
    pub unanswered: usize,
}

/// Makes one call, and talks for `talk`. Dropped before it is done, the caller is gone without a word.
pub async fn call(workers: &[SocketAddr], id: String, talk: Duration) -> CallersSummary {
    let (dispatcher, begun) = (dispatch_to(workers), Instant::now());
    dispatcher.call(id, talk, None).await;
    summary(&dispatcher, workers, begun)
}

/// Makes the calls of a load, and shows on standard error how it goes. Dropped before it is done, the callers are gone
/// without a word.
pub async fn load(workers: &[SocketAddr], load: &Load) -> Result<CallersSummary, DemoError> {
    let calls = load.plan()?;
    let (dispatcher, begun) = (Arc::new(dispatch_to(workers)), Instant::now());
    let progress = Progress::start(Arc::clone(&dispatcher));
    load.describe(&calls).iter().for_each(|line| progress.say(line));
    make_calls(Arc::clone(&dispatcher), calls).await.join_all().await;
    progress.finish();
    Ok(summary(&dispatcher, workers, begun))
}

fn dispatch_to(workers: &[SocketAddr]) -> Dispatcher {
    let dispatcher = Dispatcher::default();
    for worker in workers {
        dispatcher.add("calls").listens(*worker);
    }
    dispatcher
}

fn summary(dispatcher: &Dispatcher, workers: &[SocketAddr], begun: Instant) -> CallersSummary {
    let ledger = dispatcher.take_ledger();
    let (heard, taken, dropped) = (ledger.heard(), ledger.taken().count(), ledger.dropped().count());
    let of = |(place, worker): (usize, &SocketAddr)| worker_calls(&ledger, dispatcher, place, *worker);
    CallersSummary {
        calls_offered: ledger.calls.len(),
        calls_unanswered: ledger.calls.len() - taken,
        calls_ended: taken - dropped,
        calls_dropped: dropped,
        frames_sent: heard.sent,
        frames_lost: heard.sent - heard.echoed,
        frames_late: heard.late,
        longest_gap_ms: millis(heard.longest_gap),
        elapsed_s: (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        workers: workers.iter().enumerate().map(of).collect(),
    }
}

fn worker_calls(ledger: &Ledger, dispatcher: &Dispatcher, place: usize, worker: SocketAddr) -> WorkerCalls {
    WorkerCalls {
        worker,
        taken: ledger.of(place).count(),
        dropped: ledger.of(place).filter(|(_, taken)| taken.fate.is_drop()).count(),
        declined: dispatcher.declines(place),
        unanswered: ledger.calls.iter().flat_map(|call| &call.unanswered_by).filter(|by| **by == place).count(),
    }
}

impl Display for CallersSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [
            ("calls offered", self.calls_offered.to_string()),
            ("  taken by no worker", self.calls_unanswered.to_string()),
            ("  ended by their caller", self.calls_ended.to_string()),
            ("  DROPPED", self.calls_dropped.to_string()),
            ("frames sent, one every 20 ms", self.frames_sent.to_string()),
            ("  lost", self.frames_lost.to_string()),
            ("  later than 100 ms", self.frames_late.to_string()),
            ("  longest gap", format!("{:.1} ms", self.longest_gap_ms)),
        ] {
            writeln!(f, "  {name:<32} {value:>12}")?;
        }
        writeln!(f, "\n  {:<24} {:>7} {:>8} {:>9} {:>7}", "worker", "taken", "dropped", "declined", "silent")?;
        self.workers.iter().try_for_each(|WorkerCalls { worker, taken, dropped, declined, unanswered }| {
            writeln!(f, "  {:<24} {taken:>7} {dropped:>8} {declined:>9} {unanswered:>7}", worker.to_string())
        })
    }
}
