//! What comes due: each event finds the subject that it is about.

use openrtc_core::fleet::GatedStep;
use openrtc_core::id::Incarnation;
use openrtc_core::time::Span;

use super::network::{Mail, MailIndex, Say};
use super::queue::{Event, OfAttempt, OfRun};
use super::{Life, World, callers, platform};
use crate::bug::Bug;
use crate::id::{AttemptIndex, CallIndex, WorkerIndex};
use crate::ledger::Fate;
use crate::process::Death;

/// How often it is looked whether the run is over.
const LOOK_EVERY: Span = Span::from_secs(1);

impl World<'_> {
    pub(super) fn handle(&mut self, event: Event) {
        let (context, workers) = (&mut self.context, &mut self.workers);
        match event {
            Event::Message(say, attempt) => self.receive(say, attempt),
            Event::Attempt(attempt, what) => self.attempt_due(attempt, what),
            Event::Run(worker, incarnation, what) => self.run_due(worker, incarnation, what),
            Event::Place(call) => self.place(call),
            Event::Redial(call) => {
                if callers::redial(context, call) {
                    self.place(call);
                }
            }
            Event::Mail(mail) => self.deliver(mail),
            Event::Route(colour, weight, term) => self.dispatcher.route(colour, weight, term),
            Event::FleetWake(coordinator) => self.coordinators.wake(context, workers, coordinator),
            Event::GateResult(gate, colour, weight) => {
                let step = GatedStep { version: colour.version(), weight };
                self.coordinators.judge(context, workers, gate, step);
            }
            Event::CoordinatorBack => self.coordinators.come_back(context, workers),
        }
    }

    /// The dispatcher looks for a worker for a call that waits.
    pub(super) fn place(&mut self, call: CallIndex) {
        if self.context.books.ledger.line(call).fate == Fate::Waiting && !self.offer(call) {
            self.callers.wait(&mut self.context, call);
        }
    }

    /// A call is offered to a worker. Returns whether there is one.
    fn offer(&mut self, call: CallIndex) -> bool {
        let context = &mut self.context;
        let worker = self.dispatcher.pick(context, call);
        if let Some(worker) = worker {
            self.dispatcher.offer(context, call, &self.workers.list[worker]);
        }
        worker.is_some()
    }

    fn receive(&mut self, say: Say, index: AttemptIndex) {
        let context = &mut self.context;
        let attempt = context.network.attempt(index);
        match (say, self.workers.up(attempt.worker, attempt.incarnation)) {
            (Say::Answer(yes), _) => self.dispatcher.answered(context, index, yes),
            (Say::Started(runs), _) => self.dispatcher.started(context, index, runs),
            (Say::Offer | Say::Assign | Say::End, Some(node)) => node.receive(context, say, index),
            (Say::Offer | Say::Assign, None) => self.dispatcher.refused(context, index),
            (Say::End, None) => {}
        }
    }

    fn attempt_due(&mut self, index: AttemptIndex, what: OfAttempt) {
        let context = &mut self.context;
        let attempt = context.network.attempt(index);
        match (what, self.workers.up(attempt.worker, attempt.incarnation)) {
            (OfAttempt::AssignTimeout, _) => {
                if self.dispatcher.assign_timed_out(context, index) {
                    self.offer(attempt.call);
                }
            }
            (OfAttempt::OfferTimeout, _) => {
                if self.dispatcher.offer_timed_out(context, index) {
                    self.place(attempt.call);
                }
            }
            (OfAttempt::Fail, Some(node)) => node.fail(context, index),
            (OfAttempt::EndForced, Some(node)) => node.end_forced(context, index),
            (OfAttempt::Progress, Some(node)) => node.progress(context, index),
            (OfAttempt::Fail | OfAttempt::EndForced | OfAttempt::Progress, None) => {}
        }
    }

    fn run_due(&mut self, worker: WorkerIndex, incarnation: Incarnation, what: OfRun) {
        let (context, workers) = (&mut self.context, &mut self.workers);
        let node = &mut workers.list[worker];
        let is_current = node.host.incarnation == incarnation;
        match (what, node.life()) {
            (OfRun::Gone, _) => self.coordinators.gone(context, workers, worker, incarnation),
            (OfRun::Register, _) => self.coordinators.register(context, workers, worker, incarnation),
            _ if !is_current => {}
            (OfRun::Announced, _) => self.dispatcher.hear(&mut context.scene, node),
            (OfRun::Boot, Life::Booting) => {
                platform::boot(context, node);
                self.beat(worker, incarnation);
            }
            (OfRun::Flushed, Life::Up) => node.flushed(context),
            (OfRun::Heartbeat, Life::Up) => self.beat(worker, incarnation),
            (OfRun::Kill, Life::Up) => node.running(context).die(Death::Killed),
            (OfRun::TimedStop, Life::Up) => self.platform.stop(context, node),
            (OfRun::Wake, Life::Up) => node.settle(context),
            (OfRun::Boot | OfRun::Flushed | OfRun::Heartbeat | OfRun::Kill | OfRun::TimedStop | OfRun::Wake, _) => {}
        }
    }

    /// Now and then a worker registers or reports, and it is looked whether the run is over.
    fn beat(&mut self, worker: WorkerIndex, incarnation: Incarnation) {
        let Some(node) = self.workers.up(worker, incarnation) else { return };
        platform::beat(&mut self.context, node);
        let now = self.now();
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            self.is_over = self.is_finished();
        }
    }

    /// A letter arrives.
    fn deliver(&mut self, mail: MailIndex) {
        let (context, workers) = (&mut self.context, &mut self.workers);
        let mail = context.network.take(mail);
        if context.scene.has(Bug::MailBreeds) && context.network.breeds() {
            for after in [Span::from_millis(5), Span::from_millis(10)] {
                let at = context.scene.now + after;
                context.network.post(&mut context.scene, mail, at);
            }
        }
        match mail {
            Mail::Report(worker, report) => self.coordinators.hear(context, workers, worker, report),
            Mail::Order(worker, order) => {
                let node = &mut workers.list[worker];
                if node.obey(context, order) {
                    self.platform.stop(context, node);
                }
            }
        }
    }
}
