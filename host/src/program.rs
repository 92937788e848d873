//! One run of the program. To the host's fleet it is a worker, and here is the worker machine that it has in it: so a
//! program obeys orders, takes calls and drains by the same rules as a worker that embeds the runtime.

use std::net::SocketAddr;

use openrtc_core::fleet::{Facts, Report, Run};
use openrtc_core::id::{CallNo, Digest, Version};
use openrtc_core::machine::Machine;
use openrtc_core::order::Order;
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{BadLimits, CLASSES, Class, Command, EndReason, Leave, Limits, Worker};
use openrtc_fleet::child::Child;

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) run: Run,
    pub(crate) version: Version,
    pub(crate) child: Child,
    /// Where it listens; `None` until it does.
    pub(crate) addr: Option<SocketAddr>,
    /// Whether it was told to end, so that its end is none of its own doing.
    pub(crate) is_told_to_end: bool,
    machine: Worker,
}

impl Program {
    pub(crate) fn new(run: Run, version: Version, child: Child, capacity: u32) -> Result<Self, BadLimits> {
        // The host's own machine looks after silent calls.
        let limits = Limits { capacity, leave: Leave::Parked, stall_after: [None; CLASSES], ..Limits::default() };
        let machine = Worker::new(limits)?;
        Ok(Self { run, version, child, addr: None, is_told_to_end: false, machine })
    }

    /// What its fleet hears of it.
    pub(crate) fn report(&self) -> Report {
        Report { run: self.run, version: self.version, facts: Facts::of(self.machine.life()) }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.machine.phase()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.machine.word().in_flight()
    }

    /// It listens: it can be told to take calls.
    pub(crate) fn stand_by(&mut self, at: Instant, addr: SocketAddr) {
        self.addr = Some(addr);
        self.step(at, Command::StandBy);
    }

    pub(crate) fn obey(&mut self, at: Instant, order: Order) {
        self.step(at, Command::Obey(order));
    }

    /// Takes a call, if it serves and has room.
    pub(crate) fn admit(&mut self, at: Instant) -> Option<CallNo> {
        // A program's call has no id of its own: it is known by the number that it gets.
        let id = Digest::new(self.machine.head().seq.next().get());
        let entry = self.machine.step(at, Command::Admit { id, class: Class::default() }).ok()?;
        Some(CallNo::new(entry.seq.get()))
    }

    pub(crate) fn end(&mut self, at: Instant, call: CallNo) {
        self.step(at, Command::End { call, reason: EndReason::CallerHangup });
    }

    /// A refusal changes nothing: what the machine then is, its report says.
    fn step(&mut self, at: Instant, command: Command) {
        let _ = self.machine.step(at, command);
        while self.machine.step(at, Command::Wake).is_ok() {}
    }
}
