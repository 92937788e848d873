//! How an entry changes a fleet.

use super::{
    Departure, Entry, Event, Facts, Fleet, Gate, Member, Pause, Plan, Rollout, Run, Stage, Stamp, Standing, Task, Told,
    VERSIONS_MAX, VersionInfo, VersionState, View, Wave,
};
use crate::id::{Actor, Version};
use crate::time::{Instant, Span};
use crate::word::Phase;

impl Fleet {
    pub(super) fn fold(&mut self, entry: &Entry) {
        self.seq = entry.seq;
        self.now = entry.at;
        self.tally.clock_steps += u64::from(entry.behind > Span::ZERO);
        match entry.event {
            Event::TookOver { epoch, .. } => (self.epoch, self.seen) = (epoch, epoch),
            Event::FencedOff(report) => self.seen = self.seen.max(report.facts.obeyed.epoch),
            Event::DemandStated { calls } => self.demand = calls,
            Event::CapacityBlocked { gate, .. } => self.blocked[gate as usize] = true,
            Event::Paused { actor, reason } => self.paused = Some(Pause { actor, reason, since: self.now }),
            Event::Resumed { .. } => self.resume(),
            Event::Planned { .. }
            | Event::Superseded { .. }
            | Event::ProvisionOrdered { .. }
            | Event::VerifyingBegan
            | Event::VerifyFailed { .. }
            | Event::ShiftingBegan
            | Event::Shifted { .. }
            | Event::WaveStarted { .. }
            | Event::VersionDrained { .. }
            | Event::Completed
            | Event::RollbackStarted { .. }
            | Event::RolledBack => self.fold_rollout(&entry.event),
            Event::WorkerRegistered { .. }
            | Event::WorkerRejected { .. }
            | Event::WorkerReported(_)
            | Event::WorkerSilent { .. }
            | Event::WorkerLost { .. }
            | Event::WorkerFenced { .. }
            | Event::WorkerDrained { .. }
            | Event::WorkerGone { .. }
            | Event::WorkerWrittenOff { .. } => self.fold_worker(&entry.event),
            Event::Ordered { .. }
            | Event::Acked { .. }
            | Event::CancelRefused { .. }
            | Event::Reissued { .. }
            | Event::DrainWithdrawn { .. }
            | Event::DrainOverdue { .. }
            | Event::ForceOrdered { .. } => self.fold_order(&entry.event),
        }
    }

    fn fold_rollout(&mut self, event: &Event) {
        match *event {
            Event::Planned { actor, plan } => self.plan(actor, plan),
            Event::Superseded { actor, plan } => {
                self.queued = Some((actor, plan));
                self.retire_inactive();
                self.enter(Stage::Superseded);
            }
            Event::ProvisionOrdered { workers, .. } => {
                if let Some(rollout) = &mut self.rollout {
                    rollout.asked = workers;
                    if rollout.stage == Stage::Planned {
                        self.enter(Stage::Provisioning);
                    }
                }
            }
            Event::VerifyingBegan => self.enter(Stage::Verifying),
            Event::VerifyFailed { .. } => {
                if let Some(green) = self.rollout.map(|rollout| rollout.green()) {
                    self.set_state(green, VersionState::Failed);
                }
                self.enter(Stage::Failed);
            }
            Event::ShiftingBegan => self.enter(Stage::Shifting),
            Event::Shifted { to, weight } => self.shift_to(to, weight),
            Event::WaveStarted { version, wave, size } => {
                self.blocked[Gate::Wave as usize] = false;
                self.wave = Some(Wave { version, number: wave, left: size });
            }
            Event::VersionDrained { version } => self.set_state(version, VersionState::Drained),
            Event::Completed => self.enter(Stage::Completed),
            Event::RollbackStarted { .. } => self.turn_back(),
            Event::RolledBack => self.enter(Stage::RolledBack),
            _ => {}
        }
    }

