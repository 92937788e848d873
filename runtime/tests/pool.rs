//! The pool under virtual time: what an embedder relies on.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{Decline, Leave, Refused, Repeat};
use openrtc_runtime::journal::{JournalConfig, Sync};
use openrtc_runtime::{
    Actor, AgentPool, AgentPoolBuilder, CallId, CommandError, Config, Control, Done, EndReason, Exit, OnDeadline,
    Secret, Start,
};
use tokio::time::{Instant, advance, sleep};

const ALICE: Actor = Actor::from_static("alice");

fn builder() -> AgentPoolBuilder {
    AgentPool::builder().deployment_version("v1").worker("w1").control(Control::Shared)
}

fn id(text: &str) -> CallId {
    CallId::new(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_reserved_before_the_drain_and_assigned_after_it_is_served_to_its_end() {
    let pool = builder().build().unwrap();
    let reservation = pool.reserve(id("classic")).unwrap();
    pool.begin_drain(ALICE).unwrap();
    assert_eq!(pool.runtime_snapshot().active_sessions, 1);

    let call = reservation.assign().expect("the promise came before the drain");
    sleep(Duration::from_mins(10)).await;
    assert_eq!(pool.runtime_snapshot().phase, Phase::Draining, "the drain waits for it");

    call.end(EndReason::CallerHangup).await;
    assert_eq!(pool.exited().await.code(), Exit::CLEAN);
    assert_eq!(pool.runtime_snapshot().totals.ended_by(EndReason::CallerHangup), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_admitted_once_begin_drain_has_returned_and_the_declines_are_counted() {
    let pool = builder().build().unwrap();
    pool.begin_drain(ALICE).unwrap();
    for _ in 0..3 {
        assert!(matches!(pool.admit(id("late")), Err(Refusal::Closed(Phase::Draining | Phase::Drained))));
    }
    pool.exited().await;
    assert_eq!(pool.runtime_snapshot().totals.declined[Decline::Draining as usize], 3);
}

#[tokio::test(start_paused = true)]
async fn a_full_worker_is_not_a_draining_one() {
    let pool = builder().capacity(1).build().unwrap();
    let first = pool.admit(id("first")).unwrap();
    assert_eq!(pool.admit(id("second")).unwrap_err(), Refusal::Full);
    assert!(!pool.runtime_snapshot().draining);
    drop(first);
    pool.admit(id("second")).expect("room again");
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_own_call_and_no_sibling() {
    let pool = builder().build().unwrap();
    let sibling = pool.admit(id("sibling")).unwrap();
    let doomed = pool.admit(id("doomed")).unwrap();
    let task = tokio::spawn(async move {
        let _doomed = doomed;
        panic!("a handler's bug");
    });
    assert!(task.await.unwrap_err().is_panic());
    let snapshot = pool.runtime_snapshot();
    assert_eq!((snapshot.active_sessions, snapshot.totals.ended_by(EndReason::Panicked)), (1, 1));
    drop(sibling);
}

#[tokio::test(start_paused = true)]
async fn a_guard_moved_into_another_task_keeps_its_call_in_flight_there() {
    let pool = builder().build().unwrap();
    let guard = pool.admit(id("moved")).unwrap();
    let elsewhere = tokio::spawn(async move {
        sleep(Duration::from_secs(30)).await;
        drop(guard);
    });
    pool.begin_drain(ALICE).unwrap();
    let begun = Instant::now();
    pool.drained().await;
    assert_eq!(begun.elapsed().as_secs(), 30);
    elsewhere.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_forced_deadline_cancels_every_call_then_drops_and_counts_those_that_stay() {
    let pool = builder()
        .drain_timeout(Duration::from_secs(10))
        .on_deadline(OnDeadline::Force)
        .force_grace(Duration::from_secs(2))
        .build()
        .unwrap();
    let polite = pool.admit(id("polite")).unwrap();
    let deaf = pool.admit(id("deaf")).unwrap();
    let done = pool.admit(id("done")).unwrap();
    pool.begin_drain(ALICE).unwrap();
    let begun = Instant::now();
    done.end(EndReason::CallerHangup).await;

    polite.cancelled().await;
    assert_eq!(begun.elapsed().as_secs(), 10);
    drop(polite);
    let exit = pool.exited().await;
    assert_eq!(begun.elapsed().as_secs(), 12, "the grace is over");
    assert_eq!((exit.code(), exit.dropped()), (Exit::FORCED, 2));
    drop(deaf);
    assert_eq!(pool.runtime_snapshot().totals.ended_by(EndReason::DrainForced), 1, "an exit is the last entry");
}

#[tokio::test(start_paused = true)]
async fn under_wait_a_deadline_drops_nothing() {
    let pool = builder().drain_timeout(Duration::from_secs(1)).build().unwrap();
    let long = pool.admit(id("long")).unwrap();
    pool.begin_drain(ALICE).unwrap();
    sleep(Duration::from_hours(5)).await;
    long.end(EndReason::CallerHangup).await;
    assert_eq!(pool.exited().await.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_can_be_extended_cancelled_and_forced_by_whoever_asks() {
    let pool = builder().drain_timeout(Duration::from_mins(1)).on_deadline(OnDeadline::Force).build().unwrap();
    let call = pool.admit(id("call")).unwrap();
    pool.begin_drain(ALICE).unwrap();
    assert_eq!(pool.begin_drain(ALICE), Ok(Done::Already(Repeat::AlreadyDraining)));
    pool.extend_drain(ALICE, Duration::from_hours(1)).unwrap();
    sleep(Duration::from_mins(30)).await;
    pool.cancel_drain(ALICE).unwrap();
    drop(pool.admit(id("welcome")).expect("it serves again"));

    pool.begin_drain(ALICE).unwrap();
    pool.force_drain(ALICE).unwrap();
    assert_eq!(pool.cancel_drain(ALICE), Err(CommandError::Refused(Refused::Forced)));
    call.cancelled().await;
    drop(call);
    assert_eq!(pool.exited().await.dropped(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_is_never_assigned_lapses_and_says_so() {
    let pool = builder().reservation_ttl(Duration::from_secs(10)).build().unwrap();
    let forgotten = pool.reserve(id("forgotten")).unwrap();
    advance(Duration::from_secs(11)).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(pool.runtime_snapshot().active_sessions, 0);
    assert_eq!(forgotten.assign().unwrap_err().id, id("forgotten"));
    assert_eq!(pool.runtime_snapshot().totals.lapsed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_call_is_flagged_and_lives_on() {
    let pool = builder().stall_after(Some(Duration::from_secs(30))).build().unwrap();
    let silent = pool.admit(id("silent")).unwrap();
    sleep(Duration::from_secs(31)).await;
    assert_eq!(pool.runtime_snapshot().stalled_sessions, 1);
    silent.progress();
    let snapshot = pool.runtime_snapshot();
    assert_eq!((snapshot.stalled_sessions, snapshot.active_sessions), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_worker_in_standby_admits_nothing_until_it_is_promoted() {
    let pool = builder().start(Start::Standby).build().unwrap();
    assert_eq!(pool.admit(id("early")).unwrap_err(), Refusal::Closed(Phase::Standby));
    pool.promote().unwrap();
    pool.admit(id("now")).expect("promoted");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_that_end_in_the_same_instant_drain_the_worker() {
    let pool = builder().build().unwrap();
    let calls: Vec<_> = (0..1_000).map(|n| pool.admit(id(&format!("call-{n}"))).unwrap()).collect();
    pool.begin_drain(ALICE).unwrap();
    drop(calls);
    assert_eq!(pool.exited().await.code(), Exit::CLEAN);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_with_the_fix() {
    let refused = |builder: AgentPoolBuilder| builder.build().unwrap_err().to_string();
    let force = || builder().on_deadline(OnDeadline::Force);
    let brief = || builder().drain_timeout(Duration::from_secs(3));
    let too_long = "v".repeat(300);
    let unsynced = JournalConfig { sync: Sync::Every(Duration::ZERO), ..JournalConfig::new("never-made") };
    let mut endless = Config::default();
    endless.deployment_version = "v1".into();
    (endless.drain_timeout, endless.platform_grace) = (None, Some(Duration::from_hours(1)));
    for (error, fix) in [
        (refused(AgentPool::builder()), "deployment version is empty"),
        (refused(builder().deployment_version(&too_long)), "300 bytes long: shorten it to at most 63"),
        (refused(builder().deployment_version("v 1")), "without spaces"),
        (refused(builder().capacity(0)), "set it to 1 or more"),
        (refused(builder().drain_timeout(Duration::ZERO)), "set it to `none`"),
        (refused(builder().reservation_ttl(Duration::ZERO)), "set it to 10s or so"),
        (refused(builder().ops_socket("s".repeat(108).into())), "at most 107 bytes"),
        (refused(force().platform_grace(Duration::from_secs(30))), "raise the platform's grace"),
        (refused(force().platform_grace(Duration::from_hours(2)).lame_duck(Duration::from_hours(2))), "7202s"),
        // What the platform would do without a line: nothing of the worker's own ends the drain.
        (refused(brief().platform_grace(Duration::from_secs(8))), "set OPENRTC_ON_DEADLINE=force"),
        (refused(brief().platform_grace(Duration::from_hours(8))), "leave OPENRTC_PLATFORM_GRACE out"),
        (refused(brief().on_deadline(OnDeadline::Alert).platform_grace(Duration::from_secs(8))), "=force"),
        (refused(builder().drain_timeout(Duration::MAX)), "drain_timeout is more than a year"),
        (refused(builder().lame_duck(Duration::MAX)), "lame_duck is more than a year"),
        (refused(builder().force_grace(Duration::MAX)), "force_grace is more than a year"),
        (refused(builder().ops_token(Secret::new(""))), "at least 16 characters"),
        (refused(builder().ops_token(Secret::new("0123456789abcdef\n"))), "line ends"),
        (refused(builder().force_grace(Duration::ZERO)), "force_grace is 0"),
        (refused(builder().journal(unsynced)), "sync period is 0"),
        (refused(builder().config(endless.clone())), "set OPENRTC_ON_DEADLINE=force with an OPENRTC_DRAIN_TIMEOUT"),
        (refused(builder().config(endless).on_deadline(OnDeadline::Force)), "set OPENRTC_DRAIN_TIMEOUT"),
    ] {
        assert!(error.contains(fix), "{error:?} should say {fix:?}");
    }
    drop(brief().on_deadline(OnDeadline::Force).platform_grace(Duration::from_secs(8)).build().unwrap());
}

#[tokio::test(start_paused = true)]
async fn progress_is_noted_at_most_four_times_per_stall_limit() {
    let pool = builder().stall_after(Some(Duration::from_secs(40))).build().unwrap();
    let chatty = pool.admit(id("chatty")).unwrap();
    let before = pool.runtime_snapshot().seq.get();
    for _ in 0..100 {
        chatty.progress();
        sleep(Duration::from_secs(1)).await;
    }
    let noted = pool.runtime_snapshot().seq.get() - before;
    assert_eq!((noted, pool.runtime_snapshot().stalled_sessions), (10, 0), "one in ten seconds, and never flagged");
}

#[tokio::test(start_paused = true)]
async fn a_forced_drain_is_a_reason_only_if_there_is_one() {
    let pool = builder().build().unwrap();
    pool.admit(id("odd")).unwrap().end(EndReason::DrainForced).await;
    let snapshot = pool.runtime_snapshot();
    assert_eq!((snapshot.active_sessions, snapshot.totals.ended_by(EndReason::AgentHangup)), (0, 1));
}

#[test]
fn a_pool_outlives_the_runtime_of_its_control_loop() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pool = runtime.block_on(async { builder().capacity(20_000).call_descriptors(0).build().unwrap() });
    let calls: Vec<_> = (0..20_000).map(|n| pool.admit(id(&format!("call-{n}"))).unwrap()).collect();
    drop(runtime);
    assert_eq!(pool.admit(id("late")).unwrap_err(), Refusal::Full, "nobody would journal it");
    assert_eq!(pool.reserve(id("late")).unwrap_err(), Refusal::Full);
    let waiting = pool.clone();
    let (drained, exited) = std::thread::scope(|scope| {
        let wait =
            |future| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
        let drained = scope.spawn(move || wait(async move { (waiting.drained().await, waiting.exited().await).1 }));
        let others = calls.len() / 2;
        let left = calls.into_iter().skip(others).collect::<Vec<_>>();
        assert!(!drained.is_finished(), "calls are left");
        drop(left);
        (pool.runtime_snapshot().active_sessions, drained.join().unwrap())
    });
    assert_eq!((drained, exited, exited.code()), (0, Exit::Lost, Exit::FAILURE), "never clean");
    let totals = pool.runtime_snapshot().totals;
    assert_eq!(totals.ended_by(EndReason::GuardDropped), 20_000, "calls go on, and are counted");
}

#[tokio::test(start_paused = true)]
async fn a_cordoned_worker_waits_for_as_long_as_it_takes_and_serves_again() {
    let pool = builder().leave(Leave::Parked).drain_timeout(Duration::from_secs(9)).on_deadline(OnDeadline::Force);
    let pool = pool.build().unwrap();
    let call = pool.admit(id("call")).unwrap();
    assert_eq!(pool.cordon(ALICE), Ok(Done::Now));
    assert_eq!(pool.cordon(ALICE), Ok(Done::Already(Repeat::AlreadyDraining)));
    sleep(Duration::from_hours(9)).await;
    assert!(!call.is_cancelled(), "no deadline of any kind");
    call.end(EndReason::CallerHangup).await;
    pool.drained().await;
    sleep(Duration::from_hours(9)).await;
    assert_eq!(pool.admit(id("late")).unwrap_err(), Refusal::Closed(Phase::Drained), "it is up, and closed");
    assert_eq!(pool.uncordon(ALICE), Ok(Done::Now));
    assert_eq!(pool.uncordon(ALICE), Ok(Done::Already(Repeat::NotDraining)));
    drop(pool.admit(id("welcome")).unwrap());

    pool.begin_drain(ALICE).unwrap();
    assert_eq!(pool.cordon(ALICE), Err(CommandError::DrainsForGood), "a deadline is in force");
    pool.uncordon(ALICE).unwrap();
    let alone = builder().build().unwrap();
    assert_eq!(alone.cordon(ALICE), Err(CommandError::NotParked));
    drop(alone.admit(id("welcome")).expect("nothing has changed"));
}
