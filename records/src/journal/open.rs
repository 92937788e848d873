//! Opens a journal for a new run, and tells what the run before left.

use std::path::PathBuf;

use openrtc_core::fleet::Fleet;
use openrtc_core::id::{CallId, Identity, Incarnation};
use openrtc_core::journal::{Office, Predecessor, Run, Torn};
use openrtc_core::time::Instant;
use openrtc_core::worker::Worker;

use super::{Journal, JournalConfig, JournalError};
use crate::directory::{Segment, ledgers, segments};
use crate::lock::{self, Lock};
use crate::read::{Unusable, recover, recover_fleet};

/// What the journal of the run before tells.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// In the words that the next run's journal uses; `None` if only a newer build can read what the run before left.
    pub predecessor: Option<Predecessor>,
    /// The calls that were open when it ended, oldest first: what a crash took. Empty if it left by itself.
    pub lost_calls: Vec<CallId>,
    /// How many calls its forced drain cut.
    pub dropped_calls: u64,
    /// Where its newest segment stops making sense, if it does: its end is cut short, or it is damaged.
    pub torn: Option<(PathBuf, Torn)>,
    /// Segments that a newer build wrote, after whatever this build can read. They stay as they are.
    pub newer: Vec<PathBuf>,
}

/// What the journal of a fleet tells of the run before.
#[derive(Clone, Debug)]
pub struct FleetRecovered {
    /// The fleet as the last whole entry left it, without what was only observed: every worker of it is unknown. `None`
    /// if nothing of what the run before left is whole, or only a newer build can read it.
    pub fleet: Option<Fleet>,
    /// Who wrote that; `None` with it.
    pub office: Option<Office>,
    /// Where its newest segment stops making sense, if it does: its end is cut short, or it is damaged.
    pub torn: Option<(PathBuf, Torn)>,
    /// How many segments after the one that tells of the fleet tell nothing. Each may be all there is of a run.
    pub mute: u64,
    /// Segments that a newer build wrote, after whatever this build can read. They stay as they are.
    pub newer: Vec<PathBuf>,
}

/// A worker's journal, its identity with the number of its run, and what the run before left.
pub type Opened = (Journal<Worker>, Identity, Option<Recovered>);

/// A fleet's journal, the fleet that it begins with, and what the run before left.
pub type OpenedFleet = (Journal<Fleet>, Fleet, Option<FleetRecovered>);

impl Journal<Worker> {
    /// Locks the directory, reads what the run before left, and opens the first segment of a new run of a worker in
    /// `state`. The new incarnation is later than every one found.
    pub fn open(
        config: JournalConfig,
        mut identity: Identity,
        now: Instant,
        state: &Worker,
    ) -> Result<Opened, JournalError> {
        let (lock, found, last) = look(&config)?;
        let recovered = recover(&found).map_err(|why| unusable(&config, why))?;
        identity.incarnation = later(Incarnation::new(now.as_micros()), last);
        let predecessor = recovered.as_ref().and_then(|recovered| recovered.predecessor);
        let journal = Self::begin(config, lock, Run { identity, predecessor }, state)?;
        Ok((journal, identity, recovered))
    }
}

impl Journal<Fleet> {
    /// Locks the directory, reads what the run before left, and opens the first segment of a new run of the fleet that
    /// `start` makes of it. `office` says who writes it; its incarnation becomes later than every one found. If `start`
    /// refuses, nothing was written.
    pub fn open_fleet(
        config: JournalConfig,
        mut office: Office,
        start: impl FnOnce(Option<&FleetRecovered>) -> Result<Fleet, JournalError>,
    ) -> Result<OpenedFleet, JournalError> {
        let (lock, found, last) = look(&config)?;
        let recovered = recover_fleet(&found).map_err(|why| unusable(&config, why))?;
        office.incarnation = later(office.incarnation, last);
        let fleet = start(recovered.as_ref())?;
        let mut journal = Self::begin(config, lock, office, &fleet)?;
        // Orders are told apart by the term that this opens with: it must not be lost once one is given.
        journal.sync().map_err(|source| journal.config.error("force it to the disk", source))?;
        Ok((journal, fleet, recovered))
    }
}

/// Locks the directory, and returns its segments and the last run of which something is there.
fn look(config: &JournalConfig) -> Result<(Lock, Vec<Segment>, Option<Incarnation>), JournalError> {
    let lock = lock::prepare(&config.dir)?;
    let found = segments(&config.dir).map_err(|source| config.error("list segments", source))?;
    let kept = ledgers(&config.dir).map_err(|source| config.error("list ledgers", source))?;
    let last = found.last().map(|found| found.incarnation).max(kept.last().map(|kept| kept.incarnation));
    Ok((lock, found, last))
}

fn unusable(config: &JournalConfig, why: Unusable) -> JournalError {
    match why {
        Unusable::Io(source) => config.error("read the last segment", source),
        Unusable::OtherKind(holds) => JournalError::OtherKind { dir: config.dir.clone(), holds },
    }
}

/// The number of a run: that of the time, unless a run before it has a later one.
fn later(now: Incarnation, last: Option<Incarnation>) -> Incarnation {
    last.map_or(now, |last| now.max(Incarnation::new(last.get() + 1)))
}
