//! The calls in flight.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::command::Class;
use crate::id::{CallId, CallNo, Seq};
use crate::time::{Instant, Span};

/// One call in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// What the dispatcher calls it.
    pub id: CallId,
    /// Its kind.
    pub class: Class,
    /// When it was promised.
    pub since: Instant,
    /// Whether it was assigned; a reservation is not.
    pub active: bool,
    /// When it last moved.
    pub moved: Instant,
    /// When it will be flagged unless it moves; `None` when it is flagged already or its class never is.
    pub stalls_at: Option<Instant>,
    /// Whether it is flagged as stalled.
    pub stalled: bool,
}

impl Call {
    /// Only an active call is watched or flagged, never both at once, and nothing has happened to it yet to come.
    fn is_sound(&self, now: Instant) -> bool {
        let unwatched = self.stalls_at.is_none();
        self.since <= self.moved
            && self.moved <= now
            && (unwatched || !self.stalled)
            && (self.active || (unwatched && !self.stalled))
    }
}

/// The calls in flight by number, with the two queues that deadlines come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(CallNo, Call)>", into = "Vec<(CallNo, Call)>")]
pub struct Calls {
    live: BTreeMap<CallNo, Call>,
    /// Reservations in the order they were made, which is the order they lapse in.
    reserved: BTreeSet<CallNo>,
    /// When each watched call will be flagged.
    watched: BTreeSet<(Instant, CallNo)>,
}

impl Calls {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// How many are reserved and not yet assigned.
    #[must_use]
    pub fn reserved(&self) -> usize {
        self.reserved.len()
    }

    /// How many are flagged as stalled.
    #[must_use]
    pub fn stalled(&self) -> usize {
        self.live.values().filter(|call| call.stalled).count()
    }

    /// The call with this number.
    #[must_use]
    pub fn get(&self, call: CallNo) -> Option<&Call> {
        self.live.get(&call)
    }

    /// Every call, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (CallNo, &Call)> {
        self.live.iter().map(|(number, call)| (*number, call))
    }

    /// The reservation that lapses first, and when it was made.
    pub(super) fn first_reserved(&self) -> Option<(CallNo, Instant)> {
        let number = self.reserved.first()?;
        Some((*number, self.live.get(number)?.since))
    }

    /// The call that will be flagged first, and when.
    pub(super) fn first_to_stall(&self) -> Option<(Instant, CallNo)> {
        self.watched.first().copied()
    }

    pub(super) fn insert(&mut self, number: CallNo, call: Call) {
        self.remove(number);
        self.index(number, &call);
        self.live.insert(number, call);
    }

    pub(super) fn remove(&mut self, number: CallNo) -> Option<Call> {
        let call = self.live.remove(&number)?;
        self.unindex(number, &call);
        Some(call)
    }

    /// Notes that a call moved at `now` (or was assigned): it is active, not stalled, and watched anew.
    pub(super) fn moved(&mut self, number: CallNo, now: Instant, limit: Option<Span>) {
        self.change(number, |call| {
            call.active = true;
            call.moved = now;
            call.stalls_at = limit.map(|limit| now + limit);
            call.stalled = false;
        });
    }

    /// Flags a call; it is watched again once it moves.
    pub(super) fn flag(&mut self, number: CallNo) {
        self.change(number, |call| {
            call.stalls_at = None;
            call.stalled = true;
        });
    }

    /// Whether these can be the calls of a worker at `now` whose last entry was `seq`.
    pub(super) fn is_sound(&self, now: Instant, seq: Seq) -> bool {
        let reserved = self.live.iter().filter(|(_, call)| !call.active).map(|(number, _)| number);
        let lapses_in_order = self.live.values().filter(|call| !call.active).is_sorted_by_key(|call| call.since);
        let numbered = self.live.keys().all(|number| (1..=seq.get()).contains(&number.get()));
        reserved.eq(self.reserved.iter())
            && lapses_in_order
            && numbered
            && self.live.values().all(|call| call.is_sound(now))
    }

    fn change(&mut self, number: CallNo, change: impl FnOnce(&mut Call)) {
        if let Some(mut call) = self.remove(number) {
            change(&mut call);
            self.insert(number, call);
        }
    }

    fn index(&mut self, number: CallNo, call: &Call) {
        if !call.active {
            self.reserved.insert(number);
        }
        if let Some(at) = call.stalls_at {
            self.watched.insert((at, number));
        }
    }

    fn unindex(&mut self, number: CallNo, call: &Call) {
        self.reserved.remove(&number);
        if let Some(at) = call.stalls_at {
            self.watched.remove(&(at, number));
        }
    }
}

impl From<Vec<(CallNo, Call)>> for Calls {
    fn from(list: Vec<(CallNo, Call)>) -> Self {
        let mut calls = Self::default();
        for (number, call) in list {
            calls.insert(number, call);
        }
        calls
    }
}

impl From<Calls> for Vec<(CallNo, Call)> {
    fn from(calls: Calls) -> Self {
        calls.live.into_iter().collect()
    }
}
