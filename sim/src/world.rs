//! The world of a run: callers, dispatcher, network, platform, workers and coordinators under one virtual clock.
//!
//! Workers and coordinators are the production machines, at level 1 the workers' shells too; everything around them is
//! here. Events lie in a heap by time,
//! those of one moment in the order they were made, so a run is a function of its plan.

mod books;
mod callers;
mod calls;
mod coordinator;
mod dispatcher;
mod node;
mod pending;
mod platform;
mod process;
mod queue;
mod shell;

use std::collections::BTreeMap;

use openrtc_core::fleet::{Effect as FleetEffect, Report};
use openrtc_core::id::Version;
use openrtc_core::worker::Effect;

use self::callers::Dial;
use self::calls::Attempt;
use self::coordinator::Coordinator;
use self::dispatcher::Dispatcher;
pub use self::node::{Node, State};
use self::queue::{Event, Queue};
use crate::bug::Bug;
use crate::choice::mix;
use crate::ledger::Ledger;
use crate::oracle::{Invariant, Violation};
use crate::plan::{Plan, SECOND};
use crate::subject::Subject;

/// The versions, old and new.
pub const VERSIONS: [Version; 2] = [Version::from_static("v1"), Version::from_static("v2")];

/// More messages per worker than this are never on their way at once, unless one breeds others without end.
const MAIL_MAX: usize = 1_000;

/// A line of the story a run tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When, in microseconds.
    pub at: u64,
    /// Who did it, or where.
    pub who: Who,
    /// What happened.
    pub what: String,
}

/// Whom a line of a story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A caller.
    Caller,
    /// The coordinator in office.
    Coordinator,
    /// The plan: a person, the platform or a fault.
    Plan,
    /// A worker, by its place in the plan.
    Worker(u32),
}

/// What travels between workers and coordinators.
#[derive(Clone, Copy, Debug)]
enum Mail {
    Report(Report),
    Order(FleetEffect),
}

/// A run in progress.
pub struct World<'p> {
    plan: &'p Plan,
    subject: Subject,
    now: u64,
    steps: u64,
    queue: Queue,
    next_call: usize,
    /// When each caller hangs up, unless the call ends before, in order.
    hang_ups: Vec<(u64, u32)>,
    next_hang_up: usize,
    next_happening: usize,
    /// Callers that were declined and called again.
    redials: BTreeMap<u32, Dial>,
    ledger: Ledger,
    attempts: Vec<Attempt>,
    nodes: Vec<Node>,
    dispatcher: Dispatcher,
    coordinators: Vec<Coordinator>,
    mail: Vec<Mail>,
    free_mail: Vec<u32>,
    /// Whether anything can make a message miss its time-out; if not, no time-out is armed.
    faulty: bool,
    heartbeat: u64,
    horizon: u64,
    finished: bool,
    /// When to look next whether the run is over.
    look_again: u64,
    violation: Option<Violation>,
    unknown: Option<String>,
    digest: u64,
    entries: u64,
    bytes: Vec<u8>,
    effects: Vec<Effect>,
    /// Whether a worker is just settling: what is due is being done already.
    settling: bool,
    story: Option<Vec<Told>>,
}

impl<'p> World<'p> {
    /// The world of a plan before anything has happened in it.
    #[must_use]
    pub fn new(plan: &'p Plan, subject: Subject) -> Self {
        let slack = plan.drain_timeout.unwrap_or(0) + plan.flush + 700 * SECOND;
        let mut world = Self {
            plan,
            subject,
            now: 0,
            steps: 0,
            queue: Queue::default(),
            next_call: 0,
            hang_ups: hang_ups(plan),
            next_hang_up: 0,
            next_happening: 0,
            ledger: Ledger::new(plan),
            attempts: Vec::with_capacity(plan.calls.len()),
            nodes: (0..plan.workers()).map(|worker| Node::new(plan, worker)).collect(),
            redials: BTreeMap::new(),
            dispatcher: Dispatcher::new(plan.workers(), plan.loads),
            coordinators: vec![Coordinator::new()],
            mail: Vec::new(),
            free_mail: Vec::new(),
            faulty: !plan.tampers.is_empty() || plan.happenings.iter().any(|happening| happening.deed.is_fault()),
            heartbeat: if plan.workers() > 100 { 5 * SECOND } else { 2 * SECOND },
            horizon: plan.last_moment() + slack,
            finished: false,
            look_again: 0,
            violation: None,
            unknown: None,
            digest: mix(plan.seed),
            entries: 0,
            bytes: Vec::new(),
            effects: Vec::new(),
            settling: false,
            story: None,
        };
        world.open();
        world
    }

    /// The same world, which tells what happens in it.
    #[must_use]
    pub fn telling(mut self) -> Self {
        self.story = Some(Vec::new());
        self
    }

