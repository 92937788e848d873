//! How often one kind of line is said.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most lines of one kind in each [`PERIOD`].
const LINES: u32 = 10;
/// How long the lines are counted together.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets through at most 10 lines in 10 seconds, and counts the others. For lines that a stranger can cause as often as
/// he likes, such as one for each connection that talks nonsense.
///
/// ```
/// use openrtc_runtime::log::Limit;
///
/// static NONSENSE: Limit = Limit::new();
/// if let Some(suppressed) = NONSENSE.pass() {
///     tracing::warn!(suppressed, "the connection talks nonsense");
/// }
/// ```
#[derive(Debug)]
pub struct Limit(Mutex<Window>);

#[derive(Debug)]
struct Window {
    begun: Option<Instant>,
    passed: u32,
    suppressed: u64,
}

impl Limit {
    /// A limit for one kind of line: make it a `static` beside the line.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Window { begun: None, passed: 0, suppressed: 0 }))
    }

    /// Whether the line may be said now: then with how many like it were not said since the last one that was.
    pub fn pass(&self) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if window.begun.is_none_or(|begun| now.duration_since(begun) >= PERIOD) {
            (window.begun, window.passed) = (Some(now), 0);
        }
        if window.passed == LINES {
            window.suppressed += 1;
            return None;
        }
        window.passed += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_lines_pass_in_ten_seconds_and_the_next_one_tells_how_many_did_not() {
        let limit = Limit::new();
        let pass = || (0..100).filter_map(|_| limit.pass()).collect::<Vec<_>>();
        assert_eq!(pass(), [0; 10]);
        advance(PERIOD / 2).await;
        assert_eq!(pass(), [0; 0]);
        advance(PERIOD / 2).await;
        assert_eq!(pass(), [&[190][..], &[0; 9]].concat());
    }
}
