//! What the world asks of a fleet or reports to it.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::gate::{Gate, GateSet, GatedStep, OnGateFailure};
use super::member::DrainTerms;
use crate::id::{Actor, Epoch, Incarnation, Seq, Version, WorkerId};
pub use crate::order::Stamp;
use crate::time::Span;
use crate::word::Phase;
use crate::worker::{Life, OnDeadline};

/// One run of one worker: what an order is addressed to and a report comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Run {
    /// The worker's place in the fleet.
    pub worker: WorkerId,
    /// Which run of it.
    pub incarnation: Incarnation,
}

/// What a worker says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The last entry of its journal: later facts have larger numbers.
    pub seq: Seq,
    /// Where it is in its life.
    pub phase: Phase,
    /// Calls reserved and active.
    pub in_flight: u32,
    /// The most calls it may hold.
    pub capacity: u32,
    /// How many more calls it would take now; zero unless it serves.
    pub available: u32,
    /// Whether its drain can no longer be cancelled.
    pub sealed: bool,
    /// The last order it took.
    pub obeyed: Stamp,
}

impl Facts {
    /// What a worker says of itself as it is now.
    #[must_use]
    pub fn of(life: &Life) -> Self {
        let in_flight = life.word().in_flight();
        let capacity = life.limits().capacity;
        Self {
            seq: life.word().seq(),
            phase: life.phase(),
            in_flight,
            capacity,
            available: if life.phase() == Phase::Serving { capacity.saturating_sub(in_flight) } else { 0 },
            sealed: life.drain().is_some_and(|drain| drain.sealed),
            obeyed: life.obeyed(),
        }
    }

    /// The calls it can hold as it is now: those it has and those it would take.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.in_flight.saturating_add(self.available)
    }

    /// Whether it takes no more calls and has none left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.phase, Phase::Drained | Phase::Exited) && self.in_flight == 0
    }

    /// Whether a worker can be like this.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let empty = matches!(self.phase, Phase::Starting | Phase::Standby | Phase::Drained);
        let draining = matches!(self.phase, Phase::Draining | Phase::Drained | Phase::Exited);
        self.slots() <= self.capacity
            && (!empty || self.in_flight == 0)
            && (self.phase == Phase::Serving || self.available == 0)
            && (!self.sealed || draining)
    }
}

/// Facts, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The run that reports.
    pub run: Run,
    /// The version it runs.
    pub version: Version,
    /// What it says.
    pub facts: Facts,
}

/// How a rollout is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How long an order to drain may go without a sign that it arrived before it is withdrawn.
    pub ack_timeout: Span,
    /// How long a drained worker's calls may take, handed to the worker; `None` for as long as they last.
    pub drain_timeout: Option<Span>,
    /// What happens then.
    pub on_deadline: OnDeadline,
    /// Spare capacity that must be there above demand, per cent.
    pub headroom: u16,
    /// By how much the weight moves at a time, per cent: 100 is blue-green.
    pub shift_step: u8,
    /// The most workers that may be asked for beyond those that run.
    pub surge: u32,
    /// How long the new workers may take to be there, and again to be ready.
    pub verify_timeout: Span,
    /// How many workers drain at a time.
    pub wave: u32,
}

impl Default for Policy {
    /// Blue-green: 20 % headroom, all weight at once, 10 workers a wave, 5 min to be ready, and no deadline for calls.
    fn default() -> Self {
        Self {
            ack_timeout: Span::from_secs(30),
            drain_timeout: None,
            on_deadline: OnDeadline::Wait,
            headroom: 20,
            shift_step: 100,
            surge: 1_000,
            verify_timeout: Span::from_secs(300),
            wave: 10,
        }
    }
}

/// A rollout to be done: where to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The version to go to.
    pub version: Version,
    /// How many workers of it there must be.
    pub workers: u32,
    /// How to go there.
    pub policy: Policy,
}

/// Why a rollout cannot be done as specified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSpec {
    /// Orders would be withdrawn at once.
    AckTimeoutZero,
    /// The policy needs a drain time-out and has none.
    DeadlineMissing,
    /// The step is not 1 to 100.
    ShiftStep,
    /// More workers than the surge allows.
    Surge,
    /// New workers would fail at once.
    VerifyTimeoutZero,
    /// No worker would ever drain.
    WaveZero,
    /// No workers at all.
    WorkersZero,
}

