//! The fleet machine under the laws.

mod starts;
mod steps;
mod strays;

use openrtc_core::fleet::invariant::{self, Office};
use openrtc_core::fleet::{
    Alert, Command, Departure, Effect, Entry, Event, Fleet, Misuse, OrderInForce, PauseReason, Refused, RejectReason,
    Rejection, Repeat, Run, Stage, Stamp, StepKind, Task, Why,
};
use openrtc_core::time::Instant;
use proptest::prelude::*;

use self::steps::Step;
use crate::subject::{Subject, names};

pub(crate) struct FleetSubject;

impl Subject for FleetSubject {
    type Machine = Fleet;
    type Step = Step;

    fn starts() -> BoxedStrategy<Fleet> {
        starts::fleets()
    }

    fn steps() -> BoxedStrategy<Step> {
        steps::steps()
    }

    fn aim(fleet: &Fleet, _at: Instant, step: &Step) -> Command {
        step.aim(fleet)
    }

    fn strays() -> BoxedStrategy<Entry> {
        strays::entries()
    }

    fn rank(fleet: &Fleet) -> u8 {
        fleet.rollout().map_or(0, |rollout| rollout.stage as u8)
    }

    fn goes_back(entry: &Entry) -> bool {
        matches!(entry.event, Event::Planned { .. })
    }

    /// A wake is for whatever is due then; a term is taken over once; and who is turned away is told so each time.
    fn is_idempotent(command: &Command, entry: &Entry) -> bool {
        match command {
            Command::Wake | Command::TakeOver { .. } => false,
            Command::Register { .. } => matches!(entry.event, Event::WorkerRegistered { .. }),
            Command::Report(_) => matches!(entry.event, Event::WorkerReported(_)),
            Command::Demand { .. } | Command::Gone { .. } | Command::Judge { .. } | Command::Request { .. } => true,
        }
    }

    fn is_repeat(rejection: &Rejection) -> bool {
        rejection.is_repeat()
    }

    /// A rejection is an answer: whoever did not get it asks again. A lost worker may have left the fleet, and then
    /// only the journal tells of it.
    fn dies_with_process(effect: &Effect) -> bool {
        matches!(effect, Effect::Reject { .. } | Effect::Alert(Alert::WorkerLost(_)))
    }

    /// Effects are levels, not edges: each says what a part of the state is now. A coordinator out of office owes
    /// nobody anything but to say so.
    fn is_moot(fleet: &Fleet, effect: &Effect) -> bool {
        let fenced = fleet.fenced_by().is_some();
        let other_term = effect.epoch().is_some_and(|epoch| epoch != fleet.epoch());
        match *effect {
            Effect::Alert(Alert::FencedOff) => !fenced,
            _ if fenced || other_term => true,
            Effect::Alert(Alert::CapacityBlocked) => !StepKind::ALL.into_iter().any(|step| fleet.is_blocked(step)),
            Effect::Alert(Alert::DrainOverdue(run)) => {
                let member = fleet.members().of(run).filter(|member| !member.drained);
                member.and_then(|member| member.order).is_none_or(|order| !order.overdue)
            }
            Effect::Alert(Alert::DrainWithdrawn(run)) => fleet.members().of(run).is_none_or(|member| !member.withdrawn),
            Effect::Alert(Alert::GateFailed(gate)) => !fleet.gates().failed.has(gate),
            Effect::Judge { gate, step, .. } => fleet.gated_step() != Some(step) || !fleet.gates_awaited().has(gate),
            Effect::Alert(Alert::VerifyFailed) => stage(fleet) != Some(Stage::Failed),
            Effect::Alert(Alert::WorkerLost(_)) | Effect::Reject { .. } => true,
            Effect::CancelDrain { run, stamp } => is_answered(fleet, run, stamp, |task| task == Task::Cancel),
            Effect::ForceDrain { run, stamp } => is_answered(fleet, run, stamp, |task| task == Task::Force),
            Effect::OrderDrain { run, stamp, terms } => {
                is_answered(fleet, run, stamp, |task| task == Task::Drain(terms))
            }
            Effect::Promote { run, stamp } => is_answered(fleet, run, stamp, |task| task == Task::Serve),
            Effect::StopWorker { run, stamp } => is_answered(fleet, run, stamp, |task| task == Task::Stop),
            Effect::Provision { version, workers, .. } => {
                let waits = matches!(stage(fleet), Some(Stage::Provisioning | Stage::RollingBack));
                let rollout = fleet.rollout().filter(|_| waits);
                let wanted = fleet.versions().get(&version).map(|info| info.workers);
                if fleet.scaled() == Some(version) && wanted == Some(workers) {
                    return false;
                }
                rollout.is_none_or(|rollout| (rollout.target(), rollout.asked) != (Some(version), workers))
            }
            Effect::Route { version, weight, .. } => {
                fleet.versions().get(&version).is_none_or(|info| info.weight != weight)
            }
        }
    }

