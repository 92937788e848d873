//! A plan drawn from choices: each seed has its own load, its own subset of faults and its own weights (swarm testing,
//! Groce et al. 2012).

use openrtc_core::fleet::{Gate, GateSet, OnGateFailure};
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::OnDeadline;

use crate::choice::{Choice, Seeded};
use crate::clock::Skew;
use crate::id::{CallIndex, WorkerIndex};
use crate::plan::{Call, Deed, Happening, Kind, Message, MessageFate, Plan, Tamper};

/// The first call and the first fault come no earlier.
const BEGIN: Instant = Instant::from_micros(5_000_000);

/// The plan of a seed: a small rollout under a few faults.
#[must_use]
pub fn seeded(seed: u64) -> Plan {
    generate(&mut Seeded::new(seed), seed)
}

/// A plan from any source of choices; `seed` draws the message delays.
pub fn generate(choice: &mut impl Choice, seed: u64) -> Plan {
    let workers = |choice: &mut dyn FnMut(u64) -> u64| u32::try_from(1 + choice(3)).unwrap_or(1);
    let mut below = |bound| choice.below(bound);
    let (blue, green) = (workers(&mut below), workers(&mut below));
    let (on_deadline, drain_timeout) = match choice.below(4) {
        0 => (OnDeadline::Force, Some(seconds(choice, 2, 40))),
        1 => (OnDeadline::Alert, Some(seconds(choice, 2, 40))),
        _ => (OnDeadline::Wait, None),
    };
    let mut plan = Plan {
        title: format!("Swarm seed {seed}"),
        seed,
        blue,
        green,
        capacity: u32::try_from(choice.between(2, 12)).unwrap_or(2),
        latency: (Span::from_micros(500), Span::from_millis(choice.between(1, 60) * 5)),
        on_deadline,
        drain_timeout,
        wave: u32::try_from(choice.between(1, 3)).unwrap_or(1),
        grace: choice.odds(1, 3).then(|| seconds(choice, 5, 120)),
        ..Plan::default()
    };
    calls(choice, &mut plan);
    happenings(choice, &mut plan);
    tampers(choice, &mut plan);
    habits(choice, &mut plan);
    cordons(choice, &mut plan);
    gates(choice, &mut plan);
    scale(choice, &mut plan);
    plan.sorted()
}

fn calls(choice: &mut impl Choice, plan: &mut Plan) {
    let odd = choice.odds(1, 3);
    for _ in 0..choice.between(4, 24) {
        let kind = match choice.below(12) {
            0 if odd => Kind::Silent,
            1 if odd => Kind::Watched,
            2 if odd => Kind::Failing,
            3 if odd && plan.on_deadline == OnDeadline::Force => Kind::Phantom,
            _ => Kind::Plain,
        };
        let is_short = choice.odds(1, 6);
        let lasts = if is_short { choice.below(200_000) } else { choice.between(1, 25_000) * 1_000 };
        let at = BEGIN + Span::from_millis(choice.below(20_000));
        plan.calls.push(Call { at, lasts: Span::from_micros(lasts), kind });
    }
    plan.calls.sort_by_key(|call| call.at);
}

fn happenings(choice: &mut impl Choice, plan: &mut Plan) {
    let rollout = Instant::EPOCH + seconds(choice, 6, 20);
    plan.happenings.push(Happening { at: rollout, deed: Deed::Rollout });
    if choice.odds(1, 6) {
        let at = rollout + Span::from_millis(choice.below(20_000));
        plan.happenings.push(Happening { at, deed: Deed::Rollback });
    }
    let family = choice.below(1 << 8);
    for _ in 0..choice.below(4) {
        let at = BEGIN + Span::from_millis(choice.below(40_000));
        let worker = u32::try_from(choice.below(plan.workers().into())).map(WorkerIndex::new).unwrap_or_default();
        let kind = choice.below(8);
        if family >> kind & 1 == 0 {
            continue;
        }
        let deed = match kind {
            0 => Deed::Sigterm(worker),
            1 => Deed::Sigkill(worker),
            2 => Deed::CrashMidStep(worker),
            3 => Deed::Partition(worker, seconds(choice, 1, 20)),
            4 => clock_step(choice, worker),
            5 => Deed::SlowSink(worker, seconds(choice, 1, 20)),
            6 => Deed::CoordinatorCrash(seconds(choice, 1, 15)),
            _ => Deed::SecondCoordinator,
        };
        plan.happenings.push(Happening { at, deed });
        match kind {
            0 if choice.odds(1, 2) => {
                plan.happenings.push(Happening { at: at + Span::from_micros(choice.below(1_000_000)), deed });
            }
            3 if choice.odds(1, 3) => {
                // Killed behind the partition and started again: old reports arrive beside new ones.
                plan.happenings.push(Happening { at: at + Span::from_millis(2_500), deed: Deed::Sigkill(worker) });
                plan.happenings.push(Happening { at: at + Span::from_secs(3), deed: Deed::Restart(worker) });
            }
            1 | 2 if choice.odds(1, 2) => {
                plan.happenings.push(Happening { at: at + Span::from_secs(2), deed: Deed::Restart(worker) });
            }
            _ => {}
        }
    }
    plan.happenings.sort_by_key(|happening| happening.at);
}

