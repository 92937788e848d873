//! The recorder: what the gate keeps under its lock, and all that is not the hot path. It judges nothing: it tells core
//! what it knows of a worker and of a call, and claims a number for what core makes of a command.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use openrtc_core::id::{CallId, CallNo, Digest, DigestKey, Seq};
use openrtc_core::journal::Batch;
use openrtc_core::time::Instant;
use openrtc_core::word::{Phase, Refusal, Word};
use openrtc_core::worker::{CallState, Class, Command, Drain, Event, Life, Misuse, Origin, Rejection, Why, Worker};

use super::ring::{Read, Ring};
use crate::engine::sync::{AtomicU64, Ordering};

/// What the gate keeps under its lock. Everything but an admission and the end of an assigned call happens here: while
/// the lock is held, phase, drain and promises stand still, and only calls come and go.
#[derive(Debug)]
pub(super) struct Recorder {
    /// The worker without its calls, folded in order as far as events were published.
    recorded: Life,
    /// The drain in force at the word; ahead of the record while a writer before it is interrupted.
    drain: Option<Drain>,
    /// Reservations still open at the word: whoever takes one out decides what becomes of it.
    promises: BTreeSet<CallNo>,
    /// Calls flagged as stalled, as recorded.
    stalled: BTreeSet<CallNo>,
    /// Events that did not go through the ring, until they are folded.
    aside: BTreeMap<Seq, Noted>,
    /// Events taken out of a full ring, until they are folded: those that follow the record.
    cleared: VecDeque<Noted>,
    /// Entries that the control loop has not taken yet, and the ids of the calls that they begin.
    batch: Batch<Worker>,
    /// What call ids are digested with.
    key: DigestKey,
    /// Whether there is a control loop to take them.
    attended: bool,
    /// When declined calls must be counted.
    pub(super) count_at: Option<Instant>,
    /// Since when the listeners are to close.
    pub(super) closing_since: Option<Instant>,
}

/// An event beside the ring.
#[derive(Debug)]
struct Noted {
    /// When it was judged; it is stamped no earlier.
    judged: Instant,
    event: Event,
    /// The id of the call that it begins.
    id: Option<CallId>,
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

/// What was found when the deadlines were checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Woken {
    /// Whether an entry was claimed for one.
    pub(super) claimed: bool,
    /// Whether the worker is to leave now.
    pub(super) must_exit: bool,
}

/// What a recorder works with: the word that it claims numbers from, and the ring that it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) word: &'a AtomicU64,
    pub(super) ring: &'a Ring,
}

impl Recorder {
    pub(super) fn new(life: &Life, key: DigestKey) -> Self {
        Self {
            recorded: *life,
            drain: life.drain().copied(),
            promises: BTreeSet::new(),
            stalled: BTreeSet::new(),
            aside: BTreeMap::new(),
            cleared: VecDeque::new(),
            batch: Batch::default(),
            key,
            attended: true,
            count_at: None,
            closing_since: None,
        }
    }

    /// Folds what was published, in order, up to the first number whose writer has not finished; stamped with `at`.
    pub(super) fn fold(&mut self, ring: &Ring, mut at: Instant) {
        let before = self.seq();
        while let Some((judged, event)) = self.next_event(ring) {
            let entry = self.recorded.head().entry(at.max(judged), event);
            // A clock that stands behind is one step back, however many entries it stamps.
            at = entry.at;
            self.recorded.apply(&entry);
            self.mark(event);
            if self.attended {
                self.batch.entries.push(entry);
            }
        }
        ring.free(self.seq());
        if self.seq() != before && self.aside.is_empty() {
            self.drain = self.recorded.drain().copied();
        }
    }

    /// Takes out of a full ring what was published, in order; whoever has a clock folds it later.
    pub(super) fn clear(&mut self, ring: &Ring) {
        if !self.attended {
            return self.fold(ring, self.recorded.now());
        }
        let mut seq = ring.freed();
        while let Some(noted) = self.published(ring, seq.next()) {
            self.cleared.push_back(noted);
            seq = seq.next();
        }
        ring.free(seq);
    }

    /// Whether everything up to `seq` was folded and taken.
    pub(super) fn is_taken(&self, seq: Seq) -> bool {
        self.recorded.word().seq() == seq && self.batch.is_empty()
    }

    /// Keeps no more entries: nobody will take them.
    pub(super) fn abandon(&mut self) {
        self.attended = false;
        self.batch = Batch::default();
    }

    /// Whether somebody takes the entries.
    pub(super) const fn is_attended(&self) -> bool {
        self.attended
    }

    /// Swaps the entries folded so far, in order, for an empty `batch`.
    pub(super) fn take(&mut self, batch: &mut Batch<Worker>) {
        std::mem::swap(&mut self.batch, batch);
    }

