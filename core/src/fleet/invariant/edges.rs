//! Each part of an invariant by itself, at its edge: what is just allowed, and what is just not.
//!
//! The states are forged. Many could not come about in a fleet whose other parts are right, and those parts are what
//! the invariants are there to judge.

use std::string::ToString;

use super::*;
use crate::fleet::{
    DrainTerms, Facts, Gates, Lease, OrderInForce, Policy, Report, Room, Spec, Stamp, StepKind, Timeouts,
};
use crate::id::{Actor, Incarnation, Seq, WorkerId};
use crate::machine::Machine;
use crate::time::Span;

const NEW: Version = Version::from_static("new");
const OLD: Version = Version::from_static("old");
const THIRD: Version = Version::from_static("third");
const ALICE: Actor = Actor::from_static("alice");
const HEARD: Instant = Instant::from_micros(60_000_000);
const TERMS: DrainTerms = DrainTerms::PATIENT;

/// New calls are with three workers of one version; two workers of the old one have two calls each and may drain next.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new(Timeouts::default()).unwrap();
    let policy = Policy { wave: 1, surge: 3, headroom: 20, ..Policy::default() };
    let spec = Spec { version: NEW, workers: 2, policy };
    let stage = Stage::Draining;
    fleet.rollout = Some(Rollout { actor: ALICE, spec, blue: Some(OLD), stage, since: HEARD, asked: 2 });
    for (version, state, weight) in [(NEW, VersionState::Current, 100), (OLD, VersionState::Draining, 0)] {
        fleet.versions.insert(version, VersionInfo { state, weight, workers: 2, since: HEARD });
    }
    for (name, calls) in [("new-0", 1), ("new-1", 0), ("new-2", 0), ("old-0", 2), ("old-1", 2)] {
        join(&mut fleet, name, if name.starts_with("new") { NEW } else { OLD }, serves(calls));
    }
    fleet
}

fn with(forge: impl FnOnce(&mut Fleet)) -> Fleet {
    let mut fleet = fleet();
    forge(&mut fleet);
    fleet
}

fn join(fleet: &mut Fleet, name: &str, version: Version, facts: Facts) {
    let mut member = Member::new(version, Incarnation::new(1), HEARD);
    member.seen.hear(HEARD, facts);
    fleet.members.insert(run(name).worker, &member);
}

fn change(fleet: &mut Fleet, name: &str, change: impl FnOnce(&mut Member)) {
    fleet.members.change(run(name).worker, change);
}

fn state_of(fleet: &mut Fleet, version: Version, state: VersionState, weight: u8) {
    let info = VersionInfo { state, weight, workers: 2, since: HEARD };
    fleet.versions.insert(version, info);
}

fn run(name: &str) -> Run {
    Run { worker: WorkerId::new(name).unwrap(), incarnation: Incarnation::new(1) }
}

/// A worker of ten slots.
fn serves(calls: u32) -> Facts {
    Facts {
        seq: Seq::new(3),
        phase: Phase::Serving,
        in_flight: calls,
        capacity: 10,
        available: 10 - calls,
        sealed: false,
        obeyed: Stamp::default(),
    }
}

fn told(member: &mut Member, task: Task) {
    let stamp = Stamp::default();
    let (acked, overdue_at, stands_for) = (None, None, None);
    member.order = Some(OrderInForce { task, stamp, given: HEARD, stands_for, acked, overdue_at, overdue: false });
}

fn drains(member: &mut Member) {
    told(member, Task::Drain(TERMS));
}

