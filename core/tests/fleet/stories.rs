//! Rollouts told from beginning to end.

use openrtc_core::fleet::{
    Alert, Command, Effect, Event, Misuse, Policy, Refused, Rejection, Repeat, Request, Spec, Stage, StepKind, Task,
    VersionState,
};
use openrtc_core::machine::Machine;
use openrtc_core::time::Span;
use openrtc_core::word::Phase;
use openrtc_core::worker::OnDeadline;

use super::world::{V1, V2, V3, World};

#[test]
fn a_rollout_goes_from_blue_to_green_without_touching_a_call() {
    let mut world = World::serving(3);
    world.fake("v1-0").calls = 5;
    world.fake("v1-1").calls = 4;
    world.run(1);
    world.roll_out(V2, 3, Policy::default());
    world.run(5);
    assert_eq!(world.stage(), Stage::Draining);
    assert_eq!((world.state(V1), world.state(V2)), (VersionState::Draining, VersionState::Current));
    assert_eq!((world.fleet.weight(V1), world.fleet.weight(V2)), (0, 100));
    world.run(60);
    assert_eq!(world.stage(), Stage::Draining, "calls are waited for, however long they last");
    assert_eq!(world.stops(), 0, "nothing is stopped while a rollback may need it");
    world.fake("v1-0").hang_up(5);
    world.run(10);
    assert_eq!(world.stage(), Stage::Draining);
    world.fake("v1-1").hang_up(4);
    world.run(10);
    assert_eq!(world.stage(), Stage::Completed);
    assert_eq!(world.state(V1), VersionState::Drained);
    assert_eq!(world.stops(), 3);
    assert_eq!(world.fleet.members().pool(V1).members, 0);
    assert_eq!((world.fleet.tally().lost, world.fleet.tally().dropped), (0, 0));
}

#[test]
fn waves_are_as_large_as_asked_and_one_follows_the_other() {
    let mut world = World::serving(5);
    for worker in 0..5 {
        world.fake(&format!("v1-{worker}")).calls = 1;
    }
    world.roll_out(V2, 5, Policy { wave: 2, ..Policy::default() });
    world.run(20);
    assert_eq!(world.fleet.members().total().draining, 2);
    for wave in [2, 2, 1] {
        let draining = world.fakes.values_mut().filter(|fake| fake.phase == Phase::Draining);
        let hung_up = draining.map(|fake| fake.hang_up(1)).count();
        assert_eq!(hung_up, wave);
        world.run(10);
    }
    assert_eq!(world.stage(), Stage::Completed);
    assert_eq!(world.happened(|event| matches!(event, Event::WaveStarted { version: V1, .. })), 3);
}

#[test]
fn a_worker_that_starts_again_after_the_shift_is_promoted_too() {
    let mut world = World::serving(2);
    world.run(1);
    world.roll_out(V2, 2, Policy::default());
    world.run(30);
    assert_eq!(world.stage(), Stage::Completed);
    world.start("late", V2, Phase::Standby);
    world.run(5);
    assert_eq!(world.fake("late").phase, Phase::Serving);
}

#[test]
fn weight_moves_in_steps_and_standing_by_workers_are_promoted_first() {
    let mut world = World::serving(2);
    world.starts_in = Some(Phase::Standby);
    world.roll_out(V2, 2, Policy { shift_step: 40, ..Policy::default() });
    world.run(20);
    let shifts = world.entries.iter().filter_map(|entry| match entry.event {
        Event::Shifted { to: V2, weight, .. } => Some(weight),
        _ => None,
    });
    assert_eq!(shifts.collect::<Vec<_>>(), [40, 80, 100]);
    assert_eq!(world.happened(|event| matches!(event, Event::Acked { task: Task::Serve, .. })), 2);
    assert_eq!(world.stage(), Stage::Completed);
}

#[test]
fn green_that_is_never_ready_fails_and_blue_is_untouched() {
    let mut world = World::serving(2);
    world.starts_in = Some(Phase::Starting);
    world.roll_out(V2, 2, Policy { verify_timeout: Span::from_secs(30), ..Policy::default() });
    world.run(29);
    assert_eq!(world.stage(), Stage::Verifying);
    world.run(3);
    assert_eq!(world.stage(), Stage::Failed);
    assert!(world.effects.contains(&Effect::Alert(Alert::VerifyFailed)));
    world.run(30);
    assert_eq!((world.state(V1), world.fleet.weight(V1)), (VersionState::Current, 100));
    assert_eq!((world.state(V2), world.fleet.weight(V2)), (VersionState::Failed, 0));
    assert_eq!(world.fleet.members().pool(V2).members, 0, "what had started was drained and stopped");
    assert_eq!(world.fleet.members().pool(V1).ready, 2);
}

