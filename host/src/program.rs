//! One run of the program. To the host's fleet it is a worker, and here is the worker machine that it has in it: so a
//! program obeys orders, takes calls and drains by the same rules as a worker that embeds the runtime.

use std::net::SocketAddr;

use openrtc_core::fleet::{Facts, Report, Run};
use openrtc_core::id::{Actor, CallNo, Digest, Version};
use openrtc_core::machine::Machine;
use openrtc_core::order::Order;
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{
    BadLimits, CLASSES, Cause, Class, Command, DrainOrder, EndReason, Leave, Limits, Terms, Worker,
};
use openrtc_fleet::child::Child;

use crate::fate::{Fate, Looks};
use crate::spot::Spot;

/// What a program serves, one at a time for each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// A call of the host's.
    Call,
    /// A plain request, which is none.
    Request,
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) run: Run,
    pub(crate) version: Version,
    pub(crate) child: Child,
    /// Where it is reached, once it is ready.
    pub(crate) spot: Spot,
    /// Where it was found; `None` until it is ready.
    pub(crate) addr: Option<SocketAddr>,
    /// Whether it was told to end, so that its end is none of its own doing.
    pub(crate) is_told_to_end: bool,
    /// What is seen of it once its first process has ended.
    pub(crate) looks: Looks,
    machine: Worker,
    /// How much of what it serves are plain requests.
    requests: u32,
    /// Calls that ended because it did.
    lost: u32,
}

impl Program {
    pub(crate) fn new(run: Run, version: Version, child: Child, spot: Spot, capacity: u32) -> Result<Self, BadLimits> {
        // The host's own machine looks after silent calls.
        let limits = Limits { capacity, leave: Leave::Parked, stall_after: [None; CLASSES], ..Limits::default() };
        let machine = Worker::new(limits)?;
        let looks = Looks::default();
        Ok(Self { run, version, child, spot, addr: None, is_told_to_end: false, looks, machine, requests: 0, lost: 0 })
    }

    /// What its fleet hears of it.
    pub(crate) fn report(&self) -> Report {
        Report { run: self.run, version: self.version, facts: Facts::of(self.machine.life()) }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.machine.phase()
    }

    /// Calls and requests that it serves.
    pub(crate) fn in_flight(&self) -> u32 {
        self.machine.word().in_flight()
    }

    pub(crate) fn calls(&self) -> u32 {
        self.in_flight().saturating_sub(self.requests)
    }

    pub(crate) const fn requests(&self) -> u32 {
        self.requests
    }

    /// Once it is gone: the calls that went with it. Those whose end was not noticed yet are among them.
    pub(crate) fn lost(&self) -> u32 {
        self.lost + self.calls()
    }

    pub(crate) fn fate(&self) -> Fate {
        self.looks.of(self.child.clone())
    }

    /// It listens: it can be told to take calls.
    pub(crate) fn stand_by(&mut self, at: Instant, addr: SocketAddr) {
        self.addr = Some(addr);
        self.step(at, Command::StandBy);
    }

    pub(crate) fn obey(&mut self, at: Instant, order: Order) {
        self.step(at, Command::Obey(order));
    }

    /// The host leaves, and so does it: an end that nobody takes for one of its own doing.
    pub(crate) fn leave(&mut self, at: Instant, actor: Actor) {
        self.step(at, Command::BeginDrain(DrainOrder { cause: Cause::Api, actor, terms: Terms::PATIENT }));
        self.step(at, Command::Leave);
    }

    /// Takes a call or a request, if it serves and has room.
    pub(crate) fn admit(&mut self, at: Instant, served: Served) -> Option<CallNo> {
        // What a program serves has no id of its own: it is known by the number that it gets.
        let id = Digest::new(self.machine.head().seq.next().get());
        let entry = self.machine.step(at, Command::Admit { id, class: Class::default() }).ok()?;
        self.requests += u32::from(served == Served::Request);
        Some(CallNo::new(entry.seq.get()))
    }

    /// What was offered as a call is none: the program said no, and its answer is under way.
    pub(crate) const fn decline(&mut self) {
        self.requests += 1;
    }

    /// `is_lost`: a call that ended because the program did.
    pub(crate) fn end(&mut self, at: Instant, call: CallNo, served: Served, is_lost: bool) {
        self.step(at, Command::End { call, reason: EndReason::CallerHangup });
        self.requests -= u32::from(served == Served::Request);
        self.lost += u32::from(is_lost);
    }

    /// A refusal changes nothing: what the machine then is, its report says.
    fn step(&mut self, at: Instant, command: Command) {
        let _ = self.machine.step(at, command);
        while self.machine.step(at, Command::Wake).is_ok() {}
    }
}
