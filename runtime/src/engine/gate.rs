//! The gate: where commands from any thread become entries in one order.
//!
//! ```text
//!   any thread                                    any thread, under the lock   the control loop
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
//! for waking a control loop that sleeps. All else takes the lock, so phase, drain and promises stand still under it;
//! only calls come and go, and a judgement that this overtakes is made again.
//!
//! **Nothing is lost, nobody waits for long.** An event that finds the ring full is put aside under the lock, where its
//! writer first folds the ring to make room. A writer interrupted between its number and its event delays the record
//! behind it, and no other caller. If the control loop is gone before the worker has left, the gate takes no more calls
//! and keeps only totals of those in flight. If the control loop stalls, the gate takes no calls once [`BACKLOG`]
//! entries are waiting. Together with the hang-ups of the calls in flight, that bounds memory.
//!
//! **Time.** The hot path reads no clock: an entry is stamped when it is folded, so it is at most one visit of the
//! control loop late ([`TICK`](crate::engine::control::TICK) while calls flow, less when anybody asks or a deadline is
//! due) and never early.
//!
//! **The control loop sleeps** when nothing happens. While calls flow it runs once per tick, so the hot path need not
//! wake it. The first event after a quiet tick wakes it, and so do a command, the last hang-up of a drain and a ring
//! that is half full.

mod recorder;
mod refusals;
mod ring;

use std::sync::PoisonError;

use openrtc_core::id::{CallId, CallNo, DigestKey, Seq};
use openrtc_core::journal::Batch;
use openrtc_core::machine::Machine;
use openrtc_core::time::Instant;
use openrtc_core::word::{Phase, Refusal, Word};
use openrtc_core::worker::{Class, Command, Decline, EndReason, Event, Limits, Origin, Rejection, Worker};

pub use recorder::View;
pub use refusals::decline;

use crate::engine::closing::Door;
use crate::engine::intake::Intake;
use crate::engine::sync::{AtomicBool, AtomicU64, Bell, Mutex, MutexGuard, Ordering, Padded, Site};
use crate::log::say;
use recorder::{Line, Recorder};
use refusals::COUNT_EVERY;
use ring::{NoRoom, Published, Ring};

/// Judges commands and queues their entries.
#[derive(Debug)]
pub struct Gate {
    word: Padded<AtomicU64>,
    /// The most calls in flight: the capacity, or none while too much waits for the control loop.
    room: Padded<AtomicU64>,
    /// Calls declined and not yet counted in an entry, by [`Decline`]; marked once they are for the last time.
    declined: Padded<[AtomicU64; Decline::ALL.len()]>,
    /// Whether the control loop sleeps until it is woken.
    asleep: Padded<AtomicBool>,
    bell: Bell,
    door: Door,
    limits: Limits,
    key: DigestKey,
    ring: Ring,
    recorder: Mutex<Recorder>,
}

/// Events the ring holds, 64 bytes each: some tenths of a millisecond flat out, and seconds of any real worker.
const SLOTS: usize = 4096;

/// Entries that may wait for the control loop, some 100 bytes each, or four per call where the capacity is larger:
/// seconds of any real worker, more than a disk may hold it up for.
pub const BACKLOG: usize = 1 << 16;

impl Gate {
    /// A gate in front of `worker`, which holds no calls. Call ids are digested with `key`.
    #[must_use]
    pub fn new(worker: &Worker, key: DigestKey) -> Self {
        Self::with_slots(worker, key, SLOTS)
    }

    /// A gate whose ring has another size, a power of two: what tests of a full ring need.
    #[must_use]
    pub fn with_slots(worker: &Worker, key: DigestKey, slots: usize) -> Self {
        assert!(worker.calls().is_empty(), "a gate stands in front of a worker that has just started");
        Self {
            word: Padded(AtomicU64::new(worker.word().to_bits())),
            room: Padded(AtomicU64::new(worker.limits().capacity.into())),
            declined: Padded::default(),
            asleep: Padded(AtomicBool::new(false)),
            bell: Bell::new(),
            door: Door::default(),
            limits: *worker.limits(),
            key,
            ring: Ring::new(slots, worker.word().seq()),
            recorder: Mutex::new(Recorder::new(worker.life(), key)),
        }
    }