#[test]
fn green_that_never_comes_fails_too_and_is_asked_for_again_after_a_crash() {
    let mut world = World::serving(1);
    world.starts_in = None;
    world.roll_out(V2, 2, Policy::default());
    world.run(5);
    let mut owed = Vec::new();
    world.fleet.obligations(&mut |effect| owed.push(effect));
    assert!(owed.iter().any(|effect| matches!(effect, Effect::Provision { version: V2, workers: 2, .. })));
    world.run(300);
    assert_eq!(world.stage(), Stage::Failed);
}

#[test]
fn a_step_without_room_waits_says_so_once_and_is_taken_when_there_is_room() {
    let mut world = World::serving(2);
    world.command(Command::Demand { calls: 17 }).unwrap();
    world.roll_out(V2, 2, Policy::default());
    world.run(30);
    assert_eq!(world.stage(), Stage::Shifting, "20 slots are not room for 17 calls and 20 % more");
    assert_eq!(world.fleet.need(), 21);
    assert_eq!(world.happened(|event| matches!(event, Event::CapacityBlocked { step: StepKind::Shift, .. })), 1);
    assert!(world.effects.contains(&Effect::Alert(Alert::CapacityBlocked)));
    world.start("v2-extra", V2, Phase::Serving);
    world.run(5);
    assert_eq!((world.stage(), world.fleet.weight(V2)), (Stage::Completed, 100));
}

#[test]
fn a_rollback_in_the_middle_of_a_drain_revives_what_can_be_revived() {
    let mut world = World::serving(3);
    for worker in ["v1-0", "v1-1", "v1-2"] {
        world.fake(worker).calls = 2;
    }
    world.roll_out(V2, 3, Policy::default());
    world.run(8);
    assert!(world.fakes.values().filter(|fake| fake.version == V1).all(|fake| fake.phase == Phase::Draining));
    world.fake("v1-2").sealed = true;
    world.fake("v1-2").seq += 1;
    world.run(1);
    world.request(Request::Rollback).unwrap();
    assert_eq!(world.state(V1), VersionState::Ramping);
    world.run(20);
    assert_eq!(world.fake("v1-0").phase, Phase::Serving);
    assert_eq!(world.fake("v1-1").phase, Phase::Serving);
    assert_eq!(world.fake("v1-2").phase, Phase::Draining, "a sealed drain cannot be taken back");
    assert_eq!(world.fleet.members().pool(V1).usable, 3, "a new worker takes its place");
    assert_eq!((world.state(V1), world.fleet.weight(V1)), (VersionState::Current, 100));
    world.run(20);
    assert_eq!((world.stage(), world.state(V2)), (Stage::RolledBack, VersionState::Drained));
}

#[test]
fn a_rollback_before_the_shift_leaves_blue_alone() {
    let mut world = World::serving(2);
    world.starts_in = Some(Phase::Starting);
    world.roll_out(V2, 2, Policy::default());
    world.run(5);
    world.request(Request::Rollback).unwrap();
    assert_eq!(world.request(Request::Rollback), Err(Repeat::AlreadyRollingBack.into()));
    world.run(10);
    assert_eq!(world.stage(), Stage::RolledBack);
    assert_eq!(world.fleet.weight(V1), 100);
    assert_eq!(world.request(Request::Rollback), Err(Refused::RolloutOver.into()));
}

#[test]
fn after_the_end_going_back_is_a_rollout_like_any_other() {
    let mut world = World::serving(2);
    world.roll_out(V2, 2, Policy::default());
    world.run(20);
    assert_eq!(world.stage(), Stage::Completed);
    world.roll_out(V1, 2, Policy::default());
    world.run(20);
    assert_eq!(world.stage(), Stage::Completed);
    assert_eq!((world.state(V1), world.state(V2)), (VersionState::Current, VersionState::Drained));
}

#[test]
fn a_newer_plan_supersedes_the_one_under_way() {
    let mut world = World::serving(2);
    world.command(Command::Demand { calls: 14 }).unwrap();
    world.roll_out(V2, 1, Policy { shift_step: 50, ..Policy::default() });
    world.run(10);
    assert_eq!((world.stage(), world.fleet.weight(V2)), (Stage::Shifting, 50));
    world.roll_out(V3, 2, Policy::default());
    assert_eq!(world.stage(), Stage::Superseded);
    world.run(20);
    assert_eq!(world.stage(), Stage::Completed);
    assert_eq!(world.fleet.rollout().unwrap().green(), V3);
    assert_eq!((world.state(V1), world.state(V2)), (VersionState::Drained, VersionState::Drained));
    assert_eq!(world.fleet.weight(V3), 100);
}

