//! The certificate: what a rollout did to every call of every worker.

mod close;
mod v1;
mod words;

use openrtc_core::id::Incarnation;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::Cause;
use serde::{Deserialize, Serialize};

use crate::dispatch::Dispatch;
use crate::end::{CallEnd, Meaning, RunEnd};
use crate::gap::Untold;
use crate::select::Role;
use crate::standing::Standing;

pub(crate) use v1::CertificateV1;

/// What a rollout did to every call. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// How it is written.
    pub format: Format,
    /// What the rest leads to.
    pub verdict: Verdict,
    /// By when the last retired run had drained, with [`Certificate::skew`] added; none while one has not. What a run
    /// that takes over did later is not in here.
    pub until: Option<Instant>,
    /// By how much clocks may differ.
    pub skew: Span,
    /// What the calls and refusals add up to.
    #[serde(flatten)]
    pub sums: Sums,
    /// Every run that has a part in the rollout.
    pub workers: Vec<WorkerRun>,
    /// Every promised call.
    pub calls: Vec<Call>,
    /// What the evidence does not tell.
    pub unknown: Vec<Untold>,
    /// What whoever handed out the calls saw, if it was asked. It changes no verdict: what nobody promised cannot be
    /// dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dispatches: Vec<Dispatch>,
}

/// How a certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// As builds up to commit d8c22db wrote it.
    #[serde(rename = "openrtc certificate v1")]
    V1,
    /// As described in `docs/certificate.md`.
    #[serde(rename = "openrtc certificate v2")]
    V2,
}

/// What a certificate's calls lead to, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every call is told to its end, and none was dropped.
    Proven,
    /// Every call is told to its end; those that were dropped are named.
    Dropped,
    /// Something that is to be retired is still up: the end is yet to come.
    Open,
    /// Evidence is missing.
    Unknown,
}

/// What calls and refusals add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// How many calls were promised.
    pub promised: u64,
    /// Of those, how many ended and were not dropped.
    pub ended: u64,
    /// How many were dropped.
    pub dropped: u64,
    /// How many are up on retired workers.
    pub open: u64,
    /// How many were up on workers that take over.
    pub in_progress: u64,
    /// How many have an end that is not told.
    pub untold: u64,
    /// How many offers were declined.
    pub declined: u64,
    /// Whether that is all of them. If not, it is a lower bound: a run that has not left may decline on, and one that
    /// ended without a word counted once a second.
    pub declined_exact: bool,
}

/// One run of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRun {
    /// The worker's name.
    pub name: String,
    /// The version that it ran.
    pub version: String,
    /// Which run of the worker.
    pub incarnation: Incarnation,
    /// What it is to the rollout.
    pub role: Role,
    /// What is known of its end.
    pub standing: Standing,
    /// What its exit entry says, if it has one.
    pub outcome: Option<RunEnd>,
    /// How many calls it promised.
    pub calls: u64,
    /// How many offers it declined.
    pub declined: u64,
    /// When it wrote its first entry.
    pub began: Instant,
    /// When it wrote its last entry, as far as the rollout goes.
    pub ended: Instant,
    /// When the last call of its drain had ended.
    pub drained: Option<Instant>,
    /// Its drain, if it had one.
    pub drain: Option<Drain>,
}

/// A drain from its order to the last entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// What asked for it.
    pub cause: Cause,
    /// Who asked for it.
    pub actor: String,
    /// When it began.
    pub began: Instant,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// What the dispatcher calls it.
    pub id: String,
    /// The run that promised it, by its place in the list.
    pub run: usize,
    /// When it was promised.
    pub began: Instant,
    /// When it ended, if it did; for one that was open when its worker died, when that was last heard of.
    pub ended: Option<Instant>,
    /// How it ended.
    pub end: CallEnd,
}

impl Certificate {
    /// The verdict that workers, calls and gaps lead to: never better than that on the worst run.
    #[must_use]
    pub fn judge(&self) -> Verdict {
        if self.format == Format::V1 {
            return v1::judge(self);
        }
        let retires = self.workers.iter().any(|worker| worker.role == Role::Retired);
        let is_told = retires
            && self.unknown.iter().all(|untold| untold.run.is_some_and(|run| run < self.workers.len()))
            && self.calls.iter().all(|call| call.run < self.workers.len());
        if !is_told {
            return Verdict::Unknown;
        }
        self.verdicts().into_iter().max().unwrap_or(Verdict::Unknown)
    }

    /// What is to be said of each run's part.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let mut calls = vec![(0, [0_u64; Meaning::COUNT]); self.workers.len()];
        for call in &self.calls {
            if let Some((sum, by)) = calls.get_mut(call.run) {
                *sum += 1;
                by[call.end.meaning() as usize] += 1;
            }
        }
        let mut verdicts = Vec::new();
        for ((place, worker), (sum, by)) in (0..).zip(&self.workers).zip(calls) {
            let has = |meaning: Meaning| by[meaning as usize] > 0;
            let is_untold = self.unknown.iter().any(|untold| untold.run == Some(place));
            let told = match (worker.role, worker.standing) {
                _ if is_untold || sum != worker.calls || has(Meaning::Unknown) => Verdict::Unknown,
                (Role::TakesOver, _) | (Role::Retired, Standing::Exited | Standing::Parked) => Verdict::Proven,
                (Role::Retired, Standing::Running) => Verdict::Open,
                // It is told to its end by the calls that it took along. Without one, what it did last is not told.
                (Role::Retired, Standing::Died) if has(Meaning::Dropped) => Verdict::Dropped,
                (Role::Retired, Standing::Died | Standing::DrainedAndGone | Standing::OutOfSight) => Verdict::Unknown,
            };
            let of_calls = match () {
                () if has(Meaning::Open) => Verdict::Open,
                () if has(Meaning::Dropped) => Verdict::Dropped,
                () => Verdict::Proven,
            };
            verdicts.push(told.max(of_calls));
        }
        verdicts
    }

    /// What the list of calls and workers adds up to.
    #[must_use]
    pub fn sum_up(&self) -> Sums {
        let mut sums = Sums {
            promised: self.workers.iter().map(|worker| worker.calls).fold(0, u64::saturating_add),
            declined: self.workers.iter().map(|worker| worker.declined).fold(0, u64::saturating_add),
            declined_exact: self.workers.iter().all(|worker| worker.standing == Standing::Exited),
            ..Sums::default()
        };
        for call in &self.calls {
            *match call.end.meaning() {
                Meaning::Ended => &mut sums.ended,
                Meaning::Dropped => &mut sums.dropped,
                Meaning::Open => &mut sums.open,
                Meaning::InProgress => &mut sums.in_progress,
                Meaning::Unknown => &mut sums.untold,
            } += 1;
        }
        sums
    }

    /// The calls that were dropped.
    pub fn drops(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.end.is_drop())
    }

    /// The run that promised a call.
    #[must_use]
    pub fn worker(&self, call: &Call) -> Option<&WorkerRun> {
        self.workers.get(call.run)
    }

    /// Until when workers that take over go on writing what belongs to the rollout: issued before, a certificate may
    /// lack some of it. None if there is nothing to wait for.
    #[must_use]
    pub fn settles_at(&self) -> Option<Instant> {
        self.until.filter(|_| self.workers.iter().any(|worker| worker.role == Role::TakesOver))
    }
}

#[cfg(test)]
mod tests;
