//! How an entry changes a fleet. A decision carries what it needs, so folding one reads nothing that was observed; and
//! an observation changes nothing that was decided.

use super::{
    Departure, Entry, Event, Facts, Fleet, GateSet, Gates, Lease, Member, MemberStatus, OrderInForce, Pause,
    PauseReason, Report, Rollout, Run, Seen, Spec, Stage, Stamp, StepKind, Task, VERSIONS_MAX, VersionInfo,
    VersionState, Watch, Wave,
};
use crate::id::{Actor, Epoch, Version};
use crate::time::Span;

impl Fleet {
    pub(super) fn fold(&mut self, entry: &Entry) {
        if !entry.event.is_observation() {
            self.seq = entry.seq;
            self.now = entry.at;
            self.tally.clock_steps += u64::from(entry.behind > Span::ZERO);
        }
        match entry.event {
            Event::TookOver { epoch, .. } => self.take_office(epoch),
            Event::FencedOff(report) => self.latest_epoch = self.latest_epoch.max(report.facts.obeyed.epoch),
            Event::DemandStated { calls } => self.demand = calls,
            Event::Planned { actor, spec } => self.plan(actor, spec),
            Event::Superseded { actor, spec } => self.supersede(actor, spec),
            Event::ProvisionOrdered { workers, .. } => self.ask_for(workers),
            Event::VerifyingBegan { .. } => self.enter(Stage::Verifying),
            Event::VerifyFailed { .. } => self.fail(),
            Event::ShiftingBegan { .. } => self.enter(Stage::Shifting),
            Event::Shifted { to, weight, .. } => self.shift_to(to, weight),
            Event::CapacityBlocked { step, .. } => self.blocked[step as usize] = true,
            Event::WaveStarted { version, wave, size, .. } => self.begin_wave(version, wave, size),
            Event::VersionDrained { version } => self.set_state(version, VersionState::Drained),
            Event::Completed => self.enter(Stage::Completed),
            Event::RollbackStarted { .. } => self.turn_back(),
            Event::RolledBack => self.enter(Stage::RolledBack),
            Event::Paused { actor, reason } => self.pause(actor, reason),
            Event::Resumed { .. } => self.resume(),
            Event::GatesSet { asked, on_failure, .. } => {
                self.annex.gates = Gates { asked, on_failure, ..Gates::default() };
            }
            Event::Scaled { version, workers, .. } => self.scale(version, workers),
            Event::ScaleInOrdered { run, facts, .. } => self.scale_in_by(run, &facts),
            Event::GatePassed { gate, .. } => self.annex.gates.pass(gate),
            Event::GateFailed { gate, .. } => self.annex.gates.fail(gate),
            Event::Promoted { .. } => self.annex.gates.passed = self.annex.gates.asked,
            Event::WorkerRegistered { run, version, lost_before } => self.join(run, version, lost_before.is_some()),
            Event::WorkerRejected { run, .. } => self.reject(run),
            Event::WorkerLost { run, live, .. } => self.lose(run, live),
            Event::WorkerFenced { run, .. } => self.take_out(run, MemberStatus::Fenced),
            Event::WorkerCordoned { run, .. } => self.take_out(run, MemberStatus::Cordoned),
            Event::WorkerDismissed { run, terms, .. } => self.take_out(run, MemberStatus::Dismissed(terms)),
            Event::WorkerUncordoned { run, .. } => self.put_back(run),
            Event::WorkerGone { run, departure } => self.part(run, departure),
            Event::WorkerWrittenOff { run, live, .. } => self.write_off(run, live),
            Event::WorkerDrained { run, facts } => self.on_facts(run, &facts, |member| member.drained = true),
            Event::DrainOrdered { run, terms, facts, .. } => self.order_drain(run, Task::Drain(terms), &facts),
            Event::CancelOrdered { run } => self.tell_to_return(run),
            Event::ServeOrdered { run, facts } => self.order(run, Task::Serve, &facts),
            Event::StopOrdered { run, facts } => self.order(run, Task::Stop, &facts),
            Event::ForceOrdered { run, facts, .. } => self.order(run, Task::Force, &facts),
            Event::Acked { run, facts, .. } => self.acknowledge(run, &facts),
            Event::CancelRefused { run, facts } => self.on_facts(run, &facts, |member| member.order = None),
            Event::DrainUndone { run, facts } => self.undo(run, &facts),
            Event::DrainWithdrawn { run } => self.withdraw(run),
            Event::DrainOverdue { run, live } => self.overrun(run, live),
            Event::WatchBegan => self.members.listen(Watch { since: entry.at, timeouts: self.timeouts }),
            Event::WorkerReported(Report { run, facts, .. }) => self.see(run, |seen| seen.hear(entry.at, facts)),
            Event::WorkerSilent { run } => self.see(run, |seen| seen.fresh = false),
            Event::Reissued { run } => self.see(run, |seen| seen.resent = Some(entry.at)),
        }
    }

