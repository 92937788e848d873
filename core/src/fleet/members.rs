//! The workers of a fleet, with what steps and deadlines need of them kept up to date.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::member::{Member, Standing, View};
use crate::id::{Version, WorkerId};
use crate::time::Instant;

/// Counts over the workers of one version, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Calls in flight as last heard, on every worker that was not written off.
    pub calls: u64,
    /// Workers told to drain for a rollout that have not drained.
    pub draining: u32,
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
        let given_up = member.standing == Standing::WrittenOff;
        Self {
            calls: if given_up { 0 } else { u64::from(member.live()) },
            draining: member.is_draining().into(),
            may_return: member.may_return().into(),
            members: 1,
            must_drain: member.must_drain().into(),
            must_promote: member.must_promote().into(),
            must_stop: member.must_stop().into(),
            ready: member.is_ready().into(),
            slots: member.slots().into(),
            lost: (member.view == View::Lost && !given_up).into(),
            unknown: (member.view == View::Unknown && !given_up).into(),
            unsettled: (!member.is_settled()).into(),
            usable: member.is_usable().into(),
            withdrawn: member.withdrawn.into(),
        }
    }

    fn merge(self, other: Self, count: fn(u32, u32) -> u32, calls: fn(u64, u64) -> u64) -> Self {
        Self {
            calls: calls(self.calls, other.calls),
            draining: count(self.draining, other.draining),
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
    /// When something is due of each worker.
    watched: BTreeSet<(Instant, WorkerId)>,
    /// Counts by version; a version without workers has none.
    pools: BTreeMap<Version, Pool>,
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
    pub fn total(&self) -> Pool {
        self.pools.values().copied().fold(Pool::default(), Pool::plus)
    }

    /// The worker of a version that satisfies a condition and has the fewest calls.
    pub(super) fn idlest(&self, version: Version, is: fn(&Member) -> bool) -> Option<(WorkerId, &Member)> {
        let fit = self.live.iter().filter(|(_, member)| member.version == version && is(member));
        fit.min_by_key(|(worker, member)| (member.live(), **worker)).map(|(worker, member)| (*worker, member))
    }

    /// The worker of which something is due first, and when.
    pub(super) fn first_due(&self) -> Option<(Instant, WorkerId)> {
        self.watched.first().copied()
    }

    pub(super) fn insert(&mut self, worker: WorkerId, member: Member) {
        self.remove(worker);
        self.index(worker, &member);
        self.live.insert(worker, member);
    }

    pub(super) fn remove(&mut self, worker: WorkerId) -> Option<Member> {
        let member = self.live.remove(&worker)?;
        self.unindex(worker, &member);
        Some(member)
    }

    pub(super) fn change(&mut self, worker: WorkerId, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.live.get_mut(&worker) else { return };
        let (due, version, pool) = (member.due(), member.version, Pool::of(member));
        change(member);
        let (due_now, pool_now) = (member.due(), Pool::of(member));
        debug_assert_eq!(version, member.version, "a worker's version is what it was started with");
        if due != due_now {
            due.map(|(at, _)| self.watched.remove(&(at, worker)));
            due_now.map(|(at, _)| self.watched.insert((at, worker)));
        }
        if pool != pool_now
            && let Some(sum) = self.pools.get_mut(&version)
        {
            *sum = sum.minus(pool).plus(pool_now);
        }
    }

    /// Forgets which drains were withdrawn, so that they are tried again.
    pub(super) fn forgive(&mut self) {
        let withdrawn = self.live.iter().filter(|(_, member)| member.withdrawn).map(|(worker, _)| *worker);
        for worker in withdrawn.collect::<Vec<_>>() {
            self.change(worker, |member| member.withdrawn = false);
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        *self == Self::from(Vec::from(self.clone()))
    }

    fn index(&mut self, worker: WorkerId, member: &Member) {
        if let Some((at, _)) = member.due() {
            self.watched.insert((at, worker));
        }
        let pool = self.pools.entry(member.version).or_default();
        *pool = pool.plus(Pool::of(member));
    }

    fn unindex(&mut self, worker: WorkerId, member: &Member) {
        if let Some((at, _)) = member.due() {
            self.watched.remove(&(at, worker));
        }
        if let Some(pool) = self.pools.get_mut(&member.version) {
            *pool = pool.minus(Pool::of(member));
            if pool.members == 0 {
                self.pools.remove(&member.version);
            }
        }
    }
}

impl From<Vec<(WorkerId, Member)>> for Members {
    fn from(list: Vec<(WorkerId, Member)>) -> Self {
        let mut members = Self::default();
        for (worker, member) in list {
            members.insert(worker, member);
        }
        members
    }
}

impl From<Members> for Vec<(WorkerId, Member)> {
    fn from(members: Members) -> Self {
        members.live.into_iter().collect()
    }
}
