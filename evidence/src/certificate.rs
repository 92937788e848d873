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
        for journal in journals {
            certificate.add(journal)?;
        }
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

    fn add(&mut self, journal: &Path) -> Result<(), JournalError> {
        let accounts = accounts(journal)?;
        let name = journal.display();
        if accounts.is_empty() {
            self.unknown.push(format!("{name} holds no journal"));
        }
        let runs: BTreeSet<_> = accounts.iter().map(|account| account.run.incarnation).collect();
        for account in &accounts {
            let before = self.add_run(journal, account);
            if let Some(lost) = before.filter(|before| !before.exited && !runs.contains(&before.incarnation)) {
                let Predecessor { incarnation, open_calls, .. } = lost;
                let left = format!("run {incarnation} ended without a word with {open_calls} calls open");
                self.unknown.push(format!("{name}: {left}, and its journal is missing"));
            }
        }
        Ok(())
    }

    /// Enters a run; returns what it knows of the one before.
    fn add_run(&mut self, journal: &Path, account: &Account) -> Option<Predecessor> {
        let Account { run, began, calls } = account;
        let name = journal.display();
        if run.first.get() > 1 {
            self.unknown.push(format!("{name}: entries before #{} are missing", run.first));
        }
        for Fault { path, problem } in run.faults.iter().chain(&run.cut_short) {
            match problem {
                Problem::Missing { first, .. } | Problem::Overlap { first } => {
                    self.unknown.push(format!("{name}: entries before #{first} are missing"));
                }
                Problem::Torn(torn) => self.unknown.push(format!("{}: {torn}", path.display())),
                // Nothing is missing; whether a journal contradicts itself is for `journal verify` to say.
                Problem::OtherPredecessor | Problem::OtherState => {}
            }
        }
        let last = run.last.as_ref()?;
        let (state, outcome) = (&last.state, RunEnd::from(last.state.outcome()));
        let (worker, version) = (last.opening.identity.worker.to_string(), last.opening.identity.version.to_string());
        for call in calls {
            let (ended, end) = call.end.unwrap_or_else(|| (state.now(), outcome.end_of_open_calls()));
            let (worker, version) = (worker.clone(), version.clone());
            self.calls.push(Call { id: call.id.to_string(), worker, version, began: call.began, ended, end });
        }
        self.workers.push(WorkerRun {
            name: worker,
            version,
            incarnation: last.opening.identity.incarnation,
            outcome,
            calls: state.tally().promised(),
            declined: state.tally().declined.iter().sum(),
            began: began.unwrap_or_default(),
            ended: state.now(),
            drain: state.drain().map(|drain| Drain {
                cause: drain.cause,
                actor: drain.actor.to_string(),
                began: drain.begun,
            }),
        });
        last.opening.predecessor
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
mod tests {
    use std::fs;

    use openrtc_core::id::CallNo;
    use openrtc_core::time::Span;
    use openrtc_core::worker::{Command, Decline, EndReason};
    use tempfile::tempdir;

    use super::*;
    use crate::scribe::Scribe;

    fn over(dir: &Path) -> Certificate {
        Certificate::over(&[dir.to_owned()]).expect("a journal")
    }

    /// A run that took calls `a` and `b`, of which `a` hung up.
    fn begin(dir: &Path, incarnation: u64, predecessor: Option<Predecessor>) -> (Scribe, CallNo) {
        let mut scribe = Scribe::start(dir, incarnation, predecessor);
        let a = scribe.admit("a");
        scribe.end(a, EndReason::CallerHangup);
        let b = scribe.admit("b");
        (scribe, b)
    }

    #[test]
    fn a_closed_journal_in_several_segments_is_proof() {
        let dir = tempdir().expect("a directory");
        let (mut scribe, b) = begin(dir.path(), 1, None);
        scribe.roll();
        scribe.end(b, EndReason::CallerHangup);
        scribe.drain_and_exit();
        scribe.save();
        let certificate = over(dir.path());
        assert_eq!((certificate.verdict, certificate.promised, certificate.ended), (Verdict::Proven, 2, 2));
    }

    #[test]
    fn an_unclosed_journal_is_evidence_of_what_was_dropped() {
        let dir = tempdir().expect("a directory");
        begin(dir.path(), 1, None).0.save();
        let certificate = over(dir.path());
        assert_eq!((certificate.verdict, certificate.dropped), (Verdict::Dropped, 1));
        let told: Vec<_> = certificate.calls.iter().map(|call| (call.id.as_str(), call.end.as_str())).collect();
        assert_eq!(told, [("a", "caller_hangup"), ("b", "platform_forced")]);
    }

    #[test]
    fn missing_evidence_is_unknown_and_never_proof() {
        let empty = tempdir().expect("a directory");
        assert_eq!(over(empty.path()).verdict, Verdict::Unknown);

        let segment = tempdir().expect("a directory");
        let (mut scribe, b) = begin(segment.path(), 1, None);
        let first = scribe.save();
        scribe.roll();
        scribe.end(b, EndReason::CallerHangup);
        scribe.drain_and_exit();
        scribe.save();
        fs::remove_file(first).expect("it is there");
        let certificate = over(segment.path());
        assert_eq!(certificate.verdict, Verdict::Unknown);
        assert!(certificate.unknown[0].ends_with("entries before #5 are missing"), "{:?}", certificate.unknown);

        let run = tempdir().expect("a directory");
        let lost = Predecessor { incarnation: Incarnation::new(1), exited: false, open_calls: 1 };
        let (mut scribe, b) = begin(run.path(), 2, Some(lost));
        scribe.end(b, EndReason::CallerHangup);
        scribe.drain_and_exit();
        scribe.save();
        let certificate = over(run.path());
        assert_eq!(certificate.verdict, Verdict::Unknown);
        assert!(certificate.unknown[0].contains("run 1 ended without a word with 1 calls open"));

        let torn = tempdir().expect("a directory");
        let path = begin(torn.path(), 1, None).0.save();
        let bytes = fs::read(&path).expect("readable");
        fs::write(&path, &bytes[..bytes.len() - 3]).expect("writable");
        let certificate = over(torn.path());
        assert_eq!(certificate.verdict, Verdict::Unknown);
        assert!(certificate.unknown[0].starts_with(path.to_str().expect("a plain name")), "{:?}", certificate.unknown);
    }

    /// Runs that end in every way there is, with calls that do.
    fn every_end(dir: &Path) {
        let (second, hour) = (Span::from_secs(1), Span::from_secs(3600));
        let mut forced = Scribe::start(dir, 1, None);
        for reason in EndReason::ALL {
            forced.wait(second);
            if !matches!(reason, EndReason::Withdrawn | EndReason::DrainForced) {
                let call = forced.admit(reason.as_str());
                forced.wait(second);
                forced.end(call, reason);
            }
        }
        let withdrawn = forced.reserve("withdrawn");
        forced.end(withdrawn, EndReason::Withdrawn);
        forced.reserve("lapsed");
        forced.wait(hour);
        forced.enact(Command::Wake);
        let cut = forced.admit("drain_forced");
        forced.admit("drain_forced-silently");
        forced.drain(Cause::Api, "alice");
        forced.enact(Command::CountDeclines { reason: Decline::Draining, count: 7 });
        forced.enact(Command::ForceDrain { actor: const { openrtc_core::id::Actor::from_static("carol") } });
        forced.end(cut, EndReason::DrainForced);
        forced.wait(hour);
        forced.enact(Command::Wake);
        forced.save();

        let mut killed = Scribe::start(dir, 2, Some(forced.as_predecessor()));
        killed.admit("platform_forced");
        killed.save();
        let mut last = Scribe::begin(dir, 3, Some(killed.as_predecessor()));
        last.enact(Command::Reject);
        last.save();
        for (incarnation, cause) in (4..).zip([Cause::Signal, Cause::Coordinator, Cause::Fence]) {
            last = Scribe::start(dir, incarnation, Some(last.as_predecessor()));
            last.wait(second);
            last.drain(cause, "alice");
            last.leave();
            last.save();
        }
    }

    #[test]
    fn the_first_line_of_a_certificate_is_as_it_ever_was() {
        let dir = tempdir().expect("a directory");
        every_end(dir.path());
        let line = serde_json::to_string(&over(dir.path())).expect("written");
        assert_eq!(Some(line.as_str()), include_str!("../tests/certificate.jsonl").lines().next());
    }

    #[test]
    fn an_end_that_is_none_is_named() {
        let error = serde_json::from_str::<CallEnd>("\"eaten\"").expect_err("no end").to_string();
        assert!(error.contains("`eaten` is no end of a call"), "{error}");
    }
}
