//! The journal on a real disk: what survives, what is refused.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use openrtc_core::worker::{Outcome, Worker};
use openrtc_records::segments;
use openrtc_runtime::journal::{JournalConfig, Sync};
use openrtc_runtime::{Actor, AgentPool, AgentPoolBuilder, CallId, Control, EndReason, StartError};
use tempfile::tempdir;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn builder(dir: &Path) -> AgentPoolBuilder {
    AgentPool::builder().deployment_version("v1").worker("w1").journal_dir(dir.to_owned()).control(Control::Shared)
}

/// A runtime that is dropped is a process that crashed, but for the lock, which the journal's thread gives up a moment
/// later.
fn build_after_crash(dir: &Path) -> AgentPool {
    loop {
        match builder(dir).build() {
            Err(StartError::Journal(openrtc_runtime::journal::JournalError::InUse { .. })) => std::thread::yield_now(),
            built => return built.unwrap(),
        }
    }
}

#[test]
fn a_crash_is_told_by_name_at_the_next_start() {
    let dir = tempdir().unwrap();
    runtime().block_on(async {
        let pool = builder(dir.path()).build().unwrap();
        let kept = pool.admit(CallId::new("taken-by-the-crash").unwrap()).unwrap();
        let ended = pool.admit(CallId::new("ended-before").unwrap()).unwrap();
        kept.recorded().await;
        ended.end(EndReason::CallerHangup).await;
        std::mem::forget(kept);
    });
    runtime().block_on(async {
        let pool = build_after_crash(dir.path());
        let recovered = pool.recovered().expect("a run before this one");
        let predecessor = recovered.predecessor.expect("its journal can be read");
        assert!(!predecessor.exited);
        assert_eq!(recovered.lost_calls, [CallId::new("taken-by-the-crash").unwrap()]);
        assert!(pool.identity().incarnation > predecessor.incarnation);
    });
}

#[test]
fn a_start_that_got_nowhere_hides_no_crash_before_it() {
    let dir = tempdir().unwrap();
    runtime().block_on(async {
        let pool = builder(dir.path()).build().unwrap();
        let taken = pool.admit(CallId::new("taken-by-the-crash").unwrap()).unwrap();
        taken.recorded().await;
        std::mem::forget(taken);
    });
    // Its control loop never gets a turn, so its segment has no entry.
    runtime().block_on(async { drop(build_after_crash(dir.path())) });
    assert_eq!(segments(dir.path()).unwrap().len(), 2);
    runtime().block_on(async {
        let pool = build_after_crash(dir.path());
        let recovered = pool.recovered().expect("the run before the last");
        assert_eq!(recovered.lost_calls, [CallId::new("taken-by-the-crash").unwrap()]);
    });
}

#[test]
fn a_clean_exit_leaves_a_closed_journal() {
    let dir = tempdir().unwrap();
    runtime().block_on(async {
        let pool = builder(dir.path()).build().unwrap();
        pool.admit(CallId::new("only").unwrap()).unwrap().end(EndReason::CallerHangup).await;
        pool.begin_drain(const { Actor::from_static("test") }).unwrap();
        pool.exited().await;
    });
    let newest = segments(dir.path()).unwrap().pop().unwrap();
    let replay = newest.replay::<Worker>(|_, _, _| {}).unwrap();
    assert_eq!(replay.state.outcome(), Some(Outcome::Clean));
    assert_eq!(replay.torn, None);
}

#[test]
fn segments_roll_and_the_oldest_go_but_the_newest_tells_all() {
    let dir = tempdir().unwrap();
    let small = JournalConfig { segment_bytes: 4_096, total_bytes: 16_384, ..JournalConfig::new(dir.path()) };
    let total = runtime().block_on(async {
        let pool = builder(dir.path()).journal(small).build().unwrap();
        let open = pool.admit(CallId::new("open-throughout").unwrap()).unwrap();
        for n in 0..2_000 {
            let call = pool.admit(CallId::new(&format!("call-{n}")).unwrap()).unwrap();
            call.end(EndReason::AgentHangup).await;
        }
        std::mem::forget(open);
        pool.runtime_snapshot().totals
    });
    // The lock is given up when the last deletion is done.
    fs::File::open(dir.path().join("lock")).unwrap().lock().unwrap();
    let found = segments(dir.path()).unwrap();
    let bytes: u64 = found.iter().map(|segment| fs::metadata(&segment.path).unwrap().len()).sum();
    assert!(found.len() > 1 && bytes < 16_384 + 8_192, "{} segments, {bytes} bytes", found.len());
    assert!(found[0].first.get() > 1, "the first segment is gone");
    let replay = found.last().unwrap().replay::<Worker>(|_, _, _| {}).unwrap();
    assert_eq!(*replay.state.tally(), total);
    let open: Vec<_> = replay.open_calls().map(|(_, id)| id).collect();
    assert_eq!(open, [CallId::new("open-throughout").unwrap()]);
}

#[test]
fn a_torn_tail_costs_only_itself() {
    let dir = tempdir().unwrap();
    runtime().block_on(async {
        let pool = builder(dir.path()).build().unwrap();
        let call = pool.admit(CallId::new("whole").unwrap()).unwrap();
        call.recorded().await;
        std::mem::forget(call);
    });
    let newest = segments(dir.path()).unwrap().pop().unwrap().path;
    let mut bytes = fs::read(&newest).unwrap();
    bytes.extend_from_slice(&[0x20, 0, 0, 0, 1, 0xde, 0xad]);
    fs::write(&newest, &bytes).unwrap();
    runtime().block_on(async {
        let pool = build_after_crash(dir.path());
        let recovered = pool.recovered().unwrap();
        let (path, torn) = recovered.torn.as_ref().expect("reported");
        assert_eq!((path, torn.lost), (&newest, 7));
        assert_eq!(recovered.lost_calls.len(), 1);
    });
    assert_eq!(fs::read(&newest).unwrap(), bytes, "evidence is not touched");
}

