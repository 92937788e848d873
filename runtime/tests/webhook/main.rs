//! The audit webhook against a real HTTP server: every record arrives, once it can, in order, and nobody waits for it.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

mod collector;
mod rotation;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use openrtc_records::trail::TrailError;
use openrtc_runtime::journal::JournalError;
use openrtc_runtime::{Actor, AgentPool, AgentPoolBuilder, CallId, Control, EndReason, StartError};
use tempfile::tempdir;
use tokio::runtime::{Builder, Runtime};

use self::collector::{BATCH, DEAD, collect, taken};

const ALICE: Actor = Actor::from_static("alice");

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn builder(dir: &Path, collector: SocketAddr) -> AgentPoolBuilder {
    AgentPool::builder()
        .deployment_version("v1")
        .worker("w1")
        .signals(false)
        .control(Control::Shared)
        .journal_dir(dir.join("journal"))
        .audit_file(dir.join("audit.jsonl"))
        .audit_webhook(format!("http://{collector}/audit"))
}

fn build(dir: &Path, collector: SocketAddr) -> AgentPool {
    loop {
        match builder(dir, collector).build() {
            // The run before is over, but its threads have not given up their locks yet.
            Err(StartError::Journal(JournalError::InUse { .. }) | StartError::Trail(TrailError::InUse { .. })) => {
                thread::yield_now();
            }
            built => return built.unwrap(),
        }
    }
}

async fn leave(pool: &AgentPool) {
    pool.begin_drain(ALICE).unwrap();
    pool.exited().await;
}

/// A whole run with one call. It goes on sending until it is dropped.
#[must_use]
fn run(dir: &Path, collector: SocketAddr) -> AgentPool {
    runtime().block_on(async {
        let pool = build(dir, collector);
        pool.admit(CallId::from_static("c")).unwrap().end(EndReason::CallerHangup).await;
        leave(&pool).await;
        pool
    })
}

fn trail(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("audit.jsonl")).unwrap()
}

/// What the metrics say of the trail at one moment.
struct Health {
    head: u64,
    failing: u64,
    behind: u64,
}

fn health(pool: &AgentPool) -> Health {
    let metric = |name| metric(pool, name);
    Health { head: metric("head_seq"), failing: metric("webhook_failing"), behind: metric("webhook_records_behind") }
}

/// A metric of the trail.
fn metric(pool: &AgentPool, name: &str) -> u64 {
    let mut stream = TcpStream::connect(pool.ops_addr().unwrap()).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("openrtc_audit_{name}{{"))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits until the metrics say so.
fn wait_until(pool: &AgentPool, reached: impl Fn(&Health) -> bool) {
    while !reached(&health(pool)) {
        thread::yield_now();
    }
}

#[test]
fn the_collector_gets_the_whole_trail_as_it_is() {
    let dir = tempdir().unwrap();
    let (collector, told) = collect(|_| Some(200));
    let _sending = run(dir.path(), collector);
    let trail = trail(dir.path());
    assert!(trail.ends_with(b"\n") && String::from_utf8_lossy(&trail).contains("audit.closed"));
    assert_eq!(taken(&told, &trail), trail);
}

#[test]
fn what_a_collector_did_not_take_it_is_sent_again_before_anything_else() {
    let dir = tempdir().unwrap();
    let (collector, told) = collect(|number| Some(*[500, 404, 302].get(number).unwrap_or(&200)));
    let _sending = run(dir.path(), collector);
    let trail = trail(dir.path());
    for _ in 0..3 {
        let (status, refused) = told.recv().unwrap();
        assert!(status != 200 && trail.starts_with(&refused));
    }
    assert_eq!(taken(&told, &trail), trail);
}

