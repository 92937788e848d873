//! Reading a trail on from a record, over all its parts.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use openrtc_core::audit::number_of;

use super::LINE_MAX;
use super::parts::{Whose, parts};

/// How often the parts are looked at in a row while they are being renamed.
const LOOKS: usize = 8;

/// Records that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The number of the first.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// Their lines, newlines included.
    pub lines: Vec<u8>,
}

impl Batch {
    /// As many whole records from `next` on as `lines` begins with and as fit into `most` bytes, but at least one; none
    /// if that record is not the first.
    #[must_use]
    pub fn of(lines: &[u8], next: u64, most: u64) -> Option<Self> {
        let (mut length, mut number) = (0, next);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let fits = length == 0 || (length + line.len()) as u64 <= most;
            if number_of(line) != Some(number) || !fits {
                break;
            }
            length += line.len();
            number += 1;
        }
        (length > 0).then(|| Self { first: next, last: number - 1, lines: lines[..length].to_vec() })
    }
}

/// Reads a worker's trail, batch by batch. It holds the part open that it reads: one that is moved away meanwhile is
/// read to its end.
#[derive(Debug)]
pub struct TrailReader {
    path: PathBuf,
    whose: Whose,
    place: Option<Place>,
}

/// Where a record begins.
#[derive(Debug)]
struct Place {
    part: File,
    record: u64,
    offset: u64,
    /// The record after those read last, and where it begins.
    after: Option<(u64, u64)>,
}

impl TrailReader {
    /// A reader of the trail at `path`. Reads nothing yet.
    #[must_use]
    pub const fn new(path: PathBuf, whose: Whose) -> Self {
        Self { path, whose, place: None }
    }

    /// The records from `next` on, up to `most` bytes of whole lines but at least one record. If that record is in no
    /// part, those from the first one after it. `None` if there is none.
    pub fn read(&mut self, next: u64, most: u64) -> io::Result<Option<Batch>> {
        if let Some(batch) = self.read_on(next, most)? {
            return Ok(Some(batch));
        }
        self.place = self.find(next)?;
        let found = self.place.as_ref().map(|place| place.record);
        found.map_or(Ok(None), |record| self.read_on(record, most))
    }

    /// The records from `next` on, if it stands there or has read up to there.
    fn read_on(&mut self, next: u64, most: u64) -> io::Result<Option<Batch>> {
        let Some(place) = &mut self.place else { return Ok(None) };
        if let Some((record, offset)) = place.after.filter(|(record, _)| *record == next) {
            (place.record, place.offset) = (record, offset);
        }
        if place.record != next {
            return Ok(None);
        }
        place.part.seek(SeekFrom::Start(place.offset))?;
        let mut lines = Vec::new();
        place.part.by_ref().take(most.max(LINE_MAX)).read_to_end(&mut lines)?;
        let batch = Batch::of(&lines, next, most);
        place.after = batch.as_ref().map(|batch| (batch.last + 1, place.offset + batch.lines.len() as u64));
        Ok(batch)
    }

    /// Where the record is, or the first after it. A part that is renamed while they are looked at is looked for again.
    fn find(&self, next: u64) -> io::Result<Option<Place>> {
        for _ in 1..LOOKS {
            match self.look_for(next) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => return found,
            }
        }
        self.look_for(next)
    }

    fn look_for(&self, next: u64) -> io::Result<Option<Place>> {
        let mut nearest: Option<Place> = None;
        // The latest part that may hold it, most likely; after it those that begin later, if it is nowhere.
        for part in parts(&self.path, &self.whose)?.iter().rev() {
            if nearest.as_ref().is_some_and(|place| place.record <= part.first.max(next)) {
                continue;
            }
            if let Some(place) = seek(File::open(&part.path)?, next)?
                && nearest.as_ref().is_none_or(|known| place.record < known.record)
            {
                nearest = Some(place);
            }
        }
        Ok(nearest)
    }
}

/// Where the record is in a file, or the first after it.
fn seek(part: File, next: u64) -> io::Result<Option<Place>> {
    let (mut reader, mut line, mut offset) = (BufReader::new(part), Vec::new(), 0);
    loop {
        line.clear();
        let length = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
        match number_of(&line) {
            Some(record) if record >= next => {
                return Ok(Some(Place { part: reader.into_inner(), record, offset, after: None }));
            }
            _ if length == 0 => return Ok(None),
            _ => offset += length as u64,
        }
    }
}
