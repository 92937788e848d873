//! The fleet machine: one deployment's way from an old version ("blue") to a new one ("green").
//!
//! ```text
//!            all there      all ready       room: weight 100      blue drained
//!  Planned ─► Provisioning ─► Verifying ─► Shifting ─► Draining, wave by wave ─► Completed
//!     │            │              │            │           │
//!     │            └─ too late ───┴─► Failed   │           │
//!     └───────────── Rollback ─────────────────┴───────────┴─► RollingBack ─► RolledBack
//!     └───────────── a newer rollout, at any time ───────────► Superseded ──► Planned (the newer)
//!     Pause stops every step but no call; Resume goes on. Gates hold each step after the first share of new calls.
//!
//!  version:  Inactive ─► Ramping ─► Current ─► Draining ─► Drained
//!               │           ▲                     │            │
//!               ▼           └────── Rollback ─────┴────────────┘   (a rollout to it leads to Inactive)
//!             Failed
//!
//!  worker:   Known ─ silent ─► Unknown ─ lease expires ─► Lost ─ Register ─► Unknown ─ Report ─► Known
//! ```
//!
//! The coordinator knows what a worker's current run reported a short while ago, and nothing else. So an unknown or
//! lost worker is never drained, and an order counts as obeyed only when a report shows it. Capacity counts calls, not
//! workers; slots that drain or cannot be reached do not count.
//!
//! Reports, and the silence after one, are observations: they are not stored. A coordinator that starts, takes over, or
//! was away itself begins to listen ([`Event::WatchBegan`]). Then every worker is unknown until it reports, every lease
//! and time-out begins anew, and no calls are moved before all workers were heard or are lost.
//!
//! A command leads to at most one entry. The next weight, or the next worker of a wave, is a step of its own that is
//! due at once: see [`Why::Step`].

mod allow;
mod annex;
mod apply;
mod cause;
mod command;
mod cordon;
mod decide;
mod due;
mod effect;
mod event;
mod gate;
mod grounds;
pub mod invariant;
mod member;
mod members;
mod order;
mod prose;
mod react;
mod rejection;
mod rollout;
mod room;
mod scale;
mod seen;
mod step;
mod timeouts;
mod wait;

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use command::{BadSpec, Command, Facts, Policy, Report, Request, Run, Spec, Stamp};
pub use due::Watch;
pub use effect::{Alert, Effect};
pub use event::{Departure, Entry, Event, PauseReason, RejectReason, StepKind};
pub use gate::{Gate, GateSet, GatedStep, Gates, OnGateFailure};
pub use grounds::Grounds;
pub use member::{DrainTerms, Lease, Member, MemberStatus, OrderInForce, Task};
pub use members::{Members, Pool};
pub use rejection::{Misfit, Misuse, Refused, Rejection, Repeat};
pub use rollout::{Rollout, Stage, VersionInfo, VersionState, Wave};
pub use room::Room;
pub use seen::{Heard, Seen, View};
pub use timeouts::{BadTimeouts, Timeouts};
pub use wait::Wait;

use self::annex::Annex;
use crate::id::{Actor, Epoch, Seq, Version, WorkerId};
use crate::machine::{Head, Machine, Sink};
use crate::time::Instant;

/// The most versions a fleet can tell apart.
pub const VERSIONS_MAX: usize = 16;

/// The most workers a fleet can follow. A report costs the same however many there are; an order to drain looks through
/// all workers of its version, so a whole rollout costs the square of their number.
pub const WORKERS_MAX: usize = 20_000;

/// Why no steps are taken, and who wants that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused it.
    pub actor: Actor,
    /// Why it is paused.
    pub reason: PauseReason,
    /// Since when.
    pub since: Instant,
}

/// Totals over a fleet's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Decisions whose clock stood behind the one before them.
    pub clock_steps: u64,
    /// Calls that were cut: as workers said when they left, or with a lost run that a person gave up.
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
    /// It has yet to begin to listen to its workers.
    Watch,
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
    timeouts: Timeouts,
    seq: Seq,
    now: Instant,
    /// The term of the coordinator that this state belongs to.
    epoch: Epoch,
    /// When that term began.
    in_office: Instant,
    /// The latest term heard of; above `epoch` once a later coordinator is in office.
    latest_epoch: Epoch,
    demand: u32,
    versions: BTreeMap<Version, VersionInfo>,
    members: Members,
    rollout: Option<Rollout>,
    /// The rollout that superseded the one under way and begins next.
    queued: Option<(Actor, Spec)>,
    paused: Option<Pause>,
    wave: Option<Wave>,
    /// Which kinds of steps were said to wait for capacity, by [`StepKind`].
    blocked: [bool; StepKind::ALL.len()],
    tally: Tally,
    #[serde(default, skip_serializing_if = "Annex::is_empty")]
    annex: Annex,
}

