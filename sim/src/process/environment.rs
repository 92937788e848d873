//! The environment of a process: where its messages go, and who hears what becomes of its calls.

use openrtc_core::time::Instant;
use openrtc_core::worker::{Availability, Command, Entry, Rejection};

use super::{Process, Promises, Stage};
use crate::oracle::Invariant;

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// It left after a forced drain.
    Forced,
    /// The platform killed it, or it crashed.
    Killed,
    /// It left by itself, and no call that it held was forced.
    Left,
}

/// The environment of one process. Methods with a body concern what only some environments have.
pub(crate) trait Environment<B: Promises> {
    /// What the process's clock shows.
    fn now(&self, process: &Process<B>) -> Instant;

    /// An invariant does not hold. `what` gets the worker's name.
    fn violated(&mut self, invariant: Invariant, what: impl FnOnce(&str) -> String);

    /// The machine has judged a command that the process was given, about an offer if it reserves a place for one.
    fn judged(
        &mut self,
        _at: Instant,
        _command: Command,
        _offer: Option<B::Offer>,
        _decided: &Result<Entry, Rejection>,
    ) {
    }

    /// An entry is in the journal.
    fn journaled(&mut self, _entry: &Entry) {}

    /// The worker as a whole has changed, not one of its calls. It tells its coordinator how it is.
    fn changed(&mut self, _process: &Process<B>, _entry: &Entry) {}

    /// It tells the dispatcher whether it takes calls.
    fn announced(&mut self, availability: Availability);

    /// It tells the dispatcher that it no longer keeps a place for a call.
    fn lapsed(&mut self, offer: B::Offer);

    /// A call is no longer held.
    fn released(&mut self, _offer: B::Offer) {}

    /// Every call that it holds is told to end.
    fn cancel_calls(&mut self, process: &Process<B>);

    /// It begins to write its last record.
    fn begin_flush(&mut self);

    /// A call was cut that nobody had forced.
    fn cut(&mut self, offer: B::Offer);

    /// It leaves, and says that it dropped so many calls.
    fn exits(&mut self, _dropped: u64) {}

    /// A call that it held is gone with it.
    fn lost(&mut self, offer: B::Offer, stage: Stage, death: Death);

    /// Whether the end of its journal is lost with it.
    fn loses_journal_end(&mut self, _death: Death) -> bool {
        false
    }

    /// It is over.
    fn died(&mut self, process: &Process<B>, death: Death);
}
