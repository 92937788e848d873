//! The file of a trail that is written.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openrtc_core::audit::{Chain, verify};
use openrtc_core::id::{Incarnation, Seq};
use openrtc_core::time::Instant;
use serde::Deserialize;

use super::parts::{Whose, first_record, parts};
use super::{LINE_MAX, TrailError};
use crate::journal::Sync;

/// The last records of a file are in a tail of this many bytes.
const TAIL: u64 = 64 * LINE_MAX;

/// What every record begins with.
const BEGIN: &[u8] = b"{\"seq\":";

/// An open trail.
#[derive(Debug)]
pub struct TrailFile {
    file: File,
    path: PathBuf,
    /// When what was written is forced to the disk: as the journal is, from which it could be derived again.
    sync: Sync,
    /// When it is due.
    due: Option<Instant>,
    /// How long it is, in bytes.
    length: u64,
    /// The number of its first record, or of the one that will be.
    first: u64,
    /// How long it gets before it is rotated, and when that is tried next.
    most: u64,
    full_at: u64,
    /// The trail's end.
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

/// What somebody else did to the file while it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// It was moved or removed: its name leads elsewhere or nowhere.
    Renamed,
    /// It was cut.
    Truncated,
    /// It was written to.
    Written,
}

impl Disturbance {
    /// What was done, in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Renamed => "renamed",
            Self::Truncated => "truncated",
            Self::Written => "written",
        }
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renamed => "was moved or removed by somebody else",
            Self::Truncated => "was cut by somebody else",
            Self::Written => "was written to by somebody else",
        })
    }
}

#[derive(Deserialize)]
struct Origin {
    event: String,
    incarnation: Incarnation,
    entry: Seq,
}

impl TrailFile {
    /// Opens or creates the trail of a worker, to be rotated once it is `most` bytes long. A last line that a crash cut
    /// short is removed: it is derived again. If the file is new or empty, the trail goes on after the latest part
    /// beside it.
    pub fn open(path: &Path, sync: Sync, most: u64, whose: &Whose) -> Result<Self, TrailError> {
        let io = |source| TrailError::Io { path: path.to_owned(), source };
        let (file, end) = open_locked(path)?;
        let length = file.metadata().map_err(io)?.len();
        let mut trail = Self {
            file,
            path: path.to_owned(),
            sync,
            due: None,
            length,
            first: 1,
            most,
            full_at: most,
            chain: Chain::default(),
            reached: Reached::default(),
        };
        if let Some(end) = end {
            trail.go_on_after(end);
            trail.first = first_record(path).map_err(io)?.unwrap_or(1);
        } else if let Some(part) = parts(path, whose).map_err(io)?.pop() {
            let last = read_tail(&mut File::open(&part.path).map_err(io)?, TAIL).map_err(io)?;
            if let Some(end) = End::of(&last[..whole_lines(&last)], &part.path)? {
                let (file, part) = (path.display(), part.path.display());
                tracing::warn!(%file, "the audit file is new or empty; its trail goes on after {part}");
                trail.go_on_after(end);
                trail.first = trail.chain.records + 1;
            }
        }
        Ok(trail)
    }

