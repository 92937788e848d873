//! What the benchmarks and the report measure: ours and what others offer for the same job.
#![forbid(unsafe_code)]

pub mod assembled;
pub mod gates;
pub mod journal;
pub mod locked_machine;
pub mod measure;
pub mod pool;
pub mod rollout;
pub mod trust;
pub mod whole;

use openrtc_core::id::CallId;

/// A call's id of the usual length: a UUID.
pub static CALL: CallId = CallId::from_static("9f3a7c02-5d0e-4a7e-9f64-0c7b6a1f2e11");

/// The most calls in flight, in every gate that has a limit.
pub const CAPACITY: u32 = 1_000;

/// Something that can be done over and over, by several threads at once.
pub struct Contender {
    /// What it is.
    pub name: &'static str,
    /// Does it this many times.
    pub run: Box<dyn Fn(u64) + Send + Sync>,
}

impl Contender {
    /// A contender that does `once` in a loop of its own, so that it is compiled into the loop.
    pub fn new(name: &'static str, once: impl Fn() + Send + Sync + 'static) -> Self {
        let run = move |times| (0..times).for_each(|_| once());
        Self { name, run: Box::new(run) }
    }
}
