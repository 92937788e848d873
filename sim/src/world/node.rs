//! One worker's process: the production machine, its journal's fold, and the shell between them and the world.

use std::collections::VecDeque;

use openrtc_core::fleet::Stamp;
use openrtc_core::id::{CallNo, WorkerId};
use openrtc_core::time::Instant;
use openrtc_core::worker::{Availability, Decline, Entry, Limits, Outcome, Worker};

use super::process::Process;
use crate::plan::{Plan, SECOND};
use crate::subject::{Level, Subject};

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
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a process")]
pub struct Node {
    pub(super) id: WorkerId,
    pub(super) version: usize,
    pub(super) incarnation: u32,
    pub(super) state: State,
    pub(super) machine: Worker,
    /// At level 1, the runtime's gate and shell.
    pub(super) process: Option<Process>,
    /// What the machine decided and nobody has journaled yet.
    pub(super) claimed: VecDeque<Entry>,
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
    /// Offers declined and not yet counted into an entry, by [`Decline`]; and when they must be.
    pub(super) declined: [u64; Decline::ALL.len()],
    pub(super) count_at: Option<Instant>,
    pub(super) signals: u32,
    pub(super) announced: Availability,
    pub(super) joined: bool,
    pub(super) registered: bool,
    pub(super) flush: u64,
    pub(super) is_flushed: bool,
    pub(super) crash_armed: bool,
    pub(super) doomed: bool,
    pub(super) torn: bool,
    pub(super) wake_at: u64,
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
            process: None,
            claimed: VecDeque::new(),
            live: 0,
            cut: 0,
            held: Vec::new(),
            offset: 0,
            cut_until: 0,
            obeyed: Stamp::default(),
            declined: [0; Decline::ALL.len()],
            count_at: None,
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
    pub(super) fn start(&mut self, plan: &Plan, subject: Subject, now: u64) {
        let limits = *self.machine.limits();
        let machine = Worker::new(limits).expect("they were checked");
        let process = match subject.level {
            Level::Machine => None,
            Level::Shell => Some(Process::start(&machine, subject.bug)),
        };
        let fresh = Self {
            id: self.id,
            version: self.version,
            incarnation: self.incarnation + 1,
            state: State::Booting,
            fold: machine.clone(),
            machine,
            process,
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
    pub(super) const fn world_time(&self, at: Instant) -> u64 {
        at.as_micros().saturating_add_signed(-self.offset).saturating_sub(CLOCK_START)
    }

    pub(super) fn hold(&mut self, number: CallNo, attempt: u32) {
        let slot = usize::try_from(number.get()).unwrap_or(0);
        if self.held.len() <= slot {
            self.held.resize(slot + 1, crate::ledger::NONE);
        }
        self.held[slot] = attempt;
    }

    pub(super) fn attempt(&self, number: CallNo) -> Option<u32> {
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
