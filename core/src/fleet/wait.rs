//! What a rollout waits for just now, and what would end the wait: for people.

use alloc::vec::Vec;
use core::fmt::{Display, Formatter, Result};

use super::gate::Gate;
use super::rollout::{Rollout, Stage};
use super::room::Room;
use super::{Fleet, Pause, PauseReason, StepKind};
use crate::id::{Epoch, Version, WorkerId};
use crate::prose::count;

/// Something that a rollout waits for. Written out, it says what that is; [`Wait::way_out`] says what would end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A later coordinator is in office.
    Fenced {
        /// Its term.
        by: Epoch,
    },
    /// Nobody takes a step.
    Paused(Pause),
    /// Since it began to listen, the coordinator has not heard from every worker that may have calls.
    Reports {
        /// From how many.
        workers: u32,
    },
    /// Too few workers of the version are there.
    Workers {
        /// Which version.
        version: Version,
        /// How many there are.
        usable: u32,
        /// How many there must be.
        wanted: u32,
    },
    /// Too few of them are ready.
    Ready {
        /// Which version.
        version: Version,
        /// How many are.
        ready: u32,
        /// How many must be.
        wanted: u32,
    },
    /// There is no room for the calls.
    Room {
        /// Which step waits.
        step: StepKind,
        /// The room there is.
        room: Room,
    },
    /// A gate has not passed.
    Gate(Gate),
    /// Calls of the version that leaves run to their end.
    Calls {
        /// Which version.
        version: Version,
        /// How many of its workers are not seen to have drained.
        workers: u32,
        /// How many calls they had when they were last heard.
        calls: u64,
    },
    /// Workers of the version that leaves are silent.
    Silent {
        /// Which version.
        version: Version,
        /// How many.
        workers: u32,
    },
    /// A worker of the version that leaves is lost, and with it what became of its calls.
    Lost {
        /// The worker.
        worker: WorkerId,
        /// How many calls it had when it was last heard.
        live: u32,
    },
}

impl Wait {
    /// What is waited for, in one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "fenced",
            Self::Paused(_) => "paused",
            Self::Reports { .. } => "reports",
            Self::Workers { .. } => "workers",
            Self::Ready { .. } => "ready",
            Self::Room { .. } => "room",
            Self::Gate(_) => "gate",
            Self::Calls { .. } => "calls",
            Self::Silent { .. } => "silent",
            Self::Lost { .. } => "lost",
        }
    }

    /// What would end the wait.
    #[must_use]
    pub const fn way_out(self) -> impl Display {
        WayOut(self)
    }
}

impl Display for Wait {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Fenced { by } => write!(f, "a coordinator of a later term, {by}, is in office"),
            Self::Paused(Pause { actor, reason, .. }) => write!(f, "it is paused, by {actor}: {reason}"),
            Self::Reports { workers: 1 } => f.write_str("1 worker has not been heard since it began to listen"),
            Self::Reports { workers } => write!(f, "{workers} workers have not been heard since it began to listen"),
            Self::Workers { version, usable, wanted: 1 } => write!(f, "{usable} of 1 worker of {version} is there"),
            Self::Workers { version, usable, wanted } => {
                write!(f, "{usable} of {wanted} workers of {version} are there")
            }
            Self::Ready { version, ready, wanted: 1 } => write!(f, "{ready} of 1 worker of {version} is ready"),
            Self::Ready { version, ready, wanted } => write!(f, "{ready} of {wanted} workers of {version} are ready"),
            Self::Room { step, room: Room { need, have, .. } } => {
                write!(f, "{step} waits for room: {need} calls need it, there is room for {have}")
            }
            Self::Gate(gate) => write!(f, "{gate} has not passed"),
            Self::Calls { version, workers, calls } => {
                let drain = if *workers == 1 { "drains" } else { "drain" };
                write!(f, "{} of {version} {drain}, with {}", count(*workers, "worker"), count(*calls, "call"))
            }
            Self::Silent { version, workers: 1 } => write!(f, "1 worker of {version} is silent"),
            Self::Silent { version, workers } => write!(f, "{workers} workers of {version} are silent"),
            Self::Lost { worker, live } => write!(f, "{worker} is lost, last heard with {}", count(*live, "call")),
        }
    }
}

struct WayOut(Wait);

