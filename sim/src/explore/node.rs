//! A worker's process in a small world: the production machine behind a shell, an adapter and its planted bugs.

use openrtc_core::id::{CallId, CallNo};
use openrtc_core::machine::Machine;
use openrtc_core::word::Phase;
use openrtc_core::worker::{
    Availability, Class, Command, DrainOrder, Effect, EndReason, Entry, Event, OnDeadline, Outcome, Rejection, Why,
};

use super::model::{letter, narrow};
use super::state::{Answered, Fate, Message, News, Promise, Say, State};
use crate::bug::Bug;
use crate::oracle::Invariant;

/// A class that is never flagged as stalled: silence has no part here.
const CLASS: Class = Class(1);

impl State {
    /// A command to a worker: judged, journaled, folded, acted on, together with what is due at once.
    pub(super) fn command(&mut self, worker: usize, command: Command) -> Result<Entry, Rejection> {
        let entry = self.claim(worker, command)?;
        self.settle(worker, entry);
        while let Some((_, Why::Empty)) = self.nodes[worker].machine.deadline().filter(|_| self.nodes[worker].is_up) {
            match self.claim(worker, Command::Wake) {
                Ok(entry) => self.settle(worker, entry),
                Err(_) => break,
            }
        }
        Ok(entry)
    }

    fn claim(&mut self, worker: usize, command: Command) -> Result<Entry, Rejection> {
        let loses = self.has(Bug::EffectsFirst);
        let node = self.node(worker);
        let machine = &mut node.machine;
        let due = machine.deadline().filter(|_| command == Command::Wake);
        let at = due.map_or_else(|| machine.now(), |(due, _)| due.max(machine.now()));
        let entry = machine.decide(at, command)?;
        let fits = machine.fits(&entry);
        if node.is_doomed && loses {
            node.record = Some(Box::new(machine.clone()));
        }
        machine.apply(&entry);
        if let Err(misfit) = fits {
            self.violate(Invariant::AuditFaithful, format!("an entry cannot follow: {misfit}"));
        }
        Ok(entry)
    }

    /// Journals an entry and performs its effects.
    fn settle(&mut self, worker: usize, entry: Entry) {
        let lapsed = match entry.event {
            Event::ReservationLapsed { call } => self.let_go(worker, call),
            _ => None,
        };
        if self.nodes[worker].is_doomed {
            return;
        }
        let mut effects = Vec::new();
        self.nodes[worker].machine.react(&entry, &mut |effect| effects.push(effect));
        let zero_means_now = self.has(Bug::ZeroMeansNow)
            && matches!(entry.event, Event::DrainBegun { deadline: None, on_deadline: OnDeadline::Wait, .. });
        if zero_means_now {
            self.cut_calls(worker);
        }
        for effect in effects {
            self.perform(worker, effect, lapsed);
        }
    }

    fn perform(&mut self, worker: usize, effect: Effect, lapsed: Option<Promise>) {
        let unflushed = self.has(Bug::ExitsUnflushed);
        let node = self.node(worker);
        match effect {
            Effect::Announce(availability) => self.announce(worker, availability),
            Effect::Lapse(_) => {
                if let Some(promise) = lapsed {
                    self.send(message(Say::Gone, narrow(worker), promise));
                }
            }
            Effect::CancelCalls { .. } => node.is_cutting = true,
            Effect::Finish if unflushed => drop(self.command(worker, Command::Close)),
            Effect::Finish => node.is_flushing = true,
            Effect::Stop if node.machine.phase() == Phase::Drained => node.is_flushing = true,
            Effect::Exit(outcome) => self.exit(worker, outcome),
            Effect::Alert(_) | Effect::Stop => {}
        }
    }

    fn announce(&mut self, worker: usize, availability: Availability) {
        let silent = self.has(Bug::SilentDrain) && availability == Availability::Closed;
        let stuck = self.has(Bug::CancelStaysClosed) && self.nodes[worker].announced == Availability::Closed;
        if !silent && !stuck {
            let node = self.node(worker);
            node.announced = availability;
            node.news = Some(if availability == Availability::Open { News::Open } else { News::Closed });
        }
    }

    /// A worker: an offer.
    pub(super) fn take_offer(&mut self, message: Message) {
        let worker = usize::from(message.worker);
        let (name, call) = (letter(message.worker), message.call);
        let known = self.nodes[worker].promise(message).is_some();
        let before = self.nodes[worker].answer_to(message);
        let mut yes = known || before.unwrap_or(false);
        if before.is_none() && (!known || self.has(Bug::DoubleReserve)) {
            let id = CallId::new(&format!("c{call}")).expect("a letter and a digit make a name");
            let draining = self.nodes[worker].machine.drain().is_some();
            match self.command(worker, Command::Reserve { id, class: CLASS }) {
                Ok(_) if known => {}
                Ok(entry) => {
                    self.hold(message, CallNo::new(entry.seq.get()));
                    yes = true;
                }
                Err(_) => {
                    let lies =
                        (self.has(Bug::YesWhileDraining) && draining) || (self.has(Bug::OverCapacity) && !draining);
                    if lies {
                        self.hold(message, CallNo::default());
                        yes = true;
                    } else {
                        let Message { call, offer, .. } = message;
                        self.node(worker).answered.push(Answered { call, offer, yes: false });
                    }
                }
            }
        }
        if self.nodes[worker].is_doomed {
            return self.tell(|| format!("worker {name} notes that it says yes to call {call}, and dies"));
        }
        let word = if yes { "yes" } else { "no" };
        self.tell(|| format!("worker {name} says {word} to call {call}"));
        self.send(Message { say: Say::Answer(yes), is_late: false, ..message });
    }

