//! Arbitrary bytes as a journal segment.

use crc::{CRC_32_ISCSI, Crc};
use openrtc_core::id::{CallNo, IdLog};
use openrtc_core::journal::{
    Batch, FORMAT, MAGIC, Opening, Record, Records, Replay, Torn, TornFault, format, replay, write_batch, write_opening,
};
use openrtc_core::machine::Machine;
use openrtc_core::word::Word;
use openrtc_core::worker::{Command, Entry, Worker};

/// Bytes of a magic with its format, and of a frame's head, in this format and in format 1.
const MAGIC_LEN: usize = 8;
const HEAD: usize = 13;
const HEAD_1: usize = 9;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Reads the bytes as they are, and once more with every checksum put right: chance alone never gets past one.
pub fn check(bytes: &[u8]) {
    check_segment(bytes);
    check_segment(&repaired(bytes));
}

fn check_segment(bytes: &[u8]) {
    let mut entries = Vec::new();
    let replayed = match replay::<Worker>(bytes, |_, _, entry| entries.push(*entry)) {
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
    let whole = read(&bytes[..replayed.whole]);
    assert_same(&whole, &replayed);
    assert_eq!(whole.newer, replayed.newer);
    if format(bytes) == Ok(FORMAT) {
        assert_same(&read(&rewritten(&replayed, entries)), &replayed);
        check_records(bytes, &replayed);
    }
    check_life(&replayed);
}

fn read(bytes: &[u8]) -> Replay<Worker> {
    replay(bytes, |_, _, _| {}).expect("the opening is whole")
}

fn check_torn(bytes: &[u8], torn: &Torn) {
    assert_eq!(torn.offset + torn.lost, bytes.len(), "{torn}");
    assert!(!torn.to_string().is_empty());
}

fn assert_same(found: &Replay<Worker>, expected: &Replay<Worker>) {
    assert_eq!(found.opening, expected.opening);
    assert_eq!(found.state, expected.state);
    assert_eq!(found.ids, expected.ids);
    assert_eq!(found.entries, expected.entries);
    assert_eq!(found.torn, None);
}

/// What was read, written by this build: each id that is still known with the entry that begins its call.
fn rewritten(replayed: &Replay<Worker>, entries: Vec<Entry>) -> Vec<u8> {
    let opened = |call: CallNo| replayed.opening.state.calls().get(call).is_some();
    let ids = |at_opening: bool| {
        let mut log = IdLog::default();
        log.extend(replayed.ids.iter().filter(|(call, _)| opened(*call) == at_opening));
        log
    };
    let mut bytes = Vec::new();
    write_opening(&replayed.opening, &ids(true), &mut bytes);
    write_batch::<Worker>(&Batch { entries, ids: ids(false) }, &mut bytes);
    bytes
}

/// The records that were folded are those that can be read one by one, and each entry fits; the one that stopped the
/// fold does not.
fn check_records(bytes: &[u8], replayed: &Replay<Worker>) {
    let (mut records, mut state) = (Records::new(bytes), replayed.opening.state.clone());
    while records.offset() < replayed.whole {
        if let Record::Entry { entry, .. } = records.next::<Worker>().expect("there is more").expect("it is whole") {
            assert_eq!(state.fits(&entry), Ok(()));
            state.apply(&entry);
        }
    }
    assert_eq!((records.offset(), &state), (replayed.whole, &replayed.state));
    if let Some(TornFault::Misfit(misfit)) = replayed.torn.map(|torn| torn.fault) {
        let next = records.next::<Worker>();
        let Some(Ok(Record::Entry { entry, .. })) = next else { panic!("only an entry can misfit") };
        assert_eq!(state.fits(&entry), Err(misfit));
    }
}

/// A state that was accepted can be lived on in, and opens a segment.
fn check_life(replayed: &Replay<Worker>) {
    let mut state = replayed.state.clone();
    state.obligations(&mut |_| {});
    assert_eq!(replayed.open_calls().count(), state.word().in_flight() as usize);
    assert!(replayed.ids.iter().all(|(call, _)| state.calls().get(call).is_some()));
    let (mut opening, mut ids) = (Vec::new(), IdLog::default());
    ids.extend(replayed.ids.iter());
    write_opening(&Opening { about: replayed.opening.about, state: state.clone() }, &ids, &mut opening);
    let opened = read(&opening);
    assert_eq!((&opened.state, &opened.ids, opened.torn), (&state, &replayed.ids, None));
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

/// The same bytes with the magic and each frame's checksums as they should be, in the format that they are of.
pub fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some((magic, frames)) = bytes.split_first_chunk_mut::<MAGIC_LEN>() else { return bytes };
    magic[..MAGIC.len()].copy_from_slice(&MAGIC);
    if magic[MAGIC.len()] == b'j' {
        repair_1(frames);
    } else {
        magic[MAGIC.len()] = FORMAT;
        repair(frames);
    }
    bytes
}

fn repair(mut frames: &mut [u8]) {
    while let Some((head, rest)) = frames.split_first_chunk_mut::<HEAD>() {
        let Some((payload, next)) = rest.split_at_mut_checked(len(head)) else { break };
        let (said, checks) = head.split_at_mut(5);
        checks[..4].copy_from_slice(&crc([said]));
        checks[4..].copy_from_slice(&crc([said, payload]));
        frames = next;
    }
}

fn repair_1(mut frames: &mut [u8]) {
    while let Some((head, rest)) = frames.split_first_chunk_mut::<HEAD_1>() {
        let Some((payload, next)) = rest.split_at_mut_checked(len(head)) else { break };
        head[4] = 1;
        let (said, check) = head.split_at_mut(5);
        check.copy_from_slice(&crc([said, payload]));
        frames = next;
    }
}

const fn len(head: &[u8]) -> usize {
    u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize
}

/// Of the parts one after the other.
fn crc<const N: usize>(parts: [&[u8]; N]) -> [u8; 4] {
    let mut digest = CRC.digest();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().to_le_bytes()
}
