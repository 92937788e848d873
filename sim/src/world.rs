//! The world of a run: callers, dispatcher, network, platform, workers and coordinators under one virtual clock.
//!
//! Workers and coordinators are the production machines, at level 1 the workers' shells too; everything around them is
//! here. Each subject is a struct with its own state and methods. The world puts them together. They share a
//! context: the scene (plan, clock, queue and verdict), the records and the network. Events lie in the queue by
//! time, those of one moment in the order they were made, so a run is a function of its plan.
//!
//! | subject | file |
//! |---|---|
//! | callers | `callers` |
//! | dispatcher | `dispatcher` |
//! | network and mail | `network` |
//! | records: what became of each call, the digest | `books` |
//! | platform | `platform` |
//! | workers: hosts of processes | `workers`, `settle`, `calls`, `surroundings`, at level 1 `runtime` |
//! | a worker's side of its coordinators | `uplink` |
//! | coordinators | `coordinators` |
//! | what the plan has happen, what comes due, when the run is over | `deeds`, `due`, `pending` |

mod books;
mod callers;
mod calls;
mod coordinators;
mod deeds;
mod dispatcher;
mod due;
mod network;
mod pending;
mod platform;
mod queue;
mod runtime;
mod scene;
mod settle;
mod surroundings;
mod uplink;
mod workers;

use openrtc_core::time::{Instant, Span};

use self::books::Books;
use self::callers::Callers;
use self::coordinators::Coordinators;
use self::dispatcher::Dispatcher;
use self::network::{Network, Say};
use self::platform::Platform;
use self::queue::Event;
use self::scene::Scene;
pub use self::scene::{StoryLine, Who};
pub use self::workers::Node;
use self::workers::Workers;
use crate::id::{AttemptIndex, CoordinatorIndex};
use crate::ledger::Ledger;
use crate::oracle::Violation;
use crate::plan::Plan;
pub use crate::process::Life;
use crate::subject::Subject;

/// How long a run goes on after the last thing that its plan speaks of, its drains and flushes not counted.
const SLACK: Span = Span::from_secs(700);

/// No run lasts until then.
const NEVER: Instant = Instant::from_micros(u64::MAX);

/// What all subjects share.
struct Context<'p> {
    scene: Scene<'p>,
    books: Books,
    network: Network,
}

impl Context<'_> {
    fn send(&mut self, say: Say, attempt: AttemptIndex) {
        self.network.send(&mut self.scene, say, attempt);
    }
}

/// A run in progress.
pub struct World<'p> {
    context: Context<'p>,
    callers: Callers,
    dispatcher: Dispatcher,
    platform: Platform,
    workers: Workers,
    coordinators: Coordinators,
    next_happening: usize,
    horizon: Instant,
    is_over: bool,
    /// When to look next whether the run is over.
    look_at: Instant,
}

impl<'p> World<'p> {
    /// The world of a plan before anything has happened in it.
    #[must_use]
    pub fn new(plan: &'p Plan, subject: Subject) -> Self {
        let mut scene = Scene::new(plan, subject);
        // The run begins: the old version is rolled out.
        scene.at(Instant::EPOCH, Event::FleetWake(CoordinatorIndex::default()));
        Self {
            callers: Callers::new(plan),
            dispatcher: Dispatcher::new(plan),
            platform: Platform::default(),
            workers: Workers::new(&scene),
            coordinators: Coordinators::new(),
            next_happening: 0,
            horizon: plan.last_moment() + plan.drain_timeout.unwrap_or_default() + plan.flush + SLACK,
            is_over: false,
            look_at: Instant::EPOCH,
            context: Context { scene, books: Books::new(plan), network: Network::new(plan) },
        }
    }

    /// The same world, which tells what happens in it.
    #[must_use]
    pub fn telling(mut self) -> Self {
        self.context.scene.story = Some(Vec::new());
        self
    }

    /// One step: the next happening of the plan, the next call or hang-up, or the next event. False once nothing
    /// follows or an invariant is broken.
    pub fn step(&mut self) -> bool {
        if self.violation().is_some() || self.is_over {
            return false;
        }
        let scene = &mut self.context.scene;
        let happening = scene.plan.happenings.get(self.next_happening).map(|happening| happening.at);
        let (call, hang_up) = (self.callers.next_call_at(scene.plan), self.callers.next_hang_up_at());
        let or_never = |at: Option<Instant>| at.unwrap_or(NEVER);
        let at = or_never(happening).min(or_never(call)).min(or_never(hang_up)).min(or_never(scene.queue.next_at()));
        if at > self.horizon {
            scene.now = self.horizon;
            return false;
        }
        scene.now = at;
        scene.steps += 1;
        if happening == Some(at) {
            let deed = scene.plan.happenings[self.next_happening].deed;
            self.next_happening += 1;
            self.happen(deed);
        } else if call == Some(at) {
            let call = self.callers.ring(&mut self.context);
            self.place(call);
        } else if hang_up == Some(at) {
            self.callers.hang_up(&mut self.context);
        } else if let Some(event) = scene.queue.pop() {
            self.handle(event);
        }
        true
    }

    /// The broken invariant, if one is.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.context.scene.violation.as_ref()
    }

    /// What cannot be known, if anything.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        self.context.scene.unknown.as_deref()
    }

    /// How far the run is.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.context.scene.now
    }

    /// Steps taken.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.context.scene.steps
    }

    /// Journal entries written, by workers and coordinators.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.context.books.entries
    }

    /// The chained hash over every journal entry so far: two runs with equal digests did the same.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.context.books.digest
    }

    /// What became of every call.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.context.books.ledger
    }

    /// The workers.
    #[must_use]
    pub fn workers(&self) -> &[Node] {
        &self.workers.list
    }

    /// What happened so far, if it was asked for.
    #[must_use]
    pub fn story(&self) -> &[StoryLine] {
        self.context.scene.story.as_deref().unwrap_or_default()
    }
}