    /// What the worker is allowed.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Admits a call that is there now. The caller must end the call with this number, once.
    pub fn admit(&self, id: &CallId, class: Class) -> Result<CallNo, Refusal> {
        let mut seen = self.word.0.load(Ordering::Relaxed);
        loop {
            let next = match Word::from_bits(seen).admit(self.room()) {
                Ok(next) => next,
                Err(refusal) => return Err(self.refuse(refusal)),
            };
            match self.word.0.compare_exchange_weak(seen, next.to_bits(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    self.publish_admission(next.seq(), id, class);
                    return Ok(CallNo::new(next.seq().get()));
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Ends a call that was admitted or assigned and not ended before. Returns the number of the entry that says so;
    /// `None` after the exit, which has ended every call.
    pub fn end(&self, call: CallNo, reason: EndReason) -> Option<Seq> {
        let before = Word::from_bits(self.word.0.fetch_add(Word::RELEASE, Site::HangUp.ordering()));
        if before.phase() == Phase::Exited {
            return None;
        }
        let after = before.release();
        match self.ring.write_end(after.seq(), call, reason) {
            Ok(published) => self.published(published),
            Err(NoRoom) => self.publish_late_end(after.seq(), call, reason),
        }
        if after.phase() == Phase::Draining && after.in_flight() == 0 {
            self.nudge();
        }
        Some(after.seq())
    }

    /// Reserves a call: says yes to an offer, and the call counts from here. The caller must assign or withdraw the
    /// call with this number, once.
    pub fn reserve(&self, at: Instant, id: &CallId, class: Class) -> Result<CallNo, Refusal> {
        let mut recorder = self.recorder();
        recorder.fold(&self.ring, at);
        let reserved = match self.room() {
            0 => Err(Refusal::Full),
            _ => recorder.reserve(&self.word.0, at, id, class),
        };
        self.leave(recorder, at, reserved.is_ok());
        reserved.map(|seq| CallNo::new(seq.get())).map_err(|refusal| self.refuse(refusal))
    }

    /// Takes over a call of an earlier run that is still alive. The caller must end the call with this number, once.
    pub fn take_over(&self, at: Instant, id: &CallId, class: Class, origin: Origin) -> Result<CallNo, Rejection> {
        let mut recorder = self.recorder();
        recorder.fold(&self.ring, at);
        let taken = recorder.take_over(&self.word.0, at, id, class, origin);
        self.leave(recorder, at, taken.is_ok());
        taken.map(|seq| CallNo::new(seq.get()))
    }

    /// Judges a command and claims its number; once this has returned, it holds for everyone. `at` stamps it and all
    /// that was published before.
    ///
    /// What begins a call has a function of its own, which takes the call's id. The gate does not keep the calls: that
    /// one is ours, whoever commands something of it vouches for, as a pool's guards do.
    pub fn submit(&self, at: Instant, command: Command) -> Result<Seq, Rejection> {
        let mut recorder = self.recorder();
        recorder.fold(&self.ring, at);
        let claimed = if recorder.leads_to_exit(&self.word.0, at, command) {
            self.exit(&mut recorder, at, command)
        } else if matches!(command, Command::Progress { .. }) && self.room() == 0 {
            // A call may report progress for as long as it likes.
            Err(Refusal::Full.into())
        } else {
            recorder.order(&self.word.0, at, command)
        };
        self.leave(recorder, at, claimed.is_ok());
        claimed
    }

    /// Whether a reservation is still open.
    #[must_use]
    pub fn is_promised(&self, call: CallNo) -> bool {
        self.recorder().is_promised(call)
    }

    /// The worker as it is now, after folding what was published.
    #[must_use]
    pub fn view(&self, at: Instant) -> View {
        let mut recorder = self.recorder();
        recorder.fold(&self.ring, at);
        self.make_room(&recorder);
        recorder.view(&self.word.0)
    }

    /// Makes the control loop run now rather than at its next tick.
    pub fn nudge(&self) {
        self.bell.ring();
    }

    /// Folds what was claimed and gives the lock back.
    fn leave(&self, mut recorder: MutexGuard<'_, Recorder>, at: Instant, claimed: bool) {
        recorder.fold(&self.ring, at);
        self.make_room(&recorder);
        drop(recorder);
        if claimed {
            self.nudge();
        }
    }

    // Not inlined: a refusal then needs no room for the id on its stack.
    #[inline(never)]
    fn publish_admission(&self, seq: Seq, id: &CallId, class: Class) {
        match self.ring.write_admission(seq, id.as_str(), class) {
            Ok(published) => self.published(published),
            Err(NoRoom) => self.publish_late_admission(seq, id, class),
        }
    }

    fn published(&self, published: Published) {
        if published.half_full {
            self.nudge();
        }
        self.rouse();
    }

    /// Wakes a control loop that sleeps.
    fn rouse(&self) {
        if self.asleep.0.load(Ordering::Relaxed) && self.asleep.0.swap(false, Ordering::Relaxed) {
            self.nudge();
        }
    }

    #[cold]
    fn publish_late_admission(&self, seq: Seq, id: &CallId, class: Class) {
        self.publish_late(seq, Event::CallAdmitted { id: id.digest(self.key), class }, Some(id.clone()));
    }

    #[cold]
    fn publish_late_end(&self, seq: Seq, call: CallNo, reason: EndReason) {
        self.publish_late(seq, Event::CallEnded { call, reason }, None);
    }

    /// The ring is full, or the event does not fit into it: makes room for others, and takes the way that is never
    /// full.
    #[cold]
    fn publish_late(&self, seq: Seq, event: Event, id: Option<CallId>) {
        let mut recorder = self.recorder();
        recorder.put_hot_aside(seq, event, id);
        recorder.clear(&self.ring);
        self.make_room(&recorder);
        drop(recorder);
        self.rouse();
        self.nudge();
    }

    #[expect(clippy::cast_possible_truncation, reason = "the capacity or nothing")]
    fn room(&self) -> u32 {
        self.room.0.load(Ordering::Relaxed) as u32
    }

    /// Takes no more calls while too much waits for the control loop, and takes them again once that has run. Called
    /// under the lock.
    fn make_room(&self, recorder: &Recorder) {
        let capacity = self.limits.capacity;
        let most = BACKLOG.max(4 * capacity as usize);
        let room = if recorder.is_attended() && recorder.backlog() < most { capacity } else { 0 };
        if self.room() == room {
            return;
        }
        self.room.0.store(room.into(), Ordering::Relaxed);
        if room == 0 {
            let waiting = recorder.backlog();
            say(move || tracing::error!(waiting, "the control loop does not run: no calls are taken until it does"));
        } else {
            say(|| tracing::info!("the control loop runs again: calls are taken"));
        }
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        // A panic under the lock can only come from a bug in core; its state is whole between entries.
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intake<Worker> for Gate {
    type Attendance<'a> = Attendance<'a>;

    fn attend(&self) -> Attendance<'_> {
        Attendance(self)
    }

    fn take(&self, at: Instant, batch: &mut Batch<Worker>) {
        let mut recorder = self.recorder();
        recorder.fold(&self.ring, at);
        recorder.take(batch);
        self.make_room(&recorder);
    }

    fn wake(&self, at: Instant, record: &Worker) -> bool {
        let line = Line { word: &self.word.0, ring: &self.ring };
        let mut recorder = self.recorder();
        recorder.fold(&self.ring, at);
        let mut any = false;
        if recorder.count_at.is_some_and(|due| due <= at) {
            any = self.count_declines(&mut recorder, at);
        } else if recorder.count_at.is_none() && self.declined.0.iter().any(|count| count.load(Ordering::Relaxed) > 0) {
            recorder.count_at = Some(at + COUNT_EVERY);
        }
        let woken = recorder.wake(line, at, record);
        any |= woken.claimed;
        // Nothing is counted after the exit. A clock that stands behind must not hold it up.
        let at = at.max(recorder.now());
        if woken.must_exit {
            let before = recorder.seq();
            if self.has_closed(&mut recorder, at) {
                let _ = self.exit(&mut recorder, at, Command::Wake);
                recorder.fold(&self.ring, at);
            }
            any |= recorder.seq() != before;
        }
        any
    }

    fn deadline(&self, record: &Worker) -> Option<Instant> {
        let owed = record.deadline().map(|(at, _)| at);
        owed.into_iter().chain(self.recorder().count_at).min()
    }

    fn may_sleep(&self) -> bool {
        let recorder = self.recorder();
        self.asleep.0.store(true, Ordering::Relaxed);
        // An addition of nothing takes its place among those of the hot path: one before it shows in its result, and
        // one after it sees the flag.
        let word = Word::from_bits(self.word.0.fetch_add(0, Site::Sleep.ordering()));
        let quiet = recorder.is_taken(word.seq());
        if !quiet {
            self.asleep.0.store(false, Ordering::Relaxed);
        }
        quiet
    }

    async fn work(&self) {
        self.bell.rung().await;
    }
}

/// See [`Intake::attend`].
#[derive(Debug)]
pub struct Attendance<'a>(&'a Gate);

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        let mut recorder = self.0.recorder();
        recorder.abandon();
        // Whoever has left takes no more calls anyway.
        if recorder.live(&self.0.word.0).phase() != Phase::Exited {
            self.0.make_room(&recorder);
        }
    }
}
