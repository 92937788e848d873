//! Which decisions may be made: each rule in one place, for decisions about to be made and for those read from a store.
//!
//! A decision is judged on what was decided before it and on the facts that it carries, and on nothing that was
//! observed. So a history that no coordinator can have decided is refused on replay, although its reports are gone.

use super::step::FLEET;
use super::{
    Departure, DrainTerms, Entry, Event, Facts, Fleet, Member, MemberStatus, Misfit, PauseReason, Room, Run, Stage,
    StepKind, VersionState, Watch,
};
use crate::id::{Incarnation, Version};
use crate::machine::Machine;
use crate::time::Instant;

impl Fleet {
    /// Whether a decision can follow this state.
    pub(super) fn check(&self, entry: &Entry) -> Result<(), Misfit> {
        if entry.event.is_observation() {
            return Err(Misfit::Observed);
        }
        self.head().precedes(entry)?;
        if self.allows(entry.at, &entry.event) {
            return Ok(());
        }
        let answer = self.answer(entry.at, self.cause_of(&entry.event));
        Err(answer.map_or_else(Misfit::Rejected, |_| Misfit::Other))
    }

    /// The decision, if it may be made.
    pub(super) fn may(&self, at: Instant, event: Event) -> Option<Event> {
        self.allows(at, &event).then_some(event)
    }

    fn allows(&self, at: Instant, event: &Event) -> bool {
        if self.fenced_by().is_some() && !matches!(event, Event::TookOver { .. }) {
            return false;
        }
        match *event {
            Event::Planned { actor, spec } if self.queued.is_some() => self.queued == Some((actor, spec)),
            Event::TookOver { .. }
            | Event::FencedOff(_)
            | Event::DemandStated { .. }
            | Event::Planned { .. }
            | Event::Superseded { .. }
            | Event::RollbackStarted { .. }
            | Event::Paused { reason: PauseReason::Asked, .. }
            | Event::Resumed { .. }
            | Event::GatesSet { .. }
            | Event::GatePassed { .. }
            | Event::GateFailed { .. }
            | Event::Promoted { .. }
            | Event::Scaled { .. }
            | Event::WorkerRejected { .. }
            | Event::WorkerFenced { .. }
            | Event::WorkerCordoned { .. }
            | Event::WorkerUncordoned { .. }
            | Event::WorkerDismissed { .. }
            | Event::WorkerWrittenOff { .. } => self.answer(at, self.cause_of(event)) == Ok(*event),
            Event::Paused { actor, reason: PauseReason::DrainWithdrawn } => actor == FLEET && self.must_pause(),
            Event::Paused { actor, reason: PauseReason::GateFailed } => {
                actor == FLEET && self.is_running() && self.must_pause_for_gate()
            }
            Event::ProvisionOrdered { version, workers, usable } => self.may_provision(version, workers, usable),
            Event::VerifyingBegan { usable } => self.is_at(Stage::Provisioning) && self.is_enough(usable),
            Event::ShiftingBegan { ready } => self.is_at(Stage::Verifying) && self.is_enough(ready),
            Event::VerifyFailed { ready } => self.is_late(at) && !self.is_enough(ready),
            Event::Shifted { to, weight, room } => self.may_shift(to, weight, &room),
            Event::CapacityBlocked { step, room } => self.may_block(step, &room),
            Event::WaveStarted { version, wave, size, room } => self.may_start_wave(version, wave, size, &room),
            Event::VersionDrained { version } => self.may_be_drained(version),
            Event::Completed => self.is_at(Stage::Draining) && self.has_left(),
            Event::RolledBack => self.is_at(Stage::RollingBack) && self.returning().is_none() && self.has_left(),
            Event::DrainOrdered { run, terms, facts, room } => self.may_drain(run, terms, &facts, &room),
            Event::ScaleInOrdered { run, facts, room, usable } => self.may_scale_in(run, &facts, &room, usable),
            Event::CancelOrdered { run } => self.may_cancel(run),
            Event::ServeOrdered { run, facts } => self.may_serve(run, &facts),
            Event::StopOrdered { run, facts } => self.may_stop(run, &facts),
            Event::ForceOrdered { run, actor, facts } => {
                let answer = self.judge_force(actor, run.worker, |_| Some(&facts));
                self.heard(run, &facts).is_some() && answer == Ok(*event)
            }
            Event::WorkerRegistered { run, version, lost_before } => self.may_join(run, version, lost_before, event),
            Event::WorkerGone { run, departure } => self.may_be_gone(run, departure),
            Event::WorkerDrained { run, facts }
            | Event::Acked { run, facts, .. }
            | Event::CancelRefused { run, facts }
            | Event::DrainUndone { run, facts } => {
                self.heard(run, &facts).and_then(|member| member.shown(run, facts)) == Some(*event)
            }
            Event::WorkerLost { run, heard, .. } => self.is_due(at, run, |member, term| member.lost_at(heard, term)),
            Event::DrainWithdrawn { run } => self.is_due(at, run, Member::withdrawn_at),
            Event::DrainOverdue { run, .. } => self.is_due(at, run, Member::overdue_at),
            Event::WatchBegan | Event::WorkerReported(_) | Event::WorkerSilent { .. } | Event::Reissued { .. } => false,
        }
    }

