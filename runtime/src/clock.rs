//! The one place that reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use openrtc_core::time::Instant;
use tokio::time::Instant as Monotonic;

/// Microseconds since the Unix epoch as sampled once at start, advanced by the monotonic clock: readable across
/// processes, and never stepping within one. Under tokio's paused time it is virtual.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    unix_at_start: Instant,
    start: Monotonic,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the wall clock is sampled here, once")]
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { unix_at_start: Instant::EPOCH + unix.into(), start: Monotonic::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        self.unix_at_start + self.start.elapsed().into()
    }

    /// The timer instant at which `now` will have reached `at`.
    pub(crate) fn timer(&self, at: Instant) -> Monotonic {
        self.start + at.since(self.unix_at_start).into()
    }
}
