//! What a user would assemble for the same meaning as an admission to the pool: a cancellation token to refuse by, a
//! task tracker to wait on, and a task that logs each beginning and end.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openrtc_core::id::CallId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Assembled {
    draining: CancellationToken,
    calls: TaskTracker,
    log: UnboundedSender<Line>,
    logged: Arc<AtomicU64>,
}

enum Line {
    Began(CallId),
    Ended(CallId),
}

/// Keeps a call in flight.
pub struct Guard {
    id: CallId,
    log: UnboundedSender<Line>,
    _token: TaskTrackerToken,
}

impl Assembled {
    /// Starts the logger on a thread of its own, as the pool's control loop runs.
    #[must_use]
    pub fn start(file: File) -> Self {
        let (log, lines) = unbounded_channel();
        let logged = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&logged);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let thread = std::thread::Builder::new().name("logger".into());
        thread.spawn(move || runtime.block_on(write_all(lines, file, &count))).expect("a thread");
        Self { draining: CancellationToken::new(), calls: TaskTracker::new(), log, logged }
    }

    /// Takes a call, unless it drains.
    #[must_use]
    pub fn admit(&self, id: CallId) -> Option<Guard> {
        if self.draining.is_cancelled() {
            return None;
        }
        let token = self.calls.token();
        self.log.send(Line::Began(id.clone())).ok()?;
        Some(Guard { id, log: self.log.clone(), _token: token })
    }

    /// How many lines were written.
    #[must_use]
    pub fn logged(&self) -> u64 {
        self.logged.load(Ordering::Acquire)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.log.send(Line::Ended(self.id.clone()));
    }
}

async fn write_all(mut lines: UnboundedReceiver<Line>, file: File, logged: &AtomicU64) {
    let (mut file, mut batch) = (BufWriter::new(file), Vec::new());
    while lines.recv_many(&mut batch, 1024).await > 0 {
        let written = batch.len() as u64;
        for line in batch.drain(..) {
            let _ = match line {
                Line::Began(id) => writeln!(file, "began {id}"),
                Line::Ended(id) => writeln!(file, "ended {id}"),
            };
        }
        let _ = file.flush();
        logged.fetch_add(written, Ordering::Release);
    }
}
