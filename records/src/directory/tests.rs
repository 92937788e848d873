use std::collections::BTreeSet;

use openrtc_core::id::{Deployment, IdLog, Identity, Version, WorkerId};
use openrtc_core::journal::{Opening, Run, write_opening};
use openrtc_core::worker::{Limits, Worker};
use tempfile::{TempDir, tempdir};

use super::*;

/// A worker's segment that holds nothing but its opening.
fn segment(incarnation: u64) -> Vec<u8> {
    let identity = Identity {
        deployment: const { Deployment::from_static("test") },
        version: const { Version::from_static("v1") },
        worker: const { WorkerId::from_static("w") },
        incarnation: Incarnation::new(incarnation),
    };
    let (about, state) = (Run { identity, predecessor: None }, Worker::new(Limits::default()).expect("valid"));
    let mut bytes = Vec::new();
    write_opening(&Opening { about, state }, &IdLog::default(), &mut bytes);
    bytes
}

fn put(dir: &TempDir, incarnation: u64, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(file_name(Incarnation::new(incarnation), Seq::new(1)));
    fs::write(&path, bytes).expect("written");
    path
}

/// What is taken away with room for `total` bytes, and whether each is in a ledger.
fn taken(current: &Path, total: u64) -> Vec<PathBuf> {
    let mut gone = Vec::new();
    trim(current, total, |path| gone.push(path.to_owned())).expect("a directory");
    assert!(gone.iter().all(|path| !path.exists() && path.with_extension(LEDGER).exists()));
    gone
}

#[test]
fn just_enough_goes_and_never_the_current_segment() {
    let size = segment(1).len() as u64;
    for (total, expected) in
        [(4 * size, 0), (4 * size - 1, 1), (3 * size, 1), (2 * size, 2), (size, 3), (size - 1, 3), (0, 3)]
    {
        let dir = tempdir().expect("a directory");
        let paths = [1, 2, 3, 4].map(|run| put(&dir, run, &segment(run)));
        assert_eq!(taken(&paths[3], total), paths[..expected], "room for {total} bytes of {}", 4 * size);
    }
    // Whoever makes room is behind: the segment that is written now is a later one.
    let dir = tempdir().expect("a directory");
    let paths = [1, 2, 3].map(|run| put(&dir, run, &segment(run)));
    assert_eq!(taken(&paths[1], 0), paths[..1]);
}

#[test]
fn what_a_newer_build_wrote_is_left_and_takes_no_room_from_the_others() {
    let size = segment(1).len() as u64;
    let mut of_format_3 = segment(1);
    of_format_3[7] = 3;
    let known = segment(2);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    // The same frame, of a kind that will open segments one day.
    let head = [&known[8..12], &[200]].concat();
    let mut of_another_kind = known.clone();
    of_another_kind[12] = 200;
    of_another_kind[13..17].copy_from_slice(&crc.checksum(&head).to_le_bytes());
    for newer in [&of_format_3, &of_another_kind] {
        let dir = tempdir().expect("a directory");
        let first = put(&dir, 1, &newer.repeat(10));
        let paths = [2, 3, 4].map(|run| put(&dir, run, &segment(run)));
        assert_eq!(taken(&paths[2], 3 * size), [] as [PathBuf; 0], "the three that count have room");
        assert_eq!(taken(&paths[2], 2 * size), paths[..1]);
        assert_eq!(fs::read(&first).expect("still there"), newer.repeat(10));
    }
}

#[test]
fn what_cannot_be_read_is_evidence_and_stays() {
    let dir = tempdir().expect("a directory");
    let (mut altered, whole) = (segment(1), segment(2));
    *altered.last_mut().expect("not empty") ^= 1;
    let (first, second) = (put(&dir, 1, &altered), put(&dir, 2, &whole));
    let third = put(&dir, 3, b"");
    let current = put(&dir, 4, &segment(4));
    assert_eq!(taken(&current, 0), [second]);
    assert!(first.exists() && third.exists());
}

#[test]
fn a_file_is_there_whole_or_not_at_all() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("file");
    let names =
        || fs::read_dir(dir.path()).expect("there").map(|file| file.expect("a file").path()).collect::<BTreeSet<_>>();
    let full = place(&path, |file| {
        io::Write::write_all(file, b"half")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert!(full.is_err() && names().is_empty(), "{:?}", names());
    place(&path, |file| io::Write::write_all(file, b"whole")).expect("room");
    assert_eq!((fs::read(&path).expect("there"), names().len()), (b"whole".to_vec(), 1));
}
