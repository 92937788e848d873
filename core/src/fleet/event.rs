//! What became true of a fleet.

use serde::{Deserialize, Serialize};

use super::command::{Plan, Report, Run};
use super::member::Task;
use crate::id::{Actor, Epoch, Version};
use crate::machine;

/// One event in its place.
pub type Entry = machine::Entry<Event>;

/// What became true. Variants are stored by position: add new ones at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A coordinator took over.
    TookOver {
        /// Its term.
        epoch: Epoch,
        /// Who it is.
        actor: Actor,
    },
    /// A worker's report shows that it obeys a later coordinator: this one must stand back.
    FencedOff(Report),
    /// The dispatchers expect this many calls at a time.
    DemandStated {
        /// How many.
        calls: u32,
    },
    /// A rollout is to be done.
    Planned {
        /// Who asked for it.
        actor: Actor,
        /// What it is.
        plan: Plan,
    },
    /// A newer plan ended the rollout under way; it begins next.
    Superseded {
        /// Who asked for the newer plan.
        actor: Actor,
        /// What it is.
        plan: Plan,
    },
    /// The platform is asked for workers.
    ProvisionOrdered {
        /// Of which version.
        version: Version,
        /// How many there should be that do not leave.
        workers: u32,
    },
    /// The new workers are there; they must become ready.
    VerifyingBegan,
    /// The new workers are not ready in time; the old version was not touched.
    VerifyFailed {
        /// How many are.
        ready: u32,
    },
    /// The new workers are ready: new calls may go to them.
    ShiftingBegan,
    /// New calls are shared out anew.
    Shifted {
        /// The version that gets more.
        to: Version,
        /// Its share, per cent; the rest goes to the other routed version.
        weight: u8,
    },
    /// A step waits for capacity. Said once for each step.
    CapacityBlocked {
        /// Which kind of step.
        gate: Gate,
        /// The calls there must be room for.
        need: u64,
        /// The calls there is room for.
        have: u64,
    },
    /// Some workers of a retired version are to drain.
    WaveStarted {
        /// Which version.
        version: Version,
        /// The wave's number, from 1 on.
        wave: u32,
        /// How many workers.
        size: u32,
    },
    /// No worker of a retired version has a call left.
    VersionDrained {
        /// Which.
        version: Version,
    },
    /// The rollout is done.
    Completed,
    /// The rollout is taken back.
    RollbackStarted {
        /// Who asked.
        actor: Actor,
    },
    /// The old version has every new call again, and the new one has none left.
    RolledBack,
    /// No further step is taken.
    Paused {
        /// Who paused it (`"fleet"` if it paused itself).
        actor: Actor,
        /// Why.
        reason: PauseReason,
    },
    /// Steps are taken again.
    Resumed {
        /// Who resumed it.
        actor: Actor,
    },
    /// A worker joined, or came back after its lease had expired.
    WorkerRegistered {
        /// Who.
        run: Run,
        /// The version it runs.
        version: Version,
        /// Whether an earlier run of it left without having been seen to drain.
        lost_before: bool,
    },
    /// A worker was kept out.
    WorkerRejected {
        /// Who.
        run: Run,
        /// The version it runs.
        version: Version,
        /// Why.
        reason: RejectReason,
    },
    /// A worker said how it is.
    WorkerReported(Report),
    /// No report for too long: how the worker is, is unknown.
    WorkerSilent {
        /// Who.
        run: Run,
    },
    /// The worker's lease expired.
    WorkerLost {
        /// Who.
        run: Run,
        /// The calls it had when it was last heard.
        live: u32,
    },
    /// A worker is kept out from now on.
    WorkerFenced {
        /// Who.
        run: Run,
        /// Who asked.
        actor: Actor,
    },
    /// A worker takes no more calls and has none left.
    WorkerDrained {
        /// Who.
        run: Run,
    },
    /// A worker's process is gone.
    WorkerGone {
        /// Who.
        run: Run,
        /// How.
        departure: Departure,
    },
    /// A lost worker is given up.
    WorkerWrittenOff {
        /// Who.
        run: Run,
        /// Who decided that.
        actor: Actor,
        /// The calls it had when it was last heard.
        live: u32,
    },
    /// A worker is told to do something.
    Ordered {
        /// Who.
        run: Run,
        /// What.
        task: Task,
    },
    /// A worker does what it was told.
    Acked {
        /// Who.
        run: Run,
        /// What.
        task: Task,
    },
    /// A worker that was told to take calls again drains all the same: the drain can no longer be cancelled, or is
    /// another one.
    CancelRefused {
        /// Who.
        run: Run,
    },
    /// An order without a sign that it arrived is sent again.
    Reissued {
        /// To whom.
        run: Run,
    },
    /// An order to drain that no sign came back for is withdrawn.
    DrainWithdrawn {
        /// From whom.
        run: Run,
    },
    /// A worker has not drained in the time given.
    DrainOverdue {
        /// Who.
        run: Run,
        /// How many calls it still has.
        live: u32,
    },
    /// A person decided to end a draining worker's calls.
    ForceOrdered {
        /// Whose.
        run: Run,
        /// Who decided that.
        actor: Actor,
        /// How many calls that hits.
        live: u32,
    },
}

/// A kind of step that needs capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Gate {
    /// Moving weight.
    Shift,
    /// Draining workers.
    Wave,
}

impl Gate {
    /// Every gate.
    pub const ALL: [Self; 2] = [Self::Shift, Self::Wave];
}

/// Why no steps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PauseReason {
    /// Somebody asked for it.
    Asked,
    /// A drain was withdrawn because no sign came back that it had arrived.
    DrainWithdrawn,
}

/// Why a worker was kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RejectReason {
    /// A later run of the same worker has registered.
    StaleIncarnation,
    /// The version is unknown or retired.
    VersionNotAllowed,
    /// The run was written off.
    WrittenOff,
}

/// How a worker's process left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Departure {
    /// It said that it leaves.
    Exited {
        /// How many calls it cut.
        dropped: u32,
    },
    /// The platform said that it is gone, after it had drained or was written off.
    Stopped,
    /// The platform said that it is gone, and it was not seen to drain: its calls are lost.
    Vanished {
        /// How many it had when it was last heard.
        live: u32,
    },
}
