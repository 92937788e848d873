//! Coordinators: the production fleet machine, its journal's fold, and the wires to workers, platform and dispatcher.

use openrtc_core::codec;
use openrtc_core::fleet::invariant::{self, Office};
use openrtc_core::fleet::{
    Command, Effect, Entry, Event as Became, Facts, Fleet, Limits, Order, Plan, Policy, Refused, Rejection, Repeat,
    Report, Run, Stage, Stamp,
};
use openrtc_core::id::{Actor, Epoch, Incarnation, Seq, WorkerId};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::{Cause, Command as ToWorker, DrainOrder, OnDeadline};

use super::node::CLOCK_START;
use super::platform::TIMED_STOP;
use super::queue::Event;
use super::{Bug, Invariant, Mail, State, VERSIONS, Who, World};
use crate::plan::SECOND;

const PIPELINE: Actor = Actor::from_static("pipeline");

/// Up to this many workers every entry of the fleet is checked with everything; above, reports are checked lightly.
const SMALL: usize = 64;

/// One coordinator.
#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) fleet: Fleet,
    pub(super) up: bool,
    wake_at: u64,
}

impl Coordinator {
    pub(super) fn new() -> Self {
        let fleet = Fleet::new(Limits::default()).expect("the defaults work");
        Self { fleet, up: true, wake_at: u64::MAX }
    }
}

