//! What goes wrong with workers and coordinators during a rollout, told as stories.

use openrtc_core::fleet::{
    Alert, Command, Effect, Event, Misuse, Policy, Refused, RejectReason, Rejection, Repeat, Request, Run, Stage,
    StepKind, Task, VersionState, View,
};
use openrtc_core::id::{Epoch, Incarnation};
use openrtc_core::machine::Machine;
use openrtc_core::time::Span;
use openrtc_core::word::Phase;
use openrtc_core::worker::OnDeadline;

use super::world::{ALICE, V1, V2, V3, World, id};

#[test]
fn capacity_that_is_lost_in_the_middle_holds_the_next_wave() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 1;
    world.fake("v1-1").calls = 1;
    world.command(Command::Demand { calls: 10 }).unwrap();
    world.roll_out(V2, 2, Policy { wave: 1, ..Policy::default() });
    world.run(4);
    assert_eq!(world.fleet.wave().unwrap().number, 1);
    world.fake("v2-0").mute = true;
    world.run(15);
    assert_eq!(world.fleet.members().get(id("v2-0")).unwrap().view(), View::Unknown);
    assert!(!world.fleet.is_blocked(StepKind::Wave), "nothing waits for room while a wave drains");
    world.fake("v1-0").hang_up(1);
    world.run(15);
    assert!(world.fleet.is_blocked(StepKind::Wave), "10 slots in reach are not room for 12 calls");
    assert_eq!(world.fake("v1-1").phase, Phase::Serving);
    world.fake("v2-0").mute = false;
    world.run(5);
    assert_eq!(world.fake("v1-1").phase, Phase::Draining);
    world.fake("v1-1").hang_up(1);
    world.run(5);
    assert_eq!(world.stage(), Stage::Completed);
}

#[test]
fn a_lost_worker_is_never_drained_and_never_stopped_until_a_person_says_so() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 3;
    world.run(1);
    world.roll_out(V2, 2, Policy::default());
    world.run(5);
    world.fake("v1-0").mute = true;
    world.run(20);
    let view = |world: &World| world.fleet.members().get(id("v1-0")).unwrap().view();
    assert_eq!(view(&world), View::Unknown);
    assert_eq!(world.request(Request::Force { worker: id("v1-0") }), Err(Refused::Unknown.into()));
    world.run(600);
    assert_eq!(view(&world), View::Lost);
    let run = Run { worker: id("v1-0"), incarnation: Incarnation::new(1) };
    assert!(world.effects.contains(&Effect::Alert(Alert::WorkerLost(run))));
    assert_eq!((world.stage(), world.state(V1)), (Stage::Draining, VersionState::Draining));
    assert_eq!(world.stops(), 0);
    world.request(Request::Force { worker: id("v1-0") }).unwrap();
    world.run(5);
    assert_eq!(world.stage(), Stage::Completed);
    assert_eq!(world.stops(), 2);
    assert_eq!((world.fleet.tally().lost, world.fleet.tally().written_off), (1, 1));
    assert_eq!(world.fleet.tally().dropped, 3, "whoever gives a worker up gives its calls up");
}

#[test]
fn a_lost_worker_that_comes_back_registers_again_and_drains() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 3;
    world.roll_out(V2, 2, Policy::default());
    world.run(5);
    world.fake("v1-0").mute = true;
    world.run(100);
    world.fake("v1-0").mute = false;
    assert_eq!(world.report(id("v1-0")), Err(Refused::LeaseExpired.into()));
    world.register("v1-0").unwrap();
    world.fake("v1-0").hang_up(3);
    world.run(10);
    assert_eq!(world.stage(), Stage::Completed);
}

#[test]
fn a_drain_without_an_answer_is_withdrawn_and_never_ends_in_a_kill() {
    let mut world = World::serving(1);
    world.fake("v1-0").calls = 2;
    world.fake("v1-0").deaf = true;
    world.roll_out(V2, 1, Policy::default());
    world.run(50);
    let run = Run { worker: id("v1-0"), incarnation: Incarnation::new(1) };
    assert!(world.happened(|event| matches!(event, Event::Reissued { .. })) >= 4);
    assert_eq!(world.happened(|event| *event == Event::DrainWithdrawn { run }), 1);
    assert!(world.effects.contains(&Effect::Alert(Alert::DrainWithdrawn(run))));
    assert!(world.effects.iter().any(|effect| matches!(effect, Effect::CancelDrain { .. })));
    assert!(world.fleet.paused().is_some(), "a person must look");
    assert_eq!(world.stops(), 0);
    world.fake("v1-0").deaf = false;
    world.run(10);
    assert_eq!(world.fake("v1-0").phase, Phase::Serving);
    world.request(Request::Resume).unwrap();
    world.run(10);
    assert_eq!(world.fake("v1-0").phase, Phase::Draining);
    world.fake("v1-0").hang_up(2);
    world.run(10);
    assert_eq!(world.stage(), Stage::Completed);
}

