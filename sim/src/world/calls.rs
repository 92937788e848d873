//! The worker's side of a call: what arrives about it, and what callers and dispatcher see of that.

use openrtc_core::time::Span;
use openrtc_core::worker::Class;

use super::Context;
use super::dispatcher::put_back;
use super::network::Say;
use super::queue::{Event, OfAttempt};
use super::scene::Who;
use super::workers::Node;
use crate::id::AttemptIndex;
use crate::ledger::Fate;
use crate::oracle::Invariant;
use crate::plan::Kind;
use crate::process::{Answer, Assigned, Environment, Stage};

/// The class of calls that are watched for progress.
const WATCHED: Class = Class::new(0).expect("below the limit");
/// The class of calls that are not.
const UNWATCHED: Class = Class::new(1).expect("below the limit");

/// How often a watched call reports progress.
const PROGRESS: Span = Span::from_secs(5);

impl Node {
    /// A message arrives.
    pub(super) fn receive(&mut self, context: &mut Context<'_>, say: Say, offer: AttemptIndex) {
        self.catch_up(context);
        match say {
            Say::Offer => self.take_offer(context, offer),
            Say::Assign => self.take_assignment(context, offer),
            Say::End => drop(self.running(context).take_end(offer)),
            Say::Answer(_) | Say::Started(_) => {}
        }
        self.settle(context);
    }

    /// It answers. What a doomed process says is lost.
    fn reply(&self, context: &mut Context<'_>, say: Say, offer: AttemptIndex) {
        if self.process.is_doomed {
            context.network.count(offer);
        } else {
            context.send(say, offer);
        }
    }

    fn take_offer(&mut self, context: &mut Context<'_>, offer: AttemptIndex) {
        let call = context.network.attempt(offer).call;
        let kind = context.scene.plan.calls[call].kind;
        let class = if matches!(kind, Kind::Watched | Kind::Silent) { WATCHED } else { UNWATCHED };
        let answer = self.running(context).take_offer(offer, call.digest(), class);
        let (worker, Context { scene, books, .. }) = (self.host.worker, &mut *context);
        match answer {
            Answer::Reserved => {
                let line = books.ledger.line(call);
                if line.attempt == Some(offer) && line.fate == Fate::Waiting {
                    books.ledger.set(call, Fate::Reserved, Some(worker), scene.now);
                }
                scene.tell(Who::Worker(worker), || format!("says yes to call {call}"));
            }
            Answer::Declined(why) => scene.tell(Who::Worker(worker), || format!("declines call {call}: {why}")),
            Answer::Again { .. } => {}
        }
        self.reply(context, Say::Answer(answer.is_yes()), offer);
    }

    fn take_assignment(&mut self, context: &mut Context<'_>, offer: AttemptIndex) {
        let assigned = self.running(context).take_assignment(offer);
        match assigned {
            Assigned::Begins => self.begin(context, offer),
            Assigned::Refused => {
                let call = context.network.attempt(offer).call;
                let what = |name: &str| format!("{name} said yes to call {call} and then refused it");
                self.running(context).env.violated(Invariant::OfferConservation, what);
            }
            Assigned::Again | Assigned::Gone => {}
        }
        self.reply(context, Say::Started(assigned != Assigned::Gone), offer);
    }

    fn begin(&self, Context { scene, books, network }: &mut Context<'_>, offer: AttemptIndex) {
        let (worker, call) = (self.host.worker, network.attempt(offer).call);
        let line = *books.ledger.line(call);
        if line.fate == Fate::Active {
            let before = line.worker.map(|worker| scene.name(worker)).unwrap_or_default();
            let what = format!("call {call} runs on {before} and on {}", scene.name(worker));
            scene.violate(Invariant::NoMove, Some(worker), what);
        }
        if line.attempt == Some(offer) && !line.fate.is_final() {
            books.ledger.set(call, Fate::Active, Some(worker), scene.now);
        }
        let planned = scene.plan.calls[call];
        match planned.kind {
            Kind::Watched => scene.after(PROGRESS, Event::Attempt(offer, OfAttempt::Progress)),
            Kind::Failing => {
                let half = Span::from_micros(planned.lasts.as_micros() / 2);
                scene.after(half, Event::Attempt(offer, OfAttempt::Fail));
            }
            Kind::Plain | Kind::Silent | Kind::Phantom => {}
        }
        scene.tell(Who::Worker(worker), || format!("runs call {call}"));
    }

    /// A handler fails.
    pub(super) fn fail(&mut self, context: &mut Context<'_>, offer: AttemptIndex) {
        let call = context.network.attempt(offer).call;
        if self.process.stage(offer) != Stage::Active {
            return;
        }
        if context.books.ledger.line(call).fate == Fate::Active {
            context.books.ledger.set(call, Fate::Failed, Some(self.host.worker), context.scene.now);
        }
        self.catch_up(context);
        self.running(context).fail(offer);
        self.settle(context);
    }

    /// A watched call moves.
    pub(super) fn progress(&mut self, context: &mut Context<'_>, offer: AttemptIndex) {
        if self.process.stage(offer) != Stage::Active {
            return;
        }
        self.catch_up(context);
        self.running(context).progress(offer);
        context.scene.after(PROGRESS, Event::Attempt(offer, OfAttempt::Progress));
        self.settle(context);
    }

    /// A call that a force cuts ends within the grace.
    pub(super) fn end_forced(&mut self, context: &mut Context<'_>, offer: AttemptIndex) {
        if !self.process.stage(offer).is_held() {
            return;
        }
        self.catch_up(context);
        if self.running(context).end_forced(offer) {
            let call = context.network.attempt(offer).call;
            match context.books.ledger.line(call).fate {
                Fate::Active => context.books.ledger.set(call, Fate::Forced, None, context.scene.now),
                _ => put_back(context, offer),
            }
        }
        self.settle(context);
    }
}
