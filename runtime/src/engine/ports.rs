//! What the shell needs from the world. Tokio implements it in `host`; the simulator in its own crate.

use std::future::Future;
use std::io;

use openrtc_core::id::Seq;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Effect, Entry, Worker};

/// The world as the shell sees it.
pub trait Ports {
    /// The time now.
    fn now(&self) -> Instant;

    /// Waits for `work`, but no longer than until `deadline`.
    fn next(&mut self, deadline: Option<Instant>, work: impl Future<Output = ()>) -> impl Future<Output = ()>;

    /// Appends entries to the journal; `before` is the state they follow, for a segment that must be opened. An error
    /// is not the worker's end: the entries count as missed, and the next append opens a segment that covers them.
    fn append(&mut self, before: &Worker, entries: &[Entry]) -> impl Future<Output = io::Result<()>>;

    /// Publishes that entries up to `settled` are in the journal, or will never be, and the state after them.
    fn publish(&mut self, settled: Seq, state: &Worker);

    /// Hands an effect on; never waits for it.
    fn perform(&mut self, effect: Effect) -> impl Future<Output = ()>;
}
