//! How long a worker waits before it connects again: a random time, so that not all of a fleet come at one moment.

use std::time::Duration;

/// Within which time the first attempt is, before a coordinator has said it.
const FIRST: Duration = Duration::from_secs(1);

/// Attempts are at most so far apart: well below the lease that a coordinator waits for a worker.
const LONGEST: Duration = Duration::from_secs(20);

/// The window that a coordinator may ask for at most.
const WINDOW_MAX: Duration = Duration::from_mins(1);

/// How attempts are spread.
#[derive(Debug)]
pub(super) struct Redial {
    /// Within which time the first attempt is.
    window: Duration,
    /// How many attempts have failed since the last connection.
    failures: u32,
}

impl Default for Redial {
    fn default() -> Self {
        Self { window: FIRST, failures: 0 }
    }
}

impl Redial {
    /// There was a connection on which the worker joined.
    pub(super) fn joined(&mut self, window: Duration) {
        *self = Self { window: window.min(WINDOW_MAX), failures: 0 };
    }

    /// How long to wait before the next attempt: a share of the window, which doubles with each failure.
    pub(super) fn pause(&mut self, share: f64) -> Duration {
        let grown = self.window.saturating_mul(1 << self.failures.min(10));
        self.failures += 1;
        grown.min(LONGEST.max(self.window)).mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_the_coordinators_then_doubles_and_is_bounded() {
        let mut redial = Redial::default();
        let mut pauses = |share: f64| [0; 6].map(|_| redial.pause(share).as_millis());
        assert_eq!(pauses(1.0), [1_000, 2_000, 4_000, 8_000, 16_000, 20_000]);
        assert_eq!(pauses(0.25), [5_000; 6]);
        let mut redial = Redial::default();
        redial.joined(Duration::from_secs(30));
        assert_eq!((redial.pause(0.5).as_secs(), redial.pause(0.5).as_secs()), (15, 15), "10,000 workers come slowly");
        redial.joined(Duration::MAX);
        assert_eq!(redial.pause(1.0), WINDOW_MAX);
    }
}
