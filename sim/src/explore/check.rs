//! What must hold in a small world: after every step, and where nothing is owed any more.

use openrtc_core::machine::Machine;
use openrtc_core::word::Phase;

use super::node::Node;
use super::state::{Context, Fate, State};
use crate::oracle::Invariant;

impl State {
    /// Whether what the machines say, what they announced and what the world sees are one.
    pub(super) fn check(&mut self) {
        for worker in self.workers() {
            if let Some((invariant, what)) = self.nodes[worker].process.fault() {
                self.context.violate(invariant, format!("worker {worker} {what}"));
            }
        }
        self.check_quiet();
    }

    /// Liveness: where nothing is owed any more, everything is where it belongs.
    fn check_quiet(&mut self) {
        let mut owed = Vec::new();
        self.inner_steps(&mut owed);
        if !owed.is_empty() {
            return;
        }
        if let Some(call) = self.context.calls.iter().position(|line| line.fate == Fate::Placing) {
            let what = format!("call {call} waits for an answer that nobody owes");
            self.context.violate(Invariant::OfferConservation, what);
        }
        for worker in self.workers() {
            if let Some((invariant, what)) = stuck(&self.nodes[worker], &self.context) {
                self.context.violate(invariant, format!("worker {worker} {what}"));
            }
        }
    }
}

fn stuck(Node { process, .. }: &Node, context: &Context) -> Option<(Invariant, String)> {
    if !process.is_up() {
        return None;
    }
    let machine = &process.machine;
    if machine.deadline().is_some() {
        return Some((Invariant::OverdueAlerts, "has a time-out due and nobody wakes it".to_owned()));
    }
    if let Some((ghost, _)) = process.promises.held().find(|(offer, _)| context.calls[offer.call].fate.is_over()) {
        return Some((Invariant::DrainEnds, format!("still holds call {}, which is over", ghost.call)));
    }
    match machine.phase() {
        _ if process.must_go() => Some((Invariant::DrainedLeaves, "is drained and does not leave".to_owned())),
        phase if process.signals > 0 && phase < Phase::Draining => {
            Some((Invariant::DrainEnds, "was told to leave and goes on serving".to_owned()))
        }
        _ => None,
    }
}

/// What no bug of a worker leads to is forged.
#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::super::node::Offer;
    use super::super::state::{Caller, Letter, Message, Round, Say};
    use super::*;

    fn world() -> State {
        State::new(&Scope::default(), None)
    }

    fn broken(state: &State) -> Option<Invariant> {
        state.violation().map(|(invariant, _)| *invariant)
    }

    #[test]
    fn a_call_that_waits_for_an_answer_that_nobody_owes_is_seen() {
        let mut state = world();
        state.check();
        assert_eq!(broken(&state), None);
        state.context.calls[0].fate = Fate::Placing;
        state.check();
        assert_eq!(broken(&state), Some(Invariant::OfferConservation));
    }

    #[test]
    fn a_call_that_runs_on_two_workers_is_seen() {
        let offer = Offer { call: Caller::new(0), round: Round::new(1) };
        let message = |say, worker| Message::new(say, Letter::new(worker), offer);
        for (runs, invariant) in [(Fate::Placing, None), (Fate::Talking, Some(Invariant::NoMove))] {
            let mut state = world();
            state.take_offer(message(Say::Offer, 1));
            let line = &mut state.context.calls[0];
            (line.fate, line.round) = (runs, offer.round);
            state.take_assignment(message(Say::Assign, 1));
            assert_eq!(broken(&state), invariant);
        }
    }
}
