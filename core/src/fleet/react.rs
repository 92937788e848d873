//! What a coordinator's shell must do about an entry, and what it still owes in a state.

use super::{
    Alert, Departure, DrainTerms, Effect, Event, Fleet, Member, MemberStatus, OrderInForce, Run, Stage, Stamp,
    StepKind, Task,
};
use crate::id::WorkerId;
use crate::machine::Sink;

impl Fleet {
    pub(super) fn derive(&self, event: &Event, effects: &mut impl Sink<Effect>) {
        match *event {
            Event::TookOver { .. } => self.owe(effects),
            Event::FencedOff(_) => effects.emit(Effect::Alert(Alert::FencedOff)),
            Event::ProvisionOrdered { .. } | Event::Scaled { .. } => self.owe_workers(effects),
            Event::VerifyFailed { .. } => effects.emit(Effect::Alert(Alert::VerifyFailed)),
            Event::Shifted { .. } => {
                self.owe_routes(effects);
                self.owe_results(effects);
            }
            Event::GatesSet { .. } | Event::Resumed { .. } => self.owe_results(effects),
            Event::GateFailed { gate, .. } => effects.emit(Effect::Alert(Alert::GateFailed(gate))),
            Event::CapacityBlocked { .. } => effects.emit(Effect::Alert(Alert::CapacityBlocked)),
            Event::WorkerRegistered { run, lost_before: Some(incarnation), .. } => {
                effects.emit(Effect::Alert(Alert::WorkerLost(Run { incarnation, ..run })));
            }
            Event::WorkerLost { run, .. } | Event::WorkerGone { run, departure: Departure::Vanished { .. } } => {
                effects.emit(Effect::Alert(Alert::WorkerLost(run)));
            }
            Event::WorkerRejected { run, reason, .. } => {
                let stamp = Stamp { epoch: self.epoch, order: self.seq };
                effects.emit(Effect::Reject { run, stamp, reason });
            }
            Event::DrainWithdrawn { run } => {
                effects.emit(Effect::Alert(Alert::DrainWithdrawn(run)));
                self.owe_order(run.worker, effects);
            }
            Event::DrainOverdue { run, .. } => effects.emit(Effect::Alert(Alert::DrainOverdue(run))),
            Event::DrainOrdered { run, .. }
            | Event::CancelOrdered { run }
            | Event::ServeOrdered { run, .. }
            | Event::StopOrdered { run, .. }
            | Event::DrainUndone { run, .. }
            | Event::Reissued { run }
            | Event::ForceOrdered { run, .. }
            | Event::WorkerFenced { run, .. }
            | Event::WorkerCordoned { run, .. }
            | Event::WorkerUncordoned { run, .. }
            | Event::WorkerDismissed { run, .. }
            | Event::ScaleInOrdered { run, .. }
            | Event::WorkerWrittenOff { run, .. } => self.owe_order(run.worker, effects),
            Event::DemandStated { .. }
            | Event::Planned { .. }
            | Event::Superseded { .. }
            | Event::VerifyingBegan { .. }
            | Event::ShiftingBegan { .. }
            | Event::WaveStarted { .. }
            | Event::VersionDrained { .. }
            | Event::Completed
            | Event::RollbackStarted { .. }
            | Event::RolledBack
            | Event::Paused { .. }
            | Event::GatePassed { .. }
            | Event::Promoted { .. }
            | Event::WorkerRegistered { lost_before: None, .. }
            | Event::WorkerDrained { .. }
            | Event::WorkerGone { departure: Departure::Exited { .. } | Departure::Stopped, .. }
            | Event::Acked { .. }
            | Event::CancelRefused { .. }
            | Event::WatchBegan
            | Event::WorkerReported(_)
            | Event::WorkerSilent { .. } => {}
        }
    }

    pub(super) fn owe(&self, effects: &mut impl Sink<Effect>) {
        if self.fenced_by().is_some() {
            effects.emit(Effect::Alert(Alert::FencedOff));
            return;
        }
        self.owe_routes(effects);
        self.owe_workers(effects);
        self.owe_results(effects);
        for gate in self.gates().failed.iter() {
            effects.emit(Effect::Alert(Alert::GateFailed(gate)));
        }
        if StepKind::ALL.into_iter().any(|step| self.is_blocked(step)) {
            effects.emit(Effect::Alert(Alert::CapacityBlocked));
        }
        if self.rollout.is_some_and(|rollout| rollout.stage == Stage::Failed) {
            effects.emit(Effect::Alert(Alert::VerifyFailed));
        }
        for (worker, member) in self.members.iter() {
            self.owe_order(worker, effects);
            alerts(member.run(worker), member, effects);
        }
    }

    fn owe_routes(&self, effects: &mut impl Sink<Effect>) {
        for (version, info) in &self.versions {
            effects.emit(Effect::Route { version: *version, weight: info.weight, epoch: self.epoch });
        }
    }

    /// Workers that were asked for and are waited for. How many are there already is for the platform to see.
    fn owe_workers(&self, effects: &mut impl Sink<Effect>) {
        if let Some((version, info)) = self.scaled().and_then(|version| self.versions.get_key_value(&version)) {
            effects.emit(Effect::Provision { version: *version, workers: info.workers, epoch: self.epoch });
        }
        let Some(rollout) = self.rollout.filter(|rollout| rollout.asked > 0) else { return };
        let waiting = matches!(rollout.stage, Stage::Provisioning | Stage::RollingBack);
        if let Some(version) = rollout.target().filter(|_| waiting) {
            effects.emit(Effect::Provision { version, workers: rollout.asked, epoch: self.epoch });
        }
    }

    /// The gates of the step that is reached are to be judged.
    fn owe_results(&self, effects: &mut impl Sink<Effect>) {
        let Some(step) = self.gated_step() else { return };
        for gate in self.gates_awaited().iter() {
            effects.emit(Effect::Judge { gate, step, epoch: self.epoch });
        }
    }

    fn owe_order(&self, worker: WorkerId, effects: &mut impl Sink<Effect>) {
        if let Some(order) = self.order_owed(worker) {
            effects.emit(order);
        }
    }

    /// The order in force to a worker, as long as it was not seen to obey: what a connection of it begins with.
    #[must_use]
    pub fn order_owed(&self, worker: WorkerId) -> Option<Effect> {
        let member = self.members.get(worker)?;
        let order = member.order.filter(OrderInForce::is_owed)?;
        let run = member.run(worker);
        let stamp = Stamp { epoch: self.epoch, order: order.stamp.order };
        Some(match order.task {
            Task::Cancel => Effect::CancelDrain { run, stamp },
            Task::Drain(terms) => Effect::OrderDrain { run, stamp, terms },
            Task::Force => Effect::ForceDrain { run, stamp },
            Task::Serve => Effect::Promote { run, stamp },
            Task::Stop => Effect::StopWorker { run, stamp },
        })
    }

    /// How a rollout's workers drain, and those that are fenced.
    pub(super) fn terms(&self) -> DrainTerms {
        let policy = self.policy();
        DrainTerms { within: policy.drain_timeout, on_deadline: policy.on_deadline }
    }
}

fn alerts(run: Run, member: &Member, effects: &mut impl Sink<Effect>) {
    if member.is_lost() && member.status != MemberStatus::WrittenOff {
        effects.emit(Effect::Alert(Alert::WorkerLost(run)));
    }
    if member.withdrawn {
        effects.emit(Effect::Alert(Alert::DrainWithdrawn(run)));
    }
    if member.order.is_some_and(|order| order.overdue) && !member.was_settled() {
        effects.emit(Effect::Alert(Alert::DrainOverdue(run)));
    }
}
