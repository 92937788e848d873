//! Follows calls from the run that promised them to the run in which they ended.

use std::collections::{BTreeMap, BTreeSet};

use openrtc_core::id::{CallNo, Deployment, Incarnation, WorkerId};
use openrtc_core::time::Instant;

use crate::account::{Account, CallAccount, Left};
use crate::end::{CallEnd, RunEnd};

/// Which run: runs of one worker are told apart by their incarnation.
type RunName = (Deployment, WorkerId, Incarnation);

/// The accounts of all runs, and where their calls go on.
pub(crate) struct Follower<'a> {
    runs: BTreeSet<RunName>,
    /// Calls that were taken over, by the run and the number that they had before.
    onward: BTreeMap<(RunName, CallNo), (&'a Account, &'a CallAccount)>,
    /// Those of them that a promise led to, by their own run and number.
    reached: BTreeSet<(RunName, CallNo)>,
    gaps: Vec<String>,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(accounts: impl Iterator<Item = &'a Account> + Clone) -> Self {
        let runs = accounts.clone().filter_map(name).collect();
        let taken_over = accounts.flat_map(|account| account.calls.iter().map(move |call| (account, call)));
        let onward = taken_over.filter_map(|(account, call)| Some((before(account, call)?, (account, call)))).collect();
        Self { runs, onward, reached: BTreeSet::new(), gaps: Vec::new() }
    }

    /// Whether a call counts as a promise of the run that accounts for it. One that was taken over is a promise of the
    /// run before, if that is here.
    pub(crate) fn is_promise(&self, account: &Account, call: &CallAccount) -> bool {
        before(account, call).is_none_or(|(run, _)| !self.runs.contains(&run))
    }

    /// When and how a promise ended, in whichever run; `None` if that is not told.
    pub(crate) fn end(&mut self, mut account: &'a Account, mut call: &'a CallAccount) -> Option<(Instant, CallEnd)> {
        // Ends: a call has one origin at most, so that no two ways lead to it, and the first has none.
        loop {
            let (run, last) = (name(account)?, account.run.last.as_ref()?);
            let onward = self.onward.get(&(run, call.number)).copied();
            let outcome = RunEnd::from(last.state.outcome());
            let goes_on = onward.filter(|(next, taken)| match call.left {
                Left::Ended { .. } => false,
                Left::HandedOver { to } => next.run.incarnation == to,
                // It was found alive after its run had ended without a word.
                Left::Open => outcome == RunEnd::Unclosed && taken.origin.is_some_and(|origin| !origin.given),
            });
            match (call.left, goes_on) {
                (_, Some((next, taken))) => {
                    self.reached.extend(name(next).map(|run| (run, taken.number)));
                    (account, call) = (next, taken);
                }
                (Left::Ended { at, end }, None) => return Some((at, end)),
                (Left::HandedOver { to }, None) => {
                    let (id, (_, worker, _)) = (&call.id, run);
                    self.gaps.push(format!("call {id} of {worker} went to run {to}, whose journal does not have it"));
                    return None;
                }
                // How it went on is in what could not be read.
                (Left::Open, None) if account.run.has_newer() => return None,
                (Left::Open, None) => return Some((last.state.now(), outcome.end_of_open_calls())),
            }
        }
    }

    /// What the journals do not tell of calls that went from run to run, once every promise was followed.
    pub(crate) fn into_gaps(self) -> Vec<String> {
        let Self { runs, onward, reached, mut gaps } = self;
        for ((before, _), (account, call)) in onward {
            let reached = name(account).is_some_and(|run| reached.contains(&(run, call.number)));
            if runs.contains(&before) && !reached {
                let (id, (_, worker, run)) = (&call.id, before);
                gaps.push(format!(
                    "call {id} of {worker} was taken over from run {run}, whose journal does not say so"
                ));
            }
        }
        gaps
    }
}

fn name(account: &Account) -> Option<RunName> {
    let identity = account.run.last.as_ref()?.opening.about.identity;
    Some((identity.deployment, identity.worker, identity.incarnation))
}

