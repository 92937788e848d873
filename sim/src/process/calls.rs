//! The adapter: what a process does about each message of a call's set-up, and when a call ends.

use openrtc_core::id::{CallNo, Digest};
use openrtc_core::worker::{Class, Command, EndReason, Refused, Rejection, Repeat};

use super::{Environment, Promise, Promises, Running, Stage};
use crate::bug::Bug;

/// What a process answers to an offer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// Yes.
    Reserved,
    /// No, and why.
    Declined(Rejection),
    /// Whatever it answered before.
    Again {
        /// Whether that was yes.
        yes: bool,
    },
}

impl Answer {
    pub(crate) const fn is_yes(self) -> bool {
        matches!(self, Self::Reserved | Self::Again { yes: true })
    }
}

/// What a process makes of an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assigned {
    /// The call runs now.
    Begins,
    /// It runs already.
    Again,
    /// There was a promise, and the process does not keep it.
    Refused,
    /// There is no promise any more.
    Gone,
}

/// What a process makes of a hang-up or a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The call is over.
    Over,
    /// The process overlooks it.
    Missed,
    /// It holds no such call.
    Unknown,
}

impl<B: Promises, O: Environment<B>> Running<'_, B, O> {
    /// An offer.
    pub(crate) fn take_offer(&mut self, offer: B::Offer, id: Digest, class: Class) -> Answer {
        let stage = self.process.stage(offer);
        let again = stage == Stage::Reserved && self.process.has(Bug::DoubleReserve);
        if stage != Stage::Offered && !again {
            return Answer::Again { yes: stage != Stage::Declined };
        }
        match self.give_about(Command::Reserve { id, class }, Some(offer)) {
            Ok(_) if again => Answer::Again { yes: true },
            Ok(entry) => self.reserve(offer, CallNo::new(entry.seq.get())),
            Err(rejection) => self.decline(offer, rejection),
        }
    }

    fn reserve(&mut self, offer: B::Offer, number: CallNo) -> Answer {
        self.process.promises.set(offer, Promise { number, stage: Stage::Reserved });
        self.process.live += 1;
        Answer::Reserved
    }

    fn decline(&mut self, offer: B::Offer, rejection: Rejection) -> Answer {
        let lie = if self.process.drains() { Bug::YesWhileDraining } else { Bug::OverCapacity };
        if self.process.has(lie) {
            return self.reserve(offer, CallNo::default());
        }
        self.turn(offer, Stage::Declined);
        Answer::Declined(rejection)
    }

    /// The call is ours.
    pub(crate) fn take_assignment(&mut self, offer: B::Offer) -> Assigned {
        let Promise { number, stage } = self.process.promises.get(offer);
        let refuses = self.process.has(Bug::RefusesReserved) && self.process.drains() && stage == Stage::Reserved;
        let decided =
            if refuses { Err(Refused::ReservationGone.into()) } else { self.give(Command::Assign { call: number }) };
        match decided {
            Ok(_) => {
                self.turn(offer, Stage::Active);
                Assigned::Begins
            }
            Err(Rejection::Repeat(Repeat::AlreadyAssigned)) => Assigned::Again,
            Err(_) if stage == Stage::Reserved => Assigned::Refused,
            Err(_) => Assigned::Gone,
        }
    }

    /// The caller is gone, or the offer was withdrawn.
    pub(crate) fn take_end(&mut self, offer: B::Offer) -> Ended {
        let reason = match self.process.stage(offer) {
            Stage::Active => EndReason::CallerHangup,
            Stage::Reserved => EndReason::Withdrawn,
            // If it overtook its own offer, the answer to come is answered with another.
            Stage::Offered | Stage::Declined | Stage::Over => return Ended::Unknown,
        };
        let draining = self.process.drains();
        if draining && self.process.has(Bug::HangupLost) {
            return Ended::Missed;
        }
        self.end(offer, reason);
        if draining && self.process.has(Bug::FirstEndKillsOthers) {
            self.cut_calls();
        }
        Ended::Over
    }

    /// A call moves.
    pub(crate) fn progress(&mut self, offer: B::Offer) {
        let Promise { number, .. } = self.process.promises.get(offer);
        let at = self.env.now(self.process).max(self.process.machine.now());
        if self.process.machine.notes_progress(at, number) {
            let _ = self.give(Command::Progress { call: number });
        }
    }

    /// A call's handler fails.
    pub(crate) fn fail(&mut self, offer: B::Offer) {
        if !self.process.has(Bug::FailureUnrecorded) {
            self.end(offer, EndReason::Failed);
        }
    }

    /// A call that a force cuts ends within the grace. Returns whether it was held.
    pub(crate) fn end_forced(&mut self, offer: B::Offer) -> bool {
        let stage = self.process.stage(offer);
        let reason = match stage {
            Stage::Active if self.process.has(Bug::ForcedIsHangup) => EndReason::CallerHangup,
            Stage::Active => EndReason::DrainForced,
            Stage::Reserved => EndReason::Withdrawn,
            Stage::Offered | Stage::Declined | Stage::Over => return false,
        };
        let is_over = self.end(offer, reason);
        self.process.cut += u32::from(is_over && stage == Stage::Active);
        is_over
    }

    /// Ends every running call, as some planted bugs do.
    pub(super) fn cut_calls(&mut self) {
        let held: Vec<_> = self.process.held().collect();
        for offer in held {
            if self.process.stage(offer) == Stage::Active {
                self.env.cut(offer);
                self.end(offer, EndReason::Disconnected);
            }
        }
    }

    /// A call is over.
    fn end(&mut self, offer: B::Offer, reason: EndReason) -> bool {
        let Promise { number: call, stage } = self.process.promises.get(offer);
        let end = match stage {
            Stage::Reserved => Command::Withdraw { call, reason },
            Stage::Offered | Stage::Declined | Stage::Active | Stage::Over => Command::End { call, reason },
        };
        let is_over = self.give(end).is_ok();
        if is_over {
            self.let_go(offer);
        }
        is_over
    }

    /// A call is no longer held.
    pub(super) fn let_go(&mut self, offer: B::Offer) {
        self.turn(offer, Stage::Over);
        self.process.live = self.process.live.saturating_sub(1);
        self.env.released(offer);
    }

    pub(super) fn turn(&mut self, offer: B::Offer, stage: Stage) {
        let promise = self.process.promises.get(offer);
        self.process.promises.set(offer, Promise { stage, ..promise });
    }
}
