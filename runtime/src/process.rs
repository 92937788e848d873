//! The process around the worker: nothing that happens to it may end a call.
//!
//! [`begin`] is for the first statement of `main`. What signals do is in [`SIGNALS`], and in `docs/signals.md`.

pub(crate) mod descriptors;
mod exit;
mod panic;
pub(crate) mod signal;
pub(crate) mod supervisor;
pub(crate) mod systemd;
mod terminal;
pub(crate) mod watchdog;

use openrtc_core::id::Actor;
use openrtc_core::worker::Cause;
use tokio::time::{MissedTickBehavior, interval};

use crate::engine::done::{CommandError, Done};
use crate::engine::handle::WorkerHandle;
use crate::log::{self, say};
#[doc(hidden)]
pub use descriptors::{Reserve, descriptors_given, raise_descriptors};
pub use exit::Exit;
use signal::{Ask, Order, Orders};
pub use signal::{Rule, SIGNALS, SignalRule};
use systemd::Systemd;

/// Makes the process fit to carry calls. The first statement of `main`, before a runtime and its threads are started:
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
///     let _process = openrtc_runtime::process::begin();
///     tracing_subscriber::fmt().with_writer(openrtc_runtime::log::stderr).init();
///     tokio::runtime::Runtime::new()?.block_on(run())
/// }
/// # async fn run() -> Result<ExitCode, Box<dyn std::error::Error>> { Ok(ExitCode::SUCCESS) }
/// ```
///
/// From here on
/// - every signal has its rule ([`SIGNALS`]), also in a container's first process and when the parent had blocked it.
///   One that asks to drain is kept for the pool that is built later;
/// - the limit of open descriptors is raised as far as the system allows;
/// - a panic is told in lines that neither block nor fail ([`log`]).
///
/// Building a pool does the first two by itself, but by then a signal may have come. A program that sets
/// [`signals(false)`](crate::AgentPoolBuilder::signals) handles them on its own, and leaves this out.
#[must_use = "keep it until `main` returns: it writes what is left of the log then"]
pub fn begin() -> Process {
    // What fails here fails again in building a pool, which says so.
    let _ = signal::install();
    raise_descriptors();
    panic::tell_panics();
    Process(())
}

/// A process that is fit to carry calls. Dropping it waits until the log is written, but less than a second.
#[derive(Debug)]
pub struct Process(());

impl Drop for Process {
    fn drop(&mut self) {
        log::flush();
    }
}

/// Attends to the worker until it has exited.
pub(crate) async fn attend(worker: WorkerHandle, mut orders: Option<Orders>, systemd: Systemd) {
    let mut beat = interval(systemd.every());
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let left = loop {
        tokio::select! {
            biased;
            left = worker.exited() => break left,
            order = next(&mut orders) => obey(&worker, order),
            _ = beat.tick() => {}
        }
        systemd.beat(&worker.snapshot());
    };
    // A worker that is lost leaves when its last calls have ended, of which nothing here would hear.
    if let Ok(outcome) = left {
        watchdog::leave(Exit::Left(outcome));
    }
}

async fn next(orders: &mut Option<Orders>) -> Order {
    match orders {
        Some(orders) => orders.next().await,
        None => std::future::pending().await,
    }
}

fn obey(worker: &WorkerHandle, order: Order) {
    match order {
        Order::Drain(Ask { signal, typed }) => {
            let done = worker.drain(Cause::Signal, Actor::from_static(signal), worker.drain_terms());
            let calls = worker.snapshot().active_sessions;
            if typed {
                let name = worker.identity().worker;
                terminal::tell(&format!(
                    "{name} takes no more calls, and leaves when its {calls} calls have ended. Ctrl-C again cuts them."
                ));
            }
            told(signal, calls, done);
        }
        Order::Force => {
            let done = worker.force_drain(const { Actor::from_static("SIGINT") });
            told("SIGINT", worker.snapshot().active_sessions, done);
        }
    }
}

fn told(signal: &'static str, calls: u32, done: Result<Done, CommandError>) {
    say(move || match done {
        Ok(Done::Now) => tracing::warn!(signal, calls, "draining: the worker leaves when its last call has ended"),
        Ok(Done::Already(_)) => tracing::info!(signal, calls, "draining already; the signal changes nothing"),
        Err(error) => tracing::warn!(signal, %error, "the signal has no effect"),
    });
}
