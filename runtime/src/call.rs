//! The guards that keep a call in flight.

use std::future::Future;
use std::mem;
use std::sync::Arc;
use std::thread;

use openrtc_core::id::{CallId, CallNo, Seq};
use openrtc_core::time::Instant;
use openrtc_core::worker::{Command, EndReason};
use tokio::sync::oneshot;

use crate::pool::Shared;

/// A call in flight. Dropping it ends the call: at the end of a handler, in a panic, in whichever task it was moved to.
#[derive(Debug)]
pub(crate) struct OpenCall {
    shared: Arc<Shared>,
    number: CallNo,
    id: CallId,
    assigned: bool,
    ended: bool,
}

impl OpenCall {
    pub(crate) fn new(shared: Arc<Shared>, number: CallNo, id: CallId, assigned: bool) -> Self {
        Self { shared, number, id, assigned, ended: false }
    }

    /// Ends the call and returns the number of the entry that says so.
    pub(crate) fn end(mut self, reason: EndReason) -> Seq {
        self.close(reason)
    }

    fn close(&mut self, reason: EndReason) -> Seq {
        if mem::replace(&mut self.ended, true) {
            return Seq::default();
        }
        // Refused when the reservation lapsed, or the worker has left: then that entry has ended the call.
        let end = Command::End { call: self.number, reason };
        self.shared.gate.submit(self.shared.now(), end).map_or_else(|_| Seq::default(), |entry| entry.seq)
    }

    /// Why a call ends whose guard is just dropped.
    fn implied(&self) -> EndReason {
        if thread::panicking() {
            EndReason::Panicked
        } else if !self.assigned {
            EndReason::Withdrawn
        } else if self.shared.force.is_cancelled() {
            EndReason::DrainForced
        } else {
            EndReason::AgentHangup
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.close(self.implied());
    }
}

/// Keeps a call in flight for as long as it is held. However it goes (return, error, panic, a task aborted), the call
/// ends with it; a drain waits for exactly the guards that are left.
#[derive(Debug)]
pub struct CallGuard {
    open: Option<OpenCall>,
    shared: Arc<Shared>,
    number: CallNo,
    id: CallId,
    begun: Seq,
    /// Where `serve` waits for the call, to end it with what the handler returned.
    home: Option<oneshot::Sender<OpenCall>>,
}

impl CallGuard {
    pub(crate) fn new(open: OpenCall, begun: Seq) -> Self {
        let (shared, number, id) = (Arc::clone(&open.shared), open.number, open.id);
        Self { open: Some(open), shared, number, id, begun, home: None }
    }

    /// Lets the call come home when the guard is dropped, instead of ending it there.
    pub(crate) fn homing(mut self) -> (Self, oneshot::Receiver<OpenCall>) {
        let (home, back) = oneshot::channel();
        self.home = Some(home);
        (self, back)
    }

    /// What the dispatcher calls this call.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.id
    }

    /// This call's number within the worker's incarnation.
    #[must_use]
    pub const fn number(&self) -> CallNo {
        self.number
    }

    /// Reports that the call moved (media flowed, a turn was taken), so that it is not flagged as stalled. As cheap as
    /// a clock read and a lock; what is worth noting is decided by the machine.
    pub fn progress(&self) {
        // Refused while the last report is fresh: that is what keeps the journal small.
        let _ = self.shared.gate.submit(self.shared.now(), Command::Progress { call: self.number });
    }

    /// Resolves when a forced drain tells the call to end, with the instant at which what is left is dropped. Say
    /// goodbye and return; a call that returns later than that was cut.
    pub fn cancelled(&self) -> impl Future<Output = Instant> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move {
            shared.force.cancelled().await;
            shared.force_until()
        }
    }

    /// Resolves when the beginning of this call is in the journal. Wait for it before telling a peer that the call is
    /// taken, and a crash after that can never leave a call that the journal does not name.
    pub fn recorded(&self) -> impl Future<Output = ()> + Send + 'static {
        let (shared, begun) = (Arc::clone(&self.shared), self.begun);
        async move { shared.settled(begun).await }
    }

    /// Ends the call for `reason` and resolves when that is in the journal.
    pub fn end(mut self, reason: EndReason) -> impl Future<Output = ()> + Send + 'static {
        let ended = self.open.take().map_or_else(Seq::default, |open| open.end(reason));
        let shared = Arc::clone(&self.shared);
        async move { shared.settled(ended).await }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        match self.home.take() {
            // If nobody waits there any more, the call comes back in the error and ends here.
            Some(home) if !thread::panicking() => drop(home.send(open)),
            Some(_) | None => drop(open),
        }
    }
}

/// A promise: the worker said yes to an offer. It counts as a call from here; dropped, it is withdrawn; kept too long
/// without an assignment, it lapses.
#[derive(Debug)]
pub struct Reservation {
    open: OpenCall,
    begun: Seq,
}

/// The reservation lapsed, or the worker has left: the call is not ours. Tell the dispatcher, so that it can offer
/// the call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reservation of call {id} is gone: it lapsed before the assignment came, or the worker has left")]
pub struct Lapsed {
    /// Which call.
    pub id: CallId,
}

impl Reservation {
    pub(crate) const fn new(open: OpenCall, begun: Seq) -> Self {
        Self { open, begun }
    }

    /// The call became ours. Accepted while draining: the promise came first.
    pub fn assign(mut self) -> Result<CallGuard, Lapsed> {
        let assign = Command::Assign { call: self.open.number };
        match self.open.shared.gate.submit(self.open.shared.now(), assign) {
            Ok(entry) => {
                self.open.assigned = true;
                Ok(CallGuard::new(self.open, entry.seq))
            }
            Err(_) => Err(Lapsed { id: self.open.id }),
        }
    }

    /// Resolves when the reservation is in the journal.
    pub fn recorded(&self) -> impl Future<Output = ()> + Send + 'static {
        let (shared, begun) = (Arc::clone(&self.open.shared), self.begun);
        async move { shared.settled(begun).await }
    }
}
