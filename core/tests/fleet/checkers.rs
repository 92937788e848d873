//! Every invariant of a fleet can fail: each is shown states, entries and effects that no fleet machine makes. They are
//! forged one by one, and `docs/checkers.md` lists them.

mod asked;

use openrtc_core::fleet::invariant::{self, Breach, Invariant, Office};
use openrtc_core::fleet::{
    Command, DrainTerms, Effect, Entry, Event, Facts, Fleet, Policy, Report, Request, Room, Run, Spec, Stamp, Task,
};
use openrtc_core::id::{Epoch, Incarnation, Seq, Version, WorkerId};
use openrtc_core::machine::Machine;
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::OnDeadline;

use self::asked::{cordoned, cordoned_and_usable, cordoned_told_to_stop, scaled_in};
use super::world::{ALICE, V1, V2, V3, World, id};

const DOCUMENTED: &str = include_str!("../../../docs/checkers.md");

const TERMS: DrainTerms = DrainTerms { within: None, on_deadline: OnDeadline::Wait };

/// Something that must not be, and what the checks say of it.
type Forgery = (&'static str, fn() -> Result<(), Breach>);

/// What makes the check of an invariant fail. The match is exhaustive: an invariant without a forgery does not compile.
const fn forgeries(invariant: Invariant) -> &'static [Forgery] {
    match invariant {
        Invariant::ShiftClosed => &[("a drained version keeps its share", || judge_state(&drained_with_share()))],
        Invariant::Capacity => &[
            ("a shift states room that the reports do not bear out", lying_shift),
            ("a shift has too little room", shift_without_room),
            ("a wave begins while a worker is yet to be heard", wave_unheard),
        ],
        Invariant::DrainedSound => &[
            ("a worker counts as drained that was told to serve again", drained_and_returning),
            ("a version is drained whose workers serve", || {
                judge_entry(&serving().fleet, Event::VersionDrained { version: V1 })
            }),
        ],
        Invariant::KillSafety => &[
            ("a worker with calls is told to stop", told_to_stop),
            ("the platform is asked to stop a worker that serves", || {
                judge_effect(Effect::StopWorker { run: RUN, stamp: Stamp::default() })
            }),
        ],
        Invariant::SingleWriter => &[
            ("a coordinator out of office decides", decides_out_of_office),
            ("a coordinator's term goes back", term_goes_back),
            ("an order bears another coordinator's term", || {
                judge_effect(Effect::Route { version: V1, weight: 100, epoch: Epoch::new(7) })
            }),
            ("a coordinator that steps back gives an order", order_while_stepping_back),
        ],
        Invariant::KeepOut => &[
            ("a report of a run that never joined is taken", || judge_report(run("stranger", 1), V1)),
            ("a report of another version's run is taken", || judge_report(RUN, V2)),
            ("a report of a lost run is taken", report_of_the_lost),
            ("a run of an unknown version joins", || judge_join(run("v3-0", 1), V3)),
            ("a run of a retired version joins", join_the_retired),
            ("a run joins that a later one has overtaken", || judge_join(run("v1-0", 0), V1)),
        ],
        Invariant::OneCurrent => &[
            ("the shares add up to 50", || judge_state(&after(&serving().fleet, &[shifted(V1, 50)]))),
            ("a version that is only planned has a share", planned_with_share),
            ("two versions ramp", two_ramp),
        ],
        Invariant::Bounds => &[
            ("more workers drain than a wave has", drains_beyond_the_wave),
            ("more workers are asked for than the surge allows", asks_beyond_the_surge),
            ("a worker leaves that a person counted in", || scaled_in(2)),
            ("a worker leaves on a count that the reports do not bear out", || scaled_in(3)),
        ],
        Invariant::AckedDrain => &[
            ("a drain counts as obeyed by a worker that serves", || judge_ack(|facts| facts, Task::Drain(TERMS))),
            ("an order counts as obeyed on a report that never came", || {
                judge_ack(|facts| Facts { seq: facts.seq.next(), ..facts }, Task::Serve)
            }),
        ],
        Invariant::CordonHolds => &[
            ("a cordoned worker is told to take calls", || judge_entry(&cordoned(), Event::CancelOrdered { run: RUN })),
            ("a cordoned worker whose order is gone counts as usable", cordoned_and_usable),
            ("a cordoned worker of a version in use is told to leave", cordoned_told_to_stop),
            ("a cordon that nobody asked for is taken back", || {
                judge_entry(&serving().fleet, Event::WorkerUncordoned { run: RUN, actor: ALICE })
            }),
        ],
        Invariant::GatesHold => asked::GATES,
    }
}

