//! What planted bugs of a coordinator's shell make of its machine's decisions.

use openrtc_core::fleet::{Event as Became, Fleet, GatedStep, Run, Task};

use crate::bug::Bug;

/// More workers than any plan of a simulated rollout has.
const TOO_MANY: u32 = 10_000;

/// What planted bugs of the coordinator's shell make of an event before they store it.
pub(super) fn misstore(bug: Bug, fleet: &Fleet, event: &mut Became) {
    *event = match (bug, *event) {
        (Bug::HalfTheShare, Became::Shifted { to, weight, room }) => Became::Shifted { to, weight: weight / 2, room },
        (Bug::AsksForTooMany, Became::ProvisionOrdered { version, workers, usable }) => {
            Became::ProvisionOrdered { version, workers: workers + TOO_MANY, usable }
        }
        (Bug::UnsentIsObeyed, Became::DrainOrdered { run, terms, facts, .. }) => {
            Became::Acked { run, task: Task::Drain(terms), facts }
        }
        (Bug::WaveMiscounted, Became::WaveStarted { version, wave, size, room }) => {
            Became::WaveStarted { version, wave, size: size + 1, room }
        }
        (Bug::ScaleInMiscounted, Became::ScaleInOrdered { run, facts, room, usable }) => {
            Became::ScaleInOrdered { run, facts, room, usable: usable + 1 }
        }
        (Bug::GateFailsOpen, Became::GateFailed { gate, step }) => Became::GatePassed { gate, step },
        (Bug::ResultMisfiled, Became::GatePassed { gate, step }) => {
            Became::GatePassed { gate, step: GatedStep { weight: step.weight / 2, ..step } }
        }
        (Bug::CordonOverruled, Became::Acked { run, task: Task::Drain(_), .. }) if is_cordoned(fleet, run) => {
            Became::CancelOrdered { run }
        }
        (_, event) => event,
    };
}

pub(super) fn is_cordoned(fleet: &Fleet, run: Run) -> bool {
    fleet.members().of(run).is_some_and(|member| member.status.is_cordoned())
}
