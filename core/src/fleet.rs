//! The fleet machine: one deployment's way from an old version ("blue") to a new one ("green").
//!
//! ```text
//!            all there      all ready       room: weight 100      blue drained
//!  Planned ─► Provisioning ─► Verifying ─► Shifting ─► Draining, wave by wave ─► Completed
//!     │            │              │            │           │
//!     │            └─ too late ───┴─► Failed   │           │
//!     └───────────── Rollback ─────────────────┴───────────┴─► RollingBack ─► RolledBack
//!     └───────────── a newer plan, at any time ──────────────► Superseded ──► Planned (the newer)
//!     Pause stops every step but no call; Resume goes on.
//!
//!  version:  Inactive ─► Ramping ─► Current ─► Draining ─► Drained
//!               │           ▲                     │            │
//!               ▼           └────── Rollback ─────┴────────────┘   (a plan back leads to Inactive)
//!             Failed
//!
//!  worker:   Known ─ silent ─► Unknown ─ lease expires ─► Lost ─ Register ─► Unknown ─ Report ─► Known
//! ```
//!
//! What the coordinator knows of a worker is what the worker's current run reported a short while ago, and nothing
//! else: an unknown or lost worker is never drained, an order to drain is a wish until a report shows that it was
//! obeyed, and capacity that drains or cannot be reached is no capacity. Capacity counts calls, not workers.
//!
//! Every command leads to one entry at most. What follows from an entry (the next weight, the next worker of a wave)
//! is a step of its own, due at once: see [`Why::Step`].

mod apply;
mod cause;
mod command;
mod decide;
mod effect;
mod event;
pub mod invariant;
mod member;
mod members;
mod react;
mod rejection;
mod rollout;
mod step;
mod words;

use alloc::collections::BTreeMap;
use core::fmt;

use serde::{Deserialize, Serialize};

pub use command::{BadPlan, Command, Facts, Order, Plan, Policy, Report, Run, Stamp};
pub use effect::{Alert, Effect};
pub use event::{Departure, Entry, Event, Gate, PauseReason, RejectReason};
pub use member::{DrainTerms, Member, Standing, Task, Told, View};
pub use members::{Members, Pool};
pub use rejection::{Misfit, Misuse, Refused, Rejection, Repeat};
pub use rollout::{Rollout, Stage, VersionInfo, VersionState, Wave};

use crate::id::{Actor, Epoch, Seq, Version, WorkerId};
use crate::machine::{Head, Machine, Sink};
use crate::time::{Instant, Span};

/// The most versions a fleet can tell apart.
pub const VERSIONS_MAX: usize = 16;

/// The most workers a fleet can follow.
pub const WORKERS_MAX: usize = 4_096;

/// How a coordinator follows its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long after its last report, or after it registered, a worker counts as lost.
    pub lease_ttl: Span,
    /// How long a report is good for.
    pub report_ttl: Span,
    /// How long an order goes without a sign that it was obeyed before it is sent again.
    pub resend_after: Span,
}

impl Default for Limits {
    /// Reports are good for 10 s, leases for 60 s, and orders are sent every 5 s.
    fn default() -> Self {
        Self { lease_ttl: Span::from_secs(60), report_ttl: Span::from_secs(10), resend_after: Span::from_secs(5) }
    }
}

/// Why limits cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLimits {
    /// A lease would expire before the report that renews it is stale.
    LeaseShort,
    /// Every report would be stale at once.
    ReportTtlZero,
    /// Orders would be sent without end.
    ResendZero,
}

impl fmt::Display for BadLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeaseShort => "lease_ttl is not above report_ttl: set it to several times that",
            Self::ReportTtlZero => "report_ttl is 0, so every report would be stale at once: set it to 10s or so",
            Self::ResendZero => "resend_after is 0, so orders would be sent without end: set it to 5s or so",
        })
    }
}

impl core::error::Error for BadLimits {}

