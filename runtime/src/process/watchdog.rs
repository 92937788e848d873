//! Leaving is certain: a thread that nothing can hold up ends a process whose last worker has left.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::log;
use crate::process::Exit;

static WATCH: Watch = Watch { state: Mutex::new(State::NONE), changed: Condvar::new() };

struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Whether the thread is there.
    running: bool,
    /// Workers that have not left.
    workers: u32,
    /// How long the process may take when the last one has; the longest that was asked for. `None` if nobody did.
    patience: Option<Duration>,
    /// The gravest exit code of those that have left.
    code: u8,
}

impl State {
    const NONE: Self = Self { running: false, workers: 0, patience: None, code: Exit::CLEAN };
}

/// Starts the thread, once per process: when it is needed, the system may have none to give.
pub(crate) fn start() -> io::Result<()> {
    let mut state = lock();
    if !state.running {
        std::thread::Builder::new().name("openrtc-exit".into()).spawn(watch)?;
        state.running = true;
    }
    Ok(())
}

/// A worker has started.
pub(crate) fn enter() {
    lock().workers += 1;
    WATCH.changed.notify_all();
}

/// A worker has left: nothing of its journal is missing.
pub(crate) fn leave(exit: Exit) {
    let mut state = lock();
    state.workers = state.workers.saturating_sub(1);
    state.code = state.code.max(exit.code());
    drop(state);
    WATCH.changed.notify_all();
}

/// Ends the process once its last worker has left and `patience` is over. Zero: never.
pub(crate) fn arm(patience: Duration) {
    if !patience.is_zero() {
        let mut state = lock();
        state.patience = state.patience.max(Some(patience));
        drop(state);
        WATCH.changed.notify_all();
    }
}

fn watch() {
    let mut state = lock();
    loop {
        let due = state.patience.filter(|_| state.workers == 0);
        let Some(patience) = due else {
            state = WATCH.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let unchanged = |state: &mut State| state.workers == 0 && state.patience == Some(patience);
        let (after, waited) =
            WATCH.changed.wait_timeout_while(state, patience, unchanged).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            end(after.code, patience);
        }
        state = after;
    }
}

/// Ends the process at once: what runs at an ordinary end may wait for the very threads that are blocked.
fn end(code: u8, patience: Duration) -> ! {
    log::say(move || {
        tracing::error!(
            "the process is still there {patience:?} after its worker left (handlers block their threads, or \
             something else does): ended; OPENRTC_EXIT_WATCHDOG sets the time"
        );
    });
    log::flush();
    signal_hook::low_level::exit(code.into())
}

fn lock() -> MutexGuard<'static, State> {
    WATCH.state.lock().unwrap_or_else(PoisonError::into_inner)
}
