//! A fleet's entries and effects in words, for people.

mod asked;

use core::fmt::{Display, Formatter, Result};

use super::command::{Run, Spec};
use super::effect::{Alert, Effect};
use super::event::{Departure, Event, PauseReason, RejectReason, StepKind};
use super::gate::{Gate, GateSet, GatedStep, OnGateFailure};
use super::member::{DrainTerms, Task};
use super::room::Room;
use crate::prose::count;

impl Display for Event {
    #[expect(clippy::too_many_lines, reason = "a line or three for each event, and nothing else")]
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let calls = |number: &u32| count(*number, "call");
        let are = |number: &u32| if *number == 1 { "is" } else { "are" };
        match self {
            Self::TookOver { epoch, actor } => write!(f, "{actor} takes over, term {epoch}"),
            Self::FencedOff(report) => write!(f, "stands back: {} obeys a later coordinator", report.run),
            Self::DemandStated { calls: most } => write!(f, "room for {} is needed", calls(most)),
            Self::Planned { actor, spec } => write!(f, "begins {spec}, asked by {actor}"),
            Self::Superseded { actor, spec } => write!(f, "gives up the rollout for {spec}, asked by {actor}"),
            Self::ProvisionOrdered { version, workers, .. } => {
                write!(f, "asks the platform for {} of {version}", count(*workers, "worker"))
            }
            Self::VerifyingBegan { .. } => f.write_str("waits until the new workers are ready"),
            Self::VerifyFailed { ready } => {
                write!(f, "fails: only {} {} ready in time", count(*ready, "new worker"), are(ready))
            }
            Self::ShiftingBegan { .. } => f.write_str("the new workers are ready"),
            Self::Shifted { to, weight, .. } => write!(f, "{to} gets {weight} % of new calls"),
            Self::CapacityBlocked { step, room: Room { need, have, .. } } => {
                write!(f, "{step} waits for room: {need} calls need it, there is room for {have}")
            }
            Self::WaveStarted { version, wave, size, .. } => {
                write!(f, "wave {wave}: {} of {version} {} to drain", count(*size, "worker"), are(size))
            }
            Self::VersionDrained { version } => write!(f, "{version} has drained: no worker of it has a call left"),
            Self::Completed => f.write_str("the rollout is done"),
            Self::RollbackStarted { actor } => write!(f, "goes back to the old version, asked by {actor}"),
            Self::RolledBack => f.write_str("the rollout is taken back"),
            Self::Paused { actor, reason } => write!(f, "pauses, by {actor}: {reason}"),
            Self::GatesSet { actor, asked, on_failure } => {
                write_gates(f, *asked, *on_failure).and_then(|()| write!(f, ", by {actor}"))
            }
            Self::GatePassed { gate, step } => write!(f, "{gate} lets {step} go on"),
            Self::GateFailed { gate, step } => write!(f, "{gate} does not let {step} go on"),
            Self::Promoted { actor, step } => write!(f, "{step} goes on, by {actor}"),
            Self::Scaled { actor, version, workers } => {
                write!(f, "{version} is to have {}, by {actor}", count(*workers, "worker"))
            }
            Self::ScaleInOrdered { run, usable, .. } => write!(f, "tells {run} to drain and leave, one of {usable}"),
            Self::Resumed { actor } => write!(f, "goes on, by {actor}"),
            Self::WorkerRegistered { run, version, lost_before } => {
                let before = if lost_before.is_some() { ", its earlier run was never seen to drain" } else { "" };
                write!(f, "{run} joins with {version}{before}")
            }
            Self::WorkerRejected { run, version, reason } => write!(f, "{run} with {version} is kept out: {reason}"),
            Self::WorkerLost { run, live, .. } => write!(f, "{run} is lost, last heard with {}", calls(live)),
            Self::WorkerFenced { run, actor } => write!(f, "{run} is to be kept out, by {actor}"),
            Self::WorkerCordoned { run, actor } => write!(f, "{run} is to take no new calls, by {actor}"),
            Self::WorkerUncordoned { run, actor } => write!(f, "{run} may take calls again, by {actor}"),
            Self::WorkerDismissed { run, actor, terms } => {
                write!(f, "{run} is to {} and leave, by {actor}", Task::Drain(*terms))
            }
            Self::WorkerDrained { run, .. } => write!(f, "{run} has drained"),
            Self::WorkerGone { run, departure } => write!(f, "{run} is gone: {departure}"),
            Self::WorkerWrittenOff { run, actor, live } => {
                write!(f, "{run} is given up by {actor}, and {} with it", calls(live))
            }
            Self::DrainOrdered { run, terms, .. } => write!(f, "tells {run} to {}", Task::Drain(*terms)),
            Self::CancelOrdered { run } => write!(f, "tells {run} to {}", Task::Cancel),
            Self::ServeOrdered { run, .. } => write!(f, "tells {run} to {}", Task::Serve),
            Self::StopOrdered { run, .. } => write!(f, "tells {run} to {}", Task::Stop),
            Self::ForceOrdered { run, actor, facts } => {
                write!(f, "tells {run} to end its {}, by {actor}", calls(&facts.in_flight))
            }
            Self::Acked { run, task, .. } => write!(f, "{run} was seen to {task}"),
            Self::CancelRefused { run, .. } => write!(f, "{run} can no longer take calls again"),
            Self::DrainUndone { run, .. } => write!(f, "{run} drains no more: somebody took that back"),
            Self::DrainWithdrawn { run } => write!(f, "withdraws the drain of {run}: no sign that it arrived"),
            Self::DrainOverdue { run, live } => write!(f, "the drain of {run} is overdue with {} left", calls(live)),
            Self::WatchBegan => f.write_str("begins to listen to its workers"),
            Self::WorkerReported(report) => {
                write!(f, "{} is {} with {}", report.run, report.facts.phase, calls(&report.facts.in_flight))
            }
            Self::WorkerSilent { run } => write!(f, "{run} has not reported for too long: unknown"),
            Self::Reissued { run } => write!(f, "tells {run} again"),
        }
    }
}

