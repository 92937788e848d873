//! What a worker's entries tell of its calls: when each began, and how it was left.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{CallId, CallNo, Digest, Ids, Incarnation};
use crate::time::Instant;
use crate::worker::{EndReason, Entry, Event, Origin, Worker};

/// What a run's records tell of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLine {
    /// Its number in this run.
    pub number: CallNo,
    /// What the dispatcher calls it.
    pub id: CallId,
    /// When this run promised it or took it over.
    pub began: Instant,
    /// Where it comes from, if an earlier run promised it.
    pub origin: Option<Origin>,
    /// How the records leave it.
    pub left: Left,
}

/// How a run's records leave a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Left {
    /// It was open when they ended.
    Open,
    /// It ended.
    Ended {
        /// When it ended.
        at: Instant,
        /// Why it ended.
        reason: EndReason,
    },
    /// It was reserved and not assigned in time.
    Lapsed {
        /// When that was over.
        at: Instant,
    },
    /// It goes on in another run of the same worker.
    HandedOver {
        /// When it went.
        at: Instant,
        /// That run.
        to: Incarnation,
    },
}

impl Left {
    /// When the call left this run; `None` if it did not.
    #[must_use]
    pub const fn at(self) -> Option<Instant> {
        match self {
            Self::Open => None,
            Self::Ended { at, .. } | Self::Lapsed { at } | Self::HandedOver { at, .. } => Some(at),
        }
    }
}

/// Every call of a run, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallLines(BTreeMap<CallNo, CallLine>);

impl CallLines {
    /// Notes what an entry says of a call. `state` is the worker before it, `ids` what its calls are called.
    pub fn enter(&mut self, state: &Worker, ids: &impl Ids, entry: &Entry) {
        let at = entry.at;
        match entry.event {
            Event::CallAdmitted { id, .. } | Event::CallReserved { id, .. } => self.begin(ids, entry, id, None),
            Event::CallTakenOver { id, origin, .. } => self.begin(ids, entry, id, Some(origin)),
            Event::CallEnded { call, reason } => self.leave(state, ids, call, Left::Ended { at, reason }),
            Event::ReservationLapsed { call } => self.leave(state, ids, call, Left::Lapsed { at }),
            Event::CallHandedOver { call, to } => self.leave(state, ids, call, Left::HandedOver { at, to }),
            Event::StoodBy
            | Event::ServingBegan { .. }
            | Event::CallAssigned { .. }
            | Event::CallProgressed { .. }
            | Event::CallStalled { .. }
            | Event::CallsDeclined { .. }
            | Event::DrainBegun { .. }
            | Event::DrainSealed { .. }
            | Event::DrainTightened { .. }
            | Event::DrainExtended { .. }
            | Event::DrainCancelled { .. }
            | Event::DrainOverdue { .. }
            | Event::DrainForced { .. }
            | Event::Drained
            | Event::Exited { .. }
            | Event::OrderTaken { .. } => {}
        }
    }

    /// Adds what earlier records say of a call, or what later ones add to it: where it comes from is told once.
    pub fn insert(&mut self, mut line: CallLine) {
        if let Some(known) = self.0.get(&line.number) {
            line.origin = line.origin.or(known.origin);
            if line.left == Left::Open {
                line.left = known.left;
            }
        }
        self.0.insert(line.number, line);
    }

    /// The calls, oldest first.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &CallLine> {
        self.0.values()
    }

    /// The calls, oldest first.
    #[must_use]
    pub fn into_lines(self) -> impl ExactSizeIterator<Item = CallLine> {
        self.0.into_values()
    }

    fn begin(&mut self, ids: &impl Ids, entry: &Entry, digest: Digest, origin: Option<Origin>) {
        let number = CallNo::new(entry.seq.get());
        let id = name(ids, number, digest);
        self.0.insert(number, CallLine { number, id, began: entry.at, origin, left: Left::Open });
    }

    /// A call that began before the entries that are there is known from the worker's state.
    fn leave(&mut self, state: &Worker, ids: &impl Ids, number: CallNo, left: Left) {
        if let Some(line) = self.0.get_mut(&number) {
            line.left = left;
        } else if let Some(call) = state.calls().get(number) {
            let (id, began) = (name(ids, number, call.id), call.since);
            self.0.insert(number, CallLine { number, id, began, origin: None, left });
        }
    }
}

fn name(ids: &impl Ids, number: CallNo, digest: Digest) -> CallId {
    ids.id(number).unwrap_or_else(|| CallId::unnamed(digest))
}
