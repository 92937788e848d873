//! One worker as the coordinator sees it.

use serde::{Deserialize, Serialize};

use super::command::{Facts, Run, Stamp};
use super::event::{Departure, Event};
use crate::id::{Incarnation, Version, WorkerId};
use crate::time::{Instant, Span};
use crate::word::Phase;
use crate::worker::OnDeadline;

/// How much of a worker is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum View {
    /// Its last report is fresh.
    Known,
    /// It has not reported for too long, or not yet.
    Unknown,
    /// Its lease expired.
    Lost,
}

/// Whether a worker belongs to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// It does.
    Member,
    /// It was sent away; its calls are still waited for.
    Fenced,
    /// It was given up: a person approved that its calls, if it has any, are lost.
    WrittenOff,
}

/// How long a drain may take and what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DrainTerms {
    /// The time from when the worker obeys; `None` for as long as calls last.
    pub within: Option<Span>,
    /// What happens then.
    pub on_deadline: OnDeadline,
}

/// What a worker can be told.
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

/// What a worker was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// To do what.
    pub task: Task,
    /// Which order that was.
    pub stamp: Stamp,
    /// When it is sent again unless the worker obeys.
    pub resend_at: Instant,
    /// When it is withdrawn unless the worker obeys.
    pub expires_at: Option<Instant>,
    /// When the worker was seen to obey.
    pub acked: Option<Instant>,
    /// When an obeyed drain is overdue.
    pub overdue_at: Option<Instant>,
    /// Whether it is overdue.
    pub overdue: bool,
}

impl Told {
    /// Whether the order must still be sent.
    #[must_use]
    pub const fn is_owed(&self) -> bool {
        self.acked.is_none()
    }
}

/// One worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The version it runs.
    pub version: Version,
    /// Which run of it.
    pub incarnation: Incarnation,
    /// What it said last; `None` before its first report.
    pub facts: Option<Facts>,
    /// When it said so, or registered.
    pub heard: Instant,
    /// When it counts as unknown unless it reports.
    pub silent_at: Instant,
    /// When its lease expires unless it reports.
    pub lost_at: Instant,
    /// How much is known of it.
    pub view: View,
    /// Whether it belongs to the fleet.
    pub standing: Standing,
    /// Whether it takes no more calls and has none left, by a fresh report of this run.
    pub drained: bool,
    /// Whether an order to drain was withdrawn because no sign came back.
    pub withdrawn: bool,
    /// What it was told last and has not shed.
    pub told: Option<Told>,
}

/// What is due of a worker, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// It obeys.
    Ack,
    /// It cannot obey.
    Refusal,
    /// Its last call has ended.
    Drained,
    /// It left.
    Gone,
    /// It was fenced and has drained.
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

