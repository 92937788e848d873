//! Callers and the dispatcher: offer, answer, assignment, as `LiveKit`'s agent protocol has them, with its time-outs.

use openrtc_core::id::{CallId, CallNo};
use openrtc_core::worker::{Class, Command, EndReason, Refused, Rejection, Repeat};

use super::dispatcher::Label;
use super::queue::Event;
use super::{Bug, Invariant, State, Who, World};
use crate::choice::mix;
use crate::ledger::{Fate, NONE};
use crate::plan::{Kind, Message, MessageFate, SECOND};

/// How long the dispatcher waits for an answer.
const OFFER_TIMEOUT: u64 = 5 * SECOND;
/// How long it waits to hear that a call runs before it says again whose it is.
const ASSIGN_TIMEOUT: u64 = 3 * SECOND;
/// How long it waits before it looks for a worker again.
pub(super) const PLACE_AGAIN: u64 = SECOND / 2;
/// How long until a worker notices by itself that a caller has gone.
const MEDIA_TIMEOUT: u64 = 20 * SECOND;
/// How often a watched call reports progress.
const PROGRESS: u64 = 5 * SECOND;

/// One try to place a call with a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) call: u32,
    pub(super) worker: u32,
    pub(super) incarnation: u32,
    pub(super) number: CallNo,
    pub(super) stage: Stage,
    answered: bool,
    assigned: bool,
    started: bool,
    sent: u8,
}

/// Where an attempt is, as the worker's side of the wire shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Offered,
    Declined,
    Reserved,
    Active,
    Over,
}