    fn is(&self, run: Run, is: impl FnOnce(&Member) -> bool) -> bool {
        self.members.of(run).is_some_and(is)
    }

    /// Whether the time for something has come. It is counted from the beginning of the term at the earliest: nobody
    /// was listened to before.
    fn is_due(&self, at: Instant, run: Run, due: impl FnOnce(&Member, &Watch) -> Option<Instant>) -> bool {
        let term = Watch { since: self.in_office, timeouts: self.timeouts };
        self.is(run, |member| due(member, &term).is_some_and(|by| by <= at))
    }

    /// The worker, if its run can have reported these facts and been taken at its word.
    pub(super) fn heard(&self, run: Run, facts: &Facts) -> Option<&Member> {
        let possible = facts.is_possible() && facts.obeyed.epoch <= self.epoch;
        self.members.of(run).filter(|member| possible && !member.is_lost() && facts.seq >= member.seq)
    }

    fn is_running(&self) -> bool {
        self.queued.is_none() && self.paused.is_none()
    }

    /// Whether steps are taken.
    pub(super) fn is_stepping(&self) -> bool {
        self.is_running() && self.gates().failed.is_empty() && self.members.total().withdrawn == 0
    }

    fn must_pause(&self) -> bool {
        self.is_running() && self.members.total().withdrawn > 0
    }

    fn is_at(&self, stage: Stage) -> bool {
        self.is_stepping() && self.rollout.is_some_and(|rollout| rollout.stage == stage)
    }

    fn is_enough(&self, workers: u32) -> bool {
        self.rollout.is_some_and(|rollout| workers >= rollout.spec.workers)
    }

    fn is_late(&self, at: Instant) -> bool {
        self.is_stepping() && self.verify_by(self.in_office).is_some_and(|by| by <= at)
    }

    fn may_provision(&self, version: Version, workers: u32, usable: u32) -> bool {
        let Some(rollout) = self.rollout.filter(|_| self.is_stepping()) else { return false };
        if rollout.stage == Stage::Planned {
            return version == rollout.green() && workers == rollout.spec.workers && self.ramping().is_none();
        }
        let wanted = self.versions.get(&version).map_or(0, |info| info.workers);
        let most = usable.saturating_add(rollout.spec.policy.surge);
        let again = self.returning() == Some(version) && rollout.asked == 0;
        again && workers == wanted.min(most) && usable < workers
    }

    /// Of the weights that could move now, the first that there is room for.
    fn may_shift(&self, to: Version, weight: u8, room: &Room) -> bool {
        let Some((target, weights)) = self.shifting().filter(|_| self.is_stepping()) else { return false };
        let alone = Room { have: room.own, ..*room };
        let at = |weight| if weight == 100 { &alone } else { room };
        let first = weights.into_iter().find(|weight| self.can_shift(to, *weight, at(*weight)));
        to == target && first == Some(weight) && self.is_credible(room) && (weight < 100 || *room == alone)
    }

