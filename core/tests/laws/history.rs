//! One life of a machine, step by step, with every law checked on the way.

use std::collections::BTreeSet;

use openrtc_core::codec;
use openrtc_core::machine::{Machine, fold};
use openrtc_core::time::{Instant, Span};
use proptest::prelude::*;

use crate::allocations;
use crate::harness::Pace;
use crate::subject::{Command, Effect, Entry, Rejection, Subject, Value};

type Law = Result<(), TestCaseError>;
type Judgement<S> = Result<Entry<S>, Rejection<S>>;

const TICK: Span = Span::from_micros(1);
const DECODE_MAX: usize = 1 << 20;

/// So many wakes in a row must be enough for everything that is due at one instant.
const WAKES_MAX: usize = 100;

pub(crate) struct History<S: Subject> {
    at: Instant,
    start: S::Machine,
    state: S::Machine,
    /// What the stored decisions alone give.
    recorded: S::Machine,
    /// A state that entries from elsewhere led anywhere.
    astray: S::Machine,
    journal: Vec<Entry<S>>,
    effects: Vec<Effect<S>>,
    reached: BTreeSet<&'static str>,
}

impl<S: Subject> History<S> {
    pub(crate) fn new(start: S::Machine) -> Self {
        Self {
            at: start.head().now,
            state: start.clone(),
            recorded: forgetful(&start),
            astray: start.clone(),
            start,
            journal: Vec::new(),
            effects: Vec::new(),
            reached: BTreeSet::new(),
        }
    }

    /// Does one step and checks everything that can be said about a single step.
    pub(crate) fn step(&mut self, pace: Pace, step: &S::Step) -> Law {
        prop_assert!(self.state.is_sound(), "unsound before the step: {:?}", self.state);
        if matches!(pace, Pace::Restart) {
            self.state = self.recorded.clone();
        }
        self.at = self.moved(pace);
        self.wakes_when_due_and_not_before()?;
        self.settles()?;
        let command = S::aim(&self.state, self.at, step);
        match self.judged_alike_twice(command)? {
            Ok(entry) => self.obey(command, &entry),
            Err(rejection) => {
                self.reached.insert(S::rejection_name(&rejection));
                Ok(())
            }
        }
    }

