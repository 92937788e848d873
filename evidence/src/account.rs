//! What became of every call that a run had.

use std::collections::BTreeMap;
use std::path::Path;

use openrtc_core::id::{CallId, CallNo, Digest, Ids, Incarnation};
use openrtc_core::time::Instant;
use openrtc_core::worker::{Entry, Event, Origin};

use crate::end::CallEnd;
use crate::journal::{History, JournalError, histories, runs};

/// What the journal of one run tells.
#[derive(Clone, Debug)]
pub struct Account {
    /// The run.
    pub run: History,
    /// When it wrote its first entry that is there.
    pub began: Option<Instant>,
    /// Every call that it promised or took over, oldest first.
    pub calls: Vec<CallAccount>,
}

/// What the journal of a run tells of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallAccount {
    /// Its number in this run.
    pub number: CallNo,
    /// What the dispatcher calls it.
    pub id: CallId,
    /// When this run promised it or took it over.
    pub began: Instant,
    /// Where it comes from, if an earlier run promised it.
    pub origin: Option<Origin>,
    /// How the journal leaves it.
    pub left: Left,
}

/// How a journal leaves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was open when the journal ended.
    Open,
    /// It ended.
    Ended {
        /// When it happened.
        at: Instant,
        /// How it ended.
        end: CallEnd,
    },
    /// It goes on in another run of the same worker.
    HandedOver {
        /// That run.
        to: Incarnation,
    },
}

/// Accounts for every run in a journal's directory, oldest first.
pub fn accounts(journal: &Path) -> Result<Vec<Account>, JournalError> {
    let histories = histories(&runs(journal)?, |calls: &mut Calls, _, ids, entry| calls.enter(ids, entry))?;
    let account = |(run, Calls { began, calls })| Account { run, began, calls: calls.into_values().collect() };
    Ok(histories.into_iter().map(account).collect())
}

#[derive(Default)]
struct Calls {
    began: Option<Instant>,
    calls: BTreeMap<CallNo, CallAccount>,
}

impl Calls {
    fn enter(&mut self, ids: &impl Ids, entry: &Entry) {
        self.began.get_or_insert(entry.at);
        match entry.event {
            Event::CallAdmitted { id, .. } | Event::CallReserved { id, .. } => self.begin(ids, entry, id, None),
            Event::CallTakenOver { id, origin, .. } => self.begin(ids, entry, id, Some(origin)),
            Event::CallEnded { call, reason } => {
                self.leave(call, Left::Ended { at: entry.at, end: CallEnd::Recorded(reason) });
            }
            Event::ReservationLapsed { call } => self.leave(call, Left::Ended { at: entry.at, end: CallEnd::Lapsed }),
            Event::CallHandedOver { call, to } => self.leave(call, Left::HandedOver { to }),
            _ => {}
        }
    }

    fn begin(&mut self, ids: &impl Ids, entry: &Entry, digest: Digest, origin: Option<Origin>) {
        let number = CallNo::new(entry.seq.get());
        let id = ids.id(number).unwrap_or_else(|| CallId::unnamed(digest));
        self.calls.insert(number, CallAccount { number, id, began: entry.at, origin, left: Left::Open });
    }

    fn leave(&mut self, call: CallNo, left: Left) {
        if let Some(call) = self.calls.get_mut(&call) {
            call.left = left;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use openrtc_core::time::Span;
    use openrtc_core::worker::{Command, EndReason};
    use tempfile::tempdir;

    use super::*;
    use crate::scribe::Scribe;

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
        let ended = |seconds, end| Left::Ended { at: Instant::EPOCH + Span::from_secs(seconds), end };
        assert_eq!(
            told,
            [
                ("ended", ended(1, CallEnd::Recorded(EndReason::CallerHangup))),
                ("lapsed", ended(3601, CallEnd::Lapsed)),
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
