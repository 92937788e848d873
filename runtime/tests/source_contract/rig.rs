//! A worker under virtual time, with a source whose offers and reports a test holds.

use std::fmt::{self, Display};
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use openrtc_runtime::{
    Actor, AgentPool, AgentPoolBuilder, Call, CallEnd, CallId, CallSource, Control, EndReason, Ended, Exit, Offer,
    Refusal, Reporter, ServeError, WorkerView,
};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub(crate) const TEST: Actor = Actor::from_static("test");
/// See [`Talk::Block`].
pub(crate) static RELEASED: AtomicBool = AtomicBool::new(false);
/// How many of the calls that talk until then are hung up. For one test: the calls of all would share it.
pub(crate) static HANG_UP: Semaphore = Semaphore::const_new(0);
/// See [`Offered::dropped`].
pub(crate) const DECLINED: &str = "declined";
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What becomes of an offer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// The dispatcher takes it back.
    Withdrawn,
    /// Its answer panics.
    Breaks,
    /// The dispatcher never answers.
    Forgotten,
    /// The dispatcher answers after this time; what the handler does then.
    Assigned(Duration, Talk),
}

/// What a handler does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Talk {
    /// Blocks its thread until [`RELEASED`].
    Block,
    Deaf,
    /// Lets its guard go and waits for the drain.
    DropAndLinger,
    EndAndLinger,
    Fail,
    /// Fails, and panics when it is asked why.
    FailBadly,
    For(Duration),
    Panic,
    /// Talks until the caller hangs up: see [`HANG_UP`].
    UntilHangUp,
}

pub(crate) struct Offered {
    pub(crate) id: &'static str,
    pub(crate) fate: Fate,
    /// Told when the offer is declined, and when it, or its answer, is dropped.
    pub(crate) dropped: mpsc::UnboundedSender<&'static str>,
}

impl Drop for Offered {
    fn drop(&mut self) {
        let _ = self.dropped.send(self.id);
    }
}

impl Offer for Offered {
    type Session = Talk;

    fn id(&self) -> CallId {
        CallId::new(self.id).unwrap()
    }

    async fn accept(self) -> Option<Talk> {
        match self.fate {
            Fate::Breaks => panic!("an offer's bug"),
            Fate::Withdrawn => None,
            Fate::Forgotten => pending().await,
            Fate::Assigned(after, talk) => {
                sleep(after).await;
                Some(talk)
            }
        }
    }

    async fn decline(self, _: Refusal) {
        let _ = self.dropped.send(DECLINED);
        if matches!(self.fate, Fate::Forgotten) {
            pending::<()>().await;
        }
    }
}

/// What a handler says of its failure.
pub(crate) struct Why(&'static str);

impl Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert_ne!(self.0, "", "an error's bug");
        f.write_str(self.0)
    }
}

pub(crate) async fn handle(call: Call<Talk>) -> Result<(), Why> {
    match call.session {
        Talk::Block => {
            while !RELEASED.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(10));
            }
            Ok(())
        }
        Talk::Deaf => pending().await,
        Talk::EndAndLinger => {
            call.guard.end(EndReason::CallerHangup).await;
            pending().await
        }
        Talk::DropAndLinger => {
            drop(call.guard);
            pending().await
        }
        Talk::Fail => Err(Why("the model is gone")),
        Talk::FailBadly => Err(Why("")),
        Talk::For(time) => {
            sleep(time).await;
            call.guard.end(EndReason::CallerHangup).await;
            Ok(())
        }
        Talk::Panic => panic!("a handler's bug"),
        Talk::UntilHangUp => {
            HANG_UP.acquire().await.unwrap().forget();
            call.guard.end(EndReason::CallerHangup).await;
            Ok(())
        }
    }
}

/// A source whose reports are noted, each after some time.
pub(crate) struct Source {
    pub(crate) offers: mpsc::Receiver<Offered>,
    pub(crate) reports: Reports,
    pub(crate) views: oneshot::Sender<WorkerView>,
}

/// See [`Source`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports {
    pub(crate) takes: Duration,
    pub(crate) noted: Arc<Mutex<Vec<CallEnd>>>,
}

impl Reporter for Reports {
    async fn ended(&self, end: CallEnd) {
        assert_ne!(end.id.as_str(), "unlucky", "a reporter's bug");
        sleep(self.takes).await;
        self.noted.lock().unwrap().push(end);
    }
}

impl CallSource for Line {
    type Offer = Offered;
    type Error = String;
    type Reporter = Reports;

    fn attach(&mut self, worker: WorkerView) -> Reports {
        let Source { offers, reports, views } = self.0.take().expect("attached once");
        views.send(worker).unwrap();
        self.1 = Some(offers);
        reports
    }

    async fn next(&mut self) -> Result<Option<Offered>, String> {
        let offers = self.1.as_mut().expect("attached before the first offer");
        let offer = offers.recv().await.ok_or_else(|| "the dispatcher is gone".to_owned())?;
        assert_ne!(offer.id, "poison", "a source's bug");
        Ok(Some(offer))
    }
}

/// A source before and after it was attached.
pub(crate) struct Line(Option<Source>, Option<mpsc::Receiver<Offered>>);

/// A worker with a source, and the dispatcher's end of it.
pub(crate) struct Rig {
    pub(crate) pool: AgentPool,
    pub(crate) offers: mpsc::Sender<Offered>,
    pub(crate) dropped: (mpsc::UnboundedSender<&'static str>, mpsc::UnboundedReceiver<&'static str>),
    pub(crate) reports: Reports,
    pub(crate) view: WorkerView,
    pub(crate) served: JoinHandle<Result<Exit, ServeError<String>>>,
}

impl Rig {
    /// A worker whose time the test controls.
    pub(crate) async fn new(builder: AgentPoolBuilder, reports: Reports) -> Self {
        Self::with(builder.control(Control::Shared), reports).await
    }

    pub(crate) async fn with(builder: AgentPoolBuilder, reports: Reports) -> Self {
        Self::around(builder.deployment_version("v1").worker("w1").signals(false).build().unwrap(), reports).await
    }

    pub(crate) async fn around(pool: AgentPool, reports: Reports) -> Self {
        let (offers, line) = mpsc::channel(16);
        let (views, view) = oneshot::channel();
        let source = Source { offers: line, reports: reports.clone(), views };
        let serving = pool.clone();
        let served = tokio::spawn(async move { serving.serve(Line(Some(source), None), handle).await });
        Self { pool, offers, dropped: mpsc::unbounded_channel(), reports, view: view.await.unwrap(), served }
    }

    pub(crate) async fn offer(&self, id: &'static str, fate: Fate) {
        let offered = Offered { id, fate, dropped: self.dropped.0.clone() };
        assert!(self.offers.send(offered).await.is_ok(), "the worker listens");
    }

    pub(crate) async fn talk(&self, id: &'static str, talk: Talk) {
        self.offer(id, Fate::Assigned(Duration::ZERO, talk)).await;
    }

    /// What was reported so far: sorted, since reports do not wait for each other.
    pub(crate) fn reported(&self) -> Vec<(String, Ended)> {
        let mut reported: Vec<_> =
            self.reports.noted.lock().unwrap().iter().map(|end| (end.id.to_string(), end.how)).collect();
        reported.sort_by(|one, two| one.0.cmp(&two.0));
        reported
    }
}

pub(crate) fn ended(id: &str, reason: EndReason) -> (String, Ended) {
    (id.to_owned(), Ended::Recorded(reason))
}
