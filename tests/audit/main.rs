//! The audit trail of real workers: it says what the guide says it does, to whoever asks, and cannot be tampered with.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

mod siem;
mod stories;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::channel;
use std::thread;

use e2e::{keygen, run, said};
use openrtc_core::audit::EventName;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::tempdir;

const GUIDE: &str = include_str!("../../docs/audit-events.md");

fn records(trail: &Path) -> Vec<Value> {
    let text = fs::read_to_string(trail).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Each record as "event actor reason".
fn told(dir: &Path, worker: &str) -> Vec<String> {
    let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    let tell = |record: &Value| ["event", "actor", "reason"].map(|key| text(record, key)).join(" ");
    records(&dir.join(format!("{worker}.jsonl"))).iter().map(tell).collect()
}

fn verify(dir: &Path, trails: &[&str], journal: Option<&str>) -> Output {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let mut args = vec!["audit".into(), "verify".into(), "--key".into(), path("key.pub")];
    if let Some(journal) = journal {
        args.extend(["--journal".into(), path(journal)]);
    }
    args.extend(trails.iter().map(|trail| path(trail)));
    run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn every_event_of_the_guide_is_emitted_at_its_moment_and_no_other() {
    let dir = tempdir().unwrap();
    let trails = dir.path().join("trails");
    fs::create_dir(&trails).unwrap();
    stories::tell_all(&trails);

    let rows = GUIDE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).map(|(name, _)| name);
    let claimed: BTreeSet<_> = rows.filter(|name| name.contains('.')).collect();
    assert_eq!(claimed, EventName::ALL.iter().map(|event| event.as_str()).collect(), "the guide's table");
    let workers = ["quiet", "waiting", "unwanted", "operated", "killed", "gone", "failing", "busy", "rotated"];
    let seen: Vec<_> = workers.iter().flat_map(|worker| told(&trails, worker)).collect();
    let seen: BTreeSet<_> = seen.iter().filter_map(|record| record.split(' ').next()).collect();
    assert_eq!(seen, claimed, "what real workers emit");

    check_the_signal_path(&trails);
    check_the_api_path(&trails);
    for worker in workers {
        let verified = verify(&trails, &[&format!("{worker}.jsonl")], Some(worker));
        assert_eq!(verified.status.code(), Some(0), "{worker}: {}", said(&verified));
    }
    siem::check(&trails, GUIDE);
}

fn check_the_signal_path(dir: &Path) {
    let whole_life = [
        "deployment.started runtime serving",
        "deployment.drain_started SIGTERM signal",
        "worker.drained runtime empty",
        "deployment.completed runtime clean",
        "audit.closed runtime signed",
    ];
    assert_eq!(told(dir, "quiet"), whole_life);
    let lost =
        ["deployment.started runtime serving", "worker.lost runtime unclosed", "call.platform_forced runtime unclosed"];
    assert_eq!(told(dir, "killed"), [&lost[..], &whole_life].concat());
    assert_eq!(
        told(dir, "waiting")[..2],
        ["worker.stood_by runtime standby", "deployment.drain_started SIGTERM signal"]
    );
    assert_eq!(
        told(dir, "unwanted"),
        ["worker.stood_by runtime standby", "worker.rejected runtime membership", "audit.closed runtime signed"]
    );
}

fn check_the_api_path(dir: &Path) {
    let mut operated = told(dir, "operated");
    // Declines are counted once a second: their record may stand anywhere after the first drain began.
    operated.retain(|record| record != "call.declined runtime draining");
    // Which of the two came first is chance.
    operated[1..3].sort();
    assert_eq!(
        operated,
        [
            "deployment.started runtime serving",
            "call.lapsed runtime not_assigned",
            "call.stalled runtime silent",
            "deployment.drain_started alice api",
            "worker.drain_extended bob extended",
            "worker.drain_tightened dave wait",
            "deployment.rolled_back bob drain_cancelled",
            "deployment.drain_started alice api",
            "worker.drain_overdue runtime deadline",
            "worker.drain_sealed SIGTERM signal",
            "worker.drain_forced carol forced",
            "call.drain_forced carol drain_forced",
            "worker.drained runtime empty",
            "deployment.completed runtime forced",
            "audit.closed runtime signed",
        ]
    );
}

#[test]
fn every_sink_gets_the_same_trail() {
    let dir = tempdir().unwrap();
    keygen(&dir.path().join("key"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_audited"));
    let output = command.arg(dir.path()).envs(stories::settings(dir.path(), "failing")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let trail = fs::read_to_string(dir.path().join("failing.jsonl")).unwrap();
    assert!(trail.lines().count() >= 6 && trail.contains("call.failed") && trail.contains("audit.closed"), "{trail}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), trail, "standard output");
    assert_eq!(fs::read_to_string(dir.path().join("closure.jsonl")).unwrap(), trail, "the closure");
    let log = String::from_utf8(output.stderr).unwrap();
    let events: Vec<_> = log.lines().filter_map(|line| line.split_once("openrtc::audit: record=")).collect();
    let traced: Vec<_> = trail.lines().map(|record| format!("{record:?}")).collect();
    assert_eq!(events.iter().map(|(_, record)| *record).collect::<Vec<_>>(), traced, "tracing");
}

#[test]
fn a_collector_named_by_the_environment_is_sent_the_trail_if_need_be_by_the_next_run() {
    let dir = tempdir().unwrap();
    keygen(&dir.path().join("key"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/audit", listener.local_addr().unwrap());
    let (tell, told) = channel();
    let collect = move || while tell.send(take_batch(&listener)).is_ok() {};
    thread::Builder::new().spawn(collect).unwrap();

    let run = || stories::start(dir.path(), "sending", &[("OPENRTC_AUDIT_WEBHOOK", &url)]);
    let worker = run();
    let mut taken = told.recv().unwrap();
    worker.signal(Signal::TERM);
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    // A worker that leaves waits for half a second; what it cannot get rid of then is sent from here.
    let _next = run();
    while !taken.contains("audit.closed") {
        taken += &told.recv().unwrap();
    }
    // What was taken in the very moment of the exit may come twice.
    let trail = fs::read_to_string(dir.path().join("sending.jsonl")).unwrap();
    let mut lines: Vec<_> = taken.lines().collect();
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(*line));
    assert!(lines.len() >= 5 && trail.lines().zip(&lines).all(|(written, taken)| written == *taken), "{lines:#?}");
}

/// One batch as a collector gets it.
fn take_batch(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = BufReader::new(stream.try_clone().unwrap());
    let (mut length, mut line) = (0, String::new());
    while request.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    request.read_exact(&mut body).unwrap();
    write!(stream, "HTTP/1.1 204 taken\r\nConnection: close\r\n\r\n").unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn a_fault_is_located_by_file_line_and_record_across_files_runs_and_segments() {
    let dir = tempdir().unwrap();
    keygen(&dir.path().join("key"));
    stories::busy(dir.path());
    let segments = openrtc_records::segments(&dir.path().join("busy")).unwrap();
    assert!(segments.len() > 1, "the journal was rotated");
    let worker = stories::start(dir.path(), "busy", &[]);
    worker.signal(Signal::TERM);
    worker.end();
    let text = fs::read_to_string(dir.path().join("busy.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert_eq!(lines.iter().filter(|line| line.contains("audit.closed")).count(), 2, "two runs");

    let parts = ["part-1", "part-2", "part-3"];
    let write = |name: &str, lines: &[&str]| fs::write(dir.path().join(name), lines.concat()).unwrap();
    let split = |lines: &[&str]| {
        write("part-1", &lines[..400]);
        write("part-2", &lines[400..800]);
        write("part-3", &lines[800..]);
    };
    let faults = |says: &str| {
        let verified = verify(dir.path(), &parts, Some("busy"));
        assert_eq!(verified.status.code(), Some(1), "{says}: {}", said(&verified));
        assert!(said(&verified).contains(says), "{says}: {}", said(&verified));
    };
    split(&lines);
    let verified = verify(dir.path(), &parts, Some("busy"));
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    let signed = lines.iter().filter(|line| line.contains("\"signature\"")).count();
    assert!(said(&verified).contains(&format!("{signed} signatures hold and vouch for the first {}", lines.len())));

    let altered = lines[499].replace("alice", "alicf");
    split(&[&lines[..499], &[&altered], &lines[500..]].concat());
    faults("part-2, line 100, record 500: it was altered");
    // The last of one file: only the first of the next tells.
    let altered = lines[399].replace("alice", "alicf");
    split(&[&lines[..399], &[&altered], &lines[400..]].concat());
    faults("part-1, line 400, record 400: it was altered");
    write("part-1", &lines[..397]);
    write("part-2", &lines[400..800]);
    faults("part-2, line 1, record 401: 3 records from 398 on are missing before it");
    split(&[&lines[..599], &[lines[600], lines[599]], &lines[601..]].concat());
    faults("part-2, line 200, record 601: it was moved here from another place");
    split(&lines);
    fs::write(dir.path().join("part-1"), &lines[..400].concat()[..lines[..399].concat().len() + 40]).unwrap();
    faults("part-1, line 400, record 400: it is cut short");
    split(&lines);
    verify(dir.path(), &["part-2", "part-1"], None);
    let swapped = verify(dir.path(), &["part-2", "part-1", "part-3"], None);
    assert!(said(&swapped).contains("part-1, line 1, record 1: it was moved here"), "{}", said(&swapped));
}