#[test]
fn every_forgery_is_seen_by_the_invariant_that_it_breaks() {
    for invariant in Invariant::ALL {
        assert!(!forgeries(invariant).is_empty(), "{invariant} is never seen to fail");
        for (what, judged) in forgeries(invariant) {
            assert_eq!(judged().map_err(|breach| breach.invariant), Err(invariant), "{what}");
        }
    }
}

#[test]
fn what_is_not_forged_passes() {
    let world = serving();
    assert_eq!(judge_state(&world.fleet), Ok(()));
    assert_eq!(judge_report(RUN, V1), Ok(()));
    assert_eq!(judge_join(RUN, V1), Ok(()), "a run may come back");
    assert_eq!(judge_effect(Effect::Route { version: V1, weight: 100, epoch: world.fleet.epoch() }), Ok(()));
    assert_eq!(judge_ack(|facts| facts, Task::Serve), Ok(()));
    // Whoever joined before its version was retired may come back.
    let retired = after(&world.fleet, &[Event::VersionDrained { version: V1 }]);
    assert_eq!(judge_entry(&retired, joins(RUN, V1)), Ok(()));
}

#[test]
fn the_documented_forgeries_are_these() {
    let rows = Invariant::ALL.map(|invariant| {
        let (number, name) = invariant.as_str().split_once(' ').expect("number and name");
        let forged: Vec<_> = forgeries(invariant).iter().map(|(what, _)| *what).collect();
        format!("| {number} | {name} | {} |\n", forged.join("; "))
    });
    let table = format!("| number | name | forged |\n|---|---|---|\n{}", rows.concat());
    assert!(DOCUMENTED.contains(&table), "docs/checkers.md must have this table:\n{table}");
}

// --- what is judged --------------------------------------------------------------------------------------------------

const RUN: Run = Run { worker: WorkerId::from_static("v1-0"), incarnation: Incarnation::new(1) };

/// Two workers of v1 serve.
fn serving() -> World {
    World::serving(2)
}

fn run(name: &str, incarnation: u64) -> Run {
    Run { worker: id(name), incarnation: Incarnation::new(incarnation) }
}

fn entry(fleet: &Fleet, event: Event) -> Entry {
    fleet.head().entry(fleet.now(), event)
}

/// What a fleet would be if that had happened.
fn after(fleet: &Fleet, events: &[Event]) -> Fleet {
    events.iter().fold(fleet.clone(), |mut fleet, event| {
        fleet.apply(&entry(&fleet, *event));
        fleet
    })
}

fn judge_state(fleet: &Fleet) -> Result<(), Breach> {
    assert_eq!(invariant::state(fleet), outcome(Office::from(fleet), fleet, &[]), "an outcome's state is judged too");
    invariant::state(fleet)
}

fn judge_entry(fleet: &Fleet, event: Event) -> Result<(), Breach> {
    // A report bears the time at which it came, and what it is judged on may be stale by then.
    invariant::entry(fleet, &entry(fleet, event))
}

/// What follows from an entry that changes nothing.
fn outcome(office: Office, fleet: &Fleet, effects: &[Effect]) -> Result<(), Breach> {
    invariant::outcome(office, &entry(fleet, Event::DemandStated { calls: 0 }), fleet, effects)
}

fn judge_effect(effect: Effect) -> Result<(), Breach> {
    let fleet = serving().fleet;
    outcome(Office::from(&fleet), &fleet, &[effect])
}

fn facts(fleet: &Fleet, run: Run) -> Facts {
    *fleet.members().of(run).and_then(|member| member.facts()).expect("a worker that reported")
}

/// The room that the reports bear out for a shift of everything to a version, or for a step that moves nothing.
fn room(fleet: &Fleet, version: Version) -> Room {
    let have = fleet.members().pool(version).slots;
    Room { need: fleet.need(), have, own: have }
}

fn shifted(to: Version, weight: u8) -> Event {
    Event::Shifted { to, weight, room: Room { need: 0, have: 0, own: 0 } }
}

fn planned(version: Version) -> Event {
    Event::Planned { actor: ALICE, spec: Spec { version, workers: 2, policy: Policy::default() } }
}

