//! Entries that no fleet decided: any at all, many of them close to what one could have decided.

use openrtc_core::fleet::{
    Departure, DrainTerms, Entry, Event, Facts, Gate, GateSet, GatedStep, OnGateFailure, PauseReason, Policy,
    RejectReason, Report, Room, Run, Spec, Stamp, StepKind, Task,
};
use openrtc_core::id::{Actor, Epoch, Incarnation, Seq, Version, WorkerId};
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::OnDeadline;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::starts::{ALICE, HASTY, V1, V2, V3, WORKERS};

pub(crate) fn entries() -> BoxedStrategy<Entry> {
    let entry = |(seq, at, behind, event)| Entry {
        seq: Seq::new(seq),
        at: Instant::from_micros(at),
        behind: Span::from_micros(behind),
        event,
    };
    (any::<u64>(), any::<u64>(), any::<u64>(), event()).prop_map(entry).boxed()
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![2 => of_office(), 4 => of_rollout(), 3 => of_workers(), 4 => of_orders(), 1 => observed()]
}

fn of_office() -> impl Strategy<Value = Event> {
    let reason = select(vec![PauseReason::Asked, PauseReason::DrainWithdrawn, PauseReason::GateFailed]);
    let asked = select(vec![GateSet::NONE, Gate::ALL.into_iter().collect()]);
    let gates = (actor(), asked, select(vec![OnGateFailure::Pause, OnGateFailure::Undo]));
    let gate = || select(&Gate::ALL[..]);
    prop_oneof![
        (epoch(), actor()).prop_map(|(epoch, actor)| Event::TookOver { epoch, actor }),
        report().prop_map(Event::FencedOff),
        count().prop_map(|calls| Event::DemandStated { calls }),
        (actor(), reason).prop_map(|(actor, reason)| Event::Paused { actor, reason }),
        actor().prop_map(|actor| Event::Resumed { actor }),
        gates.prop_map(|(actor, asked, on_failure)| Event::GatesSet { actor, asked, on_failure }),
        (gate(), gated_step()).prop_map(|(gate, step)| Event::GatePassed { gate, step }),
        (gate(), gated_step()).prop_map(|(gate, step)| Event::GateFailed { gate, step }),
        (actor(), gated_step()).prop_map(|(actor, step)| Event::Promoted { actor, step }),
    ]
}

fn of_rollout() -> impl Strategy<Value = Event> {
    let weight = || prop_oneof![3 => select(vec![50, 100]), 1 => any::<u8>()];
    let step = select(vec![StepKind::Shift, StepKind::Wave]);
    prop_oneof![
        (actor(), spec()).prop_map(|(actor, spec)| Event::Planned { actor, spec }),
        (actor(), spec()).prop_map(|(actor, spec)| Event::Superseded { actor, spec }),
        (version(), count(), count()).prop_map(|(version, workers, usable)| Event::ProvisionOrdered {
            version,
            workers,
            usable
        }),
        count().prop_map(|usable| Event::VerifyingBegan { usable }),
        count().prop_map(|ready| Event::VerifyFailed { ready }),
        count().prop_map(|ready| Event::ShiftingBegan { ready }),
        (version(), weight(), room()).prop_map(|(to, weight, room)| Event::Shifted { to, weight, room }),
        (step, room()).prop_map(|(step, room)| Event::CapacityBlocked { step, room }),
        (version(), count(), count(), room()).prop_map(|(version, wave, size, room)| Event::WaveStarted {
            version,
            wave,
            size,
            room
        }),
        version().prop_map(|version| Event::VersionDrained { version }),
        Just(Event::Completed),
        actor().prop_map(|actor| Event::RollbackStarted { actor }),
        Just(Event::RolledBack),
        (actor(), version(), count()).prop_map(|(actor, version, workers)| Event::Scaled { actor, version, workers }),
    ]
}

fn of_workers() -> impl Strategy<Value = Event> {
    let reason =
        select(vec![RejectReason::StaleIncarnation, RejectReason::VersionNotAllowed, RejectReason::WrittenOff]);
    let heard = (0..20_000_000_u64).prop_map(Instant::from_micros);
    let departure = prop_oneof![
        count().prop_map(|dropped| Departure::Exited { dropped }),
        Just(Departure::Stopped),
        count().prop_map(|live| Departure::Vanished { live }),
    ];
    prop_oneof![
        (run(), version(), option::of(incarnation())).prop_map(|(run, version, lost_before)| Event::WorkerRegistered {
            run,
            version,
            lost_before
        }),
        (run(), version(), reason).prop_map(|(run, version, reason)| Event::WorkerRejected { run, version, reason }),
        (run(), heard, count()).prop_map(|(run, heard, live)| Event::WorkerLost { run, heard, live }),
        (run(), actor()).prop_map(|(run, actor)| Event::WorkerFenced { run, actor }),
        (run(), actor()).prop_map(|(run, actor)| Event::WorkerCordoned { run, actor }),
        (run(), actor()).prop_map(|(run, actor)| Event::WorkerUncordoned { run, actor }),
        (run(), actor(), terms()).prop_map(|(run, actor, terms)| Event::WorkerDismissed { run, actor, terms }),
        (run(), facts()).prop_map(|(run, facts)| Event::WorkerDrained { run, facts }),
        (run(), departure).prop_map(|(run, departure)| Event::WorkerGone { run, departure }),
        (run(), actor(), count()).prop_map(|(run, actor, live)| Event::WorkerWrittenOff { run, actor, live }),
    ]
}

