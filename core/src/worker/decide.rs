//! What a worker answers to a command.

use super::{
    Command, Decline, Drain, DrainOrder, EndReason, Event, Life, Misuse, Outcome, Refused, Rejection, Repeat, Why,
    Worker,
};
use crate::id::{Actor, CallNo};
use crate::machine::Machine;
use crate::time::Instant;
use crate::word::{Phase, Refusal, Word};

/// Who forces a drain when its own deadline does.
const DEADLINE: Actor = Actor::from_static("deadline");

type Judgement = Result<Event, Rejection>;

/// How far a call has come, as far as a command about it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// It is assigned to this worker.
    Assigned,
    /// No call can have had this number.
    Never,
    /// It has ended, or may have.
    Over,
    /// It is reserved and not assigned yet.
    Reserved,
}

impl Worker {
    /// The event that a command leads to at `at`, which is not before the last entry.
    pub(super) fn answer(&self, at: Instant, command: Command) -> Judgement {
        let due = match command {
            Command::Wake => self.deadline().filter(|(due, _)| *due <= at).map(|(_, why)| why),
            Command::Expire(why) => self.due(why).filter(|due| *due <= at).map(|_| why),
            Command::Admit { .. }
            | Command::Assign { .. }
            | Command::BeginDrain(_)
            | Command::CancelDrain { .. }
            | Command::CountDeclines { .. }
            | Command::End { .. }
            | Command::ExtendDrain { .. }
            | Command::ForceDrain { .. }
            | Command::HandOver { .. }
            | Command::Leave
            | Command::Obey(_)
            | Command::Progress { .. }
            | Command::Reject
            | Command::Reserve { .. }
            | Command::Serve
            | Command::StandBy
            | Command::TakeOver { .. }
            | Command::Withdraw { .. } => return self.life.judge(at, command, |call| self.call_state(call)),
        };
        let why = due.ok_or(Misuse::NotDue)?;
        self.life.judge(at, Command::Expire(why), |call| self.call_state(call))
    }

    pub(super) fn call_state(&self, call: CallNo) -> CallState {
        match self.calls.get(call) {
            Some(live) if live.active => CallState::Assigned,
            Some(_) => CallState::Reserved,
            None if (1..=self.word().seq().get()).contains(&call.get()) => CallState::Over,
            None => CallState::Never,
        }
    }

    /// When a time-out is reached, if it is owed at all.
    fn due(&self, why: Why) -> Option<Instant> {
        match why {
            Why::Lapse(call) => self.calls.get(call).filter(|call| !call.active).map(|call| self.lapses_at(call)),
            Why::Stall(call) => self.calls.get(call).and_then(|call| call.stalls_at),
            Why::Empty | Why::GraceOver | Why::Force | Why::Overdue | Why::Leave => self.life.due(why),
        }
    }
}

impl Life {
    /// The event that a command leads to at `at`, which is not before the last entry. `state` tells what is known of
    /// a call; the time-out of a single call is the caller's to have checked.
    ///
    /// This is the one place where commands are judged: the machine and the gate in front of it both ask here.
    pub fn judge(&self, at: Instant, command: Command, state: impl Fn(CallNo) -> CallState) -> Judgement {
        if self.word.seq().get() == Word::SEQ_MAX {
            return Err(Refusal::Exhausted.into());
        }
        let state = |call| match state(call) {
            CallState::Assigned | CallState::Reserved if self.phase() == Phase::Exited => CallState::Over,
            known @ (CallState::Assigned | CallState::Never | CallState::Over | CallState::Reserved) => known,
        };
        match command {
            Command::Admit { id, class } => {
                self.admission()?;
                Ok(Event::CallAdmitted { id, class })
            }
            Command::Assign { call } => judge_assign(call, state(call)),
            Command::BeginDrain(order) => self.judge_begin_drain(order),
            Command::CancelDrain { actor } => self.judge_cancel_drain(actor),
            Command::CountDeclines { reason, count } => self.judge_count_declines(reason, count),
            Command::End { call, reason } => self.judge_end(call, reason, state(call)),
            Command::Expire(Why::Lapse(call)) => match state(call) {
                CallState::Reserved => Ok(Event::ReservationLapsed { call }),
                CallState::Assigned | CallState::Never | CallState::Over => Err(Misuse::NotDue.into()),
            },
            Command::Expire(Why::Stall(call)) => match state(call) {
                CallState::Assigned => Ok(Event::CallStalled { call }),
                CallState::Never | CallState::Over | CallState::Reserved => Err(Misuse::NotDue.into()),
            },
            Command::Expire(why) => self.judge_expiry(at, why),
            Command::ExtendDrain { actor, deadline } => self.judge_extend_drain(actor, deadline),
            Command::ForceDrain { actor } => self.judge_force_drain(actor),
            Command::HandOver { call, to } => {
                ours(state(call))?;
                Ok(Event::CallHandedOver { call, to })
            }
            Command::Leave => self.judge_leave(),
            Command::Obey(order) => self.judge_order(at, order),
            Command::Progress { call } => {
                ours(state(call))?;
                Ok(Event::CallProgressed { call })
            }
            Command::Reject => self.judge_reject(),
            Command::Reserve { id, class } => {
                self.admission()?;
                Ok(Event::CallReserved { id, class })
            }
            Command::Serve => self.judge_serve(),
            Command::StandBy => self.judge_stand_by(),
            Command::TakeOver { id, class, origin } => {
                self.judge_take_over()?;
                Ok(Event::CallTakenOver { id, class, origin })
            }
            Command::Wake => {
                let (_, why) = self.deadline().filter(|(due, _)| *due <= at).ok_or(Misuse::NotDue)?;
                self.judge_expiry(at, why)
            }
            Command::Withdraw { call, reason } => self.judge_withdraw(call, reason, state(call)),
        }
    }

