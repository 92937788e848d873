//! A worker's shell: commands in, journal, effects out; timers; as the runtime's control loop does it.

use openrtc_core::codec;
use openrtc_core::machine::Machine;
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{
    Availability, Command, Effect, EndReason, Entry, Event as Became, OnDeadline, Rejection, Why,
};

use super::queue::Event;
use super::{Bug, Invariant, Node, State, World};
use crate::ledger::Fate;
use crate::plan::SECOND;

impl World<'_> {
    /// A command to a worker's machine: judged, journaled, folded, acted on.
    pub(super) fn command(&mut self, worker: u32, command: Command) -> Result<Entry, Rejection> {
        let node = &mut self.nodes[worker as usize];
        let mut decided = None;
        node.machine.decide(node.clock(self.now), command, &mut |entry| decided = Some(entry))?;
        let entry = decided.expect("a command that is not rejected leads to one entry");
        if node.crash_armed {
            (node.crash_armed, node.doomed) = (false, true);
        }
        let doomed = node.doomed;
        node.machine.apply(&entry);
        if !(doomed && self.has(Bug::EffectsFirst)) {
            self.journal(worker, &entry);
        }
        // A reservation that lapsed is gone whether or not anybody still hears of it.
        if let Became::ReservationLapsed { call } = entry.event
            && let Some(attempt) = self.nodes[worker as usize].attempt(call)
        {
            self.let_go(attempt);
        }
        if !doomed {
            self.act(worker, &entry);
        }
        Ok(entry)
    }

    fn journal(&mut self, worker: u32, entry: &Entry) {
        let node = &mut self.nodes[worker as usize];
        let fits = node.fold.fits(entry);
        node.fold.apply(entry);
        let live = node.live;
        self.chain(worker.into(), |bytes| codec::encode(entry, bytes));
        if let Err(misfit) = fits {
            self.violate(Invariant::AuditFaithful, Some(worker), format!("an entry cannot follow: {misfit}"));
        }
        if entry.event == Became::Drained && live > 0 {
            let what = format!("{} says it is drained and holds {live} calls", self.name(worker));
            self.violate(Invariant::DrainedSound, Some(worker), what);
        }
    }

    fn act(&mut self, worker: u32, entry: &Entry) {
        let mut effects = core::mem::take(&mut self.effects);
        self.nodes[worker as usize].machine.react(entry, &mut |effect| effects.push(effect));
        self.follow(worker, entry);
        for effect in effects.drain(..) {
            self.perform(worker, effect);
        }
        self.effects = effects;
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
        self.tell(Some(worker), || format!("{:?}", entry.event));
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
        }
    }

    /// The process with this number of this worker, if it runs.
    pub(super) fn running(&mut self, worker: u32, incarnation: u32) -> Option<&mut Node> {
        let node = &mut self.nodes[worker as usize];
        (node.incarnation == incarnation && node.state == State::Up).then_some(node)
    }

    /// Whatever is due now is done; then the books are compared.
    pub(super) fn settle(&mut self, worker: u32) {
        loop {
            let node = &self.nodes[worker as usize];
            if node.state != State::Up || node.doomed {
                break;
            }
            let clock = node.clock(self.now);
            let idle = self.has(Bug::NoTimers);
            let due = node.machine.deadline().filter(|(_, why)| !idle || *why == Why::Empty);
            match due {
                Some((at, _)) if at <= clock => {
                    if self.command(worker, Command::Wake).is_err() {
                        break;
                    }
                }
                Some((at, _)) => {
                    self.arm(worker, at);
                    break;
                }
                None => break,
            }
        }
        self.leave_early(worker);
        if self.nodes[worker as usize].doomed {
            self.die(worker, Fate::Killed);
        }
        self.audit(worker);
    }

    fn arm(&mut self, worker: u32, at: Instant) {
        let node = &mut self.nodes[worker as usize];
        let at = node.world_time(at);
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
