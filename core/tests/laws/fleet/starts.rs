//! Fleets at different points of their lives, so that short scripts reach what comes late.

use openrtc_core::fleet::{
    Command, Facts, Fleet, Gate, GateSet, OnGateFailure, Policy, Report, Request, Run, Spec, Stage, Stamp, Timeouts,
    VERSIONS_MAX,
};
use openrtc_core::id::{Actor, Incarnation, Version, WorkerId};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::OnDeadline;
use proptest::prelude::*;

pub(crate) const ALICE: Actor = Actor::from_static("alice");
pub(crate) const V1: Version = Version::from_static("v1");
pub(crate) const V2: Version = Version::from_static("v2");
pub(crate) const V3: Version = Version::from_static("v3");
pub(crate) const WORKERS: [WorkerId; 5] = [
    WorkerId::from_static("w0"),
    WorkerId::from_static("w1"),
    WorkerId::from_static("w2"),
    WorkerId::from_static("w3"),
    WorkerId::from_static("w4"),
];

/// How many calls a worker holds.
pub(crate) const CAPACITY: u32 = 4;

/// When everything before a script happens.
const EARLY: Instant = Instant::from_micros(1);

pub(crate) const FIRST: Incarnation = Incarnation::new(1);

/// A policy under which everything can go wrong within a script.
pub(crate) const HASTY: Policy = Policy {
    ack_timeout: Span::from_secs(4),
    drain_timeout: Some(Span::from_secs(6)),
    on_deadline: OnDeadline::Alert,
    headroom: 0,
    shift_step: 50,
    surge: 3,
    verify_timeout: Span::from_secs(8),
    wave: 1,
};

pub(crate) fn fleets() -> BoxedStrategy<Fleet> {
    let timeouts =
        Timeouts { report_ttl: Span::from_secs(5), lease_ttl: Span::from_secs(12), resend_after: Span::from_secs(2) };
    let new = Fleet::new(timeouts).expect("these timeouts work");
    let shifted = first_shift(&new);
    let serving = serving(&shifted);
    let provisioned = provisioned(&serving);
    let draining = draining(&provisioned);
    let gated = [OnGateFailure::Pause, OnGateFailure::Undo].map(|on_failure| gated(&provisioned, on_failure));
    let [gated_to_pause, gated_to_undo] = gated;
    prop_oneof![
        20 => Just(new),
        40 => Just(shifted),
        60 => Just(serving.clone()),
        60 => Just(provisioned),
        20 => Just(losing(&draining)),
        20 => Just(cordoned(&draining)),
        20 => Just(scaled(&serving)),
        20 => Just(gated_to_pause),
        20 => Just(gated_to_undo),
        60 => Just(draining),
        20 => Just(versions_full(&serving)),
    ]
    .boxed()
}

/// The first rollout ever, of two workers: all calls have just moved.
fn first_shift(new: &Fleet) -> Fleet {
    let mut fleet = new.clone();
    request(&mut fleet, roll_out(V1, 2));
    settle(&mut fleet, EARLY);
    for worker in &WORKERS[..2] {
        join(&mut fleet, *worker, V1, Phase::Serving);
    }
    while fleet.weight(V1) == 0 {
        command(&mut fleet, Command::Wake);
    }
    assert_eq!(stage(&fleet), Stage::Draining);
    fleet
}

/// Two workers of v1 that serve.
fn serving(shifted: &Fleet) -> Fleet {
    let mut fleet = shifted.clone();
    settle(&mut fleet, EARLY);
    assert_eq!(stage(&fleet), Stage::Completed);
    fleet
}

/// A rollout to v2, one worker of which is there.
fn provisioned(serving: &Fleet) -> Fleet {
    let mut fleet = serving.clone();
    request(&mut fleet, roll_out(V2, 1));
    settle(&mut fleet, EARLY);
    join(&mut fleet, WORKERS[2], V2, Phase::Standby);
    assert_eq!(stage(&fleet), Stage::Provisioning);
    fleet
}

/// Two workers serve, and one is wanted.
fn scaled(serving: &Fleet) -> Fleet {
    let mut fleet = serving.clone();
    request(&mut fleet, Request::Scale { workers: 1 });
    fleet
}

