//! What a worker answers to a command.

use super::{
    Class, Command, Decline, Drain, DrainOrder, EndReason, Event, Life, Misuse, OnDeadline, Outcome, Refused,
    Rejection, Repeat, Why, Worker,
};
use crate::id::{Actor, CallNo};
use crate::machine::Machine;
use crate::time::Instant;
use crate::word::{Phase, Refusal, Word};

/// Who forces a drain when its own deadline does.
const DEADLINE: Actor = Actor::from_static("deadline");

type Judgement = Result<Event, Rejection>;

impl Worker {
    /// The event a command leads to at `at`, which is not before the last entry.
    pub(super) fn answer(&self, at: Instant, command: Command) -> Judgement {
        if self.word().seq().get() == Word::SEQ_MAX {
            return Err(Refusal::Exhausted.into());
        }
        match command {
            Command::Assign { call } => self.judge_assign(call),
            Command::End { call, reason } => self.judge_end(call, reason),
            Command::Progress { call } => self.judge_progress(at, call),
            Command::Wake => {
                let (_, why) = self.deadline().filter(|(due, _)| *due <= at).ok_or(Misuse::NotDue)?;
                Ok(self.life.owed(at, why))
            }
            Command::Admit { .. }
            | Command::BeginDrain(_)
            | Command::CancelDrain { .. }
            | Command::Close
            | Command::CountDeclines { .. }
            | Command::ExtendDrain { .. }
            | Command::ForceDrain { .. }
            | Command::Reject
            | Command::Reserve { .. }
            | Command::Serve
            | Command::StandBy => self.life.judge(at, command),
        }
    }

    fn judge_assign(&self, call: CallNo) -> Judgement {
        match self.living(call) {
            Some(live) if live.active => Err(Repeat::AlreadyAssigned.into()),
            Some(_) => Ok(Event::CallAssigned { call }),
            None if self.was(call) => Err(Refused::ReservationGone.into()),
            None => Err(Misuse::NoSuchCall.into()),
        }
    }

    fn judge_end(&self, call: CallNo, reason: EndReason) -> Judgement {
        if self.living(call).is_none() {
            return Err(self.over(call));
        }
        let forced = self.drain().is_some_and(|drain| drain.forced.is_some());
        match reason {
            EndReason::DrainForced if !forced => Err(Misuse::NotForced.into()),
            EndReason::AgentHangup
            | EndReason::CallerHangup
            | EndReason::Disconnected
            | EndReason::DrainForced
            | EndReason::Failed
            | EndReason::Panicked
            | EndReason::Withdrawn => Ok(Event::CallEnded { call, reason }),
        }
    }

    fn judge_progress(&self, at: Instant, call: CallNo) -> Judgement {
        let Some(live) = self.living(call) else {
            return Err(self.over(call));
        };
        let every = self.limits().progress_every(live.class);
        let worth_noting = every.is_some_and(|every| live.stalled || at.since(live.moved) >= every);
        if live.active && worth_noting { Ok(Event::CallProgressed { call }) } else { Err(Repeat::ProgressNoted.into()) }
    }

    fn living(&self, call: CallNo) -> Option<&super::Call> {
        self.calls.get(call).filter(|_| self.phase() != Phase::Exited)
    }

    /// Whether a call of this number can have been: the number of some entry so far.
    fn was(&self, call: CallNo) -> bool {
        (1..=self.word().seq().get()).contains(&call.get())
    }

    fn over(&self, call: CallNo) -> Rejection {
        if self.was(call) { Repeat::AlreadyEnded.into() } else { Misuse::NoSuchCall.into() }
    }
}

impl Life {
    /// The event a command leads to at `at`, which is not before the last entry. What needs a certain call is refused:
    /// a life without its calls knows none.
    pub fn judge(&self, at: Instant, command: Command) -> Result<Event, Rejection> {
        match command {
            Command::Admit { id, class } => {
                self.judge_admission(class)?;
                Ok(Event::CallAdmitted { id, class })
            }
            Command::Assign { .. } | Command::End { .. } | Command::Progress { .. } => Err(Misuse::NoSuchCall.into()),
            Command::BeginDrain(order) => self.judge_begin_drain(order),
            Command::CancelDrain { actor } => self.judge_cancel_drain(actor),
            Command::Close => self.judge_close(),
            Command::CountDeclines { reason, count } => self.judge_count_declines(reason, count),
            Command::ExtendDrain { actor, deadline } => self.judge_extend_drain(actor, deadline),
            Command::ForceDrain { actor } => self.judge_force_drain(at, actor),
            Command::Reject => self.judge_reject(),
            Command::Reserve { id, class } => {
                self.judge_admission(class)?;
                Ok(Event::CallReserved { id, class })
            }
            Command::Serve => self.judge_serve(),
            Command::StandBy => self.judge_stand_by(),
            Command::Wake => {
                let (_, why) = self.deadline().filter(|(due, _)| *due <= at).ok_or(Misuse::NotDue)?;
                Ok(self.owed(at, why))
            }
        }
    }

    fn judge_admission(&self, class: Class) -> Result<(), Rejection> {
        if self.limits.stall_after.get(usize::from(class.0)).is_none() {
            return Err(Misuse::UnknownClass.into());
        }
        self.word.admit(self.limits.capacity)?;
        Ok(())
    }

    fn judge_begin_drain(&self, order: DrainOrder) -> Judgement {
        if order.deadline.is_none() && order.on_deadline != OnDeadline::Wait {
            return Err(Misuse::DeadlineMissing.into());
        }
        match (self.phase(), &self.drain) {
            (Phase::Exited, _) => Err(Repeat::AlreadyExited.into()),
            (Phase::Draining | Phase::Drained, Some(drain)) => judge_seal(drain, order),
            _ => Ok(Event::DrainBegun {
                cause: order.cause,
                actor: order.actor,
                deadline: order.deadline,
                on_deadline: order.on_deadline,
            }),
        }
    }

