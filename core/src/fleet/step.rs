//! The step a fleet can take now, if any: what a rollout does next, and whether there is room for it.

use super::member::Member;
use super::{Event, Fleet, Gate, PauseReason, Rollout, Stage, Task, VersionState};
use crate::id::{Actor, Version};

/// Who pauses a fleet when it pauses itself.
const FLEET: Actor = Actor::from_static("fleet");

/// Whether there is room for a step, in calls.
struct Room {
    need: u64,
    have: u64,
    enough: bool,
}

impl Fleet {
    /// The next step, due at once.
    pub(super) fn step(&self) -> Option<Event> {
        if let Some((actor, plan)) = self.queued {
            return Some(Event::Planned { actor, plan });
        }
        if self.paused.is_some() {
            return None;
        }
        if self.members.total().withdrawn > 0 {
            return Some(Event::Paused { actor: FLEET, reason: PauseReason::DrainWithdrawn });
        }
        let steered = self.rollout.as_ref().and_then(|rollout| self.steer(rollout));
        steered.or_else(|| self.reinforce()).or_else(|| self.retire()).or_else(|| self.stop())
    }

    fn steer(&self, rollout: &Rollout) -> Option<Event> {
        let green = rollout.green();
        let enough = |count: u32| count >= rollout.plan.workers;
        match rollout.stage {
            Stage::Planned => match self.ramping() {
                // A superseded version still has a share: it goes back first, for only one may ramp.
                Some(_) => self.shift(self.current()?, [100]),
                None => Some(Event::ProvisionOrdered { version: green, workers: rollout.plan.workers }),
            },
            Stage::Provisioning => {
                self.revive(green).or_else(|| enough(self.members.pool(green).usable).then_some(Event::VerifyingBegan))
            }
            Stage::Verifying => {
                self.revive(green).or_else(|| enough(self.members.pool(green).ready).then_some(Event::ShiftingBegan))
            }
            Stage::Shifting => self.promote(green).or_else(|| self.shift(green, [self.next_weight(green)])),
            Stage::Draining => self.has_drained(rollout.leaving()).then_some(Event::Completed),
            Stage::RollingBack => self.roll_back(rollout),
            Stage::Completed | Stage::RolledBack | Stage::Superseded | Stage::Failed => None,
        }
    }

    /// The old version gets its workers back, or new ones; then the calls, all at once if it has room for them. What a
    /// superseded rollout left ramping gives way to it too.
    fn roll_back(&self, rollout: &Rollout) -> Option<Event> {
        match rollout.target() {
            Some(blue) if self.weight(blue) < 100 || self.ramping().is_some() => self
                .revive(blue)
                .or_else(|| self.provision_again(rollout, blue))
                .or_else(|| self.promote(blue))
                .or_else(|| self.shift(blue, [100, self.next_weight(blue)])),
            Some(_) | None => self.has_drained(rollout.leaving()).then_some(Event::RolledBack),
        }
    }

    fn provision_again(&self, rollout: &Rollout, blue: Version) -> Option<Event> {
        let usable = self.members.pool(blue).usable;
        let wanted = self.versions.get(&blue)?.workers.min(usable.saturating_add(rollout.plan.policy.surge));
        (rollout.asked == 0 && usable < wanted).then_some(Event::ProvisionOrdered { version: blue, workers: wanted })
    }

    fn revive(&self, version: Version) -> Option<Event> {
        let returning = self.members.pool(version).may_return > 0;
        returning.then(|| self.tell(version, Member::may_return, Task::Cancel)).flatten()
    }

    fn promote(&self, version: Version) -> Option<Event> {
        let standing_by = self.members.pool(version).must_promote > 0;
        standing_by.then(|| self.tell(version, Member::must_promote, Task::Serve)).flatten()
    }

    /// A worker that stands by although its version gets calls started late, or again: it is to take them too.
    fn reinforce(&self) -> Option<Event> {
        let mut routed = self.versions.iter().filter(|(_, info)| info.weight > 0);
        routed.find_map(|(version, _)| self.promote(*version))
    }

    fn tell(&self, version: Version, who: fn(&Member) -> bool, task: Task) -> Option<Event> {
        let (worker, member) = self.members.idlest(version, who)?;
        Some(Event::Ordered { run: member.run(worker), task })
    }

    fn has_drained(&self, version: Option<Version>) -> bool {
        version.is_none_or(|version| self.state_of(version) == Some(VersionState::Drained))
    }

