//! Keeps the process up for a moment, so that clients that watch the worker learn how it left.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// How long after an answer a watching client is expected to ask again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a leaving worker waits for watching clients at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Counts the clients that watch. All clones are the same counter.
#[derive(Clone, Debug)]
pub(crate) struct Farewell(watch::Sender<Watched>);

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// Requests that wait for an answer, or whose answer is on its way.
    by: usize,
    /// When a client that is expected to ask again last got an answer.
    until: Option<Instant>,
}

/// One watching client. Dropped when its answer has been sent.
#[derive(Debug)]
pub(crate) struct Watcher {
    of: Farewell,
    /// Whether the answer says how the worker left, and is the last that there is.
    pub(super) told: bool,
}

impl Farewell {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Watched::default()))
    }

    /// Counts one more watching client.
    pub(crate) fn watcher(&self) -> Watcher {
        self.0.send_modify(|watched| watched.by += 1);
        Watcher { of: self.clone(), told: false }
    }

    /// Resolves when every watching client has learned that the worker left, or when their time is over.
    pub(crate) async fn said(&self) {
        let mut watched = self.0.subscribe();
        let heard = async {
            loop {
                let Watched { by, until } = *watched.borrow_and_update();
                let again = until.map(|until| until + AGAIN).filter(|again| *again > Instant::now());
                let changed = watched.changed();
                match (by, again) {
                    (0, None) => return,
                    (0, Some(again)) => tokio::select! {
                        biased;
                        _ = changed => {}
                        () = sleep_until(again) => {}
                    },
                    (1.., _) => drop(changed.await),
                }
            }
        };
        // Who watches from a stalled connection must not keep the process.
        let _ = timeout(PATIENCE, heard).await;
    }
}

impl Watcher {
    /// The client knows how the worker left, and does not ask again.
    pub(crate) fn dismiss(mut self) {
        self.told = true;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.of.0.send_modify(|watched| {
            watched.by -= 1;
            if !self.told {
                watched.until = Some(Instant::now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waits_for(farewell: &Farewell) -> Duration {
        let begun = Instant::now();
        farewell.said().await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_leaves_waits_for_those_who_watch_and_for_nobody_else() {
        let farewell = Farewell::new();
        assert_eq!(waits_for(&farewell).await, Duration::ZERO, "nobody watches");

        let mut hears = farewell.watcher();
        hears.told = true;
        let later = Duration::from_millis(300);
        let (waited, ()) = tokio::join!(waits_for(&farewell), async {
            sleep_until(Instant::now() + later).await;
            drop(hears);
        });
        assert_eq!(waited, later, "until the answer is sent, and no longer: it was the last");

        drop(farewell.watcher());
        assert_eq!(waits_for(&farewell).await, AGAIN, "whoever just had an answer asks again");
        drop(farewell.watcher());
        let (waited, ()) = tokio::join!(waits_for(&farewell), async {
            sleep_until(Instant::now() + later).await;
            let mut again = farewell.watcher();
            again.told = true;
        });
        assert_eq!(waited, AGAIN, "others may yet ask again");

        let stalled = farewell.watcher();
        assert_eq!(waits_for(&farewell).await, PATIENCE, "a stalled connection keeps nobody");
        drop(stalled);
    }
}
