//! The ledger: every call of every worker, from its promise to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use openrtc_core::id::{CallNo, Incarnation};
use openrtc_core::journal::{Predecessor, Replay, replay};
use openrtc_core::worker::{EndReason, Entry, Event, Outcome};
use openrtc_records::{Segment, segments};
use serde::{Deserialize, Serialize};

/// What a rollout did to every call. Times are microseconds since the Unix epoch.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) format: String,
    pub(crate) verdict: Verdict,
    pub(crate) promised: u64,
    pub(crate) ended: u64,
    pub(crate) dropped: u64,
    pub(crate) declined: u64,
    pub(crate) workers: Vec<Worker>,
    pub(crate) calls: Vec<Call>,
    /// What the evidence does not tell.
    pub(crate) unknown: Vec<String>,
}

/// What the ledger leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Every call is told to its end, and none was dropped.
    Proven,
    /// Every call is told to its end; those that were dropped are named.
    Dropped,
    /// Evidence is missing.
    Unknown,
}

/// One run of a worker.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) incarnation: u64,
    /// `clean`, `forced`, `rejected`, or `unclosed` when it ended without a word.
    pub(crate) outcome: String,
    pub(crate) calls: u64,
    pub(crate) declined: u64,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) drain: Option<Drain>,
}

/// A drain from its order to the last entry.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drain {
    pub(crate) cause: String,
    pub(crate) actor: String,
    pub(crate) began: u64,
}

/// One call.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) worker: String,
    pub(crate) version: String,
    pub(crate) began: u64,
    /// When it ended; for one that was open when its journal ended, the journal's last entry.
    pub(crate) ended: u64,
    /// How: as the journal has it, `lapsed`, `drain_forced`, or `platform_forced` for one taken by a kill or crash.
    pub(crate) end: String,
}

impl Call {
    /// Whether its caller would have talked on.
    pub(crate) fn is_drop(&self) -> bool {
        matches!(self.end.as_str(), "drain_forced" | "platform_forced")
    }
}

