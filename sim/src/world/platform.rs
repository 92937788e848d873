//! The platform: starts processes, signals them, kills them.

use std::collections::BTreeSet;

use openrtc_core::id::Actor;
use openrtc_core::time::Span;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Cause, Command, DrainOrder, Terms};

use super::queue::{Event, OfRun};
use super::scene::Scene;
use super::workers::{Node, Workers};
use super::{Context, Life};
use crate::bug::Bug;
use crate::id::{Colour, WorkerIndex};
use crate::oracle::Invariant;
use crate::process::Death;

const SIGTERM: Actor = Actor::from_static("SIGTERM");

/// How long a process takes at least until it runs, and how much longer it may take.
const BOOT: (Span, Span) = (Span::from_millis(500), Span::from_secs(2));

/// What the platform was told.
#[derive(Debug, Default)]
pub(super) struct Platform {
    /// Workers that a person has given up.
    given_up: BTreeSet<WorkerIndex>,
}

impl Platform {
    /// A worker may be stopped, whatever it holds.
    pub(super) fn give_up(&mut self, worker: WorkerIndex) {
        self.given_up.insert(worker);
    }

    /// The coordinator wants a process ended: it must be one that has nothing to lose.
    pub(super) fn stop(&self, context: &mut Context<'_>, node: &mut Node) {
        let (worker, live, phase) = (node.host.worker, node.process.live, node.machine().phase());
        let empty = live == 0 && phase >= Phase::Draining;
        if node.process.is_up() && !empty && !self.given_up.contains(&worker) {
            let name = context.scene.name(worker);
            let what = format!("{name} is stopped while it holds {live} calls, in phase {phase}");
            context.scene.violate(Invariant::KillSafety, Some(worker), what);
        }
        sigterm(context, node);
    }
}

/// How a worker of this plan is told to drain.
pub(super) fn drain_order(scene: &Scene<'_>, node: &Node, cause: Cause, actor: Actor) -> DrainOrder {
    let deadline = scene.plan.drain_timeout.map(|timeout| node.clock(scene) + timeout);
    // A plan without a drain time-out waits, whatever it says is to happen then.
    let terms = Terms::new(deadline, scene.plan.on_deadline).unwrap_or(Terms::PATIENT);
    DrainOrder { cause, actor, terms }
}

/// SIGTERM. The first one comes with the notice that the process will be killed when the grace is over.
pub(super) fn sigterm(context: &mut Context<'_>, node: &mut Node) {
    if !node.process.is_up() {
        return node.running(context).die(Death::Killed);
    }
    let scene = &mut context.scene;
    if let Some(grace) = scene.plan.grace.filter(|_| node.process.signals == 0) {
        scene.after(grace, Event::Run(node.host.worker, node.host.incarnation, OfRun::Kill));
    }
    let order = drain_order(scene, node, Cause::Signal, SIGTERM);
    node.catch_up(context);
    node.running(context).sigterm(order);
    node.settle(context);
}

/// As many processes of a version as the coordinator wants, those that leave not counted.
pub(super) fn provision(scene: &mut Scene<'_>, workers: &mut Workers, colour: Colour, wanted: u32) {
    let of_version = |node: &&mut Node| node.host.colour == colour;
    let stays =
        |node: &Node| matches!(node.life(), Life::Booting | Life::Up) && node.machine().phase() < Phase::Draining;
    let there = workers.list.iter().filter(|node| node.host.colour == colour && stays(node)).count();
    let mut missing = (wanted as usize).saturating_sub(there);
    for life in [Life::Absent, Life::Gone] {
        for node in workers.list.iter_mut().filter(of_version) {
            if missing > 0 && node.life() == life {
                missing -= 1;
                start(scene, node);
            }
        }
    }
}

/// Starts a worker's process, unless it runs.
pub(super) fn start(scene: &mut Scene<'_>, node: &mut Node) {
    if matches!(node.life(), Life::Absent | Life::Gone) {
        node.start(scene);
        let (least, more) = BOOT;
        let at = scene.now + least + scene.draw(node.host.worker.get().into(), more);
        scene.at(at, Event::Run(node.host.worker, node.host.incarnation, OfRun::Boot));
    }
}

/// A worker's process has started.
pub(super) fn boot(context: &mut Context<'_>, node: &mut Node) {
    node.process.life = Life::Up;
    let eager = context.scene.has(Bug::NoRegistration);
    node.command(context, if eager { Command::Serve } else { Command::StandBy });
    node.settle(context);
}

/// Now and then a worker registers or reports.
pub(super) fn beat(context: &mut Context<'_>, node: &mut Node) {
    let (worker, incarnation) = (node.host.worker, node.host.incarnation);
    if node.host.uplink.is_registered() {
        node.report(context);
    } else {
        let Context { scene, network, .. } = &mut *context;
        let what = u64::from(worker.get()) << 41 ^ scene.now.as_micros();
        let at = network.arrives_at(scene, worker, what);
        scene.at(at, Event::Run(worker, incarnation, OfRun::Register));
    }
    let every = if context.scene.plan.workers() > 100 { Span::from_secs(5) } else { Span::from_secs(2) };
    context.scene.after(every, Event::Run(worker, incarnation, OfRun::Heartbeat));
    node.settle(context);
    node.check_timers(context);
}
