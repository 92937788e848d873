//! Records of other builds: what commit b3c35b0 wrote, and what a build to come might.
//!
//! `fixtures/b3c35b0/` was written by that commit's own `openrtc`. One worker ran three times on one journal and one
//! trail: killed with a call open; drained by SIGTERM; drained by the API, extended, overdue and forced. The `.json`
//! files are what its `journal verify --json` and `audit verify --json` said of it, `certificate.jsonl` what it
//! certified.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{Caller, Worker, run, said};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// A file or directory that the old build left.
fn old(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/b3c35b0").join(name).to_str().unwrap().to_owned()
}

/// What the old build said.
fn told(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(old(name)).unwrap()).unwrap()
}

/// The segments in a directory, in order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some());
    found.sort();
    found
}

fn path(dir: &TempDir) -> &str {
    dir.path().to_str().unwrap()
}

#[test]
fn a_journal_of_format_1_tells_what_it_told_the_build_that_wrote_it() {
    let verified = run(&["journal", "verify", "--json", &old("journal")]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    let mut now: Value = serde_json::from_slice(&verified.stdout).unwrap();
    for run in now["runs"].as_array_mut().unwrap() {
        let run = run.as_object_mut().unwrap();
        assert_eq!(run.remove("newer"), Some(Value::Null), "what the old build did not know");
        assert_eq!(run.remove("standing"), Some(if run["outcome"].is_null() { "died" } else { "exited" }.into()));
    }
    assert_eq!(now, told("verify.json"));

    let shown = run(&["journal", "show", &old("journal")]);
    for says in ["says yes to call 2 (hung-up)", "says yes to call 10 (taken-by-the-kill)", "call 10 moves"] {
        assert!(said(&shown).contains(says), "{says} is missing in {}", said(&shown));
    }
}

#[test]
fn a_trail_and_a_certificate_of_then_hold_and_the_one_of_today_says_the_same_of_every_call() {
    let (file, journal, key) = (old("audit.jsonl"), old("journal"), old("release.key.pub"));
    let verified = run(&["audit", "verify", "--json", &file, "--journal", &journal, "--key", &key]);
    let mut now: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(now.as_object_mut().unwrap().remove("trail"), Some("voice/agent-1".into()), "what it did not say then");
    assert_eq!(now, told("audit-verify.json"));
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));

    let certificate = old("certificate.jsonl");
    let checked = run(&["certify", "check", &certificate, "--key", &key]);
    assert_eq!(checked.status.code(), Some(3), "calls were dropped: {}", said(&checked));
    assert!(said(&checked).contains("the signature holds"), "{}", said(&checked));
    let out = tempdir().unwrap();
    let out = out.path().join("issued.jsonl");
    let issued = run(&["certify", &journal, "--all", "--out", out.to_str().unwrap()]);
    assert_eq!(issued.status.code(), Some(3), "{}", said(&issued));
    let ledger = |file: &Path| -> Value {
        serde_json::from_str(fs::read_to_string(file).unwrap().lines().next().unwrap()).unwrap()
    };
    let (then, now) = (ledger(Path::new(&certificate)), ledger(&out));
    for sum in ["verdict", "promised", "ended", "dropped", "declined", "unknown"] {
        assert_eq!(now[sum], then[sum], "{sum}");
    }
    let calls = |ledger: &Value| -> Vec<_> {
        let calls = ledger["calls"].as_array().unwrap();
        calls.iter().map(|call| ["id", "began", "ended", "end"].map(|field| call[field].clone())).collect()
    };
    assert_eq!(calls(&now), calls(&then));
}

