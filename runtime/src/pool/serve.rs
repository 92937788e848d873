//! `serve`: the whole life of a worker around a call source.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use openrtc_core::id::Actor;
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::EndReason;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::AgentPool;
use super::call::{Reservation, Returned};
use super::call_end::{Reporter, Reports, Unreported};
use super::error::ServeError;
use super::source::{Call, CallSource, Ending, Offer};
use crate::log::Limit;
use crate::process::{Exit, watchdog};

static NOT_ASSIGNED: Limit = Limit::new();
static FAILED: Limit = Limit::new();
static PANICKED: Limit = Limit::new();

/// How long handlers whose call has ended may take to finish: a last frame, a log line.
const LINGER: Duration = Duration::from_millis(500);
/// How long after its reservation has lapsed an offer is still awaited, so that a late assignment is told apart.
const TOO_LATE: Duration = Duration::from_secs(1);
/// How long aborted handlers may take to reach their next await.
const ABORT: Duration = Duration::from_millis(250);

impl AgentPool {
    /// Runs the worker to its end: offers every call of `source` to the pool, runs `handler` for each call that is
    /// assigned, and returns how the worker ended once it has drained and left.
    ///
    /// A handler or an offer that panics or fails ends its own call only. When a handler returns and still holds its
    /// [`CallGuard`](crate::CallGuard), its result is the reason of the call's end. If it drops the guard earlier and
    /// goes on, the call ends as [`EndReason::GuardDropped`] at the handler's next await. A guard that was moved to
    /// another task keeps the call in flight until it is dropped there.
    ///
    /// `serve` returns at most one second after the worker has left. Handlers that still run get half a second and are
    /// then aborted at their next await. Reports to the source get one second ([`Reporter`]). If the process stays up
    /// after that, for instance because a handler blocks its thread, the exit watchdog ends it
    /// ([`AgentPoolBuilder::exit_watchdog`](crate::AgentPoolBuilder::exit_watchdog)).
    ///
    /// # Errors
    /// [`ServeError::Source`] if the source fails: the worker drains, and the error is returned when its calls have
    /// ended. [`ServeError::Lost`] if the worker's control loop ends before the worker can leave: the worker takes no
    /// more calls, and the error is returned when its last call has ended.
    ///
    /// # Panics
    /// If [`CallSource::attach`] or [`CallSource::next`] panics: the worker drains, and the panic continues when its
    /// calls have ended.
    ///
    /// # Cancellation
    /// If you drop the future, the pool takes no more offers from the source and reports nothing to it. The worker and
    /// its calls go on.
    pub async fn serve<S, H, F>(&self, mut source: S, handler: H) -> Result<Exit, ServeError<S::Error>>
    where
        S: CallSource,
        H: Fn(Call<<S::Offer as Offer>::Session>) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Ending,
    {
        watchdog::arm(self.built.exit_watchdog);
        let reporter = match catch_unwind(AssertUnwindSafe(|| source.attach(self.view()))) {
            Ok(reporter) => reporter,
            Err(panic) => {
                let failure = Failure::<S::Error>::Panic(panic);
                self.give_up(&failure);
                self.exited().await;
                return failure.end();
            }
        };
        let reports = Reports::new(&self.worker, reporter);
        let calls = Calls {
            pool: self.clone(),
            unreported: reports.unreported(),
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
        };
        let handler = Arc::new(handler);
        let life = calls.live(reports);
        let mut life = pin!(life);
        let mut listening = Some(self.listening());
        let mut closing = pin!(self.worker.gate().closing());
        let failure = loop {
            tokio::select! {
                biased;
                exit = &mut life => return found(exit),
                offer = catch(source.next()) => match offer {
                    Ok(Ok(Some(offer))) => calls.spawn(offer, &handler),
                    Ok(Ok(None)) => break None,
                    Ok(Err(error)) => break Some(Failure::Error(error)),
                    Err(panic) => break Some(Failure::Panic(panic)),
                },
                // Every offer that was there has been judged.
                () = &mut closing, if listening.is_some() => listening = None,
            }
        };
        drop(listening);
        match &failure {
            Some(failure) => self.give_up(failure),
            // Refused only by a worker that drains already, or has left.
            None => drop(self.begin_drain(const { Actor::from_static("source-closed") })),
        }
        let exit = life.await;
        failure.map_or_else(|| found(exit), Failure::end)
    }

