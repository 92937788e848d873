use std::fs;
use std::path::Path;

use openrtc_core::id::{Actor, CallNo, Deployment, DigestKey, Identity, Incarnation, Seq, Version, WorkerId};
use openrtc_core::journal::{Ledger, Left, TornFault};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{Cause, Class, Command, DrainOrder, EndReason, Limits, Outcome, Terms, Worker};
use tempfile::tempdir;

use super::*;
use crate::directory::segments;
use crate::read::{ReadError, runs};

const IDENTITY: Identity = Identity {
    deployment: Deployment::from_static("test"),
    version: Version::from_static("v1"),
    worker: WorkerId::from_static("blue-1"),
    incarnation: Incarnation::new(0),
};

/// A worker and its journal.
struct Kept {
    journal: Journal<Worker>,
    worker: Worker,
    now: Instant,
    /// Ids of calls that could not be written.
    missed: IdLog,
}

fn small(dir: &Path) -> JournalConfig {
    JournalConfig { segment_bytes: 1_024, total_bytes: 4_096, ..JournalConfig::new(dir) }
}

impl Kept {
    fn open(config: JournalConfig) -> Self {
        let worker = Worker::new(Limits::default()).expect("valid limits");
        let now = Instant::from_micros(1_000_000);
        let (journal, ..) = Journal::open(config, IDENTITY, now, &worker).expect("a journal");
        let mut kept = Self { journal, worker, now, missed: IdLog::default() };
        kept.enact(Command::Serve, None).expect("room");
        kept
    }

    /// Lets the worker do as told, a millisecond later, and writes it down if it can be.
    fn enact(&mut self, command: Command, id: Option<&str>) -> io::Result<CallNo> {
        self.now = self.now + Span::from_millis(1);
        let before = self.worker.clone();
        let entry = self.worker.step(self.now, command).expect("legal");
        let call = CallNo::new(entry.seq.get());
        let mut batch = Batch { entries: vec![entry], ids: IdLog::default() };
        if let Some(id) = id {
            batch.ids.push(call, id);
        }
        let before = self.journal.wants_state().then_some(before);
        // As the runtime does: ids go along until an append with them was tried.
        let missed = std::mem::take(&mut self.missed);
        self.journal.append(before, &missed, &batch).map(|()| call)
    }

    fn admit(&mut self, id: &str) -> CallNo {
        let digest = DigestKey::default().digest(id);
        let _ = self.enact(Command::Admit { id: digest, class: Class::default() }, Some(id));
        CallNo::new(self.worker.word().seq().get())
    }

    fn end(&mut self, call: CallNo) {
        let _ = self.enact(Command::End { call, reason: EndReason::CallerHangup }, None);
    }

    fn leave(&mut self) {
        let actor = const { Actor::from_static("SIGTERM") };
        let order = DrainOrder { cause: Cause::Signal, actor, terms: Terms::PATIENT };
        for command in [Command::BeginDrain(order), Command::Wake, Command::Wake] {
            let _ = self.enact(command, None);
        }
    }
}

/// The state that the newest segment tells, which must be whole.
fn newest(dir: &Path) -> Worker {
    let replay =
        segments(dir).expect("a directory").pop().expect("a segment").replay(|_, _, _| {}).expect("an opening");
    assert_eq!(replay.torn, None);
    replay.state
}

#[test]
fn a_full_disk_is_told_with_its_fix() {
    let source = io::Error::from(io::ErrorKind::StorageFull);
    let error = JournalError::Io { dir: "/var/journal".into(), what: "write a segment", source };
    assert_eq!(
        error.to_string(),
        "journal directory \"/var/journal\": cannot write a segment: no storage space \
         (free space, or name another directory)"
    );
}

