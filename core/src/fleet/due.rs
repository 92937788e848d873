//! What is due of a worker, and when.

use super::command::Facts;
use super::event::{Departure, Event};
use super::member::{Lease, Member, MemberStatus, OrderInForce, Task};
use super::{Run, Timeouts};
use crate::time::Instant;
use crate::word::Phase;

/// When something is due that need not wait.
pub(super) const AT_ONCE: Instant = Instant::EPOCH;

/// From when on a coordinator listens to its workers. It judges no worker by a silence that began before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// When it began.
    pub since: Instant,
    /// How workers are followed.
    pub timeouts: Timeouts,
}

/// What is due of a worker, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Its report shows something that is not noted yet.
    News(News),
    /// It was sent away and has drained.
    Stop,
    /// Its order expires.
    Withdraw,
    /// Its order is sent again.
    Resend,
    /// Its drain is overdue.
    Overdue,
    /// It is unknown.
    Silent,
    /// It is lost.
    Lost,
}

/// What a report can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    /// The worker left.
    Gone,
    /// Somebody else took its drain back.
    Undone,
    /// It obeys.
    Ack,
    /// It cannot obey.
    Refusal,
    /// Its last call has ended.
    Drained,
}

impl Member {
    /// What is due next, and when.
    pub(super) fn due(&self, watch: &Watch) -> Option<(Instant, Due)> {
        if self.lease == Lease::Void {
            return self.lost_at(AT_ONCE, watch).map(|at| (at, Due::Lost));
        }
        if let Some(news) = self.fresh().and_then(|facts| self.news(facts)) {
            return Some((AT_ONCE, Due::News(news)));
        }
        if self.status.leaves() && self.must_stop() {
            return Some((AT_ONCE, Due::Stop));
        }
        [self.due_order(watch), self.due_silence(watch)].into_iter().flatten().min()
    }

    /// What a report of this run shows that is not noted yet.
    fn news(&self, facts: &Facts) -> Option<News> {
        if self.lease != Lease::Held {
            return None;
        }
        if facts.phase == Phase::Exited {
            return Some(News::Gone);
        }
        let undone = self.order.is_some_and(|order| order.is_undone_by(facts)) || (self.drained && !facts.is_empty());
        if undone && self.status != MemberStatus::WrittenOff {
            return Some(News::Undone);
        }
        // While an order is on its way, an earlier one may be too, and open the worker again.
        let awaits = self.order.is_some_and(|order| order.is_owed() && facts.obeyed < order.stamp);
        let drained = facts.is_empty() && !self.drained && !awaits;
        self.reply(facts).or_else(|| drained.then_some(News::Drained))
    }

    /// What a report says to an order that is owed.
    fn reply(&self, facts: &Facts) -> Option<News> {
        let order = self.order.filter(OrderInForce::is_owed)?;
        let obeyed = facts.obeyed >= order.stamp;
        let closed = facts.phase >= Phase::Draining;
        let acked = match order.task {
            Task::Cancel if closed && (facts.sealed || obeyed) => return Some(News::Refusal),
            Task::Cancel => !closed && obeyed,
            Task::Drain(_) => closed && obeyed,
            Task::Force => closed && obeyed && facts.in_flight == 0,
            Task::Serve => facts.phase > Phase::Standby,
            Task::Stop => false,
        };
        acked.then_some(News::Ack)
    }

    /// What became true when a report with these facts came.
    pub(super) fn shown(&self, run: Run, facts: Facts) -> Option<Event> {
        Some(match self.news(&facts)? {
            News::Gone => Event::WorkerGone { run, departure: Departure::Exited { dropped: facts.in_flight } },
            News::Undone => Event::DrainUndone { run, facts },
            News::Ack => Event::Acked { run, task: self.order?.task, facts },
            News::Refusal => Event::CancelRefused { run, facts },
            News::Drained => Event::WorkerDrained { run, facts },
        })
    }

    /// What becomes true when `due` comes.
    pub(super) fn event(&self, run: Run, due: Due, watch: &Watch) -> Option<Event> {
        let facts = self.facts().copied();
        Some(match due {
            Due::News(_) => return self.shown(run, facts?),
            Due::Stop => Event::StopOrdered { run, facts: facts? },
            Due::Withdraw => Event::DrainWithdrawn { run },
            Due::Resend => Event::Reissued { run },
            Due::Overdue => Event::DrainOverdue { run, live: self.live() },
            Due::Silent => Event::WorkerSilent { run },
            Due::Lost => Event::WorkerLost { run, heard: self.last_sign(watch), live: self.live() },
        })
    }

    fn due_order(&self, watch: &Watch) -> Option<(Instant, Due)> {
        let withdraw = self.withdrawn_at(watch).map(|at| (at, Due::Withdraw));
        let resend = self.resent_at(watch).map(|at| (at, Due::Resend));
        let overdue = self.overdue_at(watch).map(|at| (at, Due::Overdue));
        [withdraw, resend, overdue].into_iter().flatten().min()
    }

    fn resent_at(&self, watch: &Watch) -> Option<Instant> {
        let order = self.order.filter(OrderInForce::is_owed)?;
        let sent = order.given.max(watch.since).max(self.seen.resent.unwrap_or_default());
        Some(sent + watch.timeouts.resend_after)
    }

    /// When its order is withdrawn unless it obeys.
    pub(super) fn withdrawn_at(&self, watch: &Watch) -> Option<Instant> {
        let order = self.order.filter(OrderInForce::is_owed)?;
        Some(order.given.max(watch.since) + order.stands_for?)
    }

    /// When the drain that it obeys is overdue, unless that was said.
    pub(super) fn overdue_at(&self, watch: &Watch) -> Option<Instant> {
        let order = self.order.filter(|order| !order.is_owed() && !order.overdue && !self.was_settled())?;
        Some(order.overdue_at?.max(watch.since + watch.timeouts.report_ttl))
    }

    fn due_silence(&self, watch: &Watch) -> Option<(Instant, Due)> {
        match self.seen.heard.filter(|_| self.seen.fresh && !self.is_told_to_stop()) {
            Some(heard) => Some((heard.at + watch.timeouts.report_ttl, Due::Silent)),
            None => self.lost_at(self.last_sign(watch), watch).map(|at| (at, Due::Lost)),
        }
    }

    /// The last sign of it: when it reported, joined, or began to be watched.
    fn last_sign(&self, watch: &Watch) -> Instant {
        let heard = self.seen.heard.map_or(self.joined, |heard| heard.at);
        heard.max(self.joined).max(watch.since)
    }

    /// When it is lost if the last sign of it came at `heard`. A worker told to stop is expected to fall silent.
    pub(super) fn lost_at(&self, heard: Instant, watch: &Watch) -> Option<Instant> {
        let leased = heard >= self.joined.max(watch.since) && !self.is_told_to_stop();
        match self.lease {
            Lease::Held => leased.then_some(heard + watch.timeouts.lease_ttl),
            Lease::Void => Some(AT_ONCE),
            Lease::Expired => None,
        }
    }
}