    fn plan(&mut self, actor: Actor, plan: Plan) {
        if self.versions.len() >= VERSIONS_MAX
            && !self.versions.contains_key(&plan.version)
            && let Some(oldest) = self.evictable()
        {
            self.versions.remove(&oldest);
        }
        let blue = self.current();
        let fresh = VersionInfo { state: VersionState::Inactive, weight: 0, workers: plan.workers, since: self.now };
        let info = self.versions.entry(plan.version).or_insert(fresh);
        info.workers = plan.workers;
        info.since = self.now;
        if !info.state.admits() {
            info.state = VersionState::Inactive;
        }
        self.queued = None;
        self.blocked = Default::default();
        self.members.forgive();
        self.rollout = Some(Rollout { actor, plan, blue, stage: Stage::Planned, since: self.now, asked: 0 });
    }

    /// Whoever has a share gives up what the version gets; one that has none left is retired, unless it is still to
    /// come.
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
                info.weight = 100 - weight;
                if weight == 100 {
                    let next = if coming == Some(*version) { VersionState::Inactive } else { VersionState::Draining };
                    info.state = next;
                }
            }
        }
        self.blocked[Gate::Shift as usize] = false;
        if weight == 100 && self.rollout.is_some_and(|rollout| rollout.stage == Stage::Shifting) {
            self.enter(Stage::Draining);
        }
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

    fn resume(&mut self) {
        self.paused = None;
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

    fn fold_worker(&mut self, event: &Event) {
        match *event {
            Event::WorkerRegistered { run, version, lost_before } => self.join(run, version, lost_before),
            Event::WorkerRejected { run, .. } => self.reject(run),
            Event::WorkerReported(report) => self.hear(report.run, report.facts),
            Event::WorkerSilent { run } => self.members.change(run.worker, |member| {
                member.view = View::Unknown;
                member.drained &= member.is_told_to_stop();
            }),
            Event::WorkerLost { run, .. } => {
                self.tally.lost += 1;
                self.members.change(run.worker, |member| member.view = View::Lost);
            }
            Event::WorkerFenced { run, .. } => {
                let told = self.told(Task::Drain(self.terms()), None);
                self.members.change(run.worker, |member| {
                    member.standing = Standing::Fenced;
                    member.withdrawn = false;
                    member.told = Some(told);
                });
            }
            Event::WorkerDrained { run } => self.members.change(run.worker, |member| member.drained = true),
            Event::WorkerGone { run, departure } => {
                let gone = self.members.remove(run.worker);
                let known = gone.is_some_and(|member| member.view != View::Lost);
                match departure {
                    Departure::Exited { dropped } => self.tally.dropped += u64::from(dropped),
                    Departure::Stopped => {}
                    Departure::Vanished { .. } => self.tally.lost += u64::from(known),
                }
            }
            Event::WorkerWrittenOff { run, .. } => {
                self.tally.written_off += 1;
                let told = self.told(Task::Stop, None);
                self.members.change(run.worker, |member| {
                    member.standing = Standing::WrittenOff;
                    member.withdrawn = false;
                    member.told = Some(told);
                });
            }
            _ => {}
        }
    }

    /// A run that joins starts unknown: it is nothing until it reports. One that comes back keeps what it was told.
    fn join(&mut self, run: Run, version: Version, lost_before: bool) {
        self.tally.registered += 1;
        self.tally.lost += u64::from(lost_before);
        let same = self.members.get(run.worker).filter(|member| member.incarnation == run.incarnation).copied();
        let blank = Member {
            version,
            incarnation: run.incarnation,
            facts: None,
            heard: self.now,
            silent_at: self.now,
            lost_at: self.now,
            view: View::Unknown,
            standing: Standing::Member,
            drained: false,
            withdrawn: false,
            told: None,
        };
        let mut member = same.unwrap_or(blank);
        member.view = View::Unknown;
        member.lost_at = self.now + self.limits.lease_ttl;
        self.members.insert(run.worker, member);
    }

    /// A later run, though kept out, proves that the earlier one is gone: it can never report that it drained.
    fn reject(&mut self, run: Run) {
        self.tally.rejected += 1;
        let now = self.now;
        let Some(earlier) = self.members.get(run.worker).filter(|member| member.incarnation < run.incarnation) else {
            return;
        };
        if earlier.is_told_to_stop() {
            self.members.remove(run.worker);
        } else if earlier.view != View::Lost {
            self.members.change(run.worker, |member| {
                member.view = View::Unknown;
                member.drained = false;
                member.lost_at = now;
            });
        }
    }

    fn hear(&mut self, run: Run, facts: Facts) {
        let (now, limits) = (self.now, self.limits);
        let drain_again = Told { resend_at: now, ..self.told(Task::Drain(self.terms()), None) };
        self.members.change(run.worker, |member| {
            member.facts = Some(facts);
            member.heard = now;
            member.silent_at = now + limits.report_ttl;
            member.lost_at = now + limits.lease_ttl;
            member.view = View::Known;
            if !facts.is_empty() {
                member.drained = false;
                if member.told.is_some_and(|told| was_undone(&told, &facts)) {
                    member.told = match member.standing {
                        Standing::Member => None,
                        Standing::Fenced => Some(drain_again),
                        Standing::WrittenOff => member.told,
                    };
                }
            }
        });
    }

    fn fold_order(&mut self, event: &Event) {
        let now = self.now;
        match *event {
            Event::Ordered { run, task } => {
                let told = self.told(task, Some(self.policy().ack_timeout));
                self.members.change(run.worker, |member| {
                    member.told = Some(told);
                    member.drained &= !member.is_returning();
                });
                if let Some(wave) = self.wave.as_mut().filter(|_| matches!(task, Task::Drain(_))) {
                    wave.left = wave.left.saturating_sub(1);
                }
            }
            Event::Acked { run, .. } => self.members.change(run.worker, |member| {
                member.told = member.told.and_then(|told| obeyed(told, now));
            }),
            Event::CancelRefused { run } => self.members.change(run.worker, |member| member.told = None),
            Event::Reissued { run } => {
                let resend_at = now + self.limits.resend_after;
                self.change_told(run, |told| told.resend_at = resend_at);
            }
            Event::DrainWithdrawn { run } => {
                self.tally.withdrawn += 1;
                let told = self.told(Task::Cancel, None);
                self.members.change(run.worker, |member| {
                    member.told = Some(told);
                    member.withdrawn = true;
                });
            }
            Event::DrainOverdue { run, .. } => self.change_told(run, |told| told.overdue = true),
            Event::ForceOrdered { run, .. } => {
                let told = self.told(Task::Force, None);
                self.members.change(run.worker, |member| member.told = Some(told));
            }
            _ => {}
        }
    }

    fn change_told(&mut self, run: Run, change: impl FnOnce(&mut Told)) {
        self.members.change(run.worker, |member| {
            if let Some(told) = &mut member.told {
                change(told);
            }
        });
    }

    /// An order given by the entry being folded. Only a drain expires: the others have no state to go back to.
    fn told(&self, task: Task, ack_timeout: Option<Span>) -> Told {
        let expires = ack_timeout.filter(|_| matches!(task, Task::Drain(_)));
        Told {
            task,
            stamp: Stamp { epoch: self.epoch, order: self.seq },
            resend_at: self.now + self.limits.resend_after,
            expires_at: expires.map(|timeout| self.now + timeout),
            acked: None,
            overdue_at: None,
            overdue: false,
        }
    }
}

/// Whether a worker has shed this order: somebody else took the drain back after it had obeyed.
fn was_undone(told: &Told, facts: &Facts) -> bool {
    let open = facts.phase < Phase::Draining;
    match told.task {
        Task::Cancel | Task::Serve => false,
        Task::Drain(_) => open && (!told.is_owed() || facts.obeyed >= told.stamp),
        Task::Force => open,
        Task::Stop => !facts.is_empty(),
    }
}

/// What remains of an order that was obeyed.
fn obeyed(told: Told, now: Instant) -> Option<Told> {
    match told.task {
        Task::Cancel | Task::Serve => None,
        Task::Drain(terms) => {
            let within = terms.within.filter(|_| terms.on_deadline != crate::worker::OnDeadline::Wait);
            Some(Told { acked: Some(now), overdue_at: within.map(|within| now + within), ..told })
        }
        Task::Force | Task::Stop => Some(Told { acked: Some(now), ..told }),
    }
}