#[test]
fn whichever_write_fails_half_way_nothing_is_appended_behind_the_tear() {
    for failing in 0.. {
        let dir = tempdir().expect("a directory");
        let mut kept = Kept::open(small(dir.path()));
        disk::faults::fail_after(failing, 1);
        for call in 0..30 {
            let call = kept.admit(&format!("call-{call}"));
            kept.end(call);
        }
        if disk::faults::is_pending() {
            assert!(failing > 60, "every write of the run has failed once: {failing}");
            disk::faults::fail_after(u32::MAX, 1);
            break;
        }
        kept.leave();
        let worker = kept.worker;
        drop(kept.journal);
        assert_eq!(newest(dir.path()), worker, "failing {failing}");
        for segment in segments(dir.path()).expect("a directory") {
            let replay = segment.replay::<Worker>(|_, _, _| {}).expect("an opening is whole or not there");
            let at_end = replay.torn.is_none_or(|torn| torn.fault == TornFault::Short);
            assert!(at_end, "failing {failing}: {:?} in {segment:?}", replay.torn);
        }
    }
}

#[test]
fn a_journal_that_ends_with_a_write_that_failed_is_cut_short_however_little_was_written() {
    for (failing, halves) in (0..).flat_map(|failing| [(failing, 0), (failing, 1)]) {
        let dir = tempdir().expect("a directory");
        let mut kept = Kept::open(small(dir.path()));
        disk::faults::fail_after(failing, halves);
        let admit = |call: &str| Command::Admit { id: DigestKey::default().digest(call), class: Class::default() };
        let failed = (0..60).map(|call| format!("call-{call}")).any(|id| kept.enact(admit(&id), Some(&id)).is_err());
        if !failed {
            assert!(failing > 50, "every write of the run has failed once: {failing}");
            disk::faults::fail_after(u32::MAX, 1);
            break;
        }
        drop(kept.journal);
        let segments = segments(dir.path()).expect("a directory");
        let replay = segments.last().expect("one").replay::<Worker>(|_, _, _| {}).expect("an opening");
        let torn = replay.torn.expect("more happened than it tells");
        assert_eq!(torn.fault, TornFault::Short, "failing {failing}, after {halves} halves");
    }
}

#[test]
fn ends_outlive_rotation_with_every_id_and_whatever_the_calls_did_in_between() {
    let dir = tempdir().expect("a directory");
    let mut kept = Kept::open(small(dir.path()));
    let long = kept.admit("long");
    for call in 0..500 {
        let call = kept.admit(&format!("call-{call}"));
        for _ in 0..3 {
            kept.enact(Command::Progress { call }, None).expect("room");
        }
        kept.end(call);
    }
    kept.end(long);
    kept.leave();
    drop(kept.journal);
    let bytes: u64 = segments(dir.path()).expect("segments").iter().map(|segment| size(&segment.path)).sum();
    assert!(bytes <= 4_096, "{bytes}");
    let [run] = &runs(dir.path()).expect("runs")[..] else { panic!("one run") };
    let [ledger] = &run.ledgers[..] else { panic!("one ledger: {run:?}") };
    assert!(size(&ledger.path) < 60 * 500, "{} bytes for 500 calls", size(&ledger.path));
    let kept = ledger.read().expect("whole");
    let mut lines = kept.lines;
    let mut next = kept.opening.state.word().seq();
    assert_eq!(kept.opening.first, Seq::new(1));
    for segment in &run.segments {
        assert_eq!(segment.first, next.next(), "no entry is missing between ledger and segments");
        let replay = segment.replay::<Worker>(|state, ids, entry| lines.enter(state, ids, entry)).expect("whole");
        next = replay.state.word().seq();
    }
    let told: Vec<_> = lines.into_lines().collect();
    assert_eq!(told.len(), 501);
    for (number, line) in told.iter().enumerate() {
        let id = number.checked_sub(1).map_or_else(|| "long".into(), |number| format!("call-{number}"));
        assert_eq!(line.id.as_str(), id);
        assert!(
            matches!(line.left, Left::Ended { reason: EndReason::CallerHangup, at } if at > line.began),
            "{line:?}"
        );
    }
}

