//! What planted bugs of a coordinator's shell make of its machine's decisions.

use openrtc_core::fleet::{Entry, Event as Became, Fleet, GatedStep, Run, Task};

use crate::bug::Bug;

/// More workers than any plan of a simulated rollout has.
const TOO_MANY: u32 = 10_000;

/// What planted bugs of the coordinator's shell make of an entry before they store it.
pub(super) fn misstored(bug: Option<Bug>, fleet: &Fleet, entry: Entry) -> Entry {
    let event = match (bug, entry.event) {
        (Some(Bug::HalfTheShare), Became::Shifted { to, weight, room }) => {
            Became::Shifted { to, weight: weight / 2, room }
        }
        (Some(Bug::AsksForTooMany), Became::ProvisionOrdered { version, workers, usable }) => {
            Became::ProvisionOrdered { version, workers: workers + TOO_MANY, usable }
        }
        (Some(Bug::UnsentIsObeyed), Became::DrainOrdered { run, terms, facts, .. }) => {
            Became::Acked { run, task: Task::Drain(terms), facts }
        }
        (Some(Bug::WaveMiscounted), Became::WaveStarted { version, wave, size, room }) => {
            Became::WaveStarted { version, wave, size: size + 1, room }
        }
        (Some(Bug::GateFailsOpen), Became::GateFailed { gate, step }) => Became::GatePassed { gate, step },
        (Some(Bug::VerdictMisfiled), Became::GatePassed { gate, step }) => {
            Became::GatePassed { gate, step: GatedStep { weight: step.weight / 2, ..step } }
        }
        (Some(Bug::CordonOverruled), Became::Acked { run, task: Task::Drain(_), .. }) if is_cordoned(fleet, run) => {
            Became::CancelOrdered { run }
        }
        (_, event) => event,
    };
    Entry { event, ..entry }
}

pub(super) fn is_cordoned(fleet: &Fleet, run: Run) -> bool {
    fleet.members().of(run).is_some_and(|member| member.status.is_cordoned())
}
