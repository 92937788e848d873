//! Coordinators: the production fleet machine, its store of decisions, and the wires to workers, platform and
//! dispatcher.

mod misstored;
mod store;

use openrtc_core::codec;
use openrtc_core::fleet::invariant::{self, Office};
use openrtc_core::fleet::{
    Command, Effect, Entry, Event as Became, Facts, Fleet, Gate, GatedStep, Policy, Refused, Rejection, Repeat, Report,
    Request, Run, Spec, Stage,
};
use openrtc_core::id::{Actor, Epoch, Incarnation};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::uplink::Answer;
use openrtc_core::word::Phase;

use self::misstored::{is_cordoned, misstore};
use self::store::Coordinator;
use super::network::Mail;
use super::queue::{Event, OfRun};
use super::scene::{Scene, Who};
use super::workers::Workers;
use super::{Context, platform, uplink};
use crate::bug::Bug;
use crate::clock::Clock;
use crate::id::{Colour, CoordinatorIndex, WorkerIndex};
use crate::oracle::Invariant;

/// Who gives orders to coordinators, and through them to workers.
pub(super) const PIPELINE: Actor = Actor::from_static("pipeline");
const STANDBY: Actor = Actor::from_static("standby");

/// Up to this many workers every entry of the fleet is checked with everything; above, reports are checked lightly.
const SMALL: usize = 64;

/// How long it takes to judge a gate.
const JUDGED_AFTER: Span = Span::from_secs(1);

/// How long the platform waits before it tells a coordinator again that is down.
const TELL_AGAIN: Span = Span::from_secs(1);

/// Tells a coordinator's journal from a worker's in the digest.
const SALT: u64 = 0x000f_1ee7;

/// All coordinators, in the order in which they took office: the last one is in office.
#[derive(Debug)]
pub(super) struct Coordinators {
    list: Vec<Coordinator>,
    /// Whether the next gate that is judged fails.
    gate_fails: bool,
}

impl Coordinators {
    pub(super) fn new() -> Self {
        Self { list: vec![Coordinator::new()], gate_fails: false }
    }

    /// The fleet as the coordinator in office has it.
    pub(super) fn fleet(&self) -> &Fleet {
        &self.list.last().expect("there is always one").fleet
    }

    fn every(&self) -> impl Iterator<Item = CoordinatorIndex> + use<> {
        (0..self.list.len()).map(CoordinatorIndex::at)
    }

    /// Whoever is in office rolls a version out.
    pub(super) fn roll_out(&mut self, context: &mut Context<'_>, workers: &mut Workers, colour: Colour) {
        let plan = context.scene.plan;
        let policy = Policy {
            drain_timeout: plan.drain_timeout,
            on_deadline: plan.on_deadline,
            wave: plan.wave,
            surge: plan.workers(),
            headroom: 0,
            shift_step: plan.shift,
            ..Policy::default()
        };
        let (asked, on_failure) = plan.gates;
        self.request(context, workers, Request::SetGates { asked, on_failure });
        let spec = Spec { version: colour.version(), workers: plan.workers_of(colour), policy };
        self.request(context, workers, Request::RollOut(spec));
    }

    /// A request of a person or a pipeline, to whoever is in office.
    pub(super) fn request(&mut self, context: &mut Context<'_>, workers: &mut Workers, request: Request) {
        let in_office = CoordinatorIndex::at(self.list.len() - 1);
        let epoch = self.list[in_office].fleet.epoch();
        let _ = self.command(context, workers, in_office, Command::Request { epoch, actor: PIPELINE, request });
        self.settle(context, workers, in_office);
    }

    pub(super) const fn fail_next_gate(&mut self) {
        self.gate_fails = true;
    }