    fn judge_extend_drain(&self, actor: Actor, deadline: Instant) -> Judgement {
        let Some(drain) = self.drain.filter(|_| self.phase() == Phase::Draining) else {
            return Err(Misuse::NotDraining.into());
        };
        if drain.forced.is_some() {
            return Err(Refused::Forced.into());
        }
        match drain.deadline {
            Some(current) if deadline == current => Err(Repeat::AlreadyExtended.into()),
            Some(current) if deadline > current => Ok(Event::DrainExtended { actor, deadline }),
            Some(_) | None => Err(Misuse::NotLater.into()),
        }
    }

    fn judge_cancel_drain(&self, actor: Actor) -> Judgement {
        let Some(drain) = self.drain.filter(|_| matches!(self.phase(), Phase::Draining | Phase::Drained)) else {
            return Err(Repeat::NotDraining.into());
        };
        if drain.sealed {
            return Err(Refused::Irrevocable.into());
        }
        if drain.forced.is_some() {
            return Err(Refused::Forced.into());
        }
        Ok(Event::DrainCancelled { actor })
    }

    fn judge_force_drain(&self, at: Instant, actor: Actor) -> Judgement {
        let live = self.word.in_flight();
        match (self.phase(), &self.drain) {
            (Phase::Draining, Some(drain)) if drain.forced.is_none() && live > 0 => {
                Ok(Event::DrainForced { actor, live, until: at + self.limits.force_grace })
            }
            (Phase::Draining | Phase::Drained | Phase::Exited, _) => Err(Repeat::AlreadyForced.into()),
            (Phase::Starting | Phase::Standby | Phase::Serving, _) => Err(Misuse::NotDraining.into()),
        }
    }

    fn judge_count_declines(&self, reason: Decline, count: u64) -> Judgement {
        if self.phase() == Phase::Exited {
            return Err(Repeat::AlreadyExited.into());
        }
        if count == 0 {
            return Err(Repeat::NothingDeclined.into());
        }
        Ok(Event::CallsDeclined { reason, count })
    }

    fn judge_serve(&self) -> Judgement {
        match self.phase() {
            Phase::Starting | Phase::Standby => Ok(Event::ServingBegan),
            Phase::Serving => Err(Repeat::AlreadyThere.into()),
            phase @ (Phase::Draining | Phase::Drained | Phase::Exited) => Err(Refusal::Closed(phase).into()),
        }
    }

    fn judge_stand_by(&self) -> Judgement {
        match self.phase() {
            Phase::Starting => Ok(Event::StoodBy),
            Phase::Standby => Err(Repeat::AlreadyThere.into()),
            Phase::Serving | Phase::Draining | Phase::Drained | Phase::Exited => Err(Misuse::WrongPhase.into()),
        }
    }

    fn judge_reject(&self) -> Judgement {
        match self.phase() {
            Phase::Starting | Phase::Standby => Ok(Event::Exited { outcome: Outcome::Rejected }),
            Phase::Exited => Err(Repeat::AlreadyExited.into()),
            Phase::Serving | Phase::Draining | Phase::Drained => Err(Misuse::WrongPhase.into()),
        }
    }

    fn judge_close(&self) -> Judgement {
        match self.phase() {
            Phase::Drained => Ok(Event::Exited { outcome: self.verdict() }),
            Phase::Exited => Err(Repeat::AlreadyExited.into()),
            Phase::Starting | Phase::Standby | Phase::Serving | Phase::Draining => Err(Misuse::NotDrained.into()),
        }
    }

    /// The event that a deadline reached at `at` leads to.
    #[must_use]
    pub fn owed(&self, at: Instant, why: Why) -> Event {
        match why {
            Why::Empty => Event::Drained,
            Why::GraceOver => Event::Exited { outcome: self.verdict() },
            Why::Overdue => {
                let live = self.word.in_flight();
                match self.drain.map(|drain| drain.on_deadline) {
                    Some(OnDeadline::Force) => {
                        Event::DrainForced { actor: DEADLINE, live, until: at + self.limits.force_grace }
                    }
                    Some(OnDeadline::Alert | OnDeadline::Wait) | None => Event::DrainOverdue { live },
                }
            }
            Why::Lapse(call) => Event::ReservationLapsed { call },
            Why::Stall(call) => Event::CallStalled { call },
        }
    }

    /// How the worker ends if it ends now: every call a force cut or still in flight was dropped by it.
    fn verdict(&self) -> Outcome {
        match self.tally.ended_by(EndReason::DrainForced) + u64::from(self.word.in_flight()) {
            0 => Outcome::Clean,
            dropped => Outcome::Forced { dropped },
        }
    }
}

/// A signal during a drain that could be taken back makes it final; the earlier deadline wins and brings its policy.
fn judge_seal(drain: &Drain, order: DrainOrder) -> Judgement {
    if drain.sealed || !order.cause.is_final() {
        return Err(Repeat::AlreadyDraining.into());
    }
    let (deadline, on_deadline) = match (drain.deadline, order.deadline) {
        (Some(current), Some(new)) if new < current => (Some(new), order.on_deadline),
        (None, _) => (order.deadline, order.on_deadline),
        (Some(_), _) => (drain.deadline, drain.on_deadline),
    };
    Ok(Event::DrainSealed { actor: order.actor, deadline, on_deadline })
}
