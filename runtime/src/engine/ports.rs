//! What the control loop needs from the world. Tokio implements it in the pool; the simulator in its own crate.

use std::future::Future;
use std::io;

use openrtc_core::id::Seq;
use openrtc_core::journal::{Batch, Journaled};
use openrtc_core::time::Instant;

/// The world as the control loop sees it.
pub trait Ports<M: Journaled> {
    /// The time now.
    fn now(&self) -> Instant;

    /// Waits for `work`, but no longer than until `deadline`.
    fn next(&mut self, deadline: Option<Instant>, work: impl Future<Output = ()>) -> impl Future<Output = ()>;

    /// Appends a batch to the journal; `before` is the state that it follows, for a segment that must be opened. An
    /// error is not the machine's end: the entries count as missed, and the next append opens a segment that covers
    /// them.
    fn append(&mut self, before: &M, batch: &Batch<M>) -> impl Future<Output = io::Result<()>>;

    /// Publishes that entries up to `settled` are in the journal, or will never be, and the state after them.
    fn publish(&mut self, settled: Seq, state: &M);

    /// Hands an effect on; never waits for it.
    fn perform(&mut self, effect: M::Effect) -> impl Future<Output = ()>;
}
