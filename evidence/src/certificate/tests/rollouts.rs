//! Certificates of a rollout that still runs, of one that is over, and of one whose directories earlier runs had used.

use std::fs;
use std::path::{Path, PathBuf};

use openrtc_core::id::Incarnation;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{Cause, Command, Decline, EndReason};
use openrtc_records::{Lock, prepare};
use tempfile::{TempDir, tempdir};

use super::super::*;
use crate::select::Selection;
use crate::test_journals::Scribe;

const SECOND: Span = Span::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::EPOCH + Span::from_secs(seconds)
}

fn over(dirs: &[&TempDir]) -> Certificate {
    selected(dirs, &Selection::default())
}

fn selected(dirs: &[&TempDir], selection: &Selection) -> Certificate {
    let dirs: Vec<PathBuf> = dirs.iter().map(|dir| dir.path().to_owned()).collect();
    Certificate::over(&dirs, selection).expect("journals")
}

fn told(certificate: &Certificate) -> Vec<(&str, &str)> {
    certificate.calls.iter().map(|call| (call.id.as_str(), call.end.as_str())).collect()
}

fn held(dir: &Path) -> Lock {
    prepare(dir).expect("nobody has it")
}

/// A worker that had `live` calls up and none else when its story ends.
fn serving(live: &[&str]) -> (TempDir, Scribe) {
    let dir = tempdir().expect("a directory");
    let mut scribe = Scribe::start(dir.path(), 1, None);
    for call in live {
        scribe.admit(call);
    }
    scribe.save();
    (dir, scribe)
}

#[test]
fn a_worker_that_is_up_is_open_whether_it_has_calls_or_not() {
    for live in [&["a", "b"][..], &[]] {
        let (dir, _) = serving(live);
        let lock = held(dir.path());
        let certificate = over(&[&dir]);
        assert_eq!((certificate.verdict, certificate.sums.open), (Verdict::Open, live.len() as u64));
        assert_eq!((certificate.workers[0].standing, certificate.until), (Standing::Running, None));
        drop(lock);
    }
}

#[test]
fn without_an_exit_entry_nothing_is_proven() {
    // Its lock is free: it is dead, and what it had went with it. Without a call, what it did last is not told.
    for (live, verdict) in [(&["a"][..], Verdict::Dropped), (&[], Verdict::Unknown)] {
        let (dir, _) = serving(live);
        Scribe::free(dir.path());
        assert_eq!(over(&[&dir]).verdict, verdict, "{live:?}");
    }
    // Its records were copied elsewhere: it may be up.
    let (dir, _) = serving(&["a"]);
    let certificate = over(&[&dir]);
    assert_eq!((certificate.verdict, told(&certificate)), (Verdict::Unknown, vec![("a", "unknown")]));
}

#[test]
fn guards_that_a_dying_runtime_drops_are_no_ends() {
    let dir = tempdir().expect("a directory");
    let mut scribe = Scribe::start(dir.path(), 1, None);
    let calls: Vec<_> = (0..50).map(|call| scribe.admit(&format!("call-{call}"))).collect();
    scribe.end(calls[0], EndReason::GuardDropped);
    scribe.admit("after-it");
    calls[1..].iter().for_each(|call| scribe.end(*call, EndReason::GuardDropped));
    scribe.save();
    Scribe::free(dir.path());
    let certificate = over(&[&dir]);
    assert_eq!(certificate.verdict, Verdict::Unknown);
    let ends = |end: &str| told(&certificate).iter().filter(|(_, how)| *how == end).count();
    assert_eq!((ends("unknown"), ends("guard_dropped"), ends("platform_forced")), (49, 1, 1));
    // With an exit entry behind them they are ends.
    let whole = tempdir().expect("a directory");
    let mut scribe = Scribe::start(whole.path(), 1, None);
    let call = scribe.admit("dropped");
    scribe.end(call, EndReason::GuardDropped);
    scribe.drain_and_exit();
    scribe.save();
    let certificate = over(&[&whole]);
    assert_eq!((certificate.verdict, told(&certificate)), (Verdict::Proven, vec![("dropped", "guard_dropped")]));
}

#[test]
fn a_drained_worker_is_closed_while_it_holds_its_lock() {
    let dir = tempdir().expect("a directory");
    let mut scribe = Scribe::parking(dir.path(), "blue-1", "v1", Span::ZERO);
    let call = scribe.admit("a");
    scribe.drain(Cause::Api, "alice");
    scribe.end(call, EndReason::CallerHangup);
    scribe.enact(Command::Wake);
    scribe.save();
    let lock = held(dir.path());
    let parked = over(&[&dir]);
    assert_eq!((parked.verdict, parked.workers[0].standing), (Verdict::Proven, Standing::Parked));
    assert!(!parked.sums.declined_exact, "it declines on");
    drop(lock);
    let gone = over(&[&dir]);
    assert_eq!((gone.verdict, gone.workers[0].standing), (Verdict::Unknown, Standing::DrainedAndGone));
}

