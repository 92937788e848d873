//! Certificates of real workers that serve, are killed, are torn down, and whose records somebody takes away.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs;
use std::path::Path;
use std::process::Output;

use e2e::{Caller, Worker, http, run, said};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

fn path(dir: &Path) -> &str {
    dir.to_str().unwrap()
}

/// Certifies journals; returns what was said, and the ledger.
fn certify(journals: &[&Path], more: &[&str]) -> (Output, Value) {
    let out = tempdir().unwrap();
    let file = out.path().join("certificate.jsonl");
    let mut args = vec!["certify", "--out", path(&file)];
    args.extend(more);
    args.extend(journals.iter().map(|journal| path(journal)));
    let issued = run(&args);
    let checked = run(&["certify", "check", path(&file)]);
    assert_eq!(checked.status.code(), issued.status.code(), "{}{}", said(&issued), said(&checked));
    let text = fs::read_to_string(file).unwrap();
    (issued, serde_json::from_str(text.lines().next().unwrap()).unwrap())
}

/// The only segment in a directory.
fn segment(dir: &Path) -> std::path::PathBuf {
    let mut files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "orj")).unwrap()
}

fn serve() -> (TempDir, Worker) {
    let dir = tempdir().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", path(dir.path()))]);
    (dir, worker)
}

#[test]
fn a_worker_that_serves_is_open_and_proven_once_it_has_left() {
    let (dir, worker) = serve();
    let (issued, certificate) = certify(&[dir.path()], &[]);
    assert_eq!((issued.status.code(), &certificate["verdict"]), (Some(1), &"open".into()), "{}", said(&issued));
    let calls: Vec<_> = (0..5).map(|call| Caller::call(worker.calls, &format!("call-{call}"))).collect();
    let (issued, certificate) = certify(&[dir.path()], &[]);
    assert!(said(&issued).contains("OPEN") && said(&issued).contains("is still running"), "{}", said(&issued));
    assert_eq!((&certificate["open"], &certificate["dropped"]), (&5.into(), &0.into()));
    calls.into_iter().for_each(Caller::hang_up);
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().0.code(), Some(0));
    let (issued, certificate) = certify(&[dir.path()], &[]);
    assert_eq!((issued.status.code(), &certificate["ended"]), (Some(0), &5.into()), "{}", said(&issued));
}

#[test]
fn a_rollout_is_proven_while_the_old_worker_is_parked_and_the_new_one_serves_on() {
    let old_dir = tempdir().unwrap();
    let parked = [("OPENRTC_JOURNAL_DIR", path(old_dir.path())), ("OPENRTC_LEAVE", "parked")];
    let old = Worker::start(&parked);
    let call = Caller::call(old.calls, "old");
    let (new_dir, new) = serve_version("v2");
    let up = Caller::call(new.calls, "up");
    assert!(http(old.ops, "POST", "/drain", "").contains("\"ok\":true"));
    call.hang_up();
    old.wait_until(|snapshot| snapshot["phase"] == "drained");
    let (issued, first) = certify(&[old_dir.path(), new_dir.path()], &[]);
    assert_eq!((issued.status.code(), &first["in_progress"]), (Some(0), &1.into()), "{}", said(&issued));
    assert_eq!(first["calls"][1]["end"], "in_progress");
    // Later: that call has ended, and the new worker has another one.
    up.hang_up();
    let _later = Caller::call(new.calls, "later");
    let (_, second) = certify(&[old_dir.path(), new_dir.path()], &[]);
    assert_eq!(second, first);
}

fn serve_version(version: &str) -> (TempDir, Worker) {
    let dir = tempdir().unwrap();
    let mut command = std::process::Command::new(e2e::openrtc());
    command.args(["worker", "--json", "--deployment-version", version]);
    let worker = Worker::spawn(command, &[("OPENRTC_JOURNAL_DIR", path(dir.path()))]);
    (dir, worker)
}

