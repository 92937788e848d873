//! The gate: where commands from any thread become entries in one order.
//!
//! ```text
//!   any thread                                    any thread, under the lock          the shell
//!  ┌─────────────────────────────┐               ┌───────────────────────────┐
//!  │ admit:  compare-and-swap ┐  │               │ reserve, assign, drain,   │
//!  │ end:    fetch_add        │  │               │ force, wake, …: judged    │
//!  │                          ▼  │               │ by core, compare-and-swap │
//!  │  word  phase│in flight│seq ◄├───────────────┤                           │
//!  │                          │  │               │ fold, in order of number: │    ┌──────────────┐
//!  │  ring  [seq & mask] ◄────┘ ─┼──────────────►│ stamps, totals, queue ────┼───►│ journal,     │
//!  └─────────────────────────────┘               └───────────────────────────┘    │ worker,      │
//!                                                                                 │ effects      │
//!                                                                                 └──────────────┘
//! ```
//!
//! **One word decides.** The compare-and-swap that admits a call also orders it against `begin_drain` and hands out
//! the number of its entry; so does the addition that ends one. After `begin_drain` has returned, no admission can slip
//! in, and every admission before it is counted. These two take no lock, allocate nothing and make no system call, but
//! for waking a shell that sleeps. All else takes the lock, so phase, drain and promises stand still under it; only
//! calls come and go, and a judgement that this overtakes is made again.
//!
//! **Nothing is lost, nobody waits for long.** An event that finds the ring full is put aside under the lock, where its
//! writer first folds the ring to make room. A writer interrupted between its number and its event delays the record
//! behind it, and no other caller. When the shell is gone, totals are still kept, entries no longer. When it is there
//! and does not come by, no calls are taken once [`BACKLOG`] entries wait for it: what is kept for it stays bounded, by
//! that and by the hang-ups of the calls in flight.
//!
//! **Time.** The hot path reads no clock: an entry is stamped when it is folded, so it is at most one visit of the
//! shell late ([`TICK`](crate::shell::TICK) while calls flow, less when anybody asks or a deadline is due) and never
//! early.
//!
//! **The shell sleeps** when nothing happens. While calls flow it comes by once per tick, unasked, so that the hot path
//! need not wake it; the first event after a quiet tick does, as do a command, the last hang-up of a drain and a ring
//! half full.

mod desk;
mod ring;

use std::sync::PoisonError;

use openrtc_core::id::{CallId, CallNo, Seq};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::{Phase, Refusal, Word};
use openrtc_core::worker::{
    CLASSES, Class, Command, Decline, EndReason, Entry, Limits, Misuse, Refused, Rejection, Repeat, Worker,
};

pub use desk::View;

use crate::engine::sync::{AtomicBool, AtomicU64, Bell, Mutex, MutexGuard, Ordering, Padded, Site};
use desk::{Desk, Line};
use ring::{Full, Hot, Ring};

/// Judges commands and queues their entries.
#[derive(Debug)]
pub struct Gate {
    word: Padded<AtomicU64>,
    /// The most calls in flight: the capacity, or none while too much waits for the shell.
    room: Padded<AtomicU64>,
    /// Calls declined and not yet counted in an entry, by [`Decline`].
    declined: Padded<[AtomicU64; Decline::ALL.len()]>,
    /// Whether the shell sleeps until it is woken.
    asleep: Padded<AtomicBool>,
    bell: Bell,
    limits: Limits,
    ring: Ring,
    desk: Mutex<Desk>,
}

/// Events the ring holds, 64 bytes each: some tenths of a millisecond flat out, and seconds of any real worker.
const SLOTS: usize = 4096;

/// Entries that may wait for the shell, some 100 bytes each, or four per call where the capacity is larger: seconds of
/// any real worker, more than a disk may hold the shell up for.
pub const BACKLOG: usize = 1 << 16;

/// Declined calls become one entry per reason and second, so that a dispatcher that keeps asking cannot fill the
/// journal.
const COUNT_EVERY: Span = Span::from_secs(1);

impl Gate {
    /// A gate in front of `worker`, which holds no calls.
    #[must_use]
    pub fn new(worker: &Worker) -> Self {
        Self::with_slots(worker, SLOTS)
    }

