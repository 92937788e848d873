mod rollouts;

use std::fs;
use std::path::Path;

use openrtc_core::id::CallNo;
use openrtc_core::journal::Predecessor;
use openrtc_core::worker::{Command, Decline, EndReason};
use tempfile::tempdir;

use super::*;
use crate::seal::{CheckError, check, issue};
use crate::select::Selection;
use crate::test_journals::Scribe;

fn over(dir: &Path) -> Certificate {
    Certificate::over(&[dir.to_owned()], &Selection::everything()).expect("a journal")
}

fn gaps(certificate: &Certificate) -> Vec<String> {
    certificate.unknown.iter().map(|untold| untold.gap.to_string()).collect()
}

/// A run that took calls `a` and `b`, of which `a` hung up.
fn begin(dir: &Path, incarnation: u64, predecessor: Option<Predecessor>) -> (Scribe, CallNo) {
    let mut scribe = Scribe::start(dir, incarnation, predecessor);
    let a = scribe.admit("a");
    scribe.end(a, EndReason::CallerHangup);
    let b = scribe.admit("b");
    (scribe, b)
}

#[test]
fn a_closed_journal_in_several_segments_is_proof() {
    let dir = tempdir().expect("a directory");
    let (mut scribe, b) = begin(dir.path(), 1, None);
    scribe.roll();
    scribe.end(b, EndReason::CallerHangup);
    scribe.drain_and_exit();
    scribe.save();
    let certificate = over(dir.path());
    assert_eq!((certificate.verdict, certificate.sums.promised, certificate.sums.ended), (Verdict::Proven, 2, 2));
}

#[test]
fn what_the_dispatcher_saw_is_sealed_with_the_rest_and_changes_no_verdict() {
    let dir = tempdir().expect("a directory");
    let (mut scribe, b) = begin(dir.path(), 1, None);
    scribe.end(b, EndReason::CallerHangup);
    scribe.drain_and_exit();
    scribe.save();
    let without = over(dir.path());
    let lost = Dispatch { room: "room".into(), lost: Some("no agent came".into()), ..Dispatch::default() };
    let certificate = Certificate { dispatches: vec![lost], ..without.clone() };
    let out = dir.path().join("certificate.jsonl");
    issue(&certificate, &out, None).expect("written");
    let text = fs::read_to_string(&out).expect("it is there");
    assert_eq!(check(&text, None).expect("it holds"), certificate);
    assert_eq!(certificate.judge(), Verdict::Proven);
    assert!(
        certificate.to_string().contains("1 dispatches, 0 answered, 0 refused by a worker, 1 lost"),
        "{certificate}"
    );
    assert!(matches!(check(&text.replace("no agent came", "no agent CAME"), None), Err(CheckError::Digest)));
    // One that was not asked for is written as before there were any.
    issue(&without, &out, None).expect("written");
    assert!(!fs::read_to_string(&out).expect("it is there").contains("dispatches"));
}

#[test]
fn an_unclosed_journal_is_evidence_of_what_was_dropped() {
    let dir = tempdir().expect("a directory");
    begin(dir.path(), 1, None).0.save();
    Scribe::free(dir.path());
    let certificate = over(dir.path());
    assert_eq!((certificate.verdict, certificate.sums.dropped), (Verdict::Dropped, 1));
    let told: Vec<_> = certificate.calls.iter().map(|call| (call.id.as_str(), call.end.as_str())).collect();
    assert_eq!(told, [("a", "caller_hangup"), ("b", "platform_forced")]);
}

#[test]
fn missing_evidence_is_unknown_and_never_proof() {
    let empty = tempdir().expect("a directory");
    assert_eq!(over(empty.path()).verdict, Verdict::Unknown);

    let segment = tempdir().expect("a directory");
    let (mut scribe, b) = begin(segment.path(), 1, None);
    let first = scribe.save();
    scribe.roll();
    scribe.end(b, EndReason::CallerHangup);
    scribe.drain_and_exit();
    scribe.save();
    fs::remove_file(first).expect("it is there");
    let certificate = over(segment.path());
    assert_eq!(certificate.verdict, Verdict::Unknown);
    assert!(gaps(&certificate)[0].ends_with("entries before #5 are missing"), "{:?}", certificate.unknown);

    let run = tempdir().expect("a directory");
    let lost = Predecessor { incarnation: Incarnation::new(1), exited: false, open_calls: 1 };
    let (mut scribe, b) = begin(run.path(), 2, Some(lost));
    scribe.end(b, EndReason::CallerHangup);
    scribe.drain_and_exit();
    scribe.save();
    let certificate = over(run.path());
    assert_eq!(certificate.verdict, Verdict::Unknown);
    assert!(gaps(&certificate)[0].contains("run 1 ended without a word with 1 calls open"));

    let torn = tempdir().expect("a directory");
    let path = begin(torn.path(), 1, None).0.save();
    let bytes = fs::read(&path).expect("readable");
    fs::write(&path, &bytes[..bytes.len() - 3]).expect("writable");
    Scribe::free(torn.path());
    let certificate = over(torn.path());
    assert_eq!(certificate.verdict, Verdict::Unknown);
    assert!(gaps(&certificate)[0].starts_with(path.to_str().expect("a plain name")), "{:?}", certificate.unknown);
}