/// A person takes a worker out of service, for a while or for good.
fn cordons(choice: &mut impl Choice, plan: &mut Plan) {
    if !choice.odds(1, 4) {
        return;
    }
    let worker = u32::try_from(choice.below(plan.workers().into())).map(WorkerIndex::new).unwrap_or_default();
    let at = BEGIN + Span::from_millis(choice.below(30_000));
    let deed = if choice.odds(1, 3) { Deed::Dismiss(worker) } else { Deed::Cordon(worker) };
    plan.happenings.push(Happening { at, deed });
    if choice.odds(1, 2) {
        let at = at + Span::from_millis(choice.below(15_000));
        plan.happenings.push(Happening { at, deed: Deed::Uncordon(worker) });
    }
}

/// The rollout goes step by step, and something judges each.
fn gates(choice: &mut impl Choice, plan: &mut Plan) {
    if !choice.odds(1, 4) {
        return;
    }
    plan.shift = [25, 50, 100][usize::try_from(choice.below(3)).unwrap_or(0)];
    let on_failure = if choice.odds(1, 3) { OnGateFailure::Pause } else { OnGateFailure::Undo };
    plan.gates = (GateSet::NONE.with(Gate::ErrorRate).with(Gate::Webhook), on_failure);
    if choice.odds(1, 3) {
        plan.happenings.push(Happening { at: BEGIN + Span::from_millis(choice.below(40_000)), deed: Deed::GateFails });
    }
}

/// Another number of workers is wanted, of whichever version takes all calls then.
fn scale(choice: &mut impl Choice, plan: &mut Plan) {
    if choice.odds(1, 5) {
        let at = BEGIN + Span::from_millis(choice.below(60_000));
        let workers = u32::try_from(choice.between(1, 3)).unwrap_or(1);
        plan.happenings.push(Happening { at, deed: Deed::Scale(workers) });
    }
}

fn clock_step(choice: &mut impl Choice, worker: WorkerIndex) -> Deed {
    let by = seconds(choice, 1, 30);
    Deed::ClockStep(worker, if choice.odds(1, 2) { Skew::ahead(by) } else { Skew::behind(by) })
}

/// A number of seconds from `low` to `high`.
fn seconds(choice: &mut impl Choice, low: u64, high: u64) -> Span {
    Span::from_secs(choice.between(low, high))
}

/// Callers that give up soon and try again; a dispatcher that goes by old loads.
fn habits(choice: &mut impl Choice, plan: &mut Plan) {
    if choice.odds(1, 3) {
        plan.patience = seconds(choice, 1, 10);
        plan.redials = u32::try_from(choice.below(3)).unwrap_or(0);
    }
    if choice.odds(1, 3) {
        plan.loads = seconds(choice, 1, 10);
    }
}

fn tampers(choice: &mut impl Choice, plan: &mut Plan) {
    if !choice.odds(1, 2) {
        return;
    }
    for _ in 0..choice.below(6) {
        let call = u32::try_from(choice.below(plan.calls.len() as u64)).map(CallIndex::new).unwrap_or_default();
        let message = match choice.below(5) {
            0 => Message::Offer,
            1 => Message::Answer,
            2 => Message::Assign,
            3 => Message::Started,
            _ => Message::End,
        };
        let fate = match choice.below(3) {
            0 => MessageFate::Delayed(Span::from_millis(choice.between(1, 15_000))),
            1 => MessageFate::Duplicated,
            _ => MessageFate::Lost,
        };
        plan.tampers.push(Tamper { call, message, fate });
    }
}
