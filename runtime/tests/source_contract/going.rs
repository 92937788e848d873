//! What becomes of calls whose guards go without a word, and of those whose worker does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use openrtc_runtime::{AgentPool, CallId, Control, Done, EndReason, Exit, Leave, Phase, ServeError};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use super::rig::{DECLINED, Fate, HANG_UP, Reports, Rig, SECOND, TEST, Talk, ended};

#[tokio::test(start_paused = true)]
async fn a_handler_that_drops_its_guard_has_ended_its_call_and_its_slot_is_free() {
    let rig = Rig::new(AgentPool::builder().capacity(1), Reports::default()).await;
    rig.talk("dropped", Talk::DropAndLinger).await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(rig.reported(), [ended("dropped", EndReason::GuardDropped)], "although its handler goes on");
    rig.talk("next", Talk::For(SECOND)).await;
    sleep(SECOND / 2).await;
    assert_eq!(rig.pool.runtime_snapshot().active_sessions, 1, "there is room again");
    rig.pool.begin_drain(TEST).unwrap();
    assert_eq!(rig.served.await.unwrap().unwrap().code(), Exit::CLEAN);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Calls under way, one of them only reserved, on a runtime of their own.
async fn under_way() -> Rig {
    let rig = Rig::with(AgentPool::builder().control(Control::OwnThread), Reports::default()).await;
    for id in ["one", "two"] {
        rig.talk(id, Talk::Deaf).await;
    }
    rig.offer("reserved", Fate::Forgotten).await;
    while rig.pool.runtime_snapshot().totals.reserved < 3 || rig.pool.runtime_snapshot().reserved_sessions > 1 {
        tokio::task::yield_now().await;
    }
    rig
}

fn dropped(pool: &AgentPool) -> (u32, u64) {
    let snapshot = pool.runtime_snapshot();
    (snapshot.active_sessions, snapshot.totals.ended_by(EndReason::GuardDropped))
}

/// `main` returned early, or with an error: nobody has said how the calls ended.
#[test]
fn a_runtime_that_is_dropped_ends_its_calls_without_a_word() {
    let runtime = runtime();
    let rig = runtime.block_on(under_way());
    let own = rig.pool.admit(CallId::from_static("own")).unwrap();
    let promised = rig.pool.reserve(CallId::from_static("promised")).unwrap();
    drop(runtime);
    drop((own, promised));
    assert_eq!(dropped(&rig.pool), (0, 5), "the program's own two among them");
}

/// The handlers did not panic, although the thread that drops them does.
#[test]
fn a_main_that_panics_ends_its_calls_without_a_word() {
    let mut pool = None;
    let main = catch_unwind(AssertUnwindSafe(|| {
        let runtime = runtime();
        let rig = runtime.block_on(under_way());
        pool = Some(rig.pool.clone());
        runtime.block_on(async { panic!("the program's own bug") })
    }));
    main.unwrap_err();
    assert_eq!(dropped(&pool.unwrap()), (0, 3));
}

/// In real time: the control loop runs on a runtime that goes.
#[test]
fn a_worker_without_its_control_loop_cuts_no_call_takes_no_more_and_does_not_leave_clean() {
    let control = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let pool = control.block_on(async {
        let pool = AgentPool::builder().deployment_version("v1").control(Control::Shared).signals(false);
        pool.build().unwrap()
    });
    runtime().block_on(async {
        let mut rig = Rig::around(pool, Reports::default()).await;
        for id in ["long", "longer"] {
            rig.talk(id, Talk::UntilHangUp).await;
        }
        while rig.pool.runtime_snapshot().active_sessions < 2 || rig.pool.runtime_snapshot().reserved_sessions > 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::spawn_blocking(move || drop(control)).await.unwrap();
        rig.talk("late", Talk::Deaf).await;
        while rig.dropped.1.recv().await != Some(DECLINED) {}
        assert!(!rig.served.is_finished(), "its calls go on");
        HANG_UP.add_permits(2);
        assert_eq!(rig.served.await.unwrap(), Err(ServeError::Lost));
        assert_eq!((rig.pool.exited().await, Exit::Lost.code()), (Exit::Lost, Exit::FAILURE));
        rig.pool.drained().await;
        let totals = rig.pool.runtime_snapshot().totals;
        assert_eq!(totals.ended_by(EndReason::CallerHangup), 2, "both to their hang-up");
        assert_eq!(rig.reports.noted.lock().unwrap().len(), 0, "nobody knows how, as far as the journal goes");
    });
}

/// A cancel comes while the program waits to leave: whoever is first counts, and nothing is lost in between.
#[tokio::test(start_paused = true)]
async fn a_drain_taken_back_while_the_program_waits_to_leave_is_waited_out() {
    let parked = || AgentPool::builder().leave(Leave::Parked);
    let mut cancelled = 0;
    for round in 0..100 {
        let rig = Rig::new(parked(), Reports::default()).await;
        let retiring = rig.pool.clone();
        let retired = tokio::spawn(async move { retiring.retired().await });
        let cancelling = rig.pool.clone();
        let cancel = tokio::spawn(async move {
            cancelling.drained().await;
            cancelling.cancel_drain(TEST) == Ok(Done::Now)
        });
        sleep(SECOND).await;
        rig.pool.begin_drain(TEST).unwrap();
        if cancel.await.unwrap() {
            cancelled += 1;
            assert_eq!(rig.pool.runtime_snapshot().phase, Phase::Serving);
            rig.talk("next", Talk::For(9 * SECOND)).await;
            sleep(SECOND).await;
            assert!(!retired.is_finished(), "it serves on");
            rig.pool.begin_drain(TEST).unwrap();
        }
        assert_eq!(retired.await.unwrap().code(), Exit::CLEAN);
        assert_eq!(rig.served.await.unwrap().unwrap().code(), Exit::CLEAN);
        let totals = rig.pool.runtime_snapshot().totals;
        assert_eq!(totals.ended_by(EndReason::CallerHangup), totals.reserved, "round {round}");
    }
    assert!((1..100).contains(&cancelled), "{cancelled} of 100: one of the two always came first");
}