    /// Puts an event of the hot path aside that the ring could not take.
    pub(super) fn put_hot_aside(&mut self, seq: Seq, event: Event, id: Option<CallId>) {
        self.aside.insert(seq, Noted { judged: Instant::EPOCH, event, id });
    }

    /// When the last recorded entry became true.
    pub(super) const fn now(&self) -> Instant {
        self.recorded.now()
    }

    /// The number of the last recorded entry.
    pub(super) const fn seq(&self) -> Seq {
        self.recorded.word().seq()
    }

    /// How many events wait to be folded or taken, those in the ring left out.
    pub(super) fn backlog(&self) -> usize {
        self.aside.len() + self.cleared.len() + self.batch.entries.len()
    }

    pub(super) fn view(&self, word: &AtomicU64) -> View {
        View { life: self.live(word), reserved: self.promises.len(), stalled: self.stalled.len() }
    }

    /// Whether a reservation is still open.
    pub(super) fn is_promised(&self, call: CallNo) -> bool {
        self.promises.contains(&call)
    }

    /// What a call id is known by here.
    pub(super) fn digest(&self, id: &CallId) -> Digest {
        id.digest(self.key)
    }

    /// Says yes to an offer, if core does.
    pub(super) fn reserve(&mut self, word: &AtomicU64, at: Instant, id: &CallId, class: Class) -> Result<Seq, Refusal> {
        let event = Event::CallReserved { id: self.digest(id), class };
        let seq = self.claim(word, at, Some(id), |life| life.admission().map(|()| event))?;
        self.promises.insert(CallNo::new(seq.get()));
        Ok(seq)
    }

    /// Begins with a call of an earlier run, if core says so.
    pub(super) fn take_over(
        &mut self,
        word: &AtomicU64,
        at: Instant,
        id: &CallId,
        class: Class,
        origin: Origin,
    ) -> Result<Seq, Rejection> {
        let command = Command::TakeOver { id: self.digest(id), class, origin };
        self.claim(word, at, Some(id), |life| life.judge(at, command, |_| CallState::Never))
    }

    /// Has core judge a command against the live state, and claims the next number for its event.
    pub(super) fn order(&mut self, word: &AtomicU64, at: Instant, command: Command) -> Result<Seq, Rejection> {
        self.order_if(word, at, command, |_| true)
    }

    /// Whether a command would end the worker if it were given now.
    pub(super) fn leads_to_exit(&self, word: &AtomicU64, at: Instant, command: Command) -> bool {
        let judged = self.live(word).judge(at.max(self.recorded.now()), command, |_| CallState::Over);
        matches!(judged, Ok(Event::Exited { .. }))
    }

    /// Claims an entry for each deadline reached, most urgent first. `record` is the worker as the control loop has
    /// folded it: it knows when calls are due, the recorder whether they still are. The exit is left to the gate.
    pub(super) fn wake(&mut self, line: Line<'_>, at: Instant, record: &Worker) -> Woken {
        let at = at.max(self.recorded.now());
        let mut woken = Woken { claimed: false, must_exit: false };
        // Nothing happened to any call since the record, but for what is claimed below.
        let mut exact = self.recorded.word() == record.word();
        let mut calls: Vec<_> = record.due_calls(at).collect();
        calls.sort_unstable();
        let mut calls = calls.into_iter().peekable();
        loop {
            let drain = self.live(line.word).deadline().filter(|(due, _)| *due <= at);
            let Some((_, why)) = drain.into_iter().chain(calls.peek().copied()).min() else { break };
            // The exit comes last, after what was declined is counted.
            if matches!(why, Why::GraceOver | Why::Leave) {
                woken.must_exit = true;
                break;
            }
            let (before, recorded) = (self.recorded.word().seq(), self.recorded.word());
            let command = Command::Expire(why);
            let claimed = match why {
                // Calls end without this lock, so one is flagged only if nothing happened since the record.
                Why::Stall(_) => self.order_if(line.word, at, command, |life| exact && life.word() == recorded),
                Why::Empty | Why::GraceOver | Why::Force | Why::Overdue | Why::Leave | Why::Lapse(_) => {
                    self.order(line.word, at, command)
                }
            };
            match why {
                Why::Lapse(_) | Why::Stall(_) => drop(calls.next()),
                // A writer is interrupted, and what it writes matters here: come again.
                Why::Empty | Why::GraceOver | Why::Force | Why::Overdue | Why::Leave if claimed.is_err() => break,
                Why::Empty | Why::GraceOver | Why::Force | Why::Overdue | Why::Leave => {}
            }
            self.fold(line.ring, at);
            woken.claimed |= claimed.is_ok();
            exact &= self.recorded.word().seq().get() == before.get() + u64::from(claimed.is_ok());
        }
        woken
    }