fn of_orders() -> impl Strategy<Value = Event> {
    let all_terms = (run(), terms(), facts(), room());
    prop_oneof![
        all_terms.prop_map(|(run, terms, facts, room)| Event::DrainOrdered { run, terms, facts, room }),
        (run(), facts(), room(), count()).prop_map(|(run, facts, room, usable)| Event::ScaleInOrdered {
            run,
            facts,
            room,
            usable
        }),
        run().prop_map(|run| Event::CancelOrdered { run }),
        (run(), facts()).prop_map(|(run, facts)| Event::ServeOrdered { run, facts }),
        (run(), facts()).prop_map(|(run, facts)| Event::StopOrdered { run, facts }),
        (run(), actor(), facts()).prop_map(|(run, actor, facts)| Event::ForceOrdered { run, actor, facts }),
        (run(), task(), facts()).prop_map(|(run, task, facts)| Event::Acked { run, task, facts }),
        (run(), facts()).prop_map(|(run, facts)| Event::CancelRefused { run, facts }),
        (run(), facts()).prop_map(|(run, facts)| Event::DrainUndone { run, facts }),
        run().prop_map(|run| Event::DrainWithdrawn { run }),
        (run(), count()).prop_map(|(run, live)| Event::DrainOverdue { run, live }),
    ]
}

fn observed() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::WatchBegan),
        report().prop_map(Event::WorkerReported),
        run().prop_map(|run| Event::WorkerSilent { run }),
        run().prop_map(|run| Event::Reissued { run }),
    ]
}

fn actor() -> impl Strategy<Value = Actor> {
    select(vec![ALICE, Actor::from_static("fleet")])
}

fn gated_step() -> impl Strategy<Value = GatedStep> {
    (version(), select(vec![0, 50, 100])).prop_map(|(version, weight)| GatedStep { version, weight })
}

fn epoch() -> impl Strategy<Value = Epoch> {
    prop_oneof![3 => (0..3_u64).prop_map(Epoch::new), 1 => any::<u64>().prop_map(Epoch::new)]
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..4_u32, 1 => any::<u32>()]
}

fn version() -> impl Strategy<Value = Version> {
    select(vec![V1, V2, V3, Version::from_static("old1")])
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    (0..4_u64).prop_map(Incarnation::new)
}

fn run() -> impl Strategy<Value = Run> {
    let worker = prop_oneof![4 => select(&WORKERS[..]), 1 => Just(WorkerId::from_static("nobody"))];
    let incarnation = prop_oneof![4 => Just(Incarnation::new(1)), 1 => incarnation()];
    (worker, incarnation).prop_map(|(worker, incarnation)| Run { worker, incarnation })
}

fn spec() -> impl Strategy<Value = Spec> {
    let policy = select(vec![HASTY, Policy { wave: 0, ..HASTY }, Policy { shift_step: 255, ..HASTY }]);
    (version(), count(), policy).prop_map(|(version, workers, policy)| Spec { version, workers, policy })
}

fn room() -> impl Strategy<Value = Room> {
    let calls = || prop_oneof![4 => 0..10_u64, 1 => any::<u64>()];
    let room = (calls(), calls(), calls()).prop_map(|(need, have, own)| Room { need, have, own });
    prop_oneof![1 => room, 1 => (0..4_u64, 0..10_u64).prop_map(|(need, have)| Room { need, have, own: have })]
}

fn terms() -> impl Strategy<Value = DrainTerms> {
    let hasty = DrainTerms { within: HASTY.drain_timeout, on_deadline: HASTY.on_deadline };
    select(vec![hasty, DrainTerms { within: None, on_deadline: OnDeadline::Force }])
}

fn task() -> impl Strategy<Value = Task> {
    let others = select(vec![Task::Cancel, Task::Force, Task::Serve, Task::Stop]);
    prop_oneof![2 => terms().prop_map(Task::Drain), 3 => others]
}

fn report() -> impl Strategy<Value = Report> {
    (run(), version(), facts()).prop_map(|(run, version, facts)| Report { run, version, facts })
}

fn facts() -> impl Strategy<Value = Facts> {
    let stamp = (epoch(), 0..60_u64).prop_map(|(epoch, order)| Stamp { epoch, order: Seq::new(order) });
    let numbers = (0..12_u64, 0..3_u32, count(), count());
    (numbers, select(&Phase::ALL[..]), any::<bool>(), stamp).prop_map(|(numbers, phase, sealed, obeyed)| {
        let (seq, in_flight, available, more) = numbers;
        let available = if phase == Phase::Serving { available } else { 0 };
        let capacity = in_flight.saturating_add(available).saturating_add(more);
        Facts { seq: Seq::new(seq), phase, in_flight, capacity, available, sealed, obeyed }
    })
}
