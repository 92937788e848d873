//! The process around the worker: signals become commands, systemd hears how it goes.

mod exit;
pub(crate) mod signal;
pub(crate) mod systemd;

use openrtc_core::id::Actor;
use openrtc_core::worker::Cause;
use tokio::time::{MissedTickBehavior, interval};

use crate::engine::done::Done;
use crate::engine::handle::WorkerHandle;
pub use exit::Exit;
use signal::{Asked, Signals};

/// Attends to the worker until it has exited.
pub(crate) async fn attend(worker: WorkerHandle, mut signals: Option<Signals>) {
    let mut status = interval(systemd::EXTEND_EVERY);
    status.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = worker.exited() => return,
            asked = next(&mut signals) => obey(&worker, asked),
            _ = status.tick() => {}
        }
        systemd::status(&worker.snapshot());
    }
}

async fn next(signals: &mut Option<Signals>) -> Asked {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

fn obey(worker: &WorkerHandle, asked: Asked) {
    let (done, signal) = match asked {
        Asked::Drain(signal) => (worker.drain(Cause::Signal, Actor::from_static(signal), worker.drain_terms()), signal),
        Asked::Force => (worker.force_drain(const { Actor::from_static("SIGINT") }), "SIGINT"),
        Asked::Nothing => return,
    };
    let calls = worker.snapshot().active_sessions;
    match done {
        Ok(Done::Now) => tracing::info!(signal, calls, "draining"),
        Ok(Done::Already(_)) => tracing::info!(signal, calls, "draining already; the signal changes nothing"),
        Err(error) => tracing::warn!(signal, %error, "the signal has no effect"),
    }
}
