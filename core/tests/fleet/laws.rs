//! Where random histories lead: orders, crashes, lost messages, silent and deaf workers, clocks that step back,
//! restarts and new coordinators. The laws of single steps are every machine's, in `tests/laws`.

use openrtc_core::fleet::{
    Command, DrainTerms, Fleet, Gate, GateSet, OnGateFailure, Policy, Request, Spec, Stage, Stamp, VersionState,
};
use openrtc_core::id::{Epoch, Seq, Version, WorkerId};
use openrtc_core::time::Span;
use openrtc_core::word::Phase;
use openrtc_core::worker::OnDeadline;
use proptest::prelude::*;

use super::world::{CAPACITY, V1, V2, V3, World};

#[derive(Clone, Copy, Debug)]
enum Act {
    Calls { who: usize, calls: u32 },
    ClockBack { millis: u64 },
    Cordon { who: usize },
    Crash { who: usize },
    Deaf { who: usize, deaf: bool },
    Gates { asked: GateSet, on_failure: OnGateFailure },
    GatesPass(bool),
    Demand { calls: u32 },
    Dismiss { who: usize },
    Fence { who: usize },
    Force { who: usize },
    HangUp { who: usize },
    Mute { who: usize, mute: bool },
    Overtake { who: usize },
    Pause,
    Promote,
    RollOut { version: Version, workers: u32, policy: Policy },
    Reboot,
    Register { who: usize },
    Report { who: usize },
    Restart { who: usize, version: Version, phase: Phase },
    Resume,
    Rollback,
    Scale { workers: u32 },
    Serve { who: usize },
    Signal { who: usize },
    Sleep { seconds: u64 },
    StartsIn(Option<Phase>),
    TakeOver,
    Tick { seconds: u32 },
    Uncordon { who: usize },
    Wake { millis: u64 },
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(vec![V1, V2, V3])
}

