//! `serve` around a source of scripted calls, under virtual time.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use openrtc_core::word::Refusal;
use openrtc_runtime::{
    Actor, AgentPool, AgentPoolBuilder, Call, CallId, CallSource, Control, Done, EndReason, Exit, Leave, Offer,
    OnDeadline, WorkerView,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

const TEST: Actor = Actor::from_static("test");

/// What a scripted call does once it is assigned.
#[derive(Clone, Copy, Debug)]
enum Script {
    Fail,
    Hang,
    Panic,
    Polite,
    TalkFor(Duration),
}

struct Scripted {
    id: CallId,
    script: Script,
    assigned_after: Duration,
    answer: oneshot::Sender<Result<(), Refusal>>,
}

impl Offer for Scripted {
    type Session = Script;

    fn id(&self) -> CallId {
        self.id.clone()
    }

    async fn accept(self) -> Option<Script> {
        self.answer.send(Ok(())).ok()?;
        sleep(self.assigned_after).await;
        Some(self.script)
    }

    async fn decline(self, refusal: Refusal) {
        let _ = self.answer.send(Err(refusal));
    }
}

struct Line(mpsc::Receiver<Scripted>);

impl CallSource for Line {
    type Offer = Scripted;
    type Error = Infallible;
    type Reporter = ();

    fn attach(&mut self, _: WorkerView) {}

    async fn next(&mut self) -> Result<Option<Scripted>, Infallible> {
        Ok(self.0.recv().await)
    }
}

struct Dispatcher(mpsc::Sender<Scripted>);

impl Dispatcher {
    async fn offer(&self, id: &str, script: Script, assigned_after: Duration) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        let offer = Scripted { id: CallId::new(id).unwrap(), script, assigned_after, answer };
        assert!(self.0.send(offer).await.is_ok(), "the worker listens");
        answered.await.unwrap()
    }
}

async fn act(call: Call<Script>) -> Result<(), String> {
    match call.session {
        Script::Fail => Err("the model is gone".into()),
        Script::Hang => pending().await,
        Script::Panic => panic!("a handler's bug"),
        Script::Polite => {
            call.guard.cancelled().await;
            Ok(())
        }
        Script::TalkFor(time) => {
            sleep(time).await;
            call.guard.end(EndReason::CallerHangup).await;
            Ok(())
        }
    }
}

fn builder() -> AgentPoolBuilder {
    AgentPool::builder().deployment_version("v1").worker("w1").control(Control::Shared)
}

