//! The step a fleet can take now, if any: what a rollout does next. Here are the candidates, found by what was observed
//! of the workers; which of them may be taken is for [`Fleet::may`] to say.

use super::{Event, Fleet, Member, PauseReason, Room, Stage, StepKind, VersionState};
use crate::id::{Actor, Version};

/// Who pauses a fleet when it pauses itself.
pub(super) const FLEET: Actor = Actor::from_static("fleet");

impl Fleet {
    /// The next step, due at once.
    pub(super) fn step(&self) -> Option<Event> {
        if let Some((actor, spec)) = self.queued {
            return Some(Event::Planned { actor, spec });
        }
        if self.paused.is_some() {
            return None;
        }
        self.take(Event::Paused { actor: FLEET, reason: PauseReason::DrainWithdrawn })
            .or_else(|| self.answer_failure())
            .or_else(|| self.steer())
            .or_else(|| self.reinforce())
            .or_else(|| self.retire())
            .or_else(|| self.stop())
            .or_else(|| self.scale_in())
    }

    fn take(&self, step: Event) -> Option<Event> {
        self.may(self.now, step)
    }

    fn steer(&self) -> Option<Event> {
        let rollout = self.rollout.as_ref()?;
        let green = rollout.green();
        let pool = self.members.pool(green);
        match rollout.stage {
            Stage::Planned => self.shift().or_else(|| self.provision(green, rollout.spec.workers)),
            Stage::Provisioning => self.revive().or_else(|| self.take(Event::VerifyingBegan { usable: pool.usable })),
            Stage::Verifying => self.revive().or_else(|| self.take(Event::ShiftingBegan { ready: pool.ready })),
            Stage::Shifting => self.promote(green).or_else(|| self.shift()),
            Stage::Draining => self.take(Event::Completed),
            Stage::RollingBack => match self.returning() {
                Some(blue) => self
                    .revive()
                    .or_else(|| self.provision_again(blue))
                    .or_else(|| self.promote(blue))
                    .or_else(|| self.shift()),
                None => self.take(Event::RolledBack),
            },
            Stage::Completed | Stage::RolledBack | Stage::Superseded | Stage::Failed => None,
        }
    }

    /// The old version that a rollback gives its calls back to, until it has them all. What a superseded rollout left
    /// ramping gives way to it too.
    pub(super) fn returning(&self) -> Option<Version> {
        let rollout = self.rollout.filter(|rollout| rollout.stage == Stage::RollingBack)?;
        rollout.target().filter(|blue| self.weight(*blue) < 100 || self.ramping().is_some())
    }

    /// The version whose workers, if they drain, are to take calls again.
    pub(super) fn reviving(&self) -> Option<Version> {
        let rollout = self.rollout?;
        let verifying = matches!(rollout.stage, Stage::Provisioning | Stage::Verifying);
        if verifying { Some(rollout.green()) } else { self.returning() }
    }

    /// The version about to get calls, whose workers no longer stand by.
    pub(super) fn promoting(&self) -> Option<Version> {
        let rollout = self.rollout?;
        if rollout.stage == Stage::Shifting { Some(rollout.green()) } else { self.returning() }
    }

    /// Where weight moves next, and to which share: the first of the two that there is room for. A rollback moves all
    /// of it if it can; a version that a superseded rollout left ramping gives its share back before another ramps.
    pub(super) fn shifting(&self) -> Option<(Version, [u8; 2])> {
        let rollout = self.rollout?;
        match rollout.stage {
            Stage::Planned => self.ramping().and_then(|_| self.current()).map(|current| (current, [100, 100])),
            Stage::Shifting if self.is_gated() => None,
            Stage::Shifting => {
                let next = self.next_weight(rollout.green());
                Some((rollout.green(), [next, next]))
            }
            Stage::RollingBack => self.returning().map(|blue| (blue, [100, self.next_weight(blue)])),
            Stage::Provisioning
            | Stage::Verifying
            | Stage::Draining
            | Stage::Completed
            | Stage::RolledBack
            | Stage::Superseded
            | Stage::Failed => None,
        }
    }

    /// One step up; the first version ever gets everything, for there is no other to share with.
    fn next_weight(&self, version: Version) -> u8 {
        let step = if self.current().is_some() { self.policy().shift_step } else { 100 };
        self.weight(version).saturating_add(step).min(100)
    }

    fn provision(&self, version: Version, workers: u32) -> Option<Event> {
        let usable = self.members.pool(version).usable;
        self.take(Event::ProvisionOrdered { version, workers, usable })
    }

    fn provision_again(&self, blue: Version) -> Option<Event> {
        let most = self.members.pool(blue).usable.saturating_add(self.policy().surge);
        self.provision(blue, self.versions.get(&blue)?.workers.min(most))
    }

