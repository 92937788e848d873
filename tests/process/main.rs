//! The process around the worker: nothing that happens around a call may end it, or silence it.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

mod descriptors;
mod leaving;
mod log;
mod signals;
mod surroundings;

use std::process::Command;

use e2e::{Caller, Worker};
use rustix::process::Signal;

/// A program around a worker, with a habit.
fn embedder(habit: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_embedder"));
    command.arg(habit);
    command
}

/// Sends SIGTERM, shows that the call lives, hangs up, and expects a clean exit. Returns the log.
fn leaves_clean(worker: Worker, mut call: Caller) -> String {
    worker.signal(Signal::TERM);
    worker.wait_until(|snapshot| snapshot["draining"] == true);
    call.talk(1_000);
    call.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    log
}