impl World<'_> {
    fn fleet_clock(&self) -> Instant {
        Instant::from_micros(CLOCK_START + self.now)
    }

    /// The coordinator that is in office.
    pub(super) fn in_office(&self) -> &Coordinator {
        self.coordinators.last().expect("there is always one")
    }

    pub(super) fn plan_version(&mut self, version: usize) {
        let plan = self.plan;
        let policy = Policy {
            drain_timeout: plan.drain_timeout.map(Span::from_micros),
            on_deadline: plan.on_deadline,
            wave: plan.wave,
            surge: plan.workers(),
            headroom: 0,
            ..Policy::default()
        };
        let workers = [plan.blue, plan.green][version];
        self.order(Order::Plan(Plan { version: VERSIONS[version], workers, policy }));
    }

    /// An order of a person or a pipeline, to whoever is in office.
    pub(super) fn order(&mut self, order: Order) {
        let coordinator = self.coordinators.len() - 1;
        let epoch = self.coordinators[coordinator].fleet.epoch();
        let _ = self.fleet_command(coordinator, Command::Order { epoch, actor: PIPELINE, order });
        self.fleet_settle(coordinator);
    }

    pub(super) fn take_over(&mut self) {
        let last = self.in_office();
        let (fleet, epoch) = (last.fleet.clone(), Epoch::new(last.fleet.latest_epoch().get() + 1));
        self.coordinators.push(Coordinator { fleet, up: true, wake_at: u64::MAX });
        let coordinator = self.coordinators.len() - 1;
        let _ = self.fleet_command(coordinator, Command::TakeOver { epoch, actor: Actor::from_static("standby") });
        self.fleet_settle(coordinator);
    }

    /// A coordinator is back with its journal: it does again what it still owes.
    pub(super) fn coordinator_back(&mut self) {
        for coordinator in 0..self.coordinators.len() {
            self.coordinators[coordinator].up = true;
            self.coordinators[coordinator].wake_at = u64::MAX;
            let mut owed = Vec::new();
            self.coordinators[coordinator].fleet.obligations(&mut |effect| owed.push(effect));
            for effect in owed {
                self.carry_out(effect);
            }
            self.fleet_settle(coordinator);
        }
    }

    fn fleet_command(&mut self, coordinator: usize, command: Command) -> Result<Entry, Rejection> {
        let at = self.fleet_clock();
        if !self.coordinators[coordinator].up {
            return Err(Refused::Unknown.into());
        }
        let fleet = &self.coordinators[coordinator].fleet;
        let entry = fleet.decide(at, command)?;
        let report = matches!(entry.event, Became::WorkerReported(_));
        let in_full = !report || fleet.members().len() <= SMALL;
        let office = Office::from(fleet);
        let mut checked = if in_full { invariant::entry(fleet, &entry) } else { Ok(()) };
        let fits = fleet.fits(&entry).is_ok();
        self.chain(0x000f_1ee7 + coordinator as u64, |bytes| codec::encode(&entry, bytes));
        let mut effects = Vec::new();
        let fleet = &mut self.coordinators[coordinator].fleet;
        fleet.apply(&entry);
        fleet.react(&entry, &mut |effect| effects.push(effect));
        if in_full {
            checked = checked.and_then(|()| invariant::outcome(office, &entry, fleet, &effects));
        }
        if let Err(breach) = checked {
            self.violate(breach.invariant.into(), None, format!("the coordinator: {breach}"));
        }
        if !fits {
            self.violate(Invariant::AuditFaithful, None, "the coordinator's entry cannot follow".to_owned());
        }
        if !report {
            self.tell(Who::Coordinator, || entry.event.to_string());
        }
        self.check_truth(&entry);
        for effect in effects {
            self.carry_out(effect);
        }
        Ok(entry)
    }

    /// S6 against the workers themselves, not their reports.
    fn check_truth(&mut self, entry: &Entry) {
        let Became::WorkerDrained { run } = entry.event else { return };
        let Some(worker) = self.find(run.worker) else { return };
        let node = &self.nodes[worker as usize];
        if node.state == State::Up && u64::from(node.incarnation) == run.incarnation.get() && node.live > 0 {
            let what = format!("{} counts as drained and holds {} calls", self.name(worker), node.live);
            self.violate(Invariant::DrainedSound, Some(worker), what);
        }
    }

    pub(super) fn fleet_settle(&mut self, coordinator: usize) {
        while self.violation.is_none() {
            let at = self.fleet_clock();
            let Coordinator { fleet, up, .. } = &self.coordinators[coordinator];
            let Some((due, _)) = fleet.deadline().filter(|_| *up) else { return };
            if due > at {
                let due = due.as_micros() - CLOCK_START;
                let coordinator_ = &mut self.coordinators[coordinator];
                if due < coordinator_.wake_at || coordinator_.wake_at <= self.now {
                    coordinator_.wake_at = due;
                    self.queue.push(due, Event::FleetWake(u32::try_from(coordinator).unwrap_or(0)));
                }
                return;
            }
            match self.fleet_command(coordinator, Command::Wake) {
                Ok(entry) => self.misread_silence(coordinator, &entry),
                Err(_) => return,
            }
        }
    }

    /// The planted bug that takes no news for good news.
    fn misread_silence(&mut self, coordinator: usize, entry: &Entry) {
        let Became::WorkerSilent { run } = entry.event else { return };
        if !self.has(Bug::UnknownIsDrained) {
            return;
        }
        let member = self.coordinators[coordinator].fleet.members().get(run.worker).copied();
        if let Some((member, facts)) = member.and_then(|member| Some((member, member.facts?))) {
            let facts = Facts { phase: Phase::Drained, in_flight: 0, available: 0, ..facts };
            let report = Report { run, version: member.version, facts };
            let _ = self.fleet_command(coordinator, Command::Report(report));
        }
    }

    pub(super) fn fleet_wake(&mut self, coordinator: u32) {
        if self.now == 0 && self.coordinators[0].fleet.rollout().is_none() {
            return self.plan_version(0);
        }
        self.fleet_settle(coordinator as usize);
    }

    fn find(&self, id: WorkerId) -> Option<u32> {
        let (colour, number) = id.as_str().split_once('-')?;
        let number: u32 = number.parse().ok()?;
        Some(if colour == "blue" { number } else { self.plan.blue + number })
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Alert(_) => {}
            Effect::Provision { version, workers, .. } => {
                self.provision(usize::from(version == VERSIONS[1]), workers);
            }
            Effect::Route { .. } if self.has(Bug::RollbackUnrouted) && self.is_rolling_back() => {}
            Effect::StopWorker { .. } if self.has(Bug::OldNeverStopped) => {}
            Effect::Route { version, weight, epoch } => {
                // One connection to the dispatcher: routes keep their order.
                let at = self.now + self.plan.latency.1;
                self.queue.push(at, Event::Route(u32::from(version == VERSIONS[1]), weight, epoch));
            }
            Effect::CancelDrain { run, .. }
            | Effect::ForceDrain { run, .. }
            | Effect::OrderDrain { run, .. }
            | Effect::Promote { run, .. }
            | Effect::Reject { run, .. }
            | Effect::StopWorker { run, .. } => {
                let Some(worker) = self.find(run.worker) else { return };
                let cut_until =
                    if matches!(effect, Effect::StopWorker { .. }) { 0 } else { self.nodes[worker as usize].cut_until };
                let at = cut_until.max(self.now) + self.latency(u64::from(worker) << 42 ^ self.entries);
                self.post(Mail::Order(effect), at);
            }
        }
    }

    pub(super) fn deliver(&mut self, slot: u32) {
        let mail = self.mail[slot as usize];
        self.free_mail.push(slot);
        match mail {
            Mail::Report(report) => self.hear(report),
            Mail::Order(effect) => self.obey(effect),
        }
    }

    fn hear(&mut self, mut report: Report) {
        for coordinator in 0..self.coordinators.len() {
            if self.has(Bug::AnyIncarnation)
                && let Some(member) = self.coordinators[coordinator].fleet.members().get(report.run.worker)
                && member.incarnation != report.run.incarnation
            {
                let what = format!(
                    "a report of run {} of {} was taken for run {}",
                    report.run.incarnation, report.run.worker, member.incarnation
                );
                report.run.incarnation = member.incarnation;
                if self.fleet_command(coordinator, Command::Report(report)).is_ok() {
                    self.violate(Invariant::DrainedSound, None, what);
                }
                continue;
            }
            let outcome = self.fleet_command(coordinator, Command::Report(report));
            let unknown = matches!(outcome, Err(Rejection::Refused(Refused::NotRegistered | Refused::LeaseExpired)));
            if let Some(worker) = self.find(report.run.worker).filter(|_| unknown) {
                self.nodes[worker as usize].registered = false;
            }
            self.fleet_settle(coordinator);
        }
    }

    pub(super) fn register(&mut self, worker: u32, incarnation: u32) {
        if self.running(worker, incarnation).is_none() {
            return;
        }
        let node = &self.nodes[worker as usize];
        let run = Run { worker: node.id, incarnation: Incarnation::new(incarnation.into()) };
        let version = VERSIONS[node.version];
        for coordinator in 0..self.coordinators.len() {
            let outcome = self.fleet_command(coordinator, Command::Register { run, version });
            let joined = match outcome {
                Ok(entry) => matches!(entry.event, Became::WorkerRegistered { .. }),
                Err(rejection) => matches!(rejection, Rejection::Repeat(Repeat::AlreadyRegistered)),
            };
            let epoch = self.coordinators[coordinator].fleet.epoch();
            let node = &mut self.nodes[worker as usize];
            node.registered |= joined;
            node.joined |= joined;
            if joined {
                // Who lets it in is obeyed: nobody of an earlier term can turn it away any more.
                node.obeyed = node.obeyed.max(Stamp { epoch, order: Seq::default() });
            }
            self.fleet_settle(coordinator);
        }
        self.report(worker);
    }

    pub(super) fn gone(&mut self, worker: u32, incarnation: u32) {
        let run = Run { worker: self.nodes[worker as usize].id, incarnation: Incarnation::new(incarnation.into()) };
        for coordinator in 0..self.coordinators.len() {
            if !self.coordinators[coordinator].up {
                self.queue.push(self.now + SECOND, Event::Gone(worker, incarnation));
                return;
            }
            let _ = self.fleet_command(coordinator, Command::Gone { run });
            self.fleet_settle(coordinator);
        }
    }

    /// A worker says how it is.
    pub(super) fn report(&mut self, worker: u32) {
        let node = &self.nodes[worker as usize];
        if !node.registered || node.doomed {
            return;
        }
        let machine = &node.machine;
        let in_flight = machine.word().in_flight();
        let serving = machine.phase() == Phase::Serving;
        let mut facts = Facts {
            seq: machine.word().seq(),
            phase: machine.phase(),
            in_flight,
            capacity: machine.limits().capacity,
            available: if serving { machine.limits().capacity - in_flight } else { 0 },
            sealed: machine.drain().is_some_and(|drain| drain.sealed),
            obeyed: node.obeyed,
        };
        if self.has(Bug::ReportsServing) && self.drains_by_signal(worker) && machine.phase() == Phase::Draining {
            (facts.phase, facts.sealed) = (Phase::Serving, false);
        }
        if self.has(Bug::DrainingIsDrained) && machine.phase() == Phase::Draining {
            (facts.phase, facts.in_flight) = (Phase::Drained, 0);
        }
        if facts.phase != machine.phase() && !self.has(Bug::DrainingIsDrained) {
            let what = format!("{} is {} and reports {}", self.name(worker), machine.phase(), facts.phase);
            self.violate(Invariant::AuditFaithful, Some(worker), what);
        }
        let node = &self.nodes[worker as usize];
        let run = Run { worker: node.id, incarnation: Incarnation::new(node.incarnation.into()) };
        let at = node.cut_until.max(self.now) + self.latency(u64::from(worker) << 43 ^ self.entries ^ self.now);
        self.post(Mail::Report(Report { run, version: VERSIONS[node.version], facts }), at);
    }

    /// An order arrives at its worker, or at the platform.
    fn obey(&mut self, effect: Effect) {
        let (run, stamp) = match effect {
            Effect::CancelDrain { run, stamp }
            | Effect::ForceDrain { run, stamp }
            | Effect::OrderDrain { run, stamp, .. }
            | Effect::Promote { run, stamp }
            | Effect::Reject { run, stamp, .. }
            | Effect::StopWorker { run, stamp } => (run, stamp),
            Effect::Alert(_) | Effect::Provision { .. } | Effect::Route { .. } => return,
        };
        let Some(worker) = self.find(run.worker) else { return };
        let incarnation = u32::try_from(run.incarnation.get()).unwrap_or(0);
        if self.running(worker, incarnation).is_none() || !self.may_obey(worker, stamp) {
            return;
        }
        self.tell(Who::Worker(worker), || format!("an order arrives, {effect}"));
        let now = self.nodes[worker as usize].clock(self.now);
        let actor = PIPELINE;
        let command = match effect {
            Effect::CancelDrain { .. } => ToWorker::CancelDrain { actor },
            Effect::ForceDrain { .. } => ToWorker::ForceDrain { actor },
            Effect::OrderDrain { terms, .. } => ToWorker::BeginDrain(DrainOrder {
                cause: Cause::Coordinator,
                actor,
                deadline: terms.within.map(|within| now + within),
                on_deadline: terms.on_deadline,
            }),
            Effect::Promote { .. } => ToWorker::Serve,
            Effect::Reject { .. } if self.nodes[worker as usize].machine.phase() < Phase::Serving => ToWorker::Reject,
            // It was let in by somebody out of office, and may hold calls.
            Effect::Reject { .. } => ToWorker::BeginDrain(DrainOrder {
                cause: Cause::Fence,
                actor,
                deadline: None,
                on_deadline: OnDeadline::Wait,
            }),
            _ => return self.stop(worker),
        };
        if matches!(effect, Effect::OrderDrain { .. }) && self.has(Bug::TimerForDrained) {
            self.queue.push(self.now + TIMED_STOP, Event::TimedStop(worker, incarnation));
        }
        let _ = self.command(worker, command);
        self.settle(worker);
        self.report(worker);
    }

    /// S8: only what is newer than the last order taken is obeyed.
    fn may_obey(&mut self, worker: u32, stamp: Stamp) -> bool {
        let obeyed = self.nodes[worker as usize].obeyed;
        if stamp.epoch < obeyed.epoch && self.has(Bug::EpochIgnored) {
            let what = format!(
                "{} obeys a coordinator of term {} after one of term {}",
                self.name(worker),
                stamp.epoch,
                obeyed.epoch
            );
            self.violate(Invariant::SingleWriter, Some(worker), what);
        }
        let newer = stamp > obeyed;
        if newer {
            self.nodes[worker as usize].obeyed = stamp;
        }
        newer
    }

    fn is_rolling_back(&self) -> bool {
        self.in_office().fleet.rollout().is_some_and(|rollout| rollout.stage == Stage::RollingBack)
    }
}
