//! A worker's process as the world around it sees it. The explorer and the world both run this one model.
//!
//! A process is the production machine ([`Worker`]) with a shell and an adapter to the dispatcher around it:
//!
//! ```text
//!  message, signal, time-out ──► command ──► machine ──► entry ──► journal ──► effect ──► Environment
//!                                give                    claimed               act
//! ```
//!
//! - **What it holds.** [`Promises`] say for each offer whether it was declined, is reserved, runs or is over. `live`
//!   counts the calls that the process owes an end, as seen from outside. The machine keeps its own count, and
//!   [`Process::fault`] compares the two.
//! - **How commands reach it.** A message, a signal or a time-out becomes a command. [`Running::give`] has the machine
//!   judge it. Its entry is in force at once and stays claimed until the process acts.
//! - **How effects leave it.** [`Running::act`] writes the claimed entries to the journal and then performs what
//!   follows from them. All that leaves the process goes through [`Environment`], which explorer and world implement.
//!   At level 1 the runtime's own shell decides when to journal and when to perform, and the world calls the parts of
//!   `act`.
//! - **A crash.** A doomed process journals its claimed entries, performs nothing and dies. Whatever it holds is lost
//!   with it, and the journal must show how much that was.
//! - **A start.** A run begins with a fresh process. Nothing is left of the run before.
//! - **Planted bugs.** The bugs of a worker's adapter and shell are planted in this module, each beside the rule that
//!   it breaks. The bugs of its reports and its obedience are in `world/uplink.rs`, those of level 1 in
//!   `world/runtime.rs`, the others in `world/platform.rs` and `world/coordinators.rs`.
//!
//! The model has no clock, no queue and no names: the environment says what time it is, when a message arrives and
//! when a flush is done. So a [`Process`] is small and can be cloned and hashed.

mod act;
mod calls;
mod environment;
mod life;
mod offers;

use std::collections::VecDeque;

use openrtc_core::id::Seq;
use openrtc_core::machine::Machine;
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Availability, Decline, Entry, Limits, Why, Worker};

pub(crate) use self::calls::{Answer, Assigned, Ended};
pub(crate) use self::environment::{Death, Environment};
pub(crate) use self::offers::{Promise, Promises, Stage};
use crate::bug::Bug;

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It was never started.
    Absent,
    /// It starts.
    Booting,
    /// It runs.
    Up,
    /// It is over.
    Gone,
}

/// One run of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Process<B> {
    bug: Option<Bug>,
    pub(crate) life: Life,
    pub(crate) machine: Worker,
    /// What the journal alone gives, where it is kept apart; otherwise the machine stands for it.
    record: Option<Box<Worker>>,
    /// What the machine decided and nobody has journaled yet.
    claimed: VecDeque<Entry>,
    pub(crate) promises: B,
    /// Calls that it owes an end.
    pub(crate) live: u32,
    /// Calls that a force cut, counted where they were cut.
    pub(crate) cut: u32,
    /// Offers declined and not yet counted into an entry, by [`Decline`]; and when they must be.
    declined: [u32; Decline::ALL.len()],
    count_at: Option<Instant>,
    /// SIGTERMs that it got.
    pub(crate) signals: u32,
    /// What it told the dispatcher last.
    pub(crate) announced: Availability,
    /// Whether it has ever told the dispatcher that it takes calls.
    was_open: bool,
    /// The entry of its last drain's end, and the entry up to which its records are on the disk. Both are zero before
    /// the first such entry.
    drained: Seq,
    flushed: Seq,
    /// Whether it dies before it acts again, with what it has noted and not done.
    pub(crate) is_doomed: bool,
    /// Whether its next entry dooms it.
    pub(crate) crash_armed: bool,
}

/// A process together with its environment: all that a process does, it does as this.
pub(crate) struct Running<'a, B, O> {
    pub(crate) process: &'a mut Process<B>,
    pub(crate) env: O,
}

impl<B: Promises> Process<B> {
    /// A process that was never started.
    pub(crate) fn absent(limits: Limits, bug: Option<Bug>) -> Self {
        Self {
            bug,
            life: Life::Absent,
            machine: Worker::new(limits).expect("the limits were checked"),
            record: None,
            claimed: VecDeque::new(),
            promises: B::default(),
            live: 0,
            cut: 0,
            declined: [0; Decline::ALL.len()],
            count_at: None,
            signals: 0,
            announced: Availability::Closed,
            was_open: false,
            drained: Seq::default(),
            flushed: Seq::default(),
            is_doomed: false,
            crash_armed: false,
        }
    }

    /// The same process. Its journal is folded apart from its machine, so that the two can be compared.
    pub(crate) fn with_record(mut self) -> Self {
        self.record = Some(Box::new(self.machine.clone()));
        self
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life == Life::Up
    }

    pub(crate) fn drains(&self) -> bool {
        self.machine.drain().is_some()
    }

    /// Whether its drain cannot be taken back.
    pub(crate) fn is_sealed(&self) -> bool {
        self.machine.drain().is_some_and(|drain| drain.sealed)
    }

    /// Whether nothing keeps it any more: it has drained and leaves by itself, or its machine is over.
    pub(crate) fn must_go(&self) -> bool {
        self.machine.is_over() || (self.machine.phase() == Phase::Drained && self.machine.life().leaves())
    }

    /// Whether it has ever flushed its records.
    pub(crate) fn has_flushed(&self) -> bool {
        self.flushed > Seq::default()
    }

    pub(crate) fn stage(&self, offer: B::Offer) -> Stage {
        self.promises.get(offer).stage
    }

    /// The offers whose calls the machine holds, the oldest first.
    pub(crate) fn held(&self) -> impl Iterator<Item = B::Offer> {
        self.machine.calls().iter().filter_map(|(number, _)| self.promises.offer_of(number))
    }

    /// The machine's earliest time-out.
    pub(crate) fn deadline(&self) -> Option<(Instant, Why)> {
        let is_timer = |why| !matches!(why, Why::Empty | Why::Leave);
        self.machine.deadline().filter(|(_, why)| !self.has(Bug::NoTimers) || !is_timer(*why))
    }

    /// When it has something to do unasked.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.deadline().map(|(at, _)| at).into_iter().chain(self.count_at).min()
    }

    /// The entry claimed first that is not yet journaled: for a shell that journals by itself.
    pub(crate) fn next_claimed(&mut self) -> Option<Entry> {
        self.claimed.pop_front()
    }

    /// What the journal alone gives.
    fn record(&self) -> &Worker {
        self.record.as_deref().unwrap_or(&self.machine)
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}
