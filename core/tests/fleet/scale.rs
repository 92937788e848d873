//! More workers, or fewer, without a rollout, told as stories.

use openrtc_core::fleet::{
    BadSpec, Command, Effect, Event, Misuse, Policy, Refused, Rejection, Repeat, Request, Stage, StepKind,
};
use openrtc_core::word::Phase;

use super::world::{V1, V2, World};

fn scale(world: &mut World, workers: u32) -> Result<Event, Rejection> {
    world.request(Request::Scale { workers })
}

fn usable(world: &World) -> u32 {
    world.fleet.members().pool(V1).usable
}

#[test]
fn more_workers_are_asked_of_the_platform() {
    let mut world = World::serving(2);
    scale(&mut world, 4).unwrap();
    assert_eq!(scale(&mut world, 4), Err(Repeat::AlreadyScaled.into()));
    world.run(3);
    assert_eq!((usable(&world), world.fleet.members().pool(V1).slots), (4, 40));
}

#[test]
fn of_workers_too_many_the_idlest_leaves_when_its_calls_have_ended() {
    let mut world = World::serving(3);
    for (name, calls) in [("v1-0", 3), ("v1-1", 1), ("v1-2", 2)] {
        world.fake(name).calls = calls;
    }
    world.run(1);
    scale(&mut world, 2).unwrap();
    world.run(8);
    let phases = ["v1-0", "v1-1", "v1-2"].map(|name| world.fake(name).phase);
    assert_eq!(phases, [Phase::Serving, Phase::Draining, Phase::Serving]);
    assert_eq!(world.stops(), 0);
    world.fake("v1-1").hang_up(1);
    world.run(8);
    assert_eq!((world.stops(), usable(&world)), (1, 2));
}

/// It is counted in calls: who leaves takes its room along, and that is asked before.
#[test]
fn no_worker_leaves_whose_room_is_needed() {
    let mut world = World::serving(3);
    world.command(Command::Demand { calls: 15 }).unwrap();
    scale(&mut world, 1).unwrap();
    world.run(20);
    assert_eq!(usable(&world), 2, "18 calls fit into two workers of ten");
    assert!(world.fleet.is_blocked(StepKind::Wave));
    world.command(Command::Demand { calls: 5 }).unwrap();
    world.run(8);
    assert_eq!(usable(&world), 1);
}

#[test]
fn no_more_leave_at_a_time_than_a_wave_has() {
    let mut world = World::new();
    world.roll_out(V1, 4, Policy { wave: 1, ..Policy::default() });
    world.run(3);
    for number in 0..4 {
        world.fake(&format!("v1-{number}")).calls = 1;
    }
    world.run(1);
    scale(&mut world, 1).unwrap();
    world.run(30);
    let draining = world.fakes.values().filter(|fake| fake.phase == Phase::Draining).count();
    assert_eq!((draining, world.stops()), (1, 0));
}

#[test]
fn while_calls_move_the_rollout_decides_and_while_the_old_version_drains_nobody_is_sent_away() {
    let mut world = World::serving(2);
    for name in ["v1-0", "v1-1"] {
        world.fake(name).calls = 1;
    }
    world.starts_in = None;
    world.roll_out(V2, 2, Policy::default());
    assert_eq!(scale(&mut world, 3), Err(Refused::CallsMove.into()));
    world.starts_in = Some(Phase::Serving);
    world.provision(V2, 2);
    world.run(8);
    assert_eq!(world.stage(), Stage::Draining);
    scale(&mut world, 1).unwrap();
    world.run(8);
    assert_eq!(world.fleet.members().pool(V2).usable, 2);
    for name in ["v1-0", "v1-1"] {
        world.fake(name).hang_up(1);
    }
    world.run(12);
    assert_eq!((world.stage(), world.fleet.members().pool(V2).usable), (Stage::Completed, 1));
}

#[test]
fn what_cannot_be_scaled_says_why() {
    let mut world = World::new();
    assert_eq!(scale(&mut world, 1), Err(Refused::NothingServes.into()));
    let mut world = World::serving(2);
    assert_eq!(scale(&mut world, 0), Err(Misuse::BadSpec(BadSpec::WorkersZero).into()));
    assert_eq!(scale(&mut world, 5_000), Err(Misuse::BadSpec(BadSpec::Surge).into()));
}

/// The number is a decision: after a restart the platform is asked again.
#[test]
fn a_number_outlives_its_coordinator() {
    let mut world = World::serving(2);
    scale(&mut world, 4).unwrap();
    world.restart();
    let asks = world.effects.iter().filter(|effect| matches!(effect, Effect::Provision { workers: 4, .. })).count();
    assert_eq!(asks, 2);
    world.run(3);
    assert_eq!(usable(&world), 4);
}
