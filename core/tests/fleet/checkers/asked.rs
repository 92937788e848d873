//! Forgeries of what people ask for: cordons and gates.

use openrtc_core::fleet::invariant::{Breach, Invariant};
use openrtc_core::fleet::{Event, Fleet, Gate, GatedStep, OnGateFailure, Policy, Request, Room};

use super::super::world::{ALICE, V1, V2};
use super::{Forgery, RUN, TERMS, after, facts, judge_entry, judge_state, room, serving};

/// What breaks S16.
pub(super) const GATES: &[Forgery] = &[
    ("a share is given that a gate still judges", || judge_gated(|fleet| shift_on(fleet, 100))),
    ("a share is given although a gate failed", share_after_failure),
    ("an old worker drains before the gates of the last step passed", drain_before_the_gates),
    ("the result on another step is taken", || {
        judge_gated(|_| Event::GatePassed { gate: Gate::Webhook, step: GatedStep { version: V2, weight: 49 } })
    }),
    ("a gate passes that only a person decides", || {
        judge_gated(|fleet| Event::GatePassed { gate: Gate::Person, step: fleet.gated_step().expect("a step") })
    }),
];

pub(super) fn cordoned() -> Fleet {
    after(&serving().fleet, &[Event::WorkerCordoned { run: RUN, actor: ALICE }])
}

/// Its drain is taken back, and it is seen to serve.
pub(super) fn cordoned_and_usable() -> Result<(), Breach> {
    let fleet = cordoned();
    assert_eq!(judge_state(&fleet), Ok(()));
    let refused = Event::CancelRefused { run: RUN, facts: facts(&fleet, RUN) };
    judge_state(&after(&fleet, &[refused]))
}

pub(super) fn cordoned_told_to_stop() -> Result<(), Breach> {
    let fleet = cordoned();
    judge_entry(&fleet, Event::StopOrdered { run: RUN, facts: facts(&fleet, RUN) })
}

/// A rollout by steps of 50 with gates, which waits for them at `weight`.
fn gated(weight: u8) -> Fleet {
    let mut world = serving();
    let asked = [Gate::Webhook, Gate::Person].into_iter().collect();
    world.request(Request::SetGates { asked, on_failure: OnGateFailure::Pause }).expect("other gates");
    world.roll_out(V2, 2, Policy { shift_step: weight, ..Policy::default() });
    world.run(8);
    assert_eq!(world.fleet.gated_step(), Some(GatedStep { version: V2, weight }));
    world.fleet
}

fn judge_gated(event: fn(&Fleet) -> Event) -> Result<(), Breach> {
    let fleet = gated(50);
    judge_entry(&fleet, event(&fleet))
}

/// A share of which nothing but its gates can be said: there is room for it.
fn shift_on(fleet: &Fleet, weight: u8) -> Event {
    let alone = room(fleet, V2);
    Event::Shifted { to: V2, weight, room: alone }
}

fn share_after_failure() -> Result<(), Breach> {
    let fleet = gated(50);
    let step = fleet.gated_step().expect("a step");
    let promoted = after(&fleet, &[Event::Promoted { actor: ALICE, step }]);
    assert_eq!(judge_entry(&promoted, shift_on(&promoted, 100)), Ok(()), "a person's yes stands for every gate");
    let failed = after(&promoted, &[Event::GateFailed { gate: Gate::Webhook, step }]);
    judge_entry(&failed, shift_on(&failed, 100))
}

fn drain_before_the_gates() -> Result<(), Breach> {
    let fleet = gated(100);
    let room = room(&fleet, V2);
    let wave = |fleet: &Fleet| judge_entry(fleet, Event::WaveStarted { version: V1, wave: 1, size: 1, room });
    let step = fleet.gated_step().expect("a step");
    assert_eq!(wave(&after(&fleet, &[Event::Promoted { actor: ALICE, step }])), Ok(()));
    assert_eq!(wave(&fleet).map_err(|breach| breach.invariant), Err(Invariant::GatesHold));
    judge_entry(&fleet, Event::DrainOrdered { run: RUN, terms: TERMS, facts: facts(&fleet, RUN), room })
}

/// Both workers are wanted, or one of them; and `usable` are said to be there.
pub(super) fn scaled_in(usable: u32) -> Result<(), Breach> {
    let fleet = serving().fleet;
    let wanted = |workers| after(&fleet, &[Event::Scaled { actor: ALICE, version: V1, workers }]);
    let (facts, all) = (facts(&fleet, RUN), room(&fleet, V1));
    let room = Room { have: all.have / 2, own: all.own / 2, ..all };
    let leaves =
        |workers, usable| judge_entry(&wanted(workers), Event::ScaleInOrdered { run: RUN, facts, room, usable });
    assert_eq!(leaves(1, 2), Ok(()), "there are two, and one is wanted");
    leaves(2, usable)
}