/// A rollout in which green goes on: blue drains from 10 s to 20 s, and is parked. Green has a call that ended in that
/// time, one that is up, and goes on.
fn rollout() -> (TempDir, TempDir, Scribe) {
    let (blue_dir, green_dir) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    let mut blue = Scribe::parking(blue_dir.path(), "blue-1", "v1", Span::ZERO);
    let call = blue.admit("blue");
    blue.wait(Span::from_secs(10));
    blue.drain(Cause::Api, "alice");
    blue.wait(Span::from_secs(10));
    blue.end(call, EndReason::CallerHangup);
    blue.enact(Command::Wake);
    blue.save();
    let mut green = Scribe::parking(green_dir.path(), "green-1", "v2", SECOND);
    green.wait(Span::from_secs(10));
    let ended = green.admit("green-ended");
    green.admit("green-up");
    green.wait(SECOND);
    green.end(ended, EndReason::CallerHangup);
    green.enact(Command::CountDeclines { reason: Decline::Full, count: 3 });
    green.save();
    (blue_dir, green_dir, green)
}

#[test]
fn a_rollout_is_proven_as_soon_as_blue_has_drained_and_an_hour_later_it_is_the_same_certificate() {
    let (blue, green, mut scribe) = rollout();
    let locks = (held(blue.path()), held(green.path()));
    let first = over(&[&blue, &green]);
    assert_eq!((first.verdict, first.until), (Verdict::Proven, Some(at(21))));
    assert_eq!(
        told(&first),
        [("blue", "caller_hangup"), ("green-ended", "caller_hangup"), ("green-up", "in_progress")]
    );
    assert_eq!((first.sums.promised, first.sums.in_progress, first.sums.declined), (3, 1, 3));
    assert_eq!(first.settles_at(), Some(at(21)), "within the skew green may still write what counts");

    // An hour later: its call has ended, others came, some were dropped, it crashed.
    scribe.wait(Span::from_secs(3600));
    scribe.admit("later");
    scribe.end(openrtc_core::id::CallNo::new(3), EndReason::Failed);
    scribe.enact(Command::CountDeclines { reason: Decline::Full, count: 9 });
    scribe.save();
    assert_eq!(over(&[&blue, &green]), first);
    drop(locks.1);
    assert_eq!(over(&[&blue, &green]), first, "and when it is gone");
    assert_eq!(over(&[&green, &blue]), first, "in whichever order");
}

#[test]
fn while_blue_drains_the_rollout_is_open_and_what_a_new_run_drops_counts() {
    let (blue_dir, green_dir) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    let mut blue = Scribe::parking(blue_dir.path(), "blue-1", "v1", Span::ZERO);
    blue.admit("blue");
    blue.wait(SECOND);
    blue.drain(Cause::Api, "alice");
    blue.save();
    let mut green = Scribe::parking(green_dir.path(), "green-1", "v2", SECOND);
    green.admit("green");
    green.save();
    let locks = (held(blue_dir.path()), held(green_dir.path()));
    let certificate = over(&[&blue_dir, &green_dir]);
    assert_eq!(
        (certificate.verdict, told(&certificate)),
        (Verdict::Open, vec![("blue", "open"), ("green", "in_progress")])
    );
    drop(locks.1);
    let retire = Selection { versions: vec!["v1".into()], ..Selection::default() };
    let certificate = selected(&[&blue_dir, &green_dir], &retire);
    assert_eq!(told(&certificate), [("blue", "open"), ("green", "platform_forced")]);
    assert_eq!(certificate.verdicts(), [Verdict::Open, Verdict::Dropped]);
    assert_eq!(certificate.verdict, Verdict::Open);
}

#[test]
fn a_new_run_that_died_before_or_after_the_last_drain_is_not_guessed_at() {
    let (blue, green, _) = rollout();
    let _lock = held(blue.path());
    Scribe::free(green.path());
    let retire = Selection { versions: vec!["v1".into()], ..Selection::default() };
    let certificate = selected(&[&blue, &green], &retire);
    assert_eq!((certificate.verdict, told(&certificate)[2]), (Verdict::Unknown, ("green-up", "unknown")));
}

#[test]
fn a_new_run_that_died_before_the_drain_began_is_not_forgotten() {
    let (blue_dir, green_dir) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    let mut blue = Scribe::parking(blue_dir.path(), "blue-1", "v1", Span::ZERO);
    let mut green = Scribe::parking(green_dir.path(), "green-1", "v2", SECOND);
    green.admit("green");
    green.save();
    Scribe::free(green_dir.path());
    blue.wait(Span::from_secs(10));
    blue.drain(Cause::Api, "alice");
    blue.enact(Command::Wake);
    blue.save();
    let _lock = held(blue_dir.path());
    for versions in [vec![], vec!["v1".to_owned()]] {
        let certificate = selected(&[&blue_dir, &green_dir], &Selection { versions, ..Selection::default() });
        assert_eq!((certificate.verdict, told(&certificate)), (Verdict::Unknown, vec![("green", "unknown")]));
    }
}

