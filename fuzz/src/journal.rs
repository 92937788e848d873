//! Arbitrary bytes as a journal segment.

use crc::{CRC_32_ISCSI, Crc};
use openrtc_core::journal::{FORMAT, MAGIC, Replay, Torn, replay, write_entry, write_opening};
use openrtc_core::machine::Machine;
use openrtc_core::word::Word;
use openrtc_core::worker::Command;

const HEAD: usize = 9;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Reads the bytes as they are, and once more with every checksum put right: chance alone never gets past one.
pub fn check(bytes: &[u8]) {
    check_segment(bytes);
    check_segment(&repaired(bytes));
}

fn check_segment(bytes: &[u8]) {
    let mut entries = Vec::new();
    let read = replay(bytes, |_, entry| entries.push(*entry));
    let replayed = match read {
        Ok(replayed) => replayed,
        Err(torn) => return check_torn(bytes, &torn),
    };
    assert!(replayed.state.is_sound(), "{:?}", replayed.state);
    assert_eq!(replayed.entries, entries.len() as u64);
    match &replayed.torn {
        Some(torn) => {
            assert_eq!(torn.offset, replayed.whole);
            check_torn(bytes, torn);
        }
        None => assert_eq!(replayed.whole, bytes.len()),
    }
    let whole = replay(&bytes[..replayed.whole], |_, _| {}).expect("what is whole can be read");
    assert_same(&whole, &replayed);

    let mut again = Vec::new();
    write_opening(replayed.opening.clone(), &mut again);
    entries.iter().for_each(|entry| write_entry(entry, &mut again));
    assert_same(&replay(&again, |_, _| {}).expect("what was read can be written"), &replayed);
    check_life(&replayed);
}

fn check_torn(bytes: &[u8], torn: &Torn) {
    assert_eq!(torn.offset + torn.lost, bytes.len(), "{torn}");
    assert!(!torn.to_string().is_empty());
}

fn assert_same(found: &Replay, expected: &Replay) {
    assert_eq!(found.opening, expected.opening);
    assert_eq!(found.state, expected.state);
    assert_eq!(found.entries, expected.entries);
    assert_eq!(found.torn, None);
}

/// A state that was accepted can be lived on in.
fn check_life(replayed: &Replay) {
    let mut state = replayed.state.clone();
    state.obligations(&mut |_| {});
    assert!(replayed.open_calls().count() == state.word().in_flight() as usize);
    for _ in 0..4 {
        let Some((due, why)) = state.deadline() else { return };
        if state.word().seq().get() == Word::SEQ_MAX {
            return;
        }
        let entry = state.decide(due, Command::Wake).expect("due");
        assert_eq!(state.fits(&entry), Ok(()), "{why:?}");
        state.apply(&entry);
        assert!(state.is_sound(), "{entry:?}: {state:?}");
    }
}

/// The same bytes with the magic, and each frame's format and checksum, as they should be.
pub fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some(magic) = bytes.get_mut(..MAGIC.len()) else { return bytes };
    magic.copy_from_slice(&MAGIC);
    let mut frames = &mut bytes[MAGIC.len()..];
    while let Some((head, rest)) = frames.split_first_chunk_mut::<HEAD>() {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some((payload, next)) = rest.split_at_mut_checked(len) else { break };
        head[4] = FORMAT;
        let mut digest = CRC.digest();
        digest.update(&head[..5]);
        digest.update(payload);
        head[5..].copy_from_slice(&digest.finalize().to_le_bytes());
        frames = next;
    }
    bytes
}