impl Certificate {
    /// Closes the ledger over journals.
    pub(crate) fn over(journals: &[PathBuf]) -> anyhow::Result<Self> {
        let mut certificate = Self {
            format: "openrtc certificate v1".into(),
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
        certificate.dropped = certificate.calls.iter().filter(|call| call.is_drop()).count() as u64;
        certificate.ended = certificate.calls.len() as u64 - certificate.dropped;
        certificate.verdict = certificate.judge();
        Ok(certificate)
    }

    /// The verdict that the ledger leads to.
    pub(crate) fn judge(&self) -> Verdict {
        match self.calls.iter().any(Call::is_drop) {
            _ if !self.unknown.is_empty() || self.promised != self.calls.len() as u64 => Verdict::Unknown,
            true => Verdict::Dropped,
            false => Verdict::Proven,
        }
    }

    fn add(&mut self, journal: &Path) -> anyhow::Result<()> {
        let name = journal.display().to_string();
        let found = segments(journal).with_context(|| format!("the journal directory {name}"))?;
        if found.is_empty() {
            self.unknown.push(format!("{name} holds no journal"));
        }
        let runs: BTreeSet<Incarnation> = found.iter().map(|segment| segment.incarnation).collect();
        for incarnation in &runs {
            let of_run: Vec<_> = found.iter().filter(|segment| segment.incarnation == *incarnation).collect();
            let before = self.add_run(&name, &of_run)?;
            if let Some(lost) = before.filter(|before| !before.exited && !runs.contains(&before.incarnation)) {
                let Predecessor { incarnation, open_calls, .. } = lost;
                let left = format!("run {incarnation} ended without a word with {open_calls} calls open");
                self.unknown.push(format!("{name}: {left}, and its journal is missing"));
            }
        }
        Ok(())
    }

    /// Enters a run; returns what it knows of the one before.
    fn add_run(&mut self, journal: &str, segments: &[&Segment]) -> anyhow::Result<Option<Predecessor>> {
        let mut run = Run::default();
        for segment in segments {
            let bytes = fs::read(&segment.path).with_context(|| segment.path.display().to_string())?;
            let replayed = match replay(&bytes, |_, entry| run.take(entry)) {
                Ok(replayed) => replayed,
                Err(torn) => {
                    self.unknown.push(format!("{}: {torn}", segment.path.display()));
                    continue;
                }
            };
            let opens_at = replayed.opening.state.word().seq().get();
            if opens_at != run.last.as_ref().map_or(0, |last| last.state.word().seq().get()) {
                self.unknown.push(format!("{journal}: entries before #{} are missing", opens_at + 1));
            }
            if let Some(torn) = replayed.torn {
                self.unknown.push(format!("{}: {torn}", segment.path.display()));
            }
            run.last = Some(replayed);
        }
        let last = run.last.take();
        if let Some(last) = &last {
            self.close(&run, last);
        }
        Ok(last.and_then(|last| last.opening.predecessor))
    }

    /// Enters a run whose journal has been read to its end.
    fn close(&mut self, run: &Run, last: &Replay) {
        let (identity, state) = (&last.opening.identity, &last.state);
        let (worker, version) = (identity.worker.to_string(), identity.version.to_string());
        let at_end = match state.outcome() {
            Some(_) => EndReason::DrainForced.as_str(),
            // The unclosed journal is the evidence: what was open in it went with the process.
            None => "platform_forced",
        };
        for told in run.calls.values() {
            let (ended, end) = told.end.clone().unwrap_or_else(|| (state.now().as_micros(), at_end.into()));
            let (worker, version) = (worker.clone(), version.clone());
            self.calls.push(Call { id: told.id.clone(), worker, version, began: told.began, ended, end });
        }
        let outcome = match state.outcome() {
            Some(Outcome::Clean) => "clean",
            Some(Outcome::Forced { .. }) => "forced",
            Some(Outcome::Rejected) => "rejected",
            None => "unclosed",
        };
        self.workers.push(Worker {
            name: worker,
            version,
            incarnation: identity.incarnation.get(),
            outcome: outcome.into(),
            calls: state.tally().promised(),
            declined: state.tally().declined.iter().sum(),
            began: run.began.unwrap_or_default(),
            ended: state.now().as_micros(),
            drain: state.drain().map(|drain| Drain {
                cause: drain.cause.as_str().into(),
                actor: drain.actor.to_string(),
                began: drain.begun.as_micros(),
            }),
        });
    }
}

/// A run as far as it is read.
#[derive(Default)]
struct Run {
    began: Option<u64>,
    calls: BTreeMap<CallNo, Told>,
    last: Option<Replay>,
}

struct Told {
    id: String,
    began: u64,
    end: Option<(u64, String)>,
}

impl Run {
    fn take(&mut self, entry: &Entry) {
        let at = entry.at.as_micros();
        self.began.get_or_insert(at);
        match entry.event {
            Event::CallAdmitted { id, .. } | Event::CallReserved { id, .. } => {
                let told = Told { id: id.to_string(), began: at, end: None };
                self.calls.insert(CallNo::new(entry.seq.get()), told);
            }
            Event::CallEnded { call, reason } => self.end(call, at, reason.as_str()),
            Event::ReservationLapsed { call } => self.end(call, at, "lapsed"),
            _ => {}
        }
    }

    fn end(&mut self, call: CallNo, at: u64, end: &str) {
        if let Some(told) = self.calls.get_mut(&call) {
            told.end = Some((at, end.into()));
        }
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { promised, ended, dropped, declined, .. } = self;
        writeln!(f, "{}", self.verdict.sentence())?;
        writeln!(f, "  {promised} calls promised, {ended} ended, {dropped} dropped; {declined} offers declined")?;
        for call in self.calls.iter().filter(|call| call.is_drop()) {
            writeln!(f, "  dropped: {} on {} {}: {}", call.id, call.worker, call.version, call.end)?;
        }
        self.unknown.iter().try_for_each(|gap| writeln!(f, "  unknown: {gap}"))
    }
}

impl Verdict {
    /// The verdict as a person reads it.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Proven => "PROVEN: every call is told to its end, none was dropped",
            Self::Dropped => "DROPPED: every call is told to its end; those that were dropped are named",
            Self::Unknown => "UNKNOWN: the evidence does not tell every call's end",
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(over(segment.path()).verdict, Verdict::Unknown);

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
        assert_eq!(over(torn.path()).verdict, Verdict::Unknown);
    }
}
