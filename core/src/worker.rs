//! The worker machine: from start to exit, every call accounted for.
//!
//! ```text
//!              StandBy            Serve
//!  Starting ───────────► Standby ───────► Serving ◄───────┐
//!     │  └──────────────── Serve ───────────▲ │           │
//!     │                                       │BeginDrain │CancelDrain
//!     │           (from any of the three)     ▼           │ (not after a signal, not after a force)
//!     │                                    Draining ──────┤
//!     │                                     │    │Wake: in flight = 0
//!     │                   Wake: grace over  │    ▼        │
//!     │                                     │  Drained ───┘
//!     │ Reject                              │    │ Close
//!     └────────────────► Exited ◄───────────┴────┘
//!
//!  call:  Reserve ─► Reserved ─ Assign ─► Active ─ End ─► ended{reason}
//!                       └ Wake ─► lapsed      ▲
//!         Admit ──────────────────────────────┘
//! ```
//!
//! **A call counts from its reservation**, the moment the worker says yes to an offer, not from its assignment: the
//! call accepted before a drain and assigned after it is the classic lost call.

mod apply;
mod call;
mod cause;
mod command;
mod decide;
mod effect;
mod event;
mod life;
mod misfit;
mod pages;
mod react;
mod rejection;
mod stored;
mod words;

use core::fmt;

use serde::{Deserialize, Serialize};

pub use call::{Call, Calls};
pub use command::{Class, Command, DrainOrder};
pub use effect::{Alert, Availability, Effect};
pub use event::{BadPolicy, Cause, Decline, EndReason, Entry, Event, OnDeadline, Outcome};
pub use life::Life;
pub use rejection::{Misfit, Misuse, Refused, Rejection, Repeat};

use crate::id::{Actor, CallNo, Seq};
use crate::machine::{Head, Machine, Sink};
use crate::time::{Instant, Span};
use crate::word::{Phase, Word};

/// How many call classes a worker can tell apart.
pub const CLASSES: usize = 4;

/// What a worker is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most calls in flight; 1 to [`Word::IN_FLIGHT_MAX`].
    pub capacity: u32,
    /// How long calls may say goodbye once a drain was forced.
    pub force_grace: Span,
    /// How long a reservation waits for its assignment.
    pub reservation_ttl: Span,
    /// How long a call of each class may go without progress before it is flagged; `None` never flags.
    pub stall_after: [Option<Span>; CLASSES],
}

impl Default for Limits {
    /// 1 000 calls, 2 s to say goodbye, 10 s to assign, 30 s of silence for class 0.
    fn default() -> Self {
        Self {
            capacity: 1_000,
            force_grace: Span::from_secs(2),
            reservation_ttl: Span::from_secs(10),
            stall_after: [Some(Span::from_secs(30)), None, None, None],
        }
    }
}

/// Why limits cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLimits {
    /// The capacity is zero.
    CapacityZero,
    /// The capacity exceeds [`Word::IN_FLIGHT_MAX`].
    CapacityHuge,
    /// Reservations would lapse at once.
    ReservationTtlZero,
    /// Calls would be flagged at once.
    StallAfterZero,
}

impl fmt::Display for BadLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CapacityZero => f.write_str("capacity is 0, so no call could ever be taken: set it to 1 or more"),
            Self::CapacityHuge => write!(f, "capacity is above {}, the most one worker can hold", Word::IN_FLIGHT_MAX),
            Self::ReservationTtlZero => f.write_str(
                "the reservation time is 0, so every accepted offer would lapse at once: set it to 10s or so",
            ),
            Self::StallAfterZero => {
                f.write_str("the stall limit is 0, so every call would be flagged at once: set a limit or leave it out")
            }
        }
    }
}

impl core::error::Error for BadLimits {}

impl Limits {
    /// Refuses limits under which no worker could do its work.
    pub fn check(&self) -> Result<(), BadLimits> {
        if self.capacity == 0 {
            return Err(BadLimits::CapacityZero);
        }
        if self.capacity > Word::IN_FLIGHT_MAX {
            return Err(BadLimits::CapacityHuge);
        }
        if self.reservation_ttl == Span::ZERO {
            return Err(BadLimits::ReservationTtlZero);
        }
        if self.stall_after.contains(&Some(Span::ZERO)) {
            return Err(BadLimits::StallAfterZero);
        }
        Ok(())
    }

