//! Ledgers: what became of every call of the segments that had to make room.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use openrtc_core::id::Seq;
use openrtc_core::journal::{CallLines, Ledger, LedgerOpening, Replay, TornFault};
use openrtc_core::worker::Worker;

use crate::directory::{LedgerFile, Segment, ledger_name, ledgers, place};
use crate::read::ReadError;

/// A ledger that is larger, in bytes, is not written again to take more in: the next one begins.
const FULL: u64 = 1 << 20;

impl LedgerFile {
    /// Reads it. A ledger is whole or damaged: it was put in its place at once.
    pub fn read(&self) -> Result<Ledger, ReadError> {
        let bytes = fs::read(&self.path).map_err(|error| ReadError::Io { path: self.path.clone(), error })?;
        Ledger::read(&bytes).map_err(|torn| ReadError::Torn { path: self.path.clone(), torn })
    }
}

/// Enters what became of the calls of a worker's segment into its run's ledger, so that the segment can go. Returns
/// whether that was possible: what is damaged, or of a newer build in part, cannot be replaced by what is read of it.
pub(crate) fn keep(dir: &Path, segment: &Segment) -> io::Result<bool> {
    let (mut lines, mut began) = (CallLines::default(), None);
    let replayed = segment.replay::<Worker>(|state, ids, entry| {
        began.get_or_insert(entry.at);
        lines.enter(state, ids, entry);
    });
    let replay = match replayed {
        Ok(replay) => replay,
        Err(ReadError::Torn { .. }) => return Ok(false),
        Err(ReadError::Io { error, .. }) => return Err(error),
    };
    let cut_short = match replay.torn {
        None if replay.newer == 0 => false,
        Some(torn) if torn.fault == TornFault::Short && replay.newer == 0 => true,
        _ => return Ok(false),
    };
    let first = replay.opening.state.word().seq().next();
    let Replay { opening, state, ids, .. } = replay;
    let opening = LedgerOpening { about: opening.about, first, began, cut_short, calls: 0, state };
    let part = Ledger { opening, ids, lines };
    let ledger = match before(dir, segment, first)? {
        // It was kept before, and a crash came before it was taken away.
        Some(before) if before.opening.state.word().seq() >= part.opening.state.word().seq() => return Ok(true),
        Some(before) => join(before, part),
        None => part,
    };
    let mut bytes = Vec::new();
    ledger.write(&mut bytes);
    let path = dir.join(ledger_name(segment.incarnation, ledger.opening.first));
    place(&path, |file| file.write_all(&bytes).and_then(|()| file.sync_all()))?;
    Ok(true)
}

/// The ledger that a segment whose first entry is `first` goes into: it ends right before that entry, or has it, and is
/// not full.
fn before(dir: &Path, segment: &Segment, first: Seq) -> io::Result<Option<Ledger>> {
    let Some(file) = ledgers(dir)?.into_iter().rfind(|ledger| ledger.incarnation == segment.incarnation) else {
        return Ok(None);
    };
    let ledger = match file.read() {
        Ok(ledger) => ledger,
        Err(ReadError::Torn { .. }) => return Ok(None),
        Err(ReadError::Io { error, .. }) => return Err(error),
    };
    let last = ledger.opening.state.word().seq();
    let has_room = last >= first || fs::metadata(&file.path)?.len() < FULL;
    Ok((ledger.opening.first <= first && first <= last.next() && has_room).then_some(ledger))
}

fn join(before: Ledger, part: Ledger) -> Ledger {
    let (mut lines, first, began) = (before.lines, before.opening.first, before.opening.began);
    let cut_short = before.opening.cut_short || part.opening.cut_short;
    for line in part.lines.into_lines() {
        lines.insert(line);
    }
    let opening = LedgerOpening { first, began: began.or(part.opening.began), cut_short, ..part.opening };
    Ledger { opening, ids: part.ids, lines }
}