/// Half of the calls have moved, and two gates are waited for.
fn gated(provisioned: &Fleet, on_failure: OnGateFailure) -> Fleet {
    let mut fleet = provisioned.clone();
    let asked = GateSet::NONE.with(Gate::ErrorRate).with(Gate::Person);
    request(&mut fleet, Request::SetGates { asked, on_failure });
    settle(&mut fleet, EARLY);
    report(&mut fleet, WORKERS[2], Phase::Serving, 0);
    settle(&mut fleet, EARLY);
    assert_eq!((stage(&fleet), fleet.weight(V2), fleet.gates_awaited()), (Stage::Shifting, 50, asked));
    fleet
}

/// All calls have moved, and the first worker of v1 was told to drain. It has calls.
fn draining(provisioned: &Fleet) -> Fleet {
    let mut fleet = provisioned.clone();
    settle(&mut fleet, EARLY);
    report(&mut fleet, WORKERS[2], Phase::Serving, 0);
    report(&mut fleet, WORKERS[0], Phase::Serving, 1);
    report(&mut fleet, WORKERS[1], Phase::Serving, 2);
    settle(&mut fleet, EARLY);
    assert_eq!((stage(&fleet), fleet.weight(V2)), (Stage::Draining, 100));
    assert!(fleet.members().get(WORKERS[0]).is_some_and(|member| member.order.is_some()));
    fleet
}

/// The same, and a worker of the old version is cordoned.
fn cordoned(draining: &Fleet) -> Fleet {
    let mut fleet = draining.clone();
    request(&mut fleet, Request::Cordon { worker: WORKERS[1] });
    fleet
}

/// In the middle of a drain all workers fall silent, and are lost in the end.
fn losing(draining: &Fleet) -> Fleet {
    let mut fleet = draining.clone();
    while let Some((due, _)) = fleet.deadline().filter(|_| fleet.members().total().lost < 3) {
        settle(&mut fleet, due);
    }
    assert_eq!(fleet.members().total().lost, 3);
    fleet
}

/// A fleet with as many versions as it can tell apart, none of which it can forget: each has a worker left.
fn versions_full(serving: &Fleet) -> Fleet {
    let mut fleet = serving.clone();
    for number in 1..VERSIONS_MAX {
        let version = Version::new(&format!("old{number}")).expect("a short name");
        let worker = WorkerId::new(&format!("old{number}")).expect("a short name");
        request(&mut fleet, roll_out(version, 1));
        settle(&mut fleet, EARLY);
        join(&mut fleet, worker, version, Phase::Serving);
        settle(&mut fleet, EARLY);
        assert_eq!(fleet.current(), Some(version));
    }
    assert_eq!(fleet.versions().len(), VERSIONS_MAX);
    fleet
}

fn stage(fleet: &Fleet) -> Stage {
    fleet.rollout().expect("a rollout").stage
}

fn roll_out(version: Version, workers: u32) -> Request {
    Request::RollOut(Spec { version, workers, policy: HASTY })
}

fn request(fleet: &mut Fleet, request: Request) {
    let epoch = fleet.epoch();
    command(fleet, Command::Request { epoch, actor: ALICE, request });
}

fn join(fleet: &mut Fleet, worker: WorkerId, version: Version, phase: Phase) {
    command(fleet, Command::Register { run: Run { worker, incarnation: FIRST }, version });
    report(fleet, worker, phase, 0);
}

fn report(fleet: &mut Fleet, worker: WorkerId, phase: Phase, calls: u32) {
    let member = fleet.members().get(worker).expect("a member");
    let obeyed = member.order.map_or_else(Stamp::default, |order| order.stamp);
    let facts = Facts {
        seq: member.facts().map_or(member.seq, |facts| facts.seq).next(),
        phase,
        in_flight: calls,
        capacity: CAPACITY,
        available: if phase == Phase::Serving { CAPACITY - calls } else { 0 },
        sealed: false,
        obeyed,
    };
    let report = Report { run: Run { worker, incarnation: FIRST }, version: member.version, facts };
    command(fleet, Command::Report(report));
}

fn command(fleet: &mut Fleet, command: Command) {
    fleet.step(EARLY, command).expect("the fleet can do this");
}

fn settle(fleet: &mut Fleet, at: Instant) {
    while fleet.step(at, Command::Wake).is_ok() {}
}
