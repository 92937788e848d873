//! When a run is over, and what is still pending if it does not get there: liveness with a reason.

use openrtc_core::fleet::{Gate, Rollout, Stage, View};
use openrtc_core::word::Phase;

use super::{Invariant, State, VERSIONS, World};
use crate::ledger::Fate;

/// Why a run has not come to its end.
pub(super) enum Pending {
    /// Somebody failed to do what was due.
    Fault(Invariant, Option<u32>, String),
    /// It waits for something that nobody in it owes.
    Waits(String),
}

impl World<'_> {
    /// Whether everything has happened and everybody is done.
    pub(super) fn is_finished(&self) -> bool {
        self.next_call == self.plan.calls.len()
            && self.next_happening == self.plan.happenings.len()
            && self.ledger.open() == 0
            && self.pending().is_none()
    }

    /// The first thing that still has to happen.
    pub(super) fn pending(&self) -> Option<Pending> {
        (0..self.plan.workers()).find_map(|worker| self.pending_of(worker)).or_else(|| self.pending_rollout())
    }

    fn pending_of(&self, worker: u32) -> Option<Pending> {
        let node = &self.nodes[worker as usize];
        let name = self.name(worker);
        match (node.state, node.machine.phase()) {
            (State::Absent | State::Gone, _) => None,
            (State::Booting, _) => Some(Pending::Waits(format!("{name} is starting"))),
            (State::Up, Phase::Draining) => {
                let held = node.holding();
                let waiting = held.iter().map(|attempt| self.attempts[*attempt as usize].call);
                let over: Vec<_> = waiting.filter(|call| self.ledger.line(*call).fate.is_final()).collect();
                Some(match over.first() {
                    Some(call) if self.is_phantom(*call) => Pending::Waits(format!(
                        "{name} drains and waits for call {call}, whose hang-up never arrived: a person must force it"
                    )),
                    Some(call) => Pending::Fault(
                        Invariant::DrainEnds,
                        Some(worker),
                        format!("{name} drains and still holds call {call}, which is over"),
                    ),
                    None if held.is_empty() => {
                        Pending::Fault(Invariant::DrainEnds, Some(worker), format!("{name} drains with no call left"))
                    }
                    None => Pending::Waits(format!("{name} drains and has {} calls", held.len())),
                })
            }
            (State::Up, Phase::Drained) if node.machine.drain().is_some_and(|drain| drain.sealed) => Some(
                Pending::Fault(Invariant::DrainedLeaves, Some(worker), format!("{name} is drained and does not leave")),
            ),
            (State::Up, phase) if node.signals > 0 && phase < Phase::Draining => {
                let what = format!("{name} was told to leave and goes on {phase}");
                Some(Pending::Fault(Invariant::DrainEnds, Some(worker), what))
            }
            (State::Up, _) => {
                let ghost = node.holding().into_iter().find(|attempt| {
                    let call = self.attempts[*attempt as usize].call;
                    self.ledger.line(call).fate.is_final() && !self.is_phantom(call)
                })?;
                let call = self.attempts[ghost as usize].call;
                let what = format!("{name} still holds call {call}, which is over");
                Some(Pending::Fault(Invariant::DrainEnds, Some(worker), what))
            }
        }
    }

    fn is_phantom(&self, call: u32) -> bool {
        self.plan.calls[call as usize].kind == crate::plan::Kind::Phantom
            && self.ledger.line(call).fate == Fate::Completed
    }

    fn pending_rollout(&self) -> Option<Pending> {
        let fleet = &self.in_office().fleet;
        let rollout = fleet.rollout()?;
        if matches!(rollout.stage, Stage::Completed | Stage::RolledBack) {
            return self.pending_end(rollout);
        }
        if rollout.stage == Stage::Failed {
            return None;
        }
        if fleet.paused().is_some() {
            return (self.now < self.horizon).then(|| Pending::Waits("the rollout is paused".to_owned()));
        }
        let lost = fleet.members().iter().find(|(_, member)| member.view == View::Lost);
        if let Some((worker, _)) = lost {
            return Some(Pending::Waits(format!(
                "the rollout waits for {worker}, which is lost: a person must give it up"
            )));
        }
        if Gate::ALL.into_iter().any(|gate| fleet.is_blocked(gate)) {
            return Some(Pending::Waits("the rollout waits for capacity and said so".to_owned()));
        }
        let what = format!("the rollout stays {} and says nothing", rollout.stage.as_str());
        Some(Pending::Fault(Invariant::RolloutEnds, None, what))
    }

    /// A rollout that is over has left every call to one version and no process to the other.
    fn pending_end(&self, rollout: &Rollout) -> Option<Pending> {
        let stage = rollout.stage.as_str();
        let place = |version| VERSIONS.iter().position(|known| Some(*known) == version);
        if let Some(stays) = place(rollout.target())
            && self.dispatcher.weight(stays) < 100
        {
            let weight = self.dispatcher.weight(stays);
            let what = format!("the rollout is {stage} and {} gets {weight} % of new calls", VERSIONS[stays]);
            return Some(Pending::Fault(Invariant::CallsFollow, None, what));
        }
        let goes = place(rollout.leaving())?;
        let left = (0..self.plan.workers()).find(|worker| {
            let node = &self.nodes[*worker as usize];
            node.version == goes && node.state == State::Up
        })?;
        let what = format!("the rollout is {stage} and {} still runs", self.name(left));
        Some(Pending::Fault(Invariant::OldVersionLeaves, Some(left), what))
    }

    /// What a run that stopped at its horizon came to.
    pub(super) fn conclude(&mut self) {
        if self.violation.is_some() || self.finished {
            return;
        }
        match self.pending() {
            None => {}
            Some(Pending::Fault(invariant, worker, what)) => self.violate(invariant, worker, what),
            Some(Pending::Waits(what)) => self.unknown = self.unknown.take().or(Some(what)),
        }
        if !self.ledger.balances() {
            self.violate(Invariant::OfferConservation, None, "the ledger does not balance".to_owned());
        }
    }

    /// Runs to the end and says what it came to.
    pub(crate) fn finish_run(&mut self) {
        while self.step() {}
        self.conclude();
    }
}
