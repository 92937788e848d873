//! What lies in a journal's directory, and what is taken out of it to make room.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use openrtc_core::id::{Incarnation, Seq};
use openrtc_core::journal::{self, Head};

use crate::ledger;

/// What segments are called from format 2 on. Their first bytes tell the format.
const EXTENSION: &str = "orj";

/// What segments of format 1 were called. A build of then trims what bears this name, and nothing else.
const EXTENSION_1: &str = "ortcj";

/// What ledgers are called.
const LEDGER: &str = "orl";

/// What a file is called until all of it is there.
const UNFINISHED: &str = "part";

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

/// A ledger's file: what is kept of a run's oldest segments. Order is the order of writing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LedgerFile {
    /// The run whose calls it has.
    pub incarnation: Incarnation,
    /// The number of the first entry that it stands for.
    pub first: Seq,
    /// Where it is.
    pub path: PathBuf,
}

/// The segments in a directory, oldest first. Files of other names are not touched and not listed.
pub fn segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let named = |(incarnation, first, path)| Segment { incarnation, first, path };
    Ok(list(dir, &[EXTENSION, EXTENSION_1])?.into_iter().map(named).collect())
}

/// The ledgers in a directory, oldest first.
pub fn ledgers(dir: &Path) -> io::Result<Vec<LedgerFile>> {
    let named = |(incarnation, first, path)| LedgerFile { incarnation, first, path };
    Ok(list(dir, &[LEDGER])?.into_iter().map(named).collect())
}

fn list(dir: &Path, extensions: &[&str]) -> io::Result<Vec<(Incarnation, Seq, PathBuf)>> {
    let mut found = Vec::new();
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        if let Some((incarnation, first)) = parse_name(&path, extensions) {
            found.push((incarnation, first, path));
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn file_name(incarnation: Incarnation, first: Seq) -> String {
    name(incarnation, first, EXTENSION)
}

pub(crate) fn ledger_name(incarnation: Incarnation, first: Seq) -> String {
    name(incarnation, first, LEDGER)
}

fn name(incarnation: Incarnation, first: Seq, extension: &str) -> String {
    format!("{:020}-{:020}.{extension}", incarnation.get(), first.get())
}

fn parse_name(path: &Path, extensions: &[&str]) -> Option<(Incarnation, Seq)> {
    let (stem, extension) = path.file_name()?.to_str()?.rsplit_once('.')?;
    if !extensions.contains(&extension) {
        return None;
    }
    let (incarnation, first) = stem.split_once('-')?;
    let number = |digits: &str| digits.parse().ok().filter(|_| digits.len() == 20);
    Some((Incarnation::new(number(incarnation)?), Seq::new(number(first)?)))
}

/// Puts a file at `path` at once and whole, in place of one that is there: `write` fills it under another name. What
/// cannot be written leaves no file: a disk stays full for long, and each append tries again.
pub(crate) fn place(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<File> {
    let mut part = path.as_os_str().to_owned();
    part.push(".");
    part.push(UNFINISHED);
    let part = PathBuf::from(part);
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&part)?;
    match write(&mut file).and_then(|()| fs::rename(&part, path)) {
        Ok(()) => Ok(file),
        Err(error) => {
            let _ = fs::remove_file(&part);
            Err(error)
        }
    }
}

/// Makes room beside `current` until the segments together take at most `total` bytes: the oldest go first, a worker's
/// into its ledger. Neither `current` nor what a newer build wrote nor what cannot be read is touched, and the latter
/// two do not count. `taken` learns of each that was taken away.
pub(crate) fn trim(current: &Path, total: u64, mut taken: impl FnMut(&Path)) -> io::Result<()> {
    let Some(dir) = current.parent() else { return Ok(()) };
    let mut found = Vec::new();
    for segment in segments(dir)? {
        let size = fs::metadata(&segment.path).map_or(0, |file| file.len());
        found.push((segment, size));
    }
    let mut sum: u64 = found.iter().map(|(_, size)| size).sum();
    if sum <= total {
        return Ok(());
    }
    found.retain(|(segment, size)| {
        let counts = segment.path == current || segment.head().is_some_and(|head| head != Head::Newer);
        sum -= if counts { 0 } else { *size };
        counts
    });
    for (segment, size) in found {
        // What follows the current segment is written after it, by a journal that has gone on since it was asked.
        if sum <= total || segment.path == current {
            break;
        }
        if segment.head() == Some(Head::Worker) && !ledger::keep(dir, &segment)? {
            // What is left of it is evidence of what is wrong with it.
            sum -= size;
            continue;
        }
        fs::remove_file(&segment.path)?;
        taken(&segment.path);
        sum -= size;
    }
    Ok(())
}

impl Segment {
    /// Whose it is; `None` if that cannot be read.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        let mut head = Vec::new();
        let file = File::open(&self.path).ok()?;
        file.take(journal::HEAD_LEN as u64).read_to_end(&mut head).ok()?;
        journal::head(&head).ok()
    }
}

#[cfg(test)]
mod tests;