#[test]
fn directories_that_are_used_again_and_records_given_twice_change_nothing() {
    let dir = tempdir().expect("a directory");
    let mut crashed = Scribe::start(dir.path(), 1, None);
    crashed.admit("crashed");
    crashed.save();
    let mut next = Scribe::start(dir.path(), 2, Some(crashed.as_predecessor()));
    next.wait(SECOND);
    let call = next.admit("next");
    next.end(call, EndReason::CallerHangup);
    next.drain_and_exit();
    next.save();
    let last = over(&[&dir]);
    assert_eq!((last.verdict, told(&last)), (Verdict::Proven, vec![("next", "caller_hangup")]));
    let everything = selected(&[&dir], &Selection::everything());
    assert_eq!((everything.verdict, everything.sums.promised), (Verdict::Dropped, 2));
    let runs = vec![Incarnation::new(1)];
    let first = selected(&[&dir], &Selection { runs, ..Selection::default() });
    assert_eq!((first.verdict, told(&first)), (Verdict::Dropped, vec![("crashed", "platform_forced")]));
    let since = Some(Instant::from_micros(1));
    assert_eq!(selected(&[&dir], &Selection { since, ..Selection::default() }), last);
    let until = Some(Instant::EPOCH);
    assert_eq!(selected(&[&dir], &Selection { until, ..Selection::default() }).workers.len(), 2);

    assert_eq!(over(&[&dir, &dir]), last, "given twice");
    let other = tempdir().expect("a directory");
    let link = other.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).expect("a link");
    let twice = Certificate::over(&[dir.path().to_owned(), link], &Selection::default()).expect("journals");
    assert_eq!(twice, last, "through a link");
    let copy = tempdir().expect("a directory");
    for file in fs::read_dir(dir.path()).expect("a directory") {
        let path = file.expect("a file").path();
        fs::copy(&path, copy.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    assert_eq!(over(&[&copy, &dir]), last, "and as a copy");
}

#[test]
fn no_cut_at_any_place_makes_an_unclosed_run_a_closed_one() {
    let dir = tempdir().expect("a directory");
    let mut scribe = Scribe::parking(dir.path(), "blue-1", "v1", Span::ZERO);
    let first = scribe.admit("first");
    scribe.drain(Cause::Api, "alice");
    scribe.end(first, EndReason::CallerHangup);
    scribe.enact(Command::Wake);
    scribe.enact(Command::CancelDrain { actor: const { openrtc_core::id::Actor::from_static("alice") } });
    let second = scribe.admit("second");
    scribe.end(second, EndReason::CallerHangup);
    scribe.admit("dropped");
    let path = scribe.save();
    Scribe::free(dir.path());
    let whole = fs::read(&path).expect("read");
    assert_eq!(over(&[&dir]).verdict, Verdict::Dropped);
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).expect("written");
        let verdict = over(&[&dir]).verdict;
        assert_ne!(verdict, Verdict::Proven, "cut to {len} of {} bytes", whole.len());
    }
    fs::remove_file(&path).expect("there");
    assert_eq!(over(&[&dir]).verdict, Verdict::Unknown);
}

#[test]
fn every_changed_bit_of_a_closed_run_is_found() {
    let dir = tempdir().expect("a directory");
    let mut scribe = Scribe::start(dir.path(), 1, None);
    let call = scribe.admit("call");
    scribe.roll();
    scribe.end(call, EndReason::CallerHangup);
    scribe.drain_and_exit();
    scribe.save();
    let whole = over(&[&dir]);
    assert_eq!(whole.verdict, Verdict::Proven);
    let mut tried = 0;
    for segment in openrtc_records::segments(dir.path()).expect("segments") {
        let bytes = fs::read(&segment.path).expect("read");
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[place] ^= 1 << bit;
                fs::write(&segment.path, &altered).expect("written");
                let verdict = over(&[&dir]).verdict;
                assert_eq!(verdict, Verdict::Unknown, "bit {bit} of byte {place} of {:?}", segment.path);
                tried += 1;
            }
        }
        fs::write(&segment.path, [&bytes[..], &[0]].concat()).expect("written");
        assert_eq!(over(&[&dir]).verdict, Verdict::Unknown, "a byte behind the last");
        fs::write(&segment.path, bytes).expect("written");
    }
    assert!(tried > 2_000 && over(&[&dir]) == whole, "{tried} changes");
}