    fn check(before: &Fleet, entry: &Entry, after: &Fleet, effects: &[Effect]) -> Result<(), TestCaseError> {
        let verdict = invariant::entry(before, entry)
            .and_then(|()| invariant::outcome(Office::from(before), entry, after, effects));
        verdict.map_err(|breach| TestCaseError::fail(format!("after {:?}: {breach}", entry.event)))
    }

    fn entry_name(entry: &Entry) -> &'static str {
        event_name(&entry.event)
    }

    fn rejection_name(rejection: &Rejection) -> &'static str {
        rejection_name(rejection)
    }

    fn why_name(why: &Why) -> &'static str {
        why_name(why)
    }

    fn everything() -> Vec<&'static str> {
        // A worker that was told to stop says nothing to that: it is gone. A full fleet is too large for many scripts,
        // and has a test of its own.
        let never = ["Acked(Stop)", "WorkersFull"];
        [EVENTS, REJECTIONS, WHYS].concat().into_iter().filter(|name| !never.contains(name)).collect()
    }
}

fn stage(fleet: &Fleet) -> Option<Stage> {
    fleet.rollout().map(|rollout| rollout.stage)
}

/// Whether an order is obeyed, overtaken by another, or addressed to a run that is gone.
fn is_answered(fleet: &Fleet, run: Run, stamp: Stamp, is: impl Fn(Task) -> bool) -> bool {
    let order = fleet.members().of(run).and_then(|member| member.order).filter(OrderInForce::is_owed);
    order.is_none_or(|order| order.stamp.order != stamp.order || !is(order.task))
}

names!(
    EVENTS, event_name, Event,
    Event::TookOver { .. } => "TookOver",
    Event::FencedOff(_) => "FencedOff",
    Event::DemandStated { .. } => "DemandStated",
    Event::Planned { .. } => "Planned",
    Event::Superseded { .. } => "Superseded",
    Event::ProvisionOrdered { .. } => "ProvisionOrdered",
    Event::VerifyingBegan { .. } => "VerifyingBegan",
    Event::VerifyFailed { .. } => "VerifyFailed",
    Event::ShiftingBegan { .. } => "ShiftingBegan",
    Event::Shifted { .. } => "Shifted",
    Event::CapacityBlocked { step: StepKind::Shift, .. } => "CapacityBlocked(Shift)",
    Event::CapacityBlocked { step: StepKind::Wave, .. } => "CapacityBlocked(Wave)",
    Event::WaveStarted { .. } => "WaveStarted",
    Event::VersionDrained { .. } => "VersionDrained",
    Event::Completed => "Completed",
    Event::RollbackStarted { .. } => "RollbackStarted",
    Event::RolledBack => "RolledBack",
    Event::Paused { reason: PauseReason::Asked, .. } => "Paused(Asked)",
    Event::Paused { reason: PauseReason::DrainWithdrawn, .. } => "Paused(DrainWithdrawn)",
    Event::Paused { reason: PauseReason::GateFailed, .. } => "Paused(GateFailed)",
    Event::GatesSet { .. } => "GatesSet",
    Event::GatePassed { .. } => "GatePassed",
    Event::GateFailed { .. } => "GateFailed",
    Event::Promoted { .. } => "Promoted",
    Event::Scaled { .. } => "Scaled",
    Event::ScaleInOrdered { .. } => "ScaleInOrdered",
    Event::Resumed { .. } => "Resumed",
    Event::WorkerRegistered { lost_before: None, .. } => "WorkerRegistered",
    Event::WorkerRegistered { lost_before: Some(_), .. } => "WorkerRegistered(LostBefore)",
    Event::WorkerRejected { reason: RejectReason::StaleIncarnation, .. } => "WorkerRejected(StaleIncarnation)",
    Event::WorkerRejected { reason: RejectReason::VersionNotAllowed, .. } => "WorkerRejected(VersionNotAllowed)",
    Event::WorkerRejected { reason: RejectReason::WrittenOff, .. } => "WorkerRejected(WrittenOff)",
    Event::WorkerLost { .. } => "WorkerLost",
    Event::WorkerFenced { .. } => "WorkerFenced",
    Event::WorkerCordoned { .. } => "WorkerCordoned",
    Event::WorkerUncordoned { .. } => "WorkerUncordoned",
    Event::WorkerDismissed { .. } => "WorkerDismissed",
    Event::WorkerDrained { .. } => "WorkerDrained",
    Event::WorkerGone { departure: Departure::Exited { .. }, .. } => "WorkerGone(Exited)",
    Event::WorkerGone { departure: Departure::Stopped, .. } => "WorkerGone(Stopped)",
    Event::WorkerGone { departure: Departure::Vanished { .. }, .. } => "WorkerGone(Vanished)",
    Event::WorkerWrittenOff { .. } => "WorkerWrittenOff",
    Event::DrainOrdered { .. } => "DrainOrdered",
    Event::CancelOrdered { .. } => "CancelOrdered",
    Event::ServeOrdered { .. } => "ServeOrdered",
    Event::StopOrdered { .. } => "StopOrdered",
    Event::ForceOrdered { .. } => "ForceOrdered",
    Event::Acked { task: Task::Cancel, .. } => "Acked(Cancel)",
    Event::Acked { task: Task::Drain(_), .. } => "Acked(Drain)",
    Event::Acked { task: Task::Force, .. } => "Acked(Force)",
    Event::Acked { task: Task::Serve, .. } => "Acked(Serve)",
    Event::Acked { task: Task::Stop, .. } => "Acked(Stop)",
    Event::CancelRefused { .. } => "CancelRefused",
    Event::DrainUndone { .. } => "DrainUndone",
    Event::DrainWithdrawn { .. } => "DrainWithdrawn",
    Event::DrainOverdue { .. } => "DrainOverdue",
    Event::WatchBegan => "WatchBegan",
    Event::WorkerReported(_) => "WorkerReported",
    Event::WorkerSilent { .. } => "WorkerSilent",
    Event::Reissued { .. } => "Reissued",
);

