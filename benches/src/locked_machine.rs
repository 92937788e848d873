//! The design that would be simpler: core's worker machine and a queue of its entries in one lock.

use openrtc_core::id::{CallId, CallNo, DigestKey};
use openrtc_core::journal::Batch;
use openrtc_core::machine::Machine;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Class, Command, EndReason, Entry, Worker};
use parking_lot::Mutex;

use crate::gates::{DRAIN, limits};

/// See the module.
pub struct Plain(Mutex<(Worker, Batch<Worker>)>);

impl Plain {
    /// One that takes calls.
    #[must_use]
    pub fn serving() -> Self {
        let plain = Self(Mutex::new((Worker::new(limits()).expect("limits are valid"), Batch::default())));
        plain.step(Command::Serve).expect("it has just started");
        plain
    }

    /// One that drains.
    #[must_use]
    pub fn draining() -> Self {
        let plain = Self::serving();
        plain.step(DRAIN).expect("it serves");
        plain
    }

    /// Takes a call, if it may.
    pub fn admit(&self, id: &CallId) -> Option<CallNo> {
        let command = Command::Admit { id: id.digest(DigestKey::default()), class: Class::default() };
        let (worker, batch) = &mut *self.0.lock();
        let call = CallNo::new(step(worker, batch, command)?.seq.get());
        batch.ids.push(call, id.as_str());
        Some(call)
    }

    /// Ends it.
    pub fn end(&self, call: CallNo, reason: EndReason) {
        self.step(Command::End { call, reason });
    }

    /// Forgets the entries, as if they had been taken.
    pub fn take(&self) {
        self.0.lock().1.clear();
    }

    fn step(&self, command: Command) -> Option<Entry> {
        let (worker, batch) = &mut *self.0.lock();
        step(worker, batch, command)
    }
}

fn step(worker: &mut Worker, batch: &mut Batch<Worker>, command: Command) -> Option<Entry> {
    let entry = worker.step(Instant::EPOCH, command).ok()?;
    batch.entries.push(entry);
    Some(entry)
}
