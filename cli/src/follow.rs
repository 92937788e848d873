//! Following workers until each has drained, left or gone silent. A worker that leaves waits until whoever follows it
//! has heard how it left, so that leaving and vanishing are told apart.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::snapshot::Seen;

/// How often a worker is heard from, if nothing happens.
const REFRESH: Duration = Duration::from_secs(1);

/// A worker that does not answer is asked so many times before it counts as gone.
const TRIES: u32 = 3;

/// How long between these.
const RETRY: Duration = Duration::from_millis(200);

/// What is known of a worker.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// It was not heard from yet.
    Nothing,
    /// It says so; more may come.
    Now(Seen),
    /// It says so, and nothing more is to be expected: it has drained, or left.
    Last(Seen),
    /// It does not answer, for this reason. If it did before, this is what it said last.
    Gone(Option<Seen>, String),
}

impl Known {
    pub(crate) const fn is_final(&self) -> bool {
        matches!(self, Self::Last(_) | Self::Gone(..))
    }

    pub(crate) const fn seen(&self) -> Option<&Seen> {
        match self {
            Self::Now(seen) | Self::Last(seen) | Self::Gone(Some(seen), _) => Some(seen),
            Self::Nothing | Self::Gone(None, _) => None,
        }
    }
}

/// Follows every worker at once. What becomes known of each comes with its place in `urls`; the channel closes when
/// nothing more will.
pub(crate) fn follow(urls: &[String]) -> mpsc::Receiver<(usize, Known)> {
    let (news, heard) = mpsc::channel(16);
    for (place, url) in urls.iter().enumerate() {
        let (url, news) = (url.clone(), news.clone());
        tokio::spawn(async move {
            let mut last = None;
            loop {
                let known = next(&url, last).await;
                last = known.seen().cloned();
                let over = known.is_final();
                if news.send((place, known)).await.is_err() || over {
                    return;
                }
            }
        });
    }
    heard
}

/// What a worker says next: when its phase is another, or after a while.
async fn next(url: &str, last: Option<Seen>) -> Known {
    let begun = Instant::now();
    let path = match &last {
        Some(seen) => format!("/snapshot?while={}&wait_ms={}", seen.phase(), REFRESH.as_millis()),
        None => "/snapshot".into(),
    };
    let mut tries = 0;
    loop {
        match Seen::ask(url, &path).await {
            Ok(seen) if seen.has_left() => return Known::Last(seen),
            Ok(seen) => {
                let same = last.as_ref().is_some_and(|last| last.phase() == seen.phase());
                // One that parks stays as it is. One that leaves has had its time to say so.
                if same && seen.is_drained() {
                    return Known::Last(seen);
                }
                // An earlier build does not wait.
                if same {
                    sleep(REFRESH.saturating_sub(begun.elapsed())).await;
                }
                return Known::Now(seen);
            }
            Err(error) => {
                tries += 1;
                if tries < TRIES {
                    sleep(RETRY).await;
                    continue;
                }
                return match last {
                    // Nothing was left to lose when it was heard last.
                    Some(seen) if seen.is_drained() => Known::Last(seen),
                    last => Known::Gone(last, format!("{error:#}")),
                };
            }
        }
    }
}
