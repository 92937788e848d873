//! A worker's journal: what each of its runs left, and where that is not whole.

use std::io;
use std::path::{Path, PathBuf};

use openrtc_core::id::{Incarnation, Seq};
use openrtc_core::journal::{CallLines, FORMAT, IdsSoFar, Ledger, Opening, Replay, Torn, TornFault};
use openrtc_core::time::Instant;
use openrtc_core::worker::{Entry, Worker};
use openrtc_records::{LedgerFile, ReadError, Run};

/// A worker makes room while its journal is read. So often it is read again from the start.
const TRIES: u32 = 8;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Its directory cannot be listed.
    #[error("the journal directory {} (name what the worker's OPENRTC_JOURNAL_DIR says)", dir.display())]
    List {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A segment cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What is left of one run's journal, read to its end.
#[derive(Clone, Debug)]
pub struct History {
    /// Which run.
    pub incarnation: Incarnation,
    /// How many segments are left.
    pub segments: usize,
    /// How many ledgers stand for segments that had to make room.
    pub ledgers: usize,
    /// What those say of calls.
    pub kept: CallLines,
    /// When the first entry that they stand for became true.
    pub began: Option<Instant>,
    /// How many entries they hold.
    pub entries: u64,
    /// The number of the oldest entry that is left; 1 unless older segments are gone.
    pub first: Seq,
    /// The newest segment that could be read; `None` if not even one could.
    pub last: Option<Replay<Worker>>,
    /// The cut-short end that a crash leaves in a run that had not exited; no fault.
    pub cut_short: Option<Fault>,
    /// Where it is not whole, in the order of its segments.
    pub faults: Vec<Fault>,
    /// Up to when it is, if not to its end.
    pub whole_until: Option<Instant>,
}

/// Where a journal is not whole.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The segment's file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Entries before it are not there.
    #[error("{count} entries before it are missing (never written, or deleted)")]
    Missing {
        /// The number of its own first entry.
        first: Seq,
        /// How many are missing.
        count: u64,
    },
    /// A newer build wrote it, or part of it.
    #[error("it was written by a newer build, at least in part: this one cannot judge it")]
    Newer,
    /// It is not the run before that it names, or not as that run ended.
    #[error("it tells another story of the run before than that run's journal")]
    OtherPredecessor,
    /// The segment before it ends in another state.
    #[error("it opens with another state than was left")]
    OtherState,
    /// The segment before it has these entries too.
    #[error("it opens before the segment before it ends")]
    Overlap {
        /// The number of its own first entry.
        first: Seq,
    },
    /// It stops making sense.
    #[error(transparent)]
    Torn(Torn),
    /// Nothing is left of it, or not even what it opens with: it was put there whole.
    #[error("it was emptied or cut off: not even its opening is left")]
    Unopened,
}

/// The runs whose journal is in `dir`, oldest first.
pub fn runs(dir: &Path) -> Result<Vec<Run>, JournalError> {
    openrtc_records::runs(dir).map_err(|source| JournalError::List { dir: dir.to_owned(), source })
}

