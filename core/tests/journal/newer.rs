//! What a newer build wrote: a whole format, a kind of record, an event.

use openrtc_core::fleet::Fleet;
use openrtc_core::journal::{FORMAT, Record, Records, TornFault, all, format, replay};
use openrtc_core::worker::Worker;

use crate::reader::{HEADER, frame, frames};
use crate::sample::Segment;

/// The index of the first event that this build does not know.
const NEXT_EVENT: u8 = 21;

#[test]
fn a_format_that_this_build_does_not_know_is_named_and_is_newer() {
    for newer in [FORMAT + 1, 9, u8::MAX] {
        let bytes = [b"OpenRTC", &[newer][..], b"whatever a later format may hold"].concat();
        assert_eq!(format(&bytes), Ok(newer));
        let torn = replay::<Worker>(&bytes, |_, _, _| {}).expect_err("nobody can read it");
        assert_eq!((torn.fault, torn.fault.is_newer()), (TornFault::Format(newer), true));
        assert_eq!((torn.offset, torn.lost), (0, bytes.len()));
        assert!(torn.to_string().contains(&format!("format {newer} is of a newer build")), "{torn}");
        let torn = replay::<Fleet>(&bytes, |_, _, _| {}).expect_err("nobody can read it");
        assert!(torn.fault.is_newer());
    }
    for never in [0, 1] {
        let bytes = [b"OpenRTC", &[never][..], b"whatever"].concat();
        let torn = replay::<Worker>(&bytes, |_, _, _| {}).expect_err("there is no such format");
        assert_eq!((torn.fault, torn.fault.is_newer()), (TornFault::Format(never), false));
    }
}

#[test]
fn the_format_is_told_by_the_first_eight_bytes() {
    assert_eq!(format(HEADER), Ok(FORMAT));
    assert_eq!(format(b"OpenRTCj"), Ok(1));
    for cut in 0..7 {
        assert_eq!(format(&HEADER[..cut]), Err(TornFault::Short));
    }
    assert_eq!(format(b"OpenRTX\x02"), Err(TornFault::NotASegment));
    assert_eq!(format(b"\x7fELF"), Err(TornFault::NotASegment));
}

#[test]
fn records_of_a_kind_that_this_build_does_not_know_are_stepped_over_and_counted() {
    let segment = Segment::whole();
    for kind in (0..=u8::MAX).filter(|kind| !(1..=7).contains(kind)) {
        let (mut bytes, mut from, mut newer) = (Vec::new(), 0, 0);
        for (end, _) in &segment.ends {
            bytes.extend_from_slice(&segment.bytes[from..*end]);
            for payload in [&b""[..], b"anything"] {
                bytes.extend_from_slice(&frame(kind, payload));
                newer += 1;
            }
            from = *end;
        }
        let mut entries = Vec::new();
        let read = replay::<Worker>(&bytes, |_, _, entry| entries.push(*entry)).expect("the opening is whole");
        assert_eq!((read.torn, read.whole, read.newer), (None, bytes.len(), newer), "kind {kind}");
        assert_eq!((read.state, read.ids), segment.after(segment.entries.len()), "kind {kind}");
        assert_eq!(entries, segment.entries, "kind {kind}");
        let (records, torn) = all::<Worker>(&bytes);
        assert_eq!((records.len(), torn), (segment.ends.len() + usize::try_from(newer).expect("few"), None));
        assert_eq!(records[1], Record::Newer { kind });
    }
}

#[test]
fn a_damaged_record_of_an_unknown_kind_is_damage() {
    let segment = Segment::whole();
    let unknown = frame(99, b"anything");
    for at in 0..unknown.len() {
        let mut bytes = [&segment.bytes[..], &unknown].concat();
        bytes[segment.bytes.len() + at] ^= 0x10;
        let read = replay::<Worker>(&bytes, |_, _, _| {}).expect("the opening is whole");
        let torn = read.torn.expect("damage is reported");
        assert_eq!((read.whole, torn.fault, torn.fault.is_newer()), (segment.bytes.len(), TornFault::Checksum, false));
    }
}

