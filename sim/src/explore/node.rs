//! A worker of a small world: the one model of a process, what is on its way from it, and what of the world it touches.

use std::sync::Arc;

use openrtc_core::id::CallNo;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Availability, Class, DrainOrder, Limits, Why};

use super::state::{Caller, Context, FIRST, Fate, Letter, Message, Round, Say, Slot, State};
use crate::bug::Bug;
use crate::id::CallIndex;
use crate::oracle::Invariant;
use crate::process::{Assigned, Death, Ended, Environment, Life, Process, Promise, Promises, Running, Stage};

/// A class that is never flagged as stalled: silence has no part here.
const CLASS: Class = Class::new(1).expect("below the limit");

/// Clocks start here, so that there is time before.
const START: Instant = Instant::from_micros(1_000_000_000);

/// One offer of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) call: Caller,
    pub(super) round: Round,
}

/// What a process knows of its offers: a short list, from which what can no longer matter is taken out. Offers that are
/// over lie behind the others, in the order in which that was answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers(Vec<(Offer, Promise)>);

impl Promises for Offers {
    type Offer = Offer;

    fn get(&self, offer: Offer) -> Promise {
        self.0.iter().find(|(known, _)| *known == offer).map(|(_, promise)| *promise).unwrap_or_default()
    }

    fn set(&mut self, offer: Offer, promise: Promise) {
        match self.0.iter().position(|(known, _)| *known == offer) {
            Some(place) if promise.stage.is_held() => self.0[place].1 = promise,
            place => {
                place.map(|place| self.0.remove(place));
                self.0.push((offer, promise));
            }
        }
    }

    fn offer_of(&self, number: CallNo) -> Option<Offer> {
        self.0.iter().find(|(_, promise)| promise.number == number).map(|(offer, _)| *offer)
    }
}

impl Offers {
    pub(super) fn held(&self) -> impl Iterator<Item = (Offer, Promise)> {
        self.0.iter().copied().filter(|(_, promise)| promise.stage.is_held())
    }

    pub(super) fn answered(&self) -> impl Iterator<Item = (Offer, Promise)> {
        self.0.iter().copied().filter(|(_, promise)| !promise.stage.is_held())
    }

    /// Keeps the calls that are held, and of the others those that `again` speaks for.
    pub(super) fn forget(&mut self, again: impl Fn(Offer) -> bool) {
        self.0.retain(|(offer, promise)| promise.stage.is_held() || again(*offer));
    }
}

/// What the dispatcher hears of a worker as a whole. What it did not hear before the next news, it never hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum News {
    Open,
    Closed,
    Down,
}

/// What is on its way from a worker, and what the dispatcher has heard of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    pub(super) news: Option<News>,
    /// Whether the dispatcher thinks that it takes calls.
    pub(super) is_open: bool,
    pub(super) is_flushing: bool,
    /// Whether its calls were told to end.
    pub(super) is_cutting: bool,
}

impl Pending {
    /// The dispatcher hears the news.
    pub(super) fn hear(&mut self) -> Option<News> {
        let news = self.news.take();
        self.is_open = news == Some(News::Open);
        news
    }
}

/// A worker.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) process: Process<Offers>,
    pub(super) pending: Pending,
}

impl Node {
    pub(super) fn new(limits: Limits, bug: Option<Bug>) -> Self {
        let mut process = Process::absent(limits, bug);
        process.life = Life::Up;
        Self { process, pending: Pending::default() }
    }
}

/// What one worker's process can reach of a small world.
pub(super) struct Surroundings<'a> {
    worker: Letter,
    pending: &'a mut Pending,
    context: &'a mut Context,
}

impl Environment<Offers> for Surroundings<'_> {
    /// Time stands still but for time-outs, so it is when the machine saw it last.
    fn now(&self, process: &Process<Offers>) -> Instant {
        process.machine.now().max(START)
    }

    fn violated(&mut self, invariant: Invariant, what: impl FnOnce(&str) -> String) {
        self.context.violate(invariant, what(&format!("worker {}", self.worker)));
    }

    fn announced(&mut self, availability: Availability) {
        self.pending.news = Some(if availability == Availability::Open { News::Open } else { News::Closed });
    }

    fn lapsed(&mut self, offer: Offer) {
        self.context.tell(|| format!("worker {} waited long enough for call {}", self.worker, offer.call));
        self.context.send(Message::new(Say::Gone, self.worker, offer));
    }

    fn cancel_calls(&mut self, _process: &Process<Offers>) {
        self.pending.is_cutting = true;
    }

    fn begin_flush(&mut self) {
        self.pending.is_flushing = true;
    }

    fn cut(&mut self, offer: Offer) {
        let line = &mut self.context.calls[offer.call];
        if line.fate == Fate::Talking {
            line.fate = Fate::Lost;
            let what = format!("call {} was cut and nobody had forced it", offer.call);
            self.context.violate(Invariant::ZeroDrop, what);
        }
    }

    fn exits(&mut self, dropped: u64) {
        self.context.tell(|| format!("worker {} leaves and says that it dropped {dropped} calls", self.worker));
    }

    fn lost(&mut self, offer: Offer, stage: Stage, death: Death) {
        let line = &mut self.context.calls[offer.call];
        if stage != Stage::Active || line.fate != Fate::Talking || line.round != offer.round {
            return self.context.put_back(offer);
        }
        line.fate = match death {
            Death::Forced => Fate::Forced,
            Death::Killed => Fate::Killed,
            Death::Left => Fate::Lost,
        };
        if death == Death::Left {
            let what = format!("call {} was dropped and nobody had forced it", offer.call);
            self.context.violate(Invariant::ZeroDrop, what);
        }
    }

    fn died(&mut self, _process: &Process<Offers>, _death: Death) {
        self.pending.news = Some(News::Down);
    }
}

