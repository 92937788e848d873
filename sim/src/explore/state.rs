//! A small world at one moment: what its parts know, what is on its way, and what may strike yet.

use core::fmt;
use std::sync::Arc;

use openrtc_core::worker::{Command, Leave, Limits};

use super::Scope;
use super::node::{Node, Offer};
use crate::bug::Bug;
use crate::id::index;
use crate::oracle::Invariant;

index! {
    /// A worker of a small world. It is called by a letter.
    Letter: u8
}
index! {
    /// A caller of a small world, and the call.
    Caller: u8
}
index! {
    /// The place of a message among those on their way, or of a call among those that a worker holds.
    Slot: u8
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        char::from(b'A' + self.get()).fmt(f)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// The worker that signals and people are about.
pub(super) const FIRST: Letter = Letter::new(0);

/// How often a call has been offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Round(u8);

impl Round {
    pub(super) const fn new(offers: u8) -> Self {
        Self(offers)
    }

    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One thing that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The next caller calls.
    Ring,
    /// The dispatcher offers a call to a worker.
    Offer(Caller, Letter),
    /// The dispatcher hears the news of a worker.
    Hear(Letter),
    /// The message at this place arrives.
    Deliver(Slot),
    /// It arrives, and will arrive again.
    Duplicate(Slot),
    /// It arrives, and the worker dies between its journal and what follows from it.
    CrashOn(Slot),
    /// A caller hangs up.
    HangUp(Caller),
    /// A call's handler fails.
    Fail(Caller),
    /// The first worker gets SIGTERM.
    Signal,
    /// A person drains the first worker.
    Drain,
    /// A person takes that back.
    Cancel,
    /// A worker's earliest time-out is reached.
    Wake(Letter),
    /// A worker has written its last record.
    Flush(Letter),
    /// A call that a force cuts ends within the grace.
    EndForced(Letter, Slot),
    /// A worker is killed.
    Kill(Letter),
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
    pub(super) call: Caller,
    pub(super) worker: Letter,
    pub(super) round: Round,
    pub(super) say: Say,
    /// Whether it is the second copy: that arrives whenever it likes.
    pub(super) is_late: bool,
}

impl Message {
    pub(super) const fn new(say: Say, worker: Letter, offer: Offer) -> Self {
        Self { call: offer.call, worker, round: offer.round, say, is_late: false }
    }

    pub(super) const fn offer(self) -> Offer {
        Offer { call: self.call, round: self.round }
    }

    pub(super) const fn is_to_worker(self) -> bool {
        matches!(self.say, Say::Offer | Say::Assign | Say::End)
    }

    /// What keeps its order: messages about one call, on one connection, in one direction.
    pub(super) const fn link(self) -> (Caller, Letter, bool, bool) {
        (self.call, self.worker, self.is_to_worker(), self.is_late)
    }
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
    pub(super) worker: Letter,
    pub(super) round: Round,
    pub(super) assigned: bool,
}

/// All of a small world but its workers.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// What may strike yet.
    pub(super) left: Scope,
    pub(super) calls: Vec<Line>,
    /// Link by link, for messages of different links have no order among them.
    pub(super) net: Vec<Message>,
    pub(super) violation: Option<(Invariant, String)>,
    told: Option<Vec<String>>,
}

/// A small world at one moment. Equal are states that behave alike from here on: numbers and times count only as far as
/// they order things.
#[derive(Clone, Debug)]
pub struct State {
    /// Shared with the states before and after that a step of another worker separates.
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) context: Context,
}

impl State {
    /// The world of a scope, its workers serving, before the first call.
    #[must_use]
    pub fn new(scope: &Scope, bug: Option<Bug>) -> Self {
        let limits = Limits { capacity: scope.capacity.into(), leave: Leave::Parked, ..Limits::default() };
        let line = Line { fate: Fate::Silent, worker: FIRST, round: Round::default(), assigned: false };
        let context = Context {
            left: *scope,
            calls: vec![line; scope.calls.into()],
            net: Vec::new(),
            violation: None,
            told: None,
        };
        let nodes = (0..scope.workers).map(|_| Arc::new(Node::new(limits, bug))).collect();
        let mut state = Self { nodes, context };
        for worker in state.workers() {
            state.serve(worker);
        }
        state
    }

    /// A worker serves, and the dispatcher knows.
    fn serve(&mut self, worker: Letter) {
        self.running(worker).give(Command::Serve).expect("a fresh worker may serve");
        self.settle(worker);
        self.node(worker).pending.hear();
    }

    /// The same world, which tells what happens in it.
    #[must_use]
    pub fn telling(mut self) -> Self {
        self.context.told = Some(Vec::new());
        self
    }

    /// What happened so far, in words, if it was asked for.
    #[must_use]
    pub fn told(&self) -> &[String] {
        self.context.told.as_deref().unwrap_or_default()
    }

    /// The invariant that does not hold, and what is wrong.
    #[must_use]
    pub const fn violation(&self) -> Option<&(Invariant, String)> {
        self.context.violation.as_ref()
    }

    pub(super) fn workers(&self) -> impl Iterator<Item = Letter> + use<> {
        (0..self.nodes.len()).map(Letter::at)
    }

    pub(super) fn node(&mut self, worker: Letter) -> &mut Node {
        Arc::make_mut(&mut self.nodes[worker])
    }
}

impl Context {
    pub(super) fn send(&mut self, message: Message) {
        let end = self.net.partition_point(|sent| sent.link() <= message.link());
        self.net.insert(end, message);
    }

    /// A call that was not taken after all waits again, unless its offers are used up.
    pub(super) fn put_back(&mut self, offer: Offer) {
        let most = Round::new(self.left.offers);
        let line = &mut self.calls[offer.call];
        if line.round == offer.round && line.fate == Fate::Placing {
            line.fate = if line.round < most { Fate::Waiting } else { Fate::NoCapacity };
        }
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