    /// Whether one more call can be taken.
    pub fn admission(&self) -> Result<(), Refusal> {
        self.word.admit(self.limits.capacity).map(drop)
    }

    fn judge_end(&self, call: CallNo, reason: EndReason, state: CallState) -> Judgement {
        ours(state)?;
        self.over(call, reason)
    }

    fn judge_withdraw(&self, call: CallNo, reason: EndReason, state: CallState) -> Judgement {
        match state {
            CallState::Assigned => Err(Misuse::Assigned.into()),
            CallState::Never => Err(Misuse::NoSuchCall.into()),
            CallState::Over => Err(Repeat::AlreadyEnded.into()),
            CallState::Reserved => self.over(call, reason),
        }
    }

    fn over(&self, call: CallNo, reason: EndReason) -> Judgement {
        let forced = self.drain.is_some_and(|drain| drain.forced.is_some());
        if reason == EndReason::DrainForced && !forced {
            return Err(Misuse::NotForced.into());
        }
        Ok(Event::CallEnded { call, reason })
    }

    fn judge_begin_drain(&self, order: DrainOrder) -> Judgement {
        if !order.terms.is_sound() {
            return Err(Misuse::BadTerms.into());
        }
        match (self.phase(), &self.drain) {
            (Phase::Exited, _) => Err(Repeat::AlreadyExited.into()),
            (Phase::Draining | Phase::Drained, Some(drain)) => judge_join(self.phase(), drain, order),
            // A drain that is over has been taken back, and one that is not has a phase of its own.
            (Phase::Starting | Phase::Standby | Phase::Serving, _) | (Phase::Draining | Phase::Drained, None) => {
                let DrainOrder { cause, actor, terms } = order;
                Ok(Event::DrainBegun { cause, actor, terms, stamp: None })
            }
        }
    }