impl fmt::Display for BadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AckTimeoutZero => "ack_timeout is 0, so every drain would be withdrawn at once: set it to 30s or so",
            Self::DeadlineMissing => "on_deadline needs a drain_timeout: set one, or use `wait`",
            Self::ShiftStep => "shift_step is not 1 to 100 per cent",
            Self::Surge => "workers is above surge: ask for fewer workers or allow more surge",
            Self::VerifyTimeoutZero => "verify_timeout is 0, so the rollout would fail at once: set it to 5m or so",
            Self::WaveZero => "wave is 0, so no worker would ever drain: set it to 1 or more",
            Self::WorkersZero => "workers is 0, so nothing would take the calls: set it to 1 or more",
        })
    }
}

impl core::error::Error for BadSpec {}

impl Spec {
    /// Refuses a rollout that could not be carried out.
    pub fn check(&self) -> Result<(), BadSpec> {
        let policy = &self.policy;
        let faults = [
            (policy.ack_timeout == Span::ZERO, BadSpec::AckTimeoutZero),
            (policy.on_deadline != OnDeadline::Wait && policy.drain_timeout.is_none(), BadSpec::DeadlineMissing),
            (!(1..=100).contains(&policy.shift_step), BadSpec::ShiftStep),
            (self.workers > policy.surge, BadSpec::Surge),
            (policy.verify_timeout == Span::ZERO, BadSpec::VerifyTimeoutZero),
            (policy.wave == 0, BadSpec::WaveZero),
            (self.workers == 0, BadSpec::WorkersZero),
        ];
        faults.into_iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, fault)| Err(fault))
    }
}

/// What a person or a pipeline asks of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Keep new calls from a worker; it keeps the calls it has, and stays. Holds for this run, until it is uncordoned.
    Cordon {
        /// The worker.
        worker: WorkerId,
    },
    /// Drain one worker and have it leave then. Until it is told to leave, it can be uncordoned.
    Drain {
        /// The worker.
        worker: WorkerId,
        /// How long its calls may take and what happens then.
        terms: DrainTerms,
    },
    /// Keep a worker out: it drains, is stopped, and never counts again in this run.
    Fence {
        /// The worker.
        worker: WorkerId,
    },
    /// Do not wait for a worker's calls any longer: a draining worker ends them, a lost one is written off and stopped.
    Force {
        /// The worker.
        worker: WorkerId,
    },
    /// Take no further step.
    Pause,
    /// Go on with this step: a person's yes, which stands for every gate that is waited for.
    Promote,
    /// Roll out a version; a rollout under way is superseded.
    RollOut(Spec),
    /// Go on.
    Resume,
    /// Go back to the version before.
    Rollback,
    /// Run this many workers of the version that takes all calls. If there are more, the rest drain and leave, a few at
    /// a time.
    Scale {
        /// How many that do not leave.
        workers: u32,
    },
    /// Have every step of this and later rollouts judged by these gates.
    SetGates {
        /// Which gates.
        asked: GateSet,
        /// What happens when one fails.
        on_failure: OnGateFailure,
    },
    /// Let a worker take calls again that was cordoned, or is drained alone.
    Uncordon {
        /// The worker.
        worker: WorkerId,
    },
}

/// A command to the fleet machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The dispatchers expect this many calls at a time.
    Demand {
        /// How many.
        calls: u32,
    },
    /// A gate was judged.
    Judge {
        /// Which gate.
        gate: Gate,
        /// What was judged.
        step: GatedStep,
        /// Whether the rollout may go on.
        passed: bool,
    },
    /// The platform says that a process is gone.
    Gone {
        /// The worker's run.
        run: Run,
    },
    /// A person or a pipeline asks through a coordinator.
    Request {
        /// The term of that coordinator.
        epoch: Epoch,
        /// Who asks.
        actor: Actor,
        /// For what.
        request: Request,
    },
    /// A worker whose membership token was verified asks to join.
    Register {
        /// The worker's run.
        run: Run,
        /// The version it runs.
        version: Version,
    },
    /// A worker says how it is.
    Report(Report),
    /// A new coordinator takes over.
    TakeOver {
        /// Its term.
        epoch: Epoch,
        /// Who it is.
        actor: Actor,
    },
    /// A deadline was reached.
    Wake,
}