fn write_gates(f: &mut Formatter<'_>, asked: GateSet, on_failure: OnGateFailure) -> Result {
    if asked.is_empty() {
        return f.write_str("no step is judged by a gate");
    }
    f.write_str("each step is judged by ")?;
    for (place, gate) in asked.iter().enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        write!(f, "{comma}{gate}")?;
    }
    let then = match on_failure {
        OnGateFailure::Pause => "pauses the rollout",
        OnGateFailure::Undo => "takes the rollout back",
    };
    write!(f, "; a failure {then}")
}

impl Display for Effect {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Alert(alert) => write!(f, "alert: {alert}"),
            Self::CancelDrain { run, .. } => write!(f, "{run}: {}", Task::Cancel),
            Self::ForceDrain { run, .. } => write!(f, "{run}: {}", Task::Force),
            Self::Judge { gate, step, .. } => write!(f, "{gate}: judge {step}"),
            Self::OrderDrain { run, terms, .. } => write!(f, "{run}: {}", Task::Drain(*terms)),
            Self::Promote { run, .. } => write!(f, "{run}: {}", Task::Serve),
            Self::Provision { version, workers, .. } => {
                write!(f, "platform: run {} of {version}", count(*workers, "worker"))
            }
            Self::Reject { run, reason, .. } => write!(f, "{run}: leave, {reason}"),
            Self::Route { version, weight, .. } => write!(f, "dispatchers: {version} gets {weight} % of new calls"),
            Self::StopWorker { run, .. } => write!(f, "platform: end {run}"),
        }
    }
}

impl Display for Alert {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::CapacityBlocked => f.write_str("a step waits for capacity"),
            Self::DrainOverdue(run) => write!(f, "the drain of {run} is overdue"),
            Self::DrainWithdrawn(run) => write!(f, "the drain of {run} was withdrawn: no sign that it arrived"),
            Self::GateFailed(gate) => write!(f, "{gate} does not let the rollout go on"),
            Self::FencedOff => f.write_str("a later coordinator is in office"),
            Self::VerifyFailed => f.write_str("the new workers were not ready in time"),
            Self::WorkerLost(run) => write!(f, "{run} is lost"),
        }
    }
}

impl Display for Run {
    /// The worker's name, and which run of it where that is not the first.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.incarnation.get() {
            0 | 1 => write!(f, "{}", self.worker),
            later => write!(f, "{} (run {later})", self.worker),
        }
    }
}

impl Display for Spec {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { version, workers, policy } = self;
        write!(f, "the rollout of {version} to {}, {} at a time", count(*workers, "worker"), policy.wave)?;
        write!(f, ", {}", DrainTerms { within: policy.drain_timeout, on_deadline: policy.on_deadline })
    }
}

impl Display for DrainTerms {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.within {
            Some(within) => write!(f, "within {within}, then {}", self.on_deadline.as_str()),
            None => f.write_str("for as long as calls last"),
        }
    }
}

impl Display for Task {
    /// What the worker is told to do: `tells blue-0 to …`.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Cancel => f.write_str("take calls again"),
            Self::Drain(terms) => write!(f, "drain, {terms}"),
            Self::Force => f.write_str("end its calls"),
            Self::Serve => f.write_str("take calls"),
            Self::Stop => f.write_str("leave"),
        }
    }
}

impl Display for StepKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Shift => "the shift of calls",
            Self::Wave => "the next wave of drains",
        })
    }
}

impl Display for Gate {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::ErrorRate => "the error rate",
            Self::Webhook => "the webhook",
            Self::Person => "a person",
        })
    }
}

