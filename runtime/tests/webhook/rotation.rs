//! What becomes of the trail and of its webhook when the file is rotated, by us or by somebody else, and when the
//! collector finds a batch or a record too large.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use openrtc_core::audit::{Chain, Findings, verify};
use openrtc_records::trail::{TrailReader, Whose, parts};
use openrtc_runtime::{AgentPool, CallGuard, CallId, EndReason};
use tempfile::tempdir;

use super::collector::{DEAD, collect, collect_by, taken_to_the_end};
use super::{ALICE, build, builder, leave, metric, runtime, trail};

fn whose() -> Whose {
    Whose { deployment: "default".into(), worker: "w1".into() }
}

fn admit(pool: &AgentPool, id: &str) -> CallGuard {
    pool.admit(CallId::new(id).unwrap()).unwrap()
}

/// Twice as many records. A worker without a call would leave.
fn write(pool: &AgentPool, drains: usize) {
    for _ in 0..drains {
        pool.begin_drain(ALICE).unwrap();
        pool.cancel_drain(ALICE).unwrap();
    }
}

/// Waits until the trail has this record.
fn wait_for(dir: &Path, record: u64) {
    let mut reader = TrailReader::new(dir.join("audit.jsonl"), whose());
    while reader.read(record, 1).unwrap().is_none_or(|batch| batch.first != record) {
        thread::yield_now();
    }
}

/// The whole trail, from all its parts.
fn all(dir: &Path) -> Vec<u8> {
    let (mut reader, mut all, mut next) = (TrailReader::new(dir.join("audit.jsonl"), whose()), Vec::new(), 1);
    while let Some(batch) = reader.read(next, 1 << 20).unwrap() {
        all.extend(batch.lines);
        next = batch.last + 1;
    }
    all
}

fn assert_whole(text: &[u8]) -> Findings {
    let report = verify(text, Some(Chain::default()), &[]);
    assert!(report.faults.is_empty() && report.closed, "{report:?}\n{}", String::from_utf8_lossy(text));
    report
}

#[test]
fn a_trail_is_rotated_by_itself_and_goes_on_over_its_parts_and_over_runs() {
    let dir = tempdir().unwrap();
    let rotating = |collector| builder(dir.path(), collector).audit_max_bytes(4_096);
    let (collector, told) = collect(|_| Some(200));
    let runtime = runtime();
    let sending = runtime.block_on(async {
        let pool = rotating(collector).build().unwrap();
        let call = admit(&pool, "c");
        for round in 1..=10 {
            write(&pool, 5);
            // What is written at once goes to one file.
            wait_for(dir.path(), 1 + 10 * round);
        }
        call.end(EndReason::CallerHangup).await;
        leave(&pool).await;
        pool
    });
    let trail = all(dir.path());
    assert_eq!(taken_to_the_end(&told), trail);
    assert!(assert_whole(&trail).records > 100);
    let found = parts(&dir.path().join("audit.jsonl"), &whose()).unwrap();
    assert!(found.len() > 5, "{found:?}");
    for part in &found {
        assert!(fs::metadata(&part.path).unwrap().len() < 3 * 4_096, "{part:?}");
    }
    drop(sending);

    // The next run sends what is new, and nothing twice.
    let _sending = runtime.block_on(async {
        let pool = build(dir.path(), collector);
        leave(&pool).await;
        pool
    });
    let both = all(dir.path());
    assert!(both.starts_with(&trail));
    assert_eq!(taken_to_the_end(&told), both[trail.len()..]);
    let report = verify(&both, Some(Chain::default()), &[]);
    assert!(report.faults.is_empty() && report.closed, "{report:?}");
}

#[test]
fn what_could_not_be_sent_before_a_rotation_is_sent_by_the_next_run() {
    let dir = tempdir().unwrap();
    let runtime = runtime();
    runtime.block_on(async {
        let pool = builder(dir.path(), DEAD).audit_max_bytes(4_096).build().unwrap();
        let call = admit(&pool, "c");
        write(&pool, 50);
        call.end(EndReason::CallerHangup).await;
        leave(&pool).await;
    });
    let trail = all(dir.path());
    let (collector, told) = collect(|_| Some(200));
    let _sending = runtime.block_on(async {
        let pool = build(dir.path(), collector);
        leave(&pool).await;
        pool
    });
    let mut taken = taken_to_the_end(&told);
    while taken.len() < all(dir.path()).len() {
        taken.extend(taken_to_the_end(&told));
    }
    assert_eq!(taken, all(dir.path()));
    assert!(taken.starts_with(&trail) && taken.len() > trail.len());
}