    fn judge_extend_drain(&self, actor: Actor, deadline: Instant) -> Judgement {
        let Some(drain) = self.drain.filter(|_| self.phase() == Phase::Draining) else {
            return Err(Misuse::NotDraining.into());
        };
        if drain.forced.is_some() {
            return Err(Refused::Forced.into());
        }
        match drain.terms.deadline {
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
        Ok(Event::DrainCancelled { actor, stamp: None })
    }

    fn judge_force_drain(&self, actor: Actor) -> Judgement {
        let live = self.word.in_flight();
        match (self.phase(), &self.drain) {
            (Phase::Draining, Some(drain)) if drain.forced.is_none() && live > 0 => {
                Ok(Event::DrainForced { actor, live, stamp: None })
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
            Phase::Starting | Phase::Standby => Ok(Event::ServingBegan { stamp: None }),
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

    fn judge_take_over(&self) -> Result<(), Rejection> {
        match self.phase() {
            Phase::Starting if self.word.in_flight() >= Word::IN_FLIGHT_MAX => Err(Refusal::Full.into()),
            Phase::Starting if self.word.seq().get() >= Word::SEQ_ADMIT_MAX => Err(Refusal::Exhausted.into()),
            Phase::Starting => Ok(()),
            Phase::Standby | Phase::Serving | Phase::Draining | Phase::Drained | Phase::Exited => {
                Err(Misuse::WrongPhase.into())
            }
        }
    }

    /// A worker that took calls over must serve them to their end, so it cannot be rejected. A worker that never took
    /// calls has no lame-duck time: it never opened, so no offer is on its way to it.
    fn judge_reject(&self) -> Judgement {
        match self.phase() {
            Phase::Starting | Phase::Standby if self.word.in_flight() == 0 => {
                Ok(Event::Exited { outcome: Outcome::Rejected, stamp: None })
            }
            Phase::Exited => Err(Repeat::AlreadyExited.into()),
            Phase::Starting | Phase::Standby | Phase::Serving | Phase::Draining | Phase::Drained => {
                Err(Misuse::WrongPhase.into())
            }
        }
    }

    /// Telling a worker to leave makes its drain final. It then leaves by itself when its lame-duck time is over.
    fn judge_leave(&self) -> Judgement {
        match (self.phase(), self.drain) {
            (Phase::Drained, Some(Drain { sealed: true, .. })) => Err(Repeat::AlreadyLeaving.into()),
            (Phase::Drained, Some(Drain { cause, actor, terms, .. })) => {
                Ok(Event::DrainSealed { cause, actor, terms, stamp: None })
            }
            (Phase::Exited, _) => Err(Repeat::AlreadyExited.into()),
            (Phase::Starting | Phase::Standby | Phase::Serving | Phase::Draining, _) | (Phase::Drained, None) => {
                Err(Misuse::NotDrained.into())
            }
        }
    }

    fn judge_expiry(&self, at: Instant, why: Why) -> Judgement {
        if self.due(why).is_none_or(|due| due > at) {
            return Err(Misuse::NotDue.into());
        }
        Ok(match why {
            Why::Empty => Event::Drained,
            Why::GraceOver | Why::Leave => Event::Exited { outcome: self.outcome_now(), stamp: None },
            Why::Force => Event::DrainForced { actor: DEADLINE, live: self.word.in_flight(), stamp: None },
            Why::Overdue => Event::DrainOverdue { live: self.word.in_flight() },
            Why::Lapse(call) => Event::ReservationLapsed { call },
            Why::Stall(call) => Event::CallStalled { call },
        })
    }

    /// How the worker ends if it ends now: every call that a force cut or that is still in flight was dropped by it.
    fn outcome_now(&self) -> Outcome {
        match self.tally.ended_by(EndReason::DrainForced) + u64::from(self.word.in_flight()) {
            0 => Outcome::Clean,
            dropped => Outcome::Forced { dropped },
        }
    }
}

fn judge_assign(call: CallNo, state: CallState) -> Judgement {
    match state {
        CallState::Assigned => Err(Repeat::AlreadyAssigned.into()),
        CallState::Never => Err(Misuse::NoSuchCall.into()),
        CallState::Over => Err(Refused::ReservationGone.into()),
        CallState::Reserved => Ok(Event::CallAssigned { call }),
    }
}

/// Whether a call is assigned to this worker, as progress, hand-over and end require.
fn ours(state: CallState) -> Result<(), Rejection> {
    match state {
        CallState::Assigned => Ok(()),
        CallState::Never => Err(Misuse::NoSuchCall.into()),
        CallState::Over => Err(Repeat::AlreadyEnded.into()),
        CallState::Reserved => Err(Misuse::NotAssigned.into()),
    }
}

/// An order to drain what drains already joins it, and weakens none of its terms. A final cause makes the drain final,
/// once. Any other may hold it to more: platforms repeat their signals, so those change nothing any more.
fn judge_join(phase: Phase, drain: &Drain, order: DrainOrder) -> Judgement {
    let DrainOrder { cause, actor, terms } = order;
    let terms = drain.terms.and(terms);
    match (cause.is_final(), phase) {
        (true, _) if !drain.sealed => Ok(Event::DrainSealed { cause, actor, terms, stamp: None }),
        (false, Phase::Draining) if drain.forced.is_none() && terms != drain.terms => {
            Ok(Event::DrainTightened { actor, terms, stamp: None })
        }
        (true | false, _) => Err(Repeat::AlreadyDraining.into()),
    }
}
