//! Pauses between attempts at somebody who does not answer.

use std::time::Duration;

use tokio::time::sleep;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);

/// Each pause is twice as long as the one before, up to a limit.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses of `longest` in the end.
    pub(crate) const fn up_to(longest: Duration) -> Self {
        Self { pause: FIRST, longest }
    }

    /// How long the next pause is.
    pub(crate) const fn pause(&self) -> Duration {
        self.pause
    }

    /// Waits for the next pause. Dropped, it is taken again.
    pub(crate) async fn wait(&mut self) {
        sleep(self.pause).await;
        self.pause = self.longest.min(self.pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_limit() {
        let mut backoff = Backoff::up_to(Duration::from_millis(350));
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let (said, begun) = (backoff.pause(), Instant::now());
            backoff.wait().await;
            assert_eq!(begun.elapsed(), said);
            pauses.push(said.as_millis());
        }
        assert_eq!(pauses, [100, 200, 350, 350]);
    }
}