#[test]
fn a_dead_collector_is_seen_in_the_metrics_and_the_gap_is_filled_when_it_is_back() {
    let dir = tempdir().unwrap();
    let back = Arc::new(AtomicBool::new(false));
    let is_back = Arc::clone(&back);
    let (collector, told) = collect(move |_| is_back.load(Ordering::SeqCst).then_some(200));
    let runtime = runtime();
    let (pool, call) = runtime.block_on(async {
        let ops = "127.0.0.1:0".parse().unwrap();
        let pool = builder(dir.path(), collector).ops(ops).build().unwrap();
        // A worker without a call would leave as soon as a drain begins.
        let call = pool.admit(CallId::from_static("c")).unwrap();
        for _ in 0..600 {
            pool.begin_drain(ALICE).unwrap();
            pool.cancel_drain(ALICE).unwrap();
        }
        (pool, call)
    });
    wait_until(&pool, |health| health.failing == 1 && health.head > 1_200 && health.behind == health.head);
    back.store(true, Ordering::SeqCst);
    wait_until(&pool, |health| health.failing == 0 && health.behind == 0);
    let trail = trail(dir.path());
    assert!(trail.len() > BATCH, "more than one batch");
    assert_eq!(taken(&told, &trail), trail);
    drop(call);
    runtime.block_on(leave(&pool));
}

#[test]
fn what_one_run_could_not_send_the_next_one_does_and_nothing_twice() {
    let dir = tempdir().unwrap();
    drop(run(dir.path(), DEAD));
    let (collector, told) = collect(|_| Some(200));
    let sending = run(dir.path(), collector);
    let both = trail(dir.path());
    assert_eq!(taken(&told, &both), both);
    drop(sending);
    let _sending = run(dir.path(), collector);
    let all = trail(dir.path());
    assert_eq!(taken(&told, &all[both.len()..]), all[both.len()..]);
}

#[test]
fn a_new_trail_is_sent_from_its_beginning() {
    let dir = tempdir().unwrap();
    let (collector, told) = collect(|_| Some(200));
    let sending = run(dir.path(), collector);
    taken(&told, &trail(dir.path()));
    drop(sending);
    fs::rename(dir.path().join("audit.jsonl"), dir.path().join("audit-1.jsonl")).unwrap();
    let _sending = run(dir.path(), collector);
    let fresh = trail(dir.path());
    assert_eq!(taken(&told, &fresh), fresh);
}

#[test]
fn a_collector_that_does_not_answer_delays_no_call_and_no_drain() {
    let dir = tempdir().unwrap();
    let (release, held) = channel::<()>();
    // Holds every request until it is released, which is after the worker has left.
    let (collector, told) = collect(move |_| {
        let _ = held.recv();
        Some(200)
    });
    let runtime = runtime();
    let _sending = runtime.block_on(async {
        let pool = build(dir.path(), collector);
        for number in 0..1_000 {
            let call = pool.admit(CallId::new(&format!("c{number}")).unwrap()).unwrap();
            call.end(EndReason::CallerHangup).await;
        }
        leave(&pool).await;
        pool
    });
    assert!(told.try_recv().is_err(), "the worker has left before anything was answered");
    drop(release);
    let trail = trail(dir.path());
    let lines: Vec<_> = trail.split_inclusive(|byte| *byte == b'\n').collect();
    let mut arrived = Vec::new();
    while !arrived.ends_with(lines[lines.len() - 1]) {
        arrived.extend(told.recv().unwrap().1);
    }
    // The first request may have been given up and made again.
    assert!(lines.iter().all(|line| arrived.windows(line.len()).any(|window| window == *line)));
}

#[test]
fn a_webhook_that_cannot_work_is_refused_at_start_with_the_fix() {
    let dir = tempdir().unwrap();
    runtime().block_on(async {
        for (url, says) in [
            ("ftp://siem.example/audit", "is not a URL like"),
            ("http://me:hunter2@siem.example/", "leave out everything up to the @"),
            ("siem.example:80", "is not a URL like"),
        ] {
            let error = builder(dir.path(), DEAD).audit_webhook(url.into()).build().unwrap_err().to_string();
            assert!(error.starts_with("OPENRTC_AUDIT_WEBHOOK: "), "{error}");
            assert!(error.contains(says) && !error.contains("hunter2"), "{error:?} should say {says:?}");
        }
        let without = AgentPool::builder().deployment_version("v1").audit_webhook("http://127.0.0.1:1/".into());
        assert!(without.build().unwrap_err().to_string().contains("set OPENRTC_AUDIT_FILE too"));
    });
}