/// By rename, by copy and truncate, and by removal, all to where nobody looks, while the collector is down. Once it is
/// back it gets every record in order. The trail on the disk goes on without a gap and says what was done to it.
#[test]
fn whoever_else_rotates_the_file_is_noticed_and_the_collector_misses_nothing() {
    type Rotate = fn(&Path, &Path);
    let rename: Rotate = |file, aside| fs::rename(file, aside).unwrap();
    let copy_and_truncate: Rotate = |file, aside| {
        fs::copy(file, aside).unwrap();
        fs::OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
    };
    let remove: Rotate = |file, aside| {
        fs::copy(file, aside).unwrap();
        fs::remove_file(file).unwrap();
    };
    for (rotate, reason) in [(rename, "renamed"), (copy_and_truncate, "truncated"), (remove, "renamed")] {
        let (dir, elsewhere) = (tempdir().unwrap(), tempdir().unwrap());
        let (file, aside) = (dir.path().join("audit.jsonl"), elsewhere.path().join("aside"));
        let back = Arc::new(AtomicBool::new(false));
        let is_back = Arc::clone(&back);
        let (collector, told) = collect(move |_| is_back.load(Ordering::SeqCst).then_some(200));
        let runtime = runtime();
        let pool = runtime.block_on(async {
            let pool = builder(dir.path(), collector).ops("127.0.0.1:0".parse().unwrap()).build().unwrap();
            let call = admit(&pool, "c");
            write(&pool, 5);
            wait_for(dir.path(), 11);
            rotate(&file, &aside);
            write(&pool, 5);
            while metric(&pool, "file_disturbed_total") == 0 {
                thread::yield_now();
            }
            back.store(true, Ordering::SeqCst);
            call.end(EndReason::CallerHangup).await;
            leave(&pool).await;
            pool
        });
        let taken = taken_to_the_end(&told);
        assert_whole(&taken);
        assert_eq!([fs::read(&aside).unwrap(), trail(dir.path())].concat(), taken, "{reason}");
        let told = String::from_utf8(trail(dir.path())).unwrap();
        assert!(told.contains("\"audit.disturbed\"") && told.contains(&format!("\"reason\":\"{reason}\"")), "{told}");
        drop(pool);
    }
}

/// Over a restart the copies that a log rotator leaves beside the file are enough.
#[test]
fn a_file_that_was_rotated_between_two_runs_is_continued_and_sent_from_its_copy() {
    for truncated in [false, true] {
        let dir = tempdir().unwrap();
        let (file, aside) = (dir.path().join("audit.jsonl"), dir.path().join("audit.jsonl.1"));
        runtime().block_on(async { leave(&build(dir.path(), DEAD)).await });
        if truncated {
            fs::copy(&file, &aside).unwrap();
            fs::write(&file, "").unwrap();
        } else {
            // It may not be done with its last record yet.
            while !String::from_utf8_lossy(&trail(dir.path())).contains("\"audit.closed\"") {
                thread::yield_now();
            }
            fs::rename(&file, &aside).unwrap();
        }
        let (collector, told) = collect(|_| Some(200));
        let _sending = runtime().block_on(async {
            let pool = build(dir.path(), collector);
            leave(&pool).await;
            pool
        });
        let both = [fs::read(&aside).unwrap(), trail(dir.path())].concat();
        let mut taken = taken_to_the_end(&told);
        while taken.len() < both.len() {
            taken.extend(told.recv().unwrap().1);
        }
        assert_eq!(taken, both);
        assert_whole(&both);
    }
}

#[test]
fn a_batch_that_is_too_large_is_halved_until_it_is_taken() {
    let dir = tempdir().unwrap();
    let (collector, told) = collect_by(|_, body| Some(if body.len() > 2_000 { 413 } else { 200 }));
    let _sending = runtime().block_on(async {
        let pool = build(dir.path(), collector);
        let call = admit(&pool, "c");
        write(&pool, 200);
        call.end(EndReason::CallerHangup).await;
        leave(&pool).await;
        pool
    });
    let taken = taken_to_the_end(&told);
    assert_whole(&taken);
    assert_eq!(taken, trail(dir.path()));
}

#[test]
fn a_record_that_is_too_large_is_passed_over_and_counted_and_the_others_arrive() {
    let dir = tempdir().unwrap();
    let (collector, told) = collect_by(|_, body| Some(if body.len() > 500 { 413 } else { 200 }));
    let pool = runtime().block_on(async {
        let pool = builder(dir.path(), collector).ops("127.0.0.1:0".parse().unwrap()).build().unwrap();
        let call = admit(&pool, "c");
        write(&pool, 5);
        admit(&pool, &"long".repeat(60)).end(EndReason::Failed).await;
        write(&pool, 5);
        while metric(&pool, "webhook_records_refused_total") == 0 {
            thread::yield_now();
        }
        assert_eq!(metric(&pool, "webhook_records_missing_total"), 0);
        call.end(EndReason::CallerHangup).await;
        leave(&pool).await;
        pool
    });
    let taken = taken_to_the_end(&told);
    let trail = String::from_utf8(trail(dir.path())).unwrap();
    assert_whole(trail.as_bytes());
    let others: String = trail.split_inclusive('\n').filter(|line| !line.contains("longlong")).collect();
    assert!(others.len() < trail.len());
    assert_eq!(String::from_utf8(taken).unwrap(), others);
    drop(pool);
}
