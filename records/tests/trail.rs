//! The files of a trail: written, rotated by us and by others, and read on from any record.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openrtc_core::audit::{Chain, Draft, EventName, EventResult, Target, verify};
use openrtc_core::id::{Actor, Deployment, Identity, Incarnation, Seq, Version, WorkerId};
use openrtc_core::time::Instant;
use openrtc_records::journal::Sync;
use openrtc_records::trail::{
    Disturbance, LINE_MAX, Reached, TrailError, TrailFile, TrailReader, Whose, lineage, parts,
};
use tempfile::{TempDir, tempdir};

const PERIOD: Duration = Duration::from_secs(1);

const IDENTITY: Identity = Identity {
    deployment: Deployment::from_static("voice"),
    version: Version::from_static("v1"),
    worker: WorkerId::from_static("w"),
    incarnation: Incarnation::new(1),
};

fn whose() -> Whose {
    Whose { deployment: "voice".into(), worker: "w".into() }
}

/// A trail in a directory of its own.
struct Rig {
    dir: TempDir,
    file: TrailFile,
}

impl Rig {
    fn new(most: u64) -> Self {
        let dir = tempdir().unwrap();
        let file = open(dir.path(), most).unwrap();
        Self { dir, file }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("trail")
    }

    /// Writes so many records.
    fn write(&mut self, records: usize) {
        let mut chain = self.file.chain;
        let lines = lines(&mut chain, records);
        self.file.append(&lines, chain, Instant::EPOCH).unwrap();
    }

    /// Every record that a reader gets, in batches of at most so many bytes.
    fn read(&self, most: u64) -> Vec<u8> {
        let (mut reader, mut all, mut next) = (self.reader(), Vec::new(), 1);
        while let Some(batch) = reader.read(next, most).unwrap() {
            assert_eq!(batch.first, next);
            all.extend(batch.lines);
            next = batch.last + 1;
        }
        all
    }

    fn reader(&self) -> TrailReader {
        TrailReader::new(self.path(), whose())
    }
}

fn open(dir: &Path, most: u64) -> Result<TrailFile, TrailError> {
    TrailFile::open(&dir.join("trail"), Sync::Always, most, &whose())
}

fn lines(chain: &mut Chain, records: usize) -> Vec<u8> {
    let mut lines = Vec::new();
    for _ in 0..records {
        let entry = Seq::new(chain.records + 1);
        let draft = Draft {
            at: Instant::EPOCH,
            event: EventName::CallDeclined,
            entry,
            actor: Actor::from_static("alice"),
            target: Target::Worker,
            result: EventResult::Refused,
            reason: "full",
            count: 1,
        };
        chain.append(&IDENTITY, &draft, &mut lines);
    }
    lines
}

/// Whether it is a whole trail of so many records.
fn assert_whole(text: &[u8], records: usize) {
    let report = verify(text, Some(Chain::default()), &[]);
    assert_eq!((report.faults, report.records), (vec![], records));
}

#[test]
fn what_is_written_is_due_on_disk_a_period_after_the_first_of_it() {
    let dir = tempdir().unwrap();
    let mut trail = TrailFile::open(&dir.path().join("trail"), Sync::Every(PERIOD), 1 << 20, &whose()).unwrap();
    let mut now = Instant::EPOCH;
    assert_eq!(trail.sync_in(now), None);
    trail.append(b"one\n", Chain::default(), now).unwrap();
    now = now + (PERIOD / 4).into();
    trail.append(b"two\n", Chain::default(), now).unwrap();
    assert_eq!(trail.sync_in(now), Some(PERIOD * 3 / 4));
    now = now + PERIOD.into();
    assert_eq!(trail.sync_in(now), Some(Duration::ZERO));
    trail.sync().unwrap();
    assert_eq!(trail.sync_in(now), None);
}

#[test]
fn what_is_forced_at_once_is_never_due() {
    let mut rig = Rig::new(1 << 20);
    rig.file.append(b"one\n", Chain::default(), Instant::EPOCH).unwrap();
    assert_eq!((rig.file.sync_in(Instant::EPOCH), rig.file.length()), (None, 4));
}