    /// Drains because the call source has ended.
    fn give_up<E: fmt::Display>(&self, failure: &Failure<E>) {
        let _ = self.begin_drain(const { Actor::from_static("source-failed") });
        let told = catch_unwind(AssertUnwindSafe(|| failure.to_string()));
        let failure = told.unwrap_or_else(|_| "it panicked when it was asked why".to_owned());
        tracing::error!(%failure, "the call source failed: draining");
    }
}

fn found<E: fmt::Display>(exit: Exit) -> Result<Exit, ServeError<E>> {
    match exit {
        Exit::Left(_) => Ok(exit),
        Exit::Lost => Err(ServeError::Lost),
    }
}

/// Why a source yields no more offers, if that is nothing good.
enum Failure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

impl<E: fmt::Display> Failure<E> {
    /// What `serve` comes to after it. A panic goes on.
    fn end(self) -> Result<Exit, ServeError<E>> {
        match self {
            Self::Error(error) => Err(ServeError::Source(error)),
            Self::Panic(panic) => resume_unwind(panic),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panic(_) => f.write_str("it panicked"),
        }
    }
}

/// The same future, whose panic is a value.
async fn catch<T>(future: impl Future<Output = T>) -> thread::Result<T> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// The calls of one source.
struct Calls {
    pool: AgentPool,
    unreported: Unreported,
    /// The handlers at work.
    tasks: TaskTracker,
    abort: CancellationToken,
}

impl Calls {
    /// Resolves when the worker has left and all that follows from it is done, or has had its time.
    async fn live<R: Reporter>(&self, reports: Reports<R>) -> Exit {
        let leave = async {
            let left = self.pool.worker.exited().await;
            if left.is_err() {
                tracing::error!("the worker's control loop was lost: it ends without a record of its last calls");
                watchdog::leave(Exit::Lost);
            }
            tokio::join!(self.pool.told(left), self.finish()).0
        };
        tokio::join!(leave, reports.run(&self.pool.worker)).0
    }

    fn spawn<O, H, F>(&self, offer: O, handler: &Arc<H>)
    where
        O: Offer,
        H: Fn(Call<O::Session>) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Ending,
    {
        let span = tracing::info_span!("call", id = tracing::field::Empty);
        let told = catch_unwind(AssertUnwindSafe(|| match offer.invalid() {
            None => Ok((offer.id(), offer.class())),
            Some(bad) => Err(bad),
        }));
        // Here and not in the task: offers are judged in the order in which they come.
        let reserved = match told {
            Ok(Ok((id, class))) => {
                span.record("id", tracing::field::display(&id));
                self.unreported.reserve(&self.pool, id, class)
            }
            Ok(Err(bad)) => {
                tracing::debug!(%bad, "an offer without a usable call id: declined");
                Err(self.pool.worker.gate().refuse(Refusal::Invalid))
            }
            Err(_) => {
                if let Some(suppressed) = PANICKED.pass() {
                    tracing::error!(suppressed, "an offer panicked instead of telling its id and class: declined");
                }
                Err(self.pool.worker.gate().refuse(Refusal::Invalid))
            }
        };
        if matches!(reserved, Err(Refusal::Closed(Phase::Exited))) {
            // Every refusal is in the journal, and nothing can be written there any more.
            return tracing::debug!("offered after the worker had left: not answered");
        }
        let (handler, abort) = (Arc::clone(handler), self.abort.clone());
        // The worker does not leave before its refusals are told.
        let listening = reserved.is_err().then(|| self.pool.listening());
        let call = async move {
            tokio::select! {
                biased;
                () = abort.cancelled() => {}
                () = take(reserved, offer, handler) => {}
            }
            drop(listening);
        };
        self.tasks.spawn(call.instrument(span));
    }

    /// Waits for the handlers, then aborts them.
    async fn finish(&self) {
        self.tasks.close();
        if timeout(LINGER, self.tasks.wait()).await.is_ok() {
            return;
        }
        self.abort.cancel();
        if timeout(ABORT, self.tasks.wait()).await.is_err() {
            tracing::error!(handlers = self.tasks.len(), "handlers block their threads, and cannot be aborted");
        }
    }
}