#[test]
fn an_entry_that_this_build_does_not_know_stops_the_reader_and_is_newer() {
    let segment = Segment::whole();
    let last = *frames(&segment.bytes).last().expect("there are frames");
    let before = segment.ends[segment.ends.len() - 2].0;
    let number = &last.payload[..1];
    let ended_by_a_later_reason = [number, &[0, 0, 8, 4, 10]].concat();
    for (name, payload) in [
        ("a later event", [number, &[0, 0, NEXT_EVENT]].concat()),
        ("a later event with fields", [number, &[0, 0, NEXT_EVENT, 1, 2, 3]].concat()),
        ("a call ended for a later reason", ended_by_a_later_reason),
        ("a class that there is not yet", [number, &[0, 0, 3, 7, 4]].concat()),
        ("a field more", [last.payload, &[0]].concat()),
        ("nothing", Vec::new()),
    ] {
        let bytes = [&segment.bytes[..before], &frame(3, &payload)].concat();
        let read = replay::<Worker>(&bytes, |_, _, _| {}).expect("the opening is whole");
        let torn = read.torn.expect("it cannot be read");
        assert_eq!((torn.offset, torn.fault, torn.fault.is_newer()), (before, TornFault::Newer, true), "{name}");
        assert_eq!((read.state, read.ids), segment.after(segment.entries.len() - 1), "{name}");
        assert!(torn.to_string().contains("newer build"), "{torn}");
    }
    // The same bytes with an event that there is are read.
    let bytes = [&segment.bytes[..before], &frame(3, last.payload)].concat();
    assert_eq!(replay::<Worker>(&bytes, |_, _, _| {}).expect("the opening is whole").torn, None);
}

#[test]
fn an_opening_that_this_build_does_not_know_is_newer() {
    let opening = [HEADER, &frame(1, b"an opening of a later build")].concat();
    let torn = replay::<Worker>(&opening, |_, _, _| {}).expect_err("it cannot be read");
    assert_eq!((torn.offset, torn.fault), (HEADER.len(), TornFault::Newer));
}

#[test]
fn an_opening_that_counts_for_more_reasons_than_this_build_knows_is_newer() {
    let segment = Segment::whole();
    let opening = frames(&segment.bytes)[0];
    // The state ends with what it counted: ten reasons, each zero so far, and seven numbers more.
    let (before, tally) = opening.payload.split_at(opening.payload.len() - 18);
    assert_eq!(tally, [&[10][..], &[0; 17]].concat());
    let with = |reasons: u8| {
        [HEADER, &frame(1, &[before, &[reasons], &vec![0; usize::from(reasons)], &[0; 7]].concat())].concat()
    };
    let read = |reasons| replay::<Worker>(&with(reasons), |_, _, _| {}).map(|read| read.state);
    assert_eq!((read(10), read(7)), (Ok(segment.start.clone()), Ok(segment.start)));
    assert_eq!(read(11).map_err(|torn| torn.fault), Err(TornFault::Newer));
}

#[test]
fn a_segment_begins_with_an_opening() {
    let entry = frames(&Segment::whole().bytes)[1].payload.to_vec();
    for (kind, payload, fault) in [
        (2, b"\x01call".to_vec(), TornFault::Misplaced),
        (3, entry, TornFault::Misplaced),
        // Perhaps it is the opening of a later build.
        (99, b"anything".to_vec(), TornFault::Newer),
    ] {
        let bytes = [HEADER, &frame(kind, &payload), &frame(kind, &payload)].concat();
        let torn = replay::<Worker>(&bytes, |_, _, _| {}).expect_err("there is no opening");
        assert_eq!((torn.offset, torn.lost, torn.fault), (HEADER.len(), bytes.len() - HEADER.len(), fault));
    }
}

#[test]
fn the_records_of_another_machine_are_not_read_as_ones_own() {
    let segment = Segment::whole();
    let torn = replay::<Fleet>(&segment.bytes, |_, _, _| {}).expect_err("it is a worker's");
    assert_eq!((torn.offset, torn.fault), (HEADER.len(), TornFault::Misplaced));
    for fleets in [4, 5] {
        let bytes = [&segment.bytes[..], &frame(fleets, b"anything")].concat();
        let read = replay::<Worker>(&bytes, |_, _, _| {}).expect("the opening is whole");
        assert_eq!(read.torn.map(|torn| torn.fault), Some(TornFault::Misplaced));
        assert_eq!((read.whole, read.newer), (segment.bytes.len(), 0));
    }
}

#[test]
fn a_fleet_has_no_journal_of_format_1() {
    let old = b"OpenRTCj\x00\x00\x00\x00\x01";
    let torn = replay::<Fleet>(old, |_, _, _| {}).expect_err("only workers had one");
    assert_eq!((torn.offset, torn.lost, torn.fault), (0, old.len(), TornFault::Misplaced));
}

#[test]
fn reading_ends_at_the_first_record_that_is_not_whole() {
    let segment = Segment::whole();
    let bytes = [&segment.bytes[..segment.ends[2].0], b"xxx", &segment.bytes[segment.ends[2].0..]].concat();
    let mut records = Records::new(&bytes);
    let read: Vec<_> = std::iter::from_fn(|| records.next::<Worker>()).collect();
    assert_eq!(read.len(), 4);
    assert!(read[..3].iter().all(Result::is_ok) && read[3].is_err());
    assert_eq!(records.next::<Worker>(), None);
}
