//! Ledgers: what is kept of a run's calls when its segments have to make room.

use openrtc_core::id::{CallId, CallNo, IdLog, Ids, Incarnation, OpenIds, Seq};
use openrtc_core::journal::{CallLine, CallLines, Ledger, LedgerOpening, Left, TornFault, replay, write_opening};
use openrtc_core::machine::{Machine, fold};
use openrtc_core::worker::{EndReason, Worker};

use crate::reader::{HEADER, frame, frames};
use crate::sample::{CALLS, Segment, opening};

const CALL_ID: u8 = 2;

/// What a segment tells of its calls.
fn lines(segment: &Segment) -> CallLines {
    let mut lines = CallLines::default();
    replay::<Worker>(&segment.bytes, |state, ids, entry| lines.enter(state, ids, entry)).expect("whole");
    lines
}

/// The ledger of the first six entries of a life: four calls are open.
fn ledger() -> Ledger {
    let segment = Segment::whole();
    let (state, ids) = segment.after(6);
    let mut lines = CallLines::default();
    let (mut before, named) = (segment.start.clone(), ids.clone());
    for entry in &segment.entries[..6] {
        lines.enter(&before, &named, entry);
        before.apply(entry);
    }
    let about = opening(segment.start).about;
    let began = Some(segment.entries[0].at);
    let opening = LedgerOpening { about, first: Seq::new(1), began, cut_short: false, calls: 0, state };
    Ledger { opening, ids, lines }
}

fn written(ledger: &Ledger) -> Vec<u8> {
    let mut bytes = Vec::new();
    ledger.write(&mut bytes);
    bytes
}

#[test]
fn a_ledger_is_read_as_it_was_written() {
    let ledger = ledger();
    let read = Ledger::read(&written(&ledger)).expect("whole");
    assert_eq!((read.opening.calls, ledger.lines.iter().len()), (4, 4));
    let counted = LedgerOpening { calls: 4, ..ledger.opening.clone() };
    assert_eq!(read, Ledger { opening: counted, ..ledger });
}

