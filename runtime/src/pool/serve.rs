//! `serve`: the whole life of a worker around a call source.

use std::future::Future;
use std::io;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use openrtc_core::id::Actor;
use openrtc_core::worker::EndReason;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::AgentPool;
use super::source::{Call, CallSource, Ending, Offer};
use crate::process::Exit;

/// How long handlers whose call has ended may take to finish: a last frame, a log line.
const LINGER: Duration = Duration::from_millis(500);
/// How long after its reservation has lapsed an offer is still listened to, so that a late assignment is told apart.
const TOO_LATE: Duration = Duration::from_secs(1);
/// How long aborted handlers may take to reach their next await.
const ABORT: Duration = Duration::from_millis(250);

impl AgentPool {
    /// Runs the worker to its end: offers every call of `source` to the pool, hands those taken to `handler`, and
    /// returns once the worker has drained and left. A source that closes drains the worker; one that fails does too,
    /// and its error is returned once the calls have ended.
    ///
    /// A handler that panics or fails ends its own call only. If handlers still block their threads after they were
    /// aborted, the process exits here with the code it would have returned, since nothing else could end it.
    pub async fn serve<S, H, F>(&self, source: S, handler: H) -> io::Result<Exit>
    where
        S: CallSource,
        H: Fn(Call<<S::Offer as Offer>::Session>) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Ending,
    {
        let calls = Calls { pool: self.clone(), tasks: TaskTracker::new(), abort: CancellationToken::new() };
        let (exit, source) = calls.run(source, Arc::new(handler)).await;
        calls.finish(exit).await;
        source.map(|()| exit)
    }
}

/// The handlers at work.
struct Calls {
    pool: AgentPool,
    tasks: TaskTracker,
    abort: CancellationToken,
}

impl Calls {
    async fn run<S, H, F>(&self, mut source: S, handler: Arc<H>) -> (Exit, io::Result<()>)
    where
        S: CallSource,
        H: Fn(Call<<S::Offer as Offer>::Session>) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Ending,
    {
        let pool = &self.pool;
        let mut open = true;
        let mut ended = Ok(());
        loop {
            tokio::select! {
                biased;
                exit = pool.exited() => return (exit, ended),
                drained = pool.worker.drained() => {
                    if pool.close().await.is_err() {
                        // The drain was cancelled in this very moment: the worker serves on once that is published.
                        pool.worker.moved_on(drained).await;
                    }
                }
                offer = source.next(), if open => match offer {
                    Ok(Some(offer)) => self.spawn(offer, &handler),
                    Ok(None) => {
                        open = false;
                        let _ = pool.begin_drain(const { Actor::from_static("source-closed") });
                    }
                    Err(error) => {
                        open = false;
                        tracing::error!(%error, "the call source failed: draining");
                        ended = Err(error);
                        let _ = pool.begin_drain(const { Actor::from_static("source-failed") });
                    }
                },
            }
        }
    }

    fn spawn<O, H, F>(&self, offer: O, handler: &Arc<H>)
    where
        O: Offer,
        H: Fn(Call<O::Session>) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Ending,
    {
        let (pool, handler, abort) = (self.pool.clone(), Arc::clone(handler), self.abort.clone());
        let span = tracing::info_span!("call", id = %offer.id());
        let call = async move {
            tokio::select! {
                biased;
                () = abort.cancelled() => {}
                () = take(pool, offer, handler) => {}
            }
        };
        self.tasks.spawn(call.instrument(span));
    }

    async fn finish(&self, exit: Exit) {
        self.pool.audited().await;
        self.tasks.close();
        if timeout(LINGER, self.tasks.wait()).await.is_ok() {
            return;
        }
        self.abort.cancel();
        if timeout(ABORT, self.tasks.wait()).await.is_err() {
            tracing::error!(handlers = self.tasks.len(), "handlers block their threads: exiting without them");
            process::exit(exit.code().into());
        }
    }
}

/// One call from offer to end.
async fn take<O, H, F>(pool: AgentPool, offer: O, handler: Arc<H>)
where
    O: Offer,
    H: Fn(Call<O::Session>) -> F + Send + Sync + 'static,
    F: Future + Send + 'static,
    F::Output: Ending,
{
    let reservation = match pool.reserve_class(offer.id(), offer.class()) {
        Ok(reservation) => reservation,
        Err(refusal) => return offer.decline(refusal).await,
    };
    reservation.recorded().await;
    // An offer that nobody assigns or withdraws must not be held for longer than its reservation lasts.
    let patience = Duration::from(pool.worker.gate().limits().reservation_ttl).saturating_add(TOO_LATE);
    let session = match timeout(patience, offer.accept()).await {
        Ok(Some(session)) => session,
        Ok(None) => return tracing::debug!("withdrawn before it was assigned"),
        Err(_) => return tracing::warn!("not assigned in time: hung up on"),
    };
    let guard = match reservation.assign() {
        Ok(guard) => guard,
        Err(lapsed) => return tracing::warn!(%lapsed, "assigned too late"),
    };
    let (guard, back) = guard.homing();
    let failure = handler(Call { session, guard }).await.failure();
    if let Some(error) = &failure {
        tracing::warn!(%error, "the handler failed");
    }
    // Comes back when the guard is dropped, here or in the task it was moved to; an error means it was ended by name.
    if let Ok(open) = back.await {
        match failure {
            Some(_) => drop(open.end(EndReason::Failed)),
            None => drop(open),
        }
    }
}
