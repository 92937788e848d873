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
//!     │ Reject                              │    │ Wake: it leaves
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
mod limits;
mod obey;
mod prose;
mod react;
mod reason;
mod rejection;
mod stored;
mod tally;
mod terms;

use serde::{Deserialize, Serialize};

pub use call::{Call, Calls};
pub use command::{Class, Command, DrainOrder, NoSuchClass};
pub use decide::CallState;
pub use effect::{Alert, Availability, Effect};
pub use event::{Entry, Event, Origin};
pub use life::Life;
pub use limits::{BadLimits, Leave, Limits};
pub use reason::{BadPolicy, Cause, Decline, EndReason, OnDeadline, Outcome};
pub use rejection::{Misfit, Misuse, Refused, Rejection, Repeat};
pub(crate) use stored::Stored;
pub use tally::Tally;
pub use terms::{BadDeadline, DeadlineMissing, Terms};

use crate::id::{Actor, CallNo};
use crate::machine::{Head, Machine, Sink};
use crate::order::Stamp;
use crate::time::Instant;
use crate::word::{Phase, Word};

/// How many call classes a worker can tell apart.
pub const CLASSES: usize = 4;

/// A drain in progress or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Who asked for it.
    pub actor: Actor,
    /// When it began.
    pub begun: Instant,
    /// What asked for it.
    pub cause: Cause,
    /// When it is overdue and what happens then.
    pub terms: Terms,
    /// Set once it was forced.
    pub forced: Option<Forced>,
    /// The phase a cancelled drain goes back to.
    pub from: Phase,
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
    /// When the grace of the force is over, and the lame-duck time with it: what is left then is dropped.
    pub until: Instant,
}

/// Why a worker must be woken, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The last call has ended: the drain is complete.
    Empty,
    /// The grace of a forced drain is over.
    GraceOver,
    /// The calls that are left must be ended now.
    Force,
    /// The drain's deadline has passed and somebody is to hear of it.
    Overdue,
    /// The worker has drained and leaves.
    Leave,
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

    /// The stamp of the last order that was obeyed.
    #[must_use]
    pub const fn obeyed(&self) -> Stamp {
        self.life.obeyed()
    }

    /// Whether progress of a call at `at` is worth an entry; a chatty call would fill the journal.
    #[must_use]
    pub fn notes_progress(&self, at: Instant, call: CallNo) -> bool {
        self.calls.get(call).filter(|call| call.active).is_some_and(|call| {
            let every = self.limits().progress_every(call.class);
            every.is_some_and(|every| call.stalled || at.since(call.moved) >= every)
        })
    }

    fn lapses_at(&self, call: &Call) -> Instant {
        call.since + self.limits().reservation_ttl
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
                    && drain.terms.is_sound()
                    && (drain.from == Phase::Serving || u64::from(self.word().in_flight()) <= self.tally().taken_over)
                    && (drain.sealed || !drain.cause.is_final())
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
        self.cause_of(event)
    }

    fn retrace(&self, at: Instant, event: &Event) -> Result<Event, Rejection> {
        match event.stamp() {
            Some(stamp) => self.life.judge_order(at, event.order_behind(at, stamp, self.drain())),
            None => self.judge(at, self.command_behind(event)),
        }
    }

    /// A busy journal consists of calls that begin and end. What led to either is plain, and a call that ends is
    /// searched for once.
    fn follow(&mut self, entry: &Entry, seen: impl FnOnce(&Self)) -> Result<(), Misfit> {
        let place = self.locate(&entry.event);
        if let Event::CallAdmitted { id, class } = entry.event {
            self.head().precedes(entry)?;
            let judged = self.life.judge(entry.at, Command::Admit { id, class }, |call| self.call_state(call));
            judged.map_err(Misfit::Rejected)?;
        } else if let (Event::CallEnded { call, reason }, Some(place)) = (entry.event, place) {
            self.head().precedes(entry)?;
            let active = self.calls.at(place).active;
            let (command, state) = if active {
                (Command::End { call, reason }, CallState::Assigned)
            } else {
                (Command::Withdraw { call, reason }, CallState::Reserved)
            };
            self.life.judge(entry.at, command, |_| state).map_err(Misfit::Rejected)?;
        } else {
            self.fits(entry)?;
        }
        seen(self);
        self.fold(entry, place);
        Ok(())
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
        let lapse = living.and_then(Calls::first_reservation);
        let lapse = lapse.map(|(call, since)| (since + ttl, Why::Lapse(call)));
        let stall = living.and_then(Calls::first_watched).map(|(at, call)| (at, Why::Stall(call)));
        [self.life.deadline(), lapse, stall].into_iter().flatten().min()
    }

    fn obligations(&self, effects: &mut impl Sink<Effect>) {
        self.owe(effects);
    }

    fn is_over(&self) -> bool {
        self.outcome().is_some()
    }

    fn is_sound(&self) -> bool {
        let (in_flight, seq) = (self.word().in_flight(), self.word().seq());
        // Calls that were taken over are held beyond the capacity, and before the worker serves.
        let taken_over = self.tally().taken_over;
        let most = match self.phase() {
            Phase::Drained => 0,
            Phase::Starting | Phase::Standby => taken_over,
            Phase::Serving | Phase::Draining | Phase::Exited => taken_over.max(self.limits().capacity.into()),
        };
        self.limits().check().is_ok()
            && self.calls.is_sound(self.now(), seq)
            && self.calls.len() == in_flight as usize
            && u64::from(in_flight) <= most
            && (self.phase() == Phase::Exited) == self.outcome().is_some()
            && self.has_sound_drain()
            && self.tally().is_sound(in_flight, seq)
    }
}
