//! A worker and everything it asked of its shell.

use openrtc_core::id::{Actor, CallNo, Digest, Epoch, Seq};
use openrtc_core::machine::{Head, Machine};
use openrtc_core::order::{Order, Stamp, Wish};
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::{
    Availability, Cause, Class, Command, Drain, DrainOrder, Effect, EndReason, Entry, Event, Leave, Limits, Misfit,
    Misuse, OnDeadline, Outcome, Rejection, Terms, Worker,
};

pub(crate) const ALICE: Actor = Actor::from_static("alice");
pub(crate) const SIGTERM: Actor = Actor::from_static("SIGTERM");
pub(crate) const COORDINATOR: Actor = Actor::from_static("coordinator");
pub(crate) const CALL: Digest = Digest::new(7);

/// Long after everything else.
pub(crate) const A_YEAR: u64 = 31_536_000;

pub(crate) struct Story {
    pub(crate) worker: Worker,
    effects: Vec<Effect>,
}

impl Story {
    /// A worker that starts: 3 calls at most, 2 s of grace, 10 s to assign, silent after 30 s, leaves once
    /// drained.
    pub(crate) fn starting() -> Self {
        Self::with(Limits::default())
    }

    /// The same worker under other limits.
    pub(crate) fn with(limits: Limits) -> Self {
        let worker = Worker::new(Limits { capacity: 3, ..limits }).expect("three calls are possible");
        Self { worker, effects: Vec::new() }
    }

    /// The same worker, open for calls.
    pub(crate) fn serving() -> Self {
        Self::starting().opens()
    }

    /// The same worker, open for calls, which stays when it has drained.
    pub(crate) fn parked() -> Self {
        Self::with(Limits { leave: Leave::Parked, ..Limits::default() }).opens()
    }

    pub(crate) fn opens(mut self) -> Self {
        self.tells(0, Command::Serve, Event::ServingBegan { stamp: None });
        self.asks(&[Effect::Announce(Availability::Open)]);
        self
    }

    pub(crate) fn says(&mut self, secs: u64, command: Command) -> Result<Entry, Rejection> {
        let entry = self.worker.decide(at(secs), command)?;
        assert_eq!(self.follows(&entry), Ok(()), "what was decided fits");
        self.worker.apply(&entry);
        assert!(self.worker.is_sound(), "{:?}", self.worker);
        self.worker.react(&entry, &mut |effect| self.effects.push(effect));
        Ok(entry)
    }

    /// At this second the command has this event.
    #[track_caller]
    pub(crate) fn tells(&mut self, secs: u64, command: Command, event: Event) {
        assert_eq!(self.says(secs, command).map(|entry| entry.event), Ok(event));
    }

    /// At this second the command is refused, and nothing changes.
    #[track_caller]
    pub(crate) fn refuses(&mut self, secs: u64, command: Command, rejection: impl Into<Rejection>) {
        let before = self.worker.clone();
        assert_eq!(self.says(secs, command), Err(rejection.into()));
        assert_eq!(self.worker, before);
    }

    /// These effects have come since the last time.
    #[track_caller]
    pub(crate) fn asks(&mut self, effects: &[Effect]) {
        assert_eq!(std::mem::take(&mut self.effects), effects);
    }

    /// Nothing is due before this second, at which it has this event.
    #[track_caller]
    pub(crate) fn wakes(&mut self, secs: u64, event: Event) {
        let just_before = at(secs) - Span::from_micros(1);
        if just_before > self.worker.now() {
            assert_eq!(self.worker.decide(just_before, Command::Wake), Err(Misuse::NotDue.into()));
        }
        self.tells(secs, Command::Wake, event);
    }

    /// Nothing is due, however long one waits.
    #[track_caller]
    pub(crate) fn waits(&mut self) {
        self.refuses(A_YEAR, Command::Wake, Misuse::NotDue);
    }

    /// At this second the event cannot come next, whatever the journal says.
    #[track_caller]
    pub(crate) fn misfits(&self, secs: u64, event: Event, misfit: Misfit) {
        assert_eq!(self.follows(&self.next(secs, event)), Err(misfit), "{event:?}");
    }

    /// At this second the event can come next.
    #[track_caller]
    pub(crate) fn fits(&self, secs: u64, event: Event) {
        assert_eq!(self.follows(&self.next(secs, event)), Ok(()), "{event:?}");
    }