    fn see(&mut self, run: Run, see: impl FnOnce(&mut Seen)) {
        self.members.change(run.worker, |member| see(&mut member.seen));
    }

    /// A coordinator that takes over has no reports yet.
    fn take_office(&mut self, epoch: Epoch) {
        (self.epoch, self.latest_epoch, self.in_office) = (epoch, epoch, self.now);
        self.members.forget();
    }

    fn plan(&mut self, actor: Actor, spec: Spec) {
        if self.versions.len() >= VERSIONS_MAX
            && !self.versions.contains_key(&spec.version)
            && let Some(oldest) = self.evictable()
        {
            self.versions.remove(&oldest);
        }
        let blue = self.current();
        let fresh = VersionInfo { state: VersionState::Inactive, weight: 0, workers: spec.workers, since: self.now };
        let info = self.versions.entry(spec.version).or_insert(fresh);
        info.workers = spec.workers;
        info.since = self.now;
        if !info.state.admits() {
            info.state = VersionState::Inactive;
        }
        self.queued = None;
        self.blocked = Default::default();
        self.annex.gates.reset();
        self.annex.scaled = self.annex.scaled.filter(|scaled| *scaled != spec.version);
        self.members.forgive();
        self.rollout = Some(Rollout { actor, spec, blue, stage: Stage::Planned, since: self.now, asked: 0 });
    }

    fn scale(&mut self, version: Version, workers: u32) {
        self.annex.scaled = Some(version);
        if let Some(info) = self.versions.get_mut(&version) {
            info.workers = workers;
        }
    }

    fn supersede(&mut self, actor: Actor, spec: Spec) {
        self.queued = Some((actor, spec));
        self.retire_inactive();
        self.enter(Stage::Superseded);
    }

    fn ask_for(&mut self, workers: u32) {
        let Some(rollout) = &mut self.rollout else { return };
        rollout.asked = workers;
        if rollout.stage == Stage::Planned {
            self.enter(Stage::Provisioning);
        }
    }

    fn fail(&mut self) {
        if let Some(green) = self.rollout.map(|rollout| rollout.green()) {
            self.set_state(green, VersionState::Failed);
        }
        self.enter(Stage::Failed);
    }

    /// The other versions give up the weight that this version gets. A version without any weight left is retired,
    /// unless it is still to come.
    fn shift_to(&mut self, to: Version, weight: u8) {
        let coming = self.rollout.and_then(|rollout| rollout.target());
        for (version, info) in &mut self.versions {
            if *version == to {
                info.weight = weight;
                if weight == 100 {
                    info.state = VersionState::Current;
                } else if info.state != VersionState::Current {
                    info.state = VersionState::Ramping;
                }
            } else if matches!(info.state, VersionState::Current | VersionState::Ramping) {
                info.weight = 100_u8.saturating_sub(weight);
                if weight == 100 {
                    let next = if coming == Some(*version) { VersionState::Inactive } else { VersionState::Draining };
                    info.state = next;
                }
            }
        }
        self.blocked[StepKind::Shift as usize] = false;
        self.annex.gates.reset();
        if weight == 100 && self.rollout.is_some_and(|rollout| rollout.stage == Stage::Shifting) {
            self.enter(Stage::Draining);
        }
    }

