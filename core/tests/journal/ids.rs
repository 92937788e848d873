//! The ids of calls: records of their own, each before the entry that uses it.

use openrtc_core::id::{CallId, CallNo, IdLog, Ids};
use openrtc_core::journal::{Replay, TornFault, replay, write_opening};
use openrtc_core::worker::Worker;

use crate::reader::{frame, frames, told};
use crate::sample::{Segment, append, life, logged, opening};

const CALL_ID: u8 = 2;

#[test]
fn each_id_lies_before_the_entry_that_begins_its_call() {
    let segment = Segment::whole();
    let told: Vec<_> =
        frames(&segment.bytes).into_iter().map(|frame| (frame.kind, told(frame.kind, frame.payload))).collect();
    for (at, (kind, text)) in told.iter().enumerate().filter(|(_, (kind, _))| *kind == CALL_ID) {
        let (begun, entry) = &told[at + 1];
        let number = text.split([')', '(']).nth(1).expect("CallNo(n)");
        assert_eq!((*kind, *begun), (CALL_ID, 3));
        assert!(entry.starts_with(&format!("Entry {{ seq: Seq({number}),")), "{text}, then {entry}");
    }
    assert_eq!(told.iter().filter(|(kind, _)| *kind == CALL_ID).count(), 5);
}

#[test]
fn while_a_segment_is_read_every_call_in_flight_has_its_id() {
    for segment in [Segment::whole(), Segment::rotated()] {
        let mut count = 0;
        replay::<Worker>(&segment.bytes, |state, ids, entry| {
            let (expected, named) = segment.after(count);
            assert_eq!(state, &expected);
            for (call, id) in named.iter() {
                assert_eq!(
                    (ids.get(call), ids.id(call).as_ref()),
                    (Some(id.as_str()), Some(id)),
                    "{call} at {entry:?}"
                );
            }
            assert_eq!(ids.get(CallNo::new(99)), None);
            count += 1;
        })
        .expect("whole");
        assert_eq!(count, segment.entries.len());
    }
}

#[test]
fn without_an_id_a_call_is_known_by_its_digest() {
    let (start, entries) = life();
    let mut bytes = Vec::new();
    write_opening(&opening(start), &IdLog::default(), &mut bytes);
    append(&entries[..6], &logged([(3, "named")]), &mut bytes);
    let read = read(&bytes);
    assert_eq!(read.torn, None);
    let digest = |call| read.state.calls().get(CallNo::new(call)).expect("in flight").id;
    let expected = [
        (CallNo::new(1), CallId::unnamed(digest(1))),
        (CallNo::new(3), CallId::from_static("named")),
        (CallNo::new(4), CallId::unnamed(digest(4))),
        (CallNo::new(6), CallId::unnamed(digest(6))),
    ];
    assert!(read.open_calls().eq(expected));
    assert_eq!(read.ids.iter().count(), 1);
}

#[test]
fn ids_come_once_each_and_in_the_order_of_their_calls() {
    let torn = |ids: &[&[u8]]| read(&with_ids(ids)).torn.map(|torn| torn.fault);
    assert_eq!(torn(&[b"\x03once"]), None);
    assert_eq!(torn(&[b"\x03once", b"\x03twice"]), Some(TornFault::Misplaced));
    assert_eq!(torn(&[b"\x03once", b"\x01of the call before"]), Some(TornFault::Misplaced));
    let twice = read(&with_ids(&[b"\x03once", b"\x03twice"]));
    assert_eq!(twice.state.word().seq().get(), 2, "nothing behind it is read");
}

#[test]
fn an_id_for_a_call_that_is_neither_in_flight_nor_next_is_misplaced() {
    // 2 was no call, 4 comes after the next entry.
    for call in [0, 2, 4, 250] {
        let bytes = with_ids(&[&[call, b'x']]);
        let read = read(&bytes);
        let torn = read.torn.expect("it belongs to no call");
        assert_eq!((torn.offset, torn.fault), (read.whole, TornFault::Misplaced), "call {call}");
        assert_eq!(read.state.word().seq().get(), 2);
    }
}

