//! What a fleet answers to a command.

use super::due::AT_ONCE;
use super::{
    Command, Departure, Event, Facts, Fleet, Member, MemberStatus, Misuse, PauseReason, Refused, RejectReason,
    Rejection, Repeat, Report, Request, Run, Spec, Stage, Task, VERSIONS_MAX, VersionState, View, WORKERS_MAX,
};
use crate::id::{Actor, Epoch, Version, WorkerId};
use crate::time::{Instant, Span};
use crate::word::Phase;

/// An unchanged report is noted at most this many times per time it is good for.
const REPORTS_PER_TTL: u64 = 4;

pub(super) type Judgement = Result<Event, Rejection>;

impl Fleet {
    /// The event a command leads to at `at`, which is not before the last entry.
    pub(super) fn answer(&self, at: Instant, command: Command) -> Judgement {
        if let Command::TakeOver { epoch, actor } = command {
            return if epoch > self.latest_epoch { Ok(Event::TookOver { epoch, actor }) } else { Err(self.fenced()) };
        }
        if self.fenced_by().is_some() {
            return Err(self.fenced());
        }
        match command {
            Command::Demand { calls } if calls == self.demand => Err(Repeat::DemandNoted.into()),
            Command::Demand { calls } => Ok(Event::DemandStated { calls }),
            Command::Judge { gate, step, passed } => self.judge_gate(gate, step, passed),
            Command::Gone { run } => self.judge_gone(run),
            Command::Request { epoch, actor, request } => self.judge_request(epoch, actor, request),
            Command::Register { run, version } => self.judge_register(run, version, Member::is_settled),
            Command::Report(report) => self.judge_report(at, &report),
            Command::TakeOver { epoch, actor } => Ok(Event::TookOver { epoch, actor }),
            Command::Wake => self.judge_wake(at),
        }
    }

    fn fenced(&self) -> Rejection {
        Refused::Fenced { by: self.latest_epoch }.into()
    }

    fn judge_request(&self, epoch: Epoch, actor: Actor, request: Request) -> Judgement {
        if epoch < self.epoch {
            return Err(self.fenced());
        }
        if epoch > self.epoch {
            return Err(Misuse::EpochAhead.into());
        }
        match request {
            Request::Cordon { worker } => self.judge_cordon(actor, worker),
            Request::Drain { worker, terms } => self.judge_dismissal(actor, worker, terms),
            Request::Fence { worker } => self.judge_fence(actor, worker),
            Request::Force { worker } => self.judge_force(actor, worker, Member::fresh),
            Request::Pause if self.paused.is_some() => Err(Repeat::AlreadyPaused.into()),
            Request::Pause => Ok(Event::Paused { actor, reason: PauseReason::Asked }),
            Request::Promote => self.judge_promotion(actor),
            Request::RollOut(spec) => self.judge_roll_out(actor, spec),
            Request::Resume if self.paused.is_none() => Err(Repeat::NotPaused.into()),
            Request::Resume => Ok(Event::Resumed { actor }),
            Request::Rollback => self.judge_rollback(actor),
            Request::Scale { workers } => self.judge_scale(actor, workers),
            Request::SetGates { asked, on_failure } => self.judge_gates(actor, asked, on_failure),
            Request::Uncordon { worker } => self.judge_uncordon(actor, worker),
        }
    }

    fn judge_roll_out(&self, actor: Actor, spec: Spec) -> Judgement {
        spec.check()?;
        let active = self.rollout.filter(|rollout| !rollout.stage.is_over());
        let queued = self.queued.map(|(_, spec)| spec.version);
        if queued.or_else(|| active?.target()) == Some(spec.version) {
            return Err(Repeat::AlreadyPlanned.into());
        }
        if self.state_of(spec.version) == Some(VersionState::Current) {
            return Err(Misuse::AlreadyCurrent.into());
        }
        let room = self.versions.len() < VERSIONS_MAX || self.versions.contains_key(&spec.version);
        if !room && self.evictable().is_none() {
            return Err(Refused::VersionsFull.into());
        }
        if active.is_some() || self.queued.is_some() {
            return Ok(Event::Superseded { actor, spec });
        }
        Ok(Event::Planned { actor, spec })
    }