    /// A gate whose ring has another size, a power of two: what tests of a full ring need.
    #[must_use]
    pub fn with_slots(worker: &Worker, slots: usize) -> Self {
        assert!(worker.calls().is_empty(), "a gate stands in front of a worker that has just started");
        Self {
            word: Padded(AtomicU64::new(worker.word().to_bits())),
            room: Padded(AtomicU64::new(worker.limits().capacity.into())),
            declined: Padded::default(),
            asleep: Padded(AtomicBool::new(false)),
            bell: Bell::new(),
            limits: *worker.limits(),
            ring: Ring::new(slots, worker.word().seq()),
            desk: Mutex::new(Desk::new(worker.life())),
        }
    }

    /// What the worker is allowed.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a call that is there now, of a class below [`CLASSES`]. Whoever gets its
    /// number must end it, once.
    pub fn admit(&self, id: CallId, class: Class) -> Result<CallNo, Refusal> {
        let mut seen = self.word.0.load(Ordering::Relaxed);
        loop {
            let next = match Word::from_bits(seen).admit(self.room()) {
                Ok(next) => next,
                Err(refusal) => return Err(self.refuse(refusal)),
            };
            match self.word.0.compare_exchange_weak(seen, next.to_bits(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    self.publish(next.seq(), Hot::Admitted { id, class });
                    return Ok(CallNo::new(next.seq().get()));
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Ends a call that was admitted or assigned and not ended before. Returns the number of the entry that says so;
    /// `None` after the exit, which has ended every call.
    pub fn end(&self, call: CallNo, reason: EndReason) -> Option<Seq> {
        let before = Word::from_bits(self.word.0.fetch_add(Word::RELEASE, Ordering::AcqRel));
        if before.phase() == Phase::Exited {
            return None;
        }
        let after = before.release();
        self.publish(after.seq(), Hot::Ended { call, reason });
        if after.phase() == Phase::Draining && after.in_flight() == 0 {
            self.nudge();
        }
        Some(after.seq())
    }

    /// Judges a command and claims its number; once this has returned, it holds for everyone. `at` stamps it and all
    /// that was published before.
    ///
    /// The gate does not keep the calls. So `End` takes back a reservation here, and [`Gate::end`] ends a call that is
    /// ours; and whoever reports progress does so of such a call, no more often than
    /// [`Limits::progress_every`](openrtc_core::worker::Limits::progress_every). A pool's guards see to both.
    pub fn submit(&self, at: Instant, command: Command) -> Result<Seq, Rejection> {
        let claimed = match command {
            Command::Admit { class, .. } if usize::from(class.0) >= CLASSES => Err(Misuse::UnknownClass.into()),
            Command::Admit { id, class } => Ok(self.admit(id, class).map(|call| Seq::new(call.get()))?),
            _ => self.order(at, command),
        };
        let mut desk = self.desk();
        desk.fold(&self.ring, at);
        self.make_room(&desk);
        drop(desk);
        if claimed.is_ok() {
            self.nudge();
        }
        claimed
    }

    /// Takes every entry folded so far, in order, after folding what was published.
    pub fn take(&self, at: Instant, batch: &mut Vec<Entry>) {
        batch.clear();
        let mut desk = self.desk();
        desk.fold(&self.ring, at);
        desk.take(batch);
        self.make_room(&desk);
    }

    /// Claims an entry for each deadline reached and returns whether there was one. `record` is the worker as far as
    /// it was taken from here.
    pub fn wake(&self, at: Instant, record: &Worker) -> bool {
        let line = Line { word: &self.word.0, ring: &self.ring };
        let mut desk = self.desk();
        desk.fold(&self.ring, at);
        let mut counted = false;
        if desk.count_at.is_some_and(|due| due <= at) {
            counted = self.count_declines(&mut desk, at);
        } else if desk.count_at.is_none() && self.declined.0.iter().any(|count| count.load(Ordering::Relaxed) > 0) {
            desk.count_at = Some(at + COUNT_EVERY);
        }
        desk.wake(line, at, record) || counted
    }

    /// The earliest time-out owed by `record`, the worker as far as it was taken from here.
    #[must_use]
    pub fn deadline(&self, record: &Worker) -> Option<Instant> {
        let owed = record.deadline().map(|(at, _)| at);
        owed.into_iter().chain(self.desk().count_at).min()
    }

    /// The worker as it is now, after folding what was published.
    #[must_use]
    pub fn view(&self, at: Instant) -> View {
        let mut desk = self.desk();
        desk.fold(&self.ring, at);
        self.make_room(&desk);
        desk.view(&self.word.0)
    }

    /// Called by the shell before it sleeps until woken: whether it may. If so, whatever happens next wakes it; if not,
    /// something happened already, or has its number and is about to be published.
    pub fn may_sleep(&self) -> bool {
        let desk = self.desk();
        self.asleep.0.store(true, Ordering::Relaxed);
        // An addition of nothing takes its place among those of the hot path: one before it shows in its result, and
        // one after it sees the flag.
        let word = Word::from_bits(self.word.0.fetch_add(0, Site::Sleep.ordering()));
        let quiet = desk.is_taken(word.seq());
        if !quiet {
            self.asleep.0.store(false, Ordering::Relaxed);
        }
        quiet
    }

    /// Resolves when the shell has reason to come by before its time.
    pub async fn work(&self) {
        self.bell.rung().await;
    }

    /// Has the shell come by now rather than at its next tick.
    pub fn nudge(&self) {
        self.bell.ring();
    }

    /// Held by the shell; once it is dropped, nobody takes entries any more and none are kept.
    #[must_use]
    pub fn attend(&self) -> Attendance<'_> {
        Attendance(self)
    }

    fn publish(&self, seq: Seq, event: Hot) {
        match self.ring.write(seq, event) {
            Ok(published) if published.half_full => self.nudge(),
            Ok(_) => {}
            Err(Full) => self.publish_late(seq, event),
        }
        if self.asleep.0.load(Ordering::Relaxed) && self.asleep.0.swap(false, Ordering::Relaxed) {
            self.nudge();
        }
    }

    /// The ring is full: makes room for others, and takes the way that is never full.
    #[cold]
    fn publish_late(&self, seq: Seq, event: Hot) {
        let mut desk = self.desk();
        desk.put_aside(seq, event.into());
        desk.clear(&self.ring);
        self.make_room(&desk);
        drop(desk);
        self.nudge();
    }

    #[cold]
    fn refuse(&self, refusal: Refusal) -> Refusal {
        // The first since the last count has the shell set the time of the next.
        if self.declined.0[decline(refusal) as usize].fetch_add(1, Ordering::Relaxed) == 0 {
            self.nudge();
        }
        refusal
    }

    #[expect(clippy::cast_possible_truncation, reason = "the capacity or nothing")]
    fn room(&self) -> u32 {
        self.room.0.load(Ordering::Relaxed) as u32
    }

    /// Takes no more calls while too much waits for the shell, and takes them again once it has come by. Called under
    /// the lock.
    fn make_room(&self, desk: &Desk) {
        let capacity = self.limits.capacity;
        let most = BACKLOG.max(4 * capacity as usize);
        let room = if desk.backlog() < most { capacity } else { 0 };
        if self.room() == room {
            return;
        }
        self.room.0.store(room.into(), Ordering::Relaxed);
        if room == 0 {
            tracing::error!(waiting = most, "the control loop does not run: no calls are taken until it does");
        } else {
            tracing::info!("the control loop runs again: calls are taken");
        }
    }

    fn order(&self, at: Instant, command: Command) -> Result<Seq, Rejection> {
        let mut desk = self.desk();
        desk.fold(&self.ring, at);
        if command == Command::Close {
            self.count_declines(&mut desk, at);
        }
        let claimed = match command {
            Command::Reserve { .. } if self.room() == 0 => Err(Refusal::Full.into()),
            // A call may report progress for as long as it likes.
            Command::Progress { .. } if self.room() == 0 => Err(Repeat::ProgressNoted.into()),
            _ => desk.order(&self.word.0, at, command),
        };
        if let (Command::Reserve { .. }, Err(Rejection::Refused(Refused::Admission(refusal)))) = (command, &claimed) {
            self.refuse(*refusal);
        }
        claimed
    }

    /// Puts the declined calls into entries, if there are any. After the exit there is no entry left to put them into.
    fn count_declines(&self, desk: &mut Desk, at: Instant) -> bool {
        let mut counted = false;
        desk.count_at = None;
        for reason in Decline::ALL {
            let count = self.declined.0[reason as usize].swap(0, Ordering::Relaxed);
            counted |= desk.order(&self.word.0, at, Command::CountDeclines { reason, count }).is_ok();
            desk.fold(&self.ring, at);
        }
        counted
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // A panic under the lock can only come from a bug in core; its state is whole between entries.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Gate::attend`].
#[derive(Debug)]
pub struct Attendance<'a>(&'a Gate);

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        let mut desk = self.0.desk();
        desk.abandon();
        self.0.make_room(&desk);
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
