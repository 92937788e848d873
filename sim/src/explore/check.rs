//! What must hold in a small world: after every step, and where nothing is owed any more.

use openrtc_core::machine::Machine;
use openrtc_core::word::Phase;
use openrtc_core::worker::Availability;

use super::model::{letter, narrow};
use super::state::{Fate, State};
use crate::bug::Bug;
use crate::oracle::Invariant;

impl State {
    /// Whether what the machines say, what they announced and what the world sees are one.
    pub(super) fn check(&mut self) {
        for worker in 0..self.nodes.len() {
            if let Some((invariant, what)) = self.odd(worker) {
                self.violate(invariant, format!("worker {} {what}", letter(narrow(worker))));
            }
        }
        self.check_quiet();
    }

    fn odd(&self, worker: usize) -> Option<(Invariant, String)> {
        let node = &self.nodes[worker];
        if !node.is_up {
            return None;
        }
        let machine = &node.machine;
        let (live, counted) = (node.promises.len(), machine.word().in_flight() as usize);
        let reserved = machine.calls().reserved();
        let (availability, announced) = (machine.availability(), node.announced);
        let early = self.has(Bug::CountsFromActive) && machine.phase() == Phase::Draining;
        if early && reserved > 0 && reserved == machine.calls().len() {
            Some((Invariant::DrainedSound, format!("left as drained with {reserved} calls reserved")))
        } else if live > machine.limits().capacity as usize {
            Some((Invariant::Capacity, format!("said yes to {live} calls, more than it may hold")))
        } else if live != counted {
            Some((
                Invariant::OfferConservation,
                format!("holds {live} calls by what it said and {counted} by its books"),
            ))
        } else if machine.phase() == Phase::Drained && live > 0 {
            Some((Invariant::DrainedSound, format!("says it is drained and holds {live} calls")))
        } else if announced != availability {
            let closed = availability == Availability::Closed;
            let invariant = if closed { Invariant::ShiftClosed } else { Invariant::CancelServes };
            let takes = if closed { "takes no calls" } else { "takes calls" };
            Some((invariant, format!("{takes} and the dispatcher was not told")))
        } else {
            None
        }
    }

    /// Liveness: where nothing is owed any more, everything is where it belongs.
    pub(super) fn check_quiet(&mut self) {
        let mut owed = Vec::new();
        self.inner_steps(&mut owed);
        if !owed.is_empty() {
            return;
        }
        if let Some(call) = self.calls.iter().position(|line| line.fate == Fate::Placing) {
            self.violate(Invariant::OfferConservation, format!("call {call} waits for an answer that nobody owes"));
        }
        for worker in 0..self.nodes.len() {
            if let Some((invariant, what)) = self.stuck(worker) {
                self.violate(invariant, format!("worker {} {what}", letter(narrow(worker))));
            }
        }
    }

    fn stuck(&self, worker: usize) -> Option<(Invariant, String)> {
        let node = &self.nodes[worker];
        if !node.is_up {
            return None;
        }
        let machine = &node.machine;
        if machine.deadline().is_some() {
            return Some((Invariant::OverdueAlerts, "has a time-out due and nobody wakes it".to_owned()));
        }
        let ghost = node.promises.iter().find(|promise| self.calls[usize::from(promise.call)].fate.is_over());
        if let Some(ghost) = ghost {
            return Some((Invariant::DrainEnds, format!("still holds call {}, which is over", ghost.call)));
        }
        match machine.phase() {
            Phase::Draining if node.promises.is_empty() => {
                Some((Invariant::DrainEnds, "drains with no call left".to_owned()))
            }
            Phase::Drained if machine.drain().is_some_and(|drain| drain.sealed) => {
                Some((Invariant::DrainedLeaves, "is drained and does not leave".to_owned()))
            }
            phase if node.signals > 0 && phase < Phase::Draining => {
                Some((Invariant::DrainEnds, "was told to leave and goes on serving".to_owned()))
            }
            _ => None,
        }
    }
}
