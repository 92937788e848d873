//! The workers of a fleet, with what steps and deadlines need of them kept up to date.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::command::Run;
use super::due::Watch;
use super::event::Event;
use super::member::{Member, MemberStatus};
use super::seen::{Seen, View};
use crate::id::{Version, WorkerId};
use crate::time::Instant;

/// Counts over the workers of one version, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Workers that are yet to be heard since the watch began.
    pub awaited: u32,
    /// Calls in flight as last heard, on every worker that was not written off.
    pub calls: u64,
    /// Workers told to drain, for a rollout or alone and to leave, that have not drained.
    pub draining: u32,
    /// Workers that nothing but their phase can keep from being told to drain.
    pub may_drain: u32,
    /// Workers whose drain can be cancelled.
    pub may_return: u32,
    /// All workers.
    pub members: u32,
    /// Workers that can be told to drain.
    pub must_drain: u32,
    /// Ready workers that stand by.
    pub must_promote: u32,
    /// Drained workers that were not told to stop.
    pub must_stop: u32,
    /// Workers that serve or stand by to.
    pub ready: u32,
    /// Calls that serving workers can hold.
    pub slots: u64,
    /// Workers whose lease expired and that nobody gave up.
    pub lost: u32,
    /// Workers of which nothing is known now.
    pub unknown: u32,
    /// Workers that are neither drained nor written off.
    pub unsettled: u32,
    /// Workers that take calls or may come to.
    pub usable: u32,
    /// Workers from which an order to drain was withdrawn.
    pub withdrawn: u32,
}

impl Pool {
    fn of(member: &Member) -> Self {
        let given_up = member.status == MemberStatus::WrittenOff;
        Self {
            awaited: member.is_awaited().into(),
            calls: if given_up { 0 } else { u64::from(member.live()) },
            draining: member.is_draining().into(),
            may_drain: member.may_drain().into(),
            may_return: member.may_return().into(),
            members: 1,
            must_drain: member.must_drain().into(),
            must_promote: member.must_promote().into(),
            must_stop: member.must_stop().into(),
            ready: member.is_ready().into(),
            slots: member.slots().into(),
            lost: (member.view() == View::Lost && !given_up).into(),
            unknown: (member.view() == View::Unknown && !given_up).into(),
            unsettled: (!member.is_settled()).into(),
            usable: member.is_usable().into(),
            withdrawn: member.withdrawn.into(),
        }
    }

    fn merge(self, other: Self, count: fn(u32, u32) -> u32, calls: fn(u64, u64) -> u64) -> Self {
        Self {
            awaited: count(self.awaited, other.awaited),
            calls: calls(self.calls, other.calls),
            draining: count(self.draining, other.draining),
            may_drain: count(self.may_drain, other.may_drain),
            may_return: count(self.may_return, other.may_return),
            members: count(self.members, other.members),
            must_drain: count(self.must_drain, other.must_drain),
            must_promote: count(self.must_promote, other.must_promote),
            must_stop: count(self.must_stop, other.must_stop),
            ready: count(self.ready, other.ready),
            slots: calls(self.slots, other.slots),
            lost: count(self.lost, other.lost),
            unknown: count(self.unknown, other.unknown),
            unsettled: count(self.unsettled, other.unsettled),
            usable: count(self.usable, other.usable),
            withdrawn: count(self.withdrawn, other.withdrawn),
        }
    }

    fn plus(self, other: Self) -> Self {
        self.merge(other, u32::saturating_add, u64::saturating_add)
    }

    fn minus(self, other: Self) -> Self {
        self.merge(other, u32::saturating_sub, u64::saturating_sub)
    }
}

/// The workers by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(WorkerId, Member)>", into = "Vec<(WorkerId, Member)>")]
pub struct Members {
    live: BTreeMap<WorkerId, Member>,
    /// From when on they are listened to; `None` before the watch has begun, when nothing is due of anybody.
    watch: Option<Watch>,
    /// When something is due of each worker.
    watched: BTreeSet<(Instant, WorkerId)>,
    /// Counts by version; a version without workers has none.
    pools: BTreeMap<Version, Pool>,
    /// Counts over all of them.
    total: Pool,
}

impl Members {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The worker of this name.
    #[must_use]
    pub fn get(&self, worker: WorkerId) -> Option<&Member> {
        self.live.get(&worker)
    }

    /// The worker whose current run this is.
    #[must_use]
    pub fn of(&self, run: Run) -> Option<&Member> {
        self.get(run.worker).filter(|member| member.incarnation == run.incarnation)
    }

    /// Every worker, by name.
    pub fn iter(&self) -> impl Iterator<Item = (WorkerId, &Member)> {
        self.live.iter().map(|(worker, member)| (*worker, member))
    }

    /// The counts over a version's workers.
    #[must_use]
    pub fn pool(&self, version: Version) -> Pool {
        self.pools.get(&version).copied().unwrap_or_default()
    }

