//! A journal's directory: its lock and its segments.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use openrtc_core::id::{Incarnation, Seq};
use openrtc_core::journal;

use crate::journal::JournalError;

/// What segments are called from format 2 on. Their first bytes tell the format.
const EXTENSION: &str = "orj";

/// What segments of format 1 were called. A build of then trims what bears this name, and nothing else.
const EXTENSION_1: &str = "ortcj";

/// Held for as long as a worker keeps its journal; the operating system releases it when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A segment file. Order is the order of writing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The run that wrote it.
    pub incarnation: Incarnation,
    /// The number of its first entry.
    pub first: Seq,
    /// Where it is.
    pub path: PathBuf,
}

/// The segments in a directory, oldest first. Files of other names are not touched and not listed.
pub fn segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        if let Some((incarnation, first)) = parse_name(&path) {
            found.push(Segment { incarnation, first, path });
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn file_name(incarnation: Incarnation, first: Seq) -> String {
    format!("{:020}-{:020}.{EXTENSION}", incarnation.get(), first.get())
}

fn parse_name(path: &Path) -> Option<(Incarnation, Seq)> {
    let (stem, extension) = path.file_name()?.to_str()?.rsplit_once('.')?;
    if ![EXTENSION, EXTENSION_1].contains(&extension) {
        return None;
    }
    let (incarnation, first) = stem.split_once('-')?;
    let number = |digits: &str| digits.parse().ok().filter(|_| digits.len() == 20);
    Some((Incarnation::new(number(incarnation)?), Seq::new(number(first)?)))
}

/// Creates the directory if it is missing and locks it.
pub fn prepare(dir: &Path) -> Result<Lock, JournalError> {
    if fs::metadata(dir).is_ok_and(|found| !found.is_dir()) {
        return Err(JournalError::NotADirectory { dir: dir.to_owned() });
    }
    let io = |what| move |source| JournalError::Io { dir: dir.to_owned(), what, source };
    fs::create_dir_all(dir).map_err(io("create it"))?;
    let file = File::create(dir.join("lock")).map_err(io("create its lock file"))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io("lock it")(source)),
    }
}

/// Deletes the oldest segments beside `current`, never itself and none that a newer build wrote, until all together
/// take at most `total` bytes.
pub(crate) fn trim(current: &Path, total: u64) -> io::Result<()> {
    let Some(dir) = current.parent() else { return Ok(()) };
    let found = segments(dir)?;
    let sizes: Vec<u64> =
        found.iter().map(|segment| fs::metadata(&segment.path).map_or(0, |file| file.len())).collect();
    let mut sum: u64 = sizes.iter().sum();
    for (segment, size) in found.iter().zip(sizes) {
        if sum <= total || segment.path == current {
            break;
        }
        if !segment.is_newer() {
            fs::remove_file(&segment.path)?;
            sum -= size;
        }
    }
    Ok(())
}

impl Segment {
    /// Whether a newer build than this one wrote it.
    fn is_newer(&self) -> bool {
        let mut head = [0; journal::MAGIC.len() + 1];
        let read = File::open(&self.path).and_then(|mut file| file.read_exact(&mut head));
        read.is_ok() && journal::format(&head).is_ok_and(|format| format > journal::FORMAT)
    }
}
