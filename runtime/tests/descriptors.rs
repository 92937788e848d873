//! Reserves of descriptors and calls, in a process of their own: what lacks anywhere in it lacks for every worker.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use openrtc_runtime::process::Reserve;
use openrtc_runtime::{AgentPool, CallId};

/// Listeners begin while the worker takes calls already; what they hold back was never lent.
#[tokio::test]
async fn a_reserve_that_is_being_made_costs_no_call() {
    let pool =
        AgentPool::builder().deployment_version("v1").worker("w1").signals(false).call_descriptors(1).build().unwrap();
    let over = AtomicBool::new(false);
    let refused = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                drop(Reserve::of(16));
            }
        });
        let refusal = |number| pool.reserve(CallId::new(&format!("call-{number}")).unwrap()).err();
        let refused = (0..20_000).find_map(refusal);
        over.store(true, Ordering::Relaxed);
        refused
    });
    assert_eq!(refused, None);
}
