//! Certificates of the first format, as builds up to commit d8c22db issued them: still read, and judged as then.

use openrtc_core::id::Incarnation;
use openrtc_core::time::{Instant, Span};
use serde::Deserialize;

use super::{Call, Certificate, Drain, Format, Sums, Verdict, WorkerRun};
use crate::end::{CallEnd, RunEnd};
use crate::gap::{Gap, Untold};
use crate::select::Role;
use crate::standing::Standing;

/// What its first line says.
#[derive(Deserialize)]
pub(crate) struct CertificateV1 {
    verdict: Verdict,
    promised: u64,
    ended: u64,
    dropped: u64,
    declined: u64,
    workers: Vec<Run>,
    calls: Vec<Promise>,
    unknown: Vec<String>,
}

#[derive(Deserialize)]
struct Run {
    name: String,
    version: String,
    incarnation: Incarnation,
    outcome: Outcome,
    calls: u64,
    declined: u64,
    began: Instant,
    ended: Instant,
    drain: Option<Drain>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Clean,
    Forced,
    Rejected,
    Unclosed,
}

#[derive(Deserialize)]
struct Promise {
    id: String,
    worker: String,
    version: String,
    began: Instant,
    ended: Instant,
    end: CallEnd,
}

/// What its calls led to then: a run that ended without a word was told to its end by the calls that were open.
pub(super) fn judge(certificate: &Certificate) -> Verdict {
    if !certificate.unknown.is_empty() || certificate.sums.promised != certificate.calls.len() as u64 {
        Verdict::Unknown
    } else if certificate.drops().next().is_some() {
        Verdict::Dropped
    } else {
        Verdict::Proven
    }
}

impl From<CertificateV1> for Certificate {
    fn from(old: CertificateV1) -> Self {
        let CertificateV1 { verdict, promised, ended, dropped, declined, workers, calls, unknown } = old;
        // It named a call's worker, and not which of its runs.
        let run = |call: &Promise| {
            let is_its = |run: &Run| (&run.name, &run.version) == (&call.worker, &call.version);
            let was_up = |run: &Run| is_its(run) && (run.began..=run.ended).contains(&call.began);
            let took_it = |run: &Run| (run.outcome == Outcome::Unclosed) == (call.end == CallEnd::PlatformForced);
            let likely = workers.iter().position(|run| was_up(run) && took_it(run));
            likely.or_else(|| workers.iter().position(was_up)).unwrap_or(workers.len())
        };
        let calls = calls.iter().map(|call| {
            let Promise { id, began, ended, end, .. } = call;
            Call { id: id.clone(), run: run(call), began: *began, ended: Some(*ended), end: *end }
        });
        let calls = calls.collect();
        let declined_exact = workers.iter().all(|run| run.outcome != Outcome::Unclosed);
        let sums = Sums { promised, ended, dropped, declined, declined_exact, ..Sums::default() };
        let unknown = unknown.into_iter().map(|text| Untold { run: None, gap: Gap::Told { text } }).collect();
        let workers = workers.into_iter().map(WorkerRun::from).collect();
        let (until, skew, dispatches) = (None, Span::ZERO, Vec::new());
        Self { format: Format::V1, verdict, until, skew, sums, workers, calls, unknown, dispatches }
    }
}

impl From<Run> for WorkerRun {
    fn from(run: Run) -> Self {
        let Run { name, version, incarnation, outcome, calls, declined, began, ended, drain } = run;
        let (standing, outcome) = match outcome {
            Outcome::Clean => (Standing::Exited, Some(RunEnd::Clean)),
            Outcome::Forced => (Standing::Exited, Some(RunEnd::Forced)),
            Outcome::Rejected => (Standing::Exited, Some(RunEnd::Rejected)),
            Outcome::Unclosed => (Standing::Died, None),
        };
        let (role, drained) = (Role::Retired, None);
        Self { name, version, incarnation, role, standing, outcome, calls, declined, began, ended, drained, drain }
    }
}
