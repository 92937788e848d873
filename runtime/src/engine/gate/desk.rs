//! The desk: what the gate keeps under its lock, and all that is not the hot path.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use openrtc_core::id::{CallId, CallNo, Seq};
use openrtc_core::time::Instant;
use openrtc_core::word::{Phase, Refusal, Word};
use openrtc_core::worker::{Class, Command, Drain, EndReason, Entry, Event, Life, Misuse, Refused, Rejection};
use openrtc_core::worker::{Repeat, Why, Worker};

use super::ring::Ring;
use crate::engine::sync::{AtomicU64, Ordering};

/// What the gate keeps under its lock. Everything but an admission and the end of an assigned call happens here: while
/// the lock is held, phase, drain and promises stand still, and only calls come and go.
#[derive(Debug)]
pub(super) struct Desk {
    /// The worker without its calls, folded in order as far as events were published.
    recorded: Life,
    /// The drain in force at the word; ahead of the record while a writer before it is interrupted.
    drain: Option<Drain>,
    /// Reservations still open: whoever takes one out decides what becomes of it.
    promises: BTreeSet<CallNo>,
    /// Calls flagged as stalled, as recorded.
    stalled: BTreeSet<CallNo>,
    /// Events that did not go through the ring, until they are folded.
    aside: BTreeMap<Seq, Event>,
    /// Events taken out of a full ring, until they are folded: those that follow the record.
    cleared: VecDeque<Event>,
    /// Entries the shell has not taken yet.
    queue: Vec<Entry>,
    /// Whether there is a shell to take them.
    attended: bool,
    /// When declined calls must be counted.
    pub(super) count_at: Option<Instant>,
}

/// The worker as the gate sees it.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Phase, drain, calls in flight and number as they are now; the rest as recorded.
    pub life: Life,
    /// How many calls are reserved.
    pub reserved: usize,
    /// How many calls are flagged as stalled, as recorded.
    pub stalled: usize,
}

/// What a desk works with: the word it claims numbers from, and the ring it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) word: &'a AtomicU64,
    pub(super) ring: &'a Ring,
}

impl Desk {
    pub(super) fn new(life: &Life) -> Self {
        Self {
            recorded: *life,
            drain: life.drain().copied(),
            promises: BTreeSet::new(),
            stalled: BTreeSet::new(),
            aside: BTreeMap::new(),
            cleared: VecDeque::new(),
            queue: Vec::new(),
            attended: true,
            count_at: None,
        }
    }

    /// Folds what was published, in order, up to the first number whose writer has not finished; stamped with `at`.
    pub(super) fn fold(&mut self, ring: &Ring, mut at: Instant) {
        loop {
            let seq = Seq::new(self.recorded.word().seq().get() + 1);
            let cleared = self.cleared.pop_front();
            let Some(event) = cleared.or_else(|| self.published(ring, seq)) else { break };
            let entry = self.recorded.head().entry(at, event);
            // A clock that stands behind is one step back, however many entries it stamps.
            at = entry.at;
            self.recorded.apply(&entry);
            self.mark(event);
            if self.attended {
                self.queue.push(entry);
            }
        }
        ring.free(self.recorded.word().seq());
        if self.aside.is_empty() {
            self.drain = self.recorded.drain().copied();
        }
    }

    /// Takes out of a full ring what was published, in order; it is folded when somebody with a clock comes by.
    pub(super) fn clear(&mut self, ring: &Ring) {
        if !self.attended {
            return self.fold(ring, self.recorded.now());
        }
        let mut freed = ring.freed();
        while let Some(event) = self.published(ring, Seq::new(freed.get() + 1)) {
            self.cleared.push_back(event);
            freed = Seq::new(freed.get() + 1);
        }
        ring.free(freed);
    }

    /// Whether everything up to `seq` was folded and taken.
    pub(super) fn is_taken(&self, seq: Seq) -> bool {
        self.recorded.word().seq() == seq && self.queue.is_empty()
    }