    fn go_on_after(&mut self, End { chain, reached }: End) {
        (self.chain, self.reached) = (chain, reached);
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long it is, in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Whether it is to be rotated once so many bytes more are in it.
    #[must_use]
    pub const fn is_full_with(&self, more: u64) -> bool {
        self.length + more >= self.full_at
    }

    /// Whether somebody else moved, cut or wrote it since it was written last. It is then ready to be written again
    /// under its name, and nothing that is there is touched.
    pub fn look(&mut self) -> Result<Option<Disturbance>, TrailError> {
        let path = self.path.clone();
        let io = |source| TrailError::Io { path: path.clone(), source };
        let (ours, there) = (self.file.metadata().map_err(io)?, fs::metadata(&self.path));
        if there.as_ref().map_or(true, |there| !is_same(there, &ours)) {
            let (file, end) = open_locked(&self.path)?;
            // What lies there may be the end of this trail, put back; anything else is not ours to write on.
            if end.is_some_and(|end| end.chain != self.chain) {
                return Err(TrailError::NotATrail { path: self.path.clone() });
            }
            self.length = file.metadata().map_err(io)?.len();
            self.file = file;
            self.first = first_record(&self.path).map_err(io)?.unwrap_or(self.chain.records + 1);
            self.full_at = self.most;
            return Ok(Some(Disturbance::Renamed));
        }
        let disturbance = match ours.len() {
            length if length < self.length => Disturbance::Truncated,
            length if length > self.length => Disturbance::Written,
            _ => return Ok(None),
        };
        self.length = self.end_line().map_err(io)?;
        self.first = first_record(&self.path).map_err(io)?.unwrap_or(self.chain.records + 1);
        Ok(Some(disturbance))
    }

    /// Sees to it that the next record begins a line of its own. Returns how long the file is then.
    fn end_line(&mut self) -> io::Result<u64> {
        if read_tail(&mut self.file, 1)?.last().is_some_and(|last| *last != b'\n') {
            self.file.write_all(b"\n")?;
        }
        Ok(self.file.metadata()?.len())
    }

    /// Appends whole lines, the last of which ends in `chain`; all of them or, as far as the disk still obeys, none.
    /// `now` is when, by any clock that [`TrailFile::sync_in`] is asked by too.
    pub fn append(&mut self, lines: &[u8], chain: Chain, now: Instant) -> io::Result<()> {
        let written = self.file.write_all(lines).and_then(|()| match self.sync {
            Sync::Always => self.file.sync_data(),
            Sync::Every(_) => Ok(()),
        });
        match (&written, self.sync) {
            (Ok(()), sync) => {
                (self.length, self.chain) = (self.length + lines.len() as u64, chain);
                if let Sync::Every(period) = sync {
                    self.due.get_or_insert_with(|| now + period.into());
                }
            }
            // What somebody else has cut must not be filled up with zeros.
            (Err(_), _) => self.file.set_len(self.length.min(self.file.metadata()?.len()))?,
        }
        written
    }

    /// Moves what is written to a part of its own, named by its first record, and goes on in a new file. The part is
    /// forced to the disk. If that fails, the file goes on as it is, and is full again after as many bytes.
    pub fn rotate(&mut self) -> io::Result<PathBuf> {
        self.full_at = self.length + self.most;
        let mut part = self.path.clone().into_os_string();
        part.push(format!(".{:012}", self.first));
        let part = PathBuf::from(part);
        if part.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", part.display())));
        }
        self.file.sync_data()?;
        self.due = None;
        fs::rename(&self.path, &part)?;
        let file = match open_locked(&self.path) {
            Ok((file, _)) => file,
            Err(error) => {
                fs::rename(&part, &self.path)?;
                return Err(io::Error::other(error));
            }
        };
        (self.file, self.length, self.first, self.full_at) = (file, 0, self.chain.records + 1, self.most);
        Ok(part)
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

/// The file, held against everybody else, and the end of the trail in it. A last line that was cut short is removed.
fn open_locked(path: &Path) -> Result<(File, Option<End>), TrailError> {
    let io = |source| TrailError::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(TrailError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    let tail = read_tail(&mut file, TAIL).map_err(io)?;
    let (whole, torn) = tail.split_at(whole_lines(&tail));
    let end = End::of(whole, path)?;
    if !torn.is_empty() {
        if !torn.starts_with(BEGIN) && !BEGIN.starts_with(torn) {
            return Err(TrailError::NotATrail { path: path.to_owned() });
        }
        let length = file.metadata().map_err(io)?.len() - torn.len() as u64;
        file.set_len(length).map_err(io)?;
        tracing::warn!(path = %path.display(), "the last audit record was cut short; it is written again");
    }
    Ok((file, end))
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The last `most` bytes of a file, or all there are.
pub(super) fn read_tail(file: &mut File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut tail = Vec::new();
    file.take(most).read_to_end(&mut tail)?;
    Ok(tail)
}

/// How many of these bytes are whole lines.
fn whole_lines(tail: &[u8]) -> usize {
    tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// The end of a trail.
struct End {
    chain: Chain,
    reached: Reached,
}

impl End {
    /// The end that the last lines of a file are, if there are any.
    fn of(tail: &[u8], path: &Path) -> Result<Option<Self>, TrailError> {
        let not_a_trail = || TrailError::NotATrail { path: path.to_owned() };
        let lines: Vec<_> = tail.split_inclusive(|byte| *byte == b'\n').collect();
        let Some(last) = lines.last() else { return Ok(None) };
        let report = verify(last, None, &[]);
        let chain = report.faults.is_empty().then_some(report.end).ok_or_else(not_a_trail)?;
        let reached = reached(&lines).map_err(|_| not_a_trail())?;
        Ok(Some(Self { chain, reached }))
    }
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
