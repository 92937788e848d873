//! Log lines that can neither block nor fail whoever says them.
//!
//! A line that is written straight to standard error waits for whoever reads it, and fails when the disk is full or the
//! reader is gone. In a worker that must not reach a call. So give your subscriber [`stderr`] to write to:
//!
//! ```
//! tracing_subscriber::fmt().with_writer(openrtc_runtime::log::stderr).init();
//! ```
//!
//! What the reader does not take in time is dropped, counted ([`dropped`]), and told once lines flow again. Say with a
//! [`Limit`] what strangers can make you say.

mod limit;
mod output;
mod relay;

pub use limit::Limit;
pub use output::{Output, stderr, stdout};
#[doc(hidden)]
pub use relay::say;
pub(crate) use relay::start;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long [`flush`] waits for each of those that write.
const PATIENCE: Duration = Duration::from_millis(250);

/// Lines that were dropped since the process began.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines were dropped since the process began: they came faster than they were taken, or could not be written.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Waits until the lines said so far are written, but less than a second: a reader that has stalled keeps nobody. Call
/// it before the process ends; `openrtc_runtime::process::begin` does.
pub fn flush() {
    relay::flush(PATIENCE);
    output::flush(PATIENCE);
}

fn note_dropped() {
    DROPPED.fetch_add(1, Ordering::Relaxed);
}