    /// Keeps no more entries: nobody will take them.
    pub(super) fn abandon(&mut self) {
        self.attended = false;
        self.queue = Vec::new();
    }

    /// Swaps the entries folded so far, in order, for an empty `batch`.
    pub(super) fn take(&mut self, batch: &mut Vec<Entry>) {
        mem::swap(&mut self.queue, batch);
    }

    /// Puts an event aside that found the ring full.
    pub(super) fn put_aside(&mut self, seq: Seq, event: Event) {
        self.aside.insert(seq, event);
    }

    /// How many events wait to be folded or taken, those in the ring left out.
    pub(super) fn backlog(&self) -> usize {
        self.aside.len() + self.cleared.len() + self.queue.len()
    }

    pub(super) fn view(&self, word: &AtomicU64) -> View {
        View { life: self.live(word), reserved: self.promises.len(), stalled: self.stalled.len() }
    }

    /// Judges a command against the live state and claims the next number for its event.
    pub(super) fn order(&mut self, word: &AtomicU64, at: Instant, command: Command) -> Result<Seq, Rejection> {
        match command {
            Command::Reserve { id, class } => self.reserve(word, at, id, class),
            Command::Assign { call } => self.assign(word, at, call),
            Command::End { call, reason } => self.withdraw(word, at, call, reason),
            Command::Progress { call } => self.claim(word, at, |life| {
                alive(life, Event::CallProgressed { call }).ok_or_else(|| Repeat::AlreadyEnded.into())
            }),
            Command::Admit { .. }
            | Command::BeginDrain(_)
            | Command::CancelDrain { .. }
            | Command::Close
            | Command::CountDeclines { .. }
            | Command::ExtendDrain { .. }
            | Command::ForceDrain { .. }
            | Command::Reject
            | Command::Serve
            | Command::StandBy
            | Command::Wake => self.control(word, at, command),
        }
    }

    /// Claims an entry for each deadline reached, most urgent first; returns whether there was one. `record` is the
    /// worker as the shell has folded it: it knows when calls are due, the desk whether they still are.
    pub(super) fn wake(&mut self, line: Line<'_>, at: Instant, record: &Worker) -> bool {
        let at = at.max(self.recorded.now());
        let mut any = false;
        // Nothing happened to any call since the record, but for what is claimed below.
        let mut exact = self.recorded.word() == record.word();
        let mut calls: Vec<_> = record.due_calls(at).collect();
        calls.sort_unstable();
        let mut calls = calls.into_iter().peekable();
        loop {
            let drain = self.live(line.word).deadline().filter(|(due, _)| *due <= at);
            let Some((_, why)) = drain.into_iter().chain(calls.peek().copied()).min() else { break };
            let before = self.recorded.word().seq();
            let claimed = match why {
                Why::Empty | Why::GraceOver | Why::Overdue => self.control(line.word, at, Command::Wake),
                Why::Lapse(call) => self.lapse(line.word, at, call),
                Why::Stall(call) => self.stall(line.word, at, call, exact),
            };
            match why {
                // A writer is interrupted, and what it writes matters here: come again.
                Why::Empty | Why::GraceOver | Why::Overdue if claimed.is_err() => break,
                Why::Empty | Why::GraceOver | Why::Overdue => {}
                Why::Lapse(_) | Why::Stall(_) => drop(calls.next()),
            }
            self.fold(line.ring, at);
            any |= claimed.is_ok();
            exact &= self.recorded.word().seq().get() == before.get() + u64::from(claimed.is_ok());
        }
        any
    }

    /// The life as it is now. The exit is the last of it: what late hang-ups do to the word after that means nothing.
    fn live(&self, word: &AtomicU64) -> Life {
        if self.recorded.phase() == Phase::Exited {
            return self.recorded;
        }
        self.recorded.seen_at(Word::from_bits(word.load(Ordering::Acquire)), self.drain)
    }

