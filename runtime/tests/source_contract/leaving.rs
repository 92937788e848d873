//! A worker that leaves answers until its listeners have closed.

use std::time::Duration;

use openrtc_runtime::{AgentPool, CallId, CommandError, Decline, Exit, Leave, Phase, Refusal, Refused};
use tokio::time::{Instant, sleep};

use super::rig::{DECLINED, Fate, Reports, Rig, SECOND, TEST, Talk};

#[tokio::test(start_paused = true)]
async fn it_tells_its_listeners_to_close_and_waits_for_who_has_no_answer_yet() {
    for leave in [Leave::WhenDrained, Leave::Parked] {
        let mut rig = Rig::new(AgentPool::builder().leave(leave).lame_duck(3 * SECOND), Reports::default()).await;
        let listening = rig.view.listening();
        let connection = listening.clone();
        let begun = Instant::now();
        rig.pool.begin_drain(TEST).unwrap();
        if leave == Leave::Parked {
            rig.pool.drained().await;
            rig.pool.leave().unwrap();
        }
        listening.closing().await;
        assert_eq!(begun.elapsed().as_secs(), 3, "not before its lame-duck time is over");
        assert_eq!(rig.pool.cancel_drain(TEST), Err(CommandError::Refused(Refused::Irrevocable)), "or it serves deaf");
        drop(listening);
        rig.talk("late", Talk::Deaf).await;
        while rig.dropped.1.recv().await != Some(DECLINED) {}
        let own = rig.pool.admit(CallId::from_static("own")).unwrap_err();
        assert_eq!(own, Refusal::Closed(Phase::Drained), "a connection is left, so it is up");
        sleep(SECOND / 2).await;
        assert_eq!(rig.pool.runtime_snapshot().phase, Phase::Drained);
        drop(connection);
        assert_eq!(rig.served.await.unwrap().unwrap().code(), Exit::CLEAN);
        assert!(begun.elapsed() < 4 * SECOND);
        assert_eq!(rig.pool.runtime_snapshot().totals.declined[Decline::Draining as usize], 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_never_closes_holds_it_up_for_a_second() {
    let rig = Rig::new(AgentPool::builder().lame_duck(Duration::ZERO), Reports::default()).await;
    let _listening = rig.pool.listening();
    let begun = Instant::now();
    rig.pool.begin_drain(TEST).unwrap();
    assert_eq!(rig.pool.exited().await.code(), Exit::CLEAN);
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert_eq!(rig.pool.admit(CallId::from_static("own")).unwrap_err(), Refusal::Closed(Phase::Exited));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_takes_its_time_is_told_before_the_exit() {
    let mut rig = Rig::new(AgentPool::builder().lame_duck(Duration::ZERO), Reports::default()).await;
    rig.talk("holds the drain", Talk::For(SECOND)).await;
    sleep(SECOND / 2).await;
    rig.pool.begin_drain(TEST).unwrap();
    // It says no, and then takes for ever to be done with that.
    rig.offer("late", Fate::Forgotten).await;
    let begun = Instant::now();
    rig.pool.exited().await;
    assert_eq!(begun.elapsed(), SECOND / 2 + SECOND, "a second longer than the call, and no more");
    while rig.dropped.1.recv().await != Some(DECLINED) {}
    assert_eq!(rig.served.await.unwrap().unwrap().code(), Exit::CLEAN);
}
