//! A thread that says the lines of those who must not wait: a subscriber may block or panic, and the control loop may
//! not.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most lines that wait to be said; what does not fit is dropped.
const WAITING_MAX: usize = 256;

type Line = Box<dyn FnOnce() + Send>;

static RELAY: Mutex<Option<SyncSender<Line>>> = Mutex::new(None);
/// Lines dropped that nobody has been told about.
static UNTOLD: AtomicU64 = AtomicU64::new(0);

/// Starts the thread, if there is none yet.
pub(crate) fn start() -> io::Result<()> {
    let mut relay = relay();
    if relay.is_none() {
        let (sender, lines) = sync_channel(WAITING_MAX);
        std::thread::Builder::new().name("openrtc-log".into()).spawn(move || say_all(&lines))?;
        *relay = Some(sender);
    }
    Ok(())
}

/// Says a line, on the thread for that. Returns at once; what a subscriber does about the line harms nobody here.
pub fn say(line: impl FnOnce() + Send + 'static) {
    let Some(relay) = relay().clone() else { return line() };
    if relay.try_send(Box::new(line)).is_err() {
        UNTOLD.fetch_add(1, Ordering::Relaxed);
        super::note_dropped();
    }
}

/// Waits until all that was said before is with the subscriber, for at most `patience`.
pub(super) fn flush(patience: Duration) {
    let Some(relay) = relay().clone() else { return };
    let (said, all_said) = sync_channel(1);
    let barrier = move || {
        // Nobody may be waiting any more.
        let _ = said.send(());
    };
    if relay.try_send(Box::new(barrier)).is_ok() {
        // Late or not: the process ends.
        let _ = all_said.recv_timeout(patience);
    }
}

fn say_all(lines: &Receiver<Line>) {
    for line in lines {
        if catch_unwind(AssertUnwindSafe(line)).is_err() {
            super::note_dropped();
        }
        let untold = UNTOLD.swap(0, Ordering::Relaxed);
        if untold > 0 {
            let told = || tracing::warn!(lines = untold, "log lines are missing here: they came too fast");
            drop(catch_unwind(told));
        }
    }
}

fn relay() -> MutexGuard<'static, Option<SyncSender<Line>>> {
    RELAY.lock().unwrap_or_else(PoisonError::into_inner)
}
