//! What a coordinator knows after a restart, a take-over or a sleep of its own, and what its store may hold.

use openrtc_core::fleet::{
    Alert, Command, DrainTerms, Effect, Entry, Event, Facts, Fleet, Misfit, Policy, Refused, Request, Room, Run, Stage,
    StepKind, Task, Timeouts, View, WORKERS_MAX, Why,
};
use openrtc_core::id::{Epoch, Incarnation, Seq, Version, WorkerId};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;

use super::world::{Fake, V1, V2, V3, World, id};

fn view(world: &World, name: &str) -> View {
    world.fleet.members().get(id(name)).expect("a member").view()
}

/// A rollout whose old workers drain, with calls that last.
fn draining() -> World {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 3;
    world.fake("v1-1").calls = 1;
    world.roll_out(V2, 2, Policy::default());
    world.run(8);
    assert_eq!((world.stage(), world.fleet.members().total().draining), (Stage::Draining, 2));
    world
}

#[test]
fn a_restarted_coordinator_knows_nobody_until_they_report_and_loses_nobody_before_a_full_lease() {
    let mut world = draining();
    world.fake("v1-0").mute = true;
    world.run(50);
    world.restart();
    assert_eq!(view(&world, "v1-1"), View::Unknown);
    assert_eq!(world.fleet.deadline().map(|(_, why)| why), Some(Why::Watch));
    world.run(1);
    assert_eq!((view(&world, "v1-0"), view(&world, "v1-1")), (View::Unknown, View::Known));
    world.run(59);
    assert_eq!(view(&world, "v1-0"), View::Unknown, "it was silent for 109 s, for 59 s of which somebody listened");
    world.run(2);
    assert_eq!(view(&world, "v1-0"), View::Lost);
    assert_eq!(world.stops(), 0);
}

#[test]
fn a_take_over_begins_leases_anew_too() {
    let mut world = draining();
    world.fake("v1-0").mute = true;
    world.run(50);
    world.take_over(1).unwrap();
    assert_eq!(view(&world, "v1-1"), View::Unknown);
    world.run(59);
    assert_eq!(world.fleet.tally().lost, 0);
    world.run(3);
    assert_eq!(world.fleet.tally().lost, 1);
}

#[test]
fn a_rollout_resumes_by_itself_whenever_its_coordinator_restarts() {
    for moment in 0..30 {
        let mut world = World::serving(3);
        world.starts_in = Some(Phase::Standby);
        world.fake("v1-0").calls = 2;
        world.roll_out(V2, 3, Policy { wave: 2, shift_step: 50, ..Policy::default() });
        for _ in 0..moment {
            let _ = world.command(Command::Wake);
            world.deliver();
            for worker in world.fakes.keys().copied().collect::<Vec<_>>() {
                let _ = world.report(worker);
            }
        }
        world.restart();
        world.at = world.at + Span::from_secs(400);
        world.run(20);
        world.fake("v1-0").hang_up(2);
        world.run(20);
        assert_eq!((world.stage(), world.fleet.paused()), (Stage::Completed, None), "after {moment} steps");
        assert_eq!((world.fleet.tally().lost, world.fleet.tally().withdrawn), (0, 0), "after {moment} steps");
    }
}

#[test]
fn nothing_moves_on_what_half_of_the_workers_say() {
    let mut world = World::serving(2);
    world.command(Command::Demand { calls: 0 }).unwrap_err();
    world.fake("v1-0").calls = 9;
    world.fake("v1-1").calls = 9;
    world.roll_out(V2, 1, Policy::default());
    world.run(5);
    assert_eq!((world.stage(), world.fleet.need()), (Stage::Shifting, 22), "10 slots are not room for 18 calls");
    world.fake("v1-0").mute = true;
    world.fake("v1-1").mute = true;
    world.restart();
    world.run(30);
    assert_eq!(world.fleet.need(), 0, "nobody who has calls was heard");
    assert_eq!(world.fleet.weight(V2), 0, "and they are waited for");
    world.fake("v1-0").mute = false;
    world.fake("v1-1").mute = false;
    world.run(5);
    assert_eq!((world.fleet.need(), world.fleet.weight(V2)), (22, 0));
}

