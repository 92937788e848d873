//! Holds a worker's journal against what its callers saw, call by call.

use std::collections::BTreeMap;

use openrtc_core::journal::Left;
use openrtc_core::worker::{EndReason, Outcome};
use openrtc_evidence::Account;

use crate::caller::Fate;
use crate::ledger::{OfferedCall, Taken};

/// What a journal tells of its worker's calls.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Every call by its id, and how it ended; `None` for one that was open when the journal ended.
    calls: BTreeMap<String, Option<EndReason>>,
    /// How the worker left; `None` when it did not leave by itself.
    pub(crate) outcome: Option<Outcome>,
    /// Calls declined.
    declined: u64,
    /// Where it is not whole, but for the cut-short end that a killed worker leaves.
    damage: Vec<String>,
}

impl From<Vec<Account>> for Story {
    fn from(accounts: Vec<Account>) -> Self {
        let mut story = Self::default();
        for Account { run, calls, .. } in accounts {
            for call in calls {
                let end = match call.left {
                    Left::Open => None,
                    Left::Ended { reason, .. } => Some(reason),
                    Left::Lapsed { .. } | Left::HandedOver { .. } => continue,
                };
                story.calls.insert(call.id.to_string(), end);
            }
            story.damage.extend(run.faults.iter().map(|fault| fault.problem.to_string()));
            let Some(last) = &run.last else { continue };
            story.outcome = last.state.outcome();
            story.declined = last.state.tally().declined.iter().sum();
        }
        story
    }
}

impl Story {
    /// Every way in which the journal and the callers disagree; empty when they agree.
    pub(crate) fn disagreements<'a>(
        &self,
        callers: impl Iterator<Item = (&'a OfferedCall, &'a Taken)>,
        declines: u32,
    ) -> Vec<String> {
        let mut found: Vec<String> =
            self.damage.iter().map(|damage| format!("its journal is damaged: {damage}")).collect();
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
    use tokio::time::Instant;

    use super::*;
    use crate::caller::Heard;

    /// A worker that served `a` to its end and has `b` open.
    fn story() -> Story {
        let calls = [("a", Some(EndReason::CallerHangup)), ("b", None)];
        Story { calls: calls.map(|(id, end)| (id.into(), end)).into(), ..Story::default() }
    }

    fn caller(id: &str, fate: Fate) -> (OfferedCall, Taken) {
        let now = Instant::now();
        let taken = Taken { worker: 0, answered: now, ended: now, fate, heard: Heard::default() };
        let offered = OfferedCall { id: id.into(), declined_by: vec![], unanswered_by: vec![], taken: Some(taken) };
        (offered, taken)
    }

    fn disagreements(story: &Story, callers: &[(OfferedCall, Taken)], declines: u32) -> Vec<String> {
        story.disagreements(callers.iter().map(|(call, taken)| (call, taken)), declines)
    }

    #[test]
    fn callers_and_journal_agree_on_the_same_story() {
        let told = disagreements(&story(), &[caller("a", Fate::HungUp), caller("b", Fate::Lost)], 0);
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn every_other_story_is_a_disagreement() {
        for (callers, says) in [
            (vec![caller("a", Fate::HungUp)], "the journal has call b, which no caller made"),
            (vec![caller("a", Fate::Lost), caller("b", Fate::Lost)], "call a: its caller saw that it broke"),
            (vec![caller("a", Fate::Cut), caller("b", Fate::Lost)], "call a: its caller saw that it was cut"),
            (vec![caller("a", Fate::HungUp), caller("b", Fate::HungUp)], "call b: its caller saw that it hung up"),
            (vec![caller("a", Fate::HungUp), caller("b", Fate::Lost), caller("c", Fate::HungUp)], "does not have it"),
        ] {
            let told = disagreements(&story(), &callers, 0);
            assert!(matches!(&told[..], [one] if one.contains(says)), "{told:?} should be {says:?}");
        }
    }

    #[test]
    fn declines_are_compared_once_the_worker_has_left() {
        let callers = [caller("a", Fate::HungUp), caller("b", Fate::HungUp)];
        let mut story = story();
        story.calls.insert("b".into(), Some(EndReason::CallerHangup));
        (story.outcome, story.declined) = (Some(Outcome::Clean), 1);
        assert_eq!(disagreements(&story, &callers, 1), [""; 0]);
        assert_eq!(disagreements(&story, &callers, 2), ["callers were declined 2 times, the journal counts 1"]);
        story.outcome = None;
        assert_eq!(disagreements(&story, &callers, 2), [""; 0]);
    }

    #[test]
    fn a_damaged_journal_agrees_with_nobody() {
        let mut story = story();
        story.damage.push("at byte 9: the checksum does not match".into());
        let told = disagreements(&story, &[caller("a", Fate::HungUp), caller("b", Fate::Lost)], 0);
        assert_eq!(told, ["its journal is damaged: at byte 9: the checksum does not match"]);
    }
}