    /// The life as it is now. The exit is the last of it: what late hang-ups do to the word after that means nothing.
    pub(super) fn live(&self, word: &AtomicU64) -> Life {
        if self.recorded.phase() == Phase::Exited {
            return self.recorded;
        }
        self.recorded.seen_at(Word::from_bits(word.load(Ordering::Acquire)), self.drain)
    }

    fn order_if(
        &mut self,
        word: &AtomicU64,
        at: Instant,
        command: Command,
        may: impl Fn(&Life) -> bool,
    ) -> Result<Seq, Rejection> {
        let recorded = self.recorded.word();
        let state = self.call_state(command);
        let seq = self.claim::<Rejection>(word, at, None, |life| {
            if !may(life) {
                return Err(Misuse::NotDue.into());
            }
            match life.judge(at.max(life.now()), command, |_| state)? {
                // How a worker ends depends on how each of its calls ended, so all of that must be recorded.
                Event::Exited { .. } if life.word() != recorded => Err(Misuse::NotDrained.into()),
                event => Ok(event),
            }
        })?;
        if let Some(call) = promise(command) {
            self.promises.remove(&call);
        }
        Ok(seq)
    }

    /// What is known here of the call that a command speaks of. Promises are kept here; that a call is ours, the guard
    /// that speaks for it proves, and so does the record that says when it stalls.
    fn call_state(&self, command: Command) -> CallState {
        match promise(command).or_else(|| command.call()) {
            Some(call) if self.promises.contains(&call) => CallState::Reserved,
            Some(_) if promise(command).is_some() => CallState::Over,
            Some(_) | None => CallState::Assigned,
        }
    }

    /// Moves the word by what `judge` makes of it, as often as it takes: calls come and go meanwhile.
    fn claim<E: From<Refusal>>(
        &mut self,
        word: &AtomicU64,
        at: Instant,
        id: Option<&CallId>,
        judge: impl Fn(&Life) -> Result<Event, E>,
    ) -> Result<Seq, E> {
        let mut seen = word.load(Ordering::Acquire);
        loop {
            let mut life = self.recorded.seen_at(Word::from_bits(seen), self.drain);
            let event = judge(&life)?;
            let next = event.transition(life.word(), life.drain());
            match word.compare_exchange(seen, next.to_bits(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    life.apply(&life.head().entry(at, event));
                    self.drain = life.drain().copied();
                    self.aside.insert(next.seq(), Noted { judged: at, event, id: id.cloned() });
                    return Ok(next.seq());
                }
                Err(now) => seen = now,
            }
        }
    }

    /// The event that follows the record, if it was published, and when it was judged; the id of the call that it
    /// begins goes into the batch.
    fn next_event(&mut self, ring: &Ring) -> Option<(Instant, Event)> {
        let seq = self.recorded.head().seq.next();
        let noted = match self.cleared.pop_front() {
            Some(noted) => noted,
            None => match ring.read(seq) {
                Some(Read::Ended { call, reason }) => return Some((Instant::EPOCH, Event::CallEnded { call, reason })),
                Some(Read::Admitted { id, class }) => {
                    let text = id.as_str();
                    self.name(seq, text);
                    return Some((Instant::EPOCH, Event::CallAdmitted { id: self.key.digest(text), class }));
                }
                None => self.aside.remove(&seq)?,
            },
        };
        if let Some(id) = &noted.id {
            self.name(seq, id.as_str());
        }
        Some((noted.judged, noted.event))
    }

    fn name(&mut self, seq: Seq, id: &str) {
        if self.attended {
            self.batch.ids.push(CallNo::new(seq.get()), id);
        }
    }

    /// The event of this number, if it was published, taken out of the ring.
    fn published(&mut self, ring: &Ring, seq: Seq) -> Option<Noted> {
        let judged = Instant::EPOCH;
        match ring.read(seq) {
            Some(Read::Ended { call, reason }) => {
                Some(Noted { judged, event: Event::CallEnded { call, reason }, id: None })
            }
            Some(Read::Admitted { id, class }) => {
                let id = CallId::new(id.as_str()).expect("an id was written");
                Some(Noted { judged, event: Event::CallAdmitted { id: self.digest(&id), class }, id: Some(id) })
            }
            None => self.aside.remove(&seq),
        }
    }

    fn mark(&mut self, event: Event) {
        if let Event::CallStalled { call } = event {
            self.stalled.insert(call);
        } else if let (Event::CallProgressed { call }, _) | (_, Some(call)) = (event, event.ended_call()) {
            self.stalled.remove(&call);
        }
    }
}

/// The promise of which a command decides what becomes.
fn promise(command: Command) -> Option<CallNo> {
    let decides = matches!(command, Command::Assign { .. } | Command::Withdraw { .. } | Command::Expire(Why::Lapse(_)));
    command.call().filter(|_| decides)
}