impl World<'_> {
    /// The dispatcher looks for a worker for a call that waits.
    pub(super) fn place(&mut self, call: u32) {
        let line = *self.ledger.line(call);
        if line.fate != Fate::Waiting {
            return;
        }
        let tries = if line.attempt == NONE { 0 } else { u64::from(line.attempt) + 1 };
        let draw = mix(self.plan.seed ^ mix((u64::from(call) << 32) ^ tries ^ (self.now << 1)));
        let Some(worker) = self.dispatcher.pick(draw, self.now) else {
            return self.wait(call);
        };
        let attempt = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        let incarnation = self.nodes[worker as usize].incarnation;
        self.attempts.push(Attempt {
            call,
            worker,
            incarnation,
            number: CallNo::default(),
            stage: Stage::Offered,
            answered: false,
            assigned: false,
            started: false,
            sent: 0,
        });
        self.dispatcher.load[worker as usize] += 1;
        self.ledger.attempt(call, attempt);
        self.send(Message::Offer, attempt);
        if self.faulty {
            self.queue.push(self.now + OFFER_TIMEOUT, Event::OfferTimeout(attempt));
        }
    }

    pub(super) fn send(&mut self, message: Message, attempt: u32) {
        let try_ = &mut self.attempts[attempt as usize];
        try_.sent = try_.sent.wrapping_add(1);
        let (call, worker, sent) = (try_.call, try_.worker, try_.sent);
        let node = &self.nodes[worker as usize];
        if node.doomed && matches!(message, Message::Answer | Message::Started) {
            return;
        }
        let free_from = node.cut_until.max(self.now);
        let key = (u64::from(attempt) << 16) ^ (u64::from(sent) << 8) ^ (message as u64);
        let mut at = free_from + self.latency(key);
        if !self.plan.tampers.is_empty() {
            let wanted = |tamper: &&crate::plan::Tamper| tamper.call == call && tamper.message == message;
            match self.plan.tampers.iter().find(wanted).map(|tamper| tamper.fate) {
                Some(MessageFate::Delayed(by)) => at += by,
                Some(MessageFate::Duplicated) => {
                    let again = free_from + self.latency(key ^ 0x80);
                    self.queue.push(again, Event::Message(message, attempt));
                }
                Some(MessageFate::Lost) if message == Message::End => at += MEDIA_TIMEOUT,
                Some(MessageFate::Lost) if sent <= 4 => return,
                Some(MessageFate::Lost) | None => {}
            }
        }
        self.queue.push(at, Event::Message(message, attempt));
    }

    pub(super) fn receive(&mut self, message: Message, attempt: u32) {
        let Attempt { worker, incarnation, .. } = self.attempts[attempt as usize];
        let node = &self.nodes[worker as usize];
        let there = node.incarnation == incarnation && node.state == State::Up;
        match message {
            Message::Answer => return self.answered(attempt),
            Message::Started => return self.started(attempt),
            Message::Offer | Message::Assign if !there => return self.refused(attempt),
            Message::End if !there => return,
            Message::Offer => self.offered(attempt),
            Message::Assign => self.assigned(attempt),
            Message::End => self.ended(attempt),
        }
        self.settle(worker);
    }

    /// Worker: an offer.
    fn offered(&mut self, attempt: u32) {
        let Attempt { call, worker, stage, .. } = self.attempts[attempt as usize];
        if stage == Stage::Offered || (stage == Stage::Reserved && self.has(Bug::DoubleReserve)) {
            let id = CallId::new(Label::new(call).as_str()).expect("digits make a name");
            let class = Class(u8::from(!self.is_watched(call)));
            match self.command(worker, Command::Reserve { id, class }) {
                Ok(entry) if stage == Stage::Offered => {
                    self.reserved(attempt, CallNo::new(entry.seq.get()));
                }
                Ok(_) => {}
                Err(refusal) => self.decline(attempt, refusal),
            }
        }
        self.send(Message::Answer, attempt);
    }

    fn is_watched(&self, call: u32) -> bool {
        matches!(self.plan.calls[call as usize].kind, Kind::Watched | Kind::Silent)
    }

    fn reserved(&mut self, attempt: u32, number: CallNo) {
        let Attempt { call, worker, .. } = self.attempts[attempt as usize];
        self.attempts[attempt as usize].stage = Stage::Reserved;
        self.attempts[attempt as usize].number = number;
        let node = &mut self.nodes[worker as usize];
        node.live += 1;
        node.hold(number, attempt);
        let line = *self.ledger.line(call);
        if line.attempt == attempt && line.fate == Fate::Waiting {
            self.ledger.set(call, Fate::Reserved, Some(worker), self.now);
        }
        self.tell(Who::Worker(worker), || format!("says yes to call {call}"));
    }

    fn decline(&mut self, attempt: u32, refusal: Rejection) {
        let Attempt { call, worker, .. } = self.attempts[attempt as usize];
        let draining = self.nodes[worker as usize].machine.drain().is_some();
        let lies = (self.has(Bug::YesWhileDraining) && draining) || (self.has(Bug::OverCapacity) && !draining);
        if lies {
            return self.reserved(attempt, CallNo::default());
        }
        self.attempts[attempt as usize].stage = Stage::Declined;
        self.tell(Who::Worker(worker), || format!("declines call {call}: {refusal}"));
    }

    /// Dispatcher: an answer.
    fn answered(&mut self, attempt: u32) {
        let try_ = &mut self.attempts[attempt as usize];
        try_.answered = true;
        let (call, worker, yes, before) = (try_.call, try_.worker, try_.stage != Stage::Declined, try_.assigned);
        let ours = self.ledger.line(call).attempt == attempt && !self.ledger.line(call).fate.is_final();
        if !yes {
            if ours {
                self.dispatcher.load[worker as usize] = self.dispatcher.load[worker as usize].saturating_sub(1);
                self.queue.push(self.now + PLACE_AGAIN / 10, Event::Place(call));
            }
        } else if !ours {
            self.send(Message::End, attempt);
        } else if !before {
            self.attempts[attempt as usize].assigned = true;
            self.send(Message::Assign, attempt);
            if self.faulty {
                self.queue.push(self.now + ASSIGN_TIMEOUT, Event::AssignTimeout(attempt));
            }
        }
    }

    /// Worker: the call is ours.
    fn assigned(&mut self, attempt: u32) {
        let Attempt { call, worker, number, stage, .. } = self.attempts[attempt as usize];
        let draining = self.nodes[worker as usize].machine.drain().is_some();
        let outcome = if self.has(Bug::RefusesReserved) && draining {
            Err(Refused::ReservationGone.into())
        } else {
            self.command(worker, Command::Assign { call: number })
        };
        match outcome {
            Ok(_) => self.begin(attempt),
            Err(Rejection::Repeat(Repeat::AlreadyAssigned)) => {}
            Err(_) if stage == Stage::Reserved => {
                let what = format!("{} said yes to call {call} and then refused it", self.name(worker));
                self.violate(Invariant::OfferConservation, Some(worker), what);
            }
            Err(_) => {}
        }
        self.send(Message::Started, attempt);
    }

    fn begin(&mut self, attempt: u32) {
        let Attempt { call, worker, .. } = self.attempts[attempt as usize];
        self.attempts[attempt as usize].stage = Stage::Active;
        let line = *self.ledger.line(call);
        if line.fate == Fate::Active {
            let what =
                format!("call {call} runs on {} and on {}", self.name(line.worker.unwrap_or(0)), self.name(worker));
            self.violate(Invariant::NoMove, Some(worker), what);
        }
        if line.attempt == attempt && !line.fate.is_final() {
            self.ledger.set(call, Fate::Active, Some(worker), self.now);
        }
        let planned = self.plan.calls[call as usize];
        match planned.kind {
            Kind::Watched => self.queue.push(self.now + PROGRESS, Event::Progress(attempt)),
            Kind::Failing => self.queue.push(self.now + planned.lasts / 2, Event::Fail(attempt)),
            Kind::Plain | Kind::Silent | Kind::Phantom => {}
        }
        self.tell(Who::Worker(worker), || format!("runs call {call}"));
    }

    /// Dispatcher: the call runs, or its reservation is gone.
    fn started(&mut self, attempt: u32) {
        let try_ = &mut self.attempts[attempt as usize];
        try_.started = true;
        if try_.stage == Stage::Over {
            let call = try_.call;
            self.put_back(call, attempt);
        }
    }

    /// Nobody is there any more to take this attempt.
    fn refused(&mut self, attempt: u32) {
        let call = self.attempts[attempt as usize].call;
        if self.attempts[attempt as usize].stage != Stage::Over {
            self.attempts[attempt as usize].stage = Stage::Over;
        }
        self.attempts[attempt as usize].answered = true;
        self.attempts[attempt as usize].started = true;
        self.put_back(call, attempt);
    }

    /// A call that was not taken after all waits again.
    pub(super) fn put_back(&mut self, call: u32, attempt: u32) {
        let line = *self.ledger.line(call);
        if line.attempt == attempt && matches!(line.fate, Fate::Reserved | Fate::Waiting) {
            self.ledger.set(call, Fate::Waiting, None, self.now);
            self.queue.push(self.now + PLACE_AGAIN / 10, Event::Place(call));
        }
    }

    pub(super) fn offer_timed_out(&mut self, attempt: u32) {
        let Attempt { call, answered, .. } = self.attempts[attempt as usize];
        let line = *self.ledger.line(call);
        if !answered && line.attempt == attempt && !line.fate.is_final() {
            self.send(Message::End, attempt);
            self.ledger.set(call, Fate::Waiting, None, self.now);
            self.place(call);
        }
    }

    pub(super) fn assign_timed_out(&mut self, attempt: u32) {
        let Attempt { call, started, .. } = self.attempts[attempt as usize];
        let line = *self.ledger.line(call);
        if !started && line.attempt == attempt && !line.fate.is_final() {
            self.send(Message::Assign, attempt);
            self.queue.push(self.now + ASSIGN_TIMEOUT, Event::AssignTimeout(attempt));
        }
    }

    /// Worker: the caller is gone, or the offer was withdrawn.
    fn ended(&mut self, attempt: u32) {
        let Attempt { worker, stage, .. } = self.attempts[attempt as usize];
        let reason = match stage {
            Stage::Active => EndReason::CallerHangup,
            Stage::Reserved => EndReason::Withdrawn,
            Stage::Offered => {
                // Overtook its own offer: the answer to come is answered with another.
                return;
            }
            Stage::Declined | Stage::Over => return,
        };
        let draining = self.nodes[worker as usize].machine.drain().is_some();
        if draining && self.has(Bug::HangupLost) {
            return;
        }
        self.end(attempt, reason);
        if draining && self.has(Bug::FirstEndKillsOthers) {
            self.cut_calls(worker, EndReason::Disconnected);
        }
    }

    /// Worker: a call is over.
    pub(super) fn end(&mut self, attempt: u32, reason: EndReason) {
        let Attempt { worker, number, .. } = self.attempts[attempt as usize];
        if self.command(worker, Command::End { call: number, reason }).is_ok() {
            self.let_go(attempt);
        }
    }

    pub(super) fn let_go(&mut self, attempt: u32) {
        let try_ = &mut self.attempts[attempt as usize];
        try_.stage = Stage::Over;
        let worker = try_.worker as usize;
        self.nodes[worker].live = self.nodes[worker].live.saturating_sub(1);
        self.dispatcher.load[worker] = self.dispatcher.load[worker].saturating_sub(1);
    }

    fn lives(&self, attempt: u32) -> bool {
        let Attempt { worker, incarnation, stage, .. } = self.attempts[attempt as usize];
        let node = &self.nodes[worker as usize];
        stage == Stage::Active && node.incarnation == incarnation && node.state == State::Up
    }

    /// A handler fails.
    pub(super) fn fail(&mut self, attempt: u32) {
        if !self.lives(attempt) {
            return;
        }
        let Attempt { call, worker, .. } = self.attempts[attempt as usize];
        if self.ledger.line(call).fate == Fate::Active {
            self.ledger.set(call, Fate::Failed, Some(worker), self.now);
        }
        if !self.has(Bug::FailureUnrecorded) {
            self.end(attempt, EndReason::Failed);
        }
        self.settle(worker);
    }

    pub(super) fn progress(&mut self, attempt: u32) {
        if !self.lives(attempt) {
            return;
        }
        let Attempt { worker, number, .. } = self.attempts[attempt as usize];
        let _ = self.command(worker, Command::Progress { call: number });
        self.queue.push(self.now + PROGRESS, Event::Progress(attempt));
        self.settle(worker);
    }
}
