//! What a rollout says that it waits for, from its beginning to its end, and what would end each wait.

use openrtc_core::fleet::{Gate, GateSet, OnGateFailure, Policy, Request, Stage};
use openrtc_core::word::Phase;

use super::world::{V2, World, id};

/// Every wait as a person reads it.
fn told(world: &World) -> Vec<String> {
    world.fleet.waits().iter().map(|wait| format!("{}: {wait}: {}", wait.word(), wait.way_out())).collect()
}

#[test]
fn each_stage_says_what_it_waits_for_and_what_would_end_the_wait() {
    let mut world = World::serving(2);
    assert_eq!(told(&world), [""; 0], "nothing is under way");
    (world.fake("v1-0").calls, world.fake("v1-1").calls) = (5, 3);
    world.starts_in = None;
    let asked = GateSet::NONE.with(Gate::Person);
    world.request(Request::SetGates { asked, on_failure: OnGateFailure::Pause }).unwrap();
    world.roll_out(V2, 2, Policy::default());
    world.run(1);
    assert_eq!(told(&world), ["workers: 0 of 2 workers of v2 are there: start 2 more workers of v2"]);
    world.start("v2-0", V2, Phase::Starting);
    world.run(1);
    assert_eq!(told(&world), ["workers: 1 of 2 workers of v2 are there: start 1 more worker of v2"]);
    world.start("v2-1", V2, Phase::Standby);
    world.run(1);
    let ready = "ready: 1 of 2 workers of v2 are ready: see in the logs of v2 why the others are not ready";
    assert_eq!(told(&world), [ready]);
    world.request(Request::Pause).unwrap();
    assert_eq!(told(&world), ["paused: it is paused, by alice: asked to: resume it", ready]);
    world.request(Request::Resume).unwrap();

    // 15 calls and a fifth more are 18, and two workers hold 20: for 19 they have no room.
    (world.fake("v1-0").calls, world.fake("v1-1").calls) = (9, 8);
    world.fake("v2-0").phase = Phase::Standby;
    world.run(3);
    let room = "the shift of calls waits for room: 21 calls need it, there is room for 20: calls end, or more workers \
                of the version that takes them are started";
    assert_eq!((world.stage(), told(&world)), (Stage::Shifting, vec![format!("room: {room}")]));
    (world.fake("v1-0").calls, world.fake("v1-1").calls) = (5, 3);
    world.run(3);
    assert_eq!(world.stage(), Stage::Draining);
    let gate = "gate: a person has not passed: promote it, or take it back";
    assert!(told(&world).contains(&gate.to_owned()), "{:?}", told(&world));
    world.request(Request::Promote).unwrap();
    world.run(3);
    let calls =
        "calls: 2 workers of v1 drain, with 8 calls: the calls end by themselves; a force cuts those of a worker";
    assert_eq!(told(&world), [calls]);

    world.fake("v1-1").mute = true;
    world.run(12);
    let (calls, silent) = (
        "calls: 1 worker of v1 drains, with 8 calls: the calls end by themselves; a force cuts those of a worker",
        "silent: 1 worker of v1 is silent: they report again, or are lost when their lease expires",
    );
    assert_eq!(told(&world), [calls, silent]);
    world.run(60);
    let lost = "lost: v1-1 is lost, last heard with 3 calls: it comes back, or is forced, which gives its calls up";
    assert_eq!(told(&world), [calls, lost]);
    world.request(Request::Force { worker: id("v1-1") }).unwrap();
    world.fake("v1-0").hang_up(5);
    world.run(5);
    assert_eq!((world.stage(), told(&world)), (Stage::Completed, vec![]));
}

#[test]
fn a_restart_waits_for_reports_and_a_fenced_coordinator_for_nothing() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 1;
    world.roll_out(V2, 2, Policy::default());
    world.run(5);
    world.restart();
    world.settle();
    let told_after_restart = told(&world);
    let reports = "reports: 4 workers have not been heard since it began to listen: they report within seconds, or are \
                   lost when their lease expires";
    assert_eq!(told_after_restart[0], reports);
    world.run(1);
    assert!(!told(&world).contains(&reports.to_owned()));
    world.fake("v1-0").obeyed.epoch = openrtc_core::id::Epoch::new(9);
    world.run(1);
    assert_eq!(told(&world), ["fenced: a coordinator of a later term, 9, is in office: ask that one; end this one"]);
}