    /// Whether an entry fits. Following it is the same in one step.
    #[track_caller]
    fn follows(&self, entry: &Entry) -> Result<(), Misfit> {
        let (mut after, mut expected) = (self.worker.clone(), self.worker.clone());
        let (fits, mut seen) = (self.worker.fits(entry), None);
        assert_eq!(after.follow(entry, |before| seen = Some(before.clone())), fits);
        if fits.is_ok() {
            expected.apply(entry);
        }
        assert_eq!((after, seen), (expected, fits.is_ok().then(|| self.worker.clone())));
        fits
    }

    fn next(&self, secs: u64, event: Event) -> Entry {
        let Head { seq, now } = self.worker.head();
        assert!(at(secs) >= now, "the clock does not step back here");
        Head { seq, now }.entry(at(secs), event)
    }

    pub(crate) fn reserves(&mut self, secs: u64) -> CallNo {
        let entry = self.says(secs, Command::Reserve { id: CALL, class: Class::default() }).expect("there is room");
        CallNo::new(entry.seq.get())
    }

    pub(crate) fn admits(&mut self, secs: u64) -> CallNo {
        let entry = self.says(secs, admit()).expect("there is room");
        CallNo::new(entry.seq.get())
    }

    #[track_caller]
    pub(crate) fn hangs_up(&mut self, secs: u64, call: CallNo) {
        self.ends(secs, call, EndReason::CallerHangup);
    }

    #[track_caller]
    pub(crate) fn ends(&mut self, secs: u64, call: CallNo, reason: EndReason) {
        self.tells(secs, Command::End { call, reason }, Event::CallEnded { call, reason });
    }

    /// A reservation is taken back.
    #[track_caller]
    pub(crate) fn withdraws(&mut self, secs: u64, call: CallNo, reason: EndReason) {
        self.tells(secs, Command::Withdraw { call, reason }, Event::CallEnded { call, reason });
    }

    /// The worker begins to drain.
    #[track_caller]
    pub(crate) fn drains(&mut self, secs: u64, command: Command) {
        self.tells(secs, command, begun(command));
    }

    pub(crate) fn drain(&self) -> &Drain {
        self.worker.drain().expect("it drains")
    }

    #[track_caller]
    pub(crate) fn is(&self, phase: Phase) {
        assert_eq!(self.worker.phase(), phase);
    }
}

pub(crate) const fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}

pub(crate) fn admit() -> Command {
    Command::Admit { id: CALL, class: Class::default() }
}

pub(crate) fn drain(cause: Cause, deadline: Option<u64>, on_deadline: OnDeadline) -> Command {
    let actor = if cause == Cause::Signal { SIGTERM } else { ALICE };
    Command::BeginDrain(DrainOrder { cause, actor, terms: terms(deadline, on_deadline) })
}

pub(crate) fn terms(deadline: Option<u64>, on_deadline: OnDeadline) -> Terms {
    Terms::new(deadline.map(at), on_deadline).expect("what happens at a deadline has one")
}

pub(crate) fn patient_drain() -> Command {
    drain(Cause::Api, None, OnDeadline::Wait)
}

/// A SIGTERM on a platform that gives no time.
pub(crate) fn sigterm() -> Command {
    drain(Cause::Signal, None, OnDeadline::Wait)
}

pub(crate) fn begun(command: Command) -> Event {
    let Command::BeginDrain(DrainOrder { cause, actor, terms }) = command else {
        panic!("not the beginning of a drain: {command:?}")
    };
    Event::DrainBegun { cause, actor, terms, stamp: None }
}

/// What comes of this command during a drain that could be taken back.
pub(crate) fn sealed(command: Command, terms: Terms) -> Event {
    let Command::BeginDrain(DrainOrder { cause, actor, .. }) = command else {
        panic!("not the beginning of a drain: {command:?}")
    };
    Event::DrainSealed { cause, actor, terms, stamp: None }
}

pub(crate) const fn exited(outcome: Outcome) -> Event {
    Event::Exited { outcome, stamp: None }
}

pub(crate) const fn stamp(epoch: u64, order: u64) -> Stamp {
    Stamp { epoch: Epoch::new(epoch), order: Seq::new(order) }
}

pub(crate) const fn obey(stamp: Stamp, wish: Wish) -> Command {
    Command::Obey(Order { stamp, actor: COORDINATOR, wish })
}

pub(crate) const fn taken(stamp: Stamp) -> Event {
    Event::OrderTaken { stamp, actor: COORDINATOR }
}
