//! The calls in flight.

use alloc::vec::Vec;

use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use super::Limits;
use super::command::Class;
use crate::id::{CallNo, Digest, Seq};
use crate::pages::{Pages, Place};
use crate::time::Instant;

/// One call in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its id, digested.
    pub id: Digest,
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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Vec<(CallNo, Call)>")]
pub struct Calls {
    live: Pages<CallNo, Call>,
    /// Reservations in the order they were made, which is the order they lapse in, and when each was made.
    reserved: Pages<CallNo, Instant>,
    /// When each watched call will be flagged.
    watched: Pages<Watch, ()>,
    /// How many are flagged.
    stalled: usize,
}

/// When a call will be flagged, and which: one number, so that it is compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Watch(u128);

impl Watch {
    const fn new(at: Instant, call: CallNo) -> Self {
        Self((at.as_micros() as u128) << 64 | call.get() as u128)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is the call's number")]
    const fn parts(self) -> (Instant, CallNo) {
        (Instant::from_micros((self.0 >> 64) as u64), CallNo::new(self.0 as u64))
    }
}

impl Calls {
    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.live.len() == 0
    }

    /// How many are reserved and not yet assigned.
    #[must_use]
    pub const fn reserved(&self) -> usize {
        self.reserved.len()
    }

    /// How many are flagged as stalled.
    #[must_use]
    pub const fn stalled(&self) -> usize {
        self.stalled
    }

    /// The call with this number.
    #[must_use]
    pub fn get(&self, call: CallNo) -> Option<&Call> {
        self.place(call).map(|place| self.at(place))
    }

    /// Where the call with this number lies, so that it is searched for once.
    pub(super) fn place(&self, call: CallNo) -> Option<Place> {
        self.live.place(call)
    }

    pub(super) fn at(&self, place: Place) -> &Call {
        self.live.at(place)
    }

    /// Every call, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (CallNo, &Call)> {
        self.live.iter()
    }

    /// The reservations in the order they lapse, and when each was made.
    pub(super) fn reservations(&self) -> impl Iterator<Item = (CallNo, Instant)> {
        self.reserved.iter().map(|(call, since)| (call, *since))
    }

    /// The reservation that lapses first, and when it was made.
    pub(super) fn first_reservation(&self) -> Option<(CallNo, Instant)> {
        self.reserved.first().map(|(call, since)| (call, *since))
    }

    /// The calls that will be flagged, in that order, and when.
    pub(super) fn watched(&self) -> impl Iterator<Item = (Instant, CallNo)> {
        self.watched.iter().map(|(watch, ())| watch.parts())
    }

    /// The call that will be flagged first, and when.
    pub(super) fn first_watched(&self) -> Option<(Instant, CallNo)> {
        self.watched.first().map(|(watch, ())| watch.parts())
    }

    pub(super) fn insert(&mut self, number: CallNo, call: Call) {
        if let Some(before) = self.live.insert(number, call) {
            self.unindex(number, before);
        }
        self.index(number, call);
    }

    pub(super) fn remove(&mut self, place: Option<Place>) {
        let Some(place) = place else { return };
        let (number, call) = self.live.remove(place);
        self.unindex(number, call);
    }

    /// Notes that a call moved at `now` (or was assigned): it is active, not stalled, and watched anew.
    pub(super) fn moved(&mut self, place: Option<Place>, now: Instant, limits: &Limits) {
        self.change(place, |call| {
            call.active = true;
            call.moved = now;
            call.stalls_at = limits.stall_limit(call.class).map(|limit| now + limit);
            call.stalled = false;
        });
    }

    /// Flags a call; it is watched again once it moves.
    pub(super) fn flag(&mut self, place: Option<Place>) {
        self.change(place, |call| {
            call.stalls_at = None;
            call.stalled = true;
        });
    }

    /// Whether these can be the calls of a worker at `now` whose last entry was `seq`.
    pub(super) fn is_sound(&self, now: Instant, seq: Seq) -> bool {
        let reserved = self.iter().filter(|(_, call)| !call.active).map(|(number, call)| (number, call.since));
        let lapses_in_order = self.reservations().is_sorted_by_key(|(_, since)| since);
        let numbered = self.iter().all(|(number, _)| (1..=seq.get()).contains(&number.get()));
        reserved.eq(self.reservations())
            && lapses_in_order
            && numbered
            && self.iter().all(|(_, call)| call.is_sound(now))
    }

    fn change(&mut self, place: Option<Place>, change: impl FnOnce(&mut Call)) {
        let Some(place) = place else { return };
        let (number, call) = self.live.at_mut(place);
        let before = *call;
        change(call);
        let after = *call;
        self.unindex(number, before);
        self.index(number, after);
    }

    fn index(&mut self, number: CallNo, call: Call) {
        self.stalled += usize::from(call.stalled);
        if !call.active {
            self.reserved.insert(number, call.since);
        }
        if let Some(at) = call.stalls_at {
            self.watched.insert(Watch::new(at, number), ());
        }
    }

    fn unindex(&mut self, number: CallNo, call: Call) {
        self.stalled -= usize::from(call.stalled);
        let reservation = (!call.active).then_some(number);
        if let Some(place) = reservation.and_then(|number| self.reserved.place(number)) {
            self.reserved.remove(place);
        }
        let watch = call.stalls_at.map(|at| Watch::new(at, number));
        if let Some(place) = watch.and_then(|watch| self.watched.place(watch)) {
            self.watched.remove(place);
        }
    }
}

/// The queues follow from the calls.
impl PartialEq for Calls {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Calls {}

impl From<Vec<(CallNo, Call)>> for Calls {
    fn from(list: Vec<(CallNo, Call)>) -> Self {
        let mut calls = Self::default();
        for (number, call) in list {
            calls.insert(number, call);
        }
        calls
    }
}

impl Serialize for Calls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        for call in self.live.iter() {
            list.serialize_element(&call)?;
        }
        list.end()
    }
}