/// Which call of which run a call was before.
fn before(account: &Account, call: &CallAccount) -> Option<(RunName, CallNo)> {
    let ((deployment, worker, _), origin) = (name(account)?, call.origin?);
    Some(((deployment, worker, origin.run), origin.call))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use openrtc_core::id::CallNo;
    use openrtc_core::journal::Predecessor;
    use openrtc_core::worker::{Command, EndReason};
    use tempfile::tempdir;

    use crate::scribe::Scribe;
    use crate::{Certificate, Verdict};

    /// A run that promised the calls `ends` and `goes-on`, of which the second went to run 2; and its number there.
    fn origin(dir: &Path) -> (Scribe, CallNo) {
        let mut scribe = Scribe::start(dir, 1, None);
        let (ends, goes_on) = (scribe.admit("ends"), scribe.admit("goes-on"));
        scribe.end(ends, EndReason::CallerHangup);
        scribe.hand_over(goes_on, 2);
        scribe.drain_and_exit();
        scribe.save();
        (scribe, goes_on)
    }

    /// A run that takes the call over, which then ends there in its own way.
    fn successor(dir: &Path, call: CallNo, before: Option<Predecessor>) -> Scribe {
        let mut scribe = Scribe::begin(dir, 2, before);
        let taken = scribe.take_over("goes-on", 1, call, before.is_none_or(|before| before.exited));
        scribe.enact(Command::Serve);
        scribe.end(taken, EndReason::AgentHangup);
        scribe.drain_and_exit();
        scribe.save();
        scribe
    }

    fn told(certificate: &Certificate) -> Vec<(&str, &str)> {
        certificate.calls.iter().map(|call| (call.id.as_str(), call.end.as_str())).collect()
    }

    #[test]
    fn a_call_that_was_handed_over_is_one_promise_with_the_end_that_it_had_elsewhere() {
        for together in [true, false] {
            let (first, second) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
            let (run, call) = origin(first.path());
            let next = if together { first.path() } else { second.path() };
            successor(next, call, together.then(|| run.as_predecessor()));
            let journals = [first.path().to_owned(), second.path().to_owned()];
            let certificate = Certificate::over(&journals[..=usize::from(!together)]).expect("journals");
            assert_eq!(certificate.unknown, [""; 0]);
            assert_eq!((certificate.verdict, certificate.promised, certificate.ended), (Verdict::Proven, 2, 2));
            assert_eq!(told(&certificate), [("ends", "caller_hangup"), ("goes-on", "agent_hangup")]);
            assert_eq!(certificate.workers.iter().map(|run| run.calls).collect::<Vec<_>>(), [2, 0]);
        }
    }

    #[test]
    fn a_call_that_was_found_alive_after_a_crash_was_not_dropped_by_it() {
        let dir = tempdir().expect("a directory");
        let mut crashed = Scribe::start(dir.path(), 1, None);
        let (found, lost) = (crashed.admit("goes-on"), crashed.admit("lost"));
        crashed.save();
        successor(dir.path(), found, Some(crashed.as_predecessor()));
        let certificate = Certificate::over(&[dir.path().to_owned()]).expect("a journal");
        assert_eq!(told(&certificate), [("goes-on", "agent_hangup"), ("lost", "platform_forced")]);
        assert_eq!((certificate.verdict, certificate.promised), (Verdict::Dropped, 2));
        assert_ne!(found, lost);
    }

    #[test]
    fn a_call_whose_way_is_not_told_to_its_end_is_unknown() {
        let (first, second) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
        let (run, call) = origin(first.path());
        let gone = Certificate::over(&[first.path().to_owned()]).expect("a journal");
        assert_eq!((gone.verdict, told(&gone)), (Verdict::Unknown, vec![("ends", "caller_hangup")]));
        assert_eq!(gone.unknown, ["call goes-on of blue-1 went to run 2, whose journal does not have it"]);

        successor(second.path(), call, None);
        let alone = Certificate::over(&[second.path().to_owned()]).expect("a journal");
        assert_eq!((alone.verdict, alone.promised), (Verdict::Proven, 1), "a promise of whoever has it");

        let other = CallNo::new(call.get() - 1);
        successor(first.path(), other, Some(run.as_predecessor()));
        let stolen = Certificate::over(&[first.path().to_owned()]).expect("a journal");
        assert_eq!(stolen.verdict, Verdict::Unknown);
        let [lost, taken] = &stolen.unknown[..] else { panic!("two gaps: {:?}", stolen.unknown) };
        assert!(lost.contains("went to run 2") && taken.contains("taken over from run 1"), "{:?}", stolen.unknown);
    }
}
