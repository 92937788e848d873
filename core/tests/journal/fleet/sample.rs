//! A fleet's records of every kind, and a coordinator's life.

use openrtc_core::fleet::{
    Departure, DrainTerms, Entry, Event, Facts, Fleet, Gate, GatedStep, Lease, MemberStatus, OnGateFailure,
    PauseReason, Policy, RejectReason, Report, Request, Room, Run, Spec, Stage, Stamp, StepKind, Task, Timeouts,
    VersionState,
};
use openrtc_core::id::{Actor, Deployment, Epoch, Incarnation, Seq, WorkerId};
use openrtc_core::journal::{Office, Opening, Record};
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::OnDeadline;
use serde::Serialize;
use serde_json::Value;

use super::encoded;
use crate::fleet_world::{V1, V2, V3, World, id};

const ALICE: Actor = Actor::from_static("alice");
const RUN: Run = Run { worker: WorkerId::from_static("voice-7"), incarnation: Incarnation::new(70_000) };
const STAMP: Stamp = Stamp { epoch: Epoch::new(2), order: Seq::new(251) };
const FACTS: Facts = Facts {
    seq: Seq::new(65_536),
    phase: Phase::Serving,
    in_flight: 249,
    capacity: 300,
    available: 51,
    sealed: false,
    obeyed: STAMP,
};
const SPEC: Spec = Spec {
    version: V2,
    workers: 4,
    policy: Policy {
        ack_timeout: Span::from_secs(30),
        drain_timeout: Some(Span::from_secs(600)),
        on_deadline: OnDeadline::Alert,
        headroom: 300,
        shift_step: 100,
        surge: 5,
        verify_timeout: Span::from_secs(300),
        wave: 2,
    },
};
const ROOM: Room = Room { need: 251, have: 250, own: u64::MAX };

/// Whose journal it is.
pub(super) const OFFICE: Office = Office {
    deployment: Deployment::from_static("voice"),
    coordinator: WorkerId::from_static("coordinator-0"),
    incarnation: Incarnation::new(7),
};

/// Openings and entries by name.
pub(super) fn records() -> Vec<(String, Record<'static, Fleet>)> {
    let opening = |(name, state): (&str, Fleet)| {
        // What is read back has no observations.
        let state = super::forgetful(&state);
        (format!("Opening/{name}"), Record::Opened(Box::new(Opening { about: OFFICE, state })))
    };
    let (at, behind) = (Instant::from_micros(1_700_000_000_000_000), Span::from_micros(250));
    let entry = |(event, seq)| {
        let entry = Entry { seq: Seq::new(seq), at, behind, event };
        (format!("Entry/{event:?}"), Record::Entry { entry, id: "" })
    };
    let openings = fleets().into_iter().map(opening);
    let later = [("gated", gated()), ("scaled", scaled())].map(opening);
    openings.chain(events().into_iter().zip(1..).map(entry)).chain(later).collect()
}

/// Fleets at points of their lives that together fill every field of the state.
pub(super) fn fleets() -> Vec<(&'static str, Fleet)> {
    let (start, _, drained) = life();
    let mut paused = World::serving(2);
    paused.fake("v1-0").calls = 3;
    paused.take_over(3).expect("a later term");
    paused.roll_out(V2, 1, Policy { wave: 1, ..SPEC.policy });
    paused.request(Request::Pause).expect("it runs");
    let mut superseded = World::serving(1);
    superseded.roll_out(V2, 1, Policy::default());
    superseded.roll_out(V3, 1, SPEC.policy);
    let mut draining = draining();
    draining.run(700);
    let mut cordoned = World::serving(2);
    let terms = DrainTerms { within: Some(Span::from_secs(60)), on_deadline: OnDeadline::Force };
    cordoned.request(Request::Cordon { worker: id("v1-0") }).expect("a member");
    cordoned.request(Request::Drain { worker: id("v1-1"), terms }).expect("a member");
    vec![
        ("new", start),
        ("drained", drained),
        ("paused", paused.fleet),
        ("superseded", superseded.fleet),
        ("overdue", draining.fleet),
        ("cordoned", cordoned.fleet),
    ]
}

/// A rollout in the middle, with gates: an opening with an annex.
fn gated() -> Fleet {
    gated_world().fleet
}

fn gated_world() -> World {
    let mut world = World::serving(2);
    let asked = [Gate::ErrorRate, Gate::Person].into_iter().collect();
    world.request(Request::SetGates { asked, on_failure: OnGateFailure::Undo }).expect("other gates");
    world.roll_out(V2, 2, Policy { shift_step: 50, ..Policy::default() });
    world.run(8);
    assert!(!world.fleet.gates().passed.is_empty());
    world
}

/// The same when its rollout is over and a person wants more workers: both parts of an annex.
fn scaled() -> Fleet {
    let mut world = gated_world();
    world.request(Request::Promote).expect("a gate waits");
    world.run(8);
    world.request(Request::Scale { workers: 3 }).expect("all calls have moved");
    world.fleet
}

/// A fleet that is new, everything that happens to it, and what it is then.
pub(super) fn life() -> (Fleet, Vec<Entry>, Fleet) {
    let start = Fleet::new(Timeouts::default()).expect("defaults work");
    let mut world = draining();
    world.fake("v1-0").hang_up(3);
    world.run(10);
    assert_eq!(world.stage(), Stage::Completed);
    (start, world.entries, world.fleet)
}

/// A rollout whose old workers drain, with calls that last.
fn draining() -> World {
    let mut world = World::serving(2);
    world.fake("v1-0").calls = 3;
    world.roll_out(V2, 2, Policy { drain_timeout: Some(Span::from_secs(600)), ..SPEC.policy });
    world.run(8);
    world
}

