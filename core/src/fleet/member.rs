//! One worker as the coordinator sees it.

use serde::{Deserialize, Serialize};

use super::command::{Facts, Run, Stamp};
use super::seen::{Seen, View};
use crate::id::{Incarnation, Seq, Version, WorkerId};
use crate::time::{Instant, Span};
use crate::word::Phase;
use crate::worker::OnDeadline;

/// Whether a worker belongs to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemberStatus {
    /// It does.
    Member,
    /// It was sent away; its calls are still waited for.
    Fenced,
    /// It was given up: a person approved that its calls, if it has any, are lost.
    WrittenOff,
    /// It belongs to the fleet, and a person keeps new calls from it. It stays when its calls have ended.
    Cordoned,
    /// It was dismissed: it drains on these terms and leaves. Until it is told to leave, that can be taken back.
    Dismissed(DrainTerms),
}

impl MemberStatus {
    /// Whether it is to leave as soon as it has drained, whatever becomes of its version.
    #[must_use]
    pub const fn leaves(self) -> bool {
        match self {
            Self::Fenced | Self::Dismissed(_) => true,
            Self::Member | Self::WrittenOff | Self::Cordoned => false,
        }
    }

    /// Whether a person keeps it from calls, and can take that back.
    #[must_use]
    pub const fn is_cordoned(self) -> bool {
        match self {
            Self::Cordoned | Self::Dismissed(_) => true,
            Self::Member | Self::Fenced | Self::WrittenOff => false,
        }
    }

    /// How a worker drains that was taken out of service in this way; `usual` is how a rollout does it.
    pub(super) const fn terms(self, usual: DrainTerms) -> DrainTerms {
        match self {
            Self::Cordoned => DrainTerms::PATIENT,
            Self::Dismissed(terms) => terms,
            Self::Member | Self::Fenced | Self::WrittenOff => usual,
        }
    }
}

/// Whether a worker may still be counted on to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Lease {
    /// It may.
    Held,
    /// A later run of the worker asked to join, so this one is gone: it is lost at once.
    Void,
    /// It was silent for too long, and is lost unless it joins again.
    Expired,
}

/// How long a drain may take and what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DrainTerms {
    /// The time from when the worker obeys; `None` for as long as calls last.
    pub within: Option<Span>,
    /// What happens then.
    pub on_deadline: OnDeadline,
}

impl DrainTerms {
    /// As long as calls last.
    pub const PATIENT: Self = Self { within: None, on_deadline: OnDeadline::Wait };
}

/// What a worker can be ordered to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Task {
    /// Take calls again.
    Cancel,
    /// Take no more calls.
    Drain(DrainTerms),
    /// End the calls that are left.
    Force,
    /// Start taking calls.
    Serve,
    /// Leave: the platform ends the process.
    Stop,
}

/// The last order to a worker, until the worker has obeyed or shed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderInForce {
    /// To do what.
    pub task: Task,
    /// Which order that was.
    pub stamp: Stamp,
    /// When it was given.
    pub given: Instant,
    /// How long it stands without a sign that the worker obeys; `None` for as long as that takes.
    pub stands_for: Option<Span>,
    /// When the worker was seen to obey.
    pub acked: Option<Instant>,
    /// When an obeyed drain is overdue.
    pub overdue_at: Option<Instant>,
    /// Whether it is overdue.
    pub overdue: bool,
}

impl OrderInForce {
    /// Whether the order must still be sent.
    #[must_use]
    pub const fn is_owed(&self) -> bool {
        self.acked.is_none()
    }

    /// Whether a worker with these facts has shed the order: it had obeyed, and then someone else cancelled the drain.
    pub(super) fn is_undone_by(&self, facts: &Facts) -> bool {
        let open = facts.phase < Phase::Draining;
        match self.task {
            Task::Cancel | Task::Serve => false,
            Task::Drain(_) => open && (!self.is_owed() || facts.obeyed >= self.stamp),
            Task::Force => open,
            Task::Stop => !facts.is_empty(),
        }
    }

    /// What remains of the order once it is obeyed.
    pub(super) fn obeyed(self, now: Instant) -> Option<Self> {
        match self.task {
            Task::Cancel | Task::Serve => None,
            Task::Drain(terms) => {
                let within = terms.within.filter(|_| terms.on_deadline != OnDeadline::Wait);
                Some(Self { acked: Some(now), overdue_at: within.map(|within| now + within), ..self })
            }
            Task::Force | Task::Stop => Some(Self { acked: Some(now), ..self }),
        }
    }
}

/// One worker: what was decided of it, and what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The version it runs.
    pub version: Version,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// When it joined, or came back.
    pub joined: Instant,
    /// Whether it belongs to the fleet.
    pub status: MemberStatus,
    /// Whether it may still be counted on to report.
    pub lease: Lease,
    /// Whether it was seen to take no more calls and to have none left. [`Member::is_drained`] tells whether that still
    /// counts.
    pub drained: bool,
    /// Whether an order to drain was withdrawn because no sign came back.
    pub withdrawn: bool,
    /// The last order to it, if it is still in force.
    pub order: Option<OrderInForce>,
    /// The latest entry of its journal that something was decided on.
    pub seq: Seq,
    /// The calls it had then.
    pub live: u32,
    /// What was seen of it.
    #[serde(skip)]
    pub seen: Seen,
}