impl Display for GatedStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} at {} %", self.version, self.weight)
    }
}

impl Display for PauseReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Asked => "asked to",
            Self::DrainWithdrawn => "a drain was withdrawn",
            Self::GateFailed => "a gate failed",
        })
    }
}

impl Display for RejectReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::StaleIncarnation => "a later run of it has joined",
            Self::VersionNotAllowed => "the version is unknown or retired",
            Self::WrittenOff => "it was given up",
        })
    }
}

impl Display for Departure {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Exited { dropped: 0 } => f.write_str("it left and cut no call"),
            Self::Exited { dropped } => write!(f, "it left and cut {}", count(*dropped, "call")),
            Self::Stopped => f.write_str("the platform ended it"),
            Self::Vanished { live } => write!(f, "it vanished, last heard with {}", count(*live, "call")),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::super::command::{Facts, Policy, Report, Stamp};
    use super::*;
    use crate::id::{Actor, Epoch, Incarnation, Seq, Version, WorkerId};
    use crate::time::{Instant, Span};
    use crate::word::Phase;
    use crate::worker::OnDeadline;

    const RUN: Run = Run { worker: WorkerId::from_static("blue-0"), incarnation: Incarnation::new(1) };
    const V2: Version = Version::from_static("v2");
    const FACTS: Facts = Facts {
        seq: Seq::new(1),
        phase: Phase::Draining,
        in_flight: 5,
        capacity: 9,
        available: 0,
        sealed: false,
        obeyed: Stamp { epoch: Epoch::new(0), order: Seq::new(0) },
    };
    const TERMS: DrainTerms = DrainTerms { within: Some(Span::from_secs(30)), on_deadline: OnDeadline::Force };

    #[test]
    fn every_event_has_words() {
        let (actor, run, version, epoch) = (Actor::from_static("alice"), RUN, V2, Epoch::new(3));
        let again = Run { incarnation: Incarnation::new(2), ..run };
        let policy =
            Policy { drain_timeout: TERMS.within, on_deadline: TERMS.on_deadline, wave: 2, ..Policy::default() };
        let spec = Spec { version, workers: 4, policy };
        let report = Report { run, version, facts: FACTS };
        let facts = FACTS;
        let room = Room { need: 7, have: 5, own: 5 };
        let rollout = "the rollout of v2 to 4 workers, 2 at a time, within 30s, then force";
        for (event, words) in [
            (Event::TookOver { epoch, actor }, "alice takes over, term 3"),
            (Event::FencedOff(report), "stands back: blue-0 obeys a later coordinator"),
            (Event::DemandStated { calls: 7 }, "room for 7 calls is needed"),
            (Event::Planned { actor, spec }, &*alloc::format!("begins {rollout}, asked by alice")),
            (Event::Superseded { actor, spec }, &*alloc::format!("gives up the rollout for {rollout}, asked by alice")),
            (Event::ProvisionOrdered { version, workers: 4, usable: 0 }, "asks the platform for 4 workers of v2"),
            (Event::VerifyingBegan { usable: 4 }, "waits until the new workers are ready"),
            (Event::VerifyFailed { ready: 1 }, "fails: only 1 new worker is ready in time"),
            (Event::ShiftingBegan { ready: 4 }, "the new workers are ready"),
            (Event::Shifted { to: version, weight: 20, room }, "v2 gets 20 % of new calls"),
            (
                Event::CapacityBlocked { step: StepKind::Wave, room },
                "the next wave of drains waits for room: 7 calls need it, there is room for 5",
            ),
            (Event::WaveStarted { version, wave: 1, size: 2, room }, "wave 1: 2 workers of v2 are to drain"),
            (Event::VersionDrained { version }, "v2 has drained: no worker of it has a call left"),
            (Event::Completed, "the rollout is done"),
            (Event::RollbackStarted { actor }, "goes back to the old version, asked by alice"),
            (Event::RolledBack, "the rollout is taken back"),
            (Event::Paused { actor, reason: PauseReason::Asked }, "pauses, by alice: asked to"),
            (Event::Resumed { actor }, "goes on, by alice"),
            (Event::WorkerRegistered { run, version, lost_before: None }, "blue-0 joins with v2"),
            (
                Event::WorkerRegistered { run: again, version, lost_before: Some(run.incarnation) },
                "blue-0 (run 2) joins with v2, its earlier run was never seen to drain",
            ),
            (
                Event::WorkerRejected { run, version, reason: RejectReason::VersionNotAllowed },
                "blue-0 with v2 is kept out: the version is unknown or retired",
            ),
            (Event::WatchBegan, "begins to listen to its workers"),
            (Event::WorkerReported(report), "blue-0 is draining with 5 calls"),
            (Event::WorkerSilent { run }, "blue-0 has not reported for too long: unknown"),
            (Event::WorkerLost { run, heard: Instant::EPOCH, live: 5 }, "blue-0 is lost, last heard with 5 calls"),
            (Event::WorkerFenced { run, actor }, "blue-0 is to be kept out, by alice"),
            (Event::WorkerDrained { run, facts }, "blue-0 has drained"),
            (
                Event::WorkerGone { run, departure: Departure::Exited { dropped: 0 } },
                "blue-0 is gone: it left and cut no call",
            ),
            (
                Event::WorkerGone { run, departure: Departure::Vanished { live: 5 } },
                "blue-0 is gone: it vanished, last heard with 5 calls",
            ),
            (Event::WorkerWrittenOff { run, actor, live: 1 }, "blue-0 is given up by alice, and 1 call with it"),
            (Event::DrainOrdered { run, terms: TERMS, facts, room }, "tells blue-0 to drain, within 30s, then force"),
            (Event::CancelOrdered { run }, "tells blue-0 to take calls again"),
            (Event::ServeOrdered { run, facts }, "tells blue-0 to take calls"),
            (Event::StopOrdered { run, facts }, "tells blue-0 to leave"),
            (Event::Acked { run, task: Task::Cancel, facts }, "blue-0 was seen to take calls again"),
            (Event::CancelRefused { run, facts }, "blue-0 can no longer take calls again"),
            (Event::DrainUndone { run, facts }, "blue-0 drains no more: somebody took that back"),
            (Event::Reissued { run }, "tells blue-0 again"),
            (Event::DrainWithdrawn { run }, "withdraws the drain of blue-0: no sign that it arrived"),
            (Event::DrainOverdue { run, live: 5 }, "the drain of blue-0 is overdue with 5 calls left"),
            (Event::ForceOrdered { run, actor, facts }, "tells blue-0 to end its 5 calls, by alice"),
        ] {
            assert_eq!(event.to_string(), words);
        }
    }