    /// How long progress of a call of this class goes unnoted after the last that was noted, so that a chatty call does
    /// not fill the journal: a quarter of its stall limit. `None` if calls of this class are never flagged.
    #[must_use]
    pub fn progress_every(&self, class: Class) -> Option<Span> {
        const PER_LIMIT: u64 = 4;
        self.stall_limit(class).map(|limit| Span::from_micros(limit.as_micros() / PER_LIMIT))
    }

    pub(crate) fn stall_limit(&self, class: Class) -> Option<Span> {
        self.stall_after.get(usize::from(class.0)).copied().flatten()
    }
}

/// A drain in progress or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Who asked for it.
    pub actor: Actor,
    /// When it began.
    pub begun: Instant,
    /// What asked for it.
    pub cause: Cause,
    /// When it is overdue.
    pub deadline: Option<Instant>,
    /// Set once it was forced.
    pub forced: Option<Forced>,
    /// The phase a cancelled drain goes back to.
    pub from: Phase,
    /// What happens at the deadline.
    pub on_deadline: OnDeadline,
    /// Whether an alert was raised at the deadline.
    pub overdue: bool,
    /// Whether it can no longer be cancelled.
    pub sealed: bool,
}

/// A forced end of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// Who forced it.
    pub actor: Actor,
    /// How many calls it hit.
    pub live: u32,
    /// Until when they may say goodbye.
    pub until: Instant,
}

/// Totals over one incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Calls taken without an offer.
    pub admitted: u64,
    /// Commands whose clock stood behind the entry before them.
    pub clock_steps: u64,
    /// Calls declined, by [`Decline`].
    pub declined: [u64; Decline::ALL.len()],
    /// Calls ended, by [`EndReason`].
    pub ended: [u64; EndReason::ALL.len()],
    /// Reservations that lapsed.
    pub lapsed: u64,
    /// Offers answered with yes.
    pub reserved: u64,
    /// Times a call was flagged as stalled.
    pub stalled: u64,
}

impl Tally {
    /// Calls promised so far: reserved or admitted.
    #[must_use]
    pub const fn promised(&self) -> u64 {
        self.reserved.saturating_add(self.admitted)
    }

    /// Calls ended for `reason`.
    #[must_use]
    pub const fn ended_by(&self, reason: EndReason) -> u64 {
        self.ended[reason as usize]
    }

    /// Calls over, for whatever reason, lapsed reservations included.
    #[must_use]
    pub fn over(&self) -> u64 {
        self.ended.iter().fold(self.lapsed, |sum, ended| sum.saturating_add(*ended))
    }

    /// Whether `seq` entries can have added up to this with so many calls left. Each entry promises, ends or flags one
    /// call at most, so no total can overflow as long as sequence numbers do not.
    fn is_sound(&self, in_flight: u32, seq: Seq) -> bool {
        let told = self.promised().saturating_add(self.over()).saturating_add(self.stalled);
        told <= seq.get()
            && self.clock_steps <= seq.get()
            && self.promised().checked_sub(self.over()) == Some(u64::from(in_flight))
    }
}

/// Why a worker must be woken, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The last call has ended: the drain is complete.
    Empty,
    /// The grace of a forced drain is over.
    GraceOver,
    /// The drain's deadline.
    Overdue,
    /// A reservation lapses.
    Lapse(CallNo),
    /// A call has been silent for too long.
    Stall(CallNo),
}

/// The worker machine. See the [module](self) for its life.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "stored::Stored")]
pub struct Worker {
    life: Life,
    calls: Calls,
}

impl Worker {
    /// A worker that has just started, with limits that passed [`Limits::check`].
    pub fn new(limits: Limits) -> Result<Self, BadLimits> {
        limits.check()?;
        Ok(Self { life: Life::new(limits), calls: Calls::default() })
    }

    /// Everything but its calls.
    #[must_use]
    pub const fn life(&self) -> &Life {
        &self.life
    }

