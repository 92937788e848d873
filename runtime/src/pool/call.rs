//! The guards that keep a call in flight.

use std::future::Future;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use openrtc_core::id::{CallId, CallNo, Seq, Version};
use openrtc_core::time::Instant;
use openrtc_core::worker::{Class, Command, EndReason};
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::unique::Taken;
use crate::engine::handle::WorkerHandle;

/// A call in flight. Dropping it ends the call: at the end of a handler, in a panic, in whichever task it was moved to.
#[derive(Debug)]
pub(crate) struct OpenCall {
    worker: WorkerHandle,
    number: CallNo,
    id: CallId,
    class: Class,
    assigned: bool,
    ended: bool,
    /// Whether the code around the call can tell a panic of this call from another panic of its thread.
    attended: bool,
    /// Its id, where each may be in flight once. Free again once the call has ended.
    _taken: Option<Taken>,
}

impl OpenCall {
    pub(crate) fn new(
        worker: WorkerHandle,
        number: CallNo,
        id: CallId,
        class: Class,
        assigned: bool,
        taken: Option<Taken>,
    ) -> Self {
        Self { worker, number, id, class, assigned, ended: false, attended: false, _taken: taken }
    }

    /// Ends the call, resolving when that is in the journal.
    pub(crate) fn end(mut self, reason: EndReason) -> impl Future<Output = ()> + Send + use<> {
        let reason = match reason {
            EndReason::DrainForced => self.implied(EndReason::AgentHangup),
            reason => reason,
        };
        let ended = self.close(reason);
        let worker = self.worker.clone();
        async move { worker.settled(ended).await }
    }

    /// Ends the call, once, and returns the number of the entry that records it. Returns none if the reservation had
    /// lapsed or the worker had left: another entry has ended the call then.
    fn close(&mut self, reason: EndReason) -> Seq {
        if mem::replace(&mut self.ended, true) {
            return Seq::default();
        }
        self.worker.hangups().forget(self.number);
        let ended = if self.assigned {
            self.worker.gate().end(self.number, reason)
        } else {
            self.worker.command(Command::Withdraw { call: self.number, reason }).ok()
        };
        ended.unwrap_or_default()
    }

    /// `reason`, unless a person or a forced drain has told the call to end.
    fn implied(&self, reason: EndReason) -> EndReason {
        if self.assigned && self.worker.hangups().until(self.number).is_some() {
            EndReason::OperatorHangup
        } else if self.assigned && self.worker.is_forced() {
            EndReason::DrainForced
        } else {
            reason
        }
    }
}

/// The call's guard was dropped and nobody said why. A program that exits drops its guards too, so this reason proves
/// nothing.
impl Drop for OpenCall {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let reason = if !self.attended && thread::panicking() {
            EndReason::Panicked
        } else {
            self.implied(EndReason::GuardDropped)
        };
        self.close(reason);
    }
}

/// Keeps a call in flight for as long as it is held. When the guard is dropped, the call ends at once, whatever the
/// reason: its task panicked, was aborted, or let it go. A drain waits for exactly the guards that are left.
///
/// [`CallGuard::end`] records why the call ended. If you drop the guard instead, the reason is [`EndReason::Panicked`]
/// in a thread that panics, [`EndReason::DrainForced`] after a forced drain has told the call to end, and else
/// [`EndReason::GuardDropped`]. A program that goes down drops its guards too, so `GuardDropped` among the last entries
/// of a journal proves nothing about those calls. In a handler of [`serve`](crate::AgentPool::serve), the handler's
/// result is the reason.
#[derive(Debug)]
pub struct CallGuard {
    /// There until the guard is gone.
    open: Option<OpenCall>,
    begun: Seq,
    /// When progress was last noted, in microseconds.
    noted: AtomicU64,
    /// Where to send the call when its guard is dropped, if a receiver there knows why it ends.
    home: Option<oneshot::Sender<Returned>>,
}

/// A call whose guard was dropped, on its way to the code that ends it.
#[derive(Debug)]
pub(crate) struct Returned {
    open: OpenCall,
    #[cfg(feature = "tower")]
    begun: Seq,
    /// Whether the thread that dropped the guard was panicking.
    panicked: bool,
}

