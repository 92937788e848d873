//! What runs beside a pool from its beginning to its end: signals become commands, systemd hears how it goes.

mod exit;
pub(crate) mod signal;
pub(crate) mod systemd;

use openrtc_core::id::Actor;
use openrtc_core::worker::{Cause, Rejection};
use tokio::time::{MissedTickBehavior, interval};

use crate::pool::AgentPool;
pub use exit::Exit;
use signal::{Asked, Signals};

/// Attends to `pool` until it has exited.
pub(crate) async fn attend(pool: AgentPool, mut signals: Option<Signals>) {
    let mut status = interval(systemd::EXTEND_EVERY);
    status.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = pool.exited() => return,
            asked = next(&mut signals) => obey(&pool, asked),
            _ = status.tick() => {}
        }
        systemd::status(&pool.runtime_snapshot());
    }
}

async fn next(signals: &mut Option<Signals>) -> Asked {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

fn obey(pool: &AgentPool, asked: Asked) {
    let (done, signal) = match asked {
        Asked::Drain(signal) => (pool.drain(Cause::Signal, Actor::from_static(signal)), signal),
        Asked::Force => (pool.force_drain(const { Actor::from_static("SIGINT") }), "SIGINT"),
        Asked::Nothing => return,
    };
    let calls = pool.runtime_snapshot().active_sessions;
    match done {
        Ok(()) => tracing::info!(signal, calls, "draining"),
        Err(Rejection::Repeat(_)) => {
            tracing::info!(signal, calls, "draining already; the signal changes nothing");
        }
        Err(rejection) => tracing::warn!(signal, %rejection, "the signal has no effect"),
    }
}