fn policy() -> impl Strategy<Value = Policy> {
    let alert = Policy {
        drain_timeout: Some(Span::from_secs(20)),
        on_deadline: OnDeadline::Alert,
        ack_timeout: Span::from_secs(8),
        ..Policy::default()
    };
    (1..4_u32, prop::sample::select(vec![30, 50, 100]), 0..60_u16, any::<bool>()).prop_map(
        move |(wave, shift_step, headroom, alerts)| {
            let base = if alerts { alert } else { Policy::default() };
            Policy { wave, shift_step, headroom, verify_timeout: Span::from_secs(20), surge: 6, ..base }
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    let who = || 0..8_usize;
    let phase = prop::sample::select(vec![Phase::Starting, Phase::Standby, Phase::Serving]);
    let sets = vec![GateSet::NONE, GateSet::NONE.with(Gate::Webhook), Gate::ALL.into_iter().collect()];
    let gates = (prop::sample::select(sets), any::<bool>()).prop_map(|(asked, undoes)| Act::Gates {
        asked,
        on_failure: if undoes { OnGateFailure::Undo } else { OnGateFailure::Pause },
    });
    prop_oneof![
        4 => (who(), 0..=CAPACITY).prop_map(|(who, calls)| Act::Calls { who, calls }),
        1 => (0..20_000_u64).prop_map(|millis| Act::ClockBack { millis }),
        2 => who().prop_map(|who| Act::Cordon { who }),
        1 => who().prop_map(|who| Act::Crash { who }),
        2 => (who(), any::<bool>()).prop_map(|(who, deaf)| Act::Deaf { who, deaf }),
        1 => (0..40_u32).prop_map(|calls| Act::Demand { calls }),
        1 => who().prop_map(|who| Act::Dismiss { who }),
        1 => who().prop_map(|who| Act::Uncordon { who }),
        1 => who().prop_map(|who| Act::Fence { who }),
        1 => who().prop_map(|who| Act::Force { who }),
        6 => who().prop_map(|who| Act::HangUp { who }),
        2 => (who(), any::<bool>()).prop_map(|(who, mute)| Act::Mute { who, mute }),
        1 => who().prop_map(|who| Act::Overtake { who }),
        1 => Just(Act::Pause),
        1 => Just(Act::Promote),
        2 => gates,
        1 => any::<bool>().prop_map(Act::GatesPass),
        3 => (version(), 1..4_u32, policy())
            .prop_map(|(version, workers, policy)| Act::RollOut { version, workers, policy }),
        1 => Just(Act::Reboot),
        2 => who().prop_map(|who| Act::Register { who }),
        2 => who().prop_map(|who| Act::Report { who }),
        2 => (who(), version(), phase).prop_map(|(who, version, phase)| Act::Restart { who, version, phase }),
        2 => Just(Act::Resume),
        2 => Just(Act::Rollback),
        2 => (1..5_u32).prop_map(|workers| Act::Scale { workers }),
        3 => who().prop_map(|who| Act::Serve { who }),
        1 => who().prop_map(|who| Act::Signal { who }),
        1 => (10..400_u64).prop_map(|seconds| Act::Sleep { seconds }),
        1 => prop::sample::select(vec![None, Some(Phase::Starting), Some(Phase::Standby), Some(Phase::Serving)])
            .prop_map(Act::StartsIn),
        1 => Just(Act::TakeOver),
        12 => (1..6_u32).prop_map(|seconds| Act::Tick { seconds }),
        1 => Just(Act::Tick { seconds: 70 }),
        3 => (0..30_000_u64).prop_map(|millis| Act::Wake { millis }),
    ]
}

/// Somebody asks something about a worker.
fn ask(world: &mut World, who: usize, request: fn(WorkerId) -> Request) {
    if let Some(worker) = world.fakes.keys().nth(who).copied() {
        let _ = world.request(request(worker));
    }
}

fn perform(world: &mut World, act: Act) {
    let named = |world: &World, who: usize| world.fakes.keys().nth(who).copied();
    let change = |world: &mut World, who: usize, change: &dyn Fn(&mut super::world::Fake)| {
        if let Some(fake) = named(world, who).and_then(|worker| world.fakes.get_mut(&worker)) {
            change(fake);
            fake.seq += 1;
        }
    };
    match act {
        Act::Calls { who, calls } => change(world, who, &|fake| {
            if fake.phase == Phase::Serving {
                fake.calls = calls;
            }
        }),
        Act::ClockBack { millis } => world.at = world.at - Span::from_millis(millis),
        Act::Cordon { who } => ask(world, who, |worker| Request::Cordon { worker }),
        Act::Dismiss { who } => ask(world, who, |worker| Request::Drain { worker, terms: DrainTerms::PATIENT }),
        Act::Uncordon { who } => ask(world, who, |worker| Request::Uncordon { worker }),
        Act::Crash { who } => drop(named(world, who).map(|worker| world.fakes.remove(&worker))),
        Act::Deaf { who, deaf } => change(world, who, &|fake| fake.deaf = deaf),
        Act::Demand { calls } => drop(world.command(Command::Demand { calls })),
        Act::Fence { who } => ask(world, who, |worker| Request::Fence { worker }),
        Act::Force { who } => ask(world, who, |worker| Request::Force { worker }),
        Act::HangUp { who } => change(world, who, &|fake| fake.hang_up(CAPACITY)),
        Act::Mute { who, mute } => change(world, who, &|fake| fake.mute = mute),
        // Another coordinator, of which this one knows nothing, gives a worker an order.
        Act::Overtake { who } => {
            let epoch = Epoch::new(world.fleet.latest_epoch().get() + 1);
            change(world, who, &|fake| fake.obeyed = Stamp { epoch, order: Seq::new(1) });
        }
        Act::Gates { asked, on_failure } => drop(world.request(Request::SetGates { asked, on_failure })),
        Act::GatesPass(pass) => world.gates_pass = pass,
        Act::Promote => drop(world.request(Request::Promote)),
        Act::Pause => drop(world.request(Request::Pause)),
        Act::RollOut { version, workers, policy } => {
            let _ = world.request(Request::RollOut(Spec { version, workers, policy }));
        }
        Act::Reboot => world.restart(),
        Act::Register { who } => {
            let _ = named(world, who).map(|worker| world.register(worker.as_str()));
        }
        Act::Report { who } => {
            let _ = named(world, who).map(|worker| world.report(worker));
        }
        Act::Restart { who, version, phase } => {
            let name = named(world, who).unwrap_or(WorkerId::from_static("newcomer"));
            world.start(name.as_str(), version, phase);
        }
        Act::Resume => drop(world.request(Request::Resume)),
        Act::Scale { workers } => drop(world.request(Request::Scale { workers })),
        Act::Rollback => drop(world.request(Request::Rollback)),
        // Somebody on the spot starts the worker, or takes its drain back.
        Act::Serve { who } => change(world, who, &|fake| {
            if !fake.sealed && fake.phase != Phase::Exited {
                fake.phase = Phase::Serving;
            }
        }),
        Act::Signal { who } => change(world, who, &|fake| {
            if fake.phase < Phase::Draining {
                fake.phase = Phase::Draining;
            }
            fake.sealed = true;
        }),
        // The coordinator's own process stands still.
        Act::Sleep { seconds } => world.at = world.at + Span::from_secs(seconds),
        Act::StartsIn(phase) => world.starts_in = phase,
        Act::TakeOver => drop(world.take_over(world.fleet.latest_epoch().get() + 1)),
        Act::Tick { seconds } => world.run(seconds),
        Act::Wake { millis } => {
            world.at = world.at + Span::from_millis(millis);
            let _ = world.command(Command::Wake);
        }
    }
}

fn history() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), 1..80)
}