    fn hold(&mut self, message: Message, number: CallNo) {
        let Message { worker, call, offer, .. } = message;
        self.node(usize::from(worker)).promises.push(Promise { call, offer, number, active: false });
    }

    /// A worker: the call is its.
    pub(super) fn take_assignment(&mut self, message: Message) {
        let worker = usize::from(message.worker);
        let (name, call) = (letter(message.worker), message.call);
        let Some(at) = self.nodes[worker].promise(message) else {
            self.tell(|| format!("worker {name} no longer keeps a place for call {call}"));
            return self.send(Message { say: Say::Gone, is_late: false, ..message });
        };
        let promise = self.nodes[worker].promises[at];
        if promise.active {
            return self.tell(|| format!("worker {name} has call {call} already"));
        }
        let refuses = self.has(Bug::RefusesReserved) && self.nodes[worker].machine.drain().is_some();
        if refuses || self.command(worker, Command::Assign { call: promise.number }).is_err() {
            let what = format!("worker {name} said yes to call {call} and then refused it");
            self.tell(|| what.clone());
            return self.violate(Invariant::OfferConservation, what);
        }
        if let Some(promise) = self.node(worker).promises.get_mut(at) {
            promise.active = true;
        }
        let line = &mut self.calls[usize::from(call)];
        let moved = line.fate == Fate::Talking;
        if line.offer == message.offer && line.fate == Fate::Placing {
            line.fate = Fate::Talking;
        }
        self.tell(|| format!("call {call} runs on worker {name}"));
        if moved {
            self.violate(Invariant::NoMove, format!("call {call} runs on two workers"));
        }
    }

    /// A worker: the caller is gone, or the offer is withdrawn.
    pub(super) fn take_end(&mut self, message: Message) {
        let worker = usize::from(message.worker);
        let (name, call) = (letter(message.worker), message.call);
        let Some(at) = self.nodes[worker].promise(message) else {
            return self.tell(|| format!("worker {name} has nothing of call {call} to end"));
        };
        let draining = self.nodes[worker].machine.drain().is_some();
        if draining && self.has(Bug::HangupLost) {
            return self.tell(|| format!("worker {name} misses that call {call} is over"));
        }
        self.tell(|| format!("worker {name} ends call {call}"));
        let reason =
            if self.nodes[worker].promises[at].active { EndReason::CallerHangup } else { EndReason::Withdrawn };
        self.end(worker, at, reason);
        if draining && self.has(Bug::FirstEndKillsOthers) {
            self.cut_calls(worker);
        }
    }

    /// A worker: a call is over. It is let go before what follows is acted on.
    fn end(&mut self, worker: usize, at: usize, reason: EndReason) {
        let promise = self.node(worker).promises.remove(at);
        if self.command(worker, Command::End { call: promise.number, reason }).is_ok() {
            self.node(worker).remember(promise);
        } else {
            self.node(worker).promises.insert(at, promise);
        }
    }

    fn let_go(&mut self, worker: usize, number: CallNo) -> Option<Promise> {
        let promises = &mut self.node(worker).promises;
        let at = promises.iter().position(|promise| promise.number == number)?;
        let promise = promises.remove(at);
        self.node(worker).remember(promise);
        self.tell(|| format!("worker {} waited long enough for call {}", letter(narrow(worker)), promise.call));
        Some(promise)
    }

    /// A handler fails.
    pub(super) fn fail(&mut self, call: u8) {
        self.tell(|| format!("the handler of call {call} fails"));
        let line = &mut self.calls[usize::from(call)];
        line.fate = Fate::Failed;
        let (worker, offer) = (line.worker, line.offer);
        let at =
            self.nodes[usize::from(worker)].promise(Message { call, worker, offer, say: Say::End, is_late: false });
        if let Some(at) = at.filter(|_| !self.has(Bug::FailureUnrecorded)) {
            self.end(worker.into(), at, EndReason::Failed);
        }
    }

    /// The first worker gets SIGTERM.
    pub(super) fn signal(&mut self, order: DrainOrder) {
        self.tell(|| "worker A gets SIGTERM".to_owned());
        self.node(0).signals += 1;
        if self.nodes[0].signals > 1 && self.has(Bug::SecondSignalKills) {
            return self.die(0, Fate::Lost);
        }
        if self.has(Bug::SignalSwallowed) && !self.nodes[0].promises.is_empty() {
            return;
        }
        if self.has(Bug::SignalKillsCalls) {
            self.cut_calls(0);
        }
        let _ = self.command(0, Command::BeginDrain(order));
    }

