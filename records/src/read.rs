//! Reading a journal back: the one place that turns segments on disk into what a worker did.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use openrtc_core::fleet::Fleet;
use openrtc_core::id::{Incarnation, Seq};
use openrtc_core::journal::{Head, IdsSoFar, Journaled, Replay, Torn, head, replay};
use openrtc_core::machine::{Entry, Machine};
use openrtc_core::word::Phase;
use openrtc_core::worker::{EndReason, Outcome, Worker};

use crate::directory::{LedgerFile, Segment, ledgers, segments};
use crate::journal::{FleetRecovered, Recovered};

/// Why a segment tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not. Part of the message, and so not a source that a chain would tell once more.
        error: io::Error,
    },
    /// Not even its opening is whole.
    #[error("{}: {torn}", path.display())]
    Torn {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense. Part of the message likewise.
        torn: Torn,
    },
}

impl Segment {
    /// Folds the segment as far as it is whole, and hands each entry to `each` before it is applied, with the state
    /// that it follows and the ids of the calls.
    pub fn replay<M: Journaled>(
        &self,
        each: impl FnMut(&M, &IdsSoFar<'_>, &Entry<M::Event>),
    ) -> Result<Replay<M>, ReadError> {
        let bytes = fs::read(&self.path).map_err(|error| ReadError::Io { path: self.path.clone(), error })?;
        replay(&bytes, each).map_err(|torn| ReadError::Torn { path: self.path.clone(), torn })
    }
}

/// What is left of one run's journal.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which run.
    pub incarnation: Incarnation,
    /// What is kept of the segments that had to make room, oldest first.
    pub ledgers: Vec<LedgerFile>,
    /// Its segments, oldest first; none if all of them had to make room.
    pub segments: Vec<Segment>,
}

/// The runs of which something is in a directory, oldest first.
pub fn runs(dir: &Path) -> io::Result<Vec<Run>> {
    let mut runs: BTreeMap<Incarnation, Run> = BTreeMap::new();
    let empty = |incarnation| Run { incarnation, ledgers: Vec::new(), segments: Vec::new() };
    for segment in segments(dir)? {
        runs.entry(segment.incarnation).or_insert_with(|| empty(segment.incarnation)).segments.push(segment);
    }
    for ledger in ledgers(dir)? {
        runs.entry(ledger.incarnation).or_insert_with(|| empty(ledger.incarnation)).ledgers.push(ledger);
    }
    Ok(runs.into_values().collect())
}

/// What the newest segment that tells of a run says.
struct Newest<M: Journaled> {
    replay: Option<Replay<M>>,
    /// Where the newest segment that does not make sense to its end stops doing so.
    torn: Option<(PathBuf, Torn)>,
    /// How many segments after it tell nothing, although this build wrote them.
    mute: u64,
    newer: Vec<PathBuf>,
}

/// Why nobody can go on from what is in a directory.
pub(crate) enum Unusable {
    /// The newest segment cannot be read.
    Io(io::Error),
    /// Another machine's journal is there: whose.
    OtherKind(&'static str),
}

/// Folds the newest segment that tells of a run. One whose very opening a crash cut short tells nothing, nor does one
/// of a run that could not start, as `tells` says; the one before it is newest then. What a newer build wrote is named
/// and left alone.
fn newest<M: Journaled>(found: &[Segment], tells: impl Fn(&M) -> bool) -> Result<Newest<M>, Unusable> {
    let (mut newer, mut damaged, mut mute) = (Vec::new(), None, 0);
    for Segment { path, .. } in found.iter().rev() {
        // Once: a disk may take its time for each look at a file.
        let bytes = fs::read(path).map_err(Unusable::Io)?;
        if let Some(whose) = others::<M>(&bytes) {
            return Err(Unusable::OtherKind(whose));
        }
        match replay::<M>(&bytes, |_, _, _| {}) {
            Ok(replay) if !tells(&replay.state) => {}
            Ok(replay) => {
                let torn = damaged.or_else(|| replay.torn.map(|torn| (path.clone(), torn)));
                return Ok(Newest { replay: Some(replay), torn, mute, newer });
            }
            Err(torn) if torn.fault.is_newer() => newer.push(path.clone()),
            Err(torn) => {
                tracing::warn!(segment = %path.display(), %torn, "a journal segment tells nothing");
                mute += 1;
                damaged = damaged.or_else(|| torn.fault.is_damage().then(|| (path.clone(), torn)));
            }
        }
    }
    Ok(Newest { replay: None, torn: damaged, mute, newer })
}

/// Whose segment this is, if it is not of machine `M`.
fn others<M: Journaled>(bytes: &[u8]) -> Option<&'static str> {
    match head(bytes).ok()? {
        Head::Worker if M::OPENING != Worker::OPENING => Some("a worker's"),
        Head::Fleet if M::OPENING != Fleet::OPENING => Some("a fleet's"),
        Head::Worker | Head::Fleet | Head::Newer => None,
    }
}

/// What the run of a worker before left; `None` if nothing tells of one.
pub(crate) fn recover(found: &[Segment]) -> Result<Option<Recovered>, Unusable> {
    let Newest { replay, torn, newer, .. } = newest(found, |worker: &Worker| worker.phase() != Phase::Starting)?;
    let Some(replay) = replay else {
        let only_newer = Recovered { predecessor: None, lost_calls: Vec::new(), dropped_calls: 0, torn, newer };
        return Ok((!only_newer.newer.is_empty()).then_some(only_newer));
    };
    let predecessor = replay.as_predecessor();
    let open = replay.open_calls().map(|(_, id)| id);
    let lost_calls = if predecessor.exited { Vec::new() } else { open.collect() };
    let dropped_calls = match replay.state.outcome() {
        Some(Outcome::Forced { dropped }) => dropped,
        Some(Outcome::Clean | Outcome::Rejected) | None => replay.state.tally().ended_by(EndReason::DrainForced),
    };
    Ok(Some(Recovered { predecessor: Some(predecessor), lost_calls, dropped_calls, torn, newer }))
}

/// What the run of a fleet before left; `None` if nothing tells of one.
pub(crate) fn recover_fleet(found: &[Segment]) -> Result<Option<FleetRecovered>, Unusable> {
    let Newest { replay, torn, mute, newer } = newest(found, |fleet: &Fleet| fleet.seq() != Seq::default())?;
    if replay.is_none() && newer.is_empty() && torn.is_none() {
        return Ok(None);
    }
    let (fleet, office) = replay.map(|replay| (replay.state, replay.opening.about)).unzip();
    let fleet = fleet.map(|mut fleet: Fleet| {
        fleet.forget();
        fleet
    });
    Ok(Some(FleetRecovered { fleet, office, torn, mute, newer }))
}
