//! What a machine under test supplies: scripts that reach all of it, and what its words mean.

use std::fmt::Debug;

use openrtc_core::machine::{self, Machine};
use openrtc_core::time::Instant;
use proptest::strategy::BoxedStrategy;
use proptest::test_runner::TestCaseError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What can be compared, shown and stored.
pub(crate) trait Value: Clone + Debug + PartialEq + Serialize + DeserializeOwned {}

impl<T: Clone + Debug + PartialEq + Serialize + DeserializeOwned> Value for T {}

/// A machine under test.
pub(crate) trait Subject {
    type Machine: Value
        + Machine<Command: Debug, Event: Value, Effect: Debug, Rejection: Debug + PartialEq, Why: Debug + PartialEq>;
    /// A command as it is drawn, not yet aimed at a state.
    type Step: Clone + Debug;

    /// Machines at the beginning of their lives.
    fn starts() -> BoxedStrategy<Self::Machine>;

    /// Steps, weighted so that whole scripts of them reach every event, rejection and time-out.
    fn steps() -> BoxedStrategy<Self::Step>;

    /// The command that a step means in this state at this time.
    fn aim(machine: &Self::Machine, at: Instant, step: &Self::Step) -> Command<Self>;

    /// Entries that nobody decided: any at all.
    fn strays() -> BoxedStrategy<Entry<Self>>;

    /// How far the machine has come in its life.
    fn rank(machine: &Self::Machine) -> u8;

    /// Whether this entry is the exception that takes the machine back.
    fn goes_back(entry: &Entry<Self>) -> bool;

    /// Whether a command that led to this entry has nothing left to do when it comes once more.
    fn is_idempotent(command: &Command<Self>, entry: &Entry<Self>) -> bool;

    /// Whether a rejection says that the command was obeyed already.
    fn is_repeat(rejection: &Rejection<Self>) -> bool;

    /// Whether nobody waits for this effect once the process that owed it is gone.
    fn dies_with_process(effect: &Effect<Self>) -> bool;

    /// Whether later entries made this effect wrong or pointless to perform in this state.
    fn is_moot(machine: &Self::Machine, effect: &Effect<Self>) -> bool;

    /// What must hold around each entry of this machine alone.
    fn check(
        _before: &Self::Machine,
        _entry: &Entry<Self>,
        _after: &Self::Machine,
        _effects: &[Effect<Self>],
    ) -> Result<(), TestCaseError> {
        Ok(())
    }

    /// What an entry, a rejection and a time-out are called in [`Subject::everything`].
    fn entry_name(entry: &Entry<Self>) -> &'static str;
    fn rejection_name(rejection: &Rejection<Self>) -> &'static str;
    fn why_name(why: &Why<Self>) -> &'static str;

    /// The names of everything that can happen. Scripts must reach all of it.
    fn everything() -> Vec<&'static str>;
}

pub(crate) type Command<S> = <<S as Subject>::Machine as Machine>::Command;
pub(crate) type Event<S> = <<S as Subject>::Machine as Machine>::Event;
pub(crate) type Entry<S> = machine::Entry<Event<S>>;
pub(crate) type Effect<S> = <<S as Subject>::Machine as Machine>::Effect;
pub(crate) type Rejection<S> = <<S as Subject>::Machine as Machine>::Rejection;
pub(crate) type Why<S> = <<S as Subject>::Machine as Machine>::Why;

/// Defines a list of names and the function that gives one, both from the same lines. The match is exhaustive, so a new
/// variant does not compile until it has a name, and then scripts must reach it.
macro_rules! names {
    ($list:ident, $name:ident, $type:ty, $($pattern:pat => $text:literal,)+) => {
        const $list: &[&str] = &[$($text),+];

        fn $name(value: &$type) -> &'static str {
            match value { $($pattern => $text),+ }
        }
    };
}
pub(crate) use names;