    pub(super) fn wake(&mut self, worker: usize) {
        let why = self.due(worker);
        self.tell(|| {
            let what = match why {
                Some(Why::Overdue) => "the drain's deadline is reached",
                Some(Why::GraceOver) => "the time to say goodbye is over",
                Some(Why::Lapse(_)) => "the time to assign a call is over",
                Some(Why::Empty | Why::Stall(_)) | None => "a time-out is reached",
            };
            format!("on worker {} {what}", letter(narrow(worker)))
        });
        let _ = self.command(worker, Command::Wake);
    }

    /// The last record is written: a process that must go, goes.
    pub(super) fn flush(&mut self, worker: usize) {
        let node = self.node(worker);
        node.is_flushing = false;
        if node.machine.phase() != Phase::Drained {
            return;
        }
        node.is_flushed = true;
        let leaves = node.machine.drain().is_some_and(|drain| drain.sealed);
        self.tell(|| format!("worker {} has written its last record", letter(narrow(worker))));
        if leaves && !self.has(Bug::NeverExits) {
            let _ = self.command(worker, Command::Close);
        }
    }

    /// A call that a force cuts says goodbye.
    pub(super) fn goodbye(&mut self, worker: usize, at: usize) {
        let promise = self.nodes[worker].promises[at];
        self.tell(|| format!("call {} is cut on worker {}", promise.call, letter(narrow(worker))));
        let reason = match promise.active {
            true if self.has(Bug::ForcedIsHangup) => EndReason::CallerHangup,
            true => EndReason::DrainForced,
            false => EndReason::Withdrawn,
        };
        self.node(worker).cut += u8::from(promise.active);
        let line = &mut self.calls[usize::from(promise.call)];
        match line.fate {
            Fate::Talking if line.offer == promise.offer => line.fate = Fate::Forced,
            _ => self.put_back(promise.call, promise.offer),
        }
        self.end(worker, at, reason);
    }

    /// The process ends by itself.
    fn exit(&mut self, worker: usize, outcome: Outcome) {
        let node = &self.nodes[worker];
        let forced = node.machine.drain().is_some_and(|drain| drain.forced.is_some());
        let truth = u64::from(node.cut) + node.promises.len() as u64;
        let told = match outcome {
            Outcome::Clean | Outcome::Rejected => 0,
            Outcome::Forced { .. } if self.has(Bug::ForcedIsClean) => 0,
            Outcome::Forced { dropped } => dropped,
        };
        let (unflushed, name) = (outcome == Outcome::Clean && !node.is_flushed, letter(narrow(worker)));
        self.tell(|| format!("worker {name} leaves and says that it dropped {told} calls"));
        if truth != told {
            self.violate(Invariant::AuditFaithful, format!("worker {name} dropped {truth} calls and said {told}"));
        }
        if unflushed {
            self.violate(Invariant::AuditFaithful, format!("worker {name} left before its records were written"));
        }
        self.die(worker, if forced { Fate::Forced } else { Fate::Lost });
    }

    /// A doomed process dies with what it noted and did not do.
    pub(super) fn crash(&mut self, worker: usize) {
        if self.nodes[worker].is_up {
            self.die(worker, Fate::Killed);
        }
    }

    /// The process is over; what it held goes with it.
    pub(super) fn die(&mut self, worker: usize, fate: Fate) {
        let node = self.node(worker);
        node.is_up = false;
        let journal = node.record.as_deref().unwrap_or(&node.machine);
        let (evidence, held) = (journal.word().in_flight() as usize, core::mem::take(&mut node.promises));
        let name = narrow(worker);
        if evidence != held.len() {
            let what =
                format!("the journal of worker {} shows {evidence} open calls, {} were", letter(name), held.len());
            self.violate(Invariant::AuditFaithful, what);
        }
        for promise in held {
            let line = &mut self.calls[usize::from(promise.call)];
            if promise.active && line.fate == Fate::Talking && line.offer == promise.offer {
                line.fate = fate;
                if fate == Fate::Lost {
                    let what = format!("call {} was dropped and nobody had forced it", promise.call);
                    self.violate(Invariant::ZeroDrop, what);
                }
            } else {
                self.put_back(promise.call, promise.offer);
            }
        }
        self.node(worker).answered.clear();
        self.node(worker).news = Some(News::Down);
    }

    /// Ends every running call of a worker, as some planted bugs do.
    fn cut_calls(&mut self, worker: usize) {
        while let Some(at) = self.nodes[worker].promises.iter().position(|promise| promise.active) {
            let call = self.nodes[worker].promises[at].call;
            if self.calls[usize::from(call)].fate == Fate::Talking {
                self.calls[usize::from(call)].fate = Fate::Lost;
                let what = format!("call {call} was cut and nobody had forced it");
                self.violate(Invariant::ZeroDrop, what);
            }
            self.node(worker).promises.remove(at);
        }
    }
}

const fn message(say: Say, worker: u8, promise: Promise) -> Message {
    Message { call: promise.call, worker, offer: promise.offer, say, is_late: false }
}