    /// The version over for longest that has no workers left.
    pub(super) fn evictable(&self) -> Option<Version> {
        let over = |state| matches!(state, VersionState::Drained | VersionState::Failed);
        let empty = self.versions.iter().filter(|(version, info)| {
            over(info.state) && self.members.pool(**version).members == 0 && !self.is_on_the_way(**version)
        });
        empty.min_by_key(|(version, info)| (info.since, **version)).map(|(version, _)| *version)
    }

    fn is_on_the_way(&self, version: Version) -> bool {
        let active = self.rollout.filter(|rollout| !rollout.stage.is_over());
        active.is_some_and(|rollout| [rollout.target(), rollout.leaving()].contains(&Some(version)))
    }

    pub(super) fn judge_rollback(&self, actor: Actor) -> Judgement {
        let rollout = self.rollout.ok_or(Misuse::NoRollout)?;
        match rollout.stage {
            Stage::RollingBack => Err(Repeat::AlreadyRollingBack.into()),
            Stage::Completed | Stage::RolledBack | Stage::Superseded | Stage::Failed => {
                Err(Refused::RolloutOver.into())
            }
            Stage::Planned | Stage::Provisioning | Stage::Verifying | Stage::Shifting | Stage::Draining => {
                let nothing_before = rollout.blue.is_none() && self.weight(rollout.green()) > 0;
                if nothing_before { Err(Refused::NothingBefore.into()) } else { Ok(Event::RollbackStarted { actor }) }
            }
        }
    }

    fn judge_fence(&self, actor: Actor, worker: WorkerId) -> Judgement {
        let member = self.members.get(worker).ok_or(Misuse::NoSuchWorker)?;
        match member.status {
            MemberStatus::Member | MemberStatus::Cordoned | MemberStatus::Dismissed(_) if !member.is_told_to_stop() => {
                Ok(Event::WorkerFenced { run: member.run(worker), actor })
            }
            MemberStatus::Member
            | MemberStatus::Cordoned
            | MemberStatus::Dismissed(_)
            | MemberStatus::Fenced
            | MemberStatus::WrittenOff => Err(Repeat::AlreadyFenced.into()),
        }
    }

    /// `fresh` gives what the worker said, if that is still good.
    pub(super) fn judge_force<'a>(
        &'a self,
        actor: Actor,
        worker: WorkerId,
        fresh: impl FnOnce(&'a Member) -> Option<&'a Facts>,
    ) -> Judgement {
        let member = self.members.get(worker).ok_or(Misuse::NoSuchWorker)?;
        let run = member.run(worker);
        if member.is_told_to_stop() {
            return Err(Repeat::AlreadyForced.into());
        }
        if member.is_lost() {
            return Ok(Event::WorkerWrittenOff { run, actor, live: member.live });
        }
        let facts = *fresh(member).ok_or(Refused::Unknown)?;
        if matches!(member.order.map(|order| order.task), Some(Task::Force)) {
            return Err(Repeat::AlreadyForced.into());
        }
        match facts.phase {
            Phase::Draining if facts.in_flight > 0 => Ok(Event::ForceOrdered { run, actor, facts }),
            Phase::Draining | Phase::Drained | Phase::Exited => Err(Repeat::AlreadyDrained.into()),
            Phase::Starting | Phase::Standby | Phase::Serving => Err(Misuse::NotDraining.into()),
        }
    }