#[test]
fn the_id_of_a_call_whose_beginning_a_crash_cut_off_is_of_no_call() {
    let (start, entries) = life();
    let mut bytes = Vec::new();
    write_opening(&opening(start), &IdLog::default(), &mut bytes);
    let opened = bytes.len();
    append(&entries[..1], &logged([(1, "call")]), &mut bytes);
    let id = frames(&bytes)[1];
    assert_eq!((id.kind, id.payload), (CALL_ID, &b"\x01call"[..]));
    let read = read(&bytes[..id.end]);
    assert_eq!((read.torn, read.whole > opened, read.ids.iter().count()), (None, true, 0));
}

#[test]
fn ids_of_up_to_255_bytes_of_printable_text_are_kept_and_other_text_is_left_out() {
    let long = "é".repeat(127) + "x";
    for text in ["x", " ", "Ärger mit 電話 ☎", &long] {
        let read = read(&with_ids(&[&[b"\x03", text.as_bytes()].concat()]));
        assert_eq!((read.torn, read.ids.get(CallNo::new(3)).map(CallId::as_str)), (None, Some(text)));
    }
    let (longer, digest) =
        ("x".repeat(256), read(&with_ids(&[])).state.calls().get(CallNo::new(3)).map(|call| call.id));
    for text in ["", "a\nb", "\u{202e}gpj.exe", "\0", &longer] {
        let read = read(&with_ids(&[&[b"\x03", text.as_bytes()].concat()]));
        assert_eq!((read.torn, read.ids.get(CallNo::new(3))), (None, None), "{text:?}");
        let (_, told) = read.open_calls().next().expect("the call is in flight all the same");
        assert_eq!(Some(told), digest.map(CallId::unnamed), "{text:?}");
    }
}

#[test]
fn what_is_no_text_or_names_no_call_is_of_a_newer_build() {
    for payload in [&b"\x03\xff\xfe"[..], b"", b"\xfe\x03call", b"\xfb\x03", b"\x03\xc3"] {
        let bytes = with_ids(&[payload]);
        let torn = read(&bytes).torn.expect("it cannot be read");
        let lost = bytes.len() - with_ids(&[]).len() + rest().len();
        assert_eq!((torn.fault, torn.lost), (TornFault::Newer, lost), "{payload:?}");
    }
}

#[test]
fn a_batch_writes_its_ids_in_the_order_of_its_calls() {
    let mut log = logged([(3, "Ärger mit 電話 ☎"), (4, &"y".repeat(255))]);
    let mut longer = IdLog::default();
    longer.append(&log);
    log.push(CallNo::new(6), "z");
    longer.push(CallNo::new(6), "z");
    assert_eq!((longer.iter().collect::<Vec<_>>(), &longer), (log.iter().collect(), &log));
    let ids = [(CallNo::new(1), CallId::from_static("a")), (CallNo::new(2), CallId::from_static("b"))];
    let mut named = IdLog::default();
    named.extend(ids.iter().map(|(call, id)| (*call, id)));
    assert_eq!(named, logged([(1, "a"), (2, "b")]));
    log.clear();
    assert!(log.is_empty() && log.iter().next().is_none());
}

#[test]
#[should_panic(expected = "255 bytes")]
fn a_text_of_256_bytes_is_no_id_and_whoever_checked_it_is_wrong() {
    logged([(1, &*"x".repeat(256))]);
}

/// A segment up to its entry 8 in which these records stand for the id of call 3.
fn with_ids(payloads: &[&[u8]]) -> Vec<u8> {
    let ids = payloads.iter().map(|payload| frame(CALL_ID, payload));
    let Segment { bytes, ends, .. } = Segment::whole();
    let (before, own) = (ends[3].0, &bytes[ends[3].0..ends[4].0]);
    assert_eq!(own, frame(CALL_ID, &[&b"\x03"[..], "Ärger mit 電話 ☎".as_bytes()].concat()));
    [bytes[..before].to_vec(), ids.collect::<Vec<_>>().concat(), rest()].concat()
}

/// What follows the id of call 3, up to entry 8.
fn rest() -> Vec<u8> {
    let Segment { bytes, ends, .. } = Segment::whole();
    let (end, _) = ends.iter().rfind(|(_, entries)| *entries == 8).expect("there are more");
    bytes[ends[4].0..*end].to_vec()
}

fn read(bytes: &[u8]) -> Replay<Worker> {
    replay(bytes, |_, _, _| {}).expect("the opening is whole")
}