#[test]
fn what_a_newer_build_wrote_is_unknown_and_its_open_calls_were_not_dropped() {
    let dir = tempdir().expect("a directory");
    let (mut scribe, b) = begin(dir.path(), 1, None);
    scribe.roll();
    scribe.end(b, EndReason::CallerHangup);
    scribe.drain_and_exit();
    let path = scribe.save();
    let mut bytes = fs::read(&path).expect("readable");
    bytes[7] = 3;
    fs::write(&path, bytes).expect("writable");
    let certificate = over(dir.path());
    assert_eq!((certificate.verdict, certificate.sums.dropped, certificate.sums.ended), (Verdict::Unknown, 0, 1));
    let told = gaps(&certificate);
    let [gap] = &told[..] else { panic!("one gap: {told:?}") };
    assert!(gap.starts_with(path.to_str().expect("a plain name")) && gap.contains("by a newer build"), "{gap}");
}

#[test]
fn every_reason_is_an_end_by_its_own_name() {
    for end in CallEnd::all() {
        let text = serde_json::to_string(&end).expect("written");
        assert_eq!((text.as_str(), serde_json::from_str(&text).ok()), (&*format!("\"{end}\""), Some(end)));
    }
}

/// Runs that end in every way there is, with calls that do.
fn every_end(dir: &Path) {
    let (second, hour) = (Span::from_secs(1), Span::from_secs(3600));
    let mut forced = Scribe::start(dir, 1, None);
    // Those of format 1.
    for reason in EndReason::ALL.into_iter().take(7) {
        forced.wait(second);
        if !matches!(reason, EndReason::Withdrawn | EndReason::DrainForced) {
            let call = forced.admit(reason.as_str());
            forced.wait(second);
            forced.end(call, reason);
        }
    }
    let withdrawn = forced.reserve("withdrawn");
    forced.withdraw(withdrawn);
    forced.reserve("lapsed");
    forced.wait(hour);
    forced.enact(Command::Wake);
    let cut = forced.admit("drain_forced");
    forced.admit("drain_forced-silently");
    forced.drain(Cause::Api, "alice");
    forced.enact(Command::CountDeclines { reason: Decline::Draining, count: 7 });
    forced.enact(Command::ForceDrain { actor: const { openrtc_core::id::Actor::from_static("carol") } });
    forced.end(cut, EndReason::DrainForced);
    forced.wait(hour);
    forced.enact(Command::Wake);
    forced.save();

    let mut killed = Scribe::start(dir, 2, Some(forced.as_predecessor()));
    killed.admit("platform_forced");
    killed.save();
    let mut last = Scribe::begin(dir, 3, Some(killed.as_predecessor()));
    last.enact(Command::Reject);
    last.save();
    for (incarnation, cause) in (4..).zip([Cause::Signal, Cause::Coordinator, Cause::Fence]) {
        last = Scribe::start(dir, incarnation, Some(last.as_predecessor()));
        last.wait(second);
        last.drain(cause, "alice");
        last.leave();
        last.save();
    }
}

#[test]
fn the_first_line_of_a_certificate_is_as_it_ever_was() {
    let dir = tempdir().expect("a directory");
    every_end(dir.path());
    let line = serde_json::to_string(&over(dir.path())).expect("written");
    assert_eq!(Some(line.as_str()), include_str!("../../tests/certificate_2.jsonl").lines().next());
}

#[test]
fn what_the_first_format_said_of_the_same_runs_is_said_still() {
    let dir = tempdir().expect("a directory");
    every_end(dir.path());
    let now = over(dir.path());
    let line = include_str!("../../tests/certificate.jsonl").lines().next().expect("two lines");
    let then = Certificate::from(serde_json::from_str::<CertificateV1>(line).expect("of the first format"));
    assert_eq!((now.verdict, now.calls), (then.verdict, then.calls));
    let worker = |run: &WorkerRun| (run.standing, run.outcome, run.calls, run.declined, run.drain.clone());
    assert!(now.workers.iter().map(worker).eq(then.workers.iter().map(worker)));
}

#[test]
fn an_end_that_is_none_is_named() {
    let error = serde_json::from_str::<CallEnd>("\"eaten\"").expect_err("no end").to_string();
    assert!(error.contains("`eaten` is no end of a call"), "{error}");
}