#[test]
fn a_rotated_trail_is_read_over_all_its_parts_and_goes_on_after_a_restart() {
    let mut rig = Rig::new(2_000);
    for _ in 0..5 {
        assert!(!rig.file.is_full_with(0));
        while !rig.file.is_full_with(0) {
            rig.write(1);
        }
        rig.file.rotate().unwrap();
        assert_eq!((rig.file.length(), fs::metadata(rig.path()).unwrap().len()), (0, 0));
    }
    let records = usize::try_from(rig.file.chain.records).unwrap();
    let found = parts(&rig.path(), &whose()).unwrap();
    assert_eq!((found.len(), found[0].first), (5, 1), "an empty file is no part yet");
    assert!(found[1].path.to_str().unwrap().ends_with(&format!("trail.{:012}", found[1].first)));
    for most in [1, 1_000, 1 << 20] {
        assert_whole(&rig.read(most), records);
    }
    // The next run begins with an empty file, and goes on after the last part.
    let Rig { dir, file } = rig;
    let last = Reached { incarnation: IDENTITY.incarnation, entry: Seq::new(file.chain.records), records: 1 };
    let end = (file.chain, last);
    drop(file);
    let mut rig = Rig { file: open(dir.path(), 2_000).unwrap(), dir };
    assert_eq!((rig.file.chain, rig.file.reached), end);
    rig.write(3);
    assert_whole(&rig.read(700), records + 3);
    assert_eq!(parts(&rig.path(), &whose()).unwrap().len(), 6);
}

#[test]
fn the_lineage_of_a_file_are_the_parts_that_lead_up_to_it() {
    let mut rig = Rig::new(2_000);
    for _ in 0..3 {
        rig.write(7);
        rig.file.rotate().unwrap();
    }
    rig.write(2);
    let read = |files: Vec<PathBuf>| files.iter().flat_map(|file| fs::read(file).unwrap()).collect::<Vec<_>>();
    // A copy of everything so far leads nowhere, nor does one of a part.
    fs::write(rig.dir.path().join("trail.copy"), rig.read(1 << 20)).unwrap();
    let parts: Vec<_> = (0..3).map(|part| rig.dir.path().join(format!("trail.{:012}", 1 + 7 * part))).collect();
    fs::copy(&parts[1], rig.dir.path().join("trail.other")).unwrap();
    let files = lineage(&rig.path()).unwrap();
    assert_eq!(files.len(), 4);
    assert_whole(&read(files), 23);
    assert_eq!(lineage(&parts[1]).unwrap(), [parts[1].clone()], "a part's own name leads to no other");
    fs::remove_file(&parts[0]).unwrap();
    fs::remove_file(&parts[1]).unwrap();
    fs::remove_file(rig.dir.path().join("trail.other")).unwrap();
    assert_eq!(lineage(&rig.path()).unwrap(), [parts[2].clone(), rig.path()], "what is before a gap is left out");
    let missing = rig.dir.path().join("nobody");
    assert!(lineage(&missing).is_err());
}

#[test]
fn a_part_that_is_there_already_is_never_overwritten() {
    let mut rig = Rig::new(600);
    rig.write(3);
    let taken = rig.dir.path().join("trail.000000000001");
    fs::write(&taken, "precious").unwrap();
    let error = rig.file.rotate().unwrap_err().to_string();
    assert!(error.contains("trail.000000000001") && error.contains("is there already"), "{error}");
    assert_eq!(fs::read(&taken).unwrap(), b"precious");
    assert!(!rig.file.is_full_with(0), "it is tried again only after as much more");
    rig.write(3);
    assert!(rig.file.is_full_with(0));
    assert_whole(&fs::read(rig.path()).unwrap(), 6);
}

