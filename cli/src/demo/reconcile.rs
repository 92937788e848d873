//! Holds a worker's journal against what its callers saw, call by call.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use openrtc_core::id::CallNo;
use openrtc_core::journal::{Torn, TornFault, replay};
use openrtc_core::worker::{EndReason, Event, Outcome};
use openrtc_records::segments;

use super::caller::Fate;
use super::ledger::{CallRecord, Taken};

/// What a journal tells of its worker's calls.
#[derive(Debug)]
pub(crate) struct Account {
    /// Every call by its id, and how it ended; `None` for one that was open when the journal ended.
    calls: BTreeMap<String, Option<EndReason>>,
    /// How the worker left; `None` when it did not leave by itself.
    pub(crate) outcome: Option<Outcome>,
    /// Calls declined.
    declined: u64,
    /// Where it stops making sense, unless that is the cut-short end that a killed worker leaves.
    torn: Option<Torn>,
}

/// Reads a worker's journal whole.
pub(crate) fn read(journal: &Path) -> anyhow::Result<Account> {
    let mut numbers: BTreeMap<CallNo, String> = BTreeMap::new();
    let mut account = Account { calls: BTreeMap::new(), outcome: None, declined: 0, torn: None };
    for segment in segments(journal)? {
        let bytes = fs::read(&segment.path)?;
        let replayed = replay(&bytes, |_, entry| match entry.event {
            Event::CallAdmitted { id, .. } | Event::CallReserved { id, .. } => {
                numbers.insert(CallNo::new(entry.seq.get()), id.to_string());
                account.calls.insert(id.to_string(), None);
            }
            Event::CallEnded { call, reason } => {
                if let Some(id) = numbers.get(&call) {
                    account.calls.insert(id.clone(), Some(reason));
                }
            }
            Event::ReservationLapsed { call } => {
                if let Some(id) = numbers.get(&call) {
                    account.calls.remove(id);
                }
            }
            _ => {}
        })
        .with_context(|| segment.path.display().to_string())?;
        if replayed.torn.is_some_and(|torn| torn.fault != TornFault::Short) {
            account.torn = replayed.torn;
        }
        account.outcome = replayed.state.outcome();
        account.declined = replayed.state.tally().declined.iter().sum();
    }
    Ok(account)
}

impl Account {
    /// Every way in which the journal and the callers disagree; empty when they agree.
    pub(crate) fn disagreements<'a>(
        &self,
        callers: impl Iterator<Item = (&'a CallRecord, &'a Taken)>,
        declines: u32,
    ) -> Vec<String> {
        let mut found: Vec<String> = self.torn.iter().map(|torn| format!("its journal is damaged {torn}")).collect();
        let mut unseen = self.calls.clone();
        for (call, taken) in callers {
            match unseen.remove(&call.id) {
                None => found.push(format!("call {} was taken, but the journal does not have it", call.id)),
                Some(told) if !fits(taken.fate, told) => {
                    let told = told.map_or("no end", EndReason::as_str);
                    found.push(format!(
                        "call {}: its caller saw that it {}, the journal has {told}",
                        call.id, taken.fate
                    ));
                }
                Some(_) => {}
            }
        }
        // A withdrawn reservation is an offer whose caller was gone before it was taken up.
        unseen.retain(|_, told| *told != Some(EndReason::Withdrawn));
        found.extend(unseen.keys().map(|id| format!("the journal has call {id}, which no caller made")));
        if self.outcome.is_some() && u64::from(declines) != self.declined {
            found.push(format!("callers were declined {declines} times, the journal counts {}", self.declined));
        }
        found
    }
}