#[test]
fn every_changed_bit_of_a_ledger_is_found_and_so_is_every_cut() {
    let dir = tempdir().expect("a directory");
    let mut kept = Kept::open(small(dir.path()));
    kept.admit("open");
    for call in 0..60 {
        let call = kept.admit(&format!("call-{call}"));
        kept.end(call);
    }
    drop(kept.journal);
    let ledger = runs(dir.path()).expect("runs").remove(0).ledgers.remove(0);
    let whole = fs::read(&ledger.path).expect("read");
    let is_refused = |bytes: &[u8]| Ledger::read(bytes).is_err();
    for place in 0..whole.len() {
        assert!(is_refused(&whole[..place]), "cut to {place} bytes");
        for bit in 0..8 {
            let mut altered = whole.clone();
            altered[place] ^= 1 << bit;
            assert!(is_refused(&altered), "bit {bit} of byte {place}");
        }
    }
    assert!(is_refused(&[&whole[..], &[0]].concat()) && !is_refused(&whole));
    fs::write(&ledger.path, &whole[1..]).expect("written");
    assert!(matches!(ledger.read(), Err(ReadError::Torn { .. })));
}

#[test]
fn a_directory_that_was_deleted_under_a_worker_is_there_again_with_all_that_was_in_it() {
    let dir = tempdir().expect("a directory");
    let home = dir.path().join("journal");
    let mut kept = Kept::open(JournalConfig { segment_bytes: 1_024, ..JournalConfig::new(&home) });
    for call in 0..50 {
        let call = kept.admit(&format!("call-{call}"));
        kept.end(call);
    }
    let before = contents(&home);
    assert!(before.len() > 3, "several segments");
    fs::remove_dir_all(&home).expect("there");
    kept.journal.check();
    assert_eq!(crate::lock_state(&home), crate::LockState::Held, "nobody else takes it");
    let call = kept.admit("after");
    kept.end(call);
    kept.leave();
    let worker = kept.worker;
    drop(kept.journal);
    assert_eq!((newest(&home), worker.outcome()), (worker.clone(), Some(Outcome::Clean)));
    let after = contents(&home);
    for ((name, bytes), (is, now)) in before.iter().zip(&after) {
        assert!(name == is && now.starts_with(bytes), "{name}");
    }
}

#[test]
fn a_segment_that_was_deleted_moved_or_cut_is_noticed_and_nothing_after_it_is_lost() {
    for (what, cut) in [("deleted", false), ("moved", false), ("cut", true)] {
        let dir = tempdir().expect("a directory");
        let mut kept = Kept::open(JournalConfig::new(dir.path()));
        let open = kept.admit("open");
        let path = segments(dir.path()).expect("segments").remove(0).path;
        match what {
            "deleted" => fs::remove_file(&path).expect("there"),
            "moved" => fs::rename(&path, dir.path().join("rotated.1")).expect("there"),
            _ => File::options().write(true).open(&path).expect("there").set_len(20).expect("cut"),
        }
        kept.journal.check();
        assert_eq!(kept.journal.wants_state(), cut, "{what}");
        kept.end(open);
        kept.leave();
        drop(kept.journal);
        assert_eq!(newest(dir.path()), kept.worker, "{what}");
        assert_eq!(segments(dir.path()).expect("segments").len(), 1 + usize::from(cut), "{what}");
    }
}

#[test]
fn what_the_journal_itself_took_away_does_not_come_back() {
    let dir = tempdir().expect("a directory");
    let mut kept = Kept::open(small(dir.path()));
    for call in 0..100 {
        let call = kept.admit(&format!("call-{call}"));
        kept.end(call);
        kept.journal.check();
    }
    drop(kept.journal);
    let bytes: u64 = segments(dir.path()).expect("segments").iter().map(|segment| size(&segment.path)).sum();
    assert!(bytes <= 4_096, "{bytes}");
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).expect("there").len()
}

fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let found = segments(dir).expect("segments");
    let read = |path: &Path| fs::read(path).expect("readable");
    found.iter().map(|segment| (segment.path.display().to_string(), read(&segment.path))).collect()
}
