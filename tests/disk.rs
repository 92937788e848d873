//! A real disk that is full.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::{Caller, Worker, http, openrtc, said};
use openrtc_core::audit::{Chain, verify};
use rustix::process::Signal;
use tempfile::tempdir;

/// A worker whose directory `dir` is a disk of `kilobytes`, prepared by a shell command. The mount is in a namespace of
/// its own: nothing outside sees it, and it goes with the process.
fn on_a_disk(dir: &Path, kilobytes: u32, prepare: &str) -> Command {
    let (dir, openrtc) = (dir.display(), openrtc().display());
    let script = format!(
        "mount -t tmpfs -o size={kilobytes}k tmpfs {dir} && cd {dir} && {prepare} &&
         exec {openrtc} worker --json --deployment-version v1"
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .env("OPENRTC_JOURNAL_DIR", format!("{dir}/journal"));
    command
}

#[test]
fn a_journal_on_a_full_disk_is_refused_at_start() {
    let dir = tempdir().unwrap();
    let output = on_a_disk(dir.path(), 4, "head -c 4096 /dev/zero > fill").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("free space, or name another directory"), "{}", said(&output));
}

#[test]
fn a_disk_that_fills_up_costs_no_call_and_gets_no_litter() {
    let dir = tempdir().unwrap();
    let worker = Worker::spawn(on_a_disk(dir.path(), 8, "true"), &[]);
    let open = Caller::call(worker.calls, "open-throughout");
    let mut number = 0;
    while worker.snapshot()["journal"]["failing"] == false {
        Caller::call(worker.calls, &format!("call-{number}")).hang_up();
        number += 1;
    }
    for late in 0..20 {
        Caller::call(worker.calls, &format!("late-{late}")).hang_up();
    }
    let disk = format!("/proc/{}/root/{}/journal", worker.id(), dir.path().display());
    let files = fs::read_dir(disk).unwrap().map(|file| file.unwrap().path());
    let segments = files.filter(|file| file.extension().is_some_and(|extension| extension == "orj"));
    assert_eq!(segments.count(), 1, "the one that was there when the disk was full");
    worker.signal(Signal::TERM);
    open.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(log.matches("the journal cannot be written").count(), 1, "told once, not per call: {log}");
}

#[test]
fn an_audit_file_on_a_full_disk_stays_whole_and_has_no_gap_once_there_is_room() {
    let (dir, journal) = (tempdir().unwrap(), tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let settings =
        [("OPENRTC_JOURNAL_DIR", journal.path().to_str().unwrap()), ("OPENRTC_AUDIT_FILE", &path("audit.jsonl"))];
    let worker = Worker::spawn(on_a_disk(dir.path(), 64, "head -c 56k /dev/zero > fill"), &settings);
    let call = Caller::call(worker.calls, "witness");
    let disk = Path::new("/proc").join(worker.id().to_string()).join("root");
    let on_disk = |name: &str| disk.join(path(name).trim_start_matches('/'));
    let drain_and_cancel = || {
        for order in ["/drain", "/drain/cancel"] {
            assert!(http(worker.ops, "POST", order, "").contains("\"ok\":true"));
        }
    };
    let metric = |name: &str| {
        let page = http(worker.ops, "GET", "/metrics", "");
        let line = page.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let mut drains = 0;
    while metric("openrtc_audit_sink_errors_total") == 0 {
        drain_and_cancel();
        drains += 1;
    }
    // It may be trying again just now: then the last line is not whole yet, and will be taken back.
    let text = fs::read_to_string(on_disk("audit.jsonl")).unwrap();
    let (lines, _) = text.rsplit_once('\n').unwrap();
    let report = verify(format!("{lines}\n").as_bytes(), Some(Chain::default()), &[]);
    assert_eq!(report.faults, [], "no record is cut short: {text}");
    assert!(report.records < 1 + 2 * drains, "the disk is full");

    fs::remove_file(on_disk("fill")).unwrap();
    drain_and_cancel();
    while metric("openrtc_audit_head_seq") < 1 + 2 * (drains + 1) {
        std::thread::yield_now();
    }
    let report = verify(&fs::read(on_disk("audit.jsonl")).unwrap(), Some(Chain::default()), &[]);
    assert_eq!((report.faults.len(), report.records), (0, 1 + 2 * (drains + 1)));
    worker.signal(Signal::TERM);
    call.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    for once in ["the audit file cannot be written", "the audit file is written again"] {
        assert_eq!(log.matches(once).count(), 1, "{once}: {log}");
    }
}
