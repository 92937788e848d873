//! One worker's process: the production machine, its journal's fold, and the shell between them and the world.

use openrtc_core::codec;
use openrtc_core::fleet::Stamp;
use openrtc_core::id::{CallNo, WorkerId};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::{
    Availability, Cause, Command, Decline, Effect, EndReason, Entry, Event as Became, Limits, OnDeadline, Outcome,
    Rejection, Why, Worker,
};

use super::calls::Stage;
use super::queue::Event;
use super::{Bug, Invariant, World};
use crate::ledger::Fate;
use crate::plan::{Plan, SECOND};

/// What clocks show at the start of a run, so that they can step back.
pub(super) const CLOCK_START: u64 = 1_700_000_000 * SECOND;

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was never started.
    Absent,
    /// It starts.
    Booting,
    /// It runs.
    Up,
    /// It is over.
    Gone,
}

/// One worker.
#[derive(Debug)]
pub struct Node {
    pub(super) id: WorkerId,
    pub(super) version: usize,
    pub(super) incarnation: u32,
    pub(super) state: State,
    pub(super) machine: Worker,
    /// What the journal alone says.
    pub(super) fold: Worker,
    /// Calls it holds, as those who talk to it see it.
    pub(super) live: u32,
    /// Calls that a force cut, counted where they were cut.
    pub(super) cut: u64,
    /// Which attempt a call's number stands for.
    held: Vec<u32>,
    pub(super) offset: i64,
    pub(super) cut_until: u64,
    pub(super) obeyed: Stamp,
    pub(super) declined: u64,
    pub(super) signals: u32,
    pub(super) announced: Availability,
    pub(super) joined: bool,
    pub(super) registered: bool,
    pub(super) flush: u64,
    pub(super) is_flushed: bool,
    pub(super) crash_armed: bool,
    pub(super) doomed: bool,
    pub(super) torn: bool,
    wake_at: u64,
    /// How its last run ended.
    pub(super) outcome: Option<Outcome>,
    /// When its drain began, for the timeline: the last one's.
    pub(super) drain_begun: Option<u64>,
    /// When each of its runs began and ended.
    pub(super) runs: Vec<(u64, Option<u64>)>,
}

impl Node {
    pub(super) fn new(plan: &Plan, worker: u32) -> Self {
        let limits = Limits { capacity: plan.capacity, ..Limits::default() };
        let machine = Worker::new(limits).expect("the plan's capacity was checked");
        Self {
            id: WorkerId::new(&plan.worker_name(worker)).expect("a colour and a number make a name"),
            version: usize::from(worker >= plan.blue),
            incarnation: 0,
            state: State::Absent,
            fold: machine.clone(),
            machine,
            live: 0,
            cut: 0,
            held: Vec::new(),
            offset: 0,
            cut_until: 0,
            obeyed: Stamp::default(),
            declined: 0,
            signals: 0,
            announced: Availability::Closed,
            joined: false,
            registered: false,
            flush: plan.flush,
            is_flushed: false,
            crash_armed: false,
            doomed: false,
            torn: false,
            wake_at: u64::MAX,
            outcome: None,
            drain_begun: None,
            runs: Vec::new(),
        }
    }

    /// A new run: nothing is left of the one before but the clock and the disk.
    pub(super) fn start(&mut self, plan: &Plan, now: u64) {
        let limits = *self.machine.limits();
        let machine = Worker::new(limits).expect("they were checked");
        let fresh = Self {
            id: self.id,
            version: self.version,
            incarnation: self.incarnation + 1,
            state: State::Booting,
            fold: machine.clone(),
            machine,
            offset: self.offset,
            cut_until: self.cut_until,
            runs: core::mem::take(&mut self.runs),
            ..Self::new(plan, 0)
        };
        *self = fresh;
        self.runs.push((now, None));
    }

    pub(super) const fn clock(&self, now: u64) -> Instant {
        Instant::from_micros((CLOCK_START + now).saturating_add_signed(self.offset))
    }

    /// When the world's clock is where this worker's shows `at`.
    const fn world_time(&self, at: Instant) -> u64 {
        at.as_micros().saturating_add_signed(-self.offset).saturating_sub(CLOCK_START)
    }

    pub(super) fn hold(&mut self, number: CallNo, attempt: u32) {
        let slot = usize::try_from(number.get()).unwrap_or(0);
        if self.held.len() <= slot {
            self.held.resize(slot + 1, crate::ledger::NONE);
        }
        self.held[slot] = attempt;
    }

    fn attempt(&self, number: CallNo) -> Option<u32> {
        let slot = usize::try_from(number.get()).ok()?;
        self.held.get(slot).copied().filter(|attempt| *attempt != crate::ledger::NONE)
    }