    fn begin_wave(&mut self, version: Version, number: u32, left: u32) {
        self.blocked[StepKind::Wave as usize] = false;
        self.wave = Some(Wave { version, number, left });
    }

    fn turn_back(&mut self) {
        self.retire_inactive();
        if let Some(blue) = self.rollout.and_then(|rollout| rollout.blue)
            && self.state_of(blue).is_some_and(|state| !state.admits())
        {
            self.set_state(blue, VersionState::Ramping);
        }
        if let Some(rollout) = &mut self.rollout {
            rollout.asked = 0;
        }
        self.blocked = Default::default();
        self.annex.gates.reset();
        self.resume();
        self.enter(Stage::RollingBack);
    }

    /// A version that was to come and will not: what workers it has drain.
    fn retire_inactive(&mut self) {
        let target = self.rollout.and_then(|rollout| rollout.target());
        if let Some(target) = target.filter(|target| self.state_of(*target) == Some(VersionState::Inactive)) {
            self.set_state(target, VersionState::Draining);
        }
    }

    fn pause(&mut self, actor: Actor, reason: PauseReason) {
        self.paused = Some(Pause { actor, reason, since: self.now });
    }

    fn resume(&mut self) {
        self.paused = None;
        self.annex.gates.failed = GateSet::NONE;
        self.members.forgive();
        if let Some(rollout) = &mut self.rollout {
            rollout.since = self.now;
        }
    }

    fn enter(&mut self, stage: Stage) {
        if let Some(rollout) = &mut self.rollout {
            rollout.stage = stage;
            rollout.since = self.now;
        }
    }

    fn set_state(&mut self, version: Version, state: VersionState) {
        if let Some(info) = self.versions.get_mut(&version) {
            info.state = state;
            info.since = self.now;
        }
    }
}

/// What is decided of one worker.
impl Fleet {
    /// A run that joins is unknown until it reports. A run that comes back keeps its order.
    fn join(&mut self, run: Run, version: Version, lost_before: bool) {
        self.tally.registered += 1;
        self.tally.lost += u64::from(lost_before);
        let same = self.members.of(run).copied();
        let mut member = same.unwrap_or_else(|| Member::new(version, run.incarnation, self.now));
        (member.joined, member.lease) = (self.now, Lease::Held);
        self.members.insert(run.worker, &member);
    }

    /// A later run, though kept out, proves that the earlier one is gone: it can never report that it drained.
    fn reject(&mut self, run: Run) {
        self.tally.rejected += 1;
        let Some(earlier) = self.members.get(run.worker).filter(|member| member.incarnation < run.incarnation) else {
            return;
        };
        if earlier.is_told_to_stop() {
            self.members.remove(run.worker);
        } else {
            self.members.change(run.worker, |member| {
                member.drained = false;
                if !member.is_lost() {
                    member.lease = Lease::Void;
                }
            });
        }
    }

    fn lose(&mut self, run: Run, live: u32) {
        self.tally.lost += 1;
        self.members.change(run.worker, |member| {
            member.lease = Lease::Expired;
            member.seen.fresh = false;
            member.live = live;
        });
    }

    /// Somebody takes a worker out of service.
    fn take_out(&mut self, run: Run, status: MemberStatus) {
        let order = self.order_to(Task::Drain(status.terms(self.terms())), None);
        self.members.change(run.worker, |member| {
            member.status = status;
            member.withdrawn = false;
            member.order = Some(order);
        });
    }

