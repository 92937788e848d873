//! What can happen to a worker, with real processes: each story leaves a journal and an audit trail.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::registrar::{Registrar, url};
use e2e::{Caller, Worker, http, keygen, kind, openrtc, run, said};
use rustix::process::Signal;

/// Tells every story in `dir`: the journal of worker `w` is in `w`, its trail in `w.jsonl`.
pub(crate) fn tell_all(dir: &Path) {
    keygen(&dir.join("key"));
    quiet(dir);
    waiting(dir);
    unwanted(dir);
    operated(dir);
    killed(dir);
    gone(dir);
    failing(dir);
    busy(dir);
    rotated(dir);
}

/// SIGTERM with a call in flight, which ends in its own time.
pub(crate) fn quiet(dir: &Path) {
    let worker = start(dir, "quiet", &[]);
    let mut call = Caller::call(worker.calls, "patient");
    call.talk(0);
    worker.signal(Signal::TERM);
    worker.wait_until(|snapshot| snapshot["draining"] == true);
    call.hang_up();
    leave(worker, 0);
}

/// A worker that was never promoted.
fn waiting(dir: &Path) {
    let worker = start(dir, "waiting", &[("OPENRTC_START", "standby")]);
    worker.signal(Signal::TERM);
    leave(worker, 0);
}

/// A worker of a version that the manifest does not list.
fn unwanted(dir: &Path) {
    let registrar = Registrar::new(&dir.join("key.pub"), "voice", "v2", 1);
    let url = url(registrar.serve("127.0.0.1:0".parse().unwrap()));
    let output = Command::new(openrtc())
        .args(["worker", "--deployment-version", "v1"])
        .envs(settings(dir, "unwanted"))
        .env("OPENRTC_REGISTER_URL", url)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
}

/// People at work: drained, extended, tightened, taken back, drained again, overdue, made final by a signal, forced.
fn operated(dir: &Path) {
    let worker = start(dir, "operated", &[("OPENRTC_STALL_AFTER", "100ms"), ("OPENRTC_RESERVATION_TTL", "100ms")]);
    let mut silent = Caller::call(worker.calls, "silent");
    let (_unassigned, answer) = Caller::offer(worker.calls, "unassigned");
    assert_eq!(answer, kind::ACCEPT);
    await_event(dir, "operated", "call.stalled");
    await_event(dir, "operated", "call.lapsed");
    order(&worker, &["--actor", "alice", "--deadline", "1h"]);
    assert_eq!(Caller::offer(worker.calls, "late").1, kind::DECLINE);
    order(&worker, &["--actor", "bob", "--extend", "2h"]);
    order(&worker, &["--actor", "dave", "--deadline", "30m"]);
    order(&worker, &["--actor", "bob", "--cancel"]);
    order(&worker, &["--actor", "alice", "--deadline", "1s", "--on-deadline", "alert"]);
    await_event(dir, "operated", "worker.drain_overdue");
    worker.signal(Signal::TERM);
    await_event(dir, "operated", "worker.drain_sealed");
    order(&worker, &["--actor", "carol", "--force"]);
    assert_eq!(silent.receive().expect("a last message").0, kind::CUT);
    drop(silent);
    leave(worker, 3);
}

/// SIGKILL in the middle of a call, and a run after it.
pub(crate) fn killed(dir: &Path) {
    let worker = start(dir, "killed", &[]);
    let _taken = Caller::call(worker.calls, "taken");
    worker.signal(Signal::KILL);
    worker.end();
    let worker = start(dir, "killed", &[]);
    worker.signal(Signal::TERM);
    leave(worker, 0);
}

/// SIGKILL, and no run after it.
fn gone(dir: &Path) {
    let worker = start(dir, "gone", &[]);
    await_event(dir, "gone", "deployment.started");
    worker.signal(Signal::KILL);
    worker.end();
}

/// A call whose handler fails.
fn failing(dir: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_audited"))
        .arg(dir.join(".."))
        .envs(settings(dir, "failing"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

/// So many orders that a checkpoint is due; the journal rotates meanwhile.
pub(crate) fn busy(dir: &Path) {
    let worker = start(dir, "busy", &[("OPENRTC_JOURNAL_MAX_BYTES", "131072")]);
    let call = Caller::call(worker.calls, "witness");
    for _ in 0..500 {
        for path in ["/drain", "/drain/cancel"] {
            let answer = http(worker.ops, "POST", path, r#"{"actor":"alice"}"#);
            assert!(answer.contains("\"ok\":true"), "{answer}");
        }
    }
    await_event(dir, "busy", "audit.checkpoint");
    worker.signal(Signal::TERM);
    worker.wait_until(|snapshot| snapshot["draining"] == true);
    call.hang_up();
    leave(worker, 0);
}

/// A log rotator moves the file away while the worker writes it.
fn rotated(dir: &Path) {
    let worker = start(dir, "rotated", &[]);
    let mut call = Caller::call(worker.calls, "witness");
    // It echoes, so it has begun: a call that is only promised is not in the count.
    call.talk(0);
    await_event(dir, "rotated", "deployment.started");
    fs::rename(dir.join("rotated.jsonl"), dir.join("rotated.jsonl.1")).unwrap();
    worker.signal(Signal::TERM);
    await_event(dir, "rotated", "audit.disturbed");
    call.hang_up();
    leave(worker, 0);
}

/// What every worker of the stories is told.
pub(crate) fn settings(dir: &Path, worker: &str) -> Vec<(&'static str, String)> {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    vec![
        ("OPENRTC_DEPLOYMENT", "voice".into()),
        ("OPENRTC_WORKER", worker.into()),
        ("OPENRTC_JOURNAL_DIR", path(worker)),
        ("OPENRTC_AUDIT_FILE", path(&format!("{worker}.jsonl"))),
        ("OPENRTC_SIGNING_KEY_FILE", path("key")),
    ]
}

pub(crate) fn start(dir: &Path, worker: &str, more: &[(&str, &str)]) -> Worker {
    let settings = settings(dir, worker);
    let settings: Vec<_> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect();
    Worker::start(&settings)
}

fn order(worker: &Worker, args: &[&str]) {
    let url = worker.ops.to_string();
    let ordered = run(&[&["drain", url.as_str()], args].concat());
    assert!(ordered.status.success(), "{args:?}: {}", said(&ordered));
}

/// Waits until the trail says so.
fn await_event(dir: &Path, worker: &str, event: &str) {
    let trail = dir.join(format!("{worker}.jsonl"));
    while !fs::read_to_string(&trail).unwrap_or_default().contains(&format!("\"{event}\"")) {
        std::thread::yield_now();
    }
}

fn leave(worker: Worker, code: i32) {
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(code), "{log}");
}