    /// What it is allowed.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        self.life.limits()
    }

    /// Phase, calls in flight and sequence number.
    #[must_use]
    pub const fn word(&self) -> Word {
        self.life.word()
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.life.phase()
    }

    /// When the last entry became true.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.life.now()
    }

    /// The calls in flight. After an exit: those the exit dropped.
    #[must_use]
    pub const fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The drain, if there is one.
    #[must_use]
    pub const fn drain(&self) -> Option<&Drain> {
        self.life.drain()
    }

    /// How it ended, once it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        self.life.outcome()
    }

    /// Its totals.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        self.life.tally()
    }

    /// What dispatchers may be told.
    #[must_use]
    pub const fn availability(&self) -> Availability {
        self.life.availability()
    }

    /// The deadlines of calls that lie at or before `at`: lapses, then stalls, each in order.
    pub fn due_calls(&self, at: Instant) -> impl Iterator<Item = (Instant, Why)> {
        let ttl = self.limits().reservation_ttl;
        let living = (self.phase() != Phase::Exited).then_some(&self.calls);
        let lapses = living.into_iter().flat_map(Calls::reservations);
        let lapses = lapses.map(move |(call, since)| (since + ttl, Why::Lapse(call)));
        let stalls = living.into_iter().flat_map(Calls::watched).map(|(due, call)| (due, Why::Stall(call)));
        let due = move |deadline: &(Instant, Why)| deadline.0 <= at;
        lapses.take_while(due).chain(stalls.take_while(due))
    }

    /// A worker that has not drained has no drain, one that drains has; and what a cancel goes back to fits its calls.
    fn has_sound_drain(&self) -> bool {
        match (self.phase(), self.drain()) {
            (Phase::Starting | Phase::Standby | Phase::Serving | Phase::Exited, None) => true,
            (Phase::Starting | Phase::Standby | Phase::Serving, Some(_)) | (Phase::Draining | Phase::Drained, None) => {
                false
            }
            (Phase::Draining | Phase::Drained | Phase::Exited, Some(drain)) => {
                drain.begun <= self.now()
                    && drain.from < Phase::Draining
                    && (drain.from == Phase::Serving || self.calls.is_empty())
                    && (drain.sealed || drain.cause != Cause::Signal)
            }
        }
    }
}

impl Machine for Worker {
    type Command = Command;
    type Event = Event;
    type Effect = Effect;
    type Rejection = Rejection;
    type Why = Why;

    const WAKE: Command = Command::Wake;

    fn head(&self) -> Head {
        self.life.head()
    }

    fn judge(&self, at: Instant, command: Command) -> Result<Event, Rejection> {
        self.answer(at, command)
    }

    fn command_behind(&self, event: &Event) -> Command {
        cause::command(event)
    }

    fn fits(&self, entry: &Entry) -> Result<(), Misfit> {
        self.check(entry, self.locate(&entry.event))
    }

    fn apply(&mut self, entry: &Entry) {
        self.fold(entry, self.locate(&entry.event));
    }

    fn react(&self, entry: &Entry, effects: &mut impl Sink<Effect>) {
        self.derive(&entry.event, effects);
    }

    fn deadline(&self) -> Option<(Instant, Why)> {
        let living = (self.phase() != Phase::Exited).then_some(&self.calls);
        let ttl = self.limits().reservation_ttl;
        let lapse = living.and_then(|calls| calls.reservations().next());
        let lapse = lapse.map(|(call, since)| (since + ttl, Why::Lapse(call)));
        let stall = living.and_then(|calls| calls.watched().next()).map(|(at, call)| (at, Why::Stall(call)));
        [self.life.deadline(), lapse, stall].into_iter().flatten().min()
    }

    fn obligations(&self, effects: &mut impl Sink<Effect>) {
        self.owe(effects);
    }

    fn is_sound(&self) -> bool {
        let (in_flight, seq) = (self.word().in_flight(), self.word().seq());
        let empty = matches!(self.phase(), Phase::Starting | Phase::Standby | Phase::Drained);
        self.limits().check().is_ok()
            && self.calls.is_sound(self.now(), seq)
            && self.calls.len() == in_flight as usize
            && in_flight <= self.limits().capacity
            && (!empty || self.calls.is_empty())
            && (self.phase() == Phase::Exited) == self.outcome().is_some()
            && self.has_sound_drain()
            && self.tally().is_sound(in_flight, seq)
    }
}
