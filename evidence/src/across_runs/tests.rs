use std::fs;
use std::path::{Path, PathBuf};

use openrtc_core::id::CallNo;
use openrtc_core::journal::Predecessor;
use openrtc_core::worker::{Command, EndReason};
use tempfile::tempdir;

use crate::test_journals::Scribe;
use crate::{Certificate, Selection, Verdict};

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

fn gaps(certificate: &Certificate) -> Vec<String> {
    certificate.unknown.iter().map(|untold| untold.gap.to_string()).collect()
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
        let certificate =
            Certificate::over(&journals[..=usize::from(!together)], &Selection::everything()).expect("journals");
        assert_eq!(certificate.unknown, []);
        assert_eq!((certificate.verdict, certificate.sums.promised, certificate.sums.ended), (Verdict::Proven, 2, 2));
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
    let certificate = Certificate::over(&[dir.path().to_owned()], &Selection::everything()).expect("a journal");
    assert_eq!(told(&certificate), [("goes-on", "agent_hangup"), ("lost", "platform_forced")]);
    assert_eq!((certificate.verdict, certificate.sums.promised), (Verdict::Dropped, 2));
    assert_ne!(found, lost);
}

#[test]
fn behind_an_append_that_was_cut_short_nobody_knows_what_became_of_a_call() {
    let dir = tempdir().expect("a directory");
    let mut crashed = Scribe::start(dir.path(), 1, None);
    let ended = crashed.admit("ended");
    crashed.end(ended, EndReason::CallerHangup);
    crashed.admit("open");
    crashed.save();
    let [segment] = &records(dir.path())[..] else { panic!("one segment") };
    let whole = fs::read(segment).expect("a segment");
    let mut next = Scribe::start(dir.path(), 2, Some(crashed.as_predecessor()));
    next.drain_and_exit();
    next.save();
    for (more, verdict, end) in [(0, Verdict::Dropped, "platform_forced"), (5, Verdict::Unknown, "unknown")] {
        // What a crash leaves of a frame, and a full disk too: then the call may have gone on.
        fs::write(segment, [&whole[..], &whole[whole.len() - 40..][..more]].concat()).expect("written");
        let certificate = Certificate::over(&[dir.path().to_owned()], &Selection::everything()).expect("a journal");
        assert_eq!(
            (certificate.verdict, told(&certificate)),
            (verdict, vec![("ended", "caller_hangup"), ("open", end)])
        );
    }
}

fn records(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).expect("a directory").map(|file| file.expect("a file").path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "orj")).collect()
}

#[test]
fn a_call_whose_way_is_not_told_to_its_end_is_unknown() {
    let (first, second) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    let (run, call) = origin(first.path());
    let gone = Certificate::over(&[first.path().to_owned()], &Selection::everything()).expect("a journal");
    let ends = vec![("ends", "caller_hangup"), ("goes-on", "unknown")];
    assert_eq!((gone.verdict, told(&gone)), (Verdict::Unknown, ends));
    assert_eq!(gaps(&gone), ["call goes-on of blue-1 went to run 2, whose journal does not have it"]);

    successor(second.path(), call, None);
    let alone = Certificate::over(&[second.path().to_owned()], &Selection::everything()).expect("a journal");
    assert_eq!((alone.verdict, alone.sums.promised), (Verdict::Proven, 1), "a promise of whoever has it");

    let other = CallNo::new(call.get() - 1);
    successor(first.path(), other, Some(run.as_predecessor()));
    let stolen = Certificate::over(&[first.path().to_owned()], &Selection::everything()).expect("a journal");
    assert_eq!(stolen.verdict, Verdict::Unknown);
    let told = gaps(&stolen);
    let [lost, taken] = &told[..] else { panic!("two gaps: {:?}", stolen.unknown) };
    assert!(lost.contains("went to run 2") && taken.contains("taken over from run 1"), "{:?}", stolen.unknown);
}
