//! Whether there is room for a step. Capacity counts calls, not workers, and only where a fresh report says that a
//! worker serves.

use serde::{Deserialize, Serialize};

use super::Fleet;
use crate::id::Version;

/// The room for a step, in calls, as the last reports have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Room {
    /// The calls there must be room for, headroom included.
    pub need: u64,
    /// The calls that the versions with a share of new calls have room for once the step is taken.
    pub have: u64,
    /// The part of it that the version which gets more has room for; all of it where no weight moves.
    pub own: u64,
}

impl Fleet {
    /// Calls at a time that must be provided for: the stated demand or the calls known to be in flight, whichever is
    /// more.
    #[must_use]
    pub fn demand(&self) -> u64 {
        self.members.total().calls.max(self.demand.into())
    }

    /// The calls there must be room for: the demand with headroom, rounded up.
    #[must_use]
    pub fn need(&self) -> u64 {
        self.with_headroom(self.demand())
    }

    fn with_headroom(&self, calls: u64) -> u64 {
        calls.saturating_mul(100 + u64::from(self.policy().headroom)).div_ceil(100)
    }

    /// The room to give a version this share.
    pub(super) fn room_to_shift(&self, to: Version, weight: u8) -> Room {
        let own = self.members.pool(to).slots;
        let others = self.versions.iter().filter(|(version, info)| **version != to && info.weight > 0 && weight < 100);
        let have = own + others.map(|(version, _)| self.members.pool(*version).slots).sum::<u64>();
        Room { need: self.need(), have, own }
    }

    /// The version itself has room for its share, and for all demand together with those that keep one. A version that
    /// has the share already takes nothing from anybody.
    pub(super) fn can_shift(&self, to: Version, weight: u8, room: &Room) -> bool {
        let share = room.need.saturating_mul(weight.into()).div_ceil(100).max(1);
        self.weight(to) == weight || (room.own >= share && room.have >= room.need)
    }

    /// The room there is while workers of retired versions drain.
    pub(super) fn room_to_drain(&self) -> Room {
        let routed = self.versions.iter().filter(|(_, info)| info.weight > 0);
        let have = routed.map(|(version, _)| self.members.pool(*version).slots).sum();
        Room { need: self.need(), have, own: have }
    }

    /// The versions that get new calls have room for all demand. A fleet that routes no calls needs none.
    pub(super) fn can_drain(&self, room: &Room) -> bool {
        let routes = self.versions.values().any(|info| info.weight > 0);
        !routes || room.have >= room.need.max(1)
    }

    /// Whether this can be the room there was: nothing is judged on less than the stated demand.
    pub(super) fn is_credible(&self, room: &Room) -> bool {
        room.need >= self.with_headroom(self.demand.into()) && room.own <= room.have
    }
}
