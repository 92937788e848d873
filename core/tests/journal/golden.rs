//! Golden bytes: what was written once can be read for ever. `golden_2.txt` holds each record's frame and two whole
//! segments in hexadecimal; a change to a line that is there breaks every journal on every disk, so only new lines are
//! ever right, and a new format number if an old one has to change.

use openrtc_core::journal::{Record, Records, replay};
use openrtc_core::worker::Worker;

use crate::reader::{self, HEADER};
use crate::sample::{Segment, framed, records};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/journal/golden_2.txt");

#[test]
fn every_record_is_written_as_pinned() {
    assert_pinned(PATH, &golden());
}

#[test]
#[ignore = "rewrites the golden bytes: for new records only"]
fn rewrite_the_golden_bytes() {
    std::fs::write(PATH, golden()).expect("the golden bytes can be written");
}

#[test]
fn every_pinned_record_is_read_back_by_both_readers() {
    let (pinned, records) = (pinned(PATH), records());
    assert_eq!(pinned.len(), records.len() + 2, "and the segments");
    for ((name, record), (pinned_name, frame)) in records.iter().zip(&pinned) {
        assert_eq!(name, pinned_name);
        let segment = [HEADER, frame].concat();
        let mut read = Records::new(&segment);
        assert_eq!((read.next().as_ref(), read.next::<Worker>()), (Some(&Ok(record.clone())), None), "{name}");
        let [frame] = reader::frames(&segment)[..] else { panic!("{name} is one frame") };
        assert_eq!((frame.kind, reader::told(frame.kind, frame.payload)), reader::expected(record), "{name}");
    }
}

#[test]
fn the_pinned_segments_are_read_back_by_both_readers() {
    let pinned = pinned(PATH);
    for (name, segment) in [("segment", Segment::whole()), ("segment/rotated", Segment::rotated())] {
        let (_, bytes) = pinned.iter().find(|line| line.0 == name).expect("it is pinned");
        let mut entries = Vec::new();
        let read = replay::<Worker>(bytes, |_, _, entry| entries.push(*entry)).expect("whole");
        assert_eq!((read.format, read.torn, read.whole, read.newer), (2, None, bytes.len(), 0));
        assert_eq!((read.state, read.ids), segment.after(entries.len()));
        assert_eq!(entries, segment.entries);

        let mut records = Records::new(bytes);
        for frame in reader::frames(bytes) {
            let record: Record<'_, Worker> = records.next().expect("there is one").expect("it is whole");
            assert_eq!((frame.kind, reader::told(frame.kind, frame.payload)), reader::expected(&record));
            assert_eq!(records.offset(), frame.end);
        }
    }
}

fn golden() -> String {
    let records = records().into_iter().map(|(name, record)| line(&name, &framed(&record)));
    let segments = [line("segment", &Segment::whole().bytes), line("segment/rotated", &Segment::rotated().bytes)];
    records.chain(segments).collect()
}

/// Compares what is written now with the golden bytes at `path`, line by line.
pub(crate) fn assert_pinned(path: &str, written: &str) {
    let pinned = read(path);
    for (pinned, written) in pinned.lines().zip(written.lines()) {
        assert_eq!(written, pinned);
    }
    assert_eq!(written.lines().count(), pinned.lines().count());
}

/// The golden bytes at `path`, each with its name.
pub(crate) fn pinned(path: &str) -> Vec<(String, Vec<u8>)> {
    lines(&read(path))
}

/// Lines of the form `name = bytes in hexadecimal`.
pub(crate) fn lines(text: &str) -> Vec<(String, Vec<u8>)> {
    let byte = |hex: &[u8]| u8::from_str_radix(str::from_utf8(hex).expect("ASCII"), 16).expect("hexadecimal");
    let line = |line: &str| {
        let (name, hex) = line.rsplit_once(" = ").expect("name = bytes");
        (name.to_owned(), hex.as_bytes().chunks(2).map(byte).collect())
    };
    text.lines().map(line).collect()
}

/// One such line.
pub(crate) fn line(name: &str, bytes: &[u8]) -> String {
    let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("{name} = {hex}\n")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).expect("the golden bytes are checked in")
}
