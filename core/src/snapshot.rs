//! What the outside sees of a worker.

use serde::{Deserialize, Serialize};

use crate::id::{Deployment, Identity, Incarnation, Seq, Version, WorkerId};
use crate::order::Stamp;
use crate::time::Instant;
use crate::word::Phase;
use crate::worker::{Availability, Drain, Life, Outcome, Tally, Worker};

/// A worker at one moment. `deployment_version`, `draining` and `active_sessions` are all a rollout needs to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeSnapshot {
    /// The service.
    pub deployment: Deployment,
    /// The version this worker runs.
    pub deployment_version: Version,
    /// The worker's place in the fleet.
    pub worker: WorkerId,
    /// The run of that worker.
    pub incarnation: Incarnation,
    /// Where it is in its life.
    pub phase: Phase,
    /// What dispatchers may be told.
    pub availability: Availability,
    /// Whether it drains or has drained, by whichever path it came there.
    pub draining: bool,
    /// Calls in flight: reserved and active.
    pub active_sessions: u32,
    /// The calls in flight that are reserved and not assigned yet.
    pub reserved_sessions: u32,
    /// The calls in flight that are flagged as stalled.
    pub stalled_sessions: u32,
    /// The most calls it may hold.
    pub capacity: u32,
    /// The drain, if there is one.
    pub drain: Option<Drain>,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// The last order that was obeyed; zeros if none was.
    pub obeyed: Stamp,
    /// Totals of this run.
    pub totals: Tally,
    /// The last entry's number.
    pub seq: Seq,
    /// When it became true, in microseconds since the Unix epoch.
    pub at: Instant,
    /// How the journal does.
    pub journal: JournalHealth,
}

/// How a worker's journal does. A journal that fails never fails a call or a drain; it shows here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHealth {
    /// Whether a journal is kept at all.
    pub kept: bool,
    /// The last entry that was written.
    pub written: Seq,
    /// Whether the last write failed, or the journal's directory was deleted and cannot be created anew.
    pub failing: bool,
    /// Entries that could not be written and are covered only by the state the next segment opens with.
    pub missed: u64,
}

impl RuntimeSnapshot {
    /// A snapshot of `worker`, which goes by `identity` and whose journal does as `journal` says.
    #[must_use]
    pub fn of(worker: &Worker, identity: &Identity, journal: JournalHealth) -> Self {
        let calls = worker.calls();
        Self::of_life(worker.life(), calls.reserved(), calls.stalled(), identity, journal)
    }

    /// A snapshot of a worker of whose calls only the numbers are at hand: how many are reserved, how many stalled.
    #[must_use]
    pub fn of_life(life: &Life, reserved: usize, stalled: usize, identity: &Identity, journal: JournalHealth) -> Self {
        let count = |calls: usize| u32::try_from(calls).unwrap_or(u32::MAX);
        Self {
            deployment: identity.deployment,
            deployment_version: identity.version,
            worker: identity.worker,
            incarnation: identity.incarnation,
            phase: life.phase(),
            availability: life.availability(),
            draining: matches!(life.phase(), Phase::Draining | Phase::Drained),
            active_sessions: life.word().in_flight(),
            reserved_sessions: count(reserved),
            stalled_sessions: count(stalled),
            capacity: life.limits().capacity,
            drain: life.drain().copied(),
            outcome: life.outcome(),
            obeyed: life.obeyed(),
            totals: *life.tally(),
            seq: life.word().seq(),
            at: life.now(),
            journal,
        }
    }
}