#[test]
fn a_coordinator_that_was_away_itself_judges_nobody() {
    let mut world = World::serving(2);
    world.fake("v1-0").deaf = true;
    world.fake("v1-0").calls = 1;
    world.roll_out(V2, 2, Policy::default());
    world.run(8);
    world.at = world.at + Span::from_secs(1_000);
    assert_eq!(world.command(Command::Wake), Ok(Event::WatchBegan));
    assert_eq!(view(&world, "v1-0"), View::Unknown, "what it said a thousand seconds ago is no longer good");
    world.run(5);
    assert_eq!((view(&world, "v1-0"), view(&world, "v2-1")), (View::Known, View::Known));
    assert_eq!((world.fleet.tally().lost, world.fleet.tally().withdrawn), (0, 0), "an order has its time again");
    world.run(40);
    assert_eq!(world.fleet.tally().withdrawn, 1, "and then it is withdrawn");
}

#[test]
fn new_workers_have_their_time_again_after_a_restart() {
    let mut world = World::serving(1);
    world.starts_in = Some(Phase::Starting);
    world.roll_out(V2, 1, Policy { verify_timeout: Span::from_secs(30), ..Policy::default() });
    world.run(5);
    world.restart();
    world.at = world.at + Span::from_secs(100);
    world.fake("v2-0").phase = Phase::Serving;
    world.fake("v2-0").seq += 1;
    world.run(10);
    assert_eq!(world.stage(), Stage::Completed);
}

#[test]
fn what_was_decided_of_a_worker_outlives_a_restart() {
    let mut world = draining();
    world.fake("v1-1").hang_up(1);
    world.run(2);
    let order = |world: &World| world.fleet.members().get(id("v1-0")).and_then(|member| member.order);
    let before = order(&world);
    assert!(before.is_some_and(|order| !order.is_owed()));
    let seq = world.fake("v1-1").seq;
    world.restart();
    assert_eq!(order(&world), before);
    let member = world.fleet.members().get(id("v1-1")).unwrap();
    assert_eq!((member.drained, member.is_drained(), member.seq), (true, false, Seq::new(seq)));
    // A report from before that decision, still on its way when the coordinator restarted.
    let earlier = Fake { seq: seq - 1, phase: Phase::Serving, ..*world.fake("v1-1") };
    let later = world.fakes.insert(id("v1-1"), earlier).unwrap();
    assert_eq!(world.report(id("v1-1")), Err(Refused::Stale.into()));
    world.fakes.insert(id("v1-1"), later);
    world.run(2);
    assert!(world.fleet.members().get(id("v1-1")).unwrap().is_drained());
}

#[test]
fn who_stood_back_stands_back_after_a_restart() {
    let mut world = World::serving(1);
    world.fake("v1-0").obeyed.epoch = Epoch::new(1);
    world.fake("v1-0").seq += 1;
    assert!(matches!(world.report(id("v1-0")), Ok(Event::FencedOff(_))));
    world.restart();
    assert!(world.effects.contains(&Effect::Alert(Alert::FencedOff)));
    assert_eq!(world.fleet.deadline(), None);
}

#[test]
fn a_history_that_no_coordinator_decided_is_refused() {
    let rolled_out = {
        let mut world = World::serving(3);
        world.starts_in = Some(Phase::Standby);
        world.fake("v1-0").calls = 2;
        world.roll_out(V2, 3, Policy { wave: 2, shift_step: 50, ..Policy::default() });
        world.run(10);
        world.fake("v1-0").hang_up(2);
        world.run(10);
        world.fake("v2-0").mute = true;
        world.run(100);
        world
    };
    let taken_back = {
        let mut world = draining();
        world.fake("v1-0").sealed = true;
        world.fake("v1-0").seq += 1;
        world.run(1);
        world.request(Request::Rollback).unwrap();
        world.run(10);
        world
    };
    let mut doctored = 0;
    for world in [rolled_out, taken_back] {
        let mut fleet = Fleet::new(Timeouts::default()).unwrap();
        for entry in world.decisions() {
            fleet.fits(entry).unwrap_or_else(|misfit| panic!("{entry:?}: {misfit}"));
            for event in distort(&entry.event) {
                assert!(fleet.fits(&Entry { event, ..*entry }).is_err(), "{event:?}");
                doctored += 1;
            }
            fleet.apply(entry);
        }
        let observed = world.entries.iter().find(|entry| entry.event.is_observation()).unwrap();
        assert_eq!(fleet.fits(observed), Err(Misfit::Observed));
    }
    assert!(doctored > 100, "{doctored}");
}

