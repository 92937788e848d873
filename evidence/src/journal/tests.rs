use std::fs;

use openrtc_core::worker::{EndReason, Outcome};
use openrtc_records::segments;
use tempfile::tempdir;

use super::*;
use crate::test_journals::Scribe;

fn read(dir: &Path) -> Vec<History> {
    let histories = histories(dir, |(), _, _, _| {}).expect("files");
    histories.into_iter().map(|(history, ())| history).collect()
}

/// What is wrong with a run, a line each.
fn faults(run: &History) -> String {
    run.faults.iter().map(|fault| fault.problem.to_string() + "\n").collect()
}

/// A run of two segments with one call that ended and one that was left open.
fn crashed(dir: &Path) -> Scribe {
    let mut scribe = Scribe::start(dir, 1, None);
    let ended = scribe.admit("ended");
    scribe.roll();
    scribe.end(ended, EndReason::CallerHangup);
    scribe.admit("taken");
    scribe.save();
    scribe
}

#[test]
fn a_crashed_run_and_the_next_one_are_whole_and_its_open_call_is_named() {
    let dir = tempdir().expect("a directory");
    let crashed = crashed(dir.path());
    let mut next = Scribe::start(dir.path(), 2, Some(crashed.as_predecessor()));
    next.drain_and_exit();
    next.save();
    let runs = read(dir.path());
    assert!(runs.iter().all(|run| run.faults.is_empty()), "{runs:?}");
    let last = |run: usize| runs[run].last.as_ref().expect("it was read");
    assert_eq!(last(0).open_calls().map(|(_, id)| id.to_string()).collect::<Vec<_>>(), ["taken"]);
    assert_eq!((last(0).state.outcome(), last(1).state.outcome()), (None, Some(Outcome::Clean)));
}

#[test]
fn a_cut_short_end_is_told_and_is_no_fault_unless_the_run_had_exited() {
    let dir = tempdir().expect("a directory");
    let path = crashed(dir.path()).save();
    let bytes = fs::read(&path).expect("read");
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
    let runs = read(dir.path());
    assert!(runs[0].faults.is_empty() && runs[0].cut_short.is_some(), "{runs:?}");

    let mut closed = Scribe::start(dir.path(), 2, Some(runs[0].last.as_ref().expect("read").as_predecessor()));
    closed.drain_and_exit();
    let path = closed.save();
    let more = [&fs::read(&path).expect("read")[..], &[0; 5]].concat();
    fs::write(&path, more).expect("written");
    let runs = read(dir.path());
    assert!(runs[1].cut_short.is_none() && faults(&runs[1]).contains("cut short"), "{runs:?}");
}

#[test]
fn a_segment_that_was_emptied_or_cut_to_its_opening_is_named() {
    let dir = tempdir().expect("a directory");
    let path = crashed(dir.path()).save();
    let bytes = fs::read(&path).expect("read");
    for len in [0, 1, 8, 30] {
        fs::write(&path, &bytes[..len]).expect("written");
        let [run] = &read(dir.path())[..] else { panic!("one run") };
        let [fault] = &run.faults[..] else { panic!("one fault: {run:?}") };
        assert_eq!((&fault.path, fault.problem), (&path, Problem::Unopened), "{len} bytes");
    }
}

#[test]
fn a_run_cut_short_at_its_first_word_does_not_break_the_chain() {
    let dir = tempdir().expect("a directory");
    let predecessor = crashed(dir.path()).as_predecessor();
    let stillborn = Scribe::start(dir.path(), 2, Some(predecessor)).save();
    fs::write(stillborn, b"OpenR").expect("written");
    Scribe::start(dir.path(), 3, Some(predecessor)).save();
    let runs = read(dir.path());
    let faults: Vec<_> =
        runs.iter().map(|run| run.faults.iter().map(|fault| fault.problem).collect::<Vec<_>>()).collect();
    assert_eq!(faults, [vec![], vec![Problem::Unopened], vec![]]);
}