    #[test]
    fn what_people_ask_of_one_worker_has_words() {
        let (actor, run) = (Actor::from_static("alice"), RUN);
        for (event, words) in [
            (Event::WorkerCordoned { run, actor }, "blue-0 is to take no new calls, by alice"),
            (Event::WorkerUncordoned { run, actor }, "blue-0 may take calls again, by alice"),
            (
                Event::WorkerDismissed { run, actor, terms: TERMS },
                "blue-0 is to drain, within 30s, then force and leave, by alice",
            ),
        ] {
            assert_eq!(event.to_string(), words);
        }
    }

    #[test]
    fn gates_have_words() {
        let actor = Actor::from_static("alice");
        let (gate, step) = (Gate::ErrorRate, GatedStep { version: V2, weight: 20 });
        let asked = [gate, Gate::Webhook, Gate::Person].into_iter().collect();
        for (event, words) in [
            (
                Event::GatesSet { actor, asked, on_failure: OnGateFailure::Undo },
                "each step is judged by the error rate, the webhook, a person; a failure takes the rollout back, \
                 by alice",
            ),
            (
                Event::GatesSet { actor, asked: GateSet::NONE, on_failure: OnGateFailure::Pause },
                "no step is judged by a gate, by alice",
            ),
            (Event::GatePassed { gate, step }, "the error rate lets v2 at 20 % go on"),
            (Event::GateFailed { gate, step }, "the error rate does not let v2 at 20 % go on"),
            (Event::Promoted { actor, step }, "v2 at 20 % goes on, by alice"),
            (Event::Paused { actor, reason: PauseReason::GateFailed }, "pauses, by alice: a gate failed"),
        ] {
            assert_eq!(event.to_string(), words);
        }
    }

    #[test]
    fn every_order_has_words() {
        let (run, stamp, version, epoch) = (RUN, Stamp::default(), V2, Epoch::new(3));
        for (effect, words) in [
            (Effect::Alert(Alert::WorkerLost(run)), "alert: blue-0 is lost"),
            (Effect::CancelDrain { run, stamp }, "blue-0: take calls again"),
            (Effect::ForceDrain { run, stamp }, "blue-0: end its calls"),
            (Effect::OrderDrain { run, stamp, terms: TERMS }, "blue-0: drain, within 30s, then force"),
            (Effect::Promote { run, stamp }, "blue-0: take calls"),
            (Effect::Provision { version, workers: 4, epoch }, "platform: run 4 workers of v2"),
            (Effect::Reject { run, stamp, reason: RejectReason::WrittenOff }, "blue-0: leave, it was given up"),
            (Effect::Route { version, weight: 20, epoch }, "dispatchers: v2 gets 20 % of new calls"),
            (Effect::StopWorker { run, stamp }, "platform: end blue-0"),
        ] {
            assert_eq!(effect.to_string(), words);
        }
    }
}