fn serve(pool: &AgentPool) -> (Dispatcher, tokio::task::JoinHandle<Exit>) {
    let (line, offers) = mpsc::channel(16);
    let pool = pool.clone();
    let served = tokio::spawn(async move { pool.serve(Line(offers), act).await.unwrap() });
    (Dispatcher(line), served)
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_or_panic_end_alone_and_the_rest_run_to_their_hang_up() {
    let pool = builder().build().unwrap();
    let (dispatcher, served) = serve(&pool);
    let now = Duration::ZERO;
    dispatcher.offer("talks", Script::TalkFor(Duration::from_mins(10)), now).await.unwrap();
    dispatcher.offer("panics", Script::Panic, now).await.unwrap();
    dispatcher.offer("fails", Script::Fail, now).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let snapshot = pool.runtime_snapshot();
    assert_eq!(snapshot.active_sessions, 1, "the sibling lives");

    pool.begin_drain(TEST).unwrap();
    assert!(dispatcher.offer("late", Script::Hang, now).await.is_err(), "declined, and told so");
    assert_eq!(served.await.unwrap().code(), Exit::CLEAN);
    let totals = pool.runtime_snapshot().totals;
    for reason in [EndReason::Panicked, EndReason::Failed, EndReason::CallerHangup] {
        assert_eq!(totals.ended_by(reason), 1, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_accepted_before_the_drain_and_assigned_after_it_is_served_to_its_end() {
    let pool = builder().build().unwrap();
    let (dispatcher, served) = serve(&pool);
    let talk = Script::TalkFor(Duration::from_mins(1));
    dispatcher.offer("classic", talk, Duration::from_secs(5)).await.unwrap();
    pool.begin_drain(TEST).unwrap();
    assert_eq!(served.await.unwrap().code(), Exit::CLEAN);
    assert_eq!(pool.runtime_snapshot().totals.ended_by(EndReason::CallerHangup), 1);
}

#[tokio::test(start_paused = true)]
async fn an_assignment_after_the_reservation_lapsed_starts_nothing() {
    let pool = builder().reservation_ttl(Duration::from_secs(3)).build().unwrap();
    let (dispatcher, served) = serve(&pool);
    dispatcher.offer("tardy", Script::Hang, Duration::from_secs(5)).await.unwrap();
    sleep(Duration::from_secs(6)).await;
    pool.begin_drain(TEST).unwrap();
    assert_eq!(served.await.unwrap().code(), Exit::CLEAN);
    assert_eq!(pool.runtime_snapshot().totals.lapsed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_past_the_deadline_is_dropped_counted_and_holds_up_nobody() {
    let pool = builder().drain_timeout(Duration::from_secs(10)).on_deadline(OnDeadline::Force).build().unwrap();
    let (dispatcher, served) = serve(&pool);
    let now = Duration::ZERO;
    dispatcher.offer("hangs", Script::Hang, now).await.unwrap();
    dispatcher.offer("polite", Script::Polite, now).await.unwrap();
    dispatcher.offer("short", Script::TalkFor(Duration::from_secs(5)), now).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    pool.begin_drain(TEST).unwrap();
    let exit = served.await.unwrap();
    assert_eq!((exit.code(), exit.dropped()), (Exit::FORCED, 2));
    assert_eq!(pool.runtime_snapshot().totals.ended_by(EndReason::CallerHangup), 1);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_closes_drains_the_worker() {
    let pool = builder().build().unwrap();
    let (dispatcher, served) = serve(&pool);
    dispatcher.offer("last", Script::TalkFor(Duration::from_mins(5)), Duration::ZERO).await.unwrap();
    drop(dispatcher);
    assert_eq!(served.await.unwrap().code(), Exit::CLEAN);
    assert_eq!(pool.runtime_snapshot().totals.ended_by(EndReason::CallerHangup), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_cancelled_in_the_moment_it_is_done_leaves_a_worker_that_serves() {
    let mut cancelled = 0;
    // Whether the cancellation or the exit comes first is decided by who is woken first.
    for _ in 0..100 {
        let pool = builder().leave(Leave::Parked).build().unwrap();
        let (dispatcher, served) = serve(&pool);
        let (cancelling, leaving) = (pool.clone(), pool.clone());
        let cancel = tokio::spawn(async move {
            cancelling.drained().await;
            cancelling.cancel_drain(TEST) == Ok(Done::Now)
        });
        let leave = tokio::spawn(async move {
            leaving.drained().await;
            leaving.leave() == Ok(Done::Now)
        });
        sleep(Duration::from_secs(1)).await;
        pool.begin_drain(TEST).unwrap();
        let is_cancelled = cancel.await.unwrap();
        assert_ne!(is_cancelled, leave.await.unwrap(), "one of them is too late");
        if is_cancelled {
            cancelled += 1;
            dispatcher.offer("next", Script::TalkFor(Duration::from_secs(9)), Duration::ZERO).await.unwrap();
            sleep(Duration::from_secs(1)).await;
            pool.begin_drain(TEST).unwrap();
            pool.drained().await;
            pool.leave().unwrap();
        }
        assert_eq!(served.await.unwrap().code(), Exit::CLEAN);
        assert_eq!(
            pool.runtime_snapshot().totals.ended_by(EndReason::CallerHangup),
            pool.runtime_snapshot().totals.reserved
        );
    }
    assert!((1..100).contains(&cancelled), "{cancelled} of 100: one of the two always came first");
}

/// An offer whose dispatcher says nothing after the yes; whoever holds the other end sees when it is let go.
struct Silent(oneshot::Sender<()>);

impl Offer for Silent {
    type Session = ();

    fn id(&self) -> CallId {
        const { CallId::from_static("silent") }
    }

    async fn accept(self) -> Option<()> {
        let _held = self.0;
        pending().await
    }

    async fn decline(self, _: Refusal) {}
}

struct SilentLine(mpsc::Receiver<Silent>);

impl CallSource for SilentLine {
    type Offer = Silent;
    type Error = Infallible;
    type Reporter = ();

    fn attach(&mut self, _: WorkerView) {}

    async fn next(&mut self) -> Result<Option<Silent>, Infallible> {
        Ok(self.0.recv().await)
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_is_never_assigned_is_let_go_when_its_reservation_has_lapsed() {
    let pool = builder().reservation_ttl(Duration::from_secs(3)).build().unwrap();
    let (line, offers) = mpsc::channel(1);
    let serving = pool.clone();
    let _served = tokio::spawn(async move { serving.serve(SilentLine(offers), async |_| {}).await });
    let (held, let_go) = oneshot::channel();
    line.send(Silent(held)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), let_go).await.expect("let go").unwrap_err();
    let totals = pool.runtime_snapshot().totals;
    assert_eq!((totals.lapsed, totals.ended_by(EndReason::Withdrawn)), (1, 0));
}