impl Limits {
    /// Refuses limits under which no rollout could be done.
    pub fn check(&self) -> Result<(), BadLimits> {
        if self.report_ttl == Span::ZERO {
            return Err(BadLimits::ReportTtlZero);
        }
        if self.lease_ttl <= self.report_ttl {
            return Err(BadLimits::LeaseShort);
        }
        if self.resend_after == Span::ZERO {
            return Err(BadLimits::ResendZero);
        }
        Ok(())
    }
}

/// Why no steps are taken, and who wants that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who.
    pub actor: Actor,
    /// Why.
    pub reason: PauseReason,
    /// Since when.
    pub since: Instant,
}

/// Totals over a fleet's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Commands whose clock stood behind the entry before them.
    pub clock_steps: u64,
    /// Calls that workers said they cut when they left.
    pub dropped: u64,
    /// Runs that were lost: they left without having been seen to drain, or their lease expired.
    pub lost: u64,
    /// Runs that joined.
    pub registered: u64,
    /// Runs that were kept out.
    pub rejected: u64,
    /// Drains that were withdrawn because no sign came back.
    pub withdrawn: u64,
    /// Lost runs that a person gave up.
    pub written_off: u64,
}

/// Why a coordinator must be woken, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Something is due of this worker.
    Worker(WorkerId),
    /// The next step can be taken.
    Step,
    /// The new workers must be there or ready by now.
    Verify,
}

/// The fleet machine. See the [module](self) for its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    limits: Limits,
    seq: Seq,
    now: Instant,
    /// The term of the coordinator that this state belongs to.
    epoch: Epoch,
    /// The latest term heard of; above `epoch` once a later coordinator is in office.
    seen: Epoch,
    demand: u32,
    versions: BTreeMap<Version, VersionInfo>,
    members: Members,
    rollout: Option<Rollout>,
    /// The plan that superseded the rollout and begins next.
    queued: Option<(Actor, Plan)>,
    paused: Option<Pause>,
    wave: Option<Wave>,
    /// Which gates were said to be blocked, by [`Gate`].
    blocked: [bool; Gate::ALL.len()],
    tally: Tally,
}

impl Fleet {
    /// A fleet without versions and workers, with limits that passed [`Limits::check`].
    pub fn new(limits: Limits) -> Result<Self, BadLimits> {
        limits.check()?;
        Ok(Self {
            limits,
            seq: Seq::default(),
            now: Instant::EPOCH,
            epoch: Epoch::default(),
            seen: Epoch::default(),
            demand: 0,
            versions: BTreeMap::new(),
            members: Members::default(),
            rollout: None,
            queued: None,
            paused: None,
            wave: None,
            blocked: [false; Gate::ALL.len()],
            tally: Tally::default(),
        })
    }

    /// How it follows its workers.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The last entry's number.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// When the last entry became true.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The coordinator's term.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The later coordinator's term, if this one must stand back.
    #[must_use]
    pub fn fenced_by(&self) -> Option<Epoch> {
        (self.seen > self.epoch).then_some(self.seen)
    }

    /// The latest term heard of: a new coordinator takes over with a later one.
    #[must_use]
    pub const fn latest_epoch(&self) -> Epoch {
        self.seen
    }

    /// The versions by name.
    #[must_use]
    pub const fn versions(&self) -> &BTreeMap<Version, VersionInfo> {
        &self.versions
    }

    /// The version that new calls belong to.
    #[must_use]
    pub fn current(&self) -> Option<Version> {
        self.in_state(VersionState::Current)
    }

    /// The version that gets a share of new calls.
    #[must_use]
    pub fn ramping(&self) -> Option<Version> {
        self.in_state(VersionState::Ramping)
    }

    /// A version's share of new calls, per cent.
    #[must_use]
    pub fn weight(&self, version: Version) -> u8 {
        self.versions.get(&version).map_or(0, |info| info.weight)
    }

    /// The workers.
    #[must_use]
    pub const fn members(&self) -> &Members {
        &self.members
    }