    /// The counts over all workers.
    #[must_use]
    pub const fn total(&self) -> &Pool {
        &self.total
    }

    /// From when on they are listened to.
    #[must_use]
    pub const fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// The worker of a version that satisfies a condition and has the fewest calls.
    pub(super) fn idlest(&self, version: Version, is: fn(&Member) -> bool) -> Option<(Run, &Member)> {
        let fit = self.live.iter().filter(|(_, member)| member.version == version && is(member));
        fit.min_by_key(|(worker, member)| (member.live(), **worker))
            .map(|(worker, member)| (member.run(*worker), member))
    }

    /// The worker of which something is due first, and when.
    pub(super) fn first_due(&self) -> Option<(Instant, WorkerId)> {
        self.watched.first().copied()
    }

    /// What is due of a worker, once it is.
    pub(super) fn due_event(&self, worker: WorkerId) -> Option<Event> {
        let (member, watch) = (self.live.get(&worker)?, self.watch.as_ref()?);
        let (_, due) = member.due(watch)?;
        member.event(member.run(worker), due, watch)
    }

    pub(super) fn insert(&mut self, worker: WorkerId, member: &Member) {
        self.remove(worker);
        self.index(worker, member);
        self.live.insert(worker, *member);
    }

    pub(super) fn remove(&mut self, worker: WorkerId) -> Option<Member> {
        let member = self.live.remove(&worker)?;
        self.unindex(worker, &member);
        Some(member)
    }

    pub(super) fn change(&mut self, worker: WorkerId, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.live.get_mut(&worker) else { return };
        let watch = self.watch;
        let due = |member: &Member| watch.and_then(|watch| member.due(&watch)).map(|(at, _)| at);
        let (due_before, version, pool) = (due(member), member.version, Pool::of(member));
        change(member);
        let (due_now, pool_now) = (due(member), Pool::of(member));
        debug_assert_eq!(version, member.version, "a worker's version is what it was started with");
        if due_before != due_now {
            due_before.map(|at| self.watched.remove(&(at, worker)));
            due_now.map(|at| self.watched.insert((at, worker)));
        }
        if pool != pool_now
            && let Some(sum) = self.pools.get_mut(&version)
        {
            *sum = sum.minus(pool).plus(pool_now);
            self.total = self.total.minus(pool).plus(pool_now);
        }
    }

    /// Forgets which drains were withdrawn, so that they are tried again.
    pub(super) fn forgive(&mut self) {
        self.change_all(|member| member.withdrawn = false);
    }

    /// Forgets what was seen of every worker.
    pub(super) fn forget(&mut self) {
        self.watch = None;
        self.change_all(|member| member.seen = Seen::default());
    }

    /// Begins to listen: leases begin anew, reports that are no longer good do not count, and whoever was never heard
    /// is waited for.
    pub(super) fn listen(&mut self, watch: Watch) {
        self.watch = Some(watch);
        self.change_all(|member| {
            let heard = member.seen.heard;
            member.seen.awaited = heard.is_none();
            member.seen.fresh &= heard.is_some_and(|heard| heard.at + watch.timeouts.report_ttl > watch.since);
        });
    }

    pub(super) fn is_sound(&self) -> bool {
        let mut again = self.clone();
        again.index_all();
        *self == again
    }

    fn change_all(&mut self, change: impl Fn(&mut Member)) {
        self.live.values_mut().for_each(change);
        self.index_all();
    }

    fn index_all(&mut self) {
        self.watched.clear();
        self.pools.clear();
        self.total = Pool::default();
        for (worker, member) in core::mem::take(&mut self.live) {
            self.insert(worker, &member);
        }
    }

    fn due_at(&self, member: &Member) -> Option<Instant> {
        self.watch.and_then(|watch| member.due(&watch)).map(|(at, _)| at)
    }

    fn index(&mut self, worker: WorkerId, member: &Member) {
        if let Some(at) = self.due_at(member) {
            self.watched.insert((at, worker));
        }
        let (pool, sum) = (Pool::of(member), self.pools.entry(member.version).or_default());
        *sum = sum.plus(pool);
        self.total = self.total.plus(pool);
    }

    fn unindex(&mut self, worker: WorkerId, member: &Member) {
        if let Some(at) = self.due_at(member) {
            self.watched.remove(&(at, worker));
        }
        if let Some(sum) = self.pools.get_mut(&member.version) {
            let pool = Pool::of(member);
            *sum = sum.minus(pool);
            self.total = self.total.minus(pool);
            if sum.members == 0 {
                self.pools.remove(&member.version);
            }
        }
    }
}

impl From<Vec<(WorkerId, Member)>> for Members {
    fn from(list: Vec<(WorkerId, Member)>) -> Self {
        let mut members = Self::default();
        for (worker, member) in list {
            members.insert(worker, &member);
        }
        members
    }
}

impl From<Members> for Vec<(WorkerId, Member)> {
    fn from(members: Members) -> Self {
        members.live.into_iter().collect()
    }
}