    /// The attempts it holds.
    pub(super) fn holding(&self) -> Vec<u32> {
        self.machine.calls().iter().filter_map(|(number, _)| self.attempt(number)).collect()
    }

    /// The worker machine.
    #[must_use]
    pub const fn machine(&self) -> &Worker {
        &self.machine
    }

    /// Which process it is now.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Old version 0, new version 1.
    #[must_use]
    pub const fn version(&self) -> usize {
        self.version
    }

    /// When its runs began and ended.
    #[must_use]
    pub fn runs(&self) -> &[(u64, Option<u64>)] {
        &self.runs
    }

    /// When its drain began.
    #[must_use]
    pub const fn drain_begun(&self) -> Option<u64> {
        self.drain_begun
    }

    /// How its last run ended, if it ended by itself.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }
}

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
            Became::CallsDeclined { .. } | Became::CallAdmitted { .. } | Became::CallReserved { .. } => return,
            Became::CallAssigned { .. } | Became::CallProgressed { .. } | Became::CallEnded { .. } => return,
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
                    self.queue.push(self.now + self.latency(attempt.into()), Event::Message(crate::plan::Message::Started, attempt));
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

    /// The planted bug that does not count what is only reserved.
    fn leave_early(&mut self, worker: u32) {
        let node = &self.nodes[worker as usize];
        let draining = node.state == State::Up && node.machine.phase() == Phase::Draining;
        let reserved = node.machine.calls().reserved();
        if self.has(Bug::CountsFromActive) && draining && reserved > 0 && reserved == node.machine.calls().len() {
            let what = format!("{} left as drained with {reserved} calls reserved", self.name(worker));
            self.violate(Invariant::DrainedSound, Some(worker), what);
        }
    }

    /// Whether what the machine says, what it announced and what the world sees are one.
    pub(super) fn audit(&mut self, worker: u32) {
        let node = &self.nodes[worker as usize];
        if node.state != State::Up {
            return;
        }
        let (live, counted) = (node.live, node.machine.word().in_flight());
        let (availability, announced) = (node.machine.availability(), node.announced);
        let same = node.machine.word() == node.fold.word();
        if live > node.machine.limits().capacity {
            let what = format!("{} said yes to {live} calls, more than it may hold", self.name(worker));
            self.violate(Invariant::Capacity, Some(worker), what);
        } else if live != counted {
            let what = format!("{} holds {live} calls by what it said and {counted} by its books", self.name(worker));
            self.violate(Invariant::OfferConservation, Some(worker), what);
        } else if !same {
            let what = format!("the journal of {} does not give its state", self.name(worker));
            self.violate(Invariant::AuditFaithful, Some(worker), what);
        } else if announced != availability {
            let invariant =
                if availability == Availability::Closed { Invariant::ShiftClosed } else { Invariant::CancelServes };
            let what = format!("{} is {availability:?} and told the dispatcher {announced:?}", self.name(worker));
            self.violate(invariant, Some(worker), what);
        }
    }

    /// The process ends by itself.
    fn exit(&mut self, worker: u32, outcome: Outcome) {
        let node = &self.nodes[worker as usize];
        let forced = node.machine.drain().is_some_and(|drain| drain.forced.is_some());
        let truth = node.cut + u64::from(node.live);
        let told = match outcome {
            Outcome::Clean | Outcome::Rejected => 0,
            Outcome::Forced { .. } if self.has(Bug::ForcedIsClean) => 0,
            Outcome::Forced { dropped } => dropped,
        };
        let unflushed = outcome == Outcome::Clean && !node.is_flushed;
        if truth != told {
            let what = format!("{} dropped {truth} calls and said {told} when it left", self.name(worker));
            self.violate(Invariant::AuditFaithful, Some(worker), what);
        }
        if unflushed {
            let what = format!("{} left before its records were flushed", self.name(worker));
            self.violate(Invariant::AuditFaithful, Some(worker), what);
        }
        self.nodes[worker as usize].outcome = Some(outcome);
        self.die(worker, if forced { Fate::Forced } else { Fate::Lost });
    }

    /// The process is over; what it held goes with it.
    pub(super) fn die(&mut self, worker: u32, fate: Fate) {
        let node = &mut self.nodes[worker as usize];
        if node.state != State::Up {
            node.state = State::Gone;
            return;
        }
        node.state = State::Gone;
        if let Some(run) = node.runs.last_mut() {
            run.1 = Some(self.now);
        }
        let (incarnation, torn, live) = (node.incarnation, node.torn, node.live);
        let (evidence, held) = (node.fold.word().in_flight(), node.holding());
        node.doomed = false;
        for attempt in held {
            self.lose(attempt, fate);
        }
        if torn && fate == Fate::Killed {
            let name = self.name(worker);
            self.unknown.get_or_insert_with(|| format!("{name} died and the end of its journal with it: what it held is not on record"));
        } else if evidence != live {
            let what = format!("the journal of {} shows {evidence} open calls where {live} were lost", self.name(worker));
            self.violate(Invariant::AuditFaithful, Some(worker), what);
        }
        let (gone_at, cut_off) = (self.now + SECOND / 2, self.now + SECOND / 5);
        self.queue.push(gone_at, Event::Gone(worker, incarnation));
        self.queue.push(cut_off, Event::Announced(worker, incarnation, false));
        self.tell(Some(worker), || format!("process over ({})", fate.as_str()));
    }

    fn lose(&mut self, attempt: u32, fate: Fate) {
        let super::Attempt { call, worker, stage, .. } = self.attempts[attempt as usize];
        self.attempts[attempt as usize].stage = Stage::Over;
        let line = *self.ledger.line(call);
        if line.attempt != attempt {
            return;
        }
        if line.fate == Fate::Active && stage == Stage::Active {
            self.ledger.set(call, fate, None, self.now);
            if fate == Fate::Lost {
                let what = format!("call {call} was dropped by {} and nobody had forced it", self.name(worker));
                self.violate(Invariant::ZeroDrop, Some(worker), what);
            }
        } else {
            self.put_back(call, attempt);
        }
    }

    /// Ends every running call of a worker, as some planted bugs do.
    pub(super) fn cut_calls(&mut self, worker: u32, reason: EndReason) {
        for attempt in self.nodes[worker as usize].holding() {
            let super::Attempt { call, stage, .. } = self.attempts[attempt as usize];
            if stage == Stage::Active {
                if self.ledger.line(call).fate == Fate::Active {
                    self.ledger.set(call, Fate::Lost, None, self.now);
                    let what = format!("call {call} was cut on {} and nobody had forced it", self.name(worker));
                    self.violate(Invariant::ZeroDrop, Some(worker), what);
                }
                self.end(attempt, reason);
            }
        }
    }

    /// A call that a force cut has said goodbye.
    pub(super) fn say_goodbye(&mut self, attempt: u32) {
        let super::Attempt { call, worker, incarnation, stage, number, .. } = self.attempts[attempt as usize];
        if self.running(worker, incarnation).is_none() || !matches!(stage, Stage::Active | Stage::Reserved) {
            return;
        }
        let reason = match stage {
            Stage::Active if self.has(Bug::ForcedIsHangup) => EndReason::CallerHangup,
            Stage::Active => EndReason::DrainForced,
            _ => EndReason::Withdrawn,
        };
        if self.command(worker, Command::End { call: number, reason }).is_ok() {
            self.let_go(attempt);
            if stage == Stage::Active {
                self.nodes[worker as usize].cut += 1;
            }
            match self.ledger.line(call).fate {
                Fate::Active => self.ledger.set(call, Fate::Forced, None, self.now),
                _ => self.put_back(call, attempt),
            }
        }
        self.settle(worker);
    }

    /// Declined offers are counted into the journal, as the runtime does it now and then.
    pub(super) fn count_declines(&mut self, worker: u32) {
        let node = &mut self.nodes[worker as usize];
        let count = core::mem::take(&mut node.declined);
        if count > 0 {
            let reason = match node.machine.phase() {
                Phase::Serving => Decline::Full,
                Phase::Starting | Phase::Standby => Decline::NotServing,
                Phase::Draining | Phase::Drained | Phase::Exited => Decline::Draining,
            };
            let _ = self.command(worker, Command::CountDeclines { reason, count });
        }
    }

    /// A time-out owed for more than a second is one that will not come.
    pub(super) fn check_timers(&mut self, worker: u32) {
        let node = &self.nodes[worker as usize];
        let late = node.clock(self.now) - Span::from_secs(1);
        let Some((_, why)) = node.machine.deadline().filter(|(due, _)| *due < late) else { return };
        let (invariant, what) = match why {
            Why::Empty | Why::Lapse(_) => (Invariant::DrainEnds, "a drain or a reservation did not end"),
            Why::Overdue | Why::GraceOver => (Invariant::OverdueAlerts, "an overdue drain went unnoticed"),
            Why::Stall(_) => (Invariant::StallFlagged, "a stalled call went unnoticed"),
        };
        let what = format!("{}: {what}", self.name(worker));
        self.violate(invariant, Some(worker), what);
    }

    /// Whether the running drain came with a signal.
    pub(super) fn drains_by_signal(&self, worker: u32) -> bool {
        let drain = self.nodes[worker as usize].machine.drain();
        drain.is_some_and(|drain| drain.cause == Cause::Signal)
    }
}