impl Display for WayOut {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.0 {
            Wait::Fenced { .. } => f.write_str("ask that one; end this one"),
            Wait::Paused(Pause { reason: PauseReason::Asked, .. }) => f.write_str("resume it"),
            Wait::Paused(Pause { reason: PauseReason::DrainWithdrawn, .. }) => {
                f.write_str("see why the worker does not answer, then resume it or take it back")
            }
            Wait::Paused(Pause { reason: PauseReason::GateFailed, .. }) => f.write_str("resume it or take it back"),
            Wait::Reports { .. } => f.write_str("they report within seconds, or are lost when their lease expires"),
            Wait::Workers { version, usable, wanted } => {
                write!(f, "start {} of {version}", count(wanted.saturating_sub(*usable), "more worker"))
            }
            Wait::Ready { version, .. } => write!(f, "see in the logs of {version} why the others are not ready"),
            Wait::Room { .. } => f.write_str("calls end, or more workers of the version that takes them are started"),
            Wait::Gate(Gate::Person) => f.write_str("promote it, or take it back"),
            Wait::Gate(Gate::ErrorRate | Gate::Webhook) => {
                f.write_str("it is judged; promoting it stands for every gate")
            }
            Wait::Calls { .. } => f.write_str("the calls end by themselves; a force cuts those of a worker"),
            Wait::Silent { .. } => f.write_str("they report again, or are lost when their lease expires"),
            Wait::Lost { .. } => f.write_str("it comes back, or is forced, which gives its calls up"),
        }
    }
}

/// The most lost workers that are named.
const LOST_NAMED: usize = 3;

impl Fleet {
    /// What the rollout waits for; nothing if there is none under way, or it goes on by itself.
    #[must_use]
    pub fn waits(&self) -> Vec<Wait> {
        let mut waits = Vec::new();
        if let Some(by) = self.fenced_by() {
            waits.push(Wait::Fenced { by });
        } else if let Some(rollout) = self.rollout.filter(|rollout| !rollout.stage.is_over()) {
            waits.extend(self.paused.map(Wait::Paused));
            let workers = self.members.total().awaited;
            if workers > 0 {
                waits.push(Wait::Reports { workers });
            }
            self.stage_waits(&rollout, &mut waits);
        }
        waits
    }

    fn stage_waits(&self, rollout: &Rollout, waits: &mut Vec<Wait>) {
        let (version, wanted) = (rollout.green(), rollout.spec.workers);
        let pool = self.members.pool(version);
        match rollout.stage {
            Stage::Planned | Stage::Provisioning => {
                let usable = pool.usable;
                waits.extend((usable < wanted).then_some(Wait::Workers { version, usable, wanted }));
            }
            Stage::Verifying => {
                let ready = pool.ready;
                waits.extend((ready < wanted).then_some(Wait::Ready { version, ready, wanted }));
            }
            Stage::Shifting => {
                self.gate_waits(waits);
                self.shift_waits(waits);
            }
            Stage::RollingBack if self.returning().is_some() => self.shift_waits(waits),
            Stage::Draining | Stage::RollingBack => {
                self.gate_waits(waits);
                self.drain_waits(rollout, waits);
            }
            Stage::Completed | Stage::RolledBack | Stage::Superseded | Stage::Failed => {}
        }
    }

    fn gate_waits(&self, waits: &mut Vec<Wait>) {
        waits.extend(self.gates_awaited().iter().map(Wait::Gate));
    }

    fn shift_waits(&self, waits: &mut Vec<Wait>) {
        let Some((to, [_, weight])) = self.shifting() else { return };
        let room = self.room_to_shift(to, weight);
        waits.extend((!self.can_shift(to, weight, &room)).then_some(Wait::Room { step: StepKind::Shift, room }));
    }

    fn drain_waits(&self, rollout: &Rollout, waits: &mut Vec<Wait>) {
        let Some(version) = rollout.leaving() else { return };
        let (pool, room) = (self.members.pool(version), self.room_to_drain());
        if pool.must_drain > 0 && !self.can_drain(&room) {
            waits.push(Wait::Room { step: StepKind::Wave, room });
        }
        let workers = pool.unsettled.saturating_sub(pool.unknown).saturating_sub(pool.lost);
        if workers > 0 {
            waits.push(Wait::Calls { version, workers, calls: pool.calls });
        }
        if pool.unknown > 0 {
            waits.push(Wait::Silent { version, workers: pool.unknown });
        }
        if pool.lost > 0 {
            let of = self.members.iter().filter(|(_, member)| member.version == version && member.is_lost());
            let lost = of.filter(|(_, member)| !member.was_settled());
            waits.extend(lost.take(LOST_NAMED).map(|(worker, member)| Wait::Lost { worker, live: member.live() }));
        }
    }
}
