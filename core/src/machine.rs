//! The shape every state machine here has: four verbs, and nothing else changes state.
//!
//! ```text
//!            command                 entry                      effect
//!  shell ──► decide ──► (journal) ──► apply ──► state ──► react ──► shell
//!            judges,                  folds,              derives,
//!            changes nothing          never fails         skipped on replay
//! ```
//!
//! The shell writes what `decide` emitted to the journal, then applies it, then performs what `react` asks for. A
//! crash between the journal and an effect loses only effects that [`Machine::obligations`] names again.

use crate::time::Instant;

/// Receives what a machine emits. Any `FnMut(T)` is one, so a closure, a vector's `push` or a ring serves.
pub trait Sink<T> {
    /// Takes one item.
    fn emit(&mut self, item: T);
}

impl<T, F: FnMut(T)> Sink<T> for F {
    fn emit(&mut self, item: T) {
        self(item);
    }
}

/// A deterministic, event-sourced state machine.
pub trait Machine {
    /// What the world asks or reports. A timer that fires is a command too: [`Machine::WAKE`].
    type Command: Copy;
    /// What became true; the only thing that changes state.
    type Entry: Copy;
    /// What the shell must now do.
    type Effect: Copy + PartialEq;
    /// Why a command changed nothing.
    type Rejection: Copy;
    /// Why a deadline exists.
    type Why: Copy;

    /// At most this many entries come out of one command.
    const ENTRIES_MAX: usize;
    /// The command that reports a reached deadline.
    const WAKE: Self::Command;

    /// Judges a command; emits entries; changes nothing and allocates nothing.
    fn decide(
        &self,
        at: Instant,
        command: Self::Command,
        entries: &mut impl Sink<Self::Entry>,
    ) -> Result<(), Self::Rejection>;

    /// Folds one entry in. Total and infallible; reads no clock.
    fn apply(&mut self, entry: &Self::Entry);

    /// Derives what an entry just applied obliges the shell to do. Skipped on replay.
    fn react(&self, entry: &Self::Entry, effects: &mut impl Sink<Self::Effect>);

    /// The earliest time-out owed and its reason. [`Machine::WAKE`] is accepted at it and refused before it.
    fn deadline(&self) -> Option<(Instant, Self::Why)>;

    /// Every effect still owed in this state: what a shell performs again after a restart.
    fn obligations(&self, effects: &mut impl Sink<Self::Effect>);
}

/// Folds a journal into a machine.
pub fn fold<'a, M: Machine>(machine: &mut M, entries: impl IntoIterator<Item = &'a M::Entry>)
where
    M::Entry: 'a,
{
    for entry in entries {
        machine.apply(entry);
    }
}
