//! The ids of calls: each in one record with the entry that begins its call, or in a record of its own behind an
//! opening that holds the call.

use openrtc_core::id::{CallId, CallNo, IdLog, Ids};
use openrtc_core::journal::{Replay, TornFault, replay, write_opening};
use openrtc_core::worker::Worker;

use crate::reader::{frame, frames, told};
use crate::sample::{CALLS, Segment, append, life, logged, opening};

const CALL_ID: u8 = 2;
const ENTRY: u8 = 3;

#[test]
fn each_id_lies_behind_the_entry_that_begins_its_call_or_behind_the_opening() {
    let of = |segment: &Segment, kind: u8| -> Vec<_> {
        let frames = frames(&segment.bytes).into_iter().filter(|frame| frame.kind == kind);
        frames.map(|frame| told(kind, frame.payload)).collect()
    };
    let (whole, rotated) = (Segment::whole(), Segment::rotated());
    for (entry, number) in of(&whole, ENTRY).iter().zip(1..) {
        let id = CALLS.into_iter().find(|(call, _)| *call == number).map_or("", |(_, id)| id);
        assert!(entry.starts_with(&format!("Entry {{ seq: Seq({number}),")), "{entry}");
        assert!(entry.ends_with(&format!("}} {id:?}")), "{entry}");
    }
    assert_eq!(of(&whole, CALL_ID), [""; 0]);
    let opened = [1, 3, 4, 6].iter().zip(CALLS).map(|(call, (_, id))| format!("CallNo({call}) {id:?}"));
    assert_eq!(of(&rotated, CALL_ID), opened.collect::<Vec<_>>());
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
fn ids_behind_an_opening_come_once_each_and_in_the_order_of_their_calls() {
    let torn = |ids: &[&[u8]]| read(&opened_with(ids)).torn.map(|torn| torn.fault);
    assert_eq!(torn(&[b"\x03once"]), None);
    assert_eq!(torn(&[b"\x03once", b"\x04another"]), None);
    assert_eq!(torn(&[b"\x03once", b"\x03twice"]), Some(TornFault::Misplaced));
    assert_eq!(torn(&[b"\x03once", b"\x01of the call before"]), Some(TornFault::Misplaced));
    let twice = read(&opened_with(&[b"\x03once", b"\x03twice"]));
    assert_eq!(twice.entries, 0, "nothing behind it is read");
}

#[test]
fn an_id_of_no_call_in_flight_or_behind_an_entry_is_misplaced() {
    // 2 was no call, and 10 begins later.
    for call in [0, 2, 5, 10, 250] {
        let read = read(&opened_with(&[&[call, b'x']]));
        let torn = read.torn.expect("it belongs to no call");
        assert_eq!((torn.offset, torn.fault, read.entries), (read.whole, TornFault::Misplaced, 0), "call {call}");
    }
    let whole = Segment::whole();
    // 3 is in flight there, and 4 would be next.
    for call in [3, 4] {
        let read = read(&[&whole.bytes[..whole.ends[3].0], &frame(CALL_ID, &[call, b'x'])].concat());
        assert_eq!(read.torn.map(|torn| torn.fault), Some(TornFault::Misplaced), "call {call}");
        assert_eq!(read.entries, 3);
    }
    // Also of a call in flight that has no id yet.
    let (start, entries) = life();
    let mut unnamed = Vec::new();
    write_opening(&opening(start), &IdLog::default(), &mut unnamed);
    append(&entries[..3], &IdLog::default(), &mut unnamed);
    let late = read(&[&unnamed[..], &frame(CALL_ID, b"\x03late")].concat());
    assert_eq!((late.torn.map(|torn| torn.fault), late.entries), (Some(TornFault::Misplaced), 3));
}

#[test]
fn ids_of_up_to_255_bytes_of_printable_text_are_kept_and_other_text_is_left_out() {
    let long = "é".repeat(127) + "x";
    let digest = read(&admitted_as(b"")).state.calls().get(CallNo::new(3)).map(|call| call.id);
    let opened_with: fn(&str) -> Vec<u8> = |id| opened_with(&[&[b"\x03", id.as_bytes()].concat()]);
    for segment in [opened_with, |id| admitted_as(id.as_bytes())] {
        for text in ["x", " ", "Ärger mit 電話 ☎", &long] {
            let read = read(&segment(text));
            assert_eq!((read.torn, read.ids.get(CallNo::new(3)).map(CallId::as_str)), (None, Some(text)));
        }
        for text in ["", "a\nb", "\u{202e}gpj.exe", "\0", &"x".repeat(256)] {
            let read = read(&segment(text));
            assert_eq!((read.torn, read.ids.get(CallNo::new(3))), (None, None), "{text:?}");
            let named = read.open_calls().find(|(call, _)| *call == CallNo::new(3)).map(|(_, id)| id);
            assert_eq!(named, digest.map(CallId::unnamed), "{text:?}: the call is in flight all the same");
        }
    }
}

#[test]
fn what_is_no_text_or_names_no_call_is_of_a_newer_build() {
    for payload in [&b"\x03\xff\xfe"[..], b"", b"\xfe\x03call", b"\xfb\x03", b"\x03\xc3"] {
        let torn = read(&opened_with(&[payload])).torn.expect("it cannot be read");
        assert_eq!(torn.fault, TornFault::Newer, "{payload:?}");
    }
    for id in [&b"\xff\xfe"[..], b"\xc3", b"cut \xe9\x9b"] {
        let read = read(&admitted_as(id));
        assert_eq!((read.torn.map(|torn| torn.fault), read.entries), (Some(TornFault::Newer), 2), "{id:?}");
    }
}

#[test]
fn only_an_entry_that_begins_a_call_has_an_id_behind_it() {
    let whole = Segment::whole();
    for (nth, entry) in whole.entries.iter().enumerate() {
        let (before, after) = (whole.ends[nth].0, whole.ends[nth + 1].0);
        let payload = frames(&whole.bytes)[nth + 1].payload;
        let longer = [&whole.bytes[..before], &frame(ENTRY, &[payload, b"x"].concat())].concat();
        let fault = (!entry.event.begins_call()).then_some(TornFault::Newer);
        assert_eq!(read(&longer).torn.map(|torn| torn.fault), fault, "{entry:?}");
        assert_eq!(read(&whole.bytes[..after]).torn, None);
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

/// A segment that opens with the calls 1, 3, 4 and 6 in flight, these records for their ids, and one entry.
fn opened_with(payloads: &[&[u8]]) -> Vec<u8> {
    let ids = payloads.iter().map(|payload| frame(CALL_ID, payload));
    let Segment { bytes, ends, .. } = Segment::rotated();
    let entry = &bytes[ends[4].0..ends[5].0];
    [bytes[..ends[0].0].to_vec(), ids.collect::<Vec<_>>().concat(), entry.to_vec()].concat()
}

/// A segment up to its entry 3, which begins call 3, with these bytes for the call's id.
fn admitted_as(id: &[u8]) -> Vec<u8> {
    let Segment { bytes, ends, .. } = Segment::whole();
    let own = frames(&bytes)[3].payload;
    let entry = own.strip_suffix(CALLS[1].1.as_bytes()).expect("its id lies behind it");
    [&bytes[..ends[2].0], &frame(ENTRY, &[entry, id].concat())].concat()
}

fn read(bytes: &[u8]) -> Replay<Worker> {
    replay(bytes, |_, _, _| {}).expect("the opening is whole")
}
