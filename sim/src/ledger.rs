//! The ledger: what became of every call ever offered, kept from what callers, dispatcher and platform see, never from
//! a worker's own books. Where the two differ, somebody is wrong.

use openrtc_core::time::Instant;

use crate::id::{AttemptIndex, CallIndex, WorkerIndex};
use crate::plan::Plan;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is yet to come.
    Ahead,
    /// The caller waits for an answer.
    Waiting,
    /// A worker said yes.
    Reserved,
    /// It runs.
    Active,
    /// Caller or agent ended it.
    Completed,
    /// Its handler failed.
    Failed,
    /// The caller hung up before it ran.
    Abandoned,
    /// Nobody had room for as long as the caller waited.
    NoCapacity,
    /// A forced drain cut it.
    Forced,
    /// Its worker was killed by the platform or died of a fault.
    Killed,
    /// It was lost and nobody meant that.
    Lost,
}

impl Fate {
    /// Every fate.
    pub const ALL: [Self; 11] = [
        Self::Ahead,
        Self::Waiting,
        Self::Reserved,
        Self::Active,
        Self::Completed,
        Self::Failed,
        Self::Abandoned,
        Self::NoCapacity,
        Self::Forced,
        Self::Killed,
        Self::Lost,
    ];

    /// Whether nothing more can happen to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Ahead | Self::Waiting | Self::Reserved | Self::Active)
    }

    /// The fate in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ahead => "still to come",
            Self::Waiting => "waiting",
            Self::Reserved => "reserved",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "handler failed",
            Self::Abandoned => "hung up in set-up",
            Self::NoCapacity => "no capacity",
            Self::Forced => "cut by force",
            Self::Killed => "killed with its worker",
            Self::Lost => "lost",
        }
    }
}

/// One call's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What became of it.
    pub fate: Fate,
    /// The worker that holds or held it.
    pub worker: Option<WorkerIndex>,
    /// When it began to run.
    pub began: Option<Instant>,
    /// When it was over.
    pub ended: Option<Instant>,
    /// Which attempt to place it counts: the last one.
    pub attempt: Option<AttemptIndex>,
}

/// All calls' lines, and how many there are of each fate.
#[derive(Clone, Debug)]
pub struct Ledger {
    lines: Vec<Line>,
    counts: [u64; Fate::ALL.len()],
}

impl Ledger {
    /// A ledger of calls that are all still to come.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let line = Line { fate: Fate::Ahead, worker: None, began: None, ended: None, attempt: None };
        let mut counts = [0; Fate::ALL.len()];
        counts[Fate::Ahead as usize] = plan.calls.len() as u64;
        Self { lines: vec![line; plan.calls.len()], counts }
    }

    /// A call's line.
    #[must_use]
    pub fn line(&self, call: CallIndex) -> &Line {
        &self.lines[call]
    }

    /// Every line, in the order of the plan's calls.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many calls have this fate.
    #[must_use]
    pub const fn count(&self, fate: Fate) -> u64 {
        self.counts[fate as usize]
    }

    /// Calls that were dropped: cut, killed or lost.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.count(Fate::Forced) + self.count(Fate::Killed) + self.count(Fate::Lost)
    }

    /// Calls that are not over.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.count(Fate::Ahead) + self.count(Fate::Waiting) + self.count(Fate::Reserved) + self.count(Fate::Active)
    }

    /// Whether every call is on exactly one count: S4 as arithmetic.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.counts.iter().sum::<u64>() == self.lines.len() as u64
    }

    pub(crate) fn attempt(&mut self, call: CallIndex, attempt: AttemptIndex) {
        self.lines[call].attempt = Some(attempt);
    }

    pub(crate) fn set(&mut self, call: CallIndex, fate: Fate, worker: Option<WorkerIndex>, at: Instant) {
        let line = &mut self.lines[call];
        self.counts[line.fate as usize] -= 1;
        self.counts[fate as usize] += 1;
        line.fate = fate;
        if worker.is_some() {
            line.worker = worker;
        }
        if fate == Fate::Active {
            line.began = Some(at);
        }
        if fate.is_final() {
            line.ended = Some(at);
        }
    }
}