#[test]
fn a_worker_goes_on_with_a_journal_and_a_trail_of_then() {
    // As the old build left them when it was killed the first time.
    let first = segments(Path::new(&old("journal"))).remove(0);
    let journal = tempdir().unwrap();
    fs::copy(&first, journal.path().join(first.file_name().unwrap())).unwrap();
    let trail = tempdir().unwrap();
    let file = trail.path().join("audit.jsonl");
    let lost = r#""event":"worker.lost""#;
    let before = fs::read_to_string(old("audit.jsonl")).unwrap();
    let lines = before.lines().take_while(|line| !line.contains(lost)).map(|line| line.to_owned() + "\n");
    fs::write(&file, lines.collect::<String>()).unwrap();

    let file = file.to_str().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", path(&journal)), ("OPENRTC_AUDIT_FILE", file)]);
    Caller::call(worker.calls, "next").hang_up();
    worker.signal(Signal::TERM);
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("call lost in the crash of the run before") && log.contains("taken-by-the-kill"), "{log}");

    let verified = run(&["journal", "verify", path(&journal)]);
    assert_eq!(verified.status.code(), Some(0), "one follows the other: {}", said(&verified));
    assert_eq!(said(&verified).matches("\nrun ").count(), 2, "{}", said(&verified));
    let verified = run(&["audit", "verify", file, "--journal", path(&journal)]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    let now = fs::read_to_string(file).unwrap();
    assert!(now.contains(lost) && now.contains(r#""target":"call:taken-by-the-kill""#), "{now}");
}

#[test]
fn a_run_of_an_older_build_need_not_know_of_one_of_a_newer_format_before_it() {
    let dir = tempdir().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", path(&dir))]);
    let _taken = Caller::call(worker.calls, "taken");
    worker.signal(Signal::KILL);
    worker.end();
    // As if it had run before the old build did.
    let segment = segments(dir.path()).remove(0);
    fs::rename(&segment, dir.path().join(format!("{:020}-{:020}.orj", 1, 1))).unwrap();
    let rolled_back = segments(Path::new(&old("journal"))).remove(0);
    fs::copy(&rolled_back, dir.path().join(rolled_back.file_name().unwrap())).unwrap();

    let verified = run(&["journal", "verify", path(&dir)]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    for call in ["taken", "taken-by-the-kill"] {
        assert!(said(&verified).contains(&format!("open at the end: {call}\n")), "{}", said(&verified));
    }
}

/// A directory with the journal of one run, whose format byte says 3. Returns its only segment too, whose run is a day
/// ahead of the clock.
fn of_format_3() -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", path(&dir))]);
    let incarnation = worker.snapshot()["incarnation"].as_u64().unwrap();
    Caller::call(worker.calls, "of-tomorrow").hang_up();
    worker.signal(Signal::TERM);
    worker.end();
    let segment = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    assert_eq!(bytes[..8], *b"OpenRTC\x02");
    bytes[7] = 3;
    fs::remove_file(segment).unwrap();
    let newer = dir.path().join(format!("{:020}-{:020}.orj", incarnation + 86_400_000_000, 1));
    fs::write(&newer, bytes).unwrap();
    (dir, newer)
}

#[test]
fn a_worker_starts_beside_a_newer_journal_names_it_and_loses_nothing() {
    let (dir, newer) = of_format_3();
    let (name, bytes) = (newer.file_name().unwrap().to_str().unwrap(), fs::read(&newer).unwrap());
    let ahead: u64 = name[..20].parse().unwrap();
    let journal = ("OPENRTC_JOURNAL_DIR", path(&dir));
    let worker = Worker::start(&[journal]);
    assert_eq!(worker.snapshot()["incarnation"], ahead + 1, "later than every run there");
    Caller::call(worker.calls, "of-today").hang_up();
    worker.signal(Signal::TERM);
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    let warning = log.lines().find(|line| line.contains("a newer build wrote this journal segment"));
    assert!(warning.is_some_and(|line| line.contains(name)), "{log}");

    let verified = run(&["journal", "verify", path(&dir)]);
    assert_eq!(verified.status.code(), Some(1), "nobody can tell: {}", said(&verified));
    assert!(
        said(&verified).contains(&format!("newer: {name}: it was written by a newer build")),
        "{}",
        said(&verified)
    );
    assert!(said(&verified).contains("cannot be judged") && !said(&verified).contains("FAULT"), "{}", said(&verified));
    let shown = run(&["journal", "show", path(&dir)]);
    assert!(said(&shown).contains("(of-today)") && said(&shown).contains("format 3"), "{}", said(&shown));

    let out = tempdir().unwrap();
    let out = out.path().join("c.jsonl");
    let issued = run(&["certify", path(&dir), "--out", out.to_str().unwrap()]);
    assert_eq!(issued.status.code(), Some(0), "the run of today: {}", said(&issued));
    let issued = run(&["certify", path(&dir), "--all", "--out", out.to_str().unwrap()]);
    assert_eq!(issued.status.code(), Some(1), "{}", said(&issued));
    assert!(said(&issued).contains("UNKNOWN: ") && said(&issued).contains("by a newer build"), "{}", said(&issued));

    // However little room there is, the newer one is not what is deleted.
    let between = segments(dir.path()).remove(1);
    let worker = Worker::start(&[journal, ("OPENRTC_JOURNAL_MAX_BYTES", "1")]);
    (0..20).for_each(|number| Caller::call(worker.calls, &format!("call-{number}")).hang_up());
    while between.exists() {
        std::thread::yield_now();
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().0.code(), Some(0));
    assert_eq!((segments(dir.path()).remove(0), fs::read(&newer).unwrap()), (newer, bytes));
}
