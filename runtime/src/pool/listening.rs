//! Keeps a leaving worker up until its listeners are closed and every refusal is sent.

use std::future::Future;

use crate::engine::handle::WorkerHandle;

/// Keeps the worker from leaving while an offer may still arrive. Hold one for each listener, and a clone for each
/// connection that has no answer yet. Drop it when the listener is closed, or the answer is sent.
///
/// A worker that leaves tells its listeners to close ([`Listening::closing`]) and waits until the last `Listening` is
/// dropped, for a second at most. Until then it answers every offer. It counts the offers that it declines, and writes
/// its exit entry after that count. So the journal's count equals what callers were told. Without a `Listening`, offers
/// that arrive at the last moment get no answer from [`serve`](crate::AgentPool::serve) and are not counted.
///
/// ```no_run
/// # use openrtc_runtime::AgentPool;
/// # async fn accept(pool: AgentPool, listener: tokio::net::TcpListener) -> std::io::Result<()> {
/// let listening = pool.listening();
/// let closing = listening.closing();
/// tokio::pin!(closing);
/// loop {
///     tokio::select! {
///         biased; // Who is there already is answered first.
///         accepted = listener.accept() => {
///             let (stream, listening) = (accepted?.0, listening.clone());
///             // Answer in a task of its own, and drop `listening` there once a refusal is sent.
/// #           drop((stream, listening));
///         }
///         () = &mut closing => return Ok(()),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Listening {
    worker: WorkerHandle,
}

impl Listening {
    pub(crate) fn new(worker: WorkerHandle) -> Self {
        worker.gate().hold();
        Self { worker }
    }

    /// Resolves when the worker is about to leave. Close the listener, answer the connections that are there, and drop
    /// this. The drain can no longer be cancelled. Cancel-safe; may be awaited several times.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        let worker = self.worker.clone();
        async move { worker.gate().closing().await }
    }
}

impl Clone for Listening {
    fn clone(&self) -> Self {
        Self::new(self.worker.clone())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.worker.gate().let_go();
    }
}