/// Every decision, and every value of every enumeration in one.
fn events() -> Vec<Event> {
    let (actor, run, version, facts, room, spec) = (ALICE, RUN, V1, FACTS, ROOM, SPEC);
    let report = Report { run, version, facts };
    let terms = |within, on_deadline| DrainTerms { within, on_deadline };
    let rejected = |reason| Event::WorkerRejected { run, version, reason };
    let gone = |departure| Event::WorkerGone { run, departure };
    let mut events = vec![
        Event::TookOver { epoch: Epoch::new(3), actor },
        Event::FencedOff(report),
        Event::DemandStated { calls: 70_000 },
        Event::Planned { actor, spec },
        Event::Superseded { actor, spec: Spec { policy: Policy::default(), ..spec } },
        Event::ProvisionOrdered { version, workers: 4, usable: 1 },
        Event::VerifyingBegan { usable: 4 },
        Event::VerifyFailed { ready: 3 },
        Event::ShiftingBegan { ready: 4 },
        Event::Shifted { to: version, weight: 255, room },
        Event::CapacityBlocked { step: StepKind::Shift, room },
        Event::CapacityBlocked { step: StepKind::Wave, room },
        Event::WaveStarted { version, wave: 1, size: 2, room },
        Event::VersionDrained { version },
        Event::Completed,
        Event::RollbackStarted { actor },
        Event::RolledBack,
        Event::Paused { actor, reason: PauseReason::Asked },
        Event::Paused { actor, reason: PauseReason::DrainWithdrawn },
        Event::Resumed { actor },
        Event::WorkerRegistered { run, version, lost_before: None },
        Event::WorkerRegistered { run, version, lost_before: Some(Incarnation::new(6)) },
        rejected(RejectReason::StaleIncarnation),
        rejected(RejectReason::VersionNotAllowed),
        rejected(RejectReason::WrittenOff),
        Event::WorkerLost { run, heard: Instant::from_micros(65_535), live: 2 },
        Event::WorkerFenced { run, actor },
        gone(Departure::Exited { dropped: 0 }),
        gone(Departure::Stopped),
        gone(Departure::Vanished { live: 251 }),
        Event::WorkerWrittenOff { run, actor, live: 9 },
        Event::DrainOrdered { run, terms: terms(None, OnDeadline::Wait), facts, room },
        Event::CancelOrdered { run },
        Event::ServeOrdered { run, facts },
        Event::StopOrdered { run, facts },
        Event::ForceOrdered { run, actor, facts },
        Event::CancelRefused { run, facts },
        Event::DrainUndone { run, facts },
        Event::DrainWithdrawn { run },
        Event::DrainOverdue { run, live: 7 },
    ];
    let drain = terms(Some(Span::from_secs(30)), OnDeadline::Force);
    let tasks = [Task::Cancel, Task::Drain(drain), Task::Force, Task::Serve, Task::Stop];
    events.extend(tasks.map(|task| Event::Acked { run, task, facts }));
    events.extend(Phase::ALL.map(|phase| Event::WorkerDrained { run, facts: Facts { phase, sealed: true, ..facts } }));
    events.extend(later_events());
    events
}

/// Kinds that were added later come last, so that no line of the pinned file changes.
fn later_events() -> Vec<Event> {
    let (actor, run, version, facts, room) = (ALICE, RUN, V1, FACTS, ROOM);
    let terms = |within, on_deadline| DrainTerms { within, on_deadline };
    let mut events = vec![
        Event::WorkerCordoned { run, actor },
        Event::WorkerUncordoned { run, actor },
        Event::WorkerDismissed { run, actor, terms: terms(Some(Span::from_secs(30)), OnDeadline::Alert) },
        Event::Paused { actor, reason: PauseReason::GateFailed },
    ];
    let step = GatedStep { version, weight: 250 };
    let [pause, undo] = [OnGateFailure::Pause, OnGateFailure::Undo];
    events.extend([pause, undo].map(|on_failure| Event::GatesSet {
        actor,
        asked: Gate::ALL.into_iter().collect(),
        on_failure,
    }));
    events.extend(Gate::ALL.map(|gate| Event::GatePassed { gate, step }));
    events.extend([Event::GateFailed { gate: Gate::Webhook, step }, Event::Promoted { actor, step }]);
    events.extend([
        Event::Scaled { actor, version, workers: 251 },
        Event::ScaleInOrdered { run, facts, room, usable: 70_000 },
    ]);
    events
}

/// The values of the enumerations that only a state holds: what each is called, its name, and its bytes.
pub(super) fn names() -> Vec<(String, Value, Vec<u8>)> {
    fn of<T: Serialize>(what: &str, values: impl IntoIterator<Item = T>) -> Vec<(String, Value, Vec<u8>)> {
        let name = |value: T| {
            let json = serde_json::to_value(&value).expect("a name");
            (format!("{what}/{}", json.as_str().expect("without fields")), json, encoded(&value))
        };
        values.into_iter().map(name).collect()
    }
    let stages = [
        Stage::Planned,
        Stage::Provisioning,
        Stage::Verifying,
        Stage::Shifting,
        Stage::Draining,
        Stage::Completed,
        Stage::RollingBack,
        Stage::RolledBack,
        Stage::Superseded,
        Stage::Failed,
    ];
    let lives = [
        VersionState::Inactive,
        VersionState::Ramping,
        VersionState::Current,
        VersionState::Draining,
        VersionState::Drained,
        VersionState::Failed,
    ];
    [
        of("Lease", [Lease::Held, Lease::Void, Lease::Expired]),
        of("Stage", stages),
        of(
            "MemberStatus",
            [MemberStatus::Member, MemberStatus::Fenced, MemberStatus::WrittenOff, MemberStatus::Cordoned],
        ),
        of("VersionState", lives),
    ]
    .concat()
}
