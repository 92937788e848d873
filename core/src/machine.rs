//! The shape that every state machine here has. Nothing else changes a machine's state.
//!
//! ```text
//!            command                 entry                      effect
//!  shell ──► decide ──► (journal) ──► apply ──► state ──► react ──► shell
//!            judges,                  folds,              derives,
//!            changes nothing          never fails         skipped on replay
//! ```
//!
//! The shell writes the entry that `decide` returns to the journal, applies it, and then performs what `react` asks
//! for. A crash between the journal and an effect loses only effects that [`Machine::obligations`] names again.
//!
//! Entries are of two kinds. A *decision* is stored, and carries the facts that it was judged on. An *observation*,
//! such as a worker's report, is applied like a decision but never stored: a restart begins without it. So folding the
//! stored decisions gives the live state, bit for bit, except for what [`Machine::forget`] blanks.

use core::error::Error;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::Seq;
use crate::time::{Instant, Span};

/// Receives what a machine emits. Every `FnMut(T)` is a sink: a closure, or a vector's `push` inside one.
pub trait Sink<T> {
    /// Takes one item.
    fn emit(&mut self, item: T);
}

impl<T, F: FnMut(T)> Sink<T> for F {
    fn emit(&mut self, item: T) {
        self(item);
    }
}

/// One event in its place: what the journal stores and the fold consumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<E> {
    /// Its number.
    pub seq: Seq,
    /// When it became true, never earlier than the entry before it.
    pub at: Instant,
    /// How far the command's clock stood behind the entry before it; zero for a clock that never steps back.
    pub behind: Span,
    /// What became true.
    pub event: E,
}

/// The number and the time of a machine's last decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last decision; zero before the first.
    pub seq: Seq,
    /// When the last decision was made.
    pub now: Instant,
}

impl Head {
    /// The entry that records `event` next. A clock behind the last entry is clamped to it, and the step is noted.
    #[must_use]
    pub fn entry<E>(self, at: Instant, event: E) -> Entry<E> {
        Entry { seq: self.seq.next(), ..self.observation(at, event) }
    }

    /// The entry of an observation. It takes no number of its own: it bears that of the last decision.
    #[must_use]
    pub fn observation<E>(self, at: Instant, event: E) -> Entry<E> {
        Entry { seq: self.seq, at: at.max(self.now), behind: self.now.since(at), event }
    }

    /// Whether an entry has the number and the time that the next one may have.
    pub(crate) fn precedes<E, R>(self, entry: &Entry<E>) -> Result<(), Misfit<R>> {
        let expected = self.seq.next();
        if entry.seq != expected {
            return Err(Misfit::Sequence { expected });
        }
        let clamped = entry.behind > Span::ZERO;
        if entry.at < self.now || (clamped && entry.at != self.now) {
            return Err(Misfit::Backwards { last: self.now });
        }
        Ok(())
    }
}

/// Why a command changed nothing, by who is at fault. The three kinds are each machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection<Repeat, Refused, Misuse> {
    /// Nobody is at fault: it was true already.
    Repeat(Repeat),
    /// Nobody is at fault: the answer is no.
    Refused(Refused),
    /// The caller is at fault: the command makes no sense here.
    Misuse(Misuse),
}

impl<Repeat, Refused, Misuse> Rejection<Repeat, Refused, Misuse> {
    /// Whether what the command asks for was true already.
    #[must_use]
    pub const fn is_repeat(&self) -> bool {
        matches!(self, Self::Repeat(_))
    }
}

impl<Repeat, Refused, Misuse> fmt::Display for Rejection<Repeat, Refused, Misuse>
where
    Repeat: fmt::Display,
    Refused: fmt::Display,
    Misuse: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeat(repeat) => repeat.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl<Repeat, Refused, Misuse> Error for Rejection<Repeat, Refused, Misuse> where Self: fmt::Debug + fmt::Display {}

/// Why an entry cannot follow the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit<R> {
    /// It happened before the entry before it.
    Backwards {
        /// When the entry before it became true.
        last: Instant,
    },
    /// It is an observation, which no journal holds.
    Observed,
    /// The command that could have led to it leads to another event here.
    Other,
    /// The command that could have led to it is turned away here.
    Rejected(R),
    /// It is not the next in sequence.
    Sequence {
        /// The number that should have come.
        expected: Seq,
    },
}

impl<R: fmt::Display> fmt::Display for Misfit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backwards { last } => write!(f, "it lies before the entry before it ({} µs)", last.as_micros()),
            Self::Observed => f.write_str("it is an observation, which no journal holds"),
            Self::Other => f.write_str("something else would have happened here"),
            Self::Rejected(rejection) => write!(f, "it could not have happened here: {rejection}"),
            Self::Sequence { expected } => write!(f, "entry #{expected} should have come here"),
        }
    }
}

impl<R> Error for Misfit<R> where Self: fmt::Debug + fmt::Display {}

/// A deterministic, event-sourced state machine.
pub trait Machine {
    /// What the world asks or reports. A timer that fires is a command too: [`Machine::WAKE`].
    type Command: Copy;
    /// What became true; the only thing that changes state.
    type Event: Copy + PartialEq;
    /// What the shell must now do.
    type Effect: Copy + PartialEq;
    /// Why a command changed nothing.
    type Rejection: Copy;
    /// Why a deadline exists.
    type Why: Copy;

    /// The command that reports a reached deadline.
    const WAKE: Self::Command;

    /// The number and the time of the last decision.
    fn head(&self) -> Head;

    /// Whether an event is an observation: never stored, and unknown after a restart. Numbers and the clock clamp
    /// advance with decisions only.
    fn is_observation(_event: &Self::Event) -> bool {
        false
    }