/// Whether what a caller saw and what the journal tells are the same end.
fn fits(fate: Fate, told: Option<EndReason>) -> bool {
    match fate {
        Fate::HungUp => told == Some(EndReason::CallerHangup),
        // The hang-up may or may not have reached the worker before the connection broke.
        Fate::HungUpUnheard => matches!(told, Some(EndReason::CallerHangup | EndReason::DrainForced) | None),
        Fate::Cut => told == Some(EndReason::DrainForced),
        // Open at the end: cut by the worker's exit, or by whatever killed it. Or the connection broke for both.
        Fate::Lost => matches!(told, None | Some(EndReason::Disconnected)),
    }
}

#[cfg(test)]
mod tests {
    use openrtc_core::worker::{Command, Decline};
    use tempfile::{TempDir, tempdir};
    use tokio::time::Instant;

    use super::*;
    use crate::demo::caller::Heard;
    use crate::scribe::Scribe;

    /// A worker that served `a` to its end and has `b` open.
    fn journal() -> (TempDir, Scribe, CallNo) {
        let dir = tempdir().expect("a directory");
        let mut scribe = Scribe::start(dir.path(), 1, None);
        let a = scribe.admit("a");
        scribe.end(a, EndReason::CallerHangup);
        let b = scribe.admit("b");
        scribe.save();
        (dir, scribe, b)
    }

    fn caller(id: &str, fate: Fate) -> (CallRecord, Taken) {
        let now = Instant::now();
        let taken = Taken { worker: 0, answered: now, ended: now, fate, heard: Heard::default() };
        let record = CallRecord { id: id.into(), declined_by: vec![], unanswered_by: vec![], taken: Some(taken) };
        (record, taken)
    }

    fn disagreements(dir: &Path, callers: &[(CallRecord, Taken)], declines: u32) -> Vec<String> {
        let account = read(dir).expect("a journal");
        account.disagreements(callers.iter().map(|(call, taken)| (call, taken)), declines)
    }

    #[test]
    fn callers_and_journal_agree_on_the_same_story() {
        let (dir, ..) = journal();
        let told = disagreements(dir.path(), &[caller("a", Fate::HungUp), caller("b", Fate::Lost)], 0);
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn every_other_story_is_a_disagreement() {
        let (dir, ..) = journal();
        for (callers, says) in [
            (vec![caller("a", Fate::HungUp)], "the journal has call b, which no caller made"),
            (vec![caller("a", Fate::Lost), caller("b", Fate::Lost)], "call a: its caller saw that it broke"),
            (vec![caller("a", Fate::Cut), caller("b", Fate::Lost)], "call a: its caller saw that it was cut"),
            (vec![caller("a", Fate::HungUp), caller("b", Fate::HungUp)], "call b: its caller saw that it hung up"),
            (vec![caller("a", Fate::HungUp), caller("b", Fate::Lost), caller("c", Fate::HungUp)], "does not have it"),
        ] {
            let told = disagreements(dir.path(), &callers, 0);
            assert!(matches!(&told[..], [one] if one.contains(says)), "{told:?} should be {says:?}");
        }
    }

    #[test]
    fn declines_are_compared_once_the_worker_has_left() {
        let (dir, mut scribe, b) = journal();
        let callers = [caller("a", Fate::HungUp), caller("b", Fate::HungUp)];
        scribe.end(b, EndReason::CallerHangup);
        scribe.enact(Command::CountDeclines { reason: Decline::Draining, count: 1 });
        scribe.drain_and_exit();
        scribe.save();
        assert_eq!(disagreements(dir.path(), &callers, 1), [""; 0]);
        assert_eq!(disagreements(dir.path(), &callers, 2), ["callers were declined 2 times, the journal counts 1"]);
    }

    #[test]
    fn a_damaged_journal_agrees_with_nobody() {
        let (dir, scribe, _) = journal();
        let path = scribe.save();
        let mut bytes = fs::read(&path).expect("read");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&path, bytes).expect("written");
        let told = disagreements(dir.path(), &[caller("a", Fate::HungUp)], 0);
        assert!(matches!(&told[..], [one] if one.contains("damaged") && one.contains("checksum")), "{told:?}");
    }
}
