//! A source hears once how each of its calls ended.

use std::future::pending;
use std::sync::OnceLock;
use std::time::Duration;

use openrtc_runtime::{
    AgentPool, CallEnd, CallId, CallSource, Control, EndReason, Ended, Exit, OnDeadline, Reporter, WorkerView,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::rig::{Fate, Offered, Reports, Rig, SECOND, TEST, Talk, ended, handle};

#[tokio::test(start_paused = true)]
async fn every_call_is_reported_once_with_how_it_ended_and_no_declined_offer_is() {
    let rig = Rig::new(AgentPool::builder().reservation_ttl(3 * SECOND), Reports::default()).await;
    rig.talk("fails", Talk::Fail).await;
    rig.talk("panics", Talk::Panic).await;
    rig.talk("talks", Talk::For(60 * SECOND)).await;
    rig.offer("withdrawn", Fate::Withdrawn).await;
    rig.offer("forgotten", Fate::Forgotten).await;
    rig.offer("late", Fate::Assigned(3 * SECOND + SECOND / 2, Talk::Deaf)).await;
    sleep(10 * SECOND).await;
    let early = [
        ended("fails", EndReason::Failed),
        ("forgotten".to_owned(), Ended::Lapsed),
        ("late".to_owned(), Ended::Lapsed),
        ended("panics", EndReason::Panicked),
        ended("withdrawn", EndReason::Withdrawn),
    ];
    assert_eq!(rig.reported(), early, "and the call that goes on is not among them");

    rig.pool.begin_drain(TEST).unwrap();
    rig.talk("declined", Talk::Deaf).await;
    sleep(60 * SECOND).await;
    let ends = rig.reported();
    assert_eq!(rig.served.await.unwrap().unwrap().code(), Exit::CLEAN);
    assert_eq!((ends.len(), &ends[4]), (6, &ended("talks", EndReason::CallerHangup)));
    let mut numbers: Vec<_> = rig.reports.noted.lock().unwrap().iter().map(|end| end.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 6, "each by its own number");
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_force_drops_are_reported_at_once_although_their_handlers_linger() {
    let builder = AgentPool::builder().drain_timeout(SECOND).on_deadline(OnDeadline::Force).force_grace(SECOND);
    let rig =
        Rig::new(builder.reservation_ttl(60 * SECOND), Reports { takes: SECOND * 9 / 10, ..Reports::default() }).await;
    rig.talk("deaf", Talk::Deaf).await;
    rig.offer("forgotten", Fate::Forgotten).await;
    sleep(SECOND).await;
    rig.pool.begin_drain(TEST).unwrap();
    let exit = rig.pool.exited().await;
    assert_eq!(
        (exit.code(), exit.dropped(), rig.reported().len()),
        (Exit::FORCED, 2, 0),
        "the reports take their time"
    );
    let left = Instant::now();
    assert_eq!(rig.served.await.unwrap().unwrap(), exit);
    assert!(left.elapsed() <= SECOND, "{:?}", left.elapsed());
    let ends: Vec<_> = rig.reports.noted.lock().unwrap().iter().map(|end| end.how).collect();
    assert_eq!(ends, [Ended::Recorded(EndReason::DrainForced); 2]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_lingers_holds_up_no_report() {
    let rig = Rig::new(AgentPool::builder(), Reports::default()).await;
    rig.talk("lingers", Talk::EndAndLinger).await;
    sleep(SECOND).await;
    assert_eq!(rig.reported(), [ended("lingers", EndReason::CallerHangup)]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_waits_a_second_for_reports_and_no_longer() {
    let rig = Rig::new(AgentPool::builder(), Reports { takes: 60 * SECOND * 60, ..Reports::default() }).await;
    rig.talk("short", Talk::For(SECOND)).await;
    sleep(2 * SECOND).await;
    rig.pool.begin_drain(TEST).unwrap();
    rig.pool.exited().await;
    let left = Instant::now();
    assert_eq!(rig.served.await.unwrap().unwrap().code(), Exit::CLEAN);
    assert_eq!(left.elapsed().as_millis(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_panics_harms_no_other() {
    let rig = Rig::new(AgentPool::builder(), Reports::default()).await;
    rig.talk("unlucky", Talk::For(SECOND)).await;
    rig.talk("lucky", Talk::For(2 * SECOND)).await;
    sleep(5 * SECOND).await;
    assert_eq!(rig.reported(), [ended("lucky", EndReason::CallerHangup)]);
    rig.pool.begin_drain(TEST).unwrap();
    assert_eq!(rig.served.await.unwrap().unwrap().code(), Exit::CLEAN);
}

#[tokio::test(start_paused = true)]
async fn calls_of_the_program_itself_are_not_reported_to_a_source() {
    let rig = Rig::new(AgentPool::builder(), Reports::default()).await;
    drop(rig.pool.admit(CallId::from_static("own")).unwrap());
    sleep(SECOND).await;
    assert_eq!(rig.reported(), []);
}

/// A source that does all its input and output in `next`: its only call's report is made there.
struct Driven {
    offer: Option<Offered>,
    made: mpsc::Sender<oneshot::Sender<()>>,
    reports: mpsc::Receiver<oneshot::Sender<()>>,
}

struct Post(mpsc::Sender<oneshot::Sender<()>>);

impl Reporter for Post {
    async fn ended(&self, _: CallEnd) {
        let (made, is_made) = oneshot::channel();
        self.0.send(made).await.unwrap();
        is_made.await.expect("the source is driven until its reports are made");
        REPORTED.set(true).unwrap();
    }
}

static REPORTED: OnceLock<bool> = OnceLock::new();

impl CallSource for Driven {
    type Offer = Offered;
    type Error = String;
    type Reporter = Post;

    fn attach(&mut self, _: WorkerView) -> Post {
        Post(self.made.clone())
    }

    async fn next(&mut self) -> Result<Option<Offered>, String> {
        if let Some(offer) = self.offer.take() {
            return Ok(Some(offer));
        }
        let report = self.reports.recv().await.expect("it holds a sender itself");
        sleep(SECOND / 2).await;
        report.send(()).unwrap();
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_is_driven_until_its_last_reports_are_made() {
    let pool = AgentPool::builder().deployment_version("v1").control(Control::Shared).build().unwrap();
    let (made, reports) = mpsc::channel(1);
    let fate = Fate::Assigned(Duration::ZERO, Talk::For(2 * SECOND));
    let offer = Some(Offered { id: "only", fate, dropped: mpsc::unbounded_channel().0 });
    let serving = pool.clone();
    let served = tokio::spawn(async move { serving.serve(Driven { offer, made, reports }, handle).await });
    sleep(SECOND).await;
    pool.begin_drain(TEST).unwrap();
    assert_eq!(served.await.unwrap().unwrap().code(), Exit::CLEAN);
    assert!(REPORTED.get().is_some());
}