    /// `settled` tells whether nothing of an earlier run had to be waited for.
    pub(super) fn judge_register(&self, run: Run, version: Version, settled: fn(&Member) -> bool) -> Judgement {
        let rejected = |reason| Ok(Event::WorkerRejected { run, version, reason });
        let member = self.members.get(run.worker);
        if let Some(member) = member.filter(|member| run.incarnation <= member.incarnation) {
            if run.incarnation < member.incarnation {
                return rejected(RejectReason::StaleIncarnation);
            }
            if version != member.version {
                return Err(Misuse::VersionChanged.into());
            }
            return match (member.status, member.is_lost()) {
                (MemberStatus::WrittenOff, _) => rejected(RejectReason::WrittenOff),
                (_, true) => Ok(Event::WorkerRegistered { run, version, lost_before: None }),
                (_, false) => Err(Repeat::AlreadyRegistered.into()),
            };
        }
        if !self.admits(version)? {
            return rejected(RejectReason::VersionNotAllowed);
        }
        if member.is_none() && self.members.len() >= WORKERS_MAX {
            return Err(Refused::WorkersFull.into());
        }
        let lost = member.filter(|member| !settled(member) && !member.is_lost());
        Ok(Event::WorkerRegistered { run, version, lost_before: lost.map(|member| member.incarnation) })
    }

    /// Whether workers of this version may join; an error if it was never deployed.
    fn admits(&self, version: Version) -> Result<bool, Rejection> {
        Ok(self.state_of(version).ok_or(Refused::NeverDeployed { version })?.admits())
    }

    fn judge_report(&self, at: Instant, report: &Report) -> Judgement {
        let Report { run, version, facts } = *report;
        if !facts.is_possible() {
            return Err(Misuse::ReportImpossible.into());
        }
        let member = match self.members.get(run.worker) {
            Some(member) if run.incarnation < member.incarnation => return Err(Refused::Stale.into()),
            Some(member) if run.incarnation == member.incarnation => member,
            Some(_) | None if self.admits(version)? => return Err(Refused::NotRegistered.into()),
            Some(_) | None => {
                return Ok(Event::WorkerRejected { run, version, reason: RejectReason::VersionNotAllowed });
            }
        };
        if version != member.version {
            return Err(Misuse::VersionChanged.into());
        }
        if facts.obeyed.epoch > self.epoch {
            return Ok(Event::FencedOff(*report));
        }
        if member.is_lost() {
            return Err(Refused::LeaseExpired.into());
        }
        let overtaken = |last: &Facts| facts.seq < last.seq || facts.obeyed < last.obeyed;
        if facts.seq < member.seq || member.facts().is_some_and(overtaken) {
            return Err(Refused::Stale.into());
        }
        let noted = Span::from_micros(self.timeouts.report_ttl.as_micros() / REPORTS_PER_TTL);
        let same = member.seen.heard.filter(|heard| heard.facts == facts && at.since(heard.at) < noted);
        if member.view() == View::Known && same.is_some() {
            return Err(Repeat::ReportNoted.into());
        }
        Ok(Event::WorkerReported(*report))
    }

    fn judge_gone(&self, run: Run) -> Judgement {
        let member = self.members.of(run).ok_or(Repeat::AlreadyGone)?;
        let departure =
            if member.is_settled() { Departure::Stopped } else { Departure::Vanished { live: member.live() } };
        Ok(Event::WorkerGone { run, departure })
    }

    /// Workers first, so that no step counts on a worker that is overdue; steps next, so that a version ready in time
    /// is not failed by a late clock. A coordinator that is woken long after something was due was away itself: it
    /// judges nobody by what it did not hear, and listens first.
    fn judge_wake(&self, at: Instant) -> Judgement {
        let Some(watch) = self.members.watch() else { return Ok(Event::WatchBegan) };
        let worker = self.members.first_due().filter(|(due, _)| *due <= at);
        let verify = self.verify_by(watch.since).filter(|by| *by <= at);
        let timed = match worker {
            Some((due, _)) => Some(due).filter(|due| *due > AT_ONCE),
            None => verify,
        };
        if timed.is_some_and(|due| at.since(due) >= self.timeouts.report_ttl) {
            return Ok(Event::WatchBegan);
        }
        if let Some((_, worker)) = worker {
            return self.members.due_event(worker).ok_or_else(|| Misuse::NotDue.into());
        }
        if let Some(event) = self.step() {
            return Ok(event);
        }
        let green = self.rollout.filter(|_| verify.is_some()).ok_or(Misuse::NotDue)?.green();
        let failed = Event::VerifyFailed { ready: self.members.pool(green).ready };
        self.may(at, failed).ok_or_else(|| Misuse::NotDue.into())
    }
}