/// What must not be taken for a decision because it looks like one.
fn distort(event: &Event) -> Vec<Event> {
    let poor = |room: Room| Room { have: 0, own: 0, need: room.need.max(1) };
    let nobody = |run| Run { worker: id("nobody"), ..run };
    let busy = |facts| Facts { phase: Phase::Draining, in_flight: 1, available: 0, ..facts };
    match *event {
        Event::ProvisionOrdered { version, workers, usable } => vec![
            Event::ProvisionOrdered { version, workers: workers + 1, usable },
            // A rollback asks for no more than there are; a rollout does not look.
            Event::ProvisionOrdered { version, workers: workers - u32::from(usable == 0), usable: workers },
            Event::ProvisionOrdered { version: Version::from_static("v9"), workers, usable },
        ],
        Event::VerifyingBegan { usable } => vec![Event::VerifyingBegan { usable: usable - 1 }, Event::Completed],
        Event::ShiftingBegan { ready } => {
            vec![Event::ShiftingBegan { ready: ready - 1 }, Event::VerifyFailed { ready: ready - 1 }]
        }
        Event::Shifted { to, weight, room } => {
            // A version that gets every call has to have the room for them alone.
            let with_help = Room { have: room.have + 1, ..room };
            let all = (weight == 100).then_some(Event::Shifted { to, weight, room: with_help });
            let others = [
                Event::Shifted { to, weight, room: poor(room) },
                Event::Shifted { to, weight: weight - 1, room },
                Event::CapacityBlocked { step: StepKind::Shift, room },
            ];
            others.into_iter().chain(all).collect()
        }
        Event::WaveStarted { version, wave, size, room } => vec![
            Event::WaveStarted { version, wave, size, room: poor(room) },
            Event::WaveStarted { version, wave, size: size + 2, room },
            Event::WaveStarted { version, wave: wave + 1, size, room },
            Event::VersionDrained { version },
        ],
        Event::DrainOrdered { run, terms, facts, room } => vec![
            Event::DrainOrdered { run, terms, facts, room: poor(room) },
            Event::DrainOrdered { run: nobody(run), terms, facts, room },
            Event::DrainOrdered { run, terms: DrainTerms { within: Some(Span::ZERO), ..terms }, facts, room },
            Event::DrainOrdered { run, terms, facts: busy(facts), room },
            Event::StopOrdered { run, facts },
        ],
        Event::Acked { run, task, facts } => vec![
            Event::WaveStarted { version: V1, wave: 2, size: 1, room: Room { need: 9, have: 9, own: 9 } },
            Event::Acked { run, task: Task::Stop, facts },
            Event::Acked { run, task, facts: Facts { phase: Phase::Starting, available: 0, ..facts } },
        ],
        Event::WorkerDrained { run, facts } => {
            let busy = Event::WorkerDrained { run, facts: busy(facts) };
            vec![busy, Event::StopOrdered { run, facts }, Event::CancelOrdered { run }]
        }
        Event::StopOrdered { run, facts } => {
            vec![Event::StopOrdered { run, facts: busy(facts) }, Event::StopOrdered { run: nobody(run), facts }]
        }
        Event::WorkerLost { run, heard, live } => vec![
            Event::WorkerLost { run, heard: heard + Span::from_secs(1), live },
            Event::WorkerLost { run, heard: Instant::EPOCH, live },
        ],
        Event::VersionDrained { .. } => vec![Event::VersionDrained { version: V3 }, Event::Completed],
        Event::CancelOrdered { run } => vec![Event::CancelOrdered { run: nobody(run) }, Event::RolledBack],
        Event::Completed => vec![Event::RolledBack],
        Event::RolledBack => vec![Event::Completed],
        _ => Vec::new(),
    }
}

#[test]
fn the_number_of_workers_is_bounded() {
    let world = World::serving(1);
    let mut fleet = world.fleet.clone();
    let mut register = |number: usize| {
        let worker = WorkerId::new(&format!("crowd-{number}")).unwrap();
        let run = Run { worker, incarnation: Incarnation::new(1) };
        fleet.step(world.at, Command::Register { run, version: V1 }).map(|_| ())
    };
    for number in 1..WORKERS_MAX {
        register(number).unwrap();
    }
    assert_eq!(register(WORKERS_MAX), Err(Refused::WorkersFull.into()));
}