#[test]
fn a_cancel_that_comes_after_a_signal_is_refused_and_the_worker_is_left_to_drain() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 2;
    world.roll_out(V2, 2, Policy::default());
    world.run(8);
    world.fake("v1-0").deaf = true;
    world.request(Request::Rollback).unwrap();
    world.run(2);
    world.fake("v1-0").sealed = true;
    world.fake("v1-0").seq += 1;
    world.run(2);
    let run = Run { worker: id("v1-0"), incarnation: Incarnation::new(1) };
    assert_eq!(world.happened(|event| matches!(event, Event::CancelRefused { run: who, .. } if *who == run)), 1);
    world.run(20);
    assert_eq!(world.stage(), Stage::RolledBack, "a replacement was provided");
    assert_eq!((world.fake("v1-0").phase, world.fake("v1-0").calls), (Phase::Draining, 2));
}

#[test]
fn two_coordinators_never_both_advance_a_rollout() {
    let mut first = World::serving(1);
    first.take_over(1).unwrap();
    first.roll_out(V2, 1, Policy::default());
    first.run(2);
    let mut second = World::new();
    for entry in first.decisions() {
        second.fleet.apply(entry);
    }
    let mut effects = Vec::new();
    let epoch = Epoch::new(2);
    let take = Command::TakeOver { epoch, actor: ALICE };
    let taken = second.fleet.step(first.at, take).unwrap();
    second.fleet.react(&taken, &mut |effect: Effect| effects.push(effect));
    assert!(effects.iter().all(|effect| effect.epoch().is_none_or(|term| term == epoch)));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Route { .. })), "what is owed is said anew");
    let stale = Command::Request { epoch: Epoch::new(1), actor: ALICE, request: Request::Pause };
    let fenced = Err(Refused::Fenced { by: epoch }.into());
    assert_eq!(second.fleet.decide(first.at, stale), fenced);
    // A worker that obeyed the second tells the first, which stands back for good.
    first.fake("v2-0").obeyed.epoch = epoch;
    first.fake("v2-0").seq += 1;
    assert!(matches!(first.report(id("v2-0")), Ok(Event::FencedOff(_))));
    let told = first.effects.len();
    assert_eq!(first.request(Request::Pause), fenced.map(|entry| entry.event));
    assert_eq!(first.fleet.deadline(), None);
    first.run(100);
    assert_eq!(first.effects.len(), told);
    assert_eq!(first.take_over(2), Err(Rejection::Refused(Refused::Fenced { by: epoch })));
    first.take_over(3).unwrap();
    first.run(20);
    assert_eq!(first.stage(), Stage::Completed);
}

#[test]
fn strangers_and_leftovers_are_kept_out() {
    let mut world = World::serving(1);
    world.start("stranger", V3, Phase::Serving);
    let rejected = |world: &World, name, reason| {
        let is = |effect: &&Effect| match effect {
            Effect::Reject { run, stamp, reason: why } => {
                run.worker == id(name) && stamp.epoch == world.fleet.epoch() && *why == reason
            }
            _ => false,
        };
        world.effects.iter().filter(is).count()
    };
    let never = Refused::NeverDeployed { version: V3 };
    assert_eq!(world.register("stranger"), Err(never.into()), "another coordinator may have let it in");
    assert_eq!(world.report(id("stranger")), Err(never.into()));
    assert_eq!(rejected(&world, "stranger", RejectReason::VersionNotAllowed), 0);
    world.fakes.remove(&id("stranger"));
    world.roll_out(V2, 1, Policy::default());
    world.run(20);
    assert_eq!(world.stage(), Stage::Completed);
    world.start("v1-0", V1, Phase::Serving);
    assert_eq!(rejected(&world, "v1-0", RejectReason::VersionNotAllowed), 1);
    assert!(matches!(world.report(id("v1-0")), Ok(Event::WorkerRejected { .. })));
    assert_eq!(world.fleet.members().pool(V1).members, 0);
    world.fakes.remove(&id("v1-0"));
    world.start("v2-0", V2, Phase::Serving);
    world.fake("v2-0").incarnation = 1;
    assert!(matches!(world.register("v2-0"), Ok(Event::WorkerRejected { reason: RejectReason::StaleIncarnation, .. })));
    assert_eq!(world.report(id("v2-0")), Err(Refused::Stale.into()));
}

