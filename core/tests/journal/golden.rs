//! Golden bytes: what was written once can be read for ever. `golden.txt` holds each record's payload and one whole
//! segment in hexadecimal; a change to a line that is there breaks every journal on every disk, so only new lines are
//! ever right, and a new format number if an old one has to change.

use std::fmt::Write;

use openrtc_core::codec;
use openrtc_core::journal::{PAYLOAD_MAX, Record, replay};

use crate::reader;
use crate::sample::{records, segment};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/journal/golden.txt");

#[test]
fn every_record_is_written_as_pinned() {
    let pinned = std::fs::read_to_string(PATH).expect("the golden bytes are checked in");
    let written = golden();
    for (pinned, written) in pinned.lines().zip(written.lines()) {
        assert_eq!(written, pinned);
    }
    assert_eq!(written.lines().count(), pinned.lines().count());
}

#[test]
#[ignore = "rewrites the golden bytes: for new records only"]
fn rewrite_the_golden_bytes() {
    std::fs::write(PATH, golden()).expect("the golden bytes can be written");
}

#[test]
fn every_pinned_record_is_read_back_by_both_readers() {
    let pinned = pinned();
    let records = records();
    assert_eq!(pinned.len(), records.len() + 1, "and the segment");
    for ((name, record), (pinned_name, bytes)) in records.iter().zip(&pinned) {
        assert_eq!(name, pinned_name);
        assert_eq!(codec::decode::<Record, PAYLOAD_MAX>(bytes).as_ref(), Ok(record), "{name}");
        assert_eq!(reader::told(bytes), reader::expected(record), "{name}");
    }
}

#[test]
fn the_pinned_segment_is_read_back_by_both_readers() {
    let (name, bytes) = pinned().pop().expect("the segment is the last line");
    assert_eq!(name, "segment");
    let mut entries = Vec::new();
    let read = replay(&bytes, |_, entry| entries.push(*entry)).expect("whole");
    assert_eq!((read.torn, &entries), (None, &segment().2));
    let payloads = reader::payloads(&bytes);
    let records = [Record::Opened(Box::new(read.opening))].into_iter().chain(entries.into_iter().map(Record::Entry));
    assert!(payloads.iter().map(|payload| reader::told(payload)).eq(records.map(|record| reader::expected(&record))));
}

fn golden() -> String {
    let mut text = String::new();
    let mut line = |name: &str, bytes: &[u8]| {
        let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        writeln!(text, "{name} = {hex}").expect("memory takes text");
    };
    for (name, record) in records() {
        let mut bytes = Vec::new();
        codec::encode(&record, &mut bytes);
        line(&name, &bytes);
    }
    line("segment", &segment().0);
    text
}

fn pinned() -> Vec<(String, Vec<u8>)> {
    let text = std::fs::read_to_string(PATH).expect("the golden bytes are checked in");
    let byte = |hex: &[u8]| u8::from_str_radix(str::from_utf8(hex).expect("ASCII"), 16).expect("hexadecimal");
    let line = |line: &str| {
        let (name, hex) = line.rsplit_once(" = ").expect("name = bytes");
        (name.to_owned(), hex.as_bytes().chunks(2).map(byte).collect())
    };
    text.lines().map(line).collect()
}
