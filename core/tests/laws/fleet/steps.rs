//! What a script does to a fleet.

use openrtc_core::fleet::{
    Command, DrainTerms, Facts, Fleet, Gate, GatedStep, Member, OnGateFailure, Policy, Report, Request, Run, Spec,
    Stamp, Task,
};
use openrtc_core::id::{Epoch, Incarnation, Seq, Version, WorkerId};
use openrtc_core::word::Phase;
use openrtc_core::worker::OnDeadline;
use proptest::prelude::*;
use proptest::sample::select;

use super::starts::{ALICE, CAPACITY, FIRST, HASTY, V1, V2, V3, WORKERS};

/// A command whose runs, terms and reports are meant relative to the state it meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Wake,
    Demand(u32),
    Gone(WorkerId, Age),
    /// Whether it is about the step that is reached, and whether it passed.
    Judge(Gate, bool, bool),
    Request(Request),
    OrderOfTerm(Ahead),
    Register(WorkerId, Age, Version),
    Report(WorkerId, Says),
    TakeOver(Ahead),
}

/// Which run of a worker a step is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Age {
    Earlier,
    Current,
    Later,
}

/// Of which term a step is, seen from the coordinator's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ahead {
    Behind,
    Own,
    Next,
}

/// What a worker says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// What it said before.
    Again,
    /// It is in this phase with so many calls, and does not say that it obeyed.
    At(Phase, u32),
    /// It is in this phase with so many calls, and its drain is sealed.
    Sealed(Phase, u32),
    /// It took its last order, and has so many calls if that allows any.
    Obeys(u32),
    /// It took its last order, and somebody has it serve all the same.
    Undoes(u32),
    /// It took an order of a later coordinator.
    ObeysAnother,
    /// What no worker can say.
    Nonsense,
    /// What it said long ago.
    Outdated,
    /// It runs another version.
    OtherVersion,
}

pub(crate) fn steps() -> BoxedStrategy<Step> {
    let who = || prop_oneof![2 => select(&WORKERS[..3]), 1 => select(&WORKERS[..])];
    let register = (who(), age(), select(vec![V1, V2, V3]));
    prop_oneof![
        60 => Just(Step::Wake),
        2 => (0..12_u32).prop_map(Step::Demand),
        3 => (who(), age()).prop_map(|(worker, age)| Step::Gone(worker, age)),
        10 => (select(&Gate::ALL[..]), prop::bool::weighted(0.9), any::<bool>())
            .prop_map(|(gate, of_this, passed)| Step::Judge(gate, of_this, passed)),
        20 => request().prop_map(Step::Request),
        1 => ahead().prop_map(Step::OrderOfTerm),
        12 => register.prop_map(|(worker, age, version)| Step::Register(worker, age, version)),
        60 => (who(), says()).prop_map(|(worker, says)| Step::Report(worker, says)),
        2 => ahead().prop_map(Step::TakeOver),
    ]
    .boxed()
}

fn request() -> impl Strategy<Value = Request> {
    let who = || select(vec![WORKERS[0], WORKERS[1], WORKERS[2], WorkerId::from_static("nobody")]);
    let policy = select(vec![HASTY, Policy { shift_step: 100, ..HASTY }, Policy { wave: 2, headroom: 50, ..HASTY }]);
    let spec = (select(vec![V1, V2, V3]), 0..4_u32, policy);
    let roll_out = spec.prop_map(|(version, workers, policy)| Request::RollOut(Spec { version, workers, policy }));
    let sets = vec![vec![], vec![Gate::ErrorRate], vec![Gate::Webhook, Gate::Person]];
    let gates = (select(sets), select(vec![OnGateFailure::Pause, OnGateFailure::Undo]))
        .prop_map(|(asked, on_failure)| Request::SetGates { asked: asked.into_iter().collect(), on_failure });
    prop_oneof![
        5 => roll_out,
        4 => who().prop_map(|worker| Request::Cordon { worker }),
        2 => (who(), terms()).prop_map(|(worker, terms)| Request::Drain { worker, terms }),
        5 => who().prop_map(|worker| Request::Uncordon { worker }),
        2 => who().prop_map(|worker| Request::Fence { worker }),
        12 => who().prop_map(|worker| Request::Force { worker }),
        1 => Just(Request::Pause),
        4 => (0..5_u32).prop_map(|workers| Request::Scale { workers }),
        4 => Just(Request::Promote),
        2 => gates,
        3 => Just(Request::Resume),
        3 => Just(Request::Rollback),
    ]
}

fn terms() -> impl Strategy<Value = DrainTerms> {
    let forces = |within| DrainTerms { within, on_deadline: OnDeadline::Force };
    select(vec![DrainTerms::PATIENT, forces(HASTY.drain_timeout), forces(None)])
}

fn says() -> impl Strategy<Value = Says> {
    let phase = || select(&Phase::ALL[..]);
    prop_oneof![
        3 => Just(Says::Again),
        8 => (phase(), 0..3_u32).prop_map(|(phase, calls)| Says::At(phase, calls)),
        1 => (select(vec![Phase::Draining, Phase::Drained]), 0..3_u32)
            .prop_map(|(phase, calls)| Says::Sealed(phase, calls)),
        16 => (0..2_u32).prop_map(Says::Obeys),
        1 => (0..2_u32).prop_map(Says::Undoes),
        1 => select(vec![Says::ObeysAnother, Says::Nonsense, Says::Outdated, Says::OtherVersion]),
    ]
}

