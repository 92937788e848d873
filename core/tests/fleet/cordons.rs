//! Workers that a person takes out of service, one by one, told as stories.

use openrtc_core::fleet::{
    DrainTerms, Event, Fleet, MemberStatus, Misuse, Policy, Refused, Rejection, Repeat, Request, Stage, VersionState,
};
use openrtc_core::id::WorkerId;
use openrtc_core::time::Span;
use openrtc_core::word::Phase;
use openrtc_core::worker::OnDeadline;

use super::world::{V1, V2, World, id};

const FORCES: DrainTerms = DrainTerms { within: Some(Span::from_secs(30)), on_deadline: OnDeadline::Force };

fn cordon(world: &mut World, name: &str) -> Result<Event, Rejection> {
    world.request(Request::Cordon { worker: id(name) })
}

fn uncordon(world: &mut World, name: &str) -> Result<Event, Rejection> {
    world.request(Request::Uncordon { worker: id(name) })
}

fn drain(world: &mut World, name: &str, terms: DrainTerms) -> Result<Event, Rejection> {
    world.request(Request::Drain { worker: id(name), terms })
}

fn status(fleet: &Fleet, name: &str) -> MemberStatus {
    fleet.members().get(WorkerId::new(name).unwrap()).unwrap().status
}

#[test]
fn a_cordoned_worker_keeps_its_calls_stays_when_they_end_and_comes_back() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 2;
    world.run(1);
    cordon(&mut world, "v1-0").unwrap();
    world.run(3);
    assert_eq!(world.fake("v1-0").phase, Phase::Draining);
    assert_eq!(world.fleet.members().pool(V1).slots, 10, "its slots do not count");
    assert_eq!(cordon(&mut world, "v1-0"), Err(Repeat::AlreadyCordoned.into()));
    world.fake("v1-0").hang_up(2);
    world.run(600);
    assert_eq!((world.fake("v1-0").phase, world.stops()), (Phase::Drained, 0));
    uncordon(&mut world, "v1-0").unwrap();
    world.run(3);
    assert_eq!(world.fake("v1-0").phase, Phase::Serving);
    assert_eq!(world.fleet.members().pool(V1).slots, 20);
    assert_eq!(uncordon(&mut world, "v1-0"), Err(Repeat::NotCordoned.into()));
}

#[test]
fn the_last_worker_that_takes_new_calls_is_known() {
    let mut world = World::serving(2);
    let last = |world: &World| ["v1-0", "v1-1"].map(|name| world.fleet.is_last(id(name)));
    assert_eq!(last(&world), [false, false]);
    cordon(&mut world, "v1-0").unwrap();
    world.run(3);
    assert_eq!(last(&world), [false, true], "a cordoned one takes none");
    world.roll_out(V2, 1, Policy { headroom: 0, ..Policy::default() });
    world.run(10);
    assert_eq!((last(&world), world.fleet.is_last(id("v2-0"))), ([false, false], true));
}

#[test]
fn a_worker_that_has_yet_to_hear_two_orders_has_drained_once_it_took_the_last() {
    let mut world = World::serving(2);
    cordon(&mut world, "v1-0").unwrap();
    world.run(3);
    let is_drained = |world: &World| world.fleet.members().get(id("v1-0")).unwrap().is_drained();
    assert!(is_drained(&world));
    world.fake("v1-0").deaf = true;
    uncordon(&mut world, "v1-0").unwrap();
    cordon(&mut world, "v1-0").unwrap();
    world.run(3);
    assert_eq!(world.fake("v1-0").phase, Phase::Drained, "as the first order left it");
    assert!(!is_drained(&world), "the second may still arrive, and open it");
    world.fake("v1-0").deaf = false;
    world.run(30);
    assert!(is_drained(&world));
}