    /// The names of everything that happened.
    pub(crate) fn reached(&self) -> impl Iterator<Item = &'static str> {
        self.reached.iter().copied()
    }

    /// Law: folding the stored decisions gives the live state without its observations, bit for bit, also after they
    /// were stored and read back.
    pub(crate) fn folds_to_the_live_state(&self) -> Law {
        let stored = self.journal.iter().map(read_back).collect::<Result<Vec<_>, _>>()?;
        prop_assert_eq!(&stored, &self.journal, "an entry changed in the journal");
        let mut folded = read_back(&self.start)?;
        fold(&mut folded, &stored);
        let live = forgetful(&self.state);
        prop_assert_eq!(&folded, &live, "the fold differs from the live state");
        prop_assert_eq!(&read_back(&self.state)?, &live, "the state changed in the journal");
        Ok(())
    }

    /// Law: whenever a crash came between the journal and some effects, the state that the journal gives owes each of
    /// them, unless later entries made it moot.
    pub(crate) fn owes_what_any_crash_lost(&self) -> Law {
        let owed = obligations::<S>(&self.recorded);
        for effect in self.effects.iter().filter(|effect| !S::dies_with_process(effect)) {
            let forgotten = !owed.contains(effect) && !S::is_moot(&self.recorded, effect);
            prop_assert!(!forgotten, "lost for good: {effect:?}, owed are {owed:?}");
        }
        Ok(())
    }

    /// Law: an entry from elsewhere, or one of this history at another time, is followed if it fits, and leaves the
    /// state sound then. One that does not fit is not followed and changes nothing; it is applied without a panic, and
    /// so is whatever comes after it.
    pub(crate) fn stands(&mut self, stray: &Entry<S>) -> Law {
        self.astray.apply(stray);
        self.astray.react(stray, &mut |_| {});
        let _ = (self.astray.deadline(), obligations::<S>(&self.astray), self.astray.is_sound());

        let earlier = usize::try_from(stray.seq.get()).unwrap_or(0).checked_rem(self.journal.len());
        let earlier = earlier.map(|nth| self.journal[nth].event);
        for event in earlier.into_iter().chain([stray.event]) {
            let seated = self.state.head().entry(stray.at, event);
            let (fits, mut followed) = (self.recorded.fits(&seated).is_ok(), self.recorded.clone());
            prop_assert_eq!(
                followed.follow(&seated, |_| {}).is_ok(),
                fits,
                "followed, or not, by itself: {:?}",
                seated
            );
            prop_assert!(fits || followed == self.recorded, "a misfit changed the state: {seated:?}");
            if fits {
                let mut state = self.state.clone();
                state.apply(&seated);
                prop_assert!(state.is_sound(), "fits and makes unsound: {seated:?}");
            }
        }
        Ok(())
    }

    fn moved(&self, pace: Pace) -> Instant {
        let ahead = self.state.deadline().map(|(due, _)| due).filter(|due| *due > self.at);
        match pace {
            Pace::AtOnce | Pace::Restart => self.at,
            Pace::Back(span) => self.at - span,
            Pace::BeforeDeadline => ahead.map_or(self.at, |due| due - TICK),
            Pace::Later(span) => self.at + span,
            Pace::OnDeadline => ahead.unwrap_or(self.at),
        }
    }

    /// Law: `decide` is a function of state, time and command, and changes nothing.
    fn judged_alike_twice(&self, command: Command<S>) -> Result<Judgement<S>, TestCaseError> {
        let before = self.state.clone();
        let (first, again) = (judge::<S>(&self.state, self.at, command), judge::<S>(&before, self.at, command));
        prop_assert_eq!(&first, &again, "two answers to {:?}", command);
        prop_assert_eq!(&self.state, &before, "decide changed the state");
        Ok(first)
    }

    /// Applies what was decided and checks what can be said about that.
    fn obey(&mut self, command: Command<S>, entry: &Entry<S>) -> Law {
        let mut effects = Vec::new();
        let before = self.state.clone();
        self.state.apply(entry);
        self.state.react(entry, &mut |effect| effects.push(effect));
        prop_assert!(self.state.is_sound(), "unsound after {entry:?}: {:?}", self.state);
        let forward = S::rank(&self.state) >= S::rank(&before) || S::goes_back(entry);
        prop_assert!(forward, "life went backwards: {entry:?}");
        S::check(&before, entry, &self.state, &effects)?;
        self.reached.insert(S::entry_name(entry));
        self.is_recorded(entry)?;
        self.owes_what_this_step_lost(&effects)?;
        self.refuses_a_repeat(command, entry)?;
        self.effects.extend(effects);
        Ok(())
    }

    /// Laws: a decision is judged by what it carries, not by what was observed; it fits once, and not before the last;
    /// and what is recorded is the live state without its observations. An observation fits nowhere, takes no number
    /// and decides nothing.
    fn is_recorded(&mut self, entry: &Entry<S>) -> Law {
        let fits = self.recorded.fits(entry);
        if S::Machine::is_observation(&entry.event) {
            prop_assert!(fits.is_err(), "an observation fits a journal: {entry:?}");
        } else {
            prop_assert!(fits.is_ok(), "decided, and does not fit what is recorded: {entry:?}, {fits:?}");
            let last = self.recorded.head().now;
            let early = Entry::<S> { at: last - TICK, behind: Span::ZERO, ..*entry };
            prop_assert!(
                last == Instant::EPOCH || self.recorded.fits(&early).is_err(),
                "fits before the last: {early:?}"
            );
            self.recorded.apply(entry);
            prop_assert!(self.state.fits(entry).is_err(), "fits a second time: {entry:?}");
            self.journal.push(*entry);
        }
        prop_assert_eq!(&self.recorded, &forgetful(&self.state), "recorded and live differ after {:?}", entry);
        Ok(())
    }

    /// Law: right after a step the recorded state owes every effect of it.
    fn owes_what_this_step_lost(&self, effects: &[Effect<S>]) -> Law {
        let owed = obligations::<S>(&self.recorded);
        for effect in effects.iter().filter(|effect| !S::dies_with_process(effect)) {
            prop_assert!(owed.contains(effect), "a crash loses {effect:?}, owed are {owed:?}");
        }
        Ok(())
    }

    /// Law: a command obeyed already is refused as a repeat, without entries.
    fn refuses_a_repeat(&mut self, command: Command<S>, entry: &Entry<S>) -> Law {
        if !S::is_idempotent(&command, entry) {
            return Ok(());
        }
        let answer = judge::<S>(&self.state, self.at, command);
        prop_assert!(answer.as_ref().is_err_and(S::is_repeat), "{command:?} again: {answer:?}");
        self.reached.extend(answer.as_ref().err().map(S::rejection_name));
        Ok(())
    }

    /// Law: `WAKE` is refused before the deadline and accepted at it; without a deadline it is always refused.
    fn wakes_when_due_and_not_before(&mut self) -> Law {
        let wakes = |at| judge::<S>(&self.state, at, S::Machine::WAKE).is_ok();
        let Some((due, why)) = self.state.deadline() else {
            prop_assert!(!wakes(Instant::from_micros(u64::MAX)), "woken without a deadline");
            return Ok(());
        };
        prop_assert!(wakes(due), "not woken at {due:?}, when {why:?} is due");
        prop_assert!(due <= self.state.head().now || !wakes(due - TICK), "woken before {due:?}, when {why:?} is due");
        self.reached.insert(S::why_name(&why));
        Ok(())
    }

    /// Law: a shell that wakes the machine whenever something is due comes to rest.
    fn settles(&self) -> Law {
        let mut state = self.state.clone();
        let now = self.at.max(state.head().now);
        for _ in 0..WAKES_MAX {
            if state.deadline().is_none_or(|(due, _)| due > now) {
                return Ok(());
            }
            if let Ok(entry) = judge::<S>(&state, now, S::Machine::WAKE) {
                state.apply(&entry);
            }
        }
        Err(TestCaseError::fail(format!("still due after {WAKES_MAX} wakes: {:?}", state.deadline())))
    }
}

/// Law: judging allocates nothing.
fn judge<S: Subject>(machine: &S::Machine, at: Instant, command: Command<S>) -> Judgement<S> {
    let (answer, allocated) = allocations::during(|| machine.decide(at, command));
    assert_eq!(allocated, 0, "bytes allocated while judging {command:?}");
    answer
}

fn obligations<S: Subject>(machine: &S::Machine) -> Vec<Effect<S>> {
    let mut owed = Vec::new();
    machine.obligations(&mut |effect| owed.push(effect));
    owed
}

/// The machine as a restart finds it.
fn forgetful<M: Machine + Clone>(machine: &M) -> M {
    let mut machine = machine.clone();
    machine.forget();
    machine
}

/// Law: what was stored is read back unchanged.
fn read_back<T: Value>(value: &T) -> Result<T, TestCaseError> {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes);
    codec::decode::<T, DECODE_MAX>(&bytes).map_err(|bad| TestCaseError::fail(format!("{value:?}: {bad}")))
}
