//! What a case finds.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Why a case is not right.
#[derive(Debug)]
pub(crate) enum Flaw {
    /// The worker does it wrong.
    Wrong(String),
    /// The worker cannot be brought into the case, or the case is not a worker's.
    Elsewhere(String),
}

pub(crate) type Verdict<T = ()> = Result<T, Flaw>;

pub(crate) fn check(right: bool, wrong: impl Into<String>) -> Verdict {
    if right { Ok(()) } else { Err(Flaw::Wrong(wrong.into())) }
}

/// Waits until something is true; what is said is wrong if it never is.
pub(crate) async fn until(secs: u64, wrong: &str, is_true: impl Fn() -> bool) -> Verdict {
    let end = Instant::now() + Duration::from_secs(secs);
    while !is_true() {
        if Instant::now() >= end {
            return Err(Flaw::Wrong(wrong.to_owned()));
        }
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Lets time pass.
pub(crate) async fn pass(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
}