const fn joins(run: Run, version: Version) -> Event {
    Event::WorkerRegistered { run, version, lost_before: None }
}

fn judge_join(run: Run, version: Version) -> Result<(), Breach> {
    judge_entry(&serving().fleet, joins(run, version))
}

fn judge_report(run: Run, version: Version) -> Result<(), Breach> {
    let fleet = serving().fleet;
    let facts = facts(&fleet, RUN);
    judge_entry(&fleet, Event::WorkerReported(Report { run, version, facts }))
}

fn judge_ack(change: fn(Facts) -> Facts, task: Task) -> Result<(), Breach> {
    let fleet = serving().fleet;
    let facts = change(facts(&fleet, RUN));
    judge_entry(&fleet, Event::Acked { run: RUN, task, facts })
}

// --- forgeries -------------------------------------------------------------------------------------------------------

fn drained_with_share() -> Fleet {
    after(&serving().fleet, &[Event::VersionDrained { version: V1 }])
}

fn planned_with_share() -> Result<(), Breach> {
    judge_state(&after(&drained_with_share(), &[planned(V1)]))
}

fn two_ramp() -> Result<(), Breach> {
    let drained = Event::VersionDrained { version: V2 };
    let back = Event::RollbackStarted { actor: ALICE };
    let events = [planned(V2), shifted(V2, 100), planned(V3), shifted(V3, 50), drained, back];
    judge_state(&after(&serving().fleet, &events))
}

fn lying_shift() -> Result<(), Breach> {
    let fleet = serving().fleet;
    let true_room = room(&fleet, V1);
    let shift = |room| judge_entry(&fleet, Event::Shifted { to: V1, weight: 100, room });
    assert_eq!(shift(true_room), Ok(()));
    shift(Room { have: true_room.have + 1, ..true_room })
}

fn shift_without_room() -> Result<(), Breach> {
    let fleet = after(&serving().fleet, &[Event::DemandStated { calls: 1_000 }, planned(V2)]);
    let room = room(&fleet, V2);
    judge_entry(&fleet, Event::Shifted { to: V2, weight: 100, room })
}

fn wave_unheard() -> Result<(), Breach> {
    let mut fleet = serving().fleet;
    let second = facts(&fleet, run("v1-1", 1));
    fleet.forget();
    let heard = Report { run: run("v1-1", 1), version: V1, facts: second };
    let fleet = after(&fleet, &[Event::WatchBegan, Event::WorkerReported(heard)]);
    let room = room(&fleet, V1);
    assert!(room.have >= room.need && room.have > 0, "{room:?}");
    judge_entry(&fleet, Event::WaveStarted { version: V2, wave: 1, size: 1, room })
}

fn drained_and_returning() -> Result<(), Breach> {
    let fleet = serving().fleet;
    let facts = Facts { phase: Phase::Drained, in_flight: 0, available: 0, ..facts(&fleet, RUN) };
    let report = Event::WorkerReported(Report { run: RUN, version: V1, facts });
    let drained = Event::WorkerDrained { run: RUN, facts };
    assert_eq!(judge_state(&after(&fleet, &[report, drained])), Ok(()));
    judge_state(&after(&fleet, &[report, Event::CancelOrdered { run: RUN }, drained]))
}

fn told_to_stop() -> Result<(), Breach> {
    let fleet = serving().fleet;
    judge_state(&after(&fleet, &[Event::StopOrdered { run: RUN, facts: facts(&fleet, RUN) }]))
}

fn decides_out_of_office() -> Result<(), Breach> {
    let fleet = serving().fleet;
    outcome(Office { is_fenced: true, ..Office::from(&fleet) }, &fleet, &[])
}

fn term_goes_back() -> Result<(), Breach> {
    let fleet = serving().fleet;
    outcome(Office { epoch: Epoch::new(9), ..Office::from(&fleet) }, &fleet, &[])
}

fn order_while_stepping_back() -> Result<(), Breach> {
    let fleet = serving().fleet;
    let obeyed = Stamp { epoch: Epoch::new(9), order: Seq::new(1) };
    let report = Report { run: RUN, version: V1, facts: Facts { obeyed, ..facts(&fleet, RUN) } };
    let fenced = after(&fleet, &[Event::FencedOff(report)]);
    let order = Effect::Promote { run: RUN, stamp: Stamp { epoch: fleet.epoch(), order: fleet.seq() } };
    assert_eq!(outcome(Office::from(&fleet), &fenced, &[]), Ok(()));
    outcome(Office::from(&fleet), &fenced, &[order])
}

