//! The pool from plain threads, in real time.
#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::Duration;

use openrtc_runtime::blocking::AgentPool;
use openrtc_runtime::{Actor, AgentPoolBuilder, CallId, Control, EndReason, Exit, Phase, Refusal};

const TEST: Actor = Actor::from_static("test");

fn builder() -> AgentPoolBuilder {
    openrtc_runtime::AgentPool::builder().deployment_version("v1").signals(false)
}

fn id(number: usize) -> CallId {
    CallId::new(&format!("call-{number}")).unwrap()
}

#[test]
fn calls_on_many_threads_run_to_their_end_in_a_drain_that_others_wait_for() {
    let pool = AgentPool::start(builder()).unwrap();
    let calls: Vec<_> = (0..100).map(|number| pool.admit(id(number)).unwrap()).collect();
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| pool.drained());
            threads.spawn(|| assert_eq!(pool.exited().code(), Exit::CLEAN));
        }
        pool.begin_drain(TEST).unwrap();
        assert!(matches!(pool.admit(id(100)), Err(Refusal::Closed(Phase::Draining))));
        for call in calls {
            threads.spawn(move || {
                call.recorded();
                call.progress();
                assert!(!call.is_cancelled());
                call.end(EndReason::CallerHangup);
            });
        }
    });
    assert_eq!(pool.pool().runtime_snapshot().totals.ended_by(EndReason::CallerHangup), 100);
}

#[test]
fn a_thread_that_looks_sees_that_a_force_has_told_its_call_to_end() {
    let pool = AgentPool::start(builder().force_grace(Duration::from_mins(1))).unwrap();
    let call = pool.reserve(id(0)).unwrap().assign().unwrap();
    assert_eq!((call.id(), call.number().get() > 0), (&id(0), true));
    pool.begin_drain(TEST).unwrap();
    pool.pool().force_drain(TEST).unwrap();
    while !call.is_cancelled() {
        thread::yield_now();
    }
    drop(call);
    let exit = pool.exited();
    assert_eq!((exit.code(), exit.dropped()), (Exit::FORCED, 1));
}

#[test]
fn it_may_be_dropped_inside_a_runtime_and_brings_its_own_threads() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let pool = AgentPool::start(builder().control(Control::Shared)).unwrap();
        drop(pool.admit(id(0)).unwrap());
        drop(pool);
    });
}
