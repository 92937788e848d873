//! The world as a worker's process sees it: whatever leaves the process goes through here.

use openrtc_core::codec;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{Availability, Command, Entry, Event as Became, Rejection};

use super::Context;
use super::dispatcher::put_back;
use super::network::Say;
use super::queue::{Event, OfAttempt, OfRun};
use super::scene::Who;
use super::workers::{Host, Offers};
use crate::id::AttemptIndex;
use crate::ledger::Fate;
use crate::oracle::Invariant;
use crate::process::{Death, Environment, Process, Stage};

/// How long after a death the platform notices it.
const GONE_AFTER: Span = Span::from_millis(500);
/// How long after a death the dispatcher notices it.
const CUT_OFF_AFTER: Span = Span::from_millis(200);
/// How long a call that is told to end takes at most.
const GRACE_USED: Span = Span::from_secs(3);

/// A worker's host, and the context of its world.
pub(super) struct Surroundings<'a, 'p> {
    pub(super) host: &'a mut Host,
    pub(super) context: &'a mut Context<'p>,
}

impl Surroundings<'_, '_> {
    pub(super) fn violate(&mut self, invariant: Invariant, what: String) {
        self.context.scene.violate(invariant, Some(self.host.worker), what);
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        self.context.scene.tell(Who::Worker(self.host.worker), what);
    }

    pub(super) fn name(&self) -> String {
        self.context.scene.name(self.host.worker)
    }
}

impl Environment<Offers> for Surroundings<'_, '_> {
    fn now(&self, _process: &Process<Offers>) -> Instant {
        self.host.clock.shows(self.context.scene.now)
    }

    fn violated(&mut self, invariant: Invariant, what: impl FnOnce(&str) -> String) {
        let what = what(&self.name());
        self.violate(invariant, what);
    }

    /// Level 1: the runtime's gate must come to what the machine came to.
    fn judged(
        &mut self,
        at: Instant,
        command: Command,
        offer: Option<AttemptIndex>,
        decided: &Result<Entry, Rejection>,
    ) {
        let Some(shell) = &self.host.shell else { return };
        let id = offer.map(|offer| self.context.network.attempt(offer).call.id());
        let differs = shell.differs(at, command, id.as_ref(), decided);
        if let Some(what) = differs {
            self.violate(Invariant::LevelsAgree, what);
        }
    }

    fn journaled(&mut self, entry: &Entry) {
        self.context.books.chain(self.host.worker.get().into(), |bytes| codec::encode(entry, bytes));
    }

    fn changed(&mut self, process: &Process<Offers>, entry: &Entry) {
        match entry.event {
            Became::DrainBegun { .. } => self.host.drain_begun = Some(self.context.scene.now),
            Became::DrainCancelled { .. } => self.host.drain_begun = None,
            _ => {}
        }
        self.tell(|| entry.to_string());
        self.report(process);
    }

    fn announced(&mut self, _availability: Availability) {
        let Host { worker, incarnation, .. } = *self.host;
        let Context { scene, books, network } = &mut *self.context;
        let at = network.arrives_at(scene, worker, u64::from(worker.get()) << 40 ^ books.entries);
        scene.at(at, Event::Run(worker, incarnation, OfRun::Announced));
    }

    fn lapsed(&mut self, offer: AttemptIndex) {
        let scene = &mut self.context.scene;
        let latency = scene.latency(offer.get().into());
        scene.after(latency, Event::Message(Say::Started(false), offer));
    }

    fn released(&mut self, _offer: AttemptIndex) {
        self.context.books.unload(self.host.worker);
    }

    fn cancel_calls(&mut self, process: &Process<Offers>) {
        let scene = &mut self.context.scene;
        for offer in process.held() {
            let wait = scene.draw(offer.get().into(), GRACE_USED);
            scene.after(wait, Event::Attempt(offer, OfAttempt::EndForced));
        }
    }

    fn begin_flush(&mut self) {
        let Host { flush, worker, incarnation, .. } = *self.host;
        self.context.scene.after(flush, Event::Run(worker, incarnation, OfRun::Flushed));
    }

    fn cut(&mut self, offer: AttemptIndex) {
        let Context { scene, books, network } = &mut *self.context;
        let call = network.attempt(offer).call;
        if books.ledger.line(call).fate == Fate::Active {
            books.ledger.set(call, Fate::Lost, None, scene.now);
            let what = format!("call {call} was cut on {} and nobody had forced it", self.name());
            self.violate(Invariant::ZeroDrop, what);
        }
    }

    fn lost(&mut self, offer: AttemptIndex, stage: Stage, death: Death) {
        let Context { scene, books, network } = &mut *self.context;
        let call = network.attempt(offer).call;
        let line = books.ledger.line(call);
        if line.attempt != Some(offer) || line.fate != Fate::Active || stage != Stage::Active {
            return put_back(self.context, offer);
        }
        let fate = match death {
            Death::Forced => Fate::Forced,
            Death::Killed => Fate::Killed,
            Death::Left => Fate::Lost,
        };
        books.ledger.set(call, fate, None, scene.now);
        if fate == Fate::Lost {
            let what = format!("call {call} was dropped by {} and nobody had forced it", self.name());
            self.violate(Invariant::ZeroDrop, what);
        }
    }

    fn loses_journal_end(&mut self, death: Death) -> bool {
        let torn = self.host.torn && death == Death::Killed;
        if torn {
            let (scene, worker) = (&mut self.context.scene, self.host.worker);
            let plan = scene.plan;
            scene.doubt(|| {
                let name = plan.worker_name(worker);
                format!("{name} died and the end of its journal with it: what it held is not on record")
            });
        }
        torn
    }

    fn died(&mut self, process: &Process<Offers>, death: Death) {
        let Host { worker, incarnation, .. } = *self.host;
        let scene = &mut self.context.scene;
        self.host.shell = None;
        if let Some((_, end)) = self.host.runs.last_mut() {
            *end = Some(scene.now);
        }
        scene.after(GONE_AFTER, Event::Run(worker, incarnation, OfRun::Gone));
        scene.after(CUT_OFF_AFTER, Event::Run(worker, incarnation, OfRun::Announced));
        let how = if death == Death::Killed { "is killed" } else { "ends" };
        let live = process.live;
        self.tell(|| format!("the process {how} with {live} calls"));
    }
}