impl Member {
    pub(super) fn new(version: Version, incarnation: Incarnation, joined: Instant) -> Self {
        Self {
            version,
            incarnation,
            joined,
            status: MemberStatus::Member,
            lease: Lease::Held,
            drained: false,
            withdrawn: false,
            order: None,
            seq: Seq::default(),
            live: 0,
            seen: Seen::default(),
        }
    }

    pub(super) const fn run(&self, worker: WorkerId) -> Run {
        Run { worker, incarnation: self.incarnation }
    }

    /// Something was decided on these facts.
    pub(super) const fn note(&mut self, facts: &Facts) {
        self.seq = facts.seq;
        self.live = facts.in_flight;
        self.drained &= facts.is_empty();
    }

    /// Whether its lease expired and it has not come back.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(self.lease, Lease::Expired)
    }

    /// Where its last report says it is.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.facts().map(|facts| facts.phase)
    }

    /// The calls it had when it was last heard.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.facts().map_or(self.live, |facts| facts.in_flight)
    }

    /// The calls it can be counted on to hold: none unless it serves, is heard, and was not told to stop serving.
    #[must_use]
    pub fn slots(&self) -> u32 {
        let serving = self.fresh().filter(|facts| facts.phase == Phase::Serving && self.is_ready_as(facts));
        serving.map_or(0, Facts::slots)
    }

    /// Whether it serves, or stands by to. A worker that was ordered to drain, and then to take calls again, may get
    /// the orders one by one: it is ready once it has taken both.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.fresh().is_some_and(|facts| self.is_ready_as(facts))
    }

    fn is_ready_as(&self, facts: &Facts) -> bool {
        matches!(facts.phase, Phase::Standby | Phase::Serving) && self.is_left_alone()
    }

    /// Whether it takes calls now, or may take calls later.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let returns = self.is_returning() && !self.is_sealed();
        let stays = self.phase().is_none_or(|phase| phase < Phase::Draining) && !self.is_leaving();
        self.is_member() && (returns || stays)
    }

    /// Whether it takes no more calls and has none left: a fresh report says so, or one did and it was told to leave.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let known = self.view() == View::Known || self.is_told_to_stop();
        self.drained && known && self.facts().is_none_or(Facts::is_empty)
    }

    /// Whether nothing of it has to be waited for: it drained, or a person gave it up.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_drained() || self.status == MemberStatus::WrittenOff
    }

    /// Whether it was seen to drain, or a person gave it up: what can be said of it without a fresh report.
    pub(super) fn was_settled(&self) -> bool {
        self.drained || self.status == MemberStatus::WrittenOff
    }

    /// Whether it drains for a rollout, or alone and to leave, and has calls, or may have.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        let ordered = matches!(self.order, Some(OrderInForce { task: Task::Drain(_) | Task::Force, .. }));
        let counts = matches!(self.status, MemberStatus::Member | MemberStatus::Dismissed(_));
        ordered && !self.drained && counts
    }

    /// Whether nothing but its phase can keep it from being told to drain.
    pub(super) fn may_drain(&self) -> bool {
        self.is_left_alone() && !self.withdrawn && !self.drained
    }

    pub(super) fn must_drain(&self) -> bool {
        self.fresh().is_some_and(|facts| self.drains_as(facts))
    }

    pub(super) fn drains_as(&self, facts: &Facts) -> bool {
        facts.phase < Phase::Draining && self.may_drain()
    }

    pub(super) fn must_promote(&self) -> bool {
        self.fresh().is_some_and(|facts| self.serves_as(facts))
    }

    pub(super) fn serves_as(&self, facts: &Facts) -> bool {
        facts.phase == Phase::Standby && self.order.is_none() && self.is_member() && !self.drained
    }

    /// Whether its drain can be cancelled, as far as is known.
    pub(super) fn may_return(&self) -> bool {
        self.is_told_to_drain() && !self.is_sealed()
    }

    pub(super) fn is_told_to_drain(&self) -> bool {
        matches!(self.order, Some(OrderInForce { task: Task::Drain(_), .. })) && self.is_member()
    }

    pub(super) fn must_stop(&self) -> bool {
        self.fresh().is_some_and(|facts| self.stops_as(facts))
    }

    pub(super) const fn stops_as(&self, facts: &Facts) -> bool {
        self.drained && facts.is_empty() && !self.is_told_to_stop()
    }

    pub(super) const fn is_told_to_stop(&self) -> bool {
        matches!(self.order, Some(OrderInForce { task: Task::Stop, .. }))
    }

    /// Whether it was told to take calls again. It may have calls by now, even if its last report says that it has
    /// none.
    pub(super) const fn is_returning(&self) -> bool {
        matches!(self.order, Some(OrderInForce { task: Task::Cancel, .. }))
    }

    fn is_member(&self) -> bool {
        self.status == MemberStatus::Member && self.lease == Lease::Held
    }

    fn is_left_alone(&self) -> bool {
        let alone = match self.order {
            None | Some(OrderInForce { task: Task::Serve, .. }) => true,
            Some(OrderInForce { task: Task::Cancel | Task::Drain(_) | Task::Force | Task::Stop, .. }) => false,
        };
        alone && self.is_member()
    }

    fn is_leaving(&self) -> bool {
        matches!(self.order, Some(OrderInForce { task: Task::Drain(_) | Task::Force | Task::Stop, .. }))
    }

    fn is_sealed(&self) -> bool {
        self.facts().is_some_and(|facts| facts.sealed || facts.phase == Phase::Exited)
    }
}
