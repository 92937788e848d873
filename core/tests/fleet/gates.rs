//! Gates of a rollout, told as stories.

use openrtc_core::fleet::{
    Alert, Command, Effect, Event, Gate, GateSet, GatedStep, Misuse, OnGateFailure, PauseReason, Policy, Refused,
    Rejection, Repeat, Request, Stage,
};
use openrtc_core::word::Phase;

use super::world::{V1, V2, World, id};

/// A fleet whose rollouts have gates, and a rollout to v2 by this step.
fn gated(gates: &[Gate], on_failure: OnGateFailure, shift_step: u8) -> World {
    let mut world = World::serving(2);
    for name in ["v1-0", "v1-1"] {
        world.fake(name).calls = 1;
    }
    let asked = gates.iter().copied().collect();
    world.request(Request::SetGates { asked, on_failure }).unwrap();
    world.roll_out(V2, 2, Policy { shift_step, headroom: 0, ..Policy::default() });
    world
}

fn at(weight: u8) -> GatedStep {
    GatedStep { version: V2, weight }
}

fn judge(world: &mut World, gate: Gate, step: GatedStep, passed: bool) -> Result<Event, Rejection> {
    world.command(Command::Judge { gate, step, passed })
}

#[test]
fn each_share_after_the_first_waits_for_a_result_on_the_one_before() {
    let mut world = gated(&[Gate::Webhook], OnGateFailure::Pause, 25);
    world.run(60);
    assert_eq!(world.fleet.weight(V2), 100);
    let results = |world: &World, weight| {
        world.happened(|event| matches!(event, Event::GatePassed { step, .. } if *step == at(weight)))
    };
    assert_eq!([25, 50, 75, 100].map(|weight| results(&world, weight)), [1; 4]);
    for name in ["v1-0", "v1-1"] {
        world.fake(name).hang_up(1);
    }
    world.run(8);
    assert_eq!(world.stage(), Stage::Completed);
}

#[test]
fn a_person_promotes_and_until_then_no_old_worker_drains() {
    let mut world = gated(&[Gate::Person], OnGateFailure::Pause, 100);
    world.run(100);
    assert_eq!((world.stage(), world.fleet.weight(V2)), (Stage::Draining, 100));
    assert_eq!([world.fake("v1-0").phase, world.fake("v1-1").phase], [Phase::Serving; 2], "an undo costs nothing");
    assert_eq!(world.fleet.gates_awaited(), GateSet::NONE.with(Gate::Person));
    assert_eq!(judge(&mut world, Gate::Person, at(100), true), Err(Misuse::PersonDecides.into()));
    world.request(Request::Promote).unwrap();
    assert_eq!(world.request(Request::Promote), Err(Repeat::NoGateWaits.into()));
    world.run(8);
    assert_eq!([world.fake("v1-0").phase, world.fake("v1-1").phase], [Phase::Draining; 2]);
}

#[test]
fn a_gate_that_fails_pauses_and_is_judged_again_after_a_resume() {
    let mut world = gated(&[Gate::ErrorRate], OnGateFailure::Pause, 50);
    world.gates_pass = false;
    world.run(60);
    assert_eq!((world.fleet.weight(V2), world.fleet.weight(V1)), (50, 50));
    assert_eq!(world.fleet.paused().map(|pause| pause.reason), Some(PauseReason::GateFailed));
    assert!(world.effects.contains(&Effect::Alert(Alert::GateFailed(Gate::ErrorRate))));
    assert_eq!(world.request(Request::Promote), Err(Refused::GateFailed.into()));
    assert_eq!(judge(&mut world, Gate::ErrorRate, at(50), true), Err(Refused::GateFailed.into()));
    assert_eq!(judge(&mut world, Gate::ErrorRate, at(50), false), Err(Repeat::AlreadyJudged.into()));
    world.gates_pass = true;
    world.request(Request::Resume).unwrap();
    world.run(8);
    assert_eq!(world.fleet.weight(V2), 100);
}

#[test]
fn a_gate_that_fails_undoes_if_that_is_wanted_also_after_it_had_passed() {
    for late in [false, true] {
        let mut world = gated(&[Gate::ErrorRate], OnGateFailure::Undo, 100);
        world.gates_pass = late;
        world.run(8);
        if late {
            assert_eq!(world.fake("v1-0").phase, Phase::Draining);
            judge(&mut world, Gate::ErrorRate, at(100), false).unwrap();
            world.run(8);
        }
        assert_eq!((world.stage(), world.fleet.weight(V1)), (Stage::RolledBack, 100), "{late}");
        assert_eq!(world.fake("v1-0").phase, Phase::Serving, "{late}");
    }
}

#[test]
fn a_result_on_another_step_or_an_unknown_gate_is_refused() {
    let mut world = gated(&[Gate::Person, Gate::Webhook], OnGateFailure::Pause, 50);
    world.run(8);
    for step in [at(49), at(100), GatedStep { version: V1, weight: 50 }] {
        assert_eq!(judge(&mut world, Gate::Webhook, step, true), Err(Refused::OtherStep.into()));
    }
    assert_eq!(judge(&mut world, Gate::ErrorRate, at(50), true), Err(Misuse::GateNotAsked.into()));
    assert_eq!(judge(&mut world, Gate::Webhook, at(50), true), Err(Repeat::AlreadyJudged.into()));
}

/// With nothing to go back to there is nothing to compare with, and nothing to undo.
#[test]
fn the_first_rollout_ever_needs_no_gate() {
    let mut world = World::new();
    let asked = Gate::ALL.into_iter().collect();
    world.request(Request::SetGates { asked, on_failure: OnGateFailure::Undo }).unwrap();
    world.roll_out(V1, 2, Policy::default());
    world.run(8);
    assert_eq!(world.stage(), Stage::Completed);
}

/// Results are decisions. What is still to be judged is asked for again after a restart.
#[test]
fn results_outlive_the_coordinator_and_what_is_left_is_asked_again() {
    let mut world = gated(&[Gate::Webhook, Gate::Person], OnGateFailure::Pause, 50);
    world.run(8);
    let asks = |world: &World, gate| {
        world.effects.iter().filter(|effect| matches!(effect, Effect::Judge { gate: of, .. } if *of == gate)).count()
    };
    assert_eq!([asks(&world, Gate::Webhook), asks(&world, Gate::Person)], [1, 1]);
    world.restart();
    assert_eq!([asks(&world, Gate::Webhook), asks(&world, Gate::Person)], [1, 2]);
    world.request(Request::Promote).unwrap();
    world.run(12);
    assert_eq!(world.fleet.weight(V2), 100);
    assert!(world.fleet.members().get(id("v2-0")).is_some());
}