#[test]
fn a_newer_plan_during_the_drain_lets_both_old_versions_drain() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 1;
    world.roll_out(V2, 2, Policy::default());
    world.run(10);
    world.roll_out(V3, 2, Policy::default());
    world.run(10);
    assert_eq!((world.state(V1), world.state(V2)), (VersionState::Draining, VersionState::Draining));
    world.fake("v1-0").hang_up(1);
    world.run(20);
    assert_eq!((world.state(V1), world.state(V2)), (VersionState::Drained, VersionState::Drained));
    assert_eq!(world.stage(), Stage::Completed);
}

#[test]
fn a_newer_plan_gets_a_fleet_out_of_a_rollback_that_nobody_can_serve() {
    let mut world = World::serving(1);
    world.roll_out(V2, 1, Policy::default());
    world.fake("v1-0").calls = 1;
    world.run(10);
    world.starts_in = None;
    world.request(Request::Rollback).unwrap();
    for name in ["v1-0", "v2-0"] {
        world.fake(name).phase = Phase::Exited;
        world.fake(name).seq += 1;
    }
    world.run(5);
    assert_eq!(
        (world.stage(), world.state(V1), world.fleet.weight(V1)),
        (Stage::RollingBack, VersionState::Ramping, 0)
    );
    world.starts_in = Some(Phase::Serving);
    world.roll_out(V3, 1, Policy::default());
    world.run(10);
    assert_eq!((world.stage(), world.fleet.weight(V3)), (Stage::Completed, 100));
}

#[test]
fn what_a_superseded_rollback_left_ramping_is_retired_even_if_the_newer_plan_is_taken_back_at_once() {
    let mut world = World::serving(1);
    world.fake("v1-0").calls = 1;
    world.roll_out(V2, 1, Policy::default());
    world.run(10);
    world.request(Request::Rollback).unwrap();
    world.roll_out(V3, 1, Policy::default());
    world.command(Command::Wake).unwrap();
    assert_eq!((world.stage(), world.state(V1)), (Stage::Planned, VersionState::Ramping));
    world.request(Request::Rollback).unwrap();
    world.fake("v1-0").hang_up(1);
    world.run(20);
    assert_eq!((world.stage(), world.fleet.current()), (Stage::RolledBack, Some(V2)));
    assert_eq!((world.state(V1), world.state(V3)), (VersionState::Drained, VersionState::Drained));
}

#[test]
fn pause_stops_steps_and_resume_goes_on() {
    let mut world = World::serving(2);
    world.roll_out(V2, 2, Policy::default());
    world.request(Request::Pause).unwrap();
    assert_eq!(world.request(Request::Pause), Err(Repeat::AlreadyPaused.into()));
    world.run(1_000);
    assert_eq!(world.stage(), Stage::Planned);
    world.request(Request::Resume).unwrap();
    assert_eq!(world.request(Request::Resume), Err(Repeat::NotPaused.into()));
    world.run(20);
    assert_eq!(world.stage(), Stage::Completed);
}

#[test]
fn the_table_of_versions_is_bounded_and_forgets_the_oldest_that_is_over() {
    let mut world = World::serving(1);
    for number in 2..40 {
        let version = openrtc_core::id::Version::new(&format!("v{number}")).unwrap();
        world.roll_out(version, 1, Policy::default());
        world.run(8);
        assert_eq!(world.stage(), Stage::Completed, "{version}");
    }
    assert_eq!(world.fleet.versions().len(), openrtc_core::fleet::VERSIONS_MAX);
}

#[test]
fn plans_that_cannot_work_are_refused() {
    let mut world = World::serving(1);
    let spec = |policy, workers| Request::RollOut(Spec { version: V2, workers, policy });
    for (policy, workers) in [
        (Policy { wave: 0, ..Policy::default() }, 1),
        (Policy { shift_step: 0, ..Policy::default() }, 1),
        (Policy { shift_step: 101, ..Policy::default() }, 1),
        (Policy { surge: 1, ..Policy::default() }, 2),
        (Policy { ack_timeout: Span::ZERO, ..Policy::default() }, 1),
        (Policy { verify_timeout: Span::ZERO, ..Policy::default() }, 1),
        (Policy { on_deadline: OnDeadline::Force, ..Policy::default() }, 1),
        (Policy::default(), 0),
    ] {
        assert!(
            matches!(world.request(spec(policy, workers)), Err(Rejection::Misuse(Misuse::BadSpec(_)))),
            "{policy:?}"
        );
    }
    let current = Request::RollOut(Spec { version: V1, workers: 1, policy: Policy::default() });
    assert_eq!(world.request(current), Err(Misuse::AlreadyCurrent.into()));
    assert_eq!(world.request(Request::Rollback), Err(Refused::RolloutOver.into()));
}