    fn part(&mut self, run: Run, departure: Departure) {
        let known = self.members.remove(run.worker).is_some_and(|member| !member.is_lost());
        match departure {
            Departure::Exited { dropped } => self.tally.dropped += u64::from(dropped),
            Departure::Stopped => {}
            Departure::Vanished { .. } => self.tally.lost += u64::from(known),
        }
    }

    fn write_off(&mut self, run: Run, live: u32) {
        self.tally.written_off += 1;
        self.tally.dropped += u64::from(live);
        let order = self.order_to(Task::Stop, None);
        self.members.change(run.worker, |member| {
            member.status = MemberStatus::WrittenOff;
            member.withdrawn = false;
            member.order = Some(order);
        });
    }

    fn order_drain(&mut self, run: Run, task: Task, facts: &Facts) {
        self.order(run, task, facts);
        if let Some(wave) = &mut self.wave {
            wave.left = wave.left.saturating_sub(1);
        }
    }

    fn order(&mut self, run: Run, task: Task, facts: &Facts) {
        let order = self.order_to(task, self.stands_for(task));
        self.on_facts(run, facts, |member| member.order = Some(order));
    }

    /// A worker too many leaves.
    fn scale_in_by(&mut self, run: Run, facts: &Facts) {
        self.blocked[StepKind::Wave as usize] = false;
        self.on_facts(run, facts, |_| {});
        self.take_out(run, MemberStatus::Dismissed(self.terms()));
    }

    /// A worker is in service again.
    fn put_back(&mut self, run: Run) {
        self.members.change(run.worker, |member| member.status = MemberStatus::Member);
        self.tell_to_return(run);
    }

    fn tell_to_return(&mut self, run: Run) {
        let order = self.order_to(Task::Cancel, None);
        self.members.change(run.worker, |member| {
            member.order = Some(order);
            member.drained = false;
        });
    }

    fn acknowledge(&mut self, run: Run, facts: &Facts) {
        let now = self.now;
        self.on_facts(run, facts, |member| member.order = member.order.and_then(|order| order.obeyed(now)));
    }

    /// Tells workers that are out of service to drain once more, and leaves the others alone.
    fn undo(&mut self, run: Run, facts: &Facts) {
        let usual = self.terms();
        let again = self.order_to(Task::Drain(usual), None);
        self.on_facts(run, facts, |member| {
            if member.order.is_some_and(|order| order.is_undone_by(facts)) {
                member.order = match member.status {
                    MemberStatus::Member => None,
                    MemberStatus::Fenced | MemberStatus::Cordoned | MemberStatus::Dismissed(_) => {
                        Some(OrderInForce { task: Task::Drain(member.status.terms(usual)), ..again })
                    }
                    MemberStatus::WrittenOff => member.order,
                };
            }
        });
    }

    fn withdraw(&mut self, run: Run) {
        self.tally.withdrawn += 1;
        let order = self.order_to(Task::Cancel, None);
        self.members.change(run.worker, |member| {
            member.order = Some(order);
            member.withdrawn = true;
        });
    }

    fn overrun(&mut self, run: Run, live: u32) {
        self.members.change(run.worker, |member| {
            member.live = live;
            if let Some(order) = &mut member.order {
                order.overdue = true;
            }
        });
    }

    fn on_facts(&mut self, run: Run, facts: &Facts, change: impl FnOnce(&mut Member)) {
        self.members.change(run.worker, |member| {
            member.note(facts);
            change(member);
        });
    }

    /// An order given by the entry being folded.
    fn order_to(&self, task: Task, stands_for: Option<Span>) -> OrderInForce {
        OrderInForce {
            task,
            stamp: Stamp { epoch: self.epoch, order: self.seq },
            given: self.now,
            stands_for,
            acked: None,
            overdue_at: None,
            overdue: false,
        }
    }

    /// Only a rollout's drain expires: the others have no state to go back to.
    fn stands_for(&self, task: Task) -> Option<Span> {
        matches!(task, Task::Drain(_)).then_some(self.policy().ack_timeout)
    }
}
