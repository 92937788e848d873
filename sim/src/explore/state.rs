//! A small world at one moment: what its parts know, what is on its way, and what may strike yet.

use std::sync::Arc;

use openrtc_core::id::CallNo;
use openrtc_core::machine::Machine;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Availability, Command, Limits, Worker};

use super::Scope;
use crate::bug::Bug;
use crate::oracle::Invariant;

/// One thing that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The next caller calls.
    Ring,
    /// The dispatcher offers a call to a worker.
    Offer(u8, u8),
    /// The dispatcher hears the news of a worker.
    Hear(u8),
    /// The message at this place arrives.
    Deliver(u8),
    /// It arrives, and will arrive again.
    Duplicate(u8),
    /// It arrives, and the worker dies between its journal and what follows from it.
    CrashOn(u8),
    /// A caller hangs up.
    HangUp(u8),
    /// A call's handler fails.
    Fail(u8),
    /// The first worker gets SIGTERM.
    Signal,
    /// A person drains the first worker.
    Drain,
    /// A person takes that back.
    Cancel,
    /// A worker's earliest time-out is reached.
    Wake(u8),
    /// A worker has written its last record.
    Flush(u8),
    /// A call that a force cuts says goodbye.
    Goodbye(u8, u8),
    /// A worker is killed.
    Kill(u8),
}

/// What is said between dispatcher and worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Say {
    Offer,
    Answer(bool),
    Assign,
    End,
    Gone,
}

/// A message on its way, about one offer of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) call: u8,
    pub(super) worker: u8,
    pub(super) offer: u8,
    pub(super) say: Say,
    /// Whether it is the second copy: that arrives whenever it likes.
    pub(super) is_late: bool,
}

impl Message {
    pub(super) const fn is_to_worker(self) -> bool {
        matches!(self.say, Say::Offer | Say::Assign | Say::End)
    }

    /// What keeps its order: messages about one call, on one connection, in one direction.
    pub(super) const fn link(self) -> (u8, u8, bool, bool) {
        (self.call, self.worker, self.is_to_worker(), self.is_late)
    }
}

/// What the dispatcher hears of a worker as a whole. What it did not hear before the next news, it never hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum News {
    Open,
    Closed,
    Down,
}

/// What has become of a call, as its caller and the dispatcher know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fate {
    Silent,
    Waiting,
    Placing,
    Talking,
    Completed,
    Abandoned,
    NoCapacity,
    Failed,
    Forced,
    Killed,
    Lost,
}

impl Fate {
    pub(super) const fn is_over(self) -> bool {
        !matches!(self, Self::Silent | Self::Waiting | Self::Placing | Self::Talking)
    }
}

/// A call, its latest offer and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) fate: Fate,
    pub(super) worker: u8,
    pub(super) offer: u8,
    pub(super) assigned: bool,
}

/// A yes that a worker gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) call: u8,
    pub(super) offer: u8,
    pub(super) number: CallNo,
    pub(super) active: bool,
}

/// What a worker answered to an offer and need no longer hold: if the offer comes again, so does the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) call: u8,
    pub(super) offer: u8,
    pub(super) yes: bool,
}

/// A worker: the production machine and what the process around it knows.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a process")]
pub(super) struct Node {
    pub(super) machine: Worker,
    /// What the journal shows, where that is not what the machine is.
    pub(super) record: Option<Box<Worker>>,
    pub(super) is_up: bool,
    pub(super) is_doomed: bool,
    pub(super) is_flushing: bool,
    pub(super) is_flushed: bool,
    pub(super) is_cutting: bool,
    pub(super) signals: u8,
    pub(super) cut: u8,
    pub(super) announced: Availability,
    pub(super) news: Option<News>,
    /// Whether the dispatcher thinks that it takes calls.
    pub(super) is_open: bool,
    pub(super) promises: Vec<Promise>,
    pub(super) answered: Vec<Answered>,
}

/// A small world at one moment. Equal are states that behave alike from here on: numbers and times count only as far as
/// they order things.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) bug: Option<Bug>,
    /// What may strike yet.
    pub(super) left: Scope,
    /// Shared with the states before and after that a step of another worker separates.
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) calls: Vec<Line>,
    /// Link by link, for messages of different links have no order among them.
    pub(super) net: Vec<Message>,
    pub(super) violation: Option<(Invariant, String)>,
    pub(super) told: Option<Vec<String>>,
}

/// Clocks start here, so that there is time before.
const START: Instant = Instant::from_micros(1_000_000_000);

impl State {
    /// The world of a scope, its workers serving, before the first call.
    #[must_use]
    pub fn new(scope: &Scope, bug: Option<Bug>) -> Self {
        let limits = Limits { capacity: scope.capacity.into(), ..Limits::default() };
        let line = Line { fate: Fate::Silent, worker: 0, offer: 0, assigned: false };
        Self {
            bug,
            left: *scope,
            nodes: (0..scope.workers).map(|_| Arc::new(Node::serving(limits))).collect(),
            calls: vec![line; scope.calls.into()],
            net: Vec::new(),
            violation: None,
            told: None,
        }
    }

    /// The same world, which tells what happens in it.
    #[must_use]
    pub fn telling(mut self) -> Self {
        self.told = Some(Vec::new());
        self
    }

    /// What happened so far, in words, if it was asked for.
    #[must_use]
    pub fn told(&self) -> &[String] {
        self.told.as_deref().unwrap_or_default()
    }

    /// The invariant that does not hold, and what is wrong.
    #[must_use]
    pub const fn violation(&self) -> Option<&(Invariant, String)> {
        self.violation.as_ref()
    }

    pub(super) fn node(&mut self, worker: usize) -> &mut Node {
        Arc::make_mut(&mut self.nodes[worker])
    }

    pub(super) fn send(&mut self, message: Message) {
        let end = self.net.partition_point(|sent| sent.link() <= message.link());
        self.net.insert(end, message);
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(super) fn violate(&mut self, invariant: Invariant, what: String) {
        self.violation.get_or_insert((invariant, what));
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            told.push(what());
        }
    }
}

impl Node {
    fn serving(limits: Limits) -> Self {
        let mut machine = Worker::new(limits).expect("the scope's capacity was checked");
        machine.step(START, Command::Serve).expect("a fresh worker may serve");
        Self {
            machine,
            record: None,
            is_up: true,
            is_doomed: false,
            is_flushing: false,
            is_flushed: false,
            is_cutting: false,
            signals: 0,
            cut: 0,
            announced: Availability::Open,
            news: None,
            is_open: true,
            promises: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// What it answered to this offer of this call, if that is over.
    pub(super) fn answer_to(&self, message: Message) -> Option<bool> {
        let same = |answered: &&Answered| (answered.call, answered.offer) == (message.call, message.offer);
        self.answered.iter().find(same).map(|answered| answered.yes)
    }

    pub(super) fn remember(&mut self, promise: Promise) {
        self.answered.push(Answered { call: promise.call, offer: promise.offer, yes: true });
    }

    /// The yes it gave to this offer of this call, unless that is over.
    pub(super) fn promise(&self, message: Message) -> Option<usize> {
        self.promises.iter().position(|promise| (promise.call, promise.offer) == (message.call, message.offer))
    }
}
