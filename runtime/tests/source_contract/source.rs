//! A source sees its worker, and the worker outlives its source.

use std::time::Duration;

use openrtc_runtime::{AgentPool, Availability, CallId, Decline, Duplicates, EndReason, Exit, Refusal, ServeError};
use tokio::time::{sleep, timeout};

use super::rig::{DECLINED, Fate, Offered, Reports, Rig, SECOND, TEST, Talk};

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_drains_the_worker_and_its_error_comes_back_after_the_calls() {
    let Rig { pool, offers, served, reports, dropped, .. } = Rig::new(AgentPool::builder(), Reports::default()).await;
    let fate = Fate::Assigned(Duration::ZERO, Talk::For(60 * SECOND));
    offers.send(Offered { id: "last", fate, dropped: dropped.0 }).await.ok().unwrap();
    drop(offers);
    assert_eq!(served.await.unwrap(), Err(ServeError::Source("the dispatcher is gone".to_owned())));
    assert_eq!(pool.runtime_snapshot().totals.ended_by(EndReason::CallerHangup), 1);
    assert_eq!(reports.noted.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whatever_a_source_supplies_may_panic_and_harms_nothing_else() {
    let mut rig = Rig::new(AgentPool::builder(), Reports::default()).await;
    rig.talk("talks", Talk::For(60 * SECOND)).await;
    // It cannot say what it is, and is told no.
    rig.talk("", Talk::Deaf).await;
    while rig.dropped.1.recv().await != Some(DECLINED) {}
    rig.offer("breaks", Fate::Breaks).await;
    rig.talk("fails badly", Talk::FailBadly).await;
    rig.talk("panics", Talk::Panic).await;
    sleep(SECOND).await;
    rig.talk("poison", Talk::Deaf).await;
    assert!(rig.served.await.unwrap_err().is_panic(), "the source's own goes on in the end");
    let totals = rig.pool.runtime_snapshot().totals;
    assert_eq!(totals.declined[Decline::Invalid as usize], 1);
    assert_eq!(totals.ended_by(EndReason::Panicked), 3, "the answer's, the error's and the handler's");
    assert_eq!((totals.ended_by(EndReason::CallerHangup), totals.reserved), (1, 4), "and a call that talked on");
}

#[tokio::test(start_paused = true)]
async fn one_call_per_id_if_that_is_wanted() {
    let wanted = AgentPool::builder().duplicates(Duplicates::Refuse);
    for (builder, refused) in [(wanted, 1), (AgentPool::builder(), 0)] {
        let rig = Rig::new(builder, Reports::default()).await;
        for _ in 0..2 {
            rig.talk("again", Talk::For(4 * SECOND)).await;
        }
        sleep(2 * SECOND).await;
        let totals = rig.pool.runtime_snapshot().totals;
        assert_eq!((totals.declined[Decline::Duplicate as usize], totals.reserved), (refused, 2 - refused));
        let own = rig.pool.admit(CallId::from_static("again")).err();
        assert_eq!(own, (refused > 0).then_some(Refusal::Duplicate), "whoever asks");
        sleep(4 * SECOND).await;
        drop(rig.pool.admit(CallId::from_static("again")).expect("its call has ended"));
        drop(rig.pool.admit(CallId::from_static("again")).expect("and this one, too"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_sees_how_busy_its_worker_is_and_no_change_is_lost() {
    let mut rig = Rig::new(AgentPool::builder().capacity(2), Reports::default()).await;
    let mut view = rig.view.clone();
    if view.availability() != Availability::Open {
        view.changed().await;
    }
    assert_eq!((view.availability(), view.in_flight(), view.capacity()), (Availability::Open, 0, 2));
    assert!(timeout(SECOND, view.changed()).await.is_err(), "nothing happens");

    rig.talk("one", Talk::For(10 * SECOND)).await;
    // Dropped when it has been polled once: the change is still there to be seen.
    assert!(timeout(Duration::ZERO, view.changed()).await.is_err());
    sleep(SECOND).await;
    timeout(Duration::ZERO, view.changed()).await.expect("it has changed already");
    assert!((view.load() - 0.5).abs() < f64::EPSILON, "{}", view.load());

    rig.talk("two", Talk::For(20 * SECOND)).await;
    while view.availability() != Availability::Full {
        view.changed().await;
    }
    assert!((view.load() - 1.0).abs() < f64::EPSILON);
    sleep(10 * SECOND).await;
    assert_eq!((view.availability(), view.in_flight()), (Availability::Open, 1));
    rig.pool.begin_drain(TEST).unwrap();
    while view.availability() != Availability::Closed {
        view.changed().await;
    }
    assert!(rig.served.await.unwrap().is_ok());
    rig.view.changed().await;
    assert_eq!((rig.view.availability(), rig.view.in_flight()), (Availability::Closed, 0));
    assert!(timeout(SECOND, rig.view.changed()).await.is_err(), "nothing changes after the exit");
}

/// A refusal that the journal could not count any more would make it disagree with the callers.
#[tokio::test(start_paused = true)]
async fn an_offer_in_a_drain_is_declined_and_one_after_the_exit_is_not_answered() {
    let builder = AgentPool::builder().lame_duck(Duration::ZERO);
    let mut rig = Rig::new(builder, Reports { takes: SECOND / 2, ..Reports::default() }).await;
    rig.talk("holds the drain", Talk::For(SECOND)).await;
    sleep(SECOND / 2).await;
    rig.pool.begin_drain(TEST).unwrap();
    rig.talk("draining", Talk::Deaf).await;
    while rig.dropped.1.recv().await != Some(DECLINED) {}
    rig.pool.exited().await;
    rig.talk("after", Talk::Deaf).await;
    while let Some(told) = rig.dropped.1.recv().await.filter(|told| *told != "after") {
        assert_ne!(told, DECLINED);
    }
    assert_eq!(rig.served.await.unwrap().unwrap().code(), Exit::CLEAN);
    assert_eq!(rig.pool.runtime_snapshot().totals.declined[Decline::Draining as usize], 1);
}