    /// One step: the next happening of the plan, the next call or hang-up, or the next event. False once nothing
    /// follows or an invariant is broken.
    pub fn step(&mut self) -> bool {
        if self.violation.is_some() || self.finished {
            return false;
        }
        let call = self.plan.calls.get(self.next_call).map_or(u64::MAX, |call| call.at);
        let happening = self.plan.happenings.get(self.next_happening).map_or(u64::MAX, |happening| happening.at);
        let hang_up = self.hang_ups.get(self.next_hang_up).map_or(u64::MAX, |(at, _)| *at);
        let event = self.queue.next_at().unwrap_or(u64::MAX);
        let at = call.min(happening).min(hang_up).min(event);
        if at > self.horizon {
            self.now = self.horizon;
            return false;
        }
        self.now = at;
        self.steps += 1;
        if happening == at {
            let deed = self.plan.happenings[self.next_happening].deed;
            self.next_happening += 1;
            self.happen(deed);
        } else if call == at {
            let call = u32::try_from(self.next_call).unwrap_or(u32::MAX);
            self.next_call += 1;
            self.ring(call);
        } else if hang_up == at {
            let (_, call) = self.hang_ups[self.next_hang_up];
            self.next_hang_up += 1;
            self.hang_up(call);
        } else if let Some(event) = self.queue.pop() {
            self.handle(event);
        }
        true
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Message(message, attempt) => self.receive(message, attempt),
            Event::Place(call) => self.place(call),
            Event::OfferTimeout(attempt) => self.offer_timed_out(attempt),
            Event::AssignTimeout(attempt) => self.assign_timed_out(attempt),
            Event::Fail(attempt) => self.fail(attempt),
            Event::Goodbye(attempt) => self.say_goodbye(attempt),
            Event::Progress(attempt) => self.progress(attempt),
            Event::Redial(call) => self.redial(call),
            Event::Announced(worker, incarnation, open) => self.announced(worker, incarnation, open),
            Event::Boot(worker, incarnation) => self.boot(worker, incarnation),
            Event::Wake(worker, incarnation) => self.wake(worker, incarnation),
            Event::Heartbeat(worker, incarnation) => self.beat(worker, incarnation),
            Event::Flushed(worker, incarnation) => self.flushed(worker, incarnation),
            Event::Kill(worker, incarnation) => self.grace_over(worker, incarnation),
            Event::TimedStop(worker, incarnation) => self.timed_stop(worker, incarnation),
            Event::Register(worker, incarnation) => self.register(worker, incarnation),
            Event::Gone(worker, incarnation) => self.gone(worker, incarnation),
            Event::Mail(mail) => self.deliver(mail),
            Event::Route(version, weight, term) => self.dispatcher.route(version, weight, term),
            Event::FleetWake(coordinator) => self.fleet_wake(coordinator),
            Event::CoordinatorBack => self.coordinator_back(),
        }
    }

    /// The broken invariant, if one is.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// What cannot be known, if anything.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// Now, in microseconds.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Steps taken.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Journal entries written, by workers and coordinators.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// The chained hash over every journal entry so far: two runs with equal digests did the same.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// What became of every call.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The workers.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What happened so far, if it was asked for.
    #[must_use]
    pub fn story(&self) -> &[Told] {
        self.story.as_deref().unwrap_or_default()
    }

    fn has(&self, bug: Bug) -> bool {
        self.subject.bug == Some(bug)
    }

    fn violate(&mut self, invariant: Invariant, worker: Option<u32>, what: String) {
        if self.violation.is_none() {
            self.tell(worker.map_or(Who::Plan, Who::Worker), || format!("BROKEN {invariant}: {what}"));
            self.violation = Some(Violation { invariant, at: self.now, step: self.steps, worker, what });
        }
    }

    fn tell(&mut self, who: Who, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(Told { at: self.now, who, what: what() });
        }
    }

    /// Chains the bytes that `write` appends into the digest.
    fn chain(&mut self, salt: u64, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.clear();
        write(&mut self.bytes);
        self.entries += 1;
        let mut digest = mix(self.digest ^ salt);
        let (chunks, rest) = self.bytes.as_chunks::<8>();
        for chunk in chunks {
            digest = (digest ^ u64::from_le_bytes(*chunk)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        for byte in rest {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.digest = mix(digest);
    }

    /// How long a message takes: drawn from what it is, not from when others were sent.
    fn latency(&self, what: u64) -> u64 {
        let (low, high) = self.plan.latency;
        low + mix(self.plan.seed ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15)) % (high - low + 1)
    }

    fn name(&self, worker: u32) -> String {
        self.plan.worker_name(worker)
    }

    fn post(&mut self, mail: Mail, at: u64) {
        let slot = self.free_mail.pop().unwrap_or_else(|| u32::try_from(self.mail.len()).unwrap_or(u32::MAX));
        match self.mail.get_mut(slot as usize) {
            Some(free) => *free = mail,
            None => self.mail.push(mail),
        }
        if self.mail.len() > MAIL_MAX * self.nodes.len() {
            self.violate(
                Invariant::MailBounded,
                None,
                format!("{} messages are on their way at once", self.mail.len()),
            );
        }
        self.queue.push(at, Event::Mail(slot));
    }
}

fn hang_ups(plan: &Plan) -> Vec<(u64, u32)> {
    let calls = plan.calls.iter().zip(0..);
    let mut hang_ups: Vec<_> = calls.map(|(planned, call)| (planned.at + planned.lasts, call)).collect();
    hang_ups.sort_unstable();
    hang_ups
}
