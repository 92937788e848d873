//! Segments cut short or altered: what is whole before the damage is recovered exactly, and nothing else is.

use openrtc_core::journal::{Replay, Torn, TornFault, replay};
use openrtc_core::worker::{Entry, Worker};

use crate::reader::{self, HEADER};
use crate::sample::Segment;

/// Where a segment's format is told.
const FORMAT_AT: usize = HEADER.len() - 1;

#[test]
fn cut_at_any_byte_the_whole_frames_before_it_are_recovered() {
    for segment in [Segment::whole(), Segment::rotated()] {
        for cut in 0..=segment.bytes.len() {
            let boundary = segment.ends.iter().any(|(end, _)| *end == cut);
            match read(&segment.bytes[..cut]) {
                Err(torn) => {
                    let offset = if cut < HEADER.len() { 0 } else { HEADER.len() };
                    assert_eq!(torn, Torn { offset, lost: cut - offset, fault: TornFault::Short }, "cut at {cut}");
                    assert!(segment.ends[0].0 > cut, "cut at {cut}");
                }
                Ok(read) => {
                    let whole = recovered(&read, &segment, cut);
                    let torn = Torn { offset: whole, lost: cut - whole, fault: TornFault::Short };
                    assert_eq!(read.0.torn, (!boundary).then_some(torn), "cut at {cut}");
                }
            }
        }
    }
}

/// A file that ends inside a frame is an append that a crash cut short. Nothing else is taken for that: no other
/// length, no other kind, no other checksum.
#[test]
fn whatever_byte_is_altered_the_frames_before_it_are_recovered_and_no_other_entry_is_read() {
    let Segment { bytes, ends, .. } = &Segment::whole();
    for (at, value) in (0..bytes.len()).flat_map(|at| (0..=u8::MAX).map(move |value| (at, value))) {
        if bytes[at] == value {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[at] = value;
        let torn = match read(&damaged) {
            Err(torn) => torn,
            Ok(read) => {
                recovered(&read, &Segment::whole(), at);
                read.0.torn.expect("damage is reported")
            }
        };
        let (start, fault) = match at {
            ..FORMAT_AT => (0, TornFault::NotASegment),
            // That a letter makes it an older format, whose frames are other ones.
            FORMAT_AT if value == b'j' => (HEADER.len(), TornFault::Checksum),
            FORMAT_AT => (0, TornFault::Format(value)),
            _ => {
                (ends.iter().map(|(end, _)| *end).rfind(|end| *end <= at).unwrap_or(HEADER.len()), TornFault::Checksum)
            }
        };
        assert_eq!(torn, Torn { offset: start, lost: bytes.len() - start, fault }, "{value:#x} at {at}");
    }
}

#[test]
fn frames_left_out_repeated_or_swapped_are_found() {
    let segment = Segment::whole();
    let Segment { bytes, ends, .. } = &segment;
    let frame = |nth: usize| &bytes[ends[nth - 1].0..ends[nth].0];
    let up_to = |nth: usize| &bytes[..ends[nth].0];
    let (sixth, seventh, eighth) = (6, 7, 8);
    assert_eq!([sixth, seventh, eighth].map(|nth| ends[nth].1), [6, 7, 8]);
    for (name, count, damaged) in [
        ("left out", 6, [up_to(sixth), frame(eighth)].concat()),
        ("repeated", 6, [up_to(sixth), frame(sixth)].concat()),
        ("swapped", 6, [up_to(sixth), frame(eighth), frame(seventh)].concat()),
        ("opened twice", 6, [up_to(sixth), &bytes[HEADER.len()..]].concat()),
        ("an id behind an entry", 6, [up_to(sixth), &reader::frame(2, b"\x03id")].concat()),
    ] {
        let (replayed, found) = read(&damaged).expect("the opening is whole");
        let torn = replayed.torn.expect("damage is reported");
        assert!(matches!(torn.fault, TornFault::Misfit(_) | TornFault::Misplaced), "{name}: {torn}");
        assert_eq!((replayed.entries, found), (count as u64, segment.entries[..count].to_vec()), "{name}");
        assert_eq!((replayed.state, replayed.ids), segment.after(count), "{name}");
    }
    let headless = [HEADER, frame(seventh)].concat();
    assert_eq!(read(&headless).map(drop).map_err(|torn| torn.fault), Err(TornFault::Misplaced));
}

type Read = (Replay<Worker>, Vec<Entry>);

/// The whole frames before `byte` were read, and nothing else. Returns where they end.
fn recovered((replayed, found): &Read, segment: &Segment, byte: usize) -> usize {
    let (whole, count) = *segment.ends.iter().rfind(|(end, _)| *end <= byte).expect("the opening is whole");
    assert_eq!((replayed.whole, replayed.newer), (whole, 0));
    assert_eq!((replayed.entries, &found[..]), (count as u64, &segment.entries[..count]));
    let (state, ids) = segment.after(count);
    assert_eq!((&replayed.opening.state, &replayed.state), (&segment.start, &state));
    // An opening can be cut off from the ids that follow it.
    let named: Vec<_> = replayed.ids.iter().collect();
    let all: Vec<_> = ids.iter().collect();
    assert!(named == all || (count == 0 && all.starts_with(&named)), "{named:?}");
    whole
}

fn read(bytes: &[u8]) -> Result<Read, Torn> {
    let mut entries = Vec::new();
    let replayed = replay(bytes, |_, _, entry| entries.push(*entry))?;
    Ok((replayed, entries))
}
