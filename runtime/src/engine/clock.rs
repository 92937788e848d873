//! The one place that reads a clock.

use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use openrtc_core::time::Instant;
use tokio::time::{Instant as Monotonic, timeout_at};

/// A worker's time: microseconds since the Unix epoch as sampled once at start, advanced by the monotonic clock. So it
/// is readable across processes, and never steps within one. Under tokio's paused time it is virtual.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    unix_at_start: Instant,
    start: Monotonic,
}

impl Clock {
    /// A clock that reads the wall clock now, and never again.
    #[must_use]
    pub fn start() -> Self {
        Self { unix_at_start: Self::wall(), start: Monotonic::now() }
    }

    /// The time as other machines have it: what a token is stamped with and its age is judged by. It may step.
    #[expect(clippy::disallowed_methods, reason = "the wall clock is read here and nowhere else")]
    #[must_use]
    pub fn wall() -> Instant {
        Instant::EPOCH + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().into()
    }

    /// The time now. It never steps back.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.unix_at_start + self.start.elapsed().into()
    }

    /// The timer instant at which `now` will have reached `at`.
    #[must_use]
    pub fn timer(&self, at: Instant) -> Monotonic {
        self.start + at.since(self.unix_at_start).into()
    }

    /// Waits until `work` is done or `deadline` is reached, whichever comes first.
    pub async fn wait(&self, deadline: Option<Instant>, work: impl Future<Output = ()>) {
        match deadline {
            Some(at) => timeout_at(self.timer(at), work).await.unwrap_or_default(),
            None => work.await,
        }
    }
}
