//! How a worker that leaves learns that everybody has been told no.

use std::future::Future;

use crate::engine::handle::WorkerHandle;

/// Keeps the worker from leaving while somebody may still ask it: hold one for each listener, and a clone for each
/// connection that has no answer yet. Let go of it once the listener is closed, and the answer sent.
///
/// A worker that leaves tells its listeners to close ([`Listening::closing`]) and waits until the last one has let go,
/// a second at most. Until then every offer is answered; what is declined is counted in the journal, and the exit comes
/// after. So the journal's count is what callers were told. Without a `Listening`, what is refused in the last moment
/// is neither answered by [`serve`](crate::AgentPool::serve) nor counted.
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

    /// Resolves when the worker is about to leave: close the listener, answer who is there, let go. The drain cannot be
    /// taken back from then on. Cancel-safe; may be awaited several times.
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