/// Reads what every run in `dir` left, oldest first. The entries of each are folded into a `T` of its own by `each`,
/// which is handed the worker before the entry and the ids of its calls too.
pub fn histories<T: Default>(
    dir: &Path,
    mut each: impl FnMut(&mut T, &Worker, &IdsSoFar<'_>, &Entry),
) -> Result<Vec<(History, T)>, JournalError> {
    let mut tries = 1;
    loop {
        match read_all(&runs(dir)?, &mut each) {
            // It was there a moment ago.
            Err(JournalError::Read(ReadError::Io { error, .. }))
                if error.kind() == io::ErrorKind::NotFound && tries < TRIES =>
            {
                tries += 1;
            }
            read => return read,
        }
    }
}

fn read_all<T: Default>(
    runs: &[Run],
    each: &mut impl FnMut(&mut T, &Worker, &IdsSoFar<'_>, &Entry),
) -> Result<Vec<(History, T)>, JournalError> {
    let mut histories: Vec<(History, T)> = Vec::new();
    for run in runs {
        let mut told = T::default();
        let earlier = histories.iter().rev().filter_map(|(history, _)| history.last.as_ref());
        let history = History::read(run, earlier, |worker, ids, entry| each(&mut told, worker, ids, entry))?;
        histories.push((history, told));
    }
    Ok(histories)
}

impl Problem {
    /// Of a file of which nothing could be used.
    fn of(torn: Torn) -> Self {
        match torn.fault {
            fault if fault.is_newer() => Self::Newer,
            fault if fault.is_cut_short() => Self::Unopened,
            _ => Self::Torn(torn),
        }
    }
}

impl History {
    /// Whether a newer build wrote something here that this one could not read.
    #[must_use]
    pub fn has_newer(&self) -> bool {
        self.faults.iter().any(|fault| fault.problem == Problem::Newer)
    }

    /// Reads a run; `earlier` are the ones before it, the newest first.
    fn read<'a>(
        run: &Run,
        mut earlier: impl Iterator<Item = &'a Replay<Worker>>,
        mut each: impl FnMut(&Worker, &IdsSoFar<'_>, &Entry),
    ) -> Result<Self, JournalError> {
        let mut history = Self {
            incarnation: run.incarnation,
            segments: run.segments.len(),
            ledgers: run.ledgers.len(),
            kept: CallLines::default(),
            began: None,
            entries: 0,
            first: Seq::new(1),
            last: None,
            cut_short: None,
            faults: Vec::new(),
            whole_until: None,
        };
        for ledger in &run.ledgers {
            history.read_ledger(ledger, &mut earlier)?;
        }
        let kept = history.last.as_ref().map(|last| last.state.word().seq());
        for (index, segment) in run.segments.iter().enumerate() {
            // It is in a ledger, and was not taken away yet.
            if kept.is_some_and(|kept| segment.first <= kept) {
                continue;
            }
            let is_last = index + 1 == history.segments;
            let fault = |problem| Fault { path: segment.path.clone(), problem };
            let replayed = match segment.replay(&mut each) {
                Ok(replayed) => replayed,
                Err(ReadError::Torn { torn, .. }) => {
                    history.enter(fault(Problem::of(torn)), None);
                    continue;
                }
                Err(error @ ReadError::Io { .. }) => return Err(error.into()),
            };
            if let Some(problem) = history.misfit(&replayed, &mut earlier) {
                history.enter(fault(problem), None);
            }
            if replayed.has_newer() {
                // Where it was stepped over is not told.
                let after = if replayed.newer > 0 { &replayed.opening.state } else { &replayed.state };
                history.enter(fault(Problem::Newer), Some(after.now()));
            }
            match replayed.torn.filter(|torn| !torn.fault.is_newer()) {
                // A crash cuts an append short; nothing is appended behind that, nor after an exit.
                Some(torn) if torn.fault.is_cut_short() && is_last && replayed.state.outcome().is_none() => {
                    history.cut_short = Some(fault(Problem::Torn(torn)));
                }
                Some(torn) => history.enter(fault(Problem::Torn(torn)), Some(replayed.state.now())),
                None => {}
            }
            history.entries += replayed.entries;
            history.follow(first_of(&replayed), replayed);
        }
        Ok(history)
    }

    /// Takes in what a ledger says; it is as if a segment had opened with the state that the ledger leads to.
    fn read_ledger<'a>(
        &mut self,
        file: &LedgerFile,
        earlier: &mut impl Iterator<Item = &'a Replay<Worker>>,
    ) -> Result<(), JournalError> {
        let fault = |problem| Fault { path: file.path.clone(), problem };
        let Ledger { opening: kept, ids, lines } = match file.read() {
            Ok(ledger) => ledger,
            Err(ReadError::Torn { torn, .. }) => {
                self.enter(fault(Problem::of(torn)), None);
                return Ok(());
            }
            Err(error @ ReadError::Io { .. }) => return Err(error.into()),
        };
        let (about, state) = (kept.about, kept.state);
        let opening = Opening { about, state: state.clone() };
        let replay = Replay { format: FORMAT, opening, state, ids, entries: 0, newer: 0, whole: 0, torn: None };
        match &self.last {
            None => {
                if let Some(problem) = self.misfit(&replay, earlier) {
                    self.enter(fault(problem), None);
                }
            }
            Some(last) => {
                let count = kept.first.get().saturating_sub(last.state.word().seq().next().get());
                if count > 0 {
                    self.enter(fault(Problem::Missing { first: kept.first, count }), None);
                }
            }
        }
        if kept.cut_short {
            let end = Torn { offset: 0, lost: 0, fault: TornFault::Short };
            self.cut_short = Some(fault(Problem::Torn(end)));
        }
        self.began = self.began.or(kept.began);
        for line in lines.into_lines() {
            self.kept.insert(line);
        }
        self.follow(kept.first, replay);
        Ok(())
    }

    /// Enters a fault; `after` is when the last entry before it became true, if that is not the last one so far.
    fn enter(&mut self, fault: Fault, after: Option<Instant>) {
        let so_far = || self.last.as_ref().map(|last| last.state.now()).unwrap_or_default();
        self.whole_until = self.whole_until.or_else(|| Some(after.unwrap_or_else(so_far)));
        self.faults.push(fault);
    }

    fn follow(&mut self, first: Seq, replay: Replay<Worker>) {
        if self.last.is_none() {
            self.first = first;
        }
        self.last = Some(replay);
    }

    /// What is wrong if a segment does not open with what the one before it left, or a run with what the run before it
    /// did.
    fn misfit<'a>(
        &self,
        next: &Replay<Worker>,
        earlier: &mut impl Iterator<Item = &'a Replay<Worker>>,
    ) -> Option<Problem> {
        let Some(last) = &self.last else {
            // A run that a crash ended before its first word is not there for the next one, nor is one whose format is
            // newer than the build that wrote the next.
            let before = earlier.find(|before| before.format <= next.format);
            let told = next.opening.about.predecessor;
            let is_other = before.is_some_and(|before| told != Some(before.as_predecessor()));
            return is_other.then_some(Problem::OtherPredecessor);
        };
        // What lies between is in what could not be read.
        if self.has_newer() {
            return None;
        }
        let (left, opened) = (last.state.word().seq(), next.opening.state.word().seq());
        match opened.get().checked_sub(left.get()) {
            None => Some(Problem::Overlap { first: first_of(next) }),
            Some(0) => (last.state != next.opening.state).then_some(Problem::OtherState),
            Some(count) => Some(Problem::Missing { first: first_of(next), count }),
        }
    }
}

/// The number of a segment's first entry.
fn first_of(segment: &Replay<Worker>) -> Seq {
    Seq::new(segment.opening.state.word().seq().get() + 1)
}

#[cfg(test)]
mod tests;