    /// A gate is judged, for whoever is in office.
    pub(super) fn judge(&mut self, context: &mut Context<'_>, workers: &mut Workers, gate: Gate, step: GatedStep) {
        let in_office = CoordinatorIndex::at(self.list.len() - 1);
        let passed = !core::mem::take(&mut self.gate_fails);
        let outcome = self.command(context, workers, in_office, Command::Judge { gate, step, passed });
        if !passed && outcome.is_ok_and(|entry| matches!(entry.event, Became::GatePassed { .. })) {
            let what = format!("{gate} failed and counts as passed for {step}");
            context.scene.violate(Invariant::GatesHold, None, what);
        }
        self.settle(context, workers, in_office);
    }

    /// Another coordinator takes over, from what the one in office stored.
    pub(super) fn take_over(&mut self, context: &mut Context<'_>, workers: &mut Workers) {
        let standby = self.list.last().expect("there is always one").standby();
        let epoch = Epoch::new(standby.fleet.latest_epoch().get() + 1);
        self.list.push(standby);
        let in_office = CoordinatorIndex::at(self.list.len() - 1);
        let _ = self.command(context, workers, in_office, Command::TakeOver { epoch, actor: STANDBY });
        self.settle(context, workers, in_office);
    }

    /// Every coordinator dies.
    pub(super) fn crash(&mut self) {
        for coordinator in &mut self.list {
            coordinator.is_up = false;
        }
    }

    /// They are back with their stores: they do again what they still owe.
    pub(super) fn come_back(&mut self, context: &mut Context<'_>, workers: &mut Workers) {
        if context.scene.has(Bug::CoordinatorStaysDown) {
            return;
        }
        for index in self.every() {
            let coordinator = &mut self.list[index];
            if !coordinator.restart() {
                let what = "the coordinator's decisions do not give its state".to_owned();
                context.scene.violate(Invariant::AuditFaithful, None, what);
            }
            let coordinator = &self.list[index];
            let mut owed = Vec::new();
            coordinator.fleet.obligations(&mut |effect| owed.push(effect));
            for effect in owed {
                self.carry_out(context, workers, effect);
            }
            self.settle(context, workers, index);
        }
    }

    fn command(
        &mut self,
        context: &mut Context<'_>,
        workers: &mut Workers,
        index: CoordinatorIndex,
        command: Command,
    ) -> Result<Entry, Rejection> {
        let coordinator = &mut self.list[index];
        if !coordinator.is_up {
            return Err(Refused::Unknown.into());
        }
        let fleet = &mut coordinator.fleet;
        let mut entry = fleet.decide(clock(&context.scene), command)?;
        if let Some(bug) = context.scene.subject.bug {
            misstore(bug, fleet, &mut entry.event);
        }
        let is_report = matches!(entry.event, Became::WorkerReported(_));
        let in_full = !is_report || fleet.members().len() <= SMALL;
        let office = Office::from(&*fleet);
        let mut checked = if in_full { invariant::entry(fleet, &entry) } else { Ok(()) };
        let is_decision = !entry.event.is_observation();
        let fits = !is_decision || fleet.fits(&entry).is_ok();
        if is_decision {
            context.books.chain(SALT + u64::from(index.get()), |bytes| codec::encode(&entry, bytes));
            if !(context.scene.has(Bug::DrainedLost) && matches!(entry.event, Became::WorkerDrained { .. })) {
                coordinator.keep(&entry);
            }
        }
        coordinator.apply(&entry);
        let fleet = &coordinator.fleet;
        let mut effects = Vec::new();
        fleet.react(&entry, &mut |effect| effects.push(effect));
        if in_full {
            checked = checked.and_then(|()| invariant::outcome(office, &entry, fleet, &effects));
        }
        let scene = &mut context.scene;
        if let Err(breach) = checked {
            scene.violate(breach.invariant.into(), None, format!("the coordinator: {breach}"));
        }
        if !fits {
            scene.violate(Invariant::AuditFaithful, None, "the coordinator's entry cannot follow".to_owned());
        }
        if !is_report {
            scene.tell(Who::Coordinator, || entry.event.to_string());
        }
        check_truth(scene, workers, &entry);
        for effect in effects {
            self.carry_out(context, workers, effect);
        }
        Ok(entry)
    }

