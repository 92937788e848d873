//! A worker's journal: what each of its runs left, and where that is not whole.

use std::io;
use std::path::{Path, PathBuf};

use openrtc_core::id::{Incarnation, Seq};
use openrtc_core::journal::{IdsSoFar, Replay, Torn, TornFault};
use openrtc_core::worker::{Entry, Worker};
use openrtc_records::{ReadError, Run};

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
    /// How many entries they hold.
    pub entries: u64,
    /// The number of the oldest entry that is left; 1 unless older segments are gone.
    pub first: Seq,
    /// The newest segment that could be read; `None` if not even one could.
    pub last: Option<Replay<Worker>>,
    /// The cut-short end that a crash leaves; no fault.
    pub cut_short: Option<Fault>,
    /// Where it is not whole, in the order of its segments.
    pub faults: Vec<Fault>,
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
}

/// The runs whose journal is in `dir`, oldest first.
pub fn runs(dir: &Path) -> Result<Vec<Run>, JournalError> {
    openrtc_records::runs(dir).map_err(|source| JournalError::List { dir: dir.to_owned(), source })
}

/// Reads what `runs`, oldest first, left. The entries of each are folded into a `T` of its own by `each`, which is
/// handed the worker before the entry and the ids of its calls too.
pub fn histories<T: Default>(
    runs: &[Run],
    mut each: impl FnMut(&mut T, &Worker, &IdsSoFar<'_>, &Entry),
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
    fn of(torn: Torn) -> Self {
        if torn.fault.is_newer() { Self::Newer } else { Self::Torn(torn) }
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
            entries: 0,
            first: Seq::new(1),
            last: None,
            cut_short: None,
            faults: Vec::new(),
        };
        for (index, segment) in run.segments.iter().enumerate() {
            let is_last = index + 1 == history.segments;
            let fault = |problem| Fault { path: segment.path.clone(), problem };
            let replayed = match segment.replay(&mut each) {
                Ok(replayed) => replayed,
                Err(ReadError::Torn { torn, .. }) => {
                    history.enter(fault(Problem::of(torn)), is_last);
                    continue;
                }
                Err(error @ ReadError::Io { .. }) => return Err(error.into()),
            };
            if let Some(problem) = history.misfit(&replayed, &mut earlier) {
                history.enter(fault(problem), is_last);
            }
            if replayed.has_newer() {
                history.enter(fault(Problem::Newer), is_last);
            }
            if let Some(torn) = replayed.torn.filter(|torn| !torn.fault.is_newer()) {
                history.enter(fault(Problem::Torn(torn)), is_last);
            }
            if history.last.is_none() {
                history.first = first_of(&replayed);
            }
            history.entries += replayed.entries;
            history.last = Some(replayed);
        }
        Ok(history)
    }

    fn enter(&mut self, fault: Fault, is_last: bool) {
        match fault.problem {
            Problem::Torn(Torn { fault: TornFault::Short, .. }) if is_last => self.cut_short = Some(fault),
            _ => self.faults.push(fault),
        }
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
mod tests {
    use std::fs;

    use openrtc_core::worker::{EndReason, Outcome};
    use openrtc_records::segments;
    use tempfile::tempdir;

    use super::*;
    use crate::scribe::Scribe;

    fn read(dir: &Path) -> Vec<History> {
        let histories = histories(&runs(dir).expect("a directory"), |(), _, _, _| {}).expect("files");
        histories.into_iter().map(|(history, ())| history).collect()
    }

    /// What is wrong with a run, a line each.
    fn faults(run: &History) -> String {
        run.faults.iter().map(|fault| fault.problem.to_string() + "\n").collect()
    }

    /// A run of two segments with one call that ended and one that was left open.
    fn crashed(dir: &Path) -> Scribe {
        let mut scribe = Scribe::start(dir, 1, None);
        let ended = scribe.admit("ended");
        scribe.roll();
        scribe.end(ended, EndReason::CallerHangup);
        scribe.admit("taken");
        scribe.save();
        scribe
    }

    #[test]
    fn a_crashed_run_and_the_next_one_are_whole_and_its_open_call_is_named() {
        let dir = tempdir().expect("a directory");
        let crashed = crashed(dir.path());
        let mut next = Scribe::start(dir.path(), 2, Some(crashed.as_predecessor()));
        next.drain_and_exit();
        next.save();
        let runs = read(dir.path());
        assert!(runs.iter().all(|run| run.faults.is_empty()), "{runs:?}");
        let last = |run: usize| runs[run].last.as_ref().expect("it was read");
        assert_eq!(last(0).open_calls().map(|(_, id)| id.to_string()).collect::<Vec<_>>(), ["taken"]);
        assert_eq!((last(0).state.outcome(), last(1).state.outcome()), (None, Some(Outcome::Clean)));
    }

    #[test]
    fn a_cut_short_end_is_told_and_is_no_fault() {
        let dir = tempdir().expect("a directory");
        let path = crashed(dir.path()).save();
        let bytes = fs::read(&path).expect("read");
        for len in [bytes.len() - 1, 30, 0] {
            fs::write(&path, &bytes[..len]).expect("written");
            let runs = read(dir.path());
            assert!(runs[0].faults.is_empty() && runs[0].cut_short.is_some(), "{len} bytes: {runs:?}");
        }
    }

    #[test]
    fn a_run_cut_short_at_its_first_word_does_not_break_the_chain() {
        let dir = tempdir().expect("a directory");
        let predecessor = crashed(dir.path()).as_predecessor();
        let stillborn = Scribe::start(dir.path(), 2, Some(predecessor)).save();
        fs::write(stillborn, b"OpenR").expect("written");
        Scribe::start(dir.path(), 3, Some(predecessor)).save();
        let runs = read(dir.path());
        assert_eq!(runs.len(), 3);
        assert!(runs.iter().all(|run| run.faults.is_empty()), "{runs:?}");
    }

    #[test]
    fn what_was_altered_removed_or_does_not_follow_is_a_fault() {
        let dir = tempdir().expect("a directory");
        let last = crashed(dir.path()).save();
        let first = segments(dir.path()).expect("a directory").remove(0).path;
        let (whole_first, whole_last) = (fs::read(&first).expect("read"), fs::read(&last).expect("read"));
        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            *bytes.last_mut().expect("not empty") ^= 1;
            bytes
        };
        for (first_bytes, last_bytes, says) in [
            (flipped(&whole_first), whole_last.clone(), "a checksum does not match"),
            (whole_first.clone(), flipped(&whole_last), "a checksum does not match"),
            (whole_first[..whole_first.len() - 1].to_vec(), whole_last.clone(), "entries before it are missing"),
            (whole_first.clone(), whole_first.clone(), "it opens before the segment before it ends"),
            (whole_first.clone(), b"not a segment".to_vec(), "not a journal segment"),
        ] {
            fs::write(&first, first_bytes).expect("written");
            fs::write(&last, last_bytes).expect("written");
            let told = faults(&read(dir.path())[0]);
            assert!(told.contains(says), "{told:?} should say {says:?}");
        }
        fs::write(&first, whole_first).expect("written");
        fs::write(&last, whole_last).expect("written");
        Scribe::start(dir.path(), 2, None).save();
        let told = faults(&read(dir.path())[1]);
        assert!(told.contains("another story of the run before"), "{told:?}");
    }

    #[test]
    fn what_a_newer_build_wrote_is_no_damage_and_cannot_be_judged() {
        let dir = tempdir().expect("a directory");
        let last = crashed(dir.path()).save();
        let first = segments(dir.path()).expect("a directory").remove(0).path;
        let (whole_first, whole_last) = (fs::read(&first).expect("read"), fs::read(&last).expect("read"));
        let of_format_3 = |bytes: &[u8]| [b"OpenRTC\x03", &bytes[8..]].concat();
        let of_another_kind = |bytes: &[u8]| [bytes, &frame(200, b"from the future")[..]].concat();
        for (first_bytes, last_bytes, entries) in [
            (whole_first.clone(), of_format_3(&whole_last), 2),
            (of_format_3(&whole_first), of_format_3(&whole_last), 0),
            (whole_first.clone(), of_another_kind(&whole_last), 4),
            (whole_first.clone(), [&whole_last[..], &frame(3, b"\xff")].concat(), 4),
            (of_another_kind(&whole_first), whole_last.clone(), 4),
            ([but_the_last(&whole_first), &frame(3, b"\xff")].concat(), whole_last.clone(), 3),
        ] {
            fs::write(&first, first_bytes).expect("written");
            fs::write(&last, last_bytes).expect("written");
            let [run] = &read(dir.path())[..] else { panic!("one run") };
            assert!(run.faults.iter().all(|fault| fault.problem == Problem::Newer), "{:?}", run.faults);
            assert!(run.has_newer() && run.cut_short.is_none() && run.entries == entries, "{run:?}");
        }
        fs::write(&last, [&of_another_kind(&whole_last)[..], &[0; 20]].concat()).expect("written");
        let told = faults(&read(dir.path())[0]);
        assert!(told.contains("a newer build") && told.contains("a checksum does not match"), "{told:?}");
    }

    /// A segment without its last frame.
    fn but_the_last(segment: &[u8]) -> &[u8] {
        let (mut at, mut next) = (0, 8);
        while next < segment.len() {
            let length = segment[next..].first_chunk().copied().expect("a frame");
            (at, next) = (next, next + 13 + u32::from_le_bytes(length) as usize);
        }
        &segment[..at]
    }

    /// A frame of any kind, whole.
    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
        let length = u32::try_from(payload.len()).expect("short").to_le_bytes();
        let head = [&length[..], &[kind]].concat();
        let check = crc.checksum(&head).to_le_bytes();
        let both = crc.checksum(&[&head, payload].concat()).to_le_bytes();
        [&head[..], &check, &both, payload].concat()
    }
}
