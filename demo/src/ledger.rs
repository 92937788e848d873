//! The callers' own account of a rollout: every call offered, to its end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::caller::{Fate, Heard};
use crate::error::DemoError;

/// One call offered.
#[derive(Clone, Debug)]
pub(crate) struct OfferedCall {
    pub(crate) id: String,
    /// The workers that declined it before one took it, by their places in the demo's list, each as often as it did.
    pub(crate) declined_by: Vec<usize>,
    /// The workers that gave no answer.
    pub(crate) unanswered_by: Vec<usize>,
    /// What became of it; `None` when no worker ever took it.
    pub(crate) taken: Option<Taken>,
}

/// A call that a worker took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Which worker, by its place in the demo's list.
    pub(crate) worker: usize,
    pub(crate) answered: Instant,
    pub(crate) ended: Instant,
    pub(crate) fate: Fate,
    pub(crate) heard: Heard,
}

/// One call as `callers.jsonl` has it.
#[derive(Serialize)]
struct Line<'a> {
    call: &'a str,
    declined_by: Vec<&'a str>,
    unanswered_by: Vec<&'a str>,
    taken_by: Option<&'a str>,
    fate: Option<Fate>,
}

/// Writes a line of JSON for each.
pub(crate) fn write_lines(out: &Path, lines: impl Iterator<Item = impl Serialize>) -> Result<(), DemoError> {
    let line = |line| serde_json::to_string(&line).expect("names can be written as JSON") + "\n";
    let text: String = lines.map(line).collect();
    fs::write(out, text).map_err(|source| DemoError::Ledger { path: out.to_owned(), source })
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) calls: Vec<OfferedCall>,
}

impl Ledger {
    /// Writes one line of JSON per call: the callers' side of what the workers' journals tell.
    pub(crate) fn write(&self, out: &Path, workers: &[&str]) -> Result<(), DemoError> {
        let names = |places: &[usize]| places.iter().map(|place| workers[*place]).collect();
        let lines = self.calls.iter().map(|OfferedCall { id, declined_by, unanswered_by, taken }| Line {
            call: id,
            declined_by: names(declined_by),
            unanswered_by: names(unanswered_by),
            taken_by: taken.map(|taken| workers[taken.worker]),
            fate: taken.map(|taken| taken.fate),
        });
        write_lines(out, lines)
    }

    /// The calls that workers took.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (&OfferedCall, &Taken)> {
        self.calls.iter().filter_map(|call| call.taken.as_ref().map(|taken| (call, taken)))
    }

    /// The calls that one worker took.
    pub(crate) fn of(&self, worker: usize) -> impl Iterator<Item = (&OfferedCall, &Taken)> {
        self.taken().filter(move |(_, taken)| taken.worker == worker)
    }

    /// The calls whose callers would have talked on.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = (&OfferedCall, &Taken)> {
        self.taken().filter(|(_, taken)| taken.fate.is_drop())
    }

    /// What all callers heard together.
    pub(crate) fn heard(&self) -> Heard {
        self.taken().fold(Heard::default(), |sum, (_, taken)| Heard {
            sent: sum.sent + taken.heard.sent,
            echoed: sum.echoed + taken.heard.echoed,
            late: sum.late + taken.heard.late,
            longest_gap: sum.longest_gap.max(taken.heard.longest_gap),
        })
    }

    /// Frames without an echo in calls that ended in good order: there the drop of a call explains none of them.
    pub(crate) fn lost_in_ended(&self) -> u64 {
        let ended = self.taken().filter(|(_, taken)| taken.fate == Fate::HungUp);
        ended.map(|(_, taken)| taken.heard.sent - taken.heard.echoed).sum()
    }

    /// From the last hang-up at a worker to its exit.
    pub(crate) fn last_hang_up_to(&self, worker: usize, exit: Instant) -> Option<Duration> {
        let last = self.of(worker).map(|(_, taken)| taken.ended).max()?;
        Some(exit.saturating_duration_since(last))
    }
}
