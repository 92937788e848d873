//! The trail's file: append-only lines, continued where the run before left off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use openrtc_core::audit::{Chain, verify};
use openrtc_core::id::{Incarnation, Seq};
use openrtc_core::time::Instant;
use serde::Deserialize;

use crate::journal::Sync;

/// No record is longer, in bytes; so the last ones of a file are in a tail of a few times this.
pub const LINE_MAX: u64 = 2_048;
const TAIL: u64 = 64 * LINE_MAX;

/// Why a trail's file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// Another worker writes this trail.
    #[error("audit file {path:?} is in use by another worker: give each worker a file of its own")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened or read.
    #[error("audit file {path:?}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("audit file {path:?} does not end in an audit record: name another file, or move this one away")]
    NotATrail {
        /// The file.
        path: PathBuf,
    },
}

/// An open trail.
#[derive(Debug)]
pub struct TrailFile {
    file: File,
    /// When what was written is forced to the disk: as the journal is, from which it could be derived again.
    sync: Sync,
    /// When it is due.
    due: Option<Instant>,
    /// How long it is, in bytes.
    pub length: u64,
    /// Its end.
    pub chain: Chain,
    /// What its last records are derived from.
    pub reached: Reached,
}

/// How far a trail goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The run of its last record.
    pub incarnation: Incarnation,
    /// The entry of that run which the record is derived from.
    pub entry: Seq,
    /// How many records of that very entry are there.
    pub records: usize,
}

#[derive(Deserialize)]
struct Origin {
    event: String,
    incarnation: Incarnation,
    entry: Seq,
}

impl TrailFile {
    /// Opens or creates a trail. A last line that a crash cut short is removed: it is derived again.
    pub fn open(path: &Path, sync: Sync) -> Result<Self, TrailError> {
        let io = |source| TrailError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TrailError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let tail = read_tail(&mut file).map_err(io)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let length = file.metadata().map_err(io)?.len() - (tail.len() - whole) as u64;
        if whole < tail.len() {
            file.set_len(length).map_err(io)?;
            tracing::warn!(path = %path.display(), "the last audit record was cut short; it is written again");
        }
        let not_a_trail = || TrailError::NotATrail { path: path.to_owned() };
        let lines: Vec<_> = tail[..whole].split_inclusive(|byte| *byte == b'\n').collect();
        let chain = match lines.last() {
            Some(last) => {
                let report = verify(last, None, &[]);
                report.faults.is_empty().then_some(report.end).ok_or_else(not_a_trail)?
            }
            None => Chain::default(),
        };
        let reached = reached(&lines).map_err(|_| not_a_trail())?;
        Ok(Self { file, sync, due: None, length, chain, reached })
    }

    /// Appends whole lines; all of them or, as far as the disk still obeys, none. `now` is when, by any clock that
    /// [`TrailFile::sync_in`] is asked by too.
    pub fn append(&mut self, lines: &[u8], now: Instant) -> io::Result<()> {
        let written = self.file.write_all(lines).and_then(|()| match self.sync {
            Sync::Always => self.file.sync_data(),
            Sync::Every(_) => Ok(()),
        });
        match (&written, self.sync) {
            (Ok(()), Sync::Always) => self.length += lines.len() as u64,
            (Ok(()), Sync::Every(period)) => {
                self.length += lines.len() as u64;
                self.due.get_or_insert_with(|| now + period.into());
            }
            (Err(_), _) => self.file.set_len(self.length)?,
        }
        written
    }

    /// How long until something must be forced to the disk.
    #[must_use]
    pub fn sync_in(&self, now: Instant) -> Option<Duration> {
        self.due.map(|due| due.since(now).into())
    }

    /// Forces what was written to the disk, if it is not there.
    pub fn sync(&mut self) -> io::Result<()> {
        self.due.take().map_or(Ok(()), |_| self.file.sync_data())
    }
}

fn read_tail(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok(tail)
}

fn reached(lines: &[&[u8]]) -> Result<Reached, serde_json::Error> {
    let mut reached = Reached::default();
    for line in lines.iter().rev() {
        let origin: Origin = serde_json::from_slice(line)?;
        if origin.event.starts_with("audit.") {
            continue;
        }
        if reached.records > 0 && (origin.incarnation, origin.entry) != (reached.incarnation, reached.entry) {
            break;
        }
        let records = reached.records + 1;
        reached = Reached { incarnation: origin.incarnation, entry: origin.entry, records };
    }
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(1);

    fn trail(sync: Sync) -> (tempfile::TempDir, TrailFile) {
        let dir = tempfile::tempdir().expect("a directory");
        let trail = TrailFile::open(&dir.path().join("trail"), sync).expect("a trail");
        (dir, trail)
    }

    #[test]
    fn what_is_written_is_due_on_disk_a_period_after_the_first_of_it() {
        let (_dir, mut trail) = trail(Sync::Every(PERIOD));
        let mut now = Instant::EPOCH;
        assert_eq!(trail.sync_in(now), None);
        trail.append(b"one\n", now).expect("room");
        now = now + (PERIOD / 4).into();
        trail.append(b"two\n", now).expect("room");
        assert_eq!(trail.sync_in(now), Some(PERIOD * 3 / 4));
        now = now + PERIOD.into();
        assert_eq!(trail.sync_in(now), Some(Duration::ZERO));
        trail.sync().expect("a disk");
        assert_eq!(trail.sync_in(now), None);
    }

    #[test]
    fn what_is_forced_at_once_is_never_due() {
        let (_dir, mut trail) = trail(Sync::Always);
        trail.append(b"one\n", Instant::EPOCH).expect("room");
        assert_eq!((trail.sync_in(Instant::EPOCH), trail.length), (None, 4));
    }
}