#[test]
fn what_others_do_to_the_file_is_noticed_and_the_trail_goes_on_without_a_gap() {
    let mut rig = Rig::new(1 << 20);
    rig.write(3);
    assert_eq!(rig.file.look().unwrap(), None);

    let aside = rig.dir.path().join("trail.1");
    fs::rename(rig.path(), &aside).unwrap();
    assert_eq!(rig.file.look().unwrap(), Some(Disturbance::Renamed));
    assert_eq!(rig.file.look().unwrap(), None, "it is told once");
    rig.write(2);
    assert_whole(&rig.read(500), 5);

    // A log rotator puts an empty file there.
    fs::rename(rig.path(), rig.dir.path().join("trail-20260101")).unwrap();
    fs::write(rig.path(), "").unwrap();
    assert_eq!(rig.file.look().unwrap(), Some(Disturbance::Renamed));
    rig.write(2);
    assert_whole(&rig.read(500), 7);

    fs::remove_file(rig.path()).unwrap();
    assert_eq!(rig.file.look().unwrap(), Some(Disturbance::Renamed));
    rig.write(1);
    assert_eq!(rig.reader().read(6, 1).unwrap().unwrap().first, 8, "6 and 7 were removed, and 8 is next");

    let copy = rig.dir.path().join("trail.copy");
    rig.write(3);
    fs::copy(rig.path(), &copy).unwrap();
    fs::OpenOptions::new().write(true).open(rig.path()).unwrap().set_len(0).unwrap();
    assert_eq!(rig.file.look().unwrap(), Some(Disturbance::Truncated));
    rig.write(2);
    let text = [fs::read(&copy).unwrap(), fs::read(rig.path()).unwrap()].concat();
    let report = verify(&text, None, &[]);
    assert_eq!((report.faults, report.records, report.end), (vec![], 6, rig.file.chain));
    assert_eq!(rig.reader().read(8, 1 << 20).unwrap().unwrap().last, 11);
    assert_eq!(rig.reader().read(12, 1 << 20).unwrap().unwrap().last, 13);

    fs::OpenOptions::new().append(true).open(rig.path()).unwrap().write_all(b"not a record").unwrap();
    assert_eq!(rig.file.look().unwrap(), Some(Disturbance::Written));
    rig.write(2);
    let mut reader = rig.reader();
    assert_eq!(reader.read(12, 1 << 20).unwrap().unwrap().last, 13, "what is no record is never read");
    let last = reader.read(14, 1 << 20).unwrap().unwrap();
    assert_eq!((last.first, last.last), (14, 15));
    assert_eq!(reader.read(16, 1 << 20).unwrap(), None);
}

#[test]
fn a_reader_reads_a_part_to_its_end_that_is_moved_away_meanwhile() {
    let mut rig = Rig::new(1 << 20);
    rig.write(4);
    let mut reader = rig.reader();
    let one = reader.read(1, 1).unwrap().unwrap();
    assert_eq!((one.first, one.last), (1, 1));
    // To where no reader looks.
    let elsewhere = tempdir().unwrap();
    fs::rename(rig.path(), elsewhere.path().join("away")).unwrap();
    rig.file.look().unwrap();
    rig.write(2);
    let again = reader.read(1, 1).unwrap().unwrap();
    assert_eq!(again, one, "what was not taken is read again");
    let rest = reader.read(2, 1 << 20).unwrap().unwrap();
    assert_eq!((rest.first, rest.last), (2, 4));
    let new = reader.read(5, 1 << 20).unwrap().unwrap();
    assert_eq!((new.first, new.last), (5, 6));
    assert_eq!(reader.read(7, 1).unwrap(), None);
    rig.write(1);
    assert_eq!(reader.read(7, 1).unwrap().unwrap().last, 7);
    assert_eq!(reader.read(1, 1).unwrap().unwrap().first, 5, "what is nowhere is passed over");
}

#[test]
fn only_parts_of_this_trail_are_parts() {
    let mut rig = Rig::new(1 << 20);
    rig.write(2);
    let beside = |name: &str, content: &[u8]| fs::write(rig.dir.path().join(name), content).unwrap();
    let text = fs::read(rig.path()).unwrap();
    beside("trail.sent", b"{\"records\":1}");
    beside("trail.empty", b"");
    beside("trail.half", &text[..100]);
    beside("trail.long", &vec![b'x'; 2 * usize::try_from(LINE_MAX).unwrap()]);
    beside("other", &text);
    beside("trail.other", String::from_utf8(text.clone()).unwrap().replace("\"w\"", "\"x\"").as_bytes());
    fs::create_dir(rig.dir.path().join("trail.dir")).unwrap();
    assert_eq!(parts(&rig.path(), &whose()).unwrap().len(), 1);
    beside("trail.gone", &text);
    assert_eq!(parts(&rig.path(), &whose()).unwrap().last().unwrap().path, rig.path());
}

#[test]
fn what_is_no_trail_is_neither_written_nor_cut() {
    for content in ["not a trail\n", "not a trail", "{\"seq\":1}\nnot a trail"] {
        let dir = tempdir().unwrap();
        fs::write(dir.path().join("trail"), content).unwrap();
        let error = open(dir.path(), 1 << 20).unwrap_err();
        assert!(matches!(error, TrailError::NotATrail { .. }), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("trail")).unwrap(), content);

        let mut rig = Rig::new(1 << 20);
        rig.write(1);
        fs::remove_file(rig.path()).unwrap();
        fs::write(rig.path(), content).unwrap();
        assert!(matches!(rig.file.look(), Err(TrailError::NotATrail { .. })), "{content}");
        assert_eq!(fs::read_to_string(rig.path()).unwrap(), content);
        fs::remove_file(rig.path()).unwrap();
        assert_eq!(rig.file.look().unwrap(), Some(Disturbance::Renamed));
    }
}
