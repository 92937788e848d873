//! What happens besides calls: people, pipelines and faults, as the plan has them.

use openrtc_core::fleet::{DrainTerms, Request};
use openrtc_core::id::{Actor, WorkerId};
use openrtc_core::worker::{Cause, Command};

use super::queue::Event;
use super::scene::Who;
use super::{World, platform};
use crate::id::{Colour, WorkerIndex};
use crate::plan::Deed;
use crate::process::Death;

const PERSON: Actor = Actor::from_static("person");

impl World<'_> {
    pub(super) fn happen(&mut self, deed: Deed) {
        let scene = &mut self.context.scene;
        let (plan, now) = (scene.plan, scene.now);
        scene.tell(Who::Plan, || plan.name(deed));
        match deed {
            Deed::Rollout => self.coordinators.roll_out(&mut self.context, &mut self.workers, Colour::Green),
            Deed::Rollback => self.request(Request::Rollback),
            Deed::Promote => self.request(Request::Promote),
            Deed::Scale(workers) => self.request(Request::Scale { workers }),
            Deed::GateFails => self.coordinators.fail_next_gate(),
            Deed::Pause => self.request(Request::Pause),
            Deed::Resume => self.request(Request::Resume),
            Deed::Cordon(worker) => self.request_of(worker, |worker| Request::Cordon { worker }),
            Deed::Uncordon(worker) => self.request_of(worker, |worker| Request::Uncordon { worker }),
            Deed::Dismiss(worker) => {
                let terms = DrainTerms { within: plan.drain_timeout, on_deadline: plan.on_deadline };
                self.request_of(worker, |worker| Request::Drain { worker, terms });
            }
            Deed::GiveUp(worker) => {
                self.platform.give_up(worker);
                self.request_of(worker, |worker| Request::Force { worker });
            }
            Deed::Drain(worker) => {
                let node = &self.workers.list[worker];
                let order = platform::drain_order(&self.context.scene, node, Cause::Api, PERSON);
                self.ask(worker, Command::BeginDrain(order));
            }
            Deed::Cancel(worker) => self.ask(worker, Command::CancelDrain { actor: PERSON }),
            Deed::Force(worker) => self.ask(worker, Command::ForceDrain { actor: PERSON }),
            Deed::Extend(worker, by) => {
                let deadline = self.workers.list[worker].clock(&self.context.scene) + by;
                self.ask(worker, Command::ExtendDrain { actor: PERSON, deadline });
            }
            Deed::Sigterm(worker) => platform::sigterm(&mut self.context, &mut self.workers.list[worker]),
            Deed::Sigkill(worker) => self.workers.list[worker].running(&mut self.context).die(Death::Killed),
            Deed::Restart(worker) => platform::start(&mut self.context.scene, &mut self.workers.list[worker]),
            Deed::CrashMidStep(worker) => self.workers.list[worker].process.crash_armed = true,
            Deed::TornDisk(worker) => self.workers.list[worker].host.torn = true,
            Deed::Partition(worker, span) => self.context.network.cut(worker, now + span),
            Deed::ClockStep(worker, by) => {
                let node = &mut self.workers.list[worker];
                node.host.clock.step(by);
                node.settle(&mut self.context);
            }
            Deed::SlowSink(worker, span) => self.workers.list[worker].host.flush = span,
            Deed::CoordinatorCrash(span) => {
                self.coordinators.crash();
                self.context.scene.after(span, Event::CoordinatorBack);
            }
            Deed::SecondCoordinator => self.coordinators.take_over(&mut self.context, &mut self.workers),
        }
    }

    /// A request of a person or a pipeline, to whoever is in office.
    fn request(&mut self, request: Request) {
        self.coordinators.request(&mut self.context, &mut self.workers, request);
    }

    /// A request about a worker, to whoever is in office.
    fn request_of(&mut self, worker: WorkerIndex, request: impl FnOnce(WorkerId) -> Request) {
        self.request(request(self.workers.list[worker].host.id));
    }

    /// A command through a worker's own API.
    fn ask(&mut self, worker: WorkerIndex, command: Command) {
        let node = &mut self.workers.list[worker];
        if node.process.is_up() {
            node.command(&mut self.context, command);
            node.settle(&mut self.context);
        }
    }
}