fn play(acts: &[Act]) -> World {
    let mut world = World::serving(2);
    for act in acts {
        perform(&mut world, *act);
    }
    world
}

/// The faults stop: everybody hears and is heard, calls end, new processes start well, the platform keeps the versions
/// in use at strength, and a person on call resumes what is paused, promotes, uncordons, and gives up what is lost.
fn calm_down(world: &mut World) {
    world.at = world.at.max(world.fleet.now());
    world.starts_in = Some(Phase::Serving);
    world.gates_pass = true;
    for _ in 0..1_000 {
        if ended_well(&world.fleet) {
            return;
        }
        if world.fleet.fenced_by().is_some() {
            let _ = world.take_over(world.fleet.latest_epoch().get() + 1);
        }
        let _ = world.command(Command::Demand { calls: 0 });
        world.fakes.retain(|_, fake| fake.phase != Phase::Exited);
        for fake in world.fakes.values_mut() {
            (fake.deaf, fake.mute) = (false, false);
            match fake.phase {
                Phase::Starting => fake.phase = Phase::Serving,
                Phase::Drained if fake.sealed => fake.phase = Phase::Exited,
                Phase::Standby | Phase::Serving | Phase::Draining | Phase::Drained | Phase::Exited => {}
            }
            fake.hang_up(CAPACITY);
        }
        for worker in world.fakes.keys().copied().collect::<Vec<_>>() {
            let _ = world.register(worker.as_str());
        }
        let lost = world.fleet.members().iter().filter(|(_, member)| member.is_lost());
        for worker in lost.map(|(worker, _)| worker).collect::<Vec<_>>() {
            let _ = world.request(Request::Force { worker });
        }
        let cordoned = world.fleet.members().iter().filter(|(_, member)| member.status.is_cordoned());
        for worker in cordoned.map(|(worker, _)| worker).collect::<Vec<_>>() {
            let _ = world.request(Request::Uncordon { worker });
        }
        let in_use = world.fleet.versions().iter().filter(|(_, info)| info.state.admits());
        for (version, info) in in_use.map(|(version, info)| (*version, *info)).collect::<Vec<_>>() {
            world.provision(version, info.workers);
        }
        let _ = world.request(Request::Resume);
        let _ = world.request(Request::Promote);
        world.run(1);
    }
}

/// No rollout is under way, retired versions are drained, and their workers are gone.
fn ended_well(fleet: &Fleet) -> bool {
    let over = fleet.rollout().is_some_and(|rollout| rollout.stage.is_over() && rollout.stage != Stage::Superseded);
    let in_office = fleet.fenced_by().is_none() && fleet.paused().is_none();
    over && in_office
        && fleet.current().is_some()
        && fleet.versions().iter().all(|(version, info)| match info.state {
            VersionState::Current => true,
            VersionState::Drained | VersionState::Failed => fleet.members().pool(*version).members == 0,
            VersionState::Inactive | VersionState::Ramping | VersionState::Draining => false,
        })
}

proptest! {
    /// Once the faults stop, no rollout hangs, retired versions are drained, and their workers are gone. Every step on
    /// the way keeps what [`World::command`] checks.
    #[test]
    fn any_history_ends_well(acts in history()) {
        let mut world = play(&acts);
        calm_down(&mut world);
        prop_assert!(ended_well(&world.fleet), "{:#?}", world.fleet);
    }
}
