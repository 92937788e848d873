//! A plan: everything a run does that its machines do not decide, as data that a person can read and edit.
//!
//! A run is a function of its plan alone. Message delays come from a keyed hash of the plan's seed and the message, so
//! that taking one call or fault out of a plan leaves the others as they were; that is what makes shrinking work.

mod parse;
mod print;

use openrtc_core::fleet::{Gate, GateSet, OnGateFailure};
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::OnDeadline;

pub use parse::BadPlan;
pub(crate) use print::Time;

use crate::bug::Bug;
use crate::clock::Skew;
use crate::id::{CallIndex, Colour, WorkerIndex};
use crate::oracle::Invariant;

/// The most calls a plan may hold.
pub const CALLS_MAX: usize = 5_000_000;

/// More often than this nobody calls again.
pub const REDIALS_MAX: u32 = 100;
/// The most workers of one version.
pub const WORKERS_MAX: u32 = 2_000;

/// No plan may name a later time: ten days.
pub const TIME_MAX: Span = Span::from_secs(864_000);

/// A whole run, before it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it is for, in a line.
    pub title: String,
    /// Where the incident it tells is described.
    pub source: String,
    /// What message delays are drawn from.
    pub seed: u64,
    /// Workers of the old version.
    pub blue: u32,
    /// Workers of the new version.
    pub green: u32,
    /// Calls one worker may hold.
    pub capacity: u32,
    /// How long a message takes: from and to.
    pub latency: (Span, Span),
    /// What happens when a drain is overdue.
    pub on_deadline: OnDeadline,
    /// When a drain is overdue, from its begin.
    pub drain_timeout: Option<Span>,
    /// How many workers drain at a time.
    pub wave: u32,
    /// By how much the new version's share of calls grows at a time, per cent.
    pub shift: u8,
    /// What judges each step of the rollout, and what happens when it says no.
    pub gates: (GateSet, OnGateFailure),
    /// How long a worker takes to flush its records once its last call has ended.
    pub flush: Span,
    /// How long the platform waits between SIGTERM and SIGKILL; `None` waits for ever.
    pub grace: Option<Span>,
    /// How long a caller waits for an answer before it is declined.
    pub patience: Span,
    /// How often a caller that was declined calls again.
    pub redials: u32,
    /// How old what the dispatcher knows of the workers' loads may be.
    pub loads: Span,
    /// The calls, in the order they come.
    pub calls: Vec<Call>,
    /// What happens besides calls.
    pub happenings: Vec<Happening>,
    /// What happens to single messages.
    pub tampers: Vec<Tamper>,
    /// What the run must end in.
    pub expect: Expect,
    /// Planted bugs that must be caught in it, and by which invariant.
    pub catches: Vec<(Bug, Invariant)>,
}

impl Default for Plan {
    /// Two workers of each version, ten calls each, a millisecond to 20 a message, and no calls.
    fn default() -> Self {
        Self {
            title: String::new(),
            source: String::new(),
            seed: 0,
            blue: 2,
            green: 2,
            capacity: 10,
            latency: (Span::from_millis(1), Span::from_millis(20)),
            on_deadline: OnDeadline::Wait,
            drain_timeout: None,
            wave: 10,
            shift: 100,
            gates: (GateSet::NONE, OnGateFailure::Pause),
            flush: Span::from_millis(50),
            grace: None,
            patience: Span::from_secs(60),
            redials: 0,
            loads: Span::ZERO,
            calls: Vec::new(),
            happenings: Vec::new(),
            tampers: Vec::new(),
            expect: Expect::Proven,
            catches: Vec::new(),
        }
    }
}

/// The gates by their names in plans.
const GATES: [(Gate, &str); 3] =
    [(Gate::ErrorRate, "error-rate"), (Gate::Webhook, "webhook"), (Gate::Person, "person")];

/// What a run must end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Every invariant held and everything came to its end.
    Proven,
    /// Nothing broke, but not everything can be known.
    Unknown,
}

/// One caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// When the caller calls.
    pub at: Instant,
    /// When the caller hangs up, from then; it may be before the call is set up.
    pub lasts: Span,
    /// How the call behaves.
    pub kind: Kind,
}

impl Call {
    /// When the caller hangs up.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.at + self.lasts
    }
}

/// How a call behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody watches it for progress.
    Plain,
    /// It reports progress, and is flagged if it does not.
    Watched,
    /// Watched, but it never reports any.
    Silent,
    /// Its hang-up never reaches the worker.
    Phantom,
    /// Its handler fails half-way.
    Failing,
}

