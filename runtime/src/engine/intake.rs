//! What stands between commands and the control loop: where they become entries in one order.

use std::collections::VecDeque;
use std::future::Future;

use openrtc_core::journal::{Batch, Journaled};
use openrtc_core::machine::Entry;
use openrtc_core::time::Instant;

use super::sync::{Bell, Mutex};

/// Where the control loop takes entries from.
pub trait Intake<M: Journaled> {
    /// Kept for as long as the loop runs; once it is dropped, nobody takes entries any more and none are kept.
    type Attendance<'a>
    where
        Self: 'a;

    /// Says that a loop runs from now on.
    fn attend(&self) -> Self::Attendance<'_>;

    /// Takes every entry so far, in order, into an empty `batch`.
    fn take(&self, at: Instant, batch: &mut Batch<M>);

    /// Claims an entry for each deadline reached and returns whether there was one. `record` is the machine as far as
    /// it was taken from here.
    fn wake(&self, at: Instant, record: &M) -> bool;

    /// The earliest time-out owed by `record`.
    fn deadline(&self, record: &M) -> Option<Instant>;

    /// Asked by the loop before it sleeps until it is woken: whether it may. If so, whatever happens next wakes it; if
    /// not, something happened already, or is about to be published.
    fn may_sleep(&self) -> bool;

    /// Resolves when the loop has work before its next deadline.
    fn work(&self) -> impl Future<Output = ()>;
}

/// The plain intake, for a machine without a hot path: one lock around the machine.
#[derive(Debug)]
pub struct Queue<M: Journaled> {
    inner: Mutex<Queued<M>>,
    bell: Bell,
}

#[derive(Debug)]
struct Queued<M: Journaled> {
    machine: M,
    entries: VecDeque<Entry<M::Event>>,
    attended: bool,
}

impl<M: Journaled> Queue<M> {
    /// A queue in front of `machine`.
    pub fn new(machine: M) -> Self {
        let queued = Queued { machine, entries: VecDeque::new(), attended: true };
        Self { inner: Mutex::new(queued), bell: Bell::new() }
    }

    /// Judges a command. Once this has returned, its entry holds for everyone.
    pub fn submit(&self, at: Instant, command: M::Command) -> Result<Entry<M::Event>, M::Rejection> {
        let mut queued = self.lock();
        let entry = queued.machine.step(at, command)?;
        if queued.attended {
            queued.entries.push_back(entry);
        }
        drop(queued);
        self.bell.ring();
        Ok(entry)
    }

    /// Looks at the machine as it is now.
    pub fn view<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.lock().machine)
    }

    fn lock(&self) -> super::sync::MutexGuard<'_, Queued<M>> {
        // A panic under the lock can only come from a bug in core; its state is whole between entries.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// See [`Intake::attend`].
#[derive(Debug)]
pub struct QueueAttendance<'a, M: Journaled>(&'a Queue<M>);

impl<M: Journaled> Drop for QueueAttendance<'_, M> {
    fn drop(&mut self) {
        let mut queued = self.0.lock();
        queued.attended = false;
        queued.entries = VecDeque::new();
    }
}

impl<M: Journaled> Intake<M> for Queue<M> {
    type Attendance<'a>
        = QueueAttendance<'a, M>
    where
        Self: 'a;

    fn attend(&self) -> QueueAttendance<'_, M> {
        QueueAttendance(self)
    }

    fn take(&self, _at: Instant, batch: &mut Batch<M>) {
        batch.entries.extend(self.lock().entries.drain(..));
    }

    fn wake(&self, at: Instant, _record: &M) -> bool {
        let mut queued = self.lock();
        let mut any = false;
        while let Ok(entry) = queued.machine.step(at, M::WAKE) {
            queued.entries.push_back(entry);
            any = true;
        }
        any
    }

    fn deadline(&self, _record: &M) -> Option<Instant> {
        self.lock().machine.deadline().map(|(at, _)| at)
    }

    fn may_sleep(&self) -> bool {
        self.lock().entries.is_empty()
    }

    async fn work(&self) {
        self.bell.rung().await;
    }
}