    /// Whatever is due is done.
    fn settle(&mut self, context: &mut Context<'_>, workers: &mut Workers, index: CoordinatorIndex) {
        while context.scene.violation.is_none() {
            let now = context.scene.now;
            let Coordinator { due, is_up, wake_at, .. } = &mut self.list[index];
            let Some(due) = due.filter(|_| *is_up) else { return };
            if due > clock(&context.scene) {
                let due = Clock::default().when(due);
                if wake_at.is_none_or(|armed| due < armed || armed <= now) {
                    *wake_at = Some(due);
                    context.scene.at(due, Event::FleetWake(index));
                }
                return;
            }
            match self.command(context, workers, index, Command::Wake) {
                Ok(entry) => self.misread_silence(context, workers, index, &entry),
                Err(_) => return,
            }
        }
    }

    /// The planted bug that takes no news for good news.
    fn misread_silence(
        &mut self,
        context: &mut Context<'_>,
        workers: &mut Workers,
        index: CoordinatorIndex,
        entry: &Entry,
    ) {
        let Became::WorkerSilent { run } = entry.event else { return };
        if !context.scene.has(Bug::UnknownIsDrained) {
            return;
        }
        let member = self.list[index].fleet.members().get(run.worker).copied();
        if let Some((member, facts)) = member.and_then(|member| Some((member, *member.facts()?))) {
            let facts = Facts { phase: Phase::Drained, in_flight: 0, available: 0, ..facts };
            let report = Report { run, version: member.version, facts };
            let _ = self.command(context, workers, index, Command::Report(report));
        }
    }

    /// A time-out of a coordinator is reached. The first one is the begin of the run: the old version is rolled out.
    pub(super) fn wake(&mut self, context: &mut Context<'_>, workers: &mut Workers, index: CoordinatorIndex) {
        if context.scene.now == Instant::EPOCH && self.fleet().rollout().is_none() {
            return self.roll_out(context, workers, Colour::Blue);
        }
        self.settle(context, workers, index);
    }

    fn carry_out(&self, context: &mut Context<'_>, workers: &mut Workers, effect: Effect) {
        let Context { scene, books, network } = context;
        match effect {
            Effect::Alert(_) | Effect::Judge { gate: Gate::Person, .. } => {}
            Effect::Judge { gate, step, .. } => {
                let colour = Colour::of(step.version).expect("a run has two versions");
                scene.after(JUDGED_AFTER, Event::GateResult(gate, colour, step.weight));
            }
            Effect::Provision { version, workers: wanted, .. } => {
                let colour = Colour::of(version).expect("a run has two versions");
                platform::provision(scene, workers, colour, wanted);
            }
            Effect::Route { .. } if scene.has(Bug::RollbackUnrouted) && self.is_rolling_back() => {}
            Effect::StopWorker { .. } if scene.has(Bug::OldNeverStopped) => {}
            Effect::OrderDrain { run, .. } if scene.has(Bug::CordonUnsent) && is_cordoned(self.fleet(), run) => {}
            Effect::Route { version, weight, epoch } => {
                // One connection to the dispatcher: routes keep their order.
                let colour = Colour::of(version).expect("a run has two versions");
                scene.after(scene.plan.latency.1, Event::Route(colour, weight, epoch));
            }
            Effect::CancelDrain { .. }
            | Effect::ForceDrain { .. }
            | Effect::OrderDrain { .. }
            | Effect::Promote { .. }
            | Effect::Reject { .. }
            | Effect::StopWorker { .. } => {
                let run = uplink::addressee(&effect);
                let Some(worker) = run.and_then(|run| scene.plan.worker_named(run.worker.as_str())) else { return };
                // What is for the platform passes whenever the platform can be reached, which is always.
                let to_platform = matches!(effect, Effect::StopWorker { .. });
                let from = if to_platform { scene.now } else { network.passes_at(scene, worker) };
                let at = from + scene.latency(u64::from(worker.get()) << 42 ^ books.entries);
                network.post(scene, Mail::Order(worker, effect), at);
            }
        }
    }