    fn control(&mut self, word: &AtomicU64, at: Instant, command: Command) -> Result<Seq, Rejection> {
        let recorded = self.recorded.word();
        self.claim(word, at, |life| match life.judge(at.max(life.now()), command)? {
            // How a worker ends depends on how each of its calls ended, so all of that must be recorded.
            Event::Exited { .. } if life.word() != recorded => Err(Misuse::NotDrained.into()),
            event => Ok(event),
        })
    }

    fn reserve(&mut self, word: &AtomicU64, at: Instant, id: CallId, class: Class) -> Result<Seq, Rejection> {
        let seq = self.control(word, at, Command::Reserve { id, class })?;
        self.promises.insert(CallNo::new(seq.get()));
        Ok(seq)
    }

    fn assign(&mut self, word: &AtomicU64, at: Instant, call: CallNo) -> Result<Seq, Rejection> {
        self.settle(word, at, call, Event::CallAssigned { call })
    }

    fn withdraw(&mut self, word: &AtomicU64, at: Instant, call: CallNo, reason: EndReason) -> Result<Seq, Rejection> {
        self.settle(word, at, call, Event::CallEnded { call, reason })
    }

    fn lapse(&mut self, word: &AtomicU64, at: Instant, call: CallNo) -> Result<Seq, Rejection> {
        self.settle(word, at, call, Event::ReservationLapsed { call })
    }

    /// Decides what becomes of a promise, once.
    fn settle(&mut self, word: &AtomicU64, at: Instant, call: CallNo, event: Event) -> Result<Seq, Rejection> {
        if !self.promises.contains(&call) {
            return Err(Refused::ReservationGone.into());
        }
        let settled = self.claim(word, at, |life| alive(life, event).ok_or_else(|| Refused::ReservationGone.into()))?;
        self.promises.remove(&call);
        Ok(settled)
    }

    /// Flags a call, unless something happened since the record that may have ended it: calls end without this lock.
    fn stall(&mut self, word: &AtomicU64, at: Instant, call: CallNo, exact: bool) -> Result<Seq, Rejection> {
        let recorded = self.recorded.word();
        self.claim(word, at, |life| {
            let event = alive(life, Event::CallStalled { call });
            event.filter(|_| exact && life.word() == recorded).ok_or_else(|| Misuse::NotDue.into())
        })
    }

    /// Moves the word by what `judge` makes of it, as often as it takes: calls come and go meanwhile.
    fn claim(
        &mut self,
        word: &AtomicU64,
        at: Instant,
        judge: impl Fn(&Life) -> Result<Event, Rejection>,
    ) -> Result<Seq, Rejection> {
        let mut seen = word.load(Ordering::Acquire);
        loop {
            let mut life = self.recorded.seen_at(Word::from_bits(seen), self.drain);
            if life.word().seq().get() == Word::SEQ_MAX {
                return Err(Refusal::Exhausted.into());
            }
            let event = judge(&life)?;
            let next = event.transition(life.word(), life.drain());
            match word.compare_exchange(seen, next.to_bits(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    life.apply(&life.head().entry(at, event));
                    self.drain = life.drain().copied();
                    self.put_aside(next.seq(), event);
                    return Ok(next.seq());
                }
                Err(now) => seen = now,
            }
        }
    }

    fn published(&mut self, ring: &Ring, seq: Seq) -> Option<Event> {
        ring.read(seq).or_else(|| self.aside.remove(&seq))
    }

    fn mark(&mut self, event: Event) {
        match event {
            Event::CallStalled { call } => drop(self.stalled.insert(call)),
            Event::CallProgressed { call } | Event::CallEnded { call, .. } => drop(self.stalled.remove(&call)),
            _ => {}
        }
    }
}

/// `event`, unless the worker has left.
fn alive(life: &Life, event: Event) -> Option<Event> {
    (life.phase() != Phase::Exited).then_some(event)
}