    fn revive(&self) -> Option<Event> {
        let version = self.reviving().filter(|version| self.members.pool(*version).may_return > 0)?;
        let (run, _) = self.members.idlest(version, Member::may_return)?;
        self.take(Event::CancelOrdered { run })
    }

    fn promote(&self, version: Version) -> Option<Event> {
        if self.members.pool(version).must_promote == 0 {
            return None;
        }
        let (run, member) = self.members.idlest(version, Member::must_promote)?;
        self.take(Event::ServeOrdered { run, facts: *member.fresh()? })
    }

    /// A worker that stands by although its version gets calls started late, or again: it is to take them too.
    fn reinforce(&self) -> Option<Event> {
        let mut routed = self.versions.iter().filter(|(_, info)| info.weight > 0);
        routed.find_map(|(version, _)| self.promote(*version))
    }

    fn shift(&self) -> Option<Event> {
        let (to, weights) = self.shifting()?;
        let rooms = weights.map(|weight| (weight, self.room_to_shift(to, weight)));
        let step = |(weight, room)| Event::Shifted { to, weight, room };
        let (_, room) = rooms[1];
        self.first_with_room(StepKind::Shift, room, rooms.map(step))
    }

    /// The first of these steps that there is room for; if there is none, that they wait, unless that was said. Nothing
    /// is counted before every worker that may have calls was heard or is lost.
    pub(super) fn first_with_room<const N: usize>(
        &self,
        kind: StepKind,
        room: Room,
        steps: [Event; N],
    ) -> Option<Event> {
        if self.members.total().awaited > 0 {
            return None;
        }
        let step = steps.into_iter().find_map(|step| self.take(step));
        step.or_else(|| self.take(Event::CapacityBlocked { step: kind, room }))
    }

    /// Versions that get no more calls: their workers drain in waves, one wave after the other.
    fn retire(&self) -> Option<Event> {
        let drained = self.versions.iter().find(|(version, info)| {
            info.state == VersionState::Draining && self.members.pool(**version).unsettled == 0
        });
        if let Some((version, _)) = drained {
            return self.take(Event::VersionDrained { version: *version });
        }
        let wave = self.wave.filter(|wave| wave.left > 0 && self.left_to_drain(wave.version) > 0);
        if let Some(wave) = wave {
            // The workers are looked through last: this is asked after every report.
            if self.draining() >= self.policy().wave {
                return None;
            }
            let room = self.room_to_drain();
            if !self.can_drain(&room) {
                return self.first_with_room(StepKind::Wave, room, []);
            }
            let (run, member) = self.members.idlest(wave.version, Member::must_drain)?;
            let ordered = Event::DrainOrdered { run, terms: self.terms(), facts: *member.fresh()?, room };
            return self.first_with_room(StepKind::Wave, room, [ordered]);
        }
        let version = *self.versions.keys().find(|version| self.left_to_drain(**version) > 0)?;
        if self.draining() > 0 {
            return None;
        }
        let (size, room) = (self.left_to_drain(version).min(self.policy().wave), self.room_to_drain());
        let wave = self.wave.map_or(1, |wave| wave.number.saturating_add(1));
        self.first_with_room(StepKind::Wave, room, [Event::WaveStarted { version, wave, size, room }])
    }

    /// Whether a version gets no more calls and its workers are to drain.
    pub(super) fn is_retired(&self, version: Version) -> bool {
        self.state_of(version).is_some_and(|state| !state.admits())
    }

    /// Whether the workers of a version are to drain now.
    pub(super) fn drains_next(&self, version: Version) -> bool {
        self.is_retired(version) && !self.is_held(version)
    }

    /// How many workers of retired versions were told to drain and have not.
    pub(super) fn draining(&self) -> u32 {
        let retired = self.versions.keys().filter(|version| self.is_retired(**version));
        retired.map(|version| self.members.pool(*version).draining).sum()
    }

    /// How many workers of a retired version can be told to drain.
    fn left_to_drain(&self, version: Version) -> u32 {
        if self.drains_next(version) { self.members.pool(version).must_drain } else { 0 }
    }

    /// The workers of a retired version leave once the last of them has drained: until then a rollback can revive them.
    fn stop(&self) -> Option<Event> {
        let (version, _) = self.versions.iter().find(|(version, info)| {
            let pool = self.members.pool(**version);
            let retired = matches!(info.state, VersionState::Drained | VersionState::Failed);
            retired && pool.must_stop > 0 && (pool.unsettled == 0 || info.state == VersionState::Drained)
        })?;
        let (run, member) = self.members.idlest(*version, Member::must_stop)?;
        self.take(Event::StopOrdered { run, facts: *member.fresh()? })
    }
}