impl Returned {
    /// Ends the call: as panicked or forced if it was, and else for `reason`.
    pub(crate) fn end(mut self, reason: EndReason) {
        let reason = if self.panicked { EndReason::Panicked } else { self.open.implied(reason) };
        self.open.close(reason);
    }

    /// Ends the call for `reason`, whatever else was the case.
    pub(crate) fn end_as(mut self, reason: EndReason) {
        self.open.close(reason);
    }

    /// Keeps it in flight again; `None` if it has panicked, which ends it.
    #[cfg(feature = "tower")]
    pub(crate) fn guard(self) -> Option<CallGuard> {
        if self.panicked {
            self.end(EndReason::Panicked);
            return None;
        }
        Some(CallGuard::new(self.open, self.begun))
    }
}

impl CallGuard {
    pub(crate) const fn new(open: OpenCall, begun: Seq) -> Self {
        Self { open: Some(open), begun, noted: AtomicU64::new(0), home: None }
    }

    /// Gives the call back to the receiver when the guard is dropped, instead of ending it there.
    pub(crate) fn homing(mut self) -> (Self, oneshot::Receiver<Returned>) {
        let (home, back) = oneshot::channel();
        self.home = Some(home);
        if let Some(open) = &mut self.open {
            open.attended = true;
        }
        (self, back)
    }

    /// What the dispatcher calls the call.
    #[must_use]
    pub fn id(&self) -> &CallId {
        &self.open().id
    }

    /// The call's number within the worker's incarnation.
    #[must_use]
    pub fn number(&self) -> CallNo {
        self.open().number
    }

    /// Says which version serves the call, if the worker stands in front of programs of several versions: the list of
    /// calls in flight shows it.
    pub fn served_by(&self, version: Version) {
        self.open().worker.roster().serve(self.number(), version);
    }

    /// Reports progress of the call, for instance media that flowed or a turn that was taken, so that the call is not
    /// flagged as stalled. You can call it for every packet: it reads a clock, and at most one report in each quarter
    /// of the stall limit costs more than that.
    pub fn progress(&self) {
        let OpenCall { worker, number, class, .. } = self.open();
        let Some(every) = worker.gate().limits().progress_every(*class) else { return };
        let (now, noted) = (worker.now(), self.noted.load(Ordering::Relaxed));
        if now.since(Instant::from_micros(noted)) < every {
            return;
        }
        // Of two threads that report at once, one goes on.
        if self.noted.compare_exchange(noted, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // Refused once the worker has left: then nobody watches any more.
            let _ = worker.gate().submit(now, Command::Progress { call: *number });
        }
    }

    /// Resolves when the call is told to end, by a forced drain or by a person, with the instant at which it is dropped
    /// if it has not ended by then. Send a last word to the caller and return. Cancel-safe; may be awaited several
    /// times.
    ///
    /// When a person ends one call (`openrtc calls URL --end`), [`AgentPool::serve`](crate::AgentPool::serve) drops the
    /// handler if it still runs at that instant. With an accept loop of your own, you must drop the guard.
    pub fn cancelled(&self) -> impl Future<Output = std::time::Instant> + Send + use<> {
        let OpenCall { worker, number, .. } = self.open();
        let (worker, number) = (worker.clone(), *number);
        async move {
            tokio::select! {
                biased;
                until = worker.forced() => until,
                until = worker.hung_up(number) => until,
            }
        }
    }

