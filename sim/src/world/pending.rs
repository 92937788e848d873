//! When a run is over, and what is still pending if it does not get there: liveness with a reason.

use openrtc_core::fleet::{Gate, GateSet, Rollout, Stage, StepKind};
use openrtc_core::word::Phase;

use super::workers::Node;
use super::{Life, World};
use crate::id::{CallIndex, Colour, WorkerIndex};
use crate::ledger::Fate;
use crate::oracle::Invariant;
use crate::plan::Kind;

/// Why a run has not come to its end.
enum Pending {
    /// Somebody failed to do what was due.
    Fault(Invariant, Option<WorkerIndex>, String),
    /// It waits for something that nobody in it owes.
    Waits(String),
}

impl World<'_> {
    /// Whether everything has happened and everybody is done.
    pub(super) fn is_finished(&self) -> bool {
        let plan = self.context.scene.plan;
        self.callers.all_have_called(plan)
            && self.next_happening == plan.happenings.len()
            && self.context.books.ledger.open() == 0
            && self.pending().is_none()
    }

    /// The first thing that still has to happen.
    fn pending(&self) -> Option<Pending> {
        let of_workers = self.workers.list.iter().find_map(|node| self.pending_of(node));
        of_workers.or_else(|| self.pending_cordon()).or_else(|| self.pending_rollout())
    }

    fn pending_of(&self, node: &Node) -> Option<Pending> {
        let worker = node.host.worker;
        let name = || self.context.scene.name(worker);
        match (node.life(), node.machine().phase()) {
            (Life::Absent | Life::Gone, _) => None,
            (Life::Booting, _) => Some(Pending::Waits(format!("{} is starting", name()))),
            (Life::Up, Phase::Draining) => Some(self.pending_drain(node, &name())),
            (Life::Up, _) if node.process.must_go() => {
                let what = format!("{} is drained and does not leave", name());
                Some(Pending::Fault(Invariant::DrainedLeaves, Some(worker), what))
            }
            (Life::Up, phase) if node.process.signals > 0 && phase < Phase::Draining => {
                let what = format!("{} was told to leave and goes on {phase}", name());
                Some(Pending::Fault(Invariant::DrainEnds, Some(worker), what))
            }
            (Life::Up, _) => {
                let call = self.over(node).find(|call| !self.is_phantom(*call))?;
                let what = format!("{} still holds call {call}, which is over", name());
                Some(Pending::Fault(Invariant::DrainEnds, Some(worker), what))
            }
        }
    }

    /// Whoever a person took out of service drains, and leaves if that was asked.
    fn pending_cordon(&self) -> Option<Pending> {
        let cordoned = self.coordinators.fleet().members().iter().filter(|(_, member)| member.status.is_cordoned());
        let mut up = cordoned.filter(|(_, member)| !member.is_lost()).filter_map(|(worker, member)| {
            let worker = self.context.scene.plan.worker_named(worker.as_str())?;
            let node = &self.workers.list[worker];
            node.runs_as(member.incarnation).then_some((node, member.status))
        });
        up.find_map(|(node, status)| {
            let (worker, phase) = (node.host.worker, node.machine().phase());
            let name = self.context.scene.name(worker);
            if phase < Phase::Draining {
                let what = format!("{name} is cordoned and takes calls");
                return Some(Pending::Fault(Invariant::CordonHolds, Some(worker), what));
            }
            let what = format!("{name} was to drain and leave, and stays");
            status.leaves().then_some(Pending::Fault(Invariant::DrainedLeaves, Some(worker), what))
        })
    }

    fn pending_drain(&self, node: &Node, name: &str) -> Pending {
        let held = node.process.held().count();
        let fault = |what| Pending::Fault(Invariant::DrainEnds, Some(node.host.worker), what);
        match self.over(node).next() {
            Some(call) if self.is_phantom(call) => Pending::Waits(format!(
                "{name} drains and waits for call {call}, whose hang-up never arrived: a person must force it"
            )),
            Some(call) => fault(format!("{name} drains and still holds call {call}, which is over")),
            None if held == 0 => fault(format!("{name} drains with no call left")),
            None => Pending::Waits(format!("{name} drains and has {held} calls")),
        }
    }

    /// The calls that a worker still holds although their fate is settled.
    fn over(&self, node: &Node) -> impl Iterator<Item = CallIndex> {
        let held = node.process.held().map(|offer| self.context.network.attempt(offer).call);
        held.filter(|call| self.context.books.ledger.line(*call).fate.is_final())
    }

    fn is_phantom(&self, call: CallIndex) -> bool {
        self.context.scene.plan.calls[call].kind == Kind::Phantom
            && self.context.books.ledger.line(call).fate == Fate::Completed
    }

    fn pending_rollout(&self) -> Option<Pending> {
        let fleet = self.coordinators.fleet();
        let rollout = fleet.rollout()?;
        if matches!(rollout.stage, Stage::Completed | Stage::RolledBack) {
            return self.pending_end(rollout);
        }
        if rollout.stage == Stage::Failed {
            return None;
        }
        if fleet.paused().is_some() {
            return (self.context.scene.now < self.horizon).then(|| Pending::Waits("the rollout is paused".to_owned()));
        }
        let lost = fleet.members().iter().find(|(_, member)| member.is_lost());
        if let Some((worker, _)) = lost {
            return Some(Pending::Waits(format!(
                "the rollout waits for {worker}, which is lost: a person must give it up"
            )));
        }
        if StepKind::ALL.into_iter().any(|step| fleet.is_blocked(step)) {
            return Some(Pending::Waits("the rollout waits for capacity and said so".to_owned()));
        }
        if fleet.gates_awaited() == GateSet::NONE.with(Gate::Person) {
            return Some(Pending::Waits("the rollout waits for a person".to_owned()));
        }
        let what = format!("the rollout stays {} and says nothing", rollout.stage.as_str());
        Some(Pending::Fault(Invariant::RolloutEnds, None, what))
    }

    /// A rollout that is over has left every call to one version and no process to the other.
    fn pending_end(&self, rollout: &Rollout) -> Option<Pending> {
        let stage = rollout.stage.as_str();
        let colour = |version: Option<_>| version.and_then(Colour::of);
        if let Some(stays) = colour(rollout.target())
            && self.dispatcher.weight(stays) < 100
        {
            let weight = self.dispatcher.weight(stays);
            let what = format!("the rollout is {stage} and {} gets {weight} % of new calls", stays.version());
            return Some(Pending::Fault(Invariant::CallsFollow, None, what));
        }
        let goes = colour(rollout.leaving())?;
        let left = self.workers.list.iter().find(|node| node.colour() == goes && node.process.is_up())?;
        let left = left.host.worker;
        let what = format!("the rollout is {stage} and {} still runs", self.context.scene.name(left));
        Some(Pending::Fault(Invariant::OldVersionLeaves, Some(left), what))
    }

    /// What a run that stopped at its horizon came to.
    fn conclude(&mut self) {
        if self.violation().is_some() || self.is_over {
            return;
        }
        let (pending, balances) = (self.pending(), self.context.books.ledger.balances());
        let scene = &mut self.context.scene;
        match pending {
            None => {}
            Some(Pending::Fault(invariant, worker, what)) => scene.violate(invariant, worker, what),
            Some(Pending::Waits(what)) => scene.doubt(|| what),
        }
        if !balances {
            scene.violate(Invariant::OfferConservation, None, "the ledger does not balance".to_owned());
        }
    }

    /// Runs to the end and says what it came to.
    pub(crate) fn finish_run(&mut self) {
        while self.step() {}
        self.conclude();
    }
}
