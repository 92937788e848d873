//! The dispatcher: which workers take calls, and which version gets what share. Its side of a call's set-up is that of
//! `LiveKit`'s agent protocol, with its time-outs.

use openrtc_core::id::Epoch;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::Availability;

use super::Context;
use super::network::{Attempt, Say};
use super::queue::{Event, OfAttempt};
use super::scene::Scene;
use super::workers::Node;
use crate::bug::Bug;
use crate::choice::mix;
use crate::id::{AttemptIndex, CallIndex, Colour, WorkerIndex};
use crate::ledger::Fate;
use crate::oracle::Invariant;
use crate::plan::Plan;

/// How long the dispatcher waits for an answer.
const OFFER_TIMEOUT: Span = Span::from_secs(5);
/// How long it waits to hear that a call runs before it says again whose it is.
const ASSIGN_TIMEOUT: Span = Span::from_secs(3);
/// How long it waits before it places a call again that was not taken.
const PLACE_AGAIN: Span = Span::from_millis(50);

/// What the dispatcher knows of the workers and of its attempts to place calls.
#[derive(Debug)]
pub(super) struct Dispatcher {
    weights: [u8; 2],
    /// The latest term it heard of.
    term: Epoch,
    open: [Vec<WorkerIndex>; 2],
    /// Where each worker stands among those that are open.
    place_of: Vec<Option<usize>>,
    /// The loads it goes by: those of its last look. Empty if it always knows them.
    seen: Vec<u32>,
    look_every: Span,
    look_at: Instant,
    tries: Vec<Try>,
    /// Whether anything can make a message miss its time-out; if not, no time-out is armed.
    times_out: bool,
}

/// What it has heard of an attempt, and said.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "what was said and heard, each by itself")]
struct Try {
    answered: bool,
    /// No answer came in time; one that comes now is too late.
    withdrawn: bool,
    assigned: bool,
    started: bool,
}

impl Dispatcher {
    pub(super) fn new(plan: &Plan) -> Self {
        let workers = plan.every_worker().count();
        Self {
            weights: [0; 2],
            term: Epoch::default(),
            open: [Vec::new(), Vec::new()],
            place_of: vec![None; workers],
            seen: if plan.loads == Span::ZERO { Vec::new() } else { vec![0; workers] },
            look_every: plan.loads,
            look_at: Instant::EPOCH,
            tries: Vec::with_capacity(plan.calls.len()),
            times_out: !plan.tampers.is_empty() || plan.happenings.iter().any(|happening| happening.deed.is_fault()),
        }
    }

    pub(super) fn weight(&self, colour: Colour) -> u8 {
        self.weights[colour]
    }

    /// A share of new calls, unless somebody of a later term has said how they are shared.
    pub(super) fn route(&mut self, colour: Colour, weight: u8, term: Epoch) {
        if term >= self.term {
            self.term = term;
            self.weights[colour] = weight;
        }
    }