impl State {
    /// A worker's process in its surroundings.
    pub(super) fn running(&mut self, worker: Letter) -> Running<'_, Offers, Surroundings<'_>> {
        let Node { process, pending } = Arc::make_mut(&mut self.nodes[worker]);
        Running { process, env: Surroundings { worker, pending, context: &mut self.context } }
    }

    /// What a worker claimed is journaled and acted on, together with what is due at once.
    pub(super) fn settle(&mut self, worker: Letter) {
        let mut running = self.running(worker);
        loop {
            while running.act() {}
            match running.process.deadline() {
                Some((due, Why::Empty | Why::Leave)) if running.process.is_up() && running.wake(due).is_ok() => {}
                _ => return,
            }
        }
    }

    /// A worker: an offer.
    pub(super) fn take_offer(&mut self, message: Message) {
        let Message { worker, call, .. } = message;
        let id = CallIndex::new(call.get().into()).digest();
        let yes = self.running(worker).take_offer(message.offer(), id, CLASS).is_yes();
        self.settle(worker);
        let word = if yes { "yes" } else { "no" };
        if self.nodes[worker].process.is_doomed {
            return self.context.tell(|| format!("worker {worker} notes that it says {word} to call {call}, and dies"));
        }
        self.context.tell(|| format!("worker {worker} says {word} to call {call}"));
        self.context.send(Message::new(Say::Answer(yes), worker, message.offer()));
    }

    /// A worker: the call is its.
    pub(super) fn take_assignment(&mut self, message: Message) {
        let Message { worker, call, .. } = message;
        match self.running(worker).take_assignment(message.offer()) {
            Assigned::Begins => self.begin(message),
            Assigned::Again => self.context.tell(|| format!("worker {worker} has call {call} already")),
            Assigned::Refused => {
                let what = format!("worker {worker} said yes to call {call} and then refused it");
                self.context.tell(|| what.clone());
                self.context.violate(Invariant::OfferConservation, what);
            }
            Assigned::Gone => {
                self.context.tell(|| format!("worker {worker} no longer keeps a place for call {call}"));
                self.context.send(Message::new(Say::Gone, worker, message.offer()));
            }
        }
        self.settle(worker);
    }

    fn begin(&mut self, message: Message) {
        let Message { worker, call, round, .. } = message;
        let line = &mut self.context.calls[call];
        let moved = line.fate == Fate::Talking;
        if line.round == round && line.fate == Fate::Placing {
            line.fate = Fate::Talking;
        }
        self.context.tell(|| format!("call {call} runs on worker {worker}"));
        if moved {
            self.context.violate(Invariant::NoMove, format!("call {call} runs on two workers"));
        }
    }

    /// A worker: the caller is gone, or the offer is withdrawn.
    pub(super) fn take_end(&mut self, message: Message) {
        let Message { worker, call, .. } = message;
        let ended = self.running(worker).take_end(message.offer());
        self.context.tell(|| match ended {
            Ended::Over => format!("worker {worker} ends call {call}"),
            Ended::Missed => format!("worker {worker} misses that call {call} is over"),
            Ended::Unknown => format!("worker {worker} has nothing of call {call} to end"),
        });
        self.settle(worker);
    }

    /// A handler fails.
    pub(super) fn fail(&mut self, call: Caller) {
        self.context.tell(|| format!("the handler of call {call} fails"));
        let line = &mut self.context.calls[call];
        line.fate = Fate::Failed;
        let (worker, offer) = (line.worker, Offer { call, round: line.round });
        if self.nodes[worker].process.stage(offer).is_held() {
            self.running(worker).fail(offer);
            self.settle(worker);
        }
    }

    /// The first worker gets SIGTERM.
    pub(super) fn signal(&mut self, order: DrainOrder) {
        self.context.tell(|| format!("worker {FIRST} gets SIGTERM"));
        self.running(FIRST).sigterm(order);
        self.settle(FIRST);
    }

    pub(super) fn wake(&mut self, worker: Letter) {
        let Some((due, why)) = self.nodes[worker].process.deadline() else { return };
        let what = match why {
            Why::Overdue | Why::Force => "the drain's deadline is reached",
            Why::GraceOver => "the grace is over",
            Why::Lapse(_) => "the time to assign a call is over",
            Why::Empty | Why::Leave | Why::Stall(_) => "a time-out is reached",
        };
        self.context.tell(|| format!("on worker {worker} {what}"));
        let _ = self.running(worker).wake(due);
        self.settle(worker);
    }

    /// The last record is written: a process that must go, goes.
    pub(super) fn flush(&mut self, worker: Letter) {
        let node = self.node(worker);
        node.pending.is_flushing = false;
        self.context.tell(|| format!("worker {worker} has written its last record"));
        self.running(worker).flushed();
        self.settle(worker);
    }

    /// A call that a force cuts ends within the grace.
    pub(super) fn end_forced(&mut self, worker: Letter, slot: Slot) {
        let offer = self.nodes[worker].process.held().nth(slot.place()).expect("a call that is held");
        self.context.tell(|| format!("call {} is cut on worker {worker}", offer.call));
        self.running(worker).end_forced(offer);
        let line = &mut self.context.calls[offer.call];
        match line.fate {
            Fate::Talking if line.round == offer.round => line.fate = Fate::Forced,
            _ => self.context.put_back(offer),
        }
        self.settle(worker);
    }

    /// The process dies.
    pub(super) fn kill(&mut self, worker: Letter) {
        if self.nodes[worker].process.is_up() {
            self.running(worker).die(Death::Killed);
        }
    }
}
