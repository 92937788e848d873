//! A whole pool, its control loop on a thread of its own.

use std::path::Path;

use openrtc_runtime::journal::JournalConfig;
use openrtc_runtime::{Actor, AgentPool, AgentPoolBuilder, Leave};
use tokio::runtime::{Builder, Runtime};

/// Who drains here.
pub const BENCH: Actor = Actor::from_static("bench");

/// The runtime a pool is built in.
#[must_use]
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A pool that holds up to `capacity` calls and journals to `dir`, as it does by default.
#[must_use]
pub fn journaled(runtime: &Runtime, dir: &Path, capacity: u32) -> AgentPool {
    build(runtime, builder(capacity).journal(JournalConfig::new(dir)))
}

/// A pool that holds up to `capacity` calls and keeps no journal.
#[must_use]
pub fn unjournaled(runtime: &Runtime, capacity: u32) -> AgentPool {
    build(runtime, builder(capacity))
}

/// Parked: a drain that is done is taken back, and measured again. Its calls hold no descriptors.
fn builder(capacity: u32) -> AgentPoolBuilder {
    let builder = AgentPool::builder().deployment_version("bench").worker("w1").signals(false);
    builder.capacity(capacity).call_descriptors(0).leave(Leave::Parked)
}

fn build(runtime: &Runtime, pool: AgentPoolBuilder) -> AgentPool {
    runtime.block_on(async { pool.build().expect("the configuration is valid") })
}
