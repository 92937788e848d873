//! What systemd is told, where it listens (`Type=notify`). Elsewhere all of this does nothing.

use std::time::Duration;

use openrtc_core::snapshot::RuntimeSnapshot;
use sd_notify::NotifyState;

/// How often a drain under a signal asks for more time; each request must arrive before the one before it runs out.
pub(crate) const EXTEND_EVERY: Duration = Duration::from_secs(10);

/// The worker takes calls.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The process is going and will not come back: sent only when a drain is irrevocable.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// What the worker does, in a line; while calls keep a signalled worker alive, the stop time-out is pushed out too.
pub(crate) fn status(snapshot: &RuntimeSnapshot) {
    let line = format!("{}, {} calls", snapshot.phase, snapshot.active_sessions);
    let status = NotifyState::Status(&line);
    let going = snapshot.drain.is_some_and(|drain| drain.sealed) && snapshot.active_sessions > 0;
    let micros = u32::try_from((3 * EXTEND_EVERY).as_micros()).unwrap_or(u32::MAX);
    if going {
        notify(&[status, NotifyState::ExtendTimeoutUsec(micros)]);
    } else {
        notify(&[status]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}
