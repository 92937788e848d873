//! Which records a journal entry leads to.

use core::fmt;

use EventResult::{Dropped, Failure, Refused, Success};

use crate::id::{Actor, CallId, CallNo, Ids, Seq};
use crate::time::Instant;
use crate::word::Phase;
use crate::worker::{Call, Cause, EndReason, Entry, Event, Outcome, Worker};

/// What happened, in the field's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventName {
    /// The trail ends here in good order; signed.
    AuditClosed,
    /// The trail so far is vouched for; signed.
    AuditCheckpoint,
    /// Somebody else moved, cut or wrote the trail's file.
    AuditDisturbed,
    /// Offers were answered with no.
    CallDeclined,
    /// A forced drain cut a call.
    CallDrainForced,
    /// A handler failed or panicked.
    CallFailed,
    /// A promise was not taken up in time.
    CallLapsed,
    /// A call was open when its worker ended without a word: a kill, a crash, a lost node.
    CallPlatformForced,
    /// A call has been silent for too long.
    CallStalled,
    /// The worker drained and left, or was forced to.
    DeploymentCompleted,
    /// The worker takes no more calls.
    DeploymentDrainStarted,
    /// The drain was taken back: this version takes calls again.
    DeploymentRolledBack,
    /// The worker takes calls.
    DeploymentStarted,
    /// The drain got more time.
    WorkerDrainExtended,
    /// The calls that are left are told to end.
    WorkerDrainForced,
    /// The drain's deadline passed.
    WorkerDrainOverdue,
    /// The drain can no longer be taken back.
    WorkerDrainSealed,
    /// Another order held the drain to more.
    WorkerDrainTightened,
    /// The last call has ended.
    WorkerDrained,
    /// The run before this one ended without a word.
    WorkerLost,
    /// The fleet did not want the worker.
    WorkerRejected,
    /// The worker is ready and waits to be promoted.
    WorkerStoodBy,
}

impl EventName {
    /// Every name.
    pub const ALL: [Self; 22] = [
        Self::AuditClosed,
        Self::AuditCheckpoint,
        Self::AuditDisturbed,
        Self::CallDeclined,
        Self::CallDrainForced,
        Self::CallFailed,
        Self::CallLapsed,
        Self::CallPlatformForced,
        Self::CallStalled,
        Self::DeploymentCompleted,
        Self::DeploymentDrainStarted,
        Self::DeploymentRolledBack,
        Self::DeploymentStarted,
        Self::WorkerDrainExtended,
        Self::WorkerDrainForced,
        Self::WorkerDrainOverdue,
        Self::WorkerDrainSealed,
        Self::WorkerDrainTightened,
        Self::WorkerDrained,
        Self::WorkerLost,
        Self::WorkerRejected,
        Self::WorkerStoodBy,
    ];

    /// The name as records carry it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuditClosed => "audit.closed",
            Self::AuditCheckpoint => "audit.checkpoint",
            Self::AuditDisturbed => "audit.disturbed",
            Self::CallDeclined => "call.declined",
            Self::CallDrainForced => "call.drain_forced",
            Self::CallFailed => "call.failed",
            Self::CallLapsed => "call.lapsed",
            Self::CallPlatformForced => "call.platform_forced",
            Self::CallStalled => "call.stalled",
            Self::DeploymentCompleted => "deployment.completed",
            Self::DeploymentDrainStarted => "deployment.drain_started",
            Self::DeploymentRolledBack => "deployment.rolled_back",
            Self::DeploymentStarted => "deployment.started",
            Self::WorkerDrainExtended => "worker.drain_extended",
            Self::WorkerDrainForced => "worker.drain_forced",
            Self::WorkerDrainOverdue => "worker.drain_overdue",
            Self::WorkerDrainSealed => "worker.drain_sealed",
            Self::WorkerDrainTightened => "worker.drain_tightened",
            Self::WorkerDrained => "worker.drained",
            Self::WorkerLost => "worker.lost",
            Self::WorkerRejected => "worker.rejected",
            Self::WorkerStoodBy => "worker.stood_by",
        }
    }
}

/// How what happened went: the `result` of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventResult {
    /// A call was cut short.
    Dropped,
    /// It did not go as it should.
    Failure,
    /// The answer was no.
    Refused,
    /// As it should.
    Success,
}

impl EventResult {
    /// The result as records carry it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Failure => "failure",
            Self::Refused => "refused",
            Self::Success => "success",
        }
    }
}

/// What it happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A call, by the dispatcher's name for it.
    Call(CallId),
    /// The trail itself.
    Trail,
    /// The worker.
    Worker,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(id) => write!(f, "call:{id}"),
            Self::Trail => f.write_str("trail"),
            Self::Worker => f.write_str("worker"),
        }
    }
}

/// A record before it has its place in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub event: EventName,
    /// The journal entry it is derived from.
    pub entry: Seq,
    /// Who did it.
    pub actor: Actor,
    /// To what.
    pub target: Target,
    /// How what happened went: the `result` of a record.
    pub result: EventResult,
    /// Why, in one word.
    pub reason: &'static str,
    /// How many calls it concerns.
    pub count: u64,
}

/// The actor where nobody asked: the runtime acted by itself.
const RUNTIME: Actor = Actor::from_static("runtime");