    /// Blanks what was observed. What remains is the state that folding the stored decisions gives.
    fn forget(&mut self) {}

    /// The event that a command leads to at `at`, which is not before the last entry. Changes nothing and allocates
    /// nothing.
    fn judge(&self, at: Instant, command: Self::Command) -> Result<Self::Event, Self::Rejection>;

    /// The command that alone can have led to an event in this state.
    fn command_behind(&self, event: &Self::Event) -> Self::Command;

    /// Judges again what led to an event: its equal comes out if the machine itself would have decided it here.
    fn retrace(&self, at: Instant, event: &Self::Event) -> Result<Self::Event, Self::Rejection> {
        self.judge(at, self.command_behind(event))
    }

    /// Judges a command and numbers its event. Changes nothing and allocates nothing.
    fn decide(&self, at: Instant, command: Self::Command) -> Result<Entry<Self::Event>, Self::Rejection> {
        let head = self.head();
        let event = self.judge(at.max(head.now), command)?;
        Ok(if Self::is_observation(&event) { head.observation(at, event) } else { head.entry(at, event) })
    }

    /// Whether the decision `entry` can follow this state: whether the machine itself would have made it, given the
    /// facts that it carries. A journal from outside must pass this check before it is folded.
    fn fits(&self, entry: &Entry<Self::Event>) -> Result<(), Misfit<Self::Rejection>> {
        if Self::is_observation(&entry.event) {
            return Err(Misfit::Observed);
        }
        self.head().precedes(entry)?;
        let event = self.retrace(entry.at, &entry.event).map_err(Misfit::Rejected)?;
        if event == entry.event { Ok(()) } else { Err(Misfit::Other) }
    }

    /// Applies a decision if it can follow this state, which `seen` is shown before; on a misfit nothing changes.
    fn follow(&mut self, entry: &Entry<Self::Event>, seen: impl FnOnce(&Self)) -> Result<(), Misfit<Self::Rejection>> {
        self.fits(entry)?;
        seen(self);
        self.apply(entry);
        Ok(())
    }

    /// Folds one entry in. Total and infallible; reads no clock.
    fn apply(&mut self, entry: &Entry<Self::Event>);

    /// Decides and applies at once. For callers that keep no journal, or write it afterwards.
    fn step(&mut self, at: Instant, command: Self::Command) -> Result<Entry<Self::Event>, Self::Rejection> {
        let entry = self.decide(at, command)?;
        self.apply(&entry);
        Ok(entry)
    }

    /// Derives what an entry just applied obliges the shell to do. Skipped on replay.
    fn react(&self, entry: &Entry<Self::Event>, effects: &mut impl Sink<Self::Effect>);

    /// The earliest time-out owed and its reason. [`Machine::WAKE`] is accepted at it and refused before it.
    fn deadline(&self) -> Option<(Instant, Self::Why)>;

    /// Every effect still owed in this state: what a shell performs again after a restart.
    fn obligations(&self, effects: &mut impl Sink<Self::Effect>);

    /// Whether the machine is over: nothing can follow.
    fn is_over(&self) -> bool {
        false
    }

    /// Whether the state hangs together: the machine's invariant, checked around every step in tests and on every
    /// state that is read from outside.
    fn is_sound(&self) -> bool;
}

/// Folds a journal into a machine.
pub fn fold<'a, M: Machine>(machine: &mut M, entries: impl IntoIterator<Item = &'a Entry<M::Event>>)
where
    M::Event: 'a,
{
    for entry in entries {
        machine.apply(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    type Answer = Rejection<&'static str, &'static str, &'static str>;

    #[test]
    fn a_repeat_is_what_was_true_already_and_no_refusal() {
        let answers = [Answer::Repeat("already"), Answer::Refused("no"), Answer::Misuse("nonsense")];
        assert_eq!(answers.map(|answer| answer.is_repeat()), [true, false, false]);
        assert_eq!(answers.map(|answer| answer.to_string()), ["already", "no", "nonsense"]);
    }

    #[test]
    fn a_decision_takes_the_next_number_and_an_observation_none() {
        let head = Head { seq: Seq::new(7), now: Instant::from_micros(100) };
        let placed = |entry: Entry<()>| (entry.seq.get(), entry.at.as_micros(), entry.behind.as_micros());
        assert_eq!(placed(head.entry(Instant::from_micros(130), ())), (8, 130, 0));
        assert_eq!(placed(head.entry(Instant::from_micros(70), ())), (8, 100, 30), "a clock that stepped back");
        assert_eq!(placed(head.observation(Instant::from_micros(130), ())), (7, 130, 0));
    }

    #[test]
    fn an_entry_follows_with_the_next_number_and_not_before_the_last() {
        let head = Head { seq: Seq::new(7), now: Instant::from_micros(100) };
        let follows = |seq, at, behind| {
            let (at, behind) = (Instant::from_micros(at), Span::from_micros(behind));
            head.precedes::<_, ()>(&Entry { seq: Seq::new(seq), at, behind, event: () })
        };
        for (seq, at, behind) in [(8, 100, 0), (8, 101, 0), (8, 100, 30)] {
            assert_eq!(follows(seq, at, behind), Ok(()), "#{seq} at {at}, {behind} behind");
        }
        let sequence = Misfit::Sequence { expected: Seq::new(8) };
        assert_eq!((follows(7, 100, 0), follows(9, 100, 0)), (Err(sequence), Err(sequence)));
        let backwards = Misfit::Backwards { last: head.now };
        assert_eq!(follows(8, 99, 0), Err(backwards));
        assert_eq!(follows(8, 101, 30), Err(backwards), "a clock that stepped back is held at the last entry");
    }
}