fn age() -> impl Strategy<Value = Age> {
    prop_oneof![1 => Just(Age::Earlier), 6 => Just(Age::Current), 3 => Just(Age::Later)]
}

fn ahead() -> impl Strategy<Value = Ahead> {
    prop_oneof![1 => Just(Ahead::Behind), 1 => Just(Ahead::Own), 3 => Just(Ahead::Next)]
}

impl Step {
    pub(crate) fn aim(self, fleet: &Fleet) -> Command {
        match self {
            Self::Wake => Command::Wake,
            Self::Demand(calls) => Command::Demand { calls },
            Self::Judge(gate, of_this, passed) => {
                let step = GatedStep { version: V2, weight: 7 };
                let step = fleet.gated_step().filter(|_| of_this).unwrap_or(step);
                Command::Judge { gate, step, passed }
            }
            Self::Gone(worker, age) => Command::Gone { run: age.of(fleet, worker) },
            Self::Request(request) => Command::Request { epoch: fleet.epoch(), actor: ALICE, request },
            Self::OrderOfTerm(ahead) => {
                Command::Request { epoch: ahead.of(fleet.epoch()), actor: ALICE, request: Request::Pause }
            }
            Self::Register(worker, age, version) => Command::Register { run: age.of(fleet, worker), version },
            Self::Report(worker, says) => Command::Report(says.of(fleet, worker)),
            Self::TakeOver(ahead) => Command::TakeOver { epoch: ahead.of(fleet.latest_epoch()), actor: ALICE },
        }
    }
}

impl Age {
    fn of(self, fleet: &Fleet, worker: WorkerId) -> Run {
        let current = fleet.members().get(worker).map_or(FIRST, |member| member.incarnation).get();
        let incarnation = Incarnation::new(match self {
            Self::Earlier => current.saturating_sub(1),
            Self::Current => current,
            Self::Later => current + 1,
        });
        Run { worker, incarnation }
    }
}

impl Ahead {
    fn of(self, epoch: Epoch) -> Epoch {
        Epoch::new(match self {
            Self::Behind => epoch.get().saturating_sub(1),
            Self::Own => epoch.get(),
            Self::Next => epoch.get() + 1,
        })
    }
}

impl Says {
    fn of(self, fleet: &Fleet, worker: WorkerId) -> Report {
        let run = Age::Current.of(fleet, worker);
        let member = fleet.members().get(worker);
        let version = member.map_or(V1, |member| member.version);
        let last = last_facts(member);
        let next = Facts { seq: last.seq.next(), ..last };
        let (version, facts) = match self {
            Self::Again => (version, last),
            Self::At(phase, calls) => (version, at(next, phase, calls)),
            Self::Sealed(phase, calls) => (version, Facts { sealed: true, ..at(next, phase, calls) }),
            Self::Obeys(calls) => (version, obeys(fleet, member, next, calls)),
            Self::Undoes(calls) => (version, at(obeys(fleet, member, next, calls), Phase::Serving, calls)),
            Self::ObeysAnother => {
                let epoch = Ahead::Next.of(fleet.latest_epoch());
                (version, Facts { obeyed: Stamp { epoch, order: last.obeyed.order }, ..next })
            }
            Self::Nonsense => (version, Facts { available: CAPACITY + 1, ..next }),
            Self::Outdated => (version, Facts { seq: Seq::default(), ..last }),
            Self::OtherVersion => (V3, next),
        };
        Report { run, version, facts }
    }
}

fn last_facts(member: Option<&Member>) -> Facts {
    let silent = Facts {
        seq: member.map_or_else(Seq::default, |member| member.seq),
        phase: Phase::Starting,
        in_flight: 0,
        capacity: CAPACITY,
        available: 0,
        sealed: false,
        obeyed: Stamp::default(),
    };
    member.and_then(Member::facts).copied().unwrap_or(silent)
}

fn at(facts: Facts, phase: Phase, calls: u32) -> Facts {
    let holds = matches!(phase, Phase::Serving | Phase::Draining | Phase::Exited);
    let in_flight = if holds { calls } else { 0 };
    let available = if phase == Phase::Serving { CAPACITY - calls } else { 0 };
    Facts { phase, in_flight, available, sealed: false, ..facts }
}

/// A worker that does what it was told, as soon as it may.
fn obeys(fleet: &Fleet, member: Option<&Member>, facts: Facts, calls: u32) -> Facts {
    let Some(order) = member.and_then(|member| member.order) else { return at(facts, Phase::Serving, calls) };
    let phase = match order.task {
        Task::Cancel | Task::Serve => Phase::Serving,
        Task::Drain(_) if calls > 0 => Phase::Draining,
        Task::Drain(_) | Task::Force | Task::Stop => Phase::Drained,
    };
    let obeyed = Stamp { epoch: fleet.epoch(), order: order.stamp.order };
    Facts { obeyed, ..at(facts, phase, calls) }
}
