//! A worker's shell: commands in, journal, effects out; timers. At level 0 as the runtime's control loop does it, at
//! level 1 by that loop itself.

use openrtc_core::codec;
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::{
    Availability, Command, Decline, Effect, EndReason, Entry, Event as Became, OnDeadline, Refused, Rejection, Why,
};
use openrtc_runtime::gate::decline;

use super::process::Out;
use super::queue::Event;
use super::{Bug, Invariant, Node, State, Who, World};
use crate::ledger::Fate;
use crate::plan::SECOND;

/// How long declined offers are collected before they are counted into an entry.
const COUNT_EVERY: Span = Span::from_secs(1);

impl World<'_> {
    /// A command to a worker: judged, numbered and in force at once; journaled and acted on when the worker settles.
    pub(super) fn command(&mut self, worker: u32, command: Command) -> Result<Entry, Rejection> {
        // What fell due before it comes before it.
        if !self.settling && self.is_due(worker) {
            self.settle(worker);
        }
        if command == Command::Close {
            self.count_declines(worker);
        }
        let node = &self.nodes[worker as usize];
        let at = node.clock(self.now);
        let is_assigned = node.process.is_some()
            && matches!(command, Command::End { call, .. }
                if node.machine.calls().get(call).is_some_and(|call| call.active));
        let decided = self.claim(worker, at, command);
        if let (Command::Reserve { .. }, Err(Rejection::Refused(Refused::Admission(refusal)))) = (command, &decided) {
            self.nodes[worker as usize].declined[decline(*refusal) as usize] += 1;
        }
        self.submit(worker, at, command, is_assigned, &decided);
        decided
    }

    /// The machine's part of a command.
    fn claim(&mut self, worker: u32, at: Instant, command: Command) -> Result<Entry, Rejection> {
        let node = &mut self.nodes[worker as usize];
        let entry = node.machine.step(at, command)?;
        node.claimed.push_back(entry);
        if node.crash_armed {
            (node.crash_armed, node.doomed) = (false, true);
        }
        Ok(entry)
    }

    /// The gate's part of a command, at level 1: it must come to what the machine came to. A pool's guards end a call
    /// once and report progress of a live one now and then, so what the machine rejects of that never gets there.
    fn submit(
        &mut self,
        worker: u32,
        at: Instant,
        command: Command,
        is_assigned: bool,
        decided: &Result<Entry, Rejection>,
    ) {
        let Some(process) = &self.nodes[worker as usize].process else { return };
        if decided.is_err() && matches!(command, Command::End { .. } | Command::Progress { .. }) {
            return;
        }
        let submitted = process.submit(at, command, is_assigned);
        if submitted.as_ref().ok() != decided.as_ref().ok().map(|entry| &entry.seq) {
            let what = format!("{command:?}: the gate says {submitted:?}, the machine {decided:?}");
            self.violate(Invariant::LevelsAgree, Some(worker), what);
        }
    }

    /// Whatever is due is done, journaled and acted on; then the books are compared.
    pub(super) fn settle(&mut self, worker: u32) {
        self.settling = true;
        while self.nodes[worker as usize].state == State::Up {
            self.fall_due(worker);
            let acted = if self.nodes[worker as usize].process.is_some() {
                self.run_shell(worker)
            } else {
                self.record(worker)
            };
            if !acted || self.nodes[worker as usize].doomed {
                break;
            }
        }
        self.settling = false;
        self.arm(worker);
        self.leave_early(worker);
        if self.nodes[worker as usize].doomed {
            self.die(worker, Fate::Killed);
        }
        self.audit(worker);
    }

    /// Whether a time-out of the machine has been reached.
    fn is_due(&self, worker: u32) -> bool {
        let node = &self.nodes[worker as usize];
        let due = node.machine.deadline().map(|(at, _)| at);
        node.state == State::Up && due.is_some_and(|due| due <= node.clock(self.now))
    }

    /// Claims an entry for each time-out reached.
    fn fall_due(&mut self, worker: u32) {
        let node = &mut self.nodes[worker as usize];
        let at = node.clock(self.now);
        if node.count_at.is_some_and(|due| due <= at) {
            self.count_declines(worker);
        } else if node.count_at.is_none() && node.declined.iter().any(|count| *count > 0) {
            node.count_at = Some(at + COUNT_EVERY);
        }
        let idle = self.has(Bug::NoTimers);
        loop {
            let node = &self.nodes[worker as usize];
            // A clock that was set back must not hold up what is due at once.
            let at = at.max(node.machine.now());
            let due = node.machine.deadline().filter(|(due, why)| *due <= at && (!idle || *why == Why::Empty));
            if due.is_none() || self.claim(worker, at, Command::Wake).is_err() {
                return;
            }
        }
    }

    /// Declined offers are counted into the journal, a second's together.
    fn count_declines(&mut self, worker: u32) {
        let node = &mut self.nodes[worker as usize];
        node.count_at = None;
        let at = node.clock(self.now);
        for (reason, count) in Decline::ALL.into_iter().zip(core::mem::take(&mut node.declined)) {
            if count > 0 {
                let _ = self.claim(worker, at, Command::CountDeclines { reason, count });
            }
        }
    }

    /// Level 0: what was claimed is journaled, then acted on. Returns whether there was anything.
    fn record(&mut self, worker: u32) -> bool {
        let node = &mut self.nodes[worker as usize];
        if node.claimed.is_empty() {
            return false;
        }
        let (claimed, doomed) = (core::mem::take(&mut node.claimed), node.doomed);
        let mut effects = core::mem::take(&mut self.effects);
        for entry in &claimed {
            self.journal(worker, entry);
            self.nodes[worker as usize].fold.react(entry, &mut |effect| effects.push(effect));
        }
        if doomed {
            effects.clear();
        } else {
            for entry in &claimed {
                self.follow(worker, entry);
            }
        }
        for effect in effects.drain(..) {
            self.perform(worker, effect);
        }
        self.effects = effects;
        true
    }

    /// Level 1: the runtime's shell runs; what it journals must be what the machine decided. Returns whether it did
    /// anything.
    fn run_shell(&mut self, worker: u32) -> bool {
        let node = &mut self.nodes[worker as usize];
        let (at, doomed) = (node.clock(self.now), node.doomed);
        let Some(process) = &mut node.process else { return false };
        let out = process.run(at, doomed);
        let acted = !out.is_empty();
        for out in out {
            match out {
                Out::Appended(entries) => {
                    for entry in &entries {
                        self.compare(worker, entry);
                        self.journal(worker, entry);
                    }
                    for entry in entries.iter().filter(|_| !doomed) {
                        self.follow(worker, entry);
                    }
                }
                Out::Performed(effect) => self.perform(worker, effect),
            }
        }
        acted
    }

    fn compare(&mut self, worker: u32, journaled: &Entry) {
        let decided = self.nodes[worker as usize].claimed.pop_front();
        if decided.as_ref() != Some(journaled) {
            let what = format!("the shell journals {journaled:?}, the machine decided {decided:?}");
            self.violate(Invariant::LevelsAgree, Some(worker), what);
        }
    }

    fn journal(&mut self, worker: u32, entry: &Entry) {
        let loses = self.has(Bug::EffectsFirst);
        let node = &mut self.nodes[worker as usize];
        if node.doomed && loses {
            return;
        }
        let fits = node.fold.fits(entry);
        node.fold.apply(entry);
        let live = node.live;
        self.chain(worker.into(), |bytes| codec::encode(entry, bytes));
        if let Err(misfit) = fits {
            self.violate(Invariant::AuditFaithful, Some(worker), format!("an entry cannot follow: {misfit}"));
        }
        match entry.event {
            Became::Drained if live > 0 => {
                let what = format!("{} says it is drained and holds {live} calls", self.name(worker));
                self.violate(Invariant::DrainedSound, Some(worker), what);
            }
            // A reservation that lapsed is gone whether or not anybody still hears of it.
            Became::ReservationLapsed { call } => {
                if let Some(attempt) = self.nodes[worker as usize].attempt(call) {
                    self.let_go(attempt);
                }
            }
            _ => {}
        }
    }

    /// What the shell does about an entry besides its effects: phase changes are reported at once.
    fn follow(&mut self, worker: u32, entry: &Entry) {
        let now = self.now;
        let node = &mut self.nodes[worker as usize];
        match entry.event {
            Became::DrainBegun { .. } => node.drain_begun = Some(now),
            Became::DrainCancelled { .. } => (node.drain_begun, node.is_flushed) = (None, false),
            Became::CallsDeclined { .. }
            | Became::CallAdmitted { .. }
            | Became::CallReserved { .. }
            | Became::CallAssigned { .. }
            | Became::CallProgressed { .. }
            | Became::CallEnded { .. } => return,
            _ => {}
        }
        self.tell(Who::Worker(worker), || entry.to_string());
        let zero_means_now = self.has(Bug::ZeroMeansNow)
            && matches!(entry.event, Became::DrainBegun { deadline: None, on_deadline: OnDeadline::Wait, .. });
        if zero_means_now {
            self.cut_calls(worker, EndReason::Disconnected);
        }
        self.report(worker);
    }

    fn perform(&mut self, worker: u32, effect: Effect) {
        match effect {
            Effect::Announce(availability) => self.announce(worker, availability),
            Effect::Lapse(number) => {
                if let Some(attempt) = self.nodes[worker as usize].attempt(number) {
                    self.queue.push(
                        self.now + self.latency(attempt.into()),
                        Event::Message(crate::plan::Message::Started, attempt),
                    );
                }
            }
            Effect::CancelCalls { .. } => {
                for attempt in self.nodes[worker as usize].holding() {
                    let wait = crate::choice::mix(self.plan.seed ^ u64::from(attempt)) % (3 * SECOND);
                    self.queue.push(self.now + wait, Event::Goodbye(attempt));
                }
            }
            Effect::Finish => self.finish(worker),
            Effect::Stop if self.nodes[worker as usize].machine.phase() == Phase::Drained => self.finish(worker),
            Effect::Exit(outcome) => self.exit(worker, outcome),
            Effect::Alert(_) | Effect::Stop => {}
        }
    }

    fn announce(&mut self, worker: u32, availability: Availability) {
        let node = &self.nodes[worker as usize];
        let silent = self.has(Bug::SilentDrain) && availability == Availability::Closed;
        let stuck = self.has(Bug::CancelStaysClosed)
            && node.announced == Availability::Closed
            && node.machine.tally().promised() > 0;
        if silent || stuck {
            return;
        }
        let at = node.cut_until.max(self.now) + self.latency(u64::from(worker) << 40 ^ self.entries);
        let (incarnation, open) = (node.incarnation, availability == Availability::Open);
        self.nodes[worker as usize].announced = availability;
        self.queue.push(at, Event::Announced(worker, incarnation, open));
    }

    fn finish(&mut self, worker: u32) {
        let node = &self.nodes[worker as usize];
        let (flush, incarnation) = (node.flush, node.incarnation);
        if self.has(Bug::ExitsUnflushed) && node.machine.drain().is_some_and(|drain| drain.sealed) {
            let _ = self.command(worker, Command::Close);
        } else {
            self.queue.push(self.now + flush, Event::Flushed(worker, incarnation));
        }
    }

    /// The last record is written: a process that must go, goes.
    pub(super) fn flushed(&mut self, worker: u32, incarnation: u32) {
        let Some(node) = self.running(worker, incarnation) else { return };
        if node.machine.phase() != Phase::Drained {
            return;
        }
        node.is_flushed = true;
        let leaves = node.machine.drain().is_some_and(|drain| drain.sealed);
        if leaves && !self.has(Bug::NeverExits) {
            let _ = self.command(worker, Command::Close);
            self.settle(worker);
        }
    }

    /// The process with this number of this worker, if it runs.
    pub(super) fn running(&mut self, worker: u32, incarnation: u32) -> Option<&mut Node> {
        let node = &mut self.nodes[worker as usize];
        (node.incarnation == incarnation && node.state == State::Up).then_some(node)
    }

    /// Sees to it that the worker comes by when it must: by the machine's time-outs, or as the runtime's shell asked.
    fn arm(&mut self, worker: u32) {
        let idle = self.has(Bug::NoTimers);
        let node = &mut self.nodes[worker as usize];
        let due = if let Some(process) = &node.process {
            process.due()
        } else {
            let due = node.machine.deadline().filter(|(_, why)| !idle || *why == Why::Empty);
            due.map(|(at, _)| at).into_iter().chain(node.count_at).min()
        };
        let Some(at) = due.filter(|_| node.state == State::Up) else { return };
        let at = node.world_time(at).max(self.now);
        if at < node.wake_at || node.wake_at <= self.now {
            node.wake_at = at;
            self.queue.push(at, Event::Wake(worker, node.incarnation));
        }
    }

    pub(super) fn wake(&mut self, worker: u32, incarnation: u32) {
        if self.running(worker, incarnation).is_some() {
            self.settle(worker);
        }
    }
}