#[test]
fn an_old_image_restarted_in_a_drain_is_refused_and_its_calls_are_not_called_drained() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 3;
    world.roll_out(V2, 2, Policy::default());
    world.run(5);
    world.start("v1-0", V1, Phase::Serving);
    world.run(5);
    let member = world.fleet.members().get(id("v1-0")).unwrap();
    assert_eq!((member.view(), member.is_drained()), (View::Lost, false));
    assert_eq!(world.stage(), Stage::Draining);
    assert_eq!(world.fleet.tally().lost, 1);
}

#[test]
fn a_fenced_worker_drains_is_stopped_and_counts_no_more() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 1;
    world.run(1);
    world.request(Request::Fence { worker: id("v1-0") }).unwrap();
    assert_eq!(world.request(Request::Fence { worker: id("v1-0") }), Err(Repeat::AlreadyFenced.into()));
    assert_eq!(world.request(Request::Fence { worker: id("nobody") }), Err(Misuse::NoSuchWorker.into()));
    assert_eq!(world.fleet.members().pool(V1).slots, 10);
    world.run(5);
    assert_eq!(world.fake("v1-0").phase, Phase::Draining);
    world.fake("v1-0").hang_up(1);
    world.run(5);
    assert!(world.fleet.members().get(id("v1-0")).is_none());
    assert_eq!(world.fleet.tally().lost, 0);
}

#[test]
fn an_overdue_drain_raises_an_alert_and_a_person_may_force_it() {
    let mut world = World::serving(1);
    world.fake("v1-0").calls = 4;
    let policy =
        Policy { drain_timeout: Some(Span::from_secs(60)), on_deadline: OnDeadline::Alert, ..Policy::default() };
    world.roll_out(V2, 1, policy);
    assert_eq!(world.request(Request::Force { worker: id("v1-0") }), Err(Misuse::NotDraining.into()));
    world.run(80);
    let run = Run { worker: id("v1-0"), incarnation: Incarnation::new(1) };
    assert_eq!(world.happened(|event| *event == Event::DrainOverdue { run, live: 4 }), 1);
    assert_eq!((world.stage(), world.stops()), (Stage::Draining, 0));
    world.request(Request::Force { worker: id("v1-0") }).unwrap();
    assert_eq!(world.request(Request::Force { worker: id("v1-0") }), Err(Repeat::AlreadyForced.into()));
    world.run(5);
    assert_eq!(world.stage(), Stage::Completed);
}

#[test]
fn calls_a_worker_says_it_dropped_are_counted() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 3;
    world.run(1);
    world.fake("v1-0").phase = Phase::Exited;
    world.fake("v1-0").seq += 1;
    world.run(1);
    assert_eq!(world.fleet.tally().dropped, 3);
    assert!(world.fleet.members().get(id("v1-0")).is_none());
}

#[test]
fn a_late_order_overtaken_by_its_withdrawal_has_no_effect() {
    let mut world = World::serving(1);
    world.fake("v1-0").calls = 1;
    world.fake("v1-0").deaf = true;
    world.roll_out(V2, 1, Policy::default());
    world.run(10);
    world.request(Request::Rollback).unwrap();
    world.run(10);
    let member = *world.fleet.members().get(id("v1-0")).unwrap();
    assert_eq!(member.order.unwrap().task, Task::Cancel, "serving is no proof that the cancel came before the drain");
    assert_eq!((member.phase(), member.slots()), (Some(Phase::Serving), 0));
    assert_eq!(world.fleet.weight(V1), 0, "and no calls are moved to it on that account");
    world.fake("v1-0").deaf = false;
    world.run(10);
    assert_eq!(world.fleet.weight(V1), 100);
    assert_eq!(world.fleet.members().get(id("v1-0")).unwrap().order, None);
}

#[test]
fn a_report_from_before_a_cancel_does_not_make_a_worker_drained() {
    let mut world = World::serving(2);
    world.fake("v1-0").mute = true;
    world.roll_out(V2, 2, Policy::default());
    world.run(10);
    assert_eq!(world.fake("v1-0").phase, Phase::Drained);
    world.request(Request::Rollback).unwrap();
    world.settle();
    world.report(id("v1-0")).unwrap();
    world.settle();
    let member = *world.fleet.members().get(id("v1-0")).unwrap();
    assert_eq!(
        (member.phase(), member.is_drained()),
        (Some(Phase::Drained), false),
        "the cancel may have opened it again"
    );
    world.fake("v1-0").mute = false;
    world.run(10);
    assert_eq!((world.fake("v1-0").phase, world.fleet.weight(V1)), (Phase::Serving, 100));
}
