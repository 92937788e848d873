//! What is dropped when, and what may be dropped at any time.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use openrtc_runtime::{AgentPool, CallId, Control, EndReason, Ended, Exit};
use tokio::time::{Instant, sleep};

use super::rig::{Fate, RELEASED, Reports, Rig, SECOND, TEST, Talk};

#[tokio::test(start_paused = true)]
async fn accept_is_dropped_a_second_after_the_reservation_has_lapsed() {
    let mut rig = Rig::new(AgentPool::builder().reservation_ttl(3 * SECOND), Reports::default()).await;
    let begun = Instant::now();
    rig.offer("forgotten", Fate::Forgotten).await;
    assert_eq!(rig.dropped.1.recv().await, Some("forgotten"));
    assert_eq!(begun.elapsed().as_secs(), 4);
    assert_eq!(rig.reported(), [("forgotten".to_owned(), Ended::Lapsed)]);
    sleep(60 * SECOND).await;
    assert_eq!((rig.reported().len(), rig.pool.runtime_snapshot().totals.lapsed), (1, 1), "once");
}

#[tokio::test(start_paused = true)]
async fn answers_that_take_too_long_are_dropped_half_a_second_after_the_worker_has_left() {
    let mut rig = Rig::new(AgentPool::builder(), Reports::default()).await;
    rig.talk("holds the drain", Talk::For(SECOND)).await;
    sleep(SECOND / 2).await;
    rig.pool.begin_drain(TEST).unwrap();
    rig.offer("never declined", Fate::Forgotten).await;
    rig.pool.exited().await;
    let left = Instant::now();
    while rig.dropped.1.recv().await != Some("never declined") {}
    assert_eq!(left.elapsed().as_millis(), 500);
    assert_eq!(rig.served.await.unwrap().unwrap().code(), Exit::CLEAN);
}

/// Polls a future that has to wait, and drops it.
fn drop_early<T>(future: impl Future<Output = T>) {
    assert!(pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_worker_may_be_dropped_and_asked_again() {
    let builder = AgentPool::builder().deployment_version("v1").control(Control::Shared);
    let pool = builder.reservation_ttl(10 * SECOND).build().unwrap();
    let reservation = pool.reserve(CallId::from_static("reserved")).unwrap();
    let call = pool.admit(CallId::from_static("call")).unwrap();
    drop_early(call.recorded());
    drop_early(reservation.recorded());
    drop_early(reservation.lapsed());
    drop_early(call.cancelled());
    drop_early(pool.drained());
    drop_early(pool.exited());
    call.recorded().await;
    reservation.recorded().await;
    reservation.lapsed().await;

    pool.begin_drain(TEST).unwrap();
    pool.force_drain(TEST).unwrap();
    call.cancelled().await;
    call.cancelled().await;
    assert!(call.is_cancelled());
    // The call ends although nobody waits for the journal to say so.
    drop(call.end(EndReason::CallerHangup));
    pool.drained().await;
    pool.drained().await;
    assert_eq!(pool.exited().await, pool.exited().await);
    assert_eq!(pool.runtime_snapshot().totals.ended_by(EndReason::CallerHangup), 1);
}

/// In real time: a thread that blocks cannot be aborted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_keeps_neither_serve_nor_its_report() {
    let rig = Rig::with(AgentPool::builder().force_grace(SECOND / 20), Reports::default()).await;
    rig.talk("stone", Talk::Block).await;
    while rig.pool.runtime_snapshot().active_sessions == 0 {
        tokio::task::yield_now().await;
    }
    rig.pool.begin_drain(TEST).unwrap();
    rig.pool.force_drain(TEST).unwrap();
    let reports = rig.reports.clone();
    assert_eq!(rig.served.await.unwrap().unwrap().code(), Exit::FORCED, "and the process lives");
    let how = reports.noted.lock().unwrap().iter().map(|end| end.how).collect::<Vec<_>>();
    assert_eq!(how, [Ended::Recorded(EndReason::DrainForced)]);
    RELEASED.store(true, Ordering::Relaxed);
}