    fn may_block(&self, step: StepKind, room: &Room) -> bool {
        let blocked = match step {
            StepKind::Shift => self.shifting().is_some_and(|(to, [_, weight])| !self.can_shift(to, weight, room)),
            StepKind::Wave => !self.can_drain(room),
        };
        blocked && self.is_stepping() && !self.is_blocked(step) && self.is_credible(room)
    }

    fn may_start_wave(&self, version: Version, wave: u32, size: u32, room: &Room) -> bool {
        let next = self.wave.map_or(1, |wave| wave.number.saturating_add(1));
        let most = self.members.pool(version).may_drain.min(self.policy().wave);
        let right = wave == next && (1..=most).contains(&size) && self.drains_next(version);
        right && self.draining() == 0 && self.is_stepping() && self.can_drain(room) && self.is_credible(room)
    }

    fn may_drain(&self, run: Run, terms: DrainTerms, facts: &Facts, room: &Room) -> bool {
        let Some(wave) = self.wave.filter(|wave| wave.left > 0 && self.drains_next(wave.version)) else { return false };
        let drains = |member: &Member| member.version == wave.version && member.drains_as(facts);
        let right = self.heard(run, facts).is_some_and(drains) && terms == self.terms();
        let next = right && self.draining() < self.policy().wave;
        next && self.is_stepping() && self.can_drain(room) && self.is_credible(room)
    }

    fn may_be_drained(&self, version: Version) -> bool {
        let draining = self.is_stepping() && self.state_of(version) == Some(VersionState::Draining);
        let mut workers = self.members.iter().filter(|(_, member)| member.version == version);
        draining && workers.all(|(_, member)| member.was_settled())
    }

    /// Whether the version that the rollout leads away from has drained.
    fn has_left(&self) -> bool {
        let leaving = self.rollout.and_then(|rollout| rollout.leaving());
        leaving.is_none_or(|version| self.state_of(version) == Some(VersionState::Drained))
    }

    fn may_cancel(&self, run: Run) -> bool {
        self.is_stepping()
            && self.is(run, |member| member.is_told_to_drain() && self.reviving() == Some(member.version))
    }

    fn may_serve(&self, run: Run, facts: &Facts) -> bool {
        let member = self.heard(run, facts).filter(|member| member.serves_as(facts));
        let served = |version| self.weight(version) > 0 || self.promoting() == Some(version);
        self.is_stepping() && member.is_some_and(|member| served(member.version))
    }

    /// Workers that were sent away leave as soon as they can; those of a retired version together.
    fn may_stop(&self, run: Run, facts: &Facts) -> bool {
        let Some(member) = self.heard(run, facts).filter(|member| member.stops_as(facts)) else { return false };
        let over = match self.state_of(member.version) {
            Some(VersionState::Drained) => true,
            Some(VersionState::Failed) => {
                let mut others = self.members.iter().filter(|(_, other)| other.version == member.version);
                others.all(|(_, other)| other.was_settled())
            }
            Some(VersionState::Inactive | VersionState::Ramping | VersionState::Current | VersionState::Draining)
            | None => false,
        };
        member.status.leaves() || (over && self.is_stepping())
    }

    /// An earlier run that was seen to drain may still have been waited for, if no fresh report said so; one that was
    /// given up was not, and one that was not seen to drain was.
    fn may_join(&self, run: Run, version: Version, lost_before: Option<Incarnation>, event: &Event) -> bool {
        let settled = match lost_before {
            Some(_) => |member: &Member| member.status == MemberStatus::WrittenOff,
            None => Member::was_settled,
        };
        self.judge_register(run, version, settled) == Ok(*event)
    }

    fn may_be_gone(&self, run: Run, departure: Departure) -> bool {
        self.is(run, |member| match departure {
            Departure::Exited { .. } => !member.is_lost(),
            Departure::Stopped => member.was_settled(),
            Departure::Vanished { .. } => member.status != MemberStatus::WrittenOff,
        })
    }
}