    /// Whether the call is told to end, for a handler that cannot await [`CallGuard::cancelled`].
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let OpenCall { worker, number, .. } = self.open();
        worker.is_forced() || worker.hangups().until(*number).is_some()
    }

    /// Resolves when the call should have ended because a person told it to.
    pub(crate) fn overstayed(&self) -> impl Future<Output = ()> + Send + use<> {
        let OpenCall { worker, number, .. } = self.open();
        let (worker, number) = (worker.clone(), *number);
        async move { sleep_until(worker.hung_up(number).await.into()).await }
    }

    /// Resolves when the beginning of the call is in the journal. Wait for it before you tell the caller that the call
    /// is taken: then a crash cannot leave a call that the journal does not name. If the journal cannot be written, it
    /// resolves all the same, within about a second. Cancel-safe; may be awaited several times.
    pub fn recorded(&self) -> impl Future<Output = ()> + Send + use<> {
        let (worker, begun) = (self.open().worker.clone(), self.begun);
        async move { worker.settled(begun).await }
    }

    /// Ends the call for `reason`. The returned future resolves when that is in the journal.
    ///
    /// The call ends when this is called. The future only waits, so dropping it early loses nothing.
    ///
    /// Pass [`EndReason::DrainForced`] if the call was told to end. It is recorded as [`EndReason::OperatorHangup`] if
    /// a person told it, and as [`EndReason::AgentHangup`] if nothing told it.
    pub fn end(mut self, reason: EndReason) -> impl Future<Output = ()> + Send + use<> {
        self.open.take().expect(HELD).end(reason)
    }

    fn open(&self) -> &OpenCall {
        self.open.as_ref().expect(HELD)
    }
}

const HELD: &str = "a guard holds its call until it is gone";

impl Drop for CallGuard {
    fn drop(&mut self) {
        let (Some(open), Some(home)) = (self.open.take(), self.home.take()) else { return };
        let returned = Returned {
            open,
            #[cfg(feature = "tower")]
            begun: self.begun,
            panicked: thread::panicking(),
        };
        // If nobody waits there any more, the call comes back in the error and ends here.
        if let Err(returned) = home.send(returned) {
            returned.end(EndReason::GuardDropped);
        }
    }
}

/// A reserved call: the worker has said yes to it, and it is not assigned yet. It counts as a call in flight. If no
/// assignment comes in time, it lapses. If you drop it, the call ends as with a dropped [`CallGuard`].
#[derive(Debug)]
pub struct Reservation {
    open: OpenCall,
    begun: Seq,
}

/// The reservation is gone, so the call was not assigned. Tell the dispatcher, so that it can offer the call again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reservation of call {id} is gone: it lapsed before the assignment came, or the worker has left")]
#[non_exhaustive]
pub struct Lapsed {
    /// What the dispatcher calls the call.
    pub id: CallId,
}

impl Reservation {
    pub(crate) const fn new(open: OpenCall, begun: Seq) -> Self {
        Self { open, begun }
    }

    /// What the dispatcher calls the call.
    #[must_use]
    pub const fn id(&self) -> &CallId {
        &self.open.id
    }

    /// The call's number within the worker's incarnation.
    #[must_use]
    pub const fn number(&self) -> CallNo {
        self.open.number
    }

    /// Assigns the call: it is this worker's from now on. A drain that began after the reservation does not prevent it.
    pub fn assign(mut self) -> Result<CallGuard, Lapsed> {
        let assign = Command::Assign { call: self.open.number };
        match self.open.worker.command(assign) {
            Ok(assigned) => {
                self.open.assigned = true;
                Ok(CallGuard::new(self.open, assigned))
            }
            Err(_) => Err(Lapsed { id: self.open.id.clone() }),
        }
    }

    /// Ends the reservation because the dispatcher, the caller or this worker no longer wants the call.
    pub fn withdraw(self) {
        self.end(EndReason::Withdrawn);
    }

    /// Ends it for `reason`.
    pub(crate) fn end(mut self, reason: EndReason) {
        self.open.close(reason);
    }

    /// Notes that the code around the call can tell a panic of this call from another panic of its thread.
    pub(crate) const fn attended(mut self) -> Self {
        self.open.attended = true;
        self
    }

    /// Resolves when the reservation has lapsed because no assignment came in time. Cancel-safe; may be awaited several
    /// times.
    pub fn lapsed(&self) -> impl Future<Output = ()> + Send + use<> {
        let (worker, call) = (self.open.worker.clone(), self.open.number);
        async move { worker.lapsed(call).await }
    }

    /// Resolves when the reservation is in the journal. Wait for it before you say yes to the dispatcher: then a crash
    /// cannot leave an accepted offer that the journal does not name. If the journal cannot be written, it resolves all
    /// the same, within about a second. Cancel-safe; may be awaited several times.
    pub fn recorded(&self) -> impl Future<Output = ()> + Send + use<> {
        let (worker, begun) = (self.open.worker.clone(), self.begun);
        async move { worker.settled(begun).await }
    }
}