#[test]
fn two_workers_on_one_directory_are_refused() {
    let dir = tempdir().unwrap();
    runtime().block_on(async {
        let _first = builder(dir.path()).build().unwrap();
        let error = builder(dir.path()).build().unwrap_err().to_string();
        assert!(error.contains("in use by another worker"), "{error}");
    });
}

#[test]
fn directories_that_cannot_work_are_refused_with_the_fix() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    runtime().block_on(async {
        let error = builder(&file).build().unwrap_err().to_string();
        assert!(error.contains("is a file: name a directory"), "{error}");
        let error = builder(Path::new("/proc/openrtc")).build().unwrap_err().to_string();
        assert!(error.contains("\"/proc/openrtc\": cannot create it"), "{error}");
    });
}

#[test]
fn a_journal_that_fails_costs_no_call_and_shows() {
    let dir = tempdir().unwrap();
    runtime().block_on(async {
        let small = JournalConfig { segment_bytes: 1, ..JournalConfig::new(dir.path()) };
        let pool = builder(dir.path()).journal(small).build().unwrap();
        // A directory that is only deleted is created anew; where there is a file, none can be.
        fs::remove_dir_all(dir.path()).unwrap();
        fs::write(dir.path(), "").unwrap();
        let mut seen = false;
        for n in 0..200 {
            let call = pool.admit(CallId::new(&format!("call-{n}")).unwrap()).expect("calls go on");
            call.end(EndReason::CallerHangup).await;
            seen |= pool.runtime_snapshot().journal.failing;
        }
        assert!(seen && pool.runtime_snapshot().journal.missed > 0);
        fs::remove_file(dir.path()).unwrap();
        let call = pool.admit(CallId::new("after").unwrap()).unwrap();
        call.end(EndReason::CallerHangup).await;
        assert!(!pool.runtime_snapshot().journal.failing, "it recovers by itself");
        pool.begin_drain(const { Actor::from_static("test") }).unwrap();
        tokio::time::timeout(Duration::from_secs(10), pool.exited()).await.expect("drains all the same");
    });
    let newest = segments(dir.path()).unwrap().pop().unwrap();
    let replay = newest.replay::<Worker>(|_, _, _| {}).unwrap();
    assert_eq!(replay.state.tally().admitted, 201, "the state that opens a segment covers the gap");
}

#[test]
fn a_newest_segment_with_a_torn_opening_is_passed_over_and_incarnations_grow() {
    let dir = tempdir().unwrap();
    let first = runtime().block_on(async {
        let pool = builder(dir.path()).build().unwrap();
        let call = pool.admit(CallId::new("taken").unwrap()).unwrap();
        call.recorded().await;
        std::mem::forget(call);
        pool.identity().incarnation
    });
    // A run of tomorrow, by a clock that has since gone back, that a crash cut short in its first word.
    let ahead = first.get() + 86_400_000_000;
    fs::write(dir.path().join(format!("{ahead:020}-{:020}.orj", 1)), b"OpenR").unwrap();
    runtime().block_on(async {
        let pool = build_after_crash(dir.path());
        let recovered = pool.recovered().unwrap();
        assert_eq!(recovered.predecessor.unwrap().incarnation, first);
        assert_eq!(recovered.lost_calls, [CallId::new("taken").unwrap()]);
        assert_eq!(pool.identity().incarnation.get(), ahead + 1, "later than every run found");
    });
}

#[test]
fn a_journal_smaller_than_a_segment_keeps_to_its_size_and_can_be_read() {
    let dir = tempdir().unwrap();
    let small = JournalConfig { total_bytes: 64 << 10, sync: Sync::Always, ..JournalConfig::new(dir.path()) };
    runtime().block_on(async {
        let pool = builder(dir.path()).journal(small).build().unwrap();
        for n in 0..1_000 {
            let call = pool.admit(CallId::new(&format!("call-{n}")).unwrap()).unwrap();
            call.end(EndReason::AgentHangup).await;
        }
        assert_eq!(pool.runtime_snapshot().journal.missed, 0);
    });
    let found = segments(dir.path()).unwrap();
    let bytes: u64 = found.iter().map(|segment| fs::metadata(&segment.path).unwrap().len()).sum();
    assert!(bytes <= 64 << 10, "{bytes} bytes in {} segments", found.len());
    let replay = found.last().unwrap().replay::<Worker>(|_, _, _| {}).unwrap();
    assert_eq!((replay.state.tally().admitted, replay.torn), (1_000, None));
}

#[test]
fn an_old_segment_that_cannot_be_deleted_costs_no_entry() {
    let dir = tempdir().unwrap();
    let small = JournalConfig { segment_bytes: 1, total_bytes: 1, ..JournalConfig::new(dir.path()) };
    runtime().block_on(async {
        let pool = builder(dir.path()).journal(small).build().unwrap();
        // A directory: deleting it as a file fails.
        fs::create_dir(dir.path().join(format!("{:020}-{:020}.orj", 1, 1))).unwrap();
        for n in 0..200 {
            let call = pool.admit(CallId::new(&format!("call-{n}")).unwrap()).unwrap();
            call.end(EndReason::CallerHangup).await;
        }
        assert_eq!(pool.runtime_snapshot().journal.missed, 0);
    });
    let newest = segments(dir.path()).unwrap().pop().unwrap();
    let replay = newest.replay::<Worker>(|_, _, _| {}).unwrap();
    assert_eq!((replay.state.tally().admitted, replay.torn), (200, None));
}