    /// The rollout under way, or the last one.
    #[must_use]
    pub const fn rollout(&self) -> Option<&Rollout> {
        self.rollout.as_ref()
    }

    /// Whether and why no steps are taken.
    #[must_use]
    pub const fn paused(&self) -> Option<&Pause> {
        self.paused.as_ref()
    }

    /// The wave last begun.
    #[must_use]
    pub const fn wave(&self) -> Option<&Wave> {
        self.wave.as_ref()
    }

    /// Whether a step waits for capacity.
    #[must_use]
    pub const fn is_blocked(&self, gate: Gate) -> bool {
        self.blocked[gate as usize]
    }

    /// Its totals.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Calls at a time that must be provided for: the stated demand or the calls known to be in flight, whichever is
    /// more.
    #[must_use]
    pub fn demand(&self) -> u64 {
        self.members.total().calls.max(self.demand.into())
    }

    /// The calls there must be room for: the demand with headroom, rounded up.
    #[must_use]
    pub fn need(&self) -> u64 {
        let headroom = self.policy().headroom;
        self.demand().saturating_mul(100 + u64::from(headroom)).div_ceil(100)
    }

    fn policy(&self) -> Policy {
        self.rollout.map_or_else(Policy::default, |rollout| rollout.plan.policy)
    }

    fn in_state(&self, state: VersionState) -> Option<Version> {
        self.versions.iter().find(|(_, info)| info.state == state).map(|(version, _)| *version)
    }

    fn state_of(&self, version: Version) -> Option<VersionState> {
        self.versions.get(&version).map(|info| info.state)
    }

    /// When the new workers must be there or ready.
    fn verify_by(&self) -> Option<Instant> {
        let rollout = self.rollout.filter(|rollout| matches!(rollout.stage, Stage::Provisioning | Stage::Verifying))?;
        self.paused.is_none().then(|| rollout.since + rollout.plan.policy.verify_timeout)
    }
}

impl Machine for Fleet {
    type Command = Command;
    type Event = Event;
    type Effect = Effect;
    type Rejection = Rejection;
    type Why = Why;

    const WAKE: Command = Command::Wake;

    fn head(&self) -> Head {
        Head { seq: self.seq, now: self.now }
    }

    fn judge(&self, at: Instant, command: Command) -> Result<Event, Rejection> {
        self.answer(at, command)
    }

    fn command_behind(&self, event: &Event) -> Command {
        self.cause_of(event)
    }

    fn apply(&mut self, entry: &Entry) {
        self.fold(entry);
    }

    fn react(&self, entry: &Entry, effects: &mut impl Sink<Effect>) {
        self.derive(&entry.event, effects);
    }

    fn deadline(&self) -> Option<(Instant, Why)> {
        if self.fenced_by().is_some() {
            return None;
        }
        let worker = self.members.first_due().map(|(at, worker)| (at, Why::Worker(worker)));
        let step = self.step().map(|_| (self.now, Why::Step));
        let verify = self.verify_by().map(|at| (at, Why::Verify));
        let first = [worker, step, verify].into_iter().flatten().min();
        first.map(|(at, why)| (at.max(self.now), why))
    }

    fn obligations(&self, effects: &mut impl Sink<Effect>) {
        self.owe(effects);
    }

    fn is_sound(&self) -> bool {
        let known = |version: &Version| self.versions.contains_key(version);
        self.limits.check().is_ok()
            && self.versions.len() <= VERSIONS_MAX
            && self.members.len() <= WORKERS_MAX
            && self.members.is_sound()
            && self.members.iter().all(|(_, member)| known(&member.version))
            && self.seen >= self.epoch
            && self.rollout.is_none_or(|rollout| {
                rollout.plan.check().is_ok() && known(&rollout.green()) && rollout.blue.as_ref().is_none_or(known)
            })
            && self.queued.is_none_or(|(_, plan)| plan.check().is_ok())
            && invariant::state(self).is_ok()
    }
}