/// One call from offer to end.
async fn take<O, H, F>(reserved: Result<Reservation, Refusal>, offer: O, handler: Arc<H>)
where
    O: Offer,
    H: Fn(Call<O::Session>) -> F + Send + Sync + 'static,
    F: Future + Send + 'static,
    F::Output: Ending,
{
    let reservation = match reserved {
        Ok(reservation) => reservation.attended(),
        Err(refusal) => return offer.decline(refusal).await,
    };
    reservation.recorded().await;
    // An offer that nobody assigns or withdraws must not be held for longer than its reservation lasts.
    let lapsed = reservation.lapsed();
    let given_up = async {
        lapsed.await;
        sleep(TOO_LATE).await;
    };
    let session = tokio::select! {
        biased;
        accepted = catch(async { offer.accept().await }) => match accepted {
            Ok(Some(session)) => session,
            Ok(None) => {
                tracing::debug!("withdrawn before it was assigned");
                return reservation.withdraw();
            }
            Err(_) => {
                if let Some(suppressed) = PANICKED.pass() {
                    tracing::error!(suppressed, "the offer panicked before it was assigned");
                }
                return reservation.end(EndReason::Panicked);
            }
        },
        () = given_up => return not_assigned(&"it was not assigned at all"),
    };
    let guard = match reservation.assign() {
        Ok(guard) => guard,
        Err(lapsed) => return not_assigned(&lapsed),
    };
    let (guard, home) = guard.homing();
    let overstayed = guard.overstayed();
    let told = async move {
        tokio::select! {
            biased;
            ended = handler(Call::new(session, guard)) => ended.failure(),
            () = overstayed => {
                tracing::warn!("its handler did not end the call in time when it was told to: dropped");
                None
            }
        }
    };
    run(home, told).await;
}

/// Runs a handler to its end, and ends its call: by what the handler returns, or as soon as it lets its guard go and
/// goes on without it. `home` is where the call comes when its guard is dropped.
async fn run(mut home: oneshot::Receiver<Returned>, handler: impl Future<Output = Option<String>>) {
    let mut handler = pin!(catch(handler));
    let mut has_guard = true;
    let returned = loop {
        tokio::select! {
            biased;
            returned = &mut handler => break returned,
            call = &mut home, if has_guard => {
                has_guard = false;
                // An error: it was ended by name.
                if let Ok(call) = call {
                    call.end(EndReason::GuardDropped);
                }
            }
        }
    };
    let word = match returned {
        Ok(None) => None,
        Ok(Some(error)) => {
            if let Some(suppressed) = FAILED.pass() {
                tracing::warn!(%error, suppressed, "the handler failed");
            }
            Some(EndReason::Failed)
        }
        Err(_) => {
            if let Some(suppressed) = PANICKED.pass() {
                tracing::error!(suppressed, "the handler panicked");
            }
            Some(EndReason::Panicked)
        }
    };
    if !has_guard {
        return;
    }
    let (call, silence) = match home.try_recv() {
        Ok(call) => (Ok(call), EndReason::AgentHangup),
        // Ended by name, in the handler's last step.
        Err(TryRecvError::Closed) => return,
        // Moved to another task, which may yet do that.
        Err(TryRecvError::Empty) => (home.await, EndReason::GuardDropped),
    };
    match (call, word) {
        (Ok(call), Some(reason)) => call.end_as(reason),
        (Ok(call), None) => call.end(silence),
        (Err(_), _) => {}
    }
}

fn not_assigned(why: &dyn fmt::Display) {
    if let Some(suppressed) = NOT_ASSIGNED.pass() {
        tracing::warn!(%why, suppressed, "the offer was not assigned in time: hung up on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_its_handler_ended_by_name_in_its_last_step_is_over() {
        for error in [None, Some("broken".to_owned())] {
            let (guard, home) = oneshot::channel();
            let handler = async move {
                drop::<oneshot::Sender<Returned>>(guard);
                error
            };
            run(home, handler).await;
        }
    }
}