/// Something that is forged of a worker, and what that is.
type Forged = (&'static str, fn(&mut Member));

/// The invariant that an entry at the time of the reports breaks.
fn broken(judge: fn(&Fleet, &Entry) -> Checked, fleet: &Fleet, event: Event) -> Option<Invariant> {
    broken_at(judge, fleet, event, HEARD)
}

fn broken_at(judge: fn(&Fleet, &Entry) -> Checked, fleet: &Fleet, event: Event, at: Instant) -> Option<Invariant> {
    judge(fleet, &fleet.head().entry(at, event)).err().map(|breach| breach.invariant)
}

#[test]
fn a_breach_names_the_invariant_and_the_run() {
    let breach = Breach { invariant: Invariant::KillSafety, run: Some(run("new-0")) };
    assert_eq!(breach.to_string(), "S7 KillSafety does not hold for new-0 (run 1)");
    assert_eq!(Breach { run: None, ..breach }.to_string(), "S7 KillSafety does not hold");
}

#[test]
fn one_version_is_current_and_one_ramps_at_most() {
    use VersionState::{Current, Draining, Inactive, Ramping};
    let judged = |new: (VersionState, u8), old: (VersionState, u8)| {
        let fleet = with(|fleet| {
            state_of(fleet, NEW, new.0, new.1);
            state_of(fleet, OLD, old.0, old.1);
        });
        state(&fleet).err().map(|breach| breach.invariant)
    };
    assert_eq!(judged((Ramping, 30), (Current, 70)), None);
    assert_eq!(judged((Inactive, 0), (Current, 100)), None);
    assert_eq!(judged((Ramping, 0), (Draining, 0)), None, "nobody has a share");
    for (new, old) in [
        ((Current, 100), (Current, 0)),
        ((Ramping, 100), (Ramping, 0)),
        ((Ramping, 30), (Current, 69)),
        ((Inactive, 100), (Draining, 0)),
    ] {
        assert_eq!(judged(new, old), Some(Invariant::OneCurrent), "{new:?}, {old:?}");
    }
    assert_eq!(judged((Draining, 100), (Draining, 0)), Some(Invariant::ShiftClosed));
}

/// A wave of no worker, for which nothing but the room counts.
fn wave(need: u64, have: u64) -> Event {
    Event::WaveStarted { version: OLD, wave: 1, size: 0, room: Room { need, have, own: have } }
}

/// The calls are 1 + 2 + 2, and a fifth more; three workers of ten slots have room for them.
#[test]
fn room_is_counted_from_the_reports_of_workers_that_can_take_calls() {
    let judged = |fleet: &Fleet, need, have| broken(capacity, fleet, wave(need, have));
    assert_eq!(judged(&fleet(), 6, 30), None);
    for (need, have) in [(5, 30), (7, 30), (6, 29), (6, 31), (6, 50)] {
        assert_eq!(judged(&fleet(), need, have), Some(Invariant::Capacity), "need {need}, have {have}");
    }
    let does_not_count: [Forged; 6] = [
        ("not heard of late", |member| member.seen.fresh = false),
        ("cordoned", |member| member.status = MemberStatus::Cordoned),
        ("told to drain", drains),
        ("told to come back", |member| told(member, Task::Cancel)),
        ("draining by somebody else's order", |member| {
            member.seen.hear(HEARD, Facts { phase: Phase::Draining, available: 0, ..serves(1) });
        }),
        ("lost", |member| member.lease = Lease::Expired),
    ];
    for (what, forge) in does_not_count {
        let fleet = with(|fleet| change(fleet, "new-0", forge));
        assert_eq!((judged(&fleet, 6, 20), judged(&fleet, 6, 30)), (None, Some(Invariant::Capacity)), "{what}");
    }
    let serves_on = with(|fleet| change(fleet, "new-0", |member| told(member, Task::Serve)));
    assert_eq!(judged(&serves_on, 6, 30), None);
    let given_up = with(|fleet| change(fleet, "old-0", |member| member.status = MemberStatus::WrittenOff));
    assert_eq!(judged(&given_up, 4, 30), None, "nobody waits for the calls of a worker given up");
    let demand = with(|fleet| fleet.demand = 10);
    assert_eq!(judged(&demand, 12, 30), None);
}

#[test]
fn a_report_counts_for_as_long_as_it_is_good() {
    let ttl = Timeouts::default().report_ttl;
    let later = with(|fleet| {
        for name in ["new-0", "new-1"] {
            change(fleet, name, |member| member.seen.hear(HEARD + Span::from_secs(1), serves(0)));
        }
    });
    let judged = |at, have| broken_at(capacity, &later, wave(5, have), at);
    let last = Instant::from_micros((HEARD + ttl).as_micros() - 1);
    assert_eq!((judged(last, 30), judged(HEARD + ttl, 20)), (None, None));
    assert_eq!(judged(HEARD + ttl, 30), Some(Invariant::Capacity));
}

#[test]
fn nothing_moves_without_room_but_what_takes_nothing_from_anybody() {
    let judged = |fleet: &Fleet, event| broken(capacity, fleet, event);
    let short = |fleet: &mut Fleet| fleet.demand = 100;
    let shift = |weight, have, own| Event::Shifted { to: NEW, weight, room: Room { need: 120, have, own } };

    assert_eq!(judged(&with(short), wave(120, 30)), Some(Invariant::Capacity));
    assert_eq!(judged(&with(short), shift(100, 30, 30)), None, "it has that share already");
    let both = with(|fleet| {
        short(fleet);
        state_of(fleet, NEW, VersionState::Ramping, 0);
        state_of(fleet, OLD, VersionState::Current, 100);
    });
    assert_eq!(judged(&both, shift(50, 50, 30)), Some(Invariant::Capacity));
    let unrouted = with(|fleet| {
        short(fleet);
        state_of(fleet, NEW, VersionState::Ramping, 0);
    });
    assert_eq!(judged(&unrouted, shift(100, 30, 30)), None, "the first share is nobody's loss");
    assert_eq!(judged(&unrouted, wave(120, 0)), None, "where no calls are routed, none need room");

    let blocked = Event::CapacityBlocked { step: StepKind::Wave, room: Room { need: 0, have: 0, own: 0 } };
    assert_eq!(judged(&with(short), blocked), None, "it says that there is too little");
    let idle = with(|fleet| {
        for name in ["new-0", "new-1", "new-2", "old-0", "old-1"] {
            change(fleet, name, |member| member.seen.hear(HEARD, serves(0)));
            change(fleet, name, |member| member.status = MemberStatus::Cordoned);
        }
    });
    assert_eq!(judged(&idle, wave(0, 0)), Some(Invariant::Capacity), "no call, but nobody to take the next");
    let unheard = with(|fleet| change(fleet, "old-0", |member| member.seen.awaited = true));
    assert_eq!(judged(&unheard, wave(6, 30)), Some(Invariant::Capacity));
}

/// The others share what is left, and a version without a share gets none.
#[test]
fn a_shift_counts_the_versions_that_have_a_share_after_it() {
    let fleet = with(|fleet| {
        state_of(fleet, NEW, VersionState::Ramping, 0);
        state_of(fleet, OLD, VersionState::Current, 100);
        state_of(fleet, THIRD, VersionState::Draining, 0);
        join(fleet, "third-0", THIRD, serves(0));
    });
    let judged = |weight, have| {
        let room = Room { need: 6, have, own: 30 };
        broken(capacity, &fleet, Event::Shifted { to: NEW, weight, room })
    };
    assert_eq!((judged(30, 50), judged(100, 30)), (None, None));
    for (weight, have) in [(30, 30), (30, 60), (100, 50), (100, 40)] {
        assert_eq!(judged(weight, have), Some(Invariant::Capacity), "{weight} %, {have} slots");
    }
}

#[test]
fn the_room_without_the_worker_that_leaves_is_what_counts() {
    let leaves = |have| {
        let room = Room { need: 6, have, own: have };
        broken(capacity, &fleet(), Event::ScaleInOrdered { run: run("new-2"), facts: serves(0), room, usable: 3 })
    };
    assert_eq!((leaves(20), leaves(30)), (None, Some(Invariant::Capacity)));
}

#[test]
fn a_version_is_drained_when_each_of_its_workers_is_or_was_given_up() {
    let drained = Facts { phase: Phase::Drained, in_flight: 0, available: 0, ..serves(0) };
    let judged = |fleet: &Fleet| broken(drained_sound, fleet, Event::VersionDrained { version: OLD });
    let one = with(|fleet| {
        change(fleet, "old-0", |member| {
            member.seen.hear(HEARD, drained);
            member.drained = true;
        });
    });
    assert_eq!(judged(&one), Some(Invariant::DrainedSound));
    let mut all = one;
    change(&mut all, "old-1", |member| member.status = MemberStatus::WrittenOff);
    assert_eq!(judged(&all), None);
}

#[test]
fn who_joined_may_come_back_and_nobody_else_joins_a_retired_version() {
    let joins = |incarnation, version| {
        let run = Run { incarnation: Incarnation::new(incarnation), ..run("old-0") };
        broken(keep_out, &fleet(), Event::WorkerRegistered { run, version, lost_before: None })
    };
    assert_eq!((joins(1, OLD), joins(2, NEW)), (None, None));
    let third = with(|fleet| state_of(fleet, THIRD, VersionState::Drained, 0));
    let other = Event::WorkerRegistered { run: run("old-0"), version: THIRD, lost_before: None };
    assert_eq!(broken(keep_out, &third, other), Some(Invariant::KeepOut), "the same run, of another version");
    for (incarnation, version) in [(2, OLD), (0, NEW), (0, OLD), (2, THIRD)] {
        assert_eq!(joins(incarnation, version), Some(Invariant::KeepOut), "run {incarnation} of {version}");
    }
    let reports = |name, version| {
        let report = Report { run: run(name), version, facts: serves(0) };
        broken(keep_out, &fleet(), Event::WorkerReported(report))
    };
    assert_eq!((reports("old-0", OLD), reports("old-0", NEW)), (None, Some(Invariant::KeepOut)));
}

#[test]
fn as_many_workers_drain_as_a_wave_has() {
    let room = Room { need: 6, have: 30, own: 30 };
    let judged = |fleet: &Fleet| {
        let event = Event::DrainOrdered { run: run("old-1"), terms: TERMS, facts: serves(2), room };
        broken(bounds, fleet, event)
    };
    let beside = |forge: fn(&mut Member)| with(|fleet| change(fleet, "old-0", forge));
    assert_eq!(judged(&fleet()), None);
    assert_eq!(judged(&beside(drains)), Some(Invariant::Bounds));
    assert_eq!(judged(&beside(|member| told(member, Task::Force))), Some(Invariant::Bounds));
    let free: [Forged; 3] = [
        ("it has drained", |member| {
            drains(member);
            member.drained = true;
        }),
        ("it was sent away", |member| {
            drains(member);
            member.status = MemberStatus::Fenced;
        }),
        ("it was told to serve", |member| told(member, Task::Serve)),
    ];
    for (why, forge) in free {
        assert_eq!(judged(&beside(forge)), None, "{why}");
    }
    let scales_in = with(|fleet| change(fleet, "new-0", drains));
    assert_eq!(judged(&scales_in), None, "a version in use that scales in has a wave of its own");
}

#[test]
fn a_worker_leaves_that_is_one_too_many_and_one_wave_at_a_time() {
    let judged = |fleet: &Fleet, usable| {
        let room = Room { need: 6, have: 20, own: 20 };
        broken(bounds, fleet, Event::ScaleInOrdered { run: run("new-2"), facts: serves(0), room, usable })
    };
    assert_eq!(judged(&fleet(), 3), None, "two are wanted");
    assert_eq!((judged(&fleet(), 2), judged(&fleet(), 4)), (Some(Invariant::Bounds), Some(Invariant::Bounds)));
    let wanted = with(|fleet| fleet.versions.get_mut(&NEW).unwrap().workers = 3);
    assert_eq!(judged(&wanted, 3), Some(Invariant::Bounds));
    let old_drains = with(|fleet| change(fleet, "old-0", drains));
    assert_eq!(judged(&old_drains, 3), None, "that is the wave of another version");
    let new_drains = with(|fleet| {
        fleet.versions.get_mut(&NEW).unwrap().workers = 1;
        change(fleet, "new-0", drains);
    });
    assert_eq!(judged(&new_drains, 2), Some(Invariant::Bounds));
}

/// Three workers of the version run and the surge is three, so six may be asked for.
#[test]
fn no_more_workers_are_asked_for_than_the_surge_allows() {
    let provision = |workers| Event::ProvisionOrdered { version: NEW, workers, usable: 3 };
    let scale = |workers| Event::Scaled { actor: ALICE, version: NEW, workers };
    for (event, verdict) in [
        (provision(6), None),
        (provision(7), Some(Invariant::Bounds)),
        (scale(6), None),
        (scale(7), Some(Invariant::Bounds)),
    ] {
        assert_eq!(broken(bounds, &fleet(), event), verdict, "{event:?}");
    }
}

/// The fleet in a stage with a share for the new version, of which a web service has not said yet what it thinks.
fn gated(stage: Stage, weight: u8) -> Fleet {
    with(|fleet| {
        let asked = [Gate::Webhook].into_iter().collect();
        fleet.annex.gates = Gates { asked, ..Gates::default() };
        fleet.rollout.as_mut().unwrap().stage = stage;
        state_of(fleet, NEW, VersionState::Ramping, weight);
        state_of(fleet, OLD, VersionState::Current, 100 - weight);
    })
}

#[test]
fn gates_hold_the_next_share_and_nothing_else() {
    let shift = |to| Event::Shifted { to, weight: 100, room: Room { need: 0, have: 0, own: 0 } };
    let held = Some(Invariant::GatesHold);
    let judged = |fleet: &Fleet, to| broken(gates_hold, fleet, shift(to));
    assert_eq!(judged(&gated(Stage::Shifting, 50), NEW), held);
    assert_eq!(judged(&gated(Stage::Shifting, 0), NEW), None, "there is nothing to judge before the first share");
    assert_eq!(judged(&gated(Stage::Shifting, 50), OLD), None);
    assert_eq!(judged(&gated(Stage::RollingBack, 50), NEW), None);
    let mut first = gated(Stage::Shifting, 50);
    first.rollout.as_mut().unwrap().blue = None;
    assert_eq!(judged(&first, NEW), None, "there is nothing to go back to");
    let mut passed = gated(Stage::Shifting, 50);
    passed.annex.gates.passed = passed.annex.gates.asked;
    assert_eq!(judged(&passed, NEW), None);
    passed.annex.gates.failed = passed.annex.gates.asked;
    assert_eq!(judged(&passed, NEW), held, "a gate that failed does not stand open because it had passed");
}

#[test]
fn gates_hold_the_drain_of_the_old_version_and_no_other() {
    let wave = |version| Event::WaveStarted { version, wave: 1, size: 1, room: Room { need: 0, have: 0, own: 0 } };
    let judged = |stage, version| broken(gates_hold, &gated(stage, 100), wave(version));
    assert_eq!(judged(Stage::Draining, OLD), Some(Invariant::GatesHold));
    assert_eq!(judged(Stage::Draining, NEW), None);
    assert_eq!(judged(Stage::RollingBack, OLD), None);
}

#[test]
fn a_result_is_on_the_step_that_was_reached_and_of_a_gate_that_was_asked() {
    let step = |weight| GatedStep { version: NEW, weight };
    let passes = |gate, reached, judged| {
        let event = Event::GatePassed { gate, step: step(judged) };
        broken(gates_hold, &gated(Stage::Shifting, reached), event)
    };
    let held = Some(Invariant::GatesHold);
    assert_eq!(passes(Gate::Webhook, 50, 50), None);
    assert_eq!(passes(Gate::Webhook, 50, 49), held);
    assert_eq!(passes(Gate::Webhook, 0, 0), held, "before the first share there is no step");
    assert_eq!(passes(Gate::ErrorRate, 50, 50), held);
    let promoted = |judged| {
        let event = Event::Promoted { actor: ALICE, step: step(judged) };
        broken(gates_hold, &gated(Stage::Shifting, 50), event)
    };
    assert_eq!((promoted(50), promoted(49)), (None, held));
}