    /// The news of a worker: whether it takes calls. The last word that a connection carried counts, for announcements
    /// of one connection keep their order.
    pub(super) fn hear(&mut self, scene: &mut Scene<'_>, node: &Node) {
        let (worker, colour) = (node.host.worker, node.host.colour);
        let open = node.process.is_up() && node.process.announced == Availability::Open;
        if open && !node.host.uplink.has_joined() {
            let what = format!("{} is offered calls and never joined", scene.name(worker));
            scene.violate(Invariant::KeepOut, Some(worker), what);
        }
        let list = &mut self.open[colour];
        match (self.place_of[worker], open) {
            (None, true) => {
                self.place_of[worker] = Some(list.len());
                list.push(worker);
            }
            (Some(place), false) => {
                list.swap_remove(place);
                if let Some(moved) = list.get(place) {
                    self.place_of[*moved] = Some(place);
                }
                self.place_of[worker] = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Looks for a worker for a call.
    pub(super) fn pick(&mut self, Context { scene, books, .. }: &Context<'_>, call: CallIndex) -> Option<WorkerIndex> {
        let tries = books.ledger.line(call).attempt.map_or(0, |attempt| u64::from(attempt.get()) + 1);
        let what = mix((u64::from(call.get()) << 32) ^ tries ^ (scene.now.as_micros() << 1));
        self.pick_by(mix(scene.plan.seed ^ what), scene.now, &books.load)
    }

    /// A version by weight, then the less loaded of two of its workers; the other version if this one has nobody.
    fn pick_by(&mut self, draw: u64, now: Instant, load: &Vec<u32>) -> Option<WorkerIndex> {
        let looks = !self.seen.is_empty();
        if looks && now >= self.look_at {
            self.seen.clone_from(load);
            self.look_at = now + self.look_every;
        }
        let loads = if looks { &self.seen } else { load };
        let is_green = draw % 100 < u64::from(self.weights[Colour::Green]);
        let first = if is_green { Colour::Green } else { Colour::Blue };
        [first, first.other()].into_iter().find_map(|colour| {
            let list = &self.open[colour];
            if list.is_empty() || self.weights[colour] == 0 {
                return None;
            }
            let count = list.len() as u64;
            let one = list[usize::try_from((draw >> 8) % count).unwrap_or(0)];
            let two = list[usize::try_from((draw >> 36) % count).unwrap_or(0)];
            Some(if loads[two] < loads[one] { two } else { one })
        })
    }

    /// Offers a call to a run of a worker.
    pub(super) fn offer(&mut self, context: &mut Context<'_>, call: CallIndex, node: &Node) {
        let worker = node.host.worker;
        let attempt = context.network.open(call, worker, node.host.incarnation);
        self.tries.push(Try::default());
        context.books.load[worker] += 1;
        context.books.ledger.attempt(call, attempt);
        context.send(Say::Offer, attempt);
        if self.times_out {
            context.scene.after(OFFER_TIMEOUT, Event::Attempt(attempt, OfAttempt::OfferTimeout));
        }
    }

    /// An answer.
    pub(super) fn answered(&mut self, context: &mut Context<'_>, attempt: AttemptIndex, yes: bool) {
        let Attempt { call, worker, .. } = context.network.attempt(attempt);
        let try_ = &mut self.tries[attempt];
        try_.answered = true;
        let ours = !try_.withdrawn && is_ours(context, call, attempt);
        if !yes {
            if ours || try_.withdrawn {
                context.books.unload(worker);
            }
            if ours {
                context.scene.after(PLACE_AGAIN, Event::Place(call));
            }
        } else if !ours {
            context.send(Say::End, attempt);
        } else if !try_.assigned {
            try_.assigned = true;
            context.send(Say::Assign, attempt);
            if self.times_out {
                context.scene.after(ASSIGN_TIMEOUT, Event::Attempt(attempt, OfAttempt::AssignTimeout));
            }
        }
    }

    /// The call runs, or its reservation is gone.
    pub(super) fn started(&mut self, context: &mut Context<'_>, attempt: AttemptIndex, runs: bool) {
        self.tries[attempt].started = true;
        if !runs {
            put_back(context, attempt);
        }
    }

    /// Nobody is there any more to take this attempt.
    pub(super) fn refused(&mut self, context: &mut Context<'_>, attempt: AttemptIndex) {
        let try_ = &mut self.tries[attempt];
        (try_.answered, try_.started) = (true, true);
        put_back(context, attempt);
    }

    /// No answer came in time: the offer is withdrawn. Returns whether the call must be placed again.
    pub(super) fn offer_timed_out(&mut self, context: &mut Context<'_>, attempt: AttemptIndex) -> bool {
        let call = context.network.attempt(attempt).call;
        let waits = !self.tries[attempt].answered && is_ours(context, call, attempt);
        if waits {
            self.tries[attempt].withdrawn = true;
            context.send(Say::End, attempt);
            context.books.ledger.set(call, Fate::Waiting, None, context.scene.now);
        }
        waits
    }

    /// Nothing was heard of an assignment in time: it is said again. Returns whether the call is to go to another
    /// worker, as a planted bug has it.
    pub(super) fn assign_timed_out(&self, context: &mut Context<'_>, attempt: AttemptIndex) -> bool {
        let call = context.network.attempt(attempt).call;
        if self.tries[attempt].started || !is_ours(context, call, attempt) {
            return false;
        }
        let elsewhere = context.scene.has(Bug::AssignsElsewhere);
        if !elsewhere {
            context.send(Say::Assign, attempt);
            context.scene.after(ASSIGN_TIMEOUT, Event::Attempt(attempt, OfAttempt::AssignTimeout));
        }
        elsewhere
    }
}

/// Whether an attempt is the one that counts of a call that is not over.
fn is_ours(context: &Context<'_>, call: CallIndex, attempt: AttemptIndex) -> bool {
    let line = context.books.ledger.line(call);
    line.attempt == Some(attempt) && !line.fate.is_final()
}

/// A call that was not taken after all waits again.
pub(super) fn put_back(Context { scene, books, network }: &mut Context<'_>, attempt: AttemptIndex) {
    let call = network.attempt(attempt).call;
    let line = books.ledger.line(call);
    if line.attempt == Some(attempt) && matches!(line.fate, Fate::Reserved | Fate::Waiting) {
        books.ledger.set(call, Fate::Waiting, None, scene.now);
        scene.after(PLACE_AGAIN, Event::Place(call));
    }
}
