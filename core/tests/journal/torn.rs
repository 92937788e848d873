//! Segments cut short or altered: what is whole before the damage is recovered exactly, and nothing else is.

use openrtc_core::journal::{MAGIC, Replay, Torn, TornFault, replay};
use openrtc_core::machine::fold;
use openrtc_core::worker::Entry;

use crate::sample::{life, segment};

#[test]
fn cut_at_any_byte_the_whole_frames_before_it_are_recovered() {
    let (bytes, ends, entries) = segment();
    for cut in 0..=bytes.len() {
        let damaged = &bytes[..cut];
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let boundary = ends.contains(&cut);
        match read(damaged) {
            Err(torn) => {
                let offset = if cut < MAGIC.len() { 0 } else { MAGIC.len() };
                assert_eq!(torn, Torn { offset, lost: cut - offset, fault: TornFault::Short }, "cut at {cut}");
                assert_eq!(whole, 0, "cut at {cut}");
            }
            Ok((replayed, found)) => {
                recovered(&replayed, &found, &ends[..whole], &entries);
                let torn = Torn { offset: replayed.whole, lost: cut - replayed.whole, fault: TornFault::Short };
                assert_eq!(replayed.torn, (!boundary).then_some(torn), "cut at {cut}");
            }
        }
    }
}

#[test]
fn with_any_bit_or_byte_flipped_the_frames_before_it_are_recovered_and_no_other_entry_is_read() {
    let (bytes, ends, entries) = segment();
    let masks = || (0..8).map(|bit| 1_u8 << bit).chain([0xff]);
    for (at, mask) in (0..bytes.len()).flat_map(|at| masks().map(move |mask| (at, mask))) {
        let mut damaged = bytes.clone();
        damaged[at] ^= mask;
        let whole = ends.iter().filter(|end| **end <= at).count();
        match read(&damaged) {
            Err(torn) => {
                let offset = if at < MAGIC.len() { 0 } else { MAGIC.len() };
                assert_eq!((whole, torn.offset, torn.lost), (0, offset, bytes.len() - offset), "{mask:#x} at {at}");
            }
            Ok((replayed, found)) => {
                recovered(&replayed, &found, &ends[..whole], &entries);
                let torn = replayed.torn.expect("damage is reported");
                let start = ends[whole - 1];
                assert_eq!((torn.offset, torn.lost), (start, bytes.len() - start), "{mask:#x} at {at}");
            }
        }
    }
}

#[test]
fn frames_left_out_repeated_or_swapped_are_found() {
    let (bytes, ends, entries) = segment();
    let frame = |nth: usize| &bytes[ends[nth - 1]..ends[nth]];
    let up_to = |nth: usize| &bytes[..ends[nth]];
    for (name, damaged) in [
        ("left out", [up_to(2), frame(4)].concat()),
        ("repeated", [up_to(2), frame(2)].concat()),
        ("swapped", [up_to(2), frame(4), frame(3)].concat()),
        ("opened twice", [up_to(2), &bytes[MAGIC.len()..]].concat()),
    ] {
        let (replayed, found) = read(&damaged).expect("the opening is whole");
        recovered(&replayed, &found, &ends[..3], &entries);
        let torn = replayed.torn.expect("damage is reported");
        assert!(matches!(torn.fault, TornFault::Misfit(_) | TornFault::Misplaced), "{name}: {torn}");
    }
    let headless = [&MAGIC[..], frame(1)].concat();
    assert_eq!(read(&headless).map(drop).map_err(|torn| torn.fault), Err(TornFault::Misplaced));
}

/// The whole frames up to the last of `ends` were read, and nothing else.
fn recovered(replayed: &Replay, found: &[Entry], ends: &[usize], entries: &[Entry]) {
    let count = ends.len() - 1;
    assert_eq!(Some(&replayed.whole), ends.last());
    assert_eq!((replayed.entries, found), (count as u64, &entries[..count]));
    let mut state = life().0;
    fold(&mut state, &entries[..count]);
    assert_eq!(replayed.state, state);
}

fn read(bytes: &[u8]) -> Result<(Replay, Vec<Entry>), Torn> {
    let mut entries = Vec::new();
    let replayed = replay(bytes, |_, entry| entries.push(*entry))?;
    Ok((replayed, entries))
}
