//! The audit trail on a real disk: complete whatever its sinks do, continued by the next run.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use openrtc_core::audit::{Chain, Findings, verify};
use openrtc_records::trail::TrailError;
use openrtc_runtime::journal::JournalError;
use openrtc_runtime::{Actor, AgentPool, AgentPoolBuilder, CallId, Control, EndReason, StartError};
use serde_json::Value;
use tempfile::tempdir;
use tokio::runtime::{Builder, Runtime};

const ALICE: Actor = Actor::from_static("alice");

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn builder(dir: &Path) -> AgentPoolBuilder {
    AgentPool::builder()
        .deployment_version("v1")
        .worker("w1")
        .control(Control::Shared)
        .journal_dir(dir.join("journal"))
        .audit_file(dir.join("audit.jsonl"))
}

fn build(dir: &Path) -> AgentPool {
    loop {
        match builder(dir).build() {
            // The run before is over, but its threads have not given up their locks yet.
            Err(StartError::Journal(JournalError::InUse { .. }) | StartError::Trail(TrailError::InUse { .. })) => {
                thread::yield_now();
            }
            built => return built.unwrap(),
        }
    }
}

fn call(pool: &AgentPool, id: &str) -> openrtc_runtime::CallGuard {
    pool.admit(CallId::new(id).unwrap()).unwrap()
}

async fn leave(pool: &AgentPool) {
    pool.begin_drain(ALICE).unwrap();
    pool.exited().await;
}

fn trail(dir: &Path) -> (Findings, Vec<String>) {
    let text = fs::read(dir.join("audit.jsonl")).unwrap();
    let report = verify(&text, Some(Chain::default()), &[]);
    assert_eq!(report.faults, [], "{}", String::from_utf8_lossy(&text));
    let events = text.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let record: Value = serde_json::from_slice(line).unwrap();
        format!("{} {}", record["event"].as_str().unwrap(), record["target"].as_str().unwrap())
    });
    (report, events.collect())
}

#[test]
fn a_run_leaves_a_closed_trail_and_the_next_one_continues_it() {
    let dir = tempdir().unwrap();
    for run in 1..=2 {
        runtime().block_on(async {
            let pool = build(dir.path());
            call(&pool, "c").end(EndReason::CallerHangup).await;
            leave(&pool).await;
        });
        let (report, events) = trail(dir.path());
        assert!(report.closed);
        let once = [
            "deployment.started worker",
            "deployment.drain_started worker",
            "worker.drained worker",
            "deployment.completed worker",
            "audit.closed trail",
        ];
        assert_eq!(events, once.repeat(run));
    }
}

#[test]
fn a_crash_is_recorded_by_the_next_run_with_every_call_it_took() {
    let dir = tempdir().unwrap();
    runtime().block_on(async {
        let pool = build(dir.path());
        let taken = call(&pool, "taken");
        taken.recorded().await;
        std::mem::forget(taken);
    });
    runtime().block_on(async {
        let pool = build(dir.path());
        leave(&pool).await;
    });
    let (report, events) = trail(dir.path());
    assert!(report.closed);
    assert_eq!(
        events[..4],
        [
            "deployment.started worker",
            "worker.lost worker",
            "call.platform_forced call:taken",
            "deployment.started worker",
        ]
    );
}

#[test]
fn what_a_file_lost_is_derived_again_from_the_journal_byte_for_byte() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("audit.jsonl");
    runtime().block_on(async {
        let pool = build(dir.path());
        leave(&pool).await;
    });
    let whole = fs::read_to_string(&file).unwrap();
    let derived: Vec<&str> = whole.lines().filter(|line| !line.contains("audit.closed")).collect();
    for kept in 0..derived.len() {
        // A crash cut the file after some records and in the middle of the next.
        let cut = [&derived[..kept], &[&derived[kept][..20]]].concat().join("\n");
        fs::write(&file, cut).unwrap();
        runtime().block_on(async { drop(build(dir.path())) });
        // Whatever the run does, its file starts with what was there and what the journal knew.
        let again = loop {
            let text = fs::read_to_string(&file).unwrap();
            if text.lines().count() >= derived.len() {
                break text;
            }
            thread::yield_now();
        };
        assert_eq!(again.lines().take(derived.len()).collect::<Vec<_>>(), derived, "kept {kept}");
    }
}

#[test]
fn a_failing_sink_and_a_stuck_one_delay_no_call_and_no_drain() {
    let dir = tempdir().unwrap();
    let (release, held): (_, Receiver<()>) = channel();
    runtime().block_on(async {
        let pool = builder(dir.path())
            .audit_sink(|_: &[u8]| Err(io::Error::other("the collector is down")))
            .audit_sink(move |_: &[u8]| held.recv().map_err(io::Error::other))
            .build()
            .unwrap();
        for n in 0..1_000 {
            call(&pool, &format!("c{n}")).end(EndReason::CallerHangup).await;
        }
        leave(&pool).await;
    });
    drop(release);
    // Released, the stuck sink fails at once, and the auditor catches up.
    let closed = loop {
        let text = fs::read(dir.path().join("audit.jsonl")).unwrap();
        let report = verify(&text, Some(Chain::default()), &[]);
        if report.closed {
            break report;
        }
        thread::yield_now();
    };
    assert_eq!(closed.faults, []);
}

#[test]
fn settings_that_cannot_work_are_refused_with_the_fix() {
    let dir = tempdir().unwrap();
    let other = dir.path().join("other");
    fs::write(&other, "not a trail\n").unwrap();
    runtime().block_on(async {
        let without = AgentPool::builder().deployment_version("v1").audit_sink(|_: &[u8]| Ok(()));
        let refused = |builder: AgentPoolBuilder| builder.build().unwrap_err().to_string();
        assert!(refused(without).contains("set OPENRTC_JOURNAL_DIR too"));
        let error = refused(builder(dir.path()).audit_file(other));
        assert!(error.contains("does not end in an audit record"), "{error}");
        let shared = tempdir().unwrap();
        let trail = shared.path().join("audit.jsonl");
        let _writer = builder(shared.path()).build().unwrap();
        let second = tempdir().unwrap();
        let error = refused(builder(second.path()).audit_file(trail));
        assert!(error.contains("give each worker a file of its own"), "{error}");
        let another = tempdir().unwrap();
        let error = refused(builder(another.path()).audit_file(another.path().to_owned()));
        assert!(error.contains("Is a directory"), "{error}");
    });
}
