//! A worker settles: whatever is due is done, journaled and acted on. At level 0 as the model of a process does it, at
//! level 1 by the runtime's own control loop.

use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{Command, Why};

use super::Context;
use super::queue::{Event, OfRun};
use super::runtime::Out;
use super::scene::Scene;
use super::surroundings::Surroundings;
use super::workers::{Host, Node, Offers};
use crate::oracle::Invariant;
use crate::process::{Death, Environment, Running};

/// A time-out that has been owed for longer will not come.
const LATE: Span = Span::from_secs(1);

impl Node {
    /// What its clock shows.
    pub(super) fn clock(&self, scene: &Scene<'_>) -> Instant {
        self.host.clock.shows(scene.now)
    }

    /// What fell due before the message at hand comes before it.
    pub(super) fn catch_up(&mut self, context: &mut Context<'_>) {
        let due = self.process.machine.deadline().filter(|_| self.process.is_up());
        if due.is_some_and(|(due, _)| due <= self.clock(&context.scene)) {
            self.settle(context);
        }
    }

    /// A command to its machine.
    pub(super) fn command(&mut self, context: &mut Context<'_>, command: Command) {
        self.catch_up(context);
        let _ = self.running(context).give(command);
    }

    /// Whatever is due is done, journaled and acted on; then the books are compared.
    pub(super) fn settle(&mut self, context: &mut Context<'_>) {
        while self.process.is_up() {
            let mut running = self.running(context);
            running.fall_due();
            let acted = if running.env.host.shell.is_some() { run_shell(&mut running) } else { running.act() };
            if !acted || self.process.is_doomed {
                break;
            }
        }
        self.arm(&mut context.scene);
        if self.process.is_doomed {
            self.running(context).die(Death::Killed);
        }
        if let Some((invariant, what)) = self.process.fault() {
            self.running(context).env.violated(invariant, |name| format!("{name} {what}"));
        }
    }

    /// Sees to it that the worker runs when it must: by the machine's time-outs, or as the runtime's shell asked.
    fn arm(&mut self, scene: &mut Scene<'_>) {
        let due = match &self.host.shell {
            Some(shell) => shell.due(),
            None => self.process.due(),
        };
        let Some(due) = due.filter(|_| self.process.is_up()) else { return };
        let Host { worker, incarnation, clock, wake_at, .. } = &mut self.host;
        let at = clock.when(due).max(scene.now);
        if wake_at.is_none_or(|armed| at < armed || armed <= scene.now) {
            *wake_at = Some(at);
            scene.at(at, Event::Run(*worker, *incarnation, OfRun::Wake));
        }
    }

    /// The last record is written: a process that must go, goes.
    pub(super) fn flushed(&mut self, context: &mut Context<'_>) {
        self.running(context).flushed();
    }

    /// A time-out owed for more than a second is one that will not come.
    pub(super) fn check_timers(&mut self, context: &mut Context<'_>) {
        let late = self.clock(&context.scene) - LATE;
        let deadline = self.process.machine.deadline();
        let Some((_, why)) = deadline.filter(|(due, _)| *due < late) else { return };
        let (invariant, what) = match why {
            Why::Empty | Why::Leave | Why::Lapse(_) => (Invariant::DrainEnds, "a drain or a reservation did not end"),
            Why::Overdue | Why::Force | Why::GraceOver => (Invariant::OverdueAlerts, "an overdue drain went unnoticed"),
            Why::Stall(_) => (Invariant::StallFlagged, "a stalled call went unnoticed"),
        };
        self.running(context).env.violated(invariant, |name| format!("{name}: {what}"));
    }
}

/// Level 1: the runtime's shell runs; what it journals must be what the machine decided. Returns whether it did
/// anything.
fn run_shell(running: &mut Running<'_, Offers, Surroundings<'_, '_>>) -> bool {
    let (now, is_doomed) = (running.env.now(running.process), running.process.is_doomed);
    let Some(shell) = &mut running.env.host.shell else { return false };
    let out = shell.run(now, is_doomed);
    let acted = !out.is_empty();
    for out in out {
        match out {
            Out::Appended(entries) => {
                for entry in &entries {
                    let decided = running.process.next_claimed();
                    if decided.as_ref() != Some(entry) {
                        let what = format!("the shell journals {entry:?}, the machine decided {decided:?}");
                        running.env.violate(Invariant::LevelsAgree, what);
                    }
                    running.journal(entry);
                }
                for entry in entries.iter().filter(|_| !is_doomed) {
                    running.follow(entry);
                }
            }
            Out::Performed(effect) => running.perform(effect),
        }
    }
    acted
}