fn report_of_the_lost() -> Result<(), Breach> {
    let fleet = serving().fleet;
    let report = Event::WorkerReported(Report { run: RUN, version: V1, facts: facts(&fleet, RUN) });
    let lost = Event::WorkerLost { run: RUN, heard: Instant::EPOCH, live: 0 };
    judge_entry(&after(&fleet, &[lost]), report)
}

fn join_the_retired() -> Result<(), Breach> {
    judge_entry(&drained_with_share(), joins(run("v1-9", 1), V1))
}

/// A rollout in waves of one, the first of which drains.
fn in_a_wave() -> World {
    let mut world = serving();
    world.fake("v1-0").calls = 1;
    world.fake("v1-1").calls = 1;
    world.roll_out(V2, 2, Policy { wave: 1, surge: 10, ..Policy::default() });
    world.run(8);
    assert_eq!(world.fleet.members().total().draining, 1);
    world
}

fn drains_beyond_the_wave() -> Result<(), Breach> {
    let world = in_a_wave();
    let drains = |name| world.fakes[&id(name)].phase == Phase::Draining;
    let next = if drains("v1-0") { run("v1-1", 1) } else { run("v1-0", 1) };
    let (facts, room) = (facts(&world.fleet, next), room(&world.fleet, V2));
    judge_entry(&world.fleet, Event::DrainOrdered { run: next, terms: TERMS, facts, room })
}

fn asks_beyond_the_surge() -> Result<(), Breach> {
    let fleet = in_a_wave().fleet;
    let asks = |workers| judge_entry(&fleet, Event::ProvisionOrdered { version: V2, workers, usable: 2 });
    assert_eq!(asks(12), Ok(()), "two are there, and ten more may be");
    asks(13)
}

// --- who comes back --------------------------------------------------------------------------------------------------

/// A member that comes back after its lease has expired is still what it was: told to drain, sent away, or withdrawn
/// from. Who forgot that would give it calls again.
#[test]
fn a_member_that_comes_back_is_what_it_was_and_was_told_what_it_was_told() {
    let leave = |world: &mut World| {
        world.fake("v1-0").mute = true;
        world.run(100);
        assert!(world.fleet.members().of(RUN).expect("it has calls").is_lost());
        let before = *world.fleet.members().of(RUN).expect("a member");
        world.register("v1-0").expect("it may come back");
        let after = *world.fleet.members().of(RUN).expect("a member");
        assert!(!after.is_lost());
        (before, after)
    };
    let back = |world: &mut World| {
        let (before, after) = leave(world);
        assert_eq!((after.order, after.status, after.withdrawn), (before.order, before.status, before.withdrawn));
        assert_eq!((after.live, after.seq, after.drained), (before.live, before.seq, before.drained));
        after
    };
    let with_calls = || {
        let mut world = serving();
        world.fake("v1-0").calls = 3;
        world.run(1);
        world
    };

    let mut drained = with_calls();
    drained.roll_out(V2, 2, Policy::default());
    drained.run(8);
    let task = back(&mut drained).order.expect("an order").task;
    assert!(matches!(task, Task::Drain(_)), "{task:?}");
    drained.fake("v1-0").mute = false;
    drained.run(3);
    let orders = drained.happened(|event| matches!(event, Event::DrainOrdered { run, .. } if *run == RUN));
    assert_eq!(orders, 1, "who drains already is not told again");

    let mut fenced = with_calls();
    fenced.request(Request::Fence { worker: id("v1-0") }).expect("a request");
    fenced.run(3);
    let member = back(&mut fenced);
    assert!(member.order.is_some() && !member.is_usable(), "{member:?}");

    let mut withdrawn = with_calls();
    withdrawn.fake("v1-0").deaf = true;
    withdrawn.roll_out(V2, 2, Policy::default());
    withdrawn.run(50);
    assert!(back(&mut withdrawn).withdrawn);

    // Of a run that was never there nothing is known.
    let mut world = with_calls();
    world.command(Command::Register { run: run("v1-0", 2), version: V1 }).expect("a later run may join");
    let member = world.fleet.members().get(id("v1-0")).expect("a member");
    assert_eq!((member.order, member.live), (None, 0));
}