/// A ledger is put in its place whole, so whatever is missing in it was taken away.
#[test]
fn a_ledger_that_is_cut_anywhere_or_altered_anywhere_is_no_ledger() {
    let bytes = written(&ledger());
    for cut in 0..bytes.len() {
        let torn = Ledger::read(&bytes[..cut]).expect_err("it is not whole");
        assert_eq!((torn.fault, torn.offset + torn.lost), (TornFault::Short, cut), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(Ledger::read(&altered).is_err(), "altered at {at}");
    }
}

#[test]
fn what_does_not_belong_in_a_ledger_is_named_with_its_place() {
    let bytes = written(&ledger());
    let ends: Vec<_> = frames(&bytes).into_iter().map(|frame| frame.end).collect();
    let fault = |bytes: &[u8]| Ledger::read(bytes).map_err(|torn| (torn.offset, torn.fault)).expect_err("forged");
    assert_eq!(fault(&[&bytes[..], &frame(9, b"")].concat()), (bytes.len(), TornFault::Newer));
    let unread = frame(CALL_ID, b"");
    assert_eq!(fault(&[&bytes[..], &unread].concat()), (bytes.len(), TornFault::Misplaced));
    // The last call twice is one call; one that is left out is missed.
    let last = &bytes[ends[ends.len() - 2]..];
    assert!(Ledger::read(&[&bytes[..], last].concat()).is_ok());
    let cut = ends[ends.len() - 2];
    assert_eq!(fault(&bytes[..cut]), (cut, TornFault::Short));
    assert_eq!(fault(&[HEADER, &bytes[ends[0]..]].concat()), (HEADER.len(), TornFault::Misplaced));
    let mut segment = Vec::new();
    write_opening(&opening(Segment::whole().start), &IdLog::default(), &mut segment);
    assert_eq!(fault(&segment), (HEADER.len(), TornFault::Misplaced));
    assert_eq!(fault(b"OpenRTCj"), (0, TornFault::Format(1)));
    let mut ahead = ledger();
    ahead.opening.state = Worker::new(openrtc_core::worker::Limits::default()).expect("defaults work");
    assert!(Ledger::read(&written(&ahead)).is_ok(), "its lines are no part of its state");
}

#[test]
fn a_line_says_when_a_call_began_and_how_it_left() {
    let segment = Segment::whole();
    let told: Vec<_> = lines(&segment).into_lines().collect();
    assert!(told.iter().map(|line| (line.number.get(), line.id.as_str())).eq(CALLS));
    let at = |seq: usize| segment.entries[seq - 1].at;
    let began: Vec<_> = told.iter().map(|line| line.began).collect();
    assert_eq!(began, [1, 3, 4, 6, 10].map(at));
    let left: Vec<_> = told.iter().map(|line| line.left).collect();
    let ended = |seq, reason| Left::Ended { at: at(seq), reason };
    assert_eq!(
        left,
        [
            Left::HandedOver { at: at(8), to: Incarnation::new(8) },
            Left::Open,
            ended(17, EndReason::CallerHangup),
            ended(16, EndReason::DrainForced),
            Left::Lapsed { at: at(12) },
        ]
    );
    assert_eq!(left[0].at(), Some(at(8)));
    assert_eq!((left[1].at(), left[2].at(), left[4].at()), (None, Some(at(17)), Some(at(12))));
    let origins: Vec<_> = told.iter().map(|line| line.origin.map(|origin| origin.call.get())).collect();
    assert_eq!(origins, [Some(9), None, None, None, None]);
}

/// A segment that opens with calls in it tells how they left, and a call that is nobody's is not made up.
#[test]
fn a_call_that_began_before_is_known_from_the_state() {
    let (whole, rotated) = (lines(&Segment::whole()), lines(&Segment::rotated()));
    let of = |lines: &CallLines, number| lines.iter().find(|line| line.number == CallNo::new(number)).cloned();
    for number in [4, 6, 10] {
        assert_eq!(of(&rotated, number), of(&whole, number), "call {number}");
    }
    let taken_over = of(&whole, 1).expect("it is there");
    assert_eq!(of(&rotated, 1), Some(CallLine { origin: None, ..taken_over }), "its origin was told before");
    assert_eq!(of(&rotated, 3), None, "nothing happened to it");
}

#[test]
fn lines_of_the_same_call_add_up_in_either_order() {
    let all = lines(&Segment::whole());
    let [taken_over, ..] = &all.iter().cloned().collect::<Vec<_>>()[..] else { panic!("there are calls") };
    let early = CallLine { left: Left::Open, ..taken_over.clone() };
    let late = CallLine { origin: None, ..taken_over.clone() };
    for order in [[&early, &late], [&late, &early]] {
        let mut lines = CallLines::default();
        for line in order {
            lines.insert(line.clone());
        }
        assert!(lines.iter().eq([taken_over]), "{lines:?}");
    }
}

#[test]
fn the_ids_of_open_calls_are_kept_for_as_long_as_the_calls() {
    let (one, two) = (CallNo::new(1), CallNo::new(2));
    let mut log = IdLog::default();
    log.extend([(one, &CallId::from_static("one")), (two, &CallId::from_static("zwei"))]);
    let mut twice = log.clone();
    twice.append(&log);
    assert!(twice.iter().eq([(one, "one"), (two, "zwei"), (one, "one"), (two, "zwei")]));
    twice.clear();
    assert_eq!((twice.is_empty(), log.is_empty(), twice), (true, false, IdLog::default()));

    let mut ids = OpenIds::default();
    ids.learn(&log);
    assert_eq!((ids.id(one), ids.get(two)), (Some(CallId::from_static("one")), Some(&CallId::from_static("zwei"))));
    let mut again = OpenIds::default();
    again.extend(ids.iter().map(|(call, id)| (call, id.clone())));
    assert_eq!(again, ids);
    again.retain(|call| call == two);
    assert_eq!((again.get(one), again.get(two)), (None, ids.get(two)));
    assert_eq!(ids.remove(one), Some(CallId::from_static("one")));
    assert_eq!(ids, again);
}

#[test]
fn an_entry_tells_which_call_it_begins_and_which_it_ends() {
    use openrtc_core::journal::Journaled;
    let segment = Segment::whole();
    let begins = segment.entries.iter().filter(|entry| Worker::begins_call(&entry.event));
    assert!(begins.map(|entry| entry.seq.get()).eq([1, 3, 4, 6, 10]));
    let ends = segment.entries.iter().filter_map(Worker::ends_call);
    assert!(ends.map(CallNo::get).eq([1, 10, 6, 4]));
    let mut state = segment.start.clone();
    fold(&mut state, &segment.entries[..6]);
    assert!(state.open_calls().map(CallNo::get).eq([1, 3, 4, 6]));
    assert!(state.has_call(CallNo::new(3)) && !state.has_call(CallNo::new(2)));
    let about = opening(segment.start).about;
    assert_eq!(Worker::incarnation(&about), about.identity.incarnation);
}
