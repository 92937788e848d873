//! More workers of the version in use, or fewer: without a rollout.

use super::command::BadSpec;
use super::decide::Judgement;
use super::{Event, Facts, Fleet, Member, Refused, Repeat, Room, Run, Stage, StepKind};
use crate::id::{Actor, Version};

impl Fleet {
    /// The version that takes all calls, if a person has set its number of workers since its rollout.
    #[must_use]
    pub fn scaled(&self) -> Option<Version> {
        self.annex.scaled.filter(|version| self.current() == Some(*version))
    }

    pub(super) fn judge_scale(&self, actor: Actor, workers: u32) -> Judgement {
        let version = self.current().ok_or(Refused::NothingServes)?;
        if workers == 0 {
            return Err(BadSpec::WorkersZero.into());
        }
        let most = self.members.pool(version).members.saturating_add(self.policy().surge);
        if workers > most {
            return Err(BadSpec::Surge.into());
        }
        if self.moves_calls() {
            return Err(Refused::CallsMove.into());
        }
        if self.scaled() == Some(version) && self.wanted(version) == workers {
            return Err(Repeat::AlreadyScaled.into());
        }
        Ok(Event::Scaled { actor, version, workers })
    }

    /// Whether a rollout is about to move calls, or does.
    fn moves_calls(&self) -> bool {
        let over = |stage: Stage| stage.is_over() || stage == Stage::Draining;
        self.queued.is_some() || self.rollout.is_some_and(|rollout| !over(rollout.stage))
    }

    fn wanted(&self, version: Version) -> u32 {
        self.versions.get(&version).map_or(0, |info| info.workers)
    }

    /// The version that has workers too many, unless a rollout still drains.
    fn scaling_in(&self) -> Option<Version> {
        let over = self.queued.is_none() && self.rollout.is_none_or(|rollout| rollout.stage.is_over());
        self.scaled().filter(|_| over)
    }

    /// One worker too many, the one with the fewest calls, is to leave.
    pub(super) fn scale_in(&self) -> Option<Event> {
        let version = self.scaling_in()?;
        let pool = self.members.pool(version);
        if pool.usable <= self.wanted(version) || pool.must_drain == 0 || pool.draining >= self.policy().wave {
            return None;
        }
        let (run, member) = self.members.idlest(version, Member::must_drain)?;
        let (facts, room) = (*member.fresh()?, self.room_without(member));
        self.first_with_room(StepKind::Wave, room, [Event::ScaleInOrdered { run, facts, room, usable: pool.usable }])
    }

    fn room_without(&self, member: &Member) -> Room {
        let room = self.room_to_drain();
        let have = room.have.saturating_sub(member.slots().into());
        Room { have, own: have, ..room }
    }

    pub(super) fn may_scale_in(&self, run: Run, facts: &Facts, room: &Room, usable: u32) -> bool {
        let Some(version) = self.scaling_in() else { return false };
        let leaves = |member: &Member| member.version == version && member.drains_as(facts);
        let right = usable > self.wanted(version) && self.heard(run, facts).is_some_and(leaves);
        let next = right && self.members.pool(version).draining < self.policy().wave;
        next && self.is_stepping() && self.can_drain(room) && self.is_credible(room)
    }
}