    /// One step up; the first version ever gets everything, for there is no other to share with.
    fn next_weight(&self, version: Version) -> u8 {
        let step = if self.current().is_some() { self.policy().shift_step } else { 100 };
        self.weight(version).saturating_add(step).min(100)
    }

    /// Moves weight to a version: the first of these weights that there is room for.
    fn shift<const N: usize>(&self, to: Version, weights: [u8; N]) -> Option<Event> {
        let rooms = weights.map(|weight| (weight, self.room_to_shift(to, weight)));
        let fitting = rooms.iter().find(|(_, room)| room.enough).or_else(|| rooms.last());
        fitting.and_then(|(weight, room)| self.gated(Gate::Shift, room, Event::Shifted { to, weight: *weight }))
    }

    /// The version itself has room for its share, and it has room for all demand together with those that keep one. A
    /// version that has the share already takes nothing from anybody.
    fn room_to_shift(&self, to: Version, weight: u8) -> Room {
        let need = self.need();
        let own = self.members.pool(to).slots;
        let others = self.versions.iter().filter(|(version, info)| **version != to && info.weight > 0 && weight < 100);
        let have = own + others.map(|(version, _)| self.members.pool(*version).slots).sum::<u64>();
        let share = need.saturating_mul(weight.into()).div_ceil(100).max(1);
        Room { need, have, enough: self.weight(to) == weight || (own >= share && have >= need) }
    }

    /// The versions that get new calls have room for all demand. A fleet that routes no calls needs none.
    fn room_to_drain(&self) -> Room {
        let need = self.need();
        let routed = self.versions.iter().filter(|(_, info)| info.weight > 0);
        let slots = routed.map(|(version, _)| self.members.pool(*version).slots);
        let have = slots.clone().sum();
        Room { need, have, enough: slots.count() == 0 || have >= need.max(1) }
    }

    /// The step if there is room for it; if not, that it waits, unless that was said.
    fn gated(&self, gate: Gate, room: &Room, step: Event) -> Option<Event> {
        let Room { need, have, enough } = *room;
        match (enough, self.is_blocked(gate)) {
            (true, _) => Some(step),
            (false, false) => Some(Event::CapacityBlocked { gate, need, have }),
            (false, true) => None,
        }
    }

    /// Versions that get no more calls: their workers drain in waves, one wave after the other.
    fn retire(&self) -> Option<Event> {
        let drained = self.versions.iter().find(|(version, info)| {
            info.state == VersionState::Draining && self.members.pool(**version).unsettled == 0
        });
        if let Some((version, _)) = drained {
            return Some(Event::VersionDrained { version: *version });
        }
        let policy = self.policy();
        let retired = self.versions.iter().filter(|(_, info)| !info.state.admits());
        let draining = retired.map(|(version, _)| self.members.pool(*version).draining).sum::<u32>();
        let wave = self.wave.filter(|wave| wave.left > 0 && self.left_to_drain(wave.version) > 0);
        if let Some(wave) = wave {
            let next = self.tell(wave.version, Member::must_drain, Task::Drain(self.terms()))?;
            return if draining < policy.wave { self.gated(Gate::Wave, &self.room_to_drain(), next) } else { None };
        }
        let version = *self.versions.keys().find(|version| self.left_to_drain(**version) > 0)?;
        let size = self.left_to_drain(version).min(policy.wave);
        let number = self.wave.map_or(1, |wave| wave.number.saturating_add(1));
        let started = Event::WaveStarted { version, wave: number, size };
        if draining == 0 { self.gated(Gate::Wave, &self.room_to_drain(), started) } else { None }
    }

    /// How many workers of a retired version can be told to drain.
    fn left_to_drain(&self, version: Version) -> u32 {
        match self.state_of(version) {
            Some(VersionState::Draining | VersionState::Drained | VersionState::Failed) => {
                self.members.pool(version).must_drain
            }
            Some(VersionState::Inactive | VersionState::Ramping | VersionState::Current) | None => 0,
        }
    }

    /// The workers of a retired version leave once the last of them has drained: until then a rollback can revive them.
    fn stop(&self) -> Option<Event> {
        let over = self.versions.iter().find(|(version, info)| {
            let pool = self.members.pool(**version);
            let retired = matches!(info.state, VersionState::Drained | VersionState::Failed);
            retired && pool.must_stop > 0 && (pool.unsettled == 0 || info.state == VersionState::Drained)
        });
        over.and_then(|(version, _)| self.tell(*version, Member::must_stop, Task::Stop))
    }
}