#[test]
fn a_directory_that_is_deleted_under_a_worker_is_noticed_and_written_anew() {
    let dir = tempdir().unwrap();
    let journal = dir.path().join("journal");
    let mut worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", path(&journal))]);
    Caller::call(worker.calls, "ended-before").hang_up();
    let open = Caller::call(worker.calls, "open-throughout");
    fs::remove_dir_all(&journal).unwrap();
    worker.wait_for_log("it is created anew");
    Caller::call(worker.calls, "after").hang_up();
    open.hang_up();
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().0.code(), Some(0));
    let (issued, certificate) = certify(&[&journal], &[]);
    assert_eq!((issued.status.code(), &certificate["ended"]), (Some(0), &3.into()), "{}", said(&issued));
}

#[test]
fn a_directory_that_is_deleted_just_before_the_exit_has_all_of_it_afterwards() {
    let (dir, worker) = serve();
    let journal = dir.path();
    Caller::call(worker.calls, "before").hang_up();
    fs::remove_file(segment(journal)).unwrap();
    worker.signal(Signal::TERM);
    let (status, log) = worker.end();
    assert!(status.code() == Some(0) && log.contains("it is written anew"), "{log}");
    let (issued, certificate) = certify(&[journal], &[]);
    assert_eq!((issued.status.code(), &certificate["ended"]), (Some(0), &1.into()), "{}", said(&issued));
}

#[test]
fn a_segment_that_was_emptied_is_named() {
    let (dir, worker) = serve();
    worker.signal(Signal::TERM);
    worker.end();
    let segment = segment(dir.path());
    fs::write(&segment, "").unwrap();
    let verified = run(&["journal", "verify", path(dir.path())]);
    assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(said(&verified).contains(&format!("FAULT: {name}: it was emptied")), "{}", said(&verified));
    let (issued, _) = certify(&[dir.path()], &[]);
    assert!(issued.status.code() == Some(1) && said(&issued).contains("UNKNOWN"), "{}", said(&issued));
}

#[test]
fn one_old_crash_is_not_in_every_later_certificate_and_a_page_takes_nobodys_place() {
    let (dir, worker) = serve();
    let _taken = Caller::call(worker.calls, "taken");
    worker.signal(Signal::KILL);
    worker.end();
    let (issued, _) = certify(&[dir.path()], &[]);
    assert!(issued.status.code() == Some(3) && said(&issued).contains("dropped: taken on"), "{}", said(&issued));
    let next = Worker::start(&[("OPENRTC_JOURNAL_DIR", path(dir.path()))]);
    next.signal(Signal::TERM);
    next.end();
    let (issued, _) = certify(&[dir.path(), dir.path()], &[]);
    assert_eq!(issued.status.code(), Some(0), "the last run: {}", said(&issued));
    let (issued, certificate) = certify(&[dir.path()], &["--all"]);
    assert_eq!((issued.status.code(), &certificate["promised"]), (Some(3), &1.into()), "{}", said(&issued));

    let out = dir.path().join("x.HTML");
    let refused = run(&["certify", "--out", path(&out), path(dir.path())]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("what the page would be called") && !out.exists(), "{}", said(&refused));
}

#[test]
fn every_changed_bit_of_a_closed_journal_of_the_first_format_is_found() {
    let then = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/b3c35b0/journal");
    let dir = tempdir().unwrap();
    // The second run, which drained and left: the only one here.
    let mut runs: Vec<_> = fs::read_dir(then).unwrap().map(|file| file.unwrap().path()).collect();
    runs.retain(|path| path.extension().is_some());
    runs.sort();
    let file = dir.path().join(runs[1].file_name().unwrap());
    let bytes = fs::read(&runs[1]).unwrap();
    let read = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let segment = openrtc_records::segments(dir.path()).unwrap().remove(0);
        segment.replay::<openrtc_core::worker::Worker>(|_, _, _| {})
    };
    let whole = read(&bytes).unwrap();
    assert!(whole.torn.is_none() && whole.state.outcome().is_some(), "it is closed");
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[place] ^= 1 << bit;
            let fault = match read(&altered) {
                Ok(replay) => replay.torn.map(|torn| torn.fault),
                Err(_) => continue,
            };
            // What a crash leaves is cut short, and is no fault: nothing that was altered may look like it.
            let told = fault.is_some_and(|fault| fault != openrtc_core::journal::TornFault::Short);
            assert!(told, "bit {bit} of byte {place}: {fault:?}");
        }
    }
}
