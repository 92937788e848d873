//! Events by time, those of one moment in the order they were made.

use core::cmp::Ordering;
use std::collections::BinaryHeap;

use openrtc_core::id::Epoch;

use crate::plan::Message;

/// What can come due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Announced(u32, u32, bool),
    AssignTimeout(u32),
    Boot(u32, u32),
    CoordinatorBack,
    Fail(u32),
    FleetWake(u32),
    Flushed(u32, u32),
    Gone(u32, u32),
    Goodbye(u32),
    Heartbeat(u32, u32),
    Kill(u32, u32),
    Mail(u32),
    Message(Message, u32),
    OfferTimeout(u32),
    Place(u32),
    Progress(u32),
    Redial(u32),
    Register(u32, u32),
    Route(u32, u8, Epoch),
    TimedStop(u32, u32),
    Wake(u32, u32),
}

#[derive(Clone, Copy, Debug)]
struct Due {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
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
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// The events to come.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Due>,
    order: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.heap.push(Due { at, order: self.order, event });
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|due| due.at)
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.heap.pop().map(|due| due.event)
    }
}