#[test]
fn what_was_altered_removed_or_does_not_follow_is_a_fault() {
    let dir = tempdir().expect("a directory");
    let last = crashed(dir.path()).save();
    let first = segments(dir.path()).expect("a directory").remove(0).path;
    let (whole_first, whole_last) = (fs::read(&first).expect("read"), fs::read(&last).expect("read"));
    let flipped = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().expect("not empty") ^= 1;
        bytes
    };
    for (first_bytes, last_bytes, says) in [
        (flipped(&whole_first), whole_last.clone(), "a checksum does not match"),
        (whole_first.clone(), flipped(&whole_last), "a checksum does not match"),
        (whole_first[..whole_first.len() - 1].to_vec(), whole_last.clone(), "entries before it are missing"),
        (whole_first.clone(), whole_first.clone(), "it opens before the segment before it ends"),
        (whole_first.clone(), b"not a segment".to_vec(), "not a journal segment"),
    ] {
        fs::write(&first, first_bytes).expect("written");
        fs::write(&last, last_bytes).expect("written");
        let told = faults(&read(dir.path())[0]);
        assert!(told.contains(says), "{told:?} should say {says:?}");
    }
    fs::write(&first, whole_first).expect("written");
    fs::write(&last, whole_last).expect("written");
    Scribe::start(dir.path(), 2, None).save();
    let told = faults(&read(dir.path())[1]);
    assert!(told.contains("another story of the run before"), "{told:?}");
}

#[test]
fn what_a_newer_build_wrote_is_no_damage_and_cannot_be_judged() {
    let dir = tempdir().expect("a directory");
    let last = crashed(dir.path()).save();
    let first = segments(dir.path()).expect("a directory").remove(0).path;
    let (whole_first, whole_last) = (fs::read(&first).expect("read"), fs::read(&last).expect("read"));
    let of_format_3 = |bytes: &[u8]| [b"OpenRTC\x03", &bytes[8..]].concat();
    let of_another_kind = |bytes: &[u8]| [bytes, &frame(200, b"from the future")[..]].concat();
    for (first_bytes, last_bytes, entries) in [
        (whole_first.clone(), of_format_3(&whole_last), 2),
        (of_format_3(&whole_first), of_format_3(&whole_last), 0),
        (whole_first.clone(), of_another_kind(&whole_last), 4),
        (whole_first.clone(), [&whole_last[..], &frame(3, b"\xff")].concat(), 4),
        (of_another_kind(&whole_first), whole_last.clone(), 4),
        ([but_the_last(&whole_first), &frame(3, b"\xff")].concat(), whole_last.clone(), 3),
    ] {
        fs::write(&first, first_bytes).expect("written");
        fs::write(&last, last_bytes).expect("written");
        let [run] = &read(dir.path())[..] else { panic!("one run") };
        assert!(run.faults.iter().all(|fault| fault.problem == Problem::Newer), "{:?}", run.faults);
        assert!(run.has_newer() && run.cut_short.is_none() && run.entries == entries, "{run:?}");
    }
    fs::write(&last, [&of_another_kind(&whole_last)[..], &[0; 20]].concat()).expect("written");
    let told = faults(&read(dir.path())[0]);
    assert!(told.contains("a newer build") && told.contains("a checksum does not match"), "{told:?}");
}

/// A segment without its last frame.
fn but_the_last(segment: &[u8]) -> &[u8] {
    let (mut at, mut next) = (0, 8);
    while next < segment.len() {
        let length = segment[next..].first_chunk().copied().expect("a frame");
        (at, next) = (next, next + 13 + u32::from_le_bytes(length) as usize);
    }
    &segment[..at]
}

/// A frame of any kind, whole.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let length = u32::try_from(payload.len()).expect("short").to_le_bytes();
    let head = [&length[..], &[kind]].concat();
    let check = crc.checksum(&head).to_le_bytes();
    let both = crc.checksum(&[&head, payload].concat()).to_le_bytes();
    [&head[..], &check, &both, payload].concat()
}
