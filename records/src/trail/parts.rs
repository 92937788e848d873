//! The files of a trail: the one that is written, and those that were rotated away from it.
//!
//! Parts are found by what is in them. So it does not matter who moved or copied them, or what they are called, as long
//! as they lie beside the file and their names begin with its name.

use std::fs::{self, File};
use std::io::ErrorKind::{NotFound, PermissionDenied};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use openrtc_core::audit::number_of;
use serde::Deserialize;

use super::LINE_MAX;
use super::file::read_tail;

/// Whose trail it is, as each of its records says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Whose {
    /// The worker's service.
    pub deployment: String,
    /// The worker.
    pub worker: String,
}

/// A file that holds part of a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The number of its first record.
    pub first: u64,
    /// The file.
    pub path: PathBuf,
}

/// Every part of a worker's trail that is at `path` or beside it, in the order of their first records. Of parts that
/// begin with the same record the one at `path` is the last.
pub fn parts(path: &Path, whose: &Whose) -> io::Result<Vec<Part>> {
    let Some(name) = path.file_name() else { return Ok(Vec::new()) };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut parts = Vec::new();
    for entry in fs::read_dir(dir)? {
        let beside = entry?.file_name();
        if !beside.as_encoded_bytes().starts_with(name.as_encoded_bytes()) {
            continue;
        }
        let there = path.with_file_name(beside);
        let line = match first_line(&there) {
            Ok(line) => line,
            // Gone meanwhile, or somebody else's. Any other failure hides records, and is no reason to pass over them.
            Err(error) if there != path && matches!(error.kind(), NotFound | PermissionDenied) => continue,
            Err(error) => return Err(error),
        };
        if let Some(first) = number_of(&line).filter(|_| owner_in(&line).as_ref() == Some(whose)) {
            parts.push(Part { first, path: there });
        }
    }
    parts.sort_by(|one, other| {
        (one.first, one.path == *path, &one.path).cmp(&(other.first, other.path == *path, &other.path))
    });
    Ok(parts)
}

/// The files that lead up to the one at `path`, each of which begins where the one before it ends, and that one as the
/// last. Copies and gaps lead nowhere.
pub fn lineage(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![path.to_owned()];
    if let (Some(whose), Some(mut first)) = (owner_of(path), first_record(path)?) {
        let parts = parts(path, &whose)?;
        let leads_to = |part: &&Part, first| part.first < first && last_record(&part.path) == Some(first - 1);
        while let Some(before) = parts.iter().find(|part| leads_to(part, first)) {
            files.push(before.path.clone());
            first = before.first;
        }
    }
    files.reverse();
    Ok(files)
}

/// Whose trail a file is part of, if it is part of one.
#[must_use]
pub fn owner_of(path: &Path) -> Option<Whose> {
    owner_in(&first_line(path).ok()?)
}

fn owner_in(line: &[u8]) -> Option<Whose> {
    serde_json::from_slice(line).ok()
}

/// The number of the first record in a file, if it begins with a record.
pub(super) fn first_record(path: &Path) -> io::Result<Option<u64>> {
    Ok(number_of(&first_line(path)?))
}

fn last_record(path: &Path) -> Option<u64> {
    let end = read_tail(&mut File::open(path).ok()?, LINE_MAX).ok()?;
    number_of(end.split_inclusive(|byte| *byte == b'\n').next_back()?)
}

fn first_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    // Opening something else than a file, such as a pipe, may wait for ever.
    if fs::metadata(path)?.is_file() {
        BufReader::new(File::open(path)?).take(LINE_MAX).read_until(b'\n', &mut line)?;
    }
    Ok(line)
}
