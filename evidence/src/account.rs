//! What became of every call that a run promised.

use std::collections::BTreeMap;
use std::path::Path;

use openrtc_core::id::{CallId, CallNo};
use openrtc_core::time::Instant;
use openrtc_core::worker::{Entry, Event};

use crate::end::CallEnd;
use crate::journal::{History, JournalError, histories, runs};

/// What the journal of one run tells.
#[derive(Clone, Debug)]
pub struct Account {
    /// The run.
    pub run: History,
    /// When it wrote its first entry that is there.
    pub began: Option<Instant>,
    /// Every call that it promised, oldest first.
    pub calls: Vec<CallAccount>,
}

/// What the journal tells of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallAccount {
    /// What the dispatcher calls it.
    pub id: CallId,
    /// When it was promised.
    pub began: Instant,
    /// When and how it ended; `None` for one that was open when the journal ended.
    pub end: Option<(Instant, CallEnd)>,
}

/// Accounts for every run in a journal's directory, oldest first.
pub fn accounts(journal: &Path) -> Result<Vec<Account>, JournalError> {
    let histories = histories(&runs(journal)?, |calls: &mut Calls, _, entry| calls.enter(entry))?;
    let account = |(run, Calls { began, calls })| Account { run, began, calls: calls.into_values().collect() };
    Ok(histories.into_iter().map(account).collect())
}

#[derive(Default)]
struct Calls {
    began: Option<Instant>,
    calls: BTreeMap<CallNo, CallAccount>,
}

impl Calls {
    fn enter(&mut self, entry: &Entry) {
        self.began.get_or_insert(entry.at);
        match entry.event {
            Event::CallAdmitted { id, .. } | Event::CallReserved { id, .. } => {
                let call = CallAccount { id, began: entry.at, end: None };
                self.calls.insert(CallNo::new(entry.seq.get()), call);
            }
            Event::CallEnded { call, reason } => self.end(call, entry.at, CallEnd::Recorded(reason)),
            Event::ReservationLapsed { call } => self.end(call, entry.at, CallEnd::Lapsed),
            _ => {}
        }
    }

    fn end(&mut self, call: CallNo, at: Instant, end: CallEnd) {
        if let Some(call) = self.calls.get_mut(&call) {
            call.end = Some((at, end));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use openrtc_core::id::CallId;
    use openrtc_core::time::Span;
    use openrtc_core::worker::{Class, Command, EndReason};
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
        scribe.enact(Command::Reserve { id: CallId::from_static("lapsed"), class: Class::default() });
        scribe.end(ended, EndReason::CallerHangup);
        scribe.wait(Span::from_secs(3600));
        scribe.enact(Command::Wake);
        scribe.admit("open");
        scribe.save();
        let [account] = &accounts(dir.path()).expect("a journal")[..] else { panic!("one run") };
        let told: Vec<_> = account.calls.iter().map(|call| (call.id.as_str(), call.end)).collect();
        let at = |seconds| Instant::EPOCH + Span::from_secs(seconds);
        assert_eq!(
            told,
            [
                ("ended", Some((at(1), CallEnd::Recorded(EndReason::CallerHangup)))),
                ("lapsed", Some((at(3601), CallEnd::Lapsed))),
                ("open", None)
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
        assert!(fault.contains("the checksum does not match"), "{fault}");
    }
}