    /// A report arrives, at each of them.
    pub(super) fn hear(
        &mut self,
        context: &mut Context<'_>,
        workers: &mut Workers,
        worker: WorkerIndex,
        mut report: Report,
    ) {
        let sender = report.run;
        for index in self.every() {
            if context.scene.has(Bug::AnyIncarnation)
                && let Some(member) = self.list[index].fleet.members().get(sender.worker)
            {
                report.run.incarnation = member.incarnation;
            }
            let outcome = self.command(context, workers, index, Command::Report(report));
            if let Ok(Entry { event: Became::WorkerReported(Report { run, .. }), .. }) = outcome
                && run != sender
            {
                let (worker, said, taken) = (sender.worker, sender.incarnation, run.incarnation);
                let what = format!("a report of run {said} of {worker} was taken for run {taken}");
                context.scene.violate(Invariant::DrainedSound, None, what);
            }
            let unknown = matches!(outcome, Err(Rejection::Refused(Refused::NotRegistered | Refused::LeaseExpired)));
            if unknown {
                workers.list[worker].hear(context, Answer::NotRegistered);
            }
            self.settle(context, workers, index);
        }
    }

    /// A run of a worker asks to join, each of them.
    pub(super) fn register(
        &mut self,
        context: &mut Context<'_>,
        workers: &mut Workers,
        worker: WorkerIndex,
        incarnation: Incarnation,
    ) {
        let Some(node) = workers.up(worker, incarnation) else { return };
        let (run, version) = (node.host.run(), node.colour().version());
        for index in self.every() {
            let joined = match self.command(context, workers, index, Command::Register { run, version }) {
                Ok(entry) => matches!(entry.event, Became::WorkerRegistered { .. }),
                Err(rejection) => matches!(rejection, Rejection::Repeat(Repeat::AlreadyRegistered)),
            };
            if joined {
                let epoch = self.list[index].fleet.epoch();
                workers.list[worker].hear(context, Answer::Joined { epoch });
            }
            self.settle(context, workers, index);
        }
        workers.list[worker].report(context);
    }

    /// The platform tells them that a run of a worker is over.
    pub(super) fn gone(
        &mut self,
        context: &mut Context<'_>,
        workers: &mut Workers,
        worker: WorkerIndex,
        incarnation: Incarnation,
    ) {
        let run = Run { worker: workers.list[worker].host.id, incarnation };
        for index in self.every() {
            if !self.list[index].is_up {
                return context.scene.after(TELL_AGAIN, Event::Run(worker, incarnation, OfRun::Gone));
            }
            let _ = self.command(context, workers, index, Command::Gone { run });
            self.settle(context, workers, index);
        }
    }

    fn is_rolling_back(&self) -> bool {
        self.fleet().rollout().is_some_and(|rollout| rollout.stage == Stage::RollingBack)
    }
}

/// What a coordinator's clock shows.
fn clock(scene: &Scene<'_>) -> Instant {
    Clock::default().shows(scene.now)
}

/// S6 against the workers themselves, not their reports.
fn check_truth(scene: &mut Scene<'_>, workers: &Workers, entry: &Entry) {
    let Became::WorkerDrained { run, .. } = entry.event else { return };
    let Some(worker) = scene.plan.worker_named(run.worker.as_str()) else { return };
    let node = &workers.list[worker];
    let live = node.process.live;
    if node.runs_as(run.incarnation) && live > 0 {
        let what = format!("{} counts as drained and holds {live} calls", scene.name(worker));
        scene.violate(Invariant::DrainedSound, Some(worker), what);
    }
}