impl Member {
    /// Where its last report says it is.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.facts.map(|facts| facts.phase)
    }

    /// The calls it had when it was last heard.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.facts.map_or(0, |facts| facts.in_flight)
    }

    /// The calls it can be counted on to hold: none unless it serves, is heard, and was not told to stop serving.
    #[must_use]
    pub fn slots(&self) -> u32 {
        match self.facts {
            Some(facts) if facts.phase == Phase::Serving && self.is_ready() => facts.slots(),
            Some(_) | None => 0,
        }
    }

    /// Whether it serves, or stands by to. One that was told to drain and then not to may still get the first order
    /// before the second: it is not ready until it has taken both.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let ready = matches!(self.phase(), Some(Phase::Standby | Phase::Serving));
        ready && self.view == View::Known && self.standing == Standing::Member && self.is_left_alone()
    }

    /// Whether it is, or may become, one that takes calls.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let returns = self.is_returning() && !self.is_sealed();
        let stays = self.phase().is_none_or(|phase| phase < Phase::Draining) && !self.is_leaving();
        self.standing == Standing::Member && self.view != View::Lost && (returns || stays)
    }

    /// Whether nothing of it has to be waited for: it drained, or a person gave it up.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.drained || self.standing == Standing::WrittenOff
    }

    /// Whether it is being drained for a rollout and has calls, or may have.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        let told = matches!(self.told, Some(Told { task: Task::Drain(_) | Task::Force, .. }));
        told && !self.is_settled() && self.standing == Standing::Member
    }

    pub(super) fn must_drain(&self) -> bool {
        let open = self.phase().is_some_and(|phase| phase < Phase::Draining);
        open && self.is_left_alone() && self.view == View::Known && self.standing == Standing::Member && !self.withdrawn
    }

    pub(super) fn must_promote(&self) -> bool {
        self.phase() == Some(Phase::Standby) && self.is_ready() && self.told.is_none()
    }

    pub(super) fn may_return(&self) -> bool {
        let told = matches!(self.told, Some(Told { task: Task::Drain(_), .. }));
        told && self.standing == Standing::Member && self.view != View::Lost && !self.is_sealed()
    }

    pub(super) fn must_stop(&self) -> bool {
        self.drained && !self.is_told_to_stop()
    }

    pub(super) fn is_told_to_stop(&self) -> bool {
        matches!(self.told, Some(Told { task: Task::Stop, .. }))
    }

    /// Whether it was told to take calls again: whatever it reports, it may have some by now.
    pub(super) const fn is_returning(&self) -> bool {
        matches!(self.told, Some(Told { task: Task::Cancel, .. }))
    }

    fn is_left_alone(&self) -> bool {
        match self.told {
            None | Some(Told { task: Task::Serve, .. }) => true,
            Some(Told { task: Task::Cancel | Task::Drain(_) | Task::Force | Task::Stop, .. }) => false,
        }
    }

    fn is_leaving(&self) -> bool {
        matches!(self.told, Some(Told { task: Task::Drain(_) | Task::Force | Task::Stop, .. }))
    }

    fn is_sealed(&self) -> bool {
        self.facts.is_some_and(|facts| facts.sealed || facts.phase == Phase::Exited)
    }

    /// What is due next, and when.
    pub(super) fn due(&self) -> Option<(Instant, Due)> {
        let news = self.facts.filter(|_| self.view == View::Known).and_then(|facts| self.news(&facts));
        let fenced = self.standing == Standing::Fenced && self.must_stop();
        let stop = fenced.then_some(Due::Stop);
        [news.or(stop).map(|due| (self.heard, due)), self.due_order(), self.due_silence()].into_iter().flatten().min()
    }

    fn news(&self, facts: &Facts) -> Option<Due> {
        let obeyed = |told: &Told| facts.obeyed >= told.stamp;
        let closed = matches!(facts.phase, Phase::Draining | Phase::Drained | Phase::Exited);
        let answer = self.told.filter(Told::is_owed).and_then(|told| match told.task {
            Task::Cancel if closed && (facts.sealed || obeyed(&told)) => Some(Due::Refusal),
            Task::Cancel => (!closed && obeyed(&told)).then_some(Due::Ack),
            Task::Drain(_) => closed.then_some(Due::Ack),
            Task::Force => (closed && facts.in_flight == 0).then_some(Due::Ack),
            Task::Serve => (facts.phase > Phase::Standby).then_some(Due::Ack),
            Task::Stop => None,
        });
        let drained = (facts.is_empty() && !self.drained && !self.is_returning()).then_some(Due::Drained);
        let gone = (facts.phase == Phase::Exited).then_some(Due::Gone);
        answer.or(drained).or(gone)
    }

    fn due_order(&self) -> Option<(Instant, Due)> {
        let told = self.told?;
        if told.is_owed() {
            let expiry = told.expires_at.map(|at| (at, Due::Withdraw));
            return expiry.into_iter().chain([(told.resend_at, Due::Resend)]).min();
        }
        let waits = !told.overdue && !self.is_settled();
        told.overdue_at.filter(|_| waits).map(|at| (at, Due::Overdue))
    }

    /// A worker told to stop is expected to fall silent.
    fn due_silence(&self) -> Option<(Instant, Due)> {
        match self.view {
            View::Known if !self.is_told_to_stop() => Some((self.silent_at, Due::Silent)),
            View::Unknown if !self.is_told_to_stop() => Some((self.lost_at, Due::Lost)),
            View::Known | View::Unknown | View::Lost => None,
        }
    }

    pub(super) fn run(&self, worker: WorkerId) -> Run {
        Run { worker, incarnation: self.incarnation }
    }

    pub(super) fn event(&self, worker: WorkerId, due: Due) -> Event {
        let run = self.run(worker);
        let task = self.told.map_or(Task::Stop, |told| told.task);
        match due {
            Due::Ack => Event::Acked { run, task },
            Due::Refusal => Event::CancelRefused { run },
            Due::Drained => Event::WorkerDrained { run },
            Due::Gone => Event::WorkerGone { run, departure: Departure::Exited { dropped: self.live() } },
            Due::Stop => Event::Ordered { run, task: Task::Stop },
            Due::Withdraw => Event::DrainWithdrawn { run },
            Due::Resend => Event::Reissued { run },
            Due::Overdue => Event::DrainOverdue { run, live: self.live() },
            Due::Silent => Event::WorkerSilent { run },
            Due::Lost => Event::WorkerLost { run, live: self.live() },
        }
    }
}
