//! A plan: everything a run does that its machines do not decide, as data that a person can read and edit.
//!
//! A run is a function of its plan alone. Message delays come from a keyed hash of the plan's seed and the message, so
//! that taking one call or fault out of a plan leaves the others as they were; that is what makes shrinking work.

mod parse;
mod print;

use openrtc_core::worker::OnDeadline;

pub use parse::BadPlan;

use crate::bug::Bug;
use crate::oracle::Invariant;

/// Microseconds in a second, the unit of all times here being the microsecond.
pub const SECOND: u64 = 1_000_000;

/// The most calls a plan may hold.
pub const CALLS_MAX: usize = 5_000_000;

/// More often than this nobody calls again.
pub const REDIALS_MAX: u32 = 100;
/// The most workers of one version.
pub const WORKERS_MAX: u32 = 2_000;

/// No plan may name a later time: ten days.
pub const TIME_MAX: u64 = 864_000 * SECOND;

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
    /// How long a message takes: from and to, in microseconds.
    pub latency: (u64, u64),
    /// What happens when a drain is overdue.
    pub on_deadline: OnDeadline,
    /// When a drain is overdue, from its begin.
    pub drain_timeout: Option<u64>,
    /// How many workers drain at a time.
    pub wave: u32,
    /// How long a worker takes to flush its records once its last call has ended.
    pub flush: u64,
    /// How long the platform waits between SIGTERM and SIGKILL; `None` waits for ever.
    pub grace: Option<u64>,
    /// How long a caller waits for an answer before it is declined.
    pub patience: u64,
    /// How often a caller that was declined calls again.
    pub redials: u32,
    /// How old what the dispatcher knows of the workers' loads may be.
    pub loads: u64,
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
            latency: (1_000, 20_000),
            on_deadline: OnDeadline::Wait,
            drain_timeout: None,
            wave: 10,
            flush: 50_000,
            grace: None,
            patience: 60 * SECOND,
            redials: 0,
            loads: 0,
            calls: Vec::new(),
            happenings: Vec::new(),
            tampers: Vec::new(),
            expect: Expect::Proven,
            catches: Vec::new(),
        }
    }
}

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
    pub at: u64,
    /// When the caller hangs up, from then; it may be before the call is set up.
    pub lasts: u64,
    /// How the call behaves.
    pub kind: Kind,
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
    /// When.
    pub at: u64,
    /// What.
    pub deed: Deed,
}

/// What can happen. Workers are numbered: blue ones first, then green ones.
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
    /// A worker is told to drain by its own API.
    Drain(u32),
    /// A worker's drain is taken back by its own API.
    Cancel(u32),
    /// A worker's drain gets more time: how much from now.
    Extend(u32, u64),
    /// A person forces a worker's drain.
    Force(u32),
    /// The coordinator is told to write off or force a worker.
    GiveUp(u32),
    /// The platform signals a worker: it will be killed when the grace is over.
    Sigterm(u32),
    /// The platform kills a worker.
    Sigkill(u32),
    /// The platform starts a worker's process again, with the image it had.
    Restart(u32),
    /// A worker dies between writing its next entry and acting on it.
    CrashMidStep(u32),
    /// A worker's last journal entries are lost if it dies.
    TornDisk(u32),
    /// Nothing passes to or from a worker for so long; then everything does.
    Partition(u32, u64),
    /// A worker's clock steps, in microseconds.
    ClockStep(u32, i64),
    /// A worker's records take so long to flush.
    SlowSink(u32, u64),
    /// The coordinator dies and comes back after so long, with its journal.
    CoordinatorCrash(u64),
    /// A second coordinator takes over while the first goes on.
    SecondCoordinator,
}

impl Deed {
    /// Whether it is a fault, not a step of a rollout that somebody meant.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        !matches!(self, Self::Rollout | Self::Rollback | Self::Pause | Self::Resume)
    }
}

/// What happens to one message of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tamper {
    /// Which call, from 0.
    pub call: u32,
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
    Delayed(u64),
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

    /// A worker's name.
    #[must_use]
    pub fn worker_name(&self, worker: u32) -> String {
        if worker < self.blue { format!("blue-{worker}") } else { format!("green-{}", worker - self.blue) }
    }

    /// The last moment the plan itself speaks of.
    #[must_use]
    pub fn last_moment(&self) -> u64 {
        let calls = self.calls.iter().map(|call| call.at + call.lasts).max().unwrap_or(0);
        let deeds = self.happenings.iter().map(|happening| {
            happening.at
                + match happening.deed {
                    Deed::Partition(_, span)
                    | Deed::CoordinatorCrash(span)
                    | Deed::Extend(_, span)
                    | Deed::SlowSink(_, span) => span,
                    _ => 0,
                }
        });
        calls.max(deeds.max().unwrap_or(0))
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
        print::Told(self, happening).to_string()
    }
}