names!(
    REJECTIONS, rejection_name, Rejection,
    Rejection::Repeat(Repeat::AlreadyCordoned) => "AlreadyCordoned",
    Rejection::Repeat(Repeat::AlreadyDismissed) => "AlreadyDismissed",
    Rejection::Repeat(Repeat::AlreadyDrained) => "AlreadyDrained",
    Rejection::Repeat(Repeat::AlreadyFenced) => "AlreadyFenced",
    Rejection::Repeat(Repeat::AlreadyForced) => "AlreadyForced",
    Rejection::Repeat(Repeat::AlreadyGone) => "AlreadyGone",
    Rejection::Repeat(Repeat::AlreadyJudged) => "AlreadyJudged",
    Rejection::Repeat(Repeat::AlreadyPaused) => "AlreadyPaused",
    Rejection::Repeat(Repeat::AlreadyPlanned) => "AlreadyPlanned",
    Rejection::Repeat(Repeat::AlreadyRegistered) => "AlreadyRegistered",
    Rejection::Repeat(Repeat::AlreadyScaled) => "AlreadyScaled",
    Rejection::Repeat(Repeat::AlreadyRollingBack) => "AlreadyRollingBack",
    Rejection::Repeat(Repeat::DemandNoted) => "DemandNoted",
    Rejection::Repeat(Repeat::GatesNoted) => "GatesNoted",
    Rejection::Repeat(Repeat::NoGateWaits) => "NoGateWaits",
    Rejection::Repeat(Repeat::NotCordoned) => "NotCordoned",
    Rejection::Repeat(Repeat::NotPaused) => "NotPaused",
    Rejection::Repeat(Repeat::ReportNoted) => "ReportNoted",
    Rejection::Refused(Refused::Fenced { .. }) => "Fenced",
    Rejection::Refused(Refused::GateFailed) => "Refused(GateFailed)",
    Rejection::Refused(Refused::OtherStep) => "OtherStep",
    Rejection::Refused(Refused::CallsMove) => "CallsMove",
    Rejection::Refused(Refused::NothingServes) => "NothingServes",
    Rejection::Refused(Refused::LeaseExpired) => "LeaseExpired",
    Rejection::Refused(Refused::NeverDeployed { .. }) => "NeverDeployed",
    Rejection::Refused(Refused::NothingBefore) => "NothingBefore",
    Rejection::Refused(Refused::NotRegistered) => "NotRegistered",
    Rejection::Refused(Refused::RolloutOver) => "RolloutOver",
    Rejection::Refused(Refused::SentAway) => "SentAway",
    Rejection::Refused(Refused::Stale) => "Stale",
    Rejection::Refused(Refused::Unknown) => "Unknown",
    Rejection::Refused(Refused::VersionRetired) => "VersionRetired",
    Rejection::Refused(Refused::VersionsFull) => "VersionsFull",
    Rejection::Refused(Refused::WorkersFull) => "WorkersFull",
    Rejection::Misuse(Misuse::AlreadyCurrent) => "AlreadyCurrent",
    Rejection::Misuse(Misuse::BadSpec(_)) => "BadSpec",
    Rejection::Misuse(Misuse::EpochAhead) => "EpochAhead",
    Rejection::Misuse(Misuse::GateNotAsked) => "GateNotAsked",
    Rejection::Misuse(Misuse::PersonDecides) => "PersonDecides",
    Rejection::Misuse(Misuse::NoSuchWorker) => "NoSuchWorker",
    Rejection::Misuse(Misuse::NotDraining) => "NotDraining",
    Rejection::Misuse(Misuse::NotDue) => "NotDue",
    Rejection::Misuse(Misuse::NoRollout) => "NoRollout",
    Rejection::Misuse(Misuse::ReportImpossible) => "ReportImpossible",
    Rejection::Misuse(Misuse::VersionChanged) => "VersionChanged",
);

names!(
    WHYS, why_name, Why,
    Why::Watch => "Why::Watch",
    Why::Worker(_) => "Why::Worker",
    Why::Step => "Why::Step",
    Why::Verify => "Why::Verify",
);
