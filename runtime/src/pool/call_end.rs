//! How the source of a call hears that the call has ended.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openrtc_core::id::{CallId, CallNo};
use openrtc_core::word::Refusal;
use openrtc_core::worker::{Class, EndReason};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::AgentPool;
use super::call::Reservation;
use crate::engine::ended::Ended;
use crate::engine::handle::{Lost, WorkerHandle};

/// How long one report may take.
const REPORT: Duration = Duration::from_mins(1);
/// How long a worker that has left waits for the reports that are under way.
const LAST_REPORTS: Duration = Duration::from_secs(1);

/// The end of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallEnd {
    /// What the dispatcher calls the call.
    pub id: CallId,
    /// The call's number within the worker's incarnation.
    pub number: CallNo,
    /// How it ended.
    pub how: Ended,
}

/// The half of a call source that hears how its calls ended, for a dispatcher that must be told.
///
/// [`serve`](crate::AgentPool::serve) reports every call of the source that it reserved exactly once: also one that was
/// withdrawn or that lapsed before it was assigned, and one that a forced drain dropped. An offer that was declined is
/// no call, and is not reported. The one exception is a worker whose control loop was lost
/// ([`Exit::Lost`](crate::Exit::Lost)): how its last calls ended is not known.
///
/// A source that has nobody to tell uses `()`.
pub trait Reporter: Send + Sync + 'static {
    /// Tells the dispatcher that a call has ended. The end is in the journal by then, or never will be.
    ///
    /// Reports run at the same time as each other, as calls, and as [`CallSource::next`](crate::CallSource::next). One
    /// that takes longer than a minute is dropped. When the worker leaves, `serve` waits one second for the reports
    /// that are still under way, and drops none of them before: neither the drain's deadline nor a handler that lingers
    /// cuts a report short. A report that panics harms nothing else.
    ///
    /// Cancellation: the future is dropped at its next await when its time is over. Keep what must survive that, such
    /// as a status whose delivery must be proven, in the reporter itself or on a disk.
    fn ended(&self, end: CallEnd) -> impl Future<Output = ()> + Send;
}

impl Reporter for () {
    async fn ended(&self, _: CallEnd) {}
}

/// The calls of one source that have not been reported.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unreported(Arc<Mutex<BTreeMap<CallNo, CallId>>>);

impl Unreported {
    /// Reserves a call and notes it, in one step for whoever reports its end.
    pub(crate) fn reserve(&self, pool: &AgentPool, id: CallId, class: Class) -> Result<Reservation, Refusal> {
        let mut calls = self.lock();
        let reservation = pool.reserve_class(id.clone(), class)?;
        calls.insert(reservation.number(), id);
        Ok(reservation)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CallNo, CallId>> {
        // A map is whole after every call of its methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports the ends of one source's calls.
#[derive(Debug)]
pub(crate) struct Reports<R> {
    ends: mpsc::UnboundedReceiver<(CallNo, Ended)>,
    unreported: Unreported,
    reporter: Arc<R>,
    under_way: TaskTracker,
}

impl<R: Reporter> Reports<R> {
    /// Listens from now on.
    pub(crate) fn new(worker: &WorkerHandle, reporter: R) -> Self {
        Self {
            ends: worker.listen(),
            unreported: Unreported::default(),
            reporter: Arc::new(reporter),
            under_way: TaskTracker::new(),
        }
    }

    /// Where calls are noted whose end is to be reported.
    pub(crate) fn unreported(&self) -> Unreported {
        self.unreported.clone()
    }

    /// Reports until the worker has left or is lost and every report is made, or has had its time.
    pub(crate) async fn run(mut self, worker: &WorkerHandle) {
        let left = loop {
            tokio::select! {
                biased;
                Some((number, how)) = self.ends.recv() => self.report(number, how),
                left = worker.exited() => break left,
            }
        };
        // Every end came before the exit, so what is left was cut by it.
        while let Ok((number, how)) = self.ends.try_recv() {
            self.report(number, how);
        }
        let cut: Vec<_> = self.unreported.lock().keys().copied().collect();
        if left == Err(Lost) {
            // How they ended was never recorded.
            tracing::error!(calls = cut.len(), "the ends of the last calls cannot be reported");
        } else {
            for number in cut {
                self.report(number, Ended::Recorded(EndReason::DrainForced));
            }
        }
        self.under_way.close();
        if timeout(LAST_REPORTS, self.under_way.wait()).await.is_err() {
            let reports = self.under_way.len();
            tracing::warn!(reports, "the call source takes too long to report the last calls' ends: left undone");
        }
    }

    fn report(&self, number: CallNo, how: Ended) {
        // A call of another source, or of none, is not reported here.
        let Some(id) = self.unreported.lock().remove(&number) else { return };
        let reporter = Arc::clone(&self.reporter);
        self.under_way.spawn(async move {
            let end = CallEnd { id: id.clone(), number, how };
            if timeout(REPORT, reporter.ended(end)).await.is_err() {
                tracing::warn!(%id, "the call source did not report the call's end within {REPORT:?}: given up");
            }
        });
    }
}
