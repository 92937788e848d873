//! What became true of a fleet.

use serde::{Deserialize, Serialize};

use super::command::{Facts, Report, Run, Spec};
use super::gate::{Gate, GateSet, GatedStep, OnGateFailure};
use super::member::{DrainTerms, Task};
use super::room::Room;
use crate::id::{Actor, Epoch, Incarnation, Version};
use crate::machine;
use crate::time::Instant;

/// One event in its place.
pub type Entry = machine::Entry<Event>;

/// What became true. Variants are stored by position: add new ones at the end.
///
/// Most are decisions, and carry the facts that they were judged on; [`Event::is_observation`] tells which are not.
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
        /// Where to, and how.
        spec: Spec,
    },
    /// A newer rollout was asked for: the one under way ends, and the newer one begins next.
    Superseded {
        /// Who asked for the newer one.
        actor: Actor,
        /// Where to, and how.
        spec: Spec,
    },
    /// The platform is asked for workers.
    ProvisionOrdered {
        /// Of which version.
        version: Version,
        /// How many there should be that do not leave.
        workers: u32,
        /// How many there are that take calls or may come to.
        usable: u32,
    },
    /// The new workers are there; they must become ready.
    VerifyingBegan {
        /// How many there are.
        usable: u32,
    },
    /// The new workers are not ready in time; the old version was not touched.
    VerifyFailed {
        /// How many are.
        ready: u32,
    },
    /// The new workers are ready: new calls may go to them.
    ShiftingBegan {
        /// How many are.
        ready: u32,
    },
    /// New calls are shared out anew.
    Shifted {
        /// The version that gets more.
        to: Version,
        /// Its share, per cent; the rest goes to the other routed version.
        weight: u8,
        /// The room there is for that.
        room: Room,
    },
    /// A step waits for capacity. Said once for each step.
    CapacityBlocked {
        /// Which kind of step.
        step: StepKind,
        /// The room there is, which is not enough.
        room: Room,
    },
    /// Some workers of a retired version are to drain.
    WaveStarted {
        /// Which version.
        version: Version,
        /// The wave's number, from 1 on.
        wave: u32,
        /// How many workers.
        size: u32,
        /// The room for calls that is left without these workers.
        room: Room,
    },
    /// No worker of a retired version has a call left.
    VersionDrained {
        /// The version.
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
        /// Why it is paused.
        reason: PauseReason,
    },
    /// Steps are taken again.
    Resumed {
        /// Who resumed it.
        actor: Actor,
    },
    /// A worker joined, or came back after its lease had expired.
    WorkerRegistered {
        /// The worker's run.
        run: Run,
        /// The version it runs.
        version: Version,
        /// The earlier run of it that left without having been seen to drain.
        lost_before: Option<Incarnation>,
    },
    /// A worker was kept out.
    WorkerRejected {
        /// The worker's run.
        run: Run,
        /// The version it runs.
        version: Version,
        /// Why it is turned away.
        reason: RejectReason,
    },
    /// The worker's lease expired.
    WorkerLost {
        /// The worker's run.
        run: Run,
        /// The last sign of it: when it reported, joined, or began to be watched, whichever is latest.
        heard: Instant,
        /// The calls it had when it was last heard.
        live: u32,
    },
    /// A worker is kept out from now on.
    WorkerFenced {
        /// The worker's run.
        run: Run,
        /// Who asked.
        actor: Actor,
    },
    /// A worker takes no more calls and has none left.
    WorkerDrained {
        /// The worker's run.
        run: Run,
        /// What it reported.
        facts: Facts,
    },
    /// A worker's process is gone.
    WorkerGone {
        /// The worker's run.
        run: Run,
        /// How it left.
        departure: Departure,
    },
    /// A lost worker is given up.
    WorkerWrittenOff {
        /// The worker's run.
        run: Run,
        /// Who decided that.
        actor: Actor,
        /// The calls it had when it was last heard.
        live: u32,
    },
    /// A worker is told to take no more calls.
    DrainOrdered {
        /// The worker's run.
        run: Run,
        /// How long its calls may take and what happens then.
        terms: DrainTerms,
        /// What it reported.
        facts: Facts,
        /// The room there is without it.
        room: Room,
    },
    /// A worker is told to take calls again.
    CancelOrdered {
        /// The worker's run.
        run: Run,
    },
    /// A worker that stands by is told to take calls.
    ServeOrdered {
        /// The worker's run.
        run: Run,
        /// What it reported.
        facts: Facts,
    },
    /// A drained worker is told to leave.
    StopOrdered {
        /// The worker's run.
        run: Run,
        /// What it reported.
        facts: Facts,
    },
    /// A person decided to end a draining worker's calls.
    ForceOrdered {
        /// The worker's run.
        run: Run,
        /// Who decided that.
        actor: Actor,
        /// What it reported.
        facts: Facts,
    },
    /// A worker does what it was told.
    Acked {
        /// The worker's run.
        run: Run,
        /// What it is to do.
        task: Task,
        /// What it reported.
        facts: Facts,
    },
    /// A worker that was told to take calls again drains all the same: the drain can no longer be cancelled, or is
    /// another one.
    CancelRefused {
        /// The worker's run.
        run: Run,
        /// What it reported.
        facts: Facts,
    },
    /// Somebody else took a worker's drain back: it has calls again, or may get some.
    DrainUndone {
        /// The worker's run.
        run: Run,
        /// What it reported.
        facts: Facts,
    },
    /// An order to drain that no sign came back for is withdrawn.
    DrainWithdrawn {
        /// The worker's run.
        run: Run,
    },
    /// A worker has not drained in the time given.
    DrainOverdue {
        /// The worker's run.
        run: Run,
        /// How many calls it still has.
        live: u32,
    },
    /// An observation: from now on the coordinator listens to its workers. It has just started or taken over, or was
    /// away itself, so every lease begins anew, and who is not heard now is unknown.
    WatchBegan,
    /// An observation: a worker said how it is.
    WorkerReported(Report),
    /// An observation: no report for too long, so how the worker is, is unknown.
    WorkerSilent {
        /// The worker's run.
        run: Run,
    },
    /// An observation: an order without a sign that it arrived is sent again.
    Reissued {
        /// The worker's run.
        run: Run,
    },
    /// A worker is kept from new calls until somebody takes that back.
    WorkerCordoned {
        /// The worker's run.
        run: Run,
        /// Who asked.
        actor: Actor,
    },
    /// A worker may take calls again.
    WorkerUncordoned {
        /// The worker's run.
        run: Run,
        /// Who asked.
        actor: Actor,
    },
    /// A worker is to drain alone, and to leave then.
    WorkerDismissed {
        /// The worker's run.
        run: Run,
        /// Who asked.
        actor: Actor,
        /// How long its calls may take and what happens then.
        terms: DrainTerms,
    },
    /// Steps are to be judged by other gates.
    GatesSet {
        /// Who asked.
        actor: Actor,
        /// Which gates.
        asked: GateSet,
        /// What happens when one fails.
        on_failure: OnGateFailure,
    },
    /// A gate lets the rollout go on.
    GatePassed {
        /// Which gate.
        gate: Gate,
        /// What was judged.
        step: GatedStep,
    },
    /// A gate does not let the rollout go on.
    GateFailed {
        /// Which gate.
        gate: Gate,
        /// What was judged.
        step: GatedStep,
    },
    /// A person lets the rollout go on.
    Promoted {
        /// Who decided that.
        actor: Actor,
        /// What was decided on.
        step: GatedStep,
    },
    /// The version in use is to have another number of workers.
    Scaled {
        /// Who asked.
        actor: Actor,
        /// Which version.
        version: Version,
        /// How many there should be that do not leave.
        workers: u32,
    },
    /// A worker too many is to drain and leave.
    ScaleInOrdered {
        /// The worker's run.
        run: Run,
        /// What it reported.
        facts: Facts,
        /// The room there is without it.
        room: Room,
        /// How many there are that take calls or may come to, this one included.
        usable: u32,
    },
}

/// A kind of step that needs capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StepKind {
    /// Moving weight.
    Shift,
    /// Draining workers.
    Wave,
}

impl StepKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Shift, Self::Wave];
}

/// Why no steps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PauseReason {
    /// Somebody asked for it.
    Asked,
    /// A drain was withdrawn because no sign came back that it had arrived.
    DrainWithdrawn,
    /// A gate failed.
    GateFailed,
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