/// Emits the records of one entry; `before` is the worker that the entry meets, `ids` what its calls are called.
pub fn derive(before: &Worker, ids: &impl Ids, entry: &Entry, mut emit: impl FnMut(Draft)) {
    let live = u64::from(before.word().in_flight());
    let record = |event, actor, target, result, reason, count| Draft {
        at: entry.at,
        event,
        entry: entry.seq,
        actor,
        target,
        result,
        reason,
        count,
    };
    let worker = |event, actor, reason, count| record(event, actor, Target::Worker, Success, reason, count);
    let about = |event, call: CallNo, result, reason| {
        let target = before.calls().get(call).map_or(Target::Worker, |live| named(ids, call, live));
        record(event, RUNTIME, target, result, reason, 1)
    };
    match entry.event {
        Event::StoodBy => emit(worker(EventName::WorkerStoodBy, RUNTIME, "standby", 0)),
        Event::ServingBegan { .. } => emit(worker(EventName::DeploymentStarted, RUNTIME, "serving", 0)),
        Event::CallsDeclined { reason, count } => {
            emit(record(EventName::CallDeclined, RUNTIME, Target::Worker, Refused, reason.as_str(), count));
        }
        Event::CallStalled { call } => emit(about(EventName::CallStalled, call, Failure, "silent")),
        Event::ReservationLapsed { call } => emit(about(EventName::CallLapsed, call, Failure, "not_assigned")),
        Event::CallEnded { call, reason } => match reason {
            EndReason::DrainForced => {
                let cut = about(EventName::CallDrainForced, call, Dropped, "drain_forced");
                emit(Draft { actor: forcer(before), ..cut });
            }
            EndReason::Failed | EndReason::Panicked | EndReason::ProgramFailed => {
                emit(about(EventName::CallFailed, call, Failure, reason.as_str()));
            }
            EndReason::AgentHangup
            | EndReason::CallerHangup
            | EndReason::Disconnected
            | EndReason::GuardDropped
            | EndReason::OperatorHangup
            | EndReason::Withdrawn => {}
        },
        Event::DrainBegun { cause, actor, .. } => {
            emit(worker(EventName::DeploymentDrainStarted, actor, cause.as_str(), live));
        }
        Event::DrainSealed { actor, cause, .. } => {
            let (actor, reason) = seal(actor, cause);
            emit(worker(EventName::WorkerDrainSealed, actor, reason, live));
        }
        Event::DrainTightened { actor, terms, .. } => {
            emit(worker(EventName::WorkerDrainTightened, actor, terms.on_deadline().as_str(), live));
        }
        Event::DrainExtended { actor, .. } => emit(worker(EventName::WorkerDrainExtended, actor, "extended", live)),
        Event::DrainCancelled { actor, .. } => {
            emit(worker(EventName::DeploymentRolledBack, actor, "drain_cancelled", live));
        }
        Event::DrainOverdue { live } => {
            let overdue = worker(EventName::WorkerDrainOverdue, RUNTIME, "deadline", live.into());
            emit(Draft { result: Failure, ..overdue });
        }
        Event::DrainForced { actor, live, .. } => {
            emit(worker(EventName::WorkerDrainForced, actor, "forced", live.into()));
        }
        Event::Drained => emit(worker(EventName::WorkerDrained, RUNTIME, "empty", before.tally().promised())),
        Event::Exited { outcome, .. } => derive_exit(before, ids, outcome, record, emit),
        Event::CallAdmitted { .. }
        | Event::CallAssigned { .. }
        | Event::CallHandedOver { .. }
        | Event::CallProgressed { .. }
        | Event::CallReserved { .. }
        | Event::CallTakenOver { .. }
        | Event::OrderTaken { .. } => {}
    }
}

/// Who made a drain final, and why. Being told to leave is past every cause that the drain had.
const fn seal(actor: Actor, cause: Cause) -> (Actor, &'static str) {
    if cause.is_final() { (actor, cause.as_str()) } else { (RUNTIME, "leave") }
}

/// A worker that leaves drops the calls that are still there, each by name.
fn derive_exit(
    before: &Worker,
    ids: &impl Ids,
    outcome: Outcome,
    record: impl Fn(EventName, Actor, Target, EventResult, &'static str, u64) -> Draft,
    mut emit: impl FnMut(Draft),
) {
    if before.phase() == Phase::Draining {
        for (number, call) in before.calls().iter() {
            let target = named(ids, number, call);
            emit(record(EventName::CallDrainForced, forcer(before), target, Dropped, "no_goodbye", 1));
        }
    }
    let (event, result, reason, count) = match outcome {
        Outcome::Clean => (EventName::DeploymentCompleted, Success, "clean", 0),
        Outcome::Forced { dropped } => (EventName::DeploymentCompleted, Failure, "forced", dropped),
        Outcome::Rejected => (EventName::WorkerRejected, Refused, "membership", 0),
    };
    emit(record(event, RUNTIME, Target::Worker, result, reason, count));
}

/// Emits the records of a run that ended without a word, in the state its journal left it in. They are derived by its
/// successor: the unclosed journal is the evidence. A run that never started had nothing to lose.
pub fn derive_loss(left: &Worker, ids: &impl Ids, mut emit: impl FnMut(Draft)) {
    if left.phase() == Phase::Starting || left.outcome().is_some() {
        return;
    }
    let record = |event, target, reason, count| Draft {
        at: left.now(),
        event,
        entry: left.word().seq(),
        actor: RUNTIME,
        target,
        result: Dropped,
        reason,
        count,
    };
    emit(record(EventName::WorkerLost, Target::Worker, "unclosed", left.word().in_flight().into()));
    for (number, call) in left.calls().iter() {
        emit(record(EventName::CallPlatformForced, named(ids, number, call), "unclosed", 1));
    }
}

fn named(ids: &impl Ids, number: CallNo, call: &Call) -> Target {
    Target::Call(ids.id(number).unwrap_or_else(|| CallId::unnamed(call.id)))
}

fn forcer(before: &Worker) -> Actor {
    before.drain().and_then(|drain| drain.forced).map_or(RUNTIME, |forced| forced.actor)
}
