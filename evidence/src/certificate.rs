//! The certificate: what a rollout did to every call of every worker.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use openrtc_core::id::Incarnation;
use openrtc_core::journal::Predecessor;
use openrtc_core::time::Instant;
use openrtc_core::worker::Cause;
use serde::{Deserialize, Serialize};

use crate::account::{Account, accounts};
use crate::end::{CallEnd, RunEnd};
use crate::follow::Follower;
use crate::journal::{Fault, JournalError, Problem};

/// What a rollout did to every call. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// How it is written.
    pub format: Format,
    /// What the rest leads to.
    pub verdict: Verdict,
    /// How many calls were promised.
    pub promised: u64,
    /// Of those, how many ended and were not dropped.
    pub ended: u64,
    /// How many were dropped.
    pub dropped: u64,
    /// How many offers were declined; a lower bound if a worker ended without a word.
    pub declined: u64,
    /// Every run of a worker.
    pub workers: Vec<WorkerRun>,
    /// Every promised call.
    pub calls: Vec<Call>,
    /// What the evidence does not tell.
    pub unknown: Vec<String>,
}

/// How a certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// As described in `docs/certificate.md`.
    #[serde(rename = "openrtc certificate v1")]
    V1,
}

/// What a certificate's calls lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every call is told to its end, and none was dropped.
    Proven,
    /// Every call is told to its end; those that were dropped are named.
    Dropped,
    /// Evidence is missing.
    Unknown,
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
    /// How it ended.
    pub outcome: RunEnd,
    /// How many calls it promised.
    pub calls: u64,
    /// How many offers it declined.
    pub declined: u64,
    /// When it wrote its first entry.
    pub began: Instant,
    /// When it wrote its last entry.
    pub ended: Instant,
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
    /// The worker that promised it.
    pub worker: String,
    /// The version of that worker.
    pub version: String,
    /// When it was promised.
    pub began: Instant,
    /// When it ended; for one that was open when its journal ended, the journal's last entry.
    pub ended: Instant,
    /// How it ended.
    pub end: CallEnd,
}

impl Certificate {
    /// Certifies what journals tell, each named by its directory.
    pub fn over(journals: &[PathBuf]) -> Result<Self, JournalError> {
        let mut certificate = Self {
            format: Format::V1,
            verdict: Verdict::Unknown,
            promised: 0,
            ended: 0,
            dropped: 0,
            declined: 0,
            workers: Vec::new(),
            calls: Vec::new(),
            unknown: Vec::new(),
        };
        let mut told = Vec::new();
        for journal in journals {
            let accounts = accounts(journal)?;
            certificate.add_gaps(journal, &accounts);
            told.extend(accounts);
        }
        certificate.add_runs(&told);
        certificate.promised = certificate.workers.iter().map(|worker| worker.calls).sum();
        certificate.declined = certificate.workers.iter().map(|worker| worker.declined).sum();
        certificate.dropped = certificate.drops().count() as u64;
        certificate.ended = certificate.calls.len() as u64 - certificate.dropped;
        certificate.verdict = certificate.judge();
        Ok(certificate)
    }

    /// The verdict that the calls lead to.
    #[must_use]
    pub fn judge(&self) -> Verdict {
        if !self.unknown.is_empty() || self.promised != self.calls.len() as u64 {
            Verdict::Unknown
        } else if self.drops().next().is_some() {
            Verdict::Dropped
        } else {
            Verdict::Proven
        }
    }

    /// The calls that were dropped.
    pub fn drops(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.end.is_drop())
    }

    /// Enters what a journal does not tell.
    fn add_gaps(&mut self, journal: &Path, accounts: &[Account]) {
        let name = journal.display();
        if accounts.is_empty() {
            self.unknown.push(format!("{name} holds no journal"));
        }
        let runs: BTreeSet<_> = accounts.iter().map(|account| account.run.incarnation).collect();
        for Account { run, .. } in accounts {
            if run.first.get() > 1 {
                self.unknown.push(format!("{name}: entries before #{} are missing", run.first));
            }
            for Fault { path, problem } in run.faults.iter().chain(&run.cut_short) {
                match problem {
                    Problem::Missing { first, .. } | Problem::Overlap { first } => {
                        self.unknown.push(format!("{name}: entries before #{first} are missing"));
                    }
                    Problem::Torn(_) | Problem::Newer => self.unknown.push(format!("{}: {problem}", path.display())),
                    // Nothing is missing; whether a journal contradicts itself is for `journal verify` to say.
                    Problem::OtherPredecessor | Problem::OtherState => {}
                }
            }
            let before = run.last.as_ref().and_then(|last| last.opening.about.predecessor);
            if let Some(lost) = before.filter(|before| !before.exited && !runs.contains(&before.incarnation)) {
                let Predecessor { incarnation, open_calls, .. } = lost;
                let left = format!("run {incarnation} ended without a word with {open_calls} calls open");
                self.unknown.push(format!("{name}: {left}, and its journal is missing"));
            }
        }
    }

    /// Enters every run and what became of each of its promises.
    fn add_runs(&mut self, accounts: &[Account]) {
        let mut follower = Follower::new(accounts.iter());
        for account in accounts {
            let Some(last) = &account.run.last else { continue };
            let (identity, state) = (last.opening.about.identity, &last.state);
            let (worker, version) = (identity.worker.to_string(), identity.version.to_string());
            let mut promised = state.tally().promised();
            for call in &account.calls {
                if !follower.is_promise(account, call) {
                    promised = promised.saturating_sub(1);
                    continue;
                }
                let Some((ended, end)) = follower.end(account, call) else { continue };
                let (id, worker, version) = (call.id.to_string(), worker.clone(), version.clone());
                self.calls.push(Call { id, worker, version, began: call.began, ended, end });
            }
            self.workers.push(WorkerRun {
                name: worker,
                version,
                incarnation: identity.incarnation,
                outcome: state.outcome().into(),
                calls: promised,
                declined: state.tally().declined.iter().sum(),
                began: account.began.unwrap_or_default(),
                ended: state.now(),
                drain: state.drain().map(|drain| Drain {
                    cause: drain.cause,
                    actor: drain.actor.to_string(),
                    began: drain.begun,
                }),
            });
        }
        self.unknown.extend(follower.into_gaps());
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { promised, ended, dropped, declined, .. } = self;
        writeln!(f, "{}", self.verdict.sentence())?;
        writeln!(f, "  {promised} calls promised, {ended} ended, {dropped} dropped; {declined} offers declined")?;
        for call in self.drops() {
            writeln!(f, "  dropped: {} on {} {}: {}", call.id, call.worker, call.version, call.end)?;
        }
        self.unknown.iter().try_for_each(|gap| writeln!(f, "  unknown: {gap}"))
    }
}

impl Verdict {
    /// The verdict as a person reads it.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Proven => "PROVEN: every call is told to its end, none was dropped",
            Self::Dropped => "DROPPED: every call is told to its end; those that were dropped are named",
            Self::Unknown => "UNKNOWN: the evidence does not tell every call's end",
        }
    }
}

#[cfg(test)]
mod tests;
