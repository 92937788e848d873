//! A worker's side of its coordinators: what core's half of the conversation says and hears, on the world's wires.

use openrtc_core::fleet::{Effect, Facts, Run};
use openrtc_core::machine::Machine;
use openrtc_core::order::Stamp;
use openrtc_core::time::Span;
use openrtc_core::uplink::{self, Answer, Message};
use openrtc_core::word::Phase;
use openrtc_core::worker::{Cause, Command};

use super::Context;
use super::coordinators::PIPELINE;
use super::network::Mail;
use super::queue::{Event, OfRun};
use super::scene::Who;
use super::surroundings::Surroundings;
use super::workers::{Host, Node, Offers};
use crate::bug::Bug;
use crate::id::Colour;
use crate::oracle::Invariant;
use crate::process::Process;

/// After how long an old worker is stopped by the planted bug that does not wait for it to drain.
const TIMED_STOP: Span = Span::from_secs(5);

/// What is known of a run among its coordinators.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uplink {
    core: uplink::Uplink,
    joined: bool,
    /// The last order to the platform to stop it that was carried out.
    stopped: Stamp,
}

impl Uplink {
    pub(super) const fn new(run: Run, colour: Colour) -> Self {
        let none = Stamp::NONE;
        Self { core: uplink::Uplink::new(run, colour.version()), joined: false, stopped: none }
    }

    /// Whether somebody has let this run in.
    pub(super) const fn has_joined(self) -> bool {
        self.joined
    }

    pub(super) const fn is_registered(self) -> bool {
        self.core.is_joined()
    }
}

impl Host {
    /// The run that it is for its coordinators.
    pub(super) const fn run(&self) -> Run {
        Run { worker: self.id, incarnation: self.incarnation }
    }
}

impl Surroundings<'_, '_> {
    /// The worker says how it is.
    pub(super) fn report(&mut self, process: &Process<Offers>) {
        let facts = Facts::of(process.machine.life());
        let Message::Report(mut report) = self.host.uplink.core.message(facts) else { return };
        if process.is_doomed {
            return;
        }
        self.forge(process, &mut report.facts);
        let (worker, Context { scene, books, network }) = (self.host.worker, &mut *self.context);
        let what = u64::from(worker.get()) << 43 ^ books.entries ^ scene.now.as_micros();
        let at = network.arrives_at(scene, worker, what);
        network.post(scene, Mail::Report(worker, report), at);
    }

    /// What planted bugs make of the facts, and the check that nobody else changes them.
    fn forge(&mut self, process: &Process<Offers>, facts: &mut Facts) {
        let machine = &process.machine;
        let draining = machine.phase() == Phase::Draining;
        let by_signal = machine.drain().is_some_and(|drain| drain.cause == Cause::Signal);
        if self.context.scene.has(Bug::ReportsServing) && by_signal && draining {
            (facts.phase, facts.sealed) = (Phase::Serving, false);
        }
        if self.context.scene.has(Bug::DrainingIsDrained) && draining {
            (facts.phase, facts.in_flight) = (Phase::Drained, 0);
        }
        if facts.phase != machine.phase() && !self.context.scene.has(Bug::DrainingIsDrained) {
            let what = format!("{} is {} and reports {}", self.name(), machine.phase(), facts.phase);
            self.violate(Invariant::AuditFaithful, what);
        }
    }
}

/// Whom an effect of a coordinator is for, if it is for a worker or about one.
pub(super) fn addressee(effect: &Effect) -> Option<Run> {
    match effect {
        Effect::StopWorker { run, .. } => Some(*run),
        effect => effect.order(PIPELINE).map(|(run, _)| run),
    }
}

impl Node {
    /// The worker says how it is.
    pub(super) fn report(&mut self, context: &mut Context<'_>) {
        let mut running = self.running(context);
        running.env.report(running.process);
    }

    /// A coordinator answers.
    pub(super) fn hear(&mut self, context: &mut Context<'_>, answer: Answer) {
        self.host.uplink.joined |= matches!(answer, Answer::Joined { .. });
        if let Some(command) = self.host.uplink.core.hear(answer) {
            self.command(context, command);
            self.settle(context);
        }
    }

    /// What a coordinator wants of this worker arrives. Returns whether the platform must stop the worker for it.
    pub(super) fn obey(&mut self, context: &mut Context<'_>, effect: Effect) -> bool {
        if addressee(&effect).is_none_or(|run| !self.runs_as(run.incarnation)) {
            return false;
        }
        let before = self.machine().obeyed();
        let obeys_anybody =
            |stamp: Stamp, before: Stamp| context.scene.has(Bug::EpochIgnored) && stamp.epoch < before.epoch;
        if let Effect::StopWorker { stamp, .. } = effect {
            let before = before.max(self.host.uplink.stopped);
            let obeys = stamp > before || obeys_anybody(stamp, before);
            self.host.uplink.stopped = before.max(stamp);
            self.check_obedience(context, obeys, stamp, before);
            return obeys;
        }
        let Some((_, order)) = effect.order(PIPELINE) else { return false };
        let obeys_anybody = obeys_anybody(order.stamp, before);
        self.catch_up(context);
        let head = self.machine().head();
        if obeys_anybody {
            let at = self.clock(&context.scene);
            if let Some(command) = self.machine().life().command_for(at, &order) {
                self.command(context, command);
            }
        } else {
            self.command(context, Command::Obey(order));
            if self.machine().obeyed() == before {
                return false;
            }
        }
        let obeys = self.machine().head() != head;
        self.check_obedience(context, obeys, order.stamp, before);
        context.scene.tell(Who::Worker(self.host.worker), || format!("an order arrives, {effect}"));
        if matches!(effect, Effect::OrderDrain { .. }) && context.scene.has(Bug::TimerForDrained) {
            context.scene.after(TIMED_STOP, Event::Run(self.host.worker, self.host.incarnation, OfRun::TimedStop));
        }
        self.settle(context);
        self.report(context);
        false
    }

    /// Nothing follows from an order that does not come after the last one obeyed.
    fn check_obedience(&mut self, context: &mut Context<'_>, obeys: bool, stamp: Stamp, before: Stamp) {
        if obeys && stamp <= before {
            let mut running = self.running(context);
            let (name, given, obeyed) = (running.env.name(), stamp.epoch, before.epoch);
            let what = format!("{name} obeys a coordinator of term {given} after one of term {obeyed}");
            running.env.violate(Invariant::SingleWriter, what);
        }
    }
}
