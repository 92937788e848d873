//! What became of every call that a run had.

use std::path::Path;

use openrtc_core::id::{CallNo, Ids, Incarnation};
use openrtc_core::journal::{CallLine, CallLines};
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{EndReason, Entry, Event, Worker};
use openrtc_records::{LockState, lock_state};

use crate::journal::{History, JournalError, histories};
use crate::standing::Standing;

/// So often a journal is read whose worker keeps starting and ending.
const LOOKS: u32 = 4;

/// What the records of one run tell.
#[derive(Clone, Debug)]
pub struct Account {
    /// The run.
    pub run: History,
    /// When it wrote the first entry that is known.
    pub began: Option<Instant>,
    /// Every call that it promised or took over, oldest first.
    pub calls: Vec<CallLine>,
    /// What is known of its end; `None` if nothing of it can be read.
    pub standing: Option<Standing>,
    /// When the last call of its drain had ended.
    pub(crate) drained: Option<Instant>,
    /// When it declined how many offers, as far as its segments tell.
    pub(crate) declines: Vec<(Instant, u64)>,
    /// Calls whose guards were dropped without a word, and after which nothing else is told.
    pub(crate) dropped_last: Vec<CallNo>,
    /// The run that followed it on its journal: by when it was over, at the latest.
    pub(crate) next: Option<Incarnation>,
}

/// Accounts for every run in a journal's directory, oldest first.
pub fn accounts(journal: &Path) -> Result<Vec<Account>, JournalError> {
    let (lock, told) = read(journal)?;
    let order: Vec<_> = told.iter().map(|(run, _)| run.incarnation).collect();
    let nexts = order.into_iter().skip(1).map(Some).chain([None]);
    let account = |((run, told), next): ((History, Told), Option<Incarnation>)| {
        // Whoever follows has the lock, so it was free before.
        let lock = if next.is_some() { LockState::Free } else { lock };
        told.account(run, next, lock)
    };
    Ok(told.into_iter().zip(nexts).map(account).collect())
}

/// Reads the journal while its lock stays as it is: who starts or ends in between is seen wholly or not at all.
fn read(journal: &Path) -> Result<(LockState, Vec<(History, Told)>), JournalError> {
    let look = || histories(journal, |told: &mut Told, state, ids, entry| told.enter(state, ids, entry));
    let mut before = lock_state(journal);
    for _ in 1..LOOKS {
        let told = look()?;
        match lock_state(journal) {
            same if same == before => return Ok((same, told)),
            other => before = other,
        }
    }
    Ok((LockState::Unseen, look()?))
}

#[derive(Default)]
struct Told {
    began: Option<Instant>,
    calls: CallLines,
    drained: Option<Instant>,
    declines: Vec<(Instant, u64)>,
    dropped_last: Vec<CallNo>,
}

impl Told {
    fn enter(&mut self, state: &Worker, ids: &impl Ids, entry: &Entry) {
        self.began.get_or_insert(entry.at);
        self.calls.enter(state, ids, entry);
        match entry.event {
            Event::CallEnded { call, reason: EndReason::GuardDropped } => return self.dropped_last.push(call),
            Event::CallsDeclined { count, .. } => self.declines.push((entry.at, count)),
            Event::Drained => self.drained = Some(entry.at),
            Event::DrainCancelled { .. } => self.drained = None,
            _ => {}
        }
        self.dropped_last.clear();
    }

    fn account(self, run: History, next: Option<Incarnation>, lock: LockState) -> Account {
        let mut calls = run.kept.clone();
        for line in self.calls.into_lines() {
            calls.insert(line);
        }
        let state = run.last.as_ref().map(|last| &last.state);
        let standing = state.map(|state| Standing::of(state, lock));
        // The entry that says so may be in a ledger.
        let in_ledger = state.filter(|state| state.phase() == Phase::Drained).map(Worker::now);
        let (drained, began) = (self.drained.or(in_ledger), run.began.or(self.began));
        let calls = calls.into_lines().collect();
        let (declines, dropped_last) = (self.declines, self.dropped_last);
        Account { run, began, calls, standing, drained, declines, dropped_last, next }
    }
}

impl Account {
    /// The run's last state, if anything of it can be read.
    pub(crate) fn state(&self) -> Option<&Worker> {
        self.run.last.as_ref().map(|last| &last.state)
    }

    /// The version that it ran.
    pub(crate) fn version(&self) -> Option<&str> {
        self.run.last.as_ref().map(|last| last.opening.about.identity.version.as_str())
    }

    /// When the last thing of it is told.
    pub(crate) fn last_heard(&self) -> Instant {
        self.state().map_or(Instant::EPOCH, Worker::now)
    }

    /// When it had no call left for good, as far as can be told: its drain was complete, or nothing more is heard.
    pub(crate) fn settled(&self) -> Option<Instant> {
        match self.standing? {
            Standing::Exited | Standing::Parked | Standing::DrainedAndGone | Standing::Died => {
                Some(self.drained.unwrap_or_else(|| self.last_heard()))
            }
            Standing::Running | Standing::OutOfSight => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use openrtc_core::journal::Left;
    use openrtc_core::time::Span;
    use openrtc_core::worker::Command;
    use tempfile::tempdir;

    use super::*;
    use crate::test_journals::Scribe;

    #[test]
    fn every_promise_is_there_with_its_end_across_segments() {
        let dir = tempdir().expect("a directory");
        let mut scribe = Scribe::start(dir.path(), 1, None);
        let ended = scribe.admit("ended");
        scribe.roll();
        scribe.wait(Span::from_secs(1));
        scribe.reserve("lapsed");
        scribe.end(ended, EndReason::CallerHangup);
        scribe.wait(Span::from_secs(3600));
        scribe.enact(Command::Wake);
        scribe.admit("open");
        scribe.save();
        let [account] = &accounts(dir.path()).expect("a journal")[..] else { panic!("one run") };
        let told: Vec<_> = account.calls.iter().map(|call| (call.id.as_str(), call.left)).collect();
        let at = |seconds| Instant::EPOCH + Span::from_secs(seconds);
        assert_eq!(
            told,
            [
                ("ended", Left::Ended { at: at(1), reason: EndReason::CallerHangup }),
                ("lapsed", Left::Lapsed { at: at(3601) }),
                ("open", Left::Open)
            ]
        );
        assert_eq!((account.began, account.run.faults.len()), (Some(Instant::EPOCH), 0));
    }

    #[test]
    fn a_damaged_journal_tells_what_is_before_the_damage() {
        let dir = tempdir().expect("a directory");
        let mut scribe = Scribe::start(dir.path(), 1, None);
        scribe.admit("whole");
        scribe.admit("altered");
        let path = scribe.save();
        let mut bytes = fs::read(&path).expect("read");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&path, bytes).expect("written");
        let [account] = &accounts(dir.path()).expect("a journal")[..] else { panic!("one run") };
        assert_eq!(account.calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["whole"]);
        let fault = account.run.faults[0].problem.to_string();
        assert!(fault.contains("a checksum does not match"), "{fault}");
    }
}
