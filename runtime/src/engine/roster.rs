//! The calls in flight with their ids, for the ops endpoint that lists them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrtc_core::id::{CallId, CallNo, Version};
use openrtc_core::journal::Batch;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Class, Event, Worker};

use super::ended::Ended;

/// A call in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// What the dispatcher calls it.
    pub(crate) id: CallId,
    /// Its kind.
    pub(crate) class: Class,
    /// When it was promised.
    pub(crate) since: Instant,
    /// When it last moved, as far as that was noted.
    pub(crate) moved: Instant,
    /// What it does.
    pub(crate) state: State,
    /// The version that serves it, if somebody said so.
    pub(crate) served_by: Option<Box<Version>>,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Promised, and not assigned yet.
    Reserved,
    /// It runs.
    Active,
    /// It runs, and has been silent for longer than its limit.
    Stalled,
}

/// Every call in flight as the journal has it. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster(Arc<Mutex<BTreeMap<CallNo, Listed>>>);

impl Roster {
    /// Folds in what was journaled.
    pub(crate) fn note(&self, batch: &Batch<Worker>) {
        let mut calls = self.calls();
        let mut ids = batch.ids.iter().peekable();
        for entry in &batch.entries {
            let (at, number) = (entry.at, CallNo::new(entry.seq.get()));
            let mut begun = |class, state| {
                // The ids of a batch are in the order of the calls that they begin.
                while ids.next_if(|(named, _)| *named < number).is_some() {}
                let id = ids.next_if(|(named, _)| *named == number).and_then(|(_, text)| CallId::new(text).ok());
                let id = id.unwrap_or(const { CallId::from_static("?") });
                calls.insert(number, Listed { id, class, since: at, moved: at, state, served_by: None });
            };
            match entry.event {
                Event::CallReserved { class, .. } => begun(class, State::Reserved),
                Event::CallAdmitted { class, .. } | Event::CallTakenOver { class, .. } => begun(class, State::Active),
                Event::CallAssigned { call } | Event::CallProgressed { call } => {
                    if let Some(call) = calls.get_mut(&call) {
                        (call.state, call.moved) = (State::Active, at);
                    }
                }
                Event::CallStalled { call } => {
                    if let Some(call) = calls.get_mut(&call) {
                        call.state = State::Stalled;
                    }
                }
                event => {
                    if let Some((call, _)) = Ended::by(&event) {
                        calls.remove(&call);
                    }
                }
            }
        }
    }

    /// At most `most` calls whose number is above `after`, oldest first, and whether there are more.
    pub(crate) fn page(&self, after: CallNo, most: usize) -> (Vec<(CallNo, Listed)>, bool) {
        let calls = self.calls();
        let mut rest = calls.range((Bound::Excluded(after), Bound::Unbounded));
        let page = rest.by_ref().take(most).map(|(number, call)| (*number, call.clone())).collect();
        (page, rest.next().is_some())
    }

    /// Notes which version serves a call.
    pub(crate) fn serve(&self, call: CallNo, version: Version) {
        if let Some(call) = self.calls().get_mut(&call) {
            call.served_by = Some(Box::new(version));
        }
    }

    /// The call with this number.
    pub(crate) fn get(&self, call: CallNo) -> Option<Listed> {
        self.calls().get(&call).cloned()
    }

    /// When the call was promised that has the lowest number, if there is one.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.calls().values().next().map(|call| call.since)
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<CallNo, Listed>> {
        // Whole between entries: only a bug in core can panic in the middle of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
