//! The gate: where commands from any thread become entries in one order.
//!
//! A command is judged against the live state and applied at once, so that its answer holds when the caller gets it:
//! after `begin_drain` has returned, no admission can slip in. What it led to waits here, in order, for the shell to
//! journal it and to perform its effects.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{Command, Decline, Entry, Refused, Rejection, Worker};
use tokio::sync::Notify;

/// Judges commands and queues their entries.
#[derive(Debug)]
pub struct Gate {
    inside: Mutex<Inside>,
    work: Notify,
}

#[derive(Debug)]
struct Inside {
    worker: Worker,
    /// Entries the shell has not taken yet.
    queue: Vec<Entry>,
    /// Calls declined and not yet counted in an entry, by [`Decline`].
    declined: [u64; Decline::ALL.len()],
    /// When those must be counted.
    count_at: Option<Instant>,
}

/// Declined calls become one entry per reason and second, so that a dispatcher that keeps asking cannot fill the
/// journal.
const COUNT_EVERY: Span = Span::from_secs(1);

impl Gate {
    /// A gate in front of `worker`.
    #[must_use]
    pub fn new(worker: Worker) -> Self {
        let inside = Inside { worker, queue: Vec::new(), declined: [0; Decline::ALL.len()], count_at: None };
        Self { inside: Mutex::new(inside), work: Notify::new() }
    }

    /// Judges and applies a command; the entry it led to is queued for the shell.
    pub fn submit(&self, at: Instant, command: Command) -> Result<Entry, Rejection> {
        let mut inside = self.lock();
        if command == Command::Close {
            inside.count_declines(at);
        }
        let judged = inside.submit(at, command);
        let queued = inside.queue.len();
        drop(inside);
        if judged.is_ok() && queued == 1 {
            self.work.notify_one();
        }
        judged
    }

    /// Reports reached deadlines until none is left.
    pub fn wake(&self, at: Instant) {
        let mut inside = self.lock();
        while inside.worker.deadline().is_some_and(|(due, _)| due <= at) {
            if inside.submit(at, Command::Wake).is_err() {
                break;
            }
        }
        if inside.count_at.is_some_and(|due| due <= at) {
            inside.count_declines(at);
        }
    }

    /// Takes everything queued, in order.
    pub fn take(&self, batch: &mut Vec<Entry>) {
        batch.clear();
        mem::swap(&mut self.lock().queue, batch);
    }

    /// The earliest time-out owed.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let inside = self.lock();
        let owed = inside.worker.deadline().map(|(at, _)| at);
        owed.into_iter().chain(inside.count_at).min()
    }

    /// Resolves when something was queued since the last time it did.
    pub async fn work(&self) {
        self.work.notified().await;
    }

    /// Reads the live state.
    pub fn read<T>(&self, read: impl FnOnce(&Worker) -> T) -> T {
        read(&self.lock().worker)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // A panic under the lock can only come from a bug in core; its state is whole between applies.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn submit(&mut self, at: Instant, command: Command) -> Result<Entry, Rejection> {
        let mut decided = None;
        let judged = self.worker.decide(at, command, &mut |entry| decided = Some(entry));
        if let Err(rejection) = judged {
            self.note_decline(at, command, rejection);
            return Err(rejection);
        }
        let entry = decided.expect("an accepted command yields its entry");
        self.worker.apply(&entry);
        self.queue.push(entry);
        Ok(entry)
    }

    fn note_decline(&mut self, at: Instant, command: Command, rejection: Rejection) {
        let Rejection::Refused(Refused::Admission(refusal)) = rejection else { return };
        if matches!(command, Command::Admit { .. } | Command::Reserve { .. }) {
            self.declined[decline(refusal) as usize] += 1;
            self.count_at.get_or_insert(at + COUNT_EVERY);
        }
    }

    /// Puts the declined calls into entries. After the exit there is no entry left to put them into.
    fn count_declines(&mut self, at: Instant) {
        self.count_at = None;
        for reason in Decline::ALL {
            let count = mem::take(&mut self.declined[reason as usize]);
            let _ = self.submit(at, Command::CountDeclines { reason, count });
        }
    }
}

/// What a refusal is counted as.
#[must_use]
pub const fn decline(refusal: Refusal) -> Decline {
    match refusal {
        Refusal::Closed(Phase::Starting | Phase::Standby) => Decline::NotServing,
        Refusal::Closed(Phase::Serving | Phase::Draining | Phase::Drained | Phase::Exited) => Decline::Draining,
        Refusal::Full | Refusal::Exhausted => Decline::Full,
    }
}