#[test]
fn a_worker_that_is_drained_alone_leaves_and_the_others_serve_on() {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 2;
    world.run(1);
    drain(&mut world, "v1-0", DrainTerms::PATIENT).unwrap();
    assert_eq!(drain(&mut world, "v1-0", DrainTerms::PATIENT), Err(Repeat::AlreadyDismissed.into()));
    world.run(100);
    assert_eq!((world.fake("v1-0").phase, world.stops()), (Phase::Draining, 0), "it has calls");
    drain(&mut world, "v1-0", FORCES).expect("other terms are another order");
    world.run(2);
    world.fake("v1-0").hang_up(2);
    world.run(3);
    assert_eq!(world.stops(), 1);
    assert!(world.fleet.members().get(id("v1-0")).is_none());
    assert_eq!(world.fake("v1-1").phase, Phase::Serving);
}

#[test]
fn what_cannot_be_cordoned_or_drained_says_why() {
    let mut world = World::serving(2);
    let unbounded = DrainTerms { within: None, ..FORCES };
    assert!(matches!(drain(&mut world, "v1-0", unbounded), Err(Rejection::Misuse(Misuse::BadSpec(_)))));
    assert_eq!(cordon(&mut world, "nobody"), Err(Misuse::NoSuchWorker.into()));
    world.request(Request::Fence { worker: id("v1-0") }).unwrap();
    let worker = id("v1-0");
    for asked in [Request::Cordon { worker }, Request::Uncordon { worker }, Request::Drain { worker, terms: FORCES }] {
        assert_eq!(world.request(asked), Err(Refused::SentAway.into()), "{asked:?}");
    }
}

#[test]
fn somebody_on_the_spot_does_not_undo_a_cordon() {
    let mut world = World::serving(2);
    cordon(&mut world, "v1-0").unwrap();
    world.run(3);
    world.fake("v1-0").phase = Phase::Serving;
    world.fake("v1-0").seq += 1;
    world.run(1);
    assert_eq!(world.fake("v1-0").phase, Phase::Drained, "it was told again");
    assert_eq!(world.happened(|event| matches!(event, Event::DrainUndone { .. })), 1);
}

/// It drains all the same when its version is retired, and a rollback does not bring it back: a person must.
#[test]
fn a_rollback_leaves_a_cordoned_worker_alone() {
    let mut world = World::serving(2);
    for name in ["v1-0", "v1-1"] {
        world.fake(name).calls = 1;
    }
    world.run(1);
    cordon(&mut world, "v1-0").unwrap();
    world.roll_out(V2, 2, Policy::default());
    world.run(8);
    assert_eq!((world.stage(), world.state(V1)), (Stage::Draining, VersionState::Draining));
    assert_eq!(uncordon(&mut world, "v1-0"), Err(Refused::VersionRetired.into()));
    world.request(Request::Rollback).unwrap();
    world.run(8);
    assert_eq!(world.stage(), Stage::RolledBack);
    assert_eq!(world.fake("v1-1").phase, Phase::Serving);
    assert_eq!((world.fake("v1-0").phase, status(&world.fleet, "v1-0")), (Phase::Draining, MemberStatus::Cordoned));
    uncordon(&mut world, "v1-0").unwrap();
    world.run(3);
    assert_eq!(world.fake("v1-0").phase, Phase::Serving);
}

#[test]
fn a_rollout_ends_with_a_cordoned_worker_in_the_old_version_and_stops_it() {
    let mut world = World::serving(2);
    cordon(&mut world, "v1-0").unwrap();
    world.run(3);
    world.roll_out(V2, 2, Policy::default());
    world.run(12);
    assert_eq!((world.stage(), world.stops()), (Stage::Completed, 2));
}

/// A cordon is a decision: it outlives the coordinator, and what was seen of the worker does not.
#[test]
fn a_cordon_outlives_its_coordinator() {
    let mut world = World::serving(2);
    world.fake("v1-0").deaf = true;
    cordon(&mut world, "v1-0").unwrap();
    world.run(3);
    world.restart();
    assert_eq!(status(&world.fleet, "v1-0"), MemberStatus::Cordoned);
    world.fake("v1-0").deaf = false;
    world.run(8);
    assert_eq!(world.fake("v1-0").phase, Phase::Drained);
}
