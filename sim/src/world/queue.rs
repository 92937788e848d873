//! Events by time, those of one moment in the order they were made.

use core::cmp::Ordering;
use std::collections::BinaryHeap;

use openrtc_core::fleet::Gate;
use openrtc_core::id::{Epoch, Incarnation};
use openrtc_core::time::Instant;

use super::network::{MailIndex, Say};
use crate::id::{AttemptIndex, CallIndex, Colour, CoordinatorIndex, WorkerIndex};

/// What can come due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Something about an attempt to place a call.
    Attempt(AttemptIndex, OfAttempt),
    CoordinatorBack,
    FleetWake(CoordinatorIndex),
    /// A gate was judged for a version at a share of new calls.
    GateResult(Gate, Colour, u8),
    Mail(MailIndex),
    Message(Say, AttemptIndex),
    Place(CallIndex),
    Redial(CallIndex),
    Route(Colour, u8, Epoch),
    /// Something about a run of a worker.
    Run(WorkerIndex, Incarnation, OfRun),
}

/// What can come due of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfAttempt {
    AssignTimeout,
    Fail,
    EndForced,
    OfferTimeout,
    Progress,
}

/// What can come due of a run of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfRun {
    Announced,
    Boot,
    Flushed,
    Gone,
    Heartbeat,
    Kill,
    Register,
    TimedStop,
    Wake,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    place: Place,
    event: Event,
}

/// When an event comes due and how many were made before it: one number, so that two are compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u128);

impl Place {
    fn new(at: Instant, order: u64) -> Self {
        Self(u128::from(at.as_micros()) << 64 | u128::from(order))
    }

    const fn at(self) -> Instant {
        Instant::from_micros((self.0 >> 64) as u64)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The heap gives out its greatest, so the earliest is the greatest here.
    fn cmp(&self, other: &Self) -> Ordering {
        other.place.cmp(&self.place)
    }
}

/// The events to come.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Due>,
    order: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.heap.push(Due { place: Place::new(at, self.order), event });
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|due| due.place.at())
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.heap.pop().map(|due| due.event)
    }
}