/// Something that happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When it happens.
    pub at: Instant,
    /// What happens then.
    pub deed: Deed,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// The new version is rolled out.
    Rollout,
    /// The rollout is taken back.
    Rollback,
    /// The rollout takes no further step.
    Pause,
    /// The rollout goes on.
    Resume,
    /// A person lets the rollout go on.
    Promote,
    /// The version that takes all calls is to have so many workers.
    Scale(u32),
    /// The next gate that is judged fails.
    GateFails,
    /// The coordinator is told to keep new calls from a worker.
    Cordon(WorkerIndex),
    /// The coordinator is told to let a worker take calls again.
    Uncordon(WorkerIndex),
    /// The coordinator is told to drain one worker, and to have it leave.
    Dismiss(WorkerIndex),
    /// A worker is told to drain by its own API.
    Drain(WorkerIndex),
    /// A worker's drain is taken back by its own API.
    Cancel(WorkerIndex),
    /// A worker's drain gets more time: how much from now.
    Extend(WorkerIndex, Span),
    /// A person forces a worker's drain.
    Force(WorkerIndex),
    /// The coordinator is told to write off or force a worker.
    GiveUp(WorkerIndex),
    /// The platform signals a worker: it will be killed when the grace is over.
    Sigterm(WorkerIndex),
    /// The platform kills a worker.
    Sigkill(WorkerIndex),
    /// The platform starts a worker's process again, with the image it had.
    Restart(WorkerIndex),
    /// A worker dies between writing its next entry and acting on it.
    CrashMidStep(WorkerIndex),
    /// A worker's last journal entries are lost if it dies.
    TornDisk(WorkerIndex),
    /// Nothing passes to or from a worker for so long; then everything does.
    Partition(WorkerIndex, Span),
    /// A worker's clock steps.
    ClockStep(WorkerIndex, Skew),
    /// A worker's records take so long to flush.
    SlowSink(WorkerIndex, Span),
    /// The coordinator dies and comes back after so long, with its journal.
    CoordinatorCrash(Span),
    /// A second coordinator takes over while the first goes on.
    SecondCoordinator,
}

impl Deed {
    /// Whether it is a fault, not a step of a rollout that somebody meant.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        let meant = matches!(self, Self::Scale(_) | Self::Cordon(_) | Self::Uncordon(_) | Self::Dismiss(_));
        !meant && !matches!(self, Self::Rollout | Self::Rollback | Self::Pause | Self::Resume | Self::Promote)
    }
}

/// What happens to one message of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tamper {
    /// Which call.
    pub call: CallIndex,
    /// Which message.
    pub message: Message,
    /// What happens to it.
    pub fate: MessageFate,
}

/// The messages of a call's set-up, in order (`LiveKit`'s agent protocol: offer, answer, assignment).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    /// Dispatcher to worker: will you take it?
    Offer,
    /// Worker to dispatcher: yes or no.
    Answer,
    /// Dispatcher to worker: it is yours.
    Assign,
    /// Worker to dispatcher: it runs, or it does not.
    Started,
    /// To the worker: the caller hung up or the offer is withdrawn.
    End,
}

/// What can happen to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFate {
    /// It takes so much longer.
    Delayed(Span),
    /// It arrives twice.
    Duplicated,
    /// It never arrives.
    Lost,
}

impl Plan {
    /// Workers of both versions.
    #[must_use]
    pub const fn workers(&self) -> u32 {
        self.blue + self.green
    }

    /// What can be taken out of the plan without changing what it is about: its calls, happenings and tampers.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.calls.len() + self.happenings.len() + self.tampers.len()
    }

    /// Every worker, blue ones first.
    pub fn every_worker(&self) -> impl Iterator<Item = WorkerIndex> + use<> {
        (0..self.workers()).map(WorkerIndex::new)
    }

    /// Every call, in the order they come.
    pub fn every_call(&self) -> impl Iterator<Item = CallIndex> + use<> {
        (0..self.calls.len()).map(CallIndex::at)
    }

    /// The version that a worker runs.
    #[must_use]
    pub const fn colour(&self, worker: WorkerIndex) -> Colour {
        if worker.get() < self.blue { Colour::Blue } else { Colour::Green }
    }

    /// How many workers run a version.
    #[must_use]
    pub const fn workers_of(&self, colour: Colour) -> u32 {
        match colour {
            Colour::Blue => self.blue,
            Colour::Green => self.green,
        }
    }

    /// A worker's name.
    #[must_use]
    pub fn worker_name(&self, worker: WorkerIndex) -> String {
        let number = worker.get();
        match self.colour(worker) {
            Colour::Blue => format!("blue-{number}"),
            Colour::Green => format!("green-{}", number - self.blue),
        }
    }

    /// The worker with this name.
    #[must_use]
    pub fn worker_named(&self, name: &str) -> Option<WorkerIndex> {
        let (colour, number) = name.split_once('-')?;
        let number: u32 = number.parse().ok()?;
        match colour {
            "blue" if number < self.blue => Some(WorkerIndex::new(number)),
            "green" if number < self.green => Some(WorkerIndex::new(self.blue + number)),
            _ => None,
        }
    }

    /// The last moment the plan itself speaks of.
    #[must_use]
    pub fn last_moment(&self) -> Instant {
        let calls = self.calls.iter().map(Call::ends);
        let deeds = self.happenings.iter().map(|happening| {
            happening.at
                + match happening.deed {
                    Deed::Partition(_, span)
                    | Deed::CoordinatorCrash(span)
                    | Deed::Extend(_, span)
                    | Deed::SlowSink(_, span) => span,
                    _ => Span::ZERO,
                }
        });
        calls.chain(deeds).max().unwrap_or_default()
    }
}

impl Plan {
    /// What happens, as the plan's text has it.
    #[must_use]
    pub fn name(&self, deed: Deed) -> String {
        print::Done(self, deed).to_string()
    }

    /// A happening as the plan's text has it.
    #[must_use]
    pub fn tell(&self, happening: &Happening) -> String {
        print::Worded(self, happening).to_string()
    }
}