impl Fleet {
    /// A fleet without versions and workers, with time-outs that passed [`Timeouts::check`].
    pub fn new(timeouts: Timeouts) -> Result<Self, BadTimeouts> {
        timeouts.check()?;
        Ok(Self {
            timeouts,
            seq: Seq::default(),
            now: Instant::EPOCH,
            epoch: Epoch::default(),
            in_office: Instant::EPOCH,
            latest_epoch: Epoch::default(),
            demand: 0,
            versions: BTreeMap::new(),
            members: Members::default(),
            rollout: None,
            queued: None,
            paused: None,
            wave: None,
            blocked: [false; StepKind::ALL.len()],
            tally: Tally::default(),
            annex: Annex::default(),
        })
    }

    /// How it follows its workers.
    #[must_use]
    pub const fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// The last decision's number.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// When the last decision was made.
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
        (self.latest_epoch > self.epoch).then_some(self.latest_epoch)
    }

    /// The latest term heard of: a new coordinator takes over with a later one.
    #[must_use]
    pub const fn latest_epoch(&self) -> Epoch {
        self.latest_epoch
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
    pub const fn is_blocked(&self, step: StepKind) -> bool {
        self.blocked[step as usize]
    }

    /// Whether new calls would find nobody without this worker: it is ready, and none other of the versions that get
    /// them is.
    #[must_use]
    pub fn is_last(&self, worker: WorkerId) -> bool {
        let serves = |version: &Version| self.weight(*version) > 0;
        let ready = |version: &Version| u64::from(self.members.pool(*version).ready);
        let is_one = self.members.get(worker).is_some_and(|member| member.is_ready() && serves(&member.version));
        is_one && self.versions.keys().filter(|version| serves(version)).map(ready).sum::<u64>() == 1
    }

    /// Its totals.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    fn policy(&self) -> Policy {
        self.rollout.map_or_else(Policy::default, |rollout| rollout.spec.policy)
    }

    fn in_state(&self, state: VersionState) -> Option<Version> {
        self.versions.iter().find(|(_, info)| info.state == state).map(|(version, _)| *version)
    }

    fn state_of(&self, version: Version) -> Option<VersionState> {
        self.versions.get(&version).map(|info| info.state)
    }

    /// When the new workers must be there or ready, if the coordinator has listened since then.
    fn verify_by(&self, since: Instant) -> Option<Instant> {
        let waits = |rollout: &Rollout| matches!(rollout.stage, Stage::Provisioning | Stage::Verifying);
        let rollout = self.rollout.filter(|rollout| waits(rollout) && self.paused.is_none())?;
        Some(rollout.since.max(since) + rollout.spec.policy.verify_timeout)
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

    fn is_observation(event: &Event) -> bool {
        event.is_observation()
    }

    fn forget(&mut self) {
        self.members.forget();
    }

    fn judge(&self, at: Instant, command: Command) -> Result<Event, Rejection> {
        self.answer(at, command)
    }

    fn command_behind(&self, event: &Event) -> Command {
        self.cause_of(event)
    }

    fn fits(&self, entry: &Entry) -> Result<(), Misfit> {
        self.check(entry)
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
        let Some(watch) = self.members.watch() else { return Some((self.now, Why::Watch)) };
        let worker = self.members.first_due().map(|(at, worker)| (at.max(self.now), Why::Worker(worker)));
        // Steps take longest to find, and whatever is due of a worker now comes before them.
        if worker.is_some_and(|(at, _)| at == self.now) {
            return worker;
        }
        if self.step().is_some() {
            return Some((self.now, Why::Step));
        }
        let verify = self.verify_by(watch.since).map(|at| (at.max(self.now), Why::Verify));
        worker.into_iter().chain(verify).min()
    }

    fn obligations(&self, effects: &mut impl Sink<Effect>) {
        self.owe(effects);
    }

    fn is_sound(&self) -> bool {
        let known = |version: &Version| self.versions.contains_key(version);
        self.timeouts.check().is_ok()
            && self.versions.len() <= VERSIONS_MAX
            && self.members.len() <= WORKERS_MAX
            && self.members.is_sound()
            && self.members.iter().all(|(_, member)| known(&member.version))
            && self.latest_epoch >= self.epoch
            && self.rollout.is_none_or(|rollout| {
                rollout.spec.check().is_ok() && known(&rollout.green()) && rollout.blue.as_ref().is_none_or(known)
            })
            && self.queued.is_none_or(|(_, spec)| spec.check().is_ok())
            && self.annex.gates.is_sound()
            && invariant::state(self).is_ok()
    }
}
