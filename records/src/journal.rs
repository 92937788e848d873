//! The journal on disk: one directory per worker, append-only segments, bounded space.
//!
//! ```text
//! DIR/lock                                      held while a worker runs on this directory
//! DIR/00…01763900000000000-00…0000000001.orj    segments: incarnation, number of the first entry
//! DIR/00…01763900000000000-00…0000000001.orl    ledgers: the same, for the calls of segments that had to make room
//! ```
//!
//! Each segment opens with the machine's whole state, so the newest suffices for a replay. Existing segments are
//! evidence: they are never written to again, and a worker's goes only once its calls are in a ledger. Segments of
//! format 1 end in `.ortcj`; they are read like the others, and a build that only knows format 1 does not see the new
//! ones.

mod background;
mod disk;
mod open;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use openrtc_core::id::{Deployment, IdLog, OpenIds};
use openrtc_core::journal::{self, Batch, Journaled, Opening, Torn};

use crate::directory;
use crate::lock::{self, Lock};
use background::{Job, Keeper};
use disk::Loss;
pub use open::{FleetRecovered, Opened, OpenedFleet, Recovered};

/// How often it is tried again to get a descriptor for the next segment, and how long after the last time.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(5);

/// When what was written is forced to the disk. Written bytes survive the process; synced ones survive the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// After every batch: an answer that waits for the journal then waits for the disk.
    Always,
    /// At most this often, and at the end.
    Every(Duration),
}

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The directory; created if missing.
    pub dir: PathBuf,
    /// A segment is closed once it is larger than this or than a quarter of all, in bytes.
    pub segment_bytes: u64,
    /// Oldest segments make room so that all together stay below this, in bytes. What became of their calls is kept
    /// beside them, in about 75 bytes a call.
    pub total_bytes: u64,
    /// When to force it to the disk.
    pub sync: Sync,
    /// How its lines for the log are said. A subscriber may block, and whoever writes the journal must not wait for it.
    pub say: Say,
}

/// Says a line: runs what it is given, at once or on a thread for that.
pub type Say = fn(Box<dyn FnOnce() + Send>);

impl JournalConfig {
    /// A journal in `dir` with segments of 8 MiB, 256 MiB in all, synced once a second. Its lines are said at once.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 8 << 20,
            total_bytes: 256 << 20,
            sync: Sync::Every(Duration::from_secs(1)),
            say: |line| line(),
        }
    }
}

/// Why a journal cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process keeps a journal there.
    #[error("journal directory {dir:?} is in use by another worker or coordinator: give each a directory of its own")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The path is not a directory.
    #[error("journal directory {dir:?} is a file: name a directory, or a path where one can be created")]
    NotADirectory {
        /// The path.
        dir: PathBuf,
    },
    /// A journal of another kind is there.
    #[error("journal directory {dir:?} holds {holds} journal: name another directory")]
    OtherKind {
        /// The directory.
        dir: PathBuf,
        /// Whose is there: `a worker's` or `a fleet's`.
        holds: &'static str,
    },
    /// The journal of another deployment's fleet is there.
    #[error(
        "journal directory {dir:?} holds the journal of deployment {holds}'s fleet: name another directory, or \
             that deployment"
    )]
    OtherDeployment {
        /// The directory.
        dir: PathBuf,
        /// Whose is there.
        holds: Deployment,
    },
    /// Only a newer build can read what the run before left, and it must not be done without.
    #[error("journal directory {dir:?}: a newer build wrote what is there: start that one, which goes on with it")]
    Newer {
        /// The directory.
        dir: PathBuf,
    },
    /// What is there is damaged, and it must not be done without.
    #[error("{}: {torn}; what was decided there is lost: restore the directory from a backup, or accept the loss \
             (openrtc coordinator --accept-loss)", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where it stops making sense.
        torn: Torn,
    },
    /// The operating system refused.
    #[error("journal directory {dir:?}: cannot {what}: {source}{}", hint(.source))]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl JournalConfig {
    fn error(&self, what: &'static str, source: io::Error) -> JournalError {
        JournalError::Io { dir: self.dir.clone(), what, source }
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            " (let this user write there, or name another directory)"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (free space, or name another directory)",
        _ => "",
    }
}

/// An open journal.
#[derive(Debug)]
pub struct Journal<M: Journaled> {
    config: JournalConfig,
    about: M::About,
    /// The ids of the calls in flight, for the next segment to open with.
    ids: OpenIds,
    segment: Option<Open>,
    buffer: Vec<u8>,
    keeper: Keeper,
    lock: Lock,
    /// A descriptor that is held back for the next segment: calls may have taken all others by then.
    spare: Option<File>,
    /// Whether it is known, and told, that the directory cannot be had.
    is_homeless: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    /// Bytes in the segment, and how many make it full.
    bytes: u64,
    full_at: u64,
    /// Whether the directory's entry for it has been forced to the disk.
    listed: bool,
}

impl<M: Journaled> Journal<M> {
    /// Opens the first segment of a run of a machine in `state`, in a directory that is locked.
    pub fn begin(config: JournalConfig, lock: Lock, about: M::About, state: &M) -> Result<Self, JournalError> {
        let keeper =
            Keeper::start(config.say).map_err(|source| config.error("start the thread that keeps it", source))?;
        let (ids, buffer) = (OpenIds::default(), Vec::new());
        let (segment, spare, is_homeless) = (None, None, false);
        let mut journal = Self { config, about, ids, segment, buffer, keeper, lock, spare, is_homeless };
        match journal.roll(state.clone()) {
            Ok(()) => Ok(journal),
            Err(source) => Err(journal.config.error("write a segment", source)),
        }
    }

    /// When it is to be forced to the disk.
    #[must_use]
    pub const fn sync_policy(&self) -> Sync {
        self.config.sync
    }

    /// Whether the next append opens a segment and so needs the state before it.
    #[must_use]
    pub fn wants_state(&self) -> bool {
        self.keeper.has_failed() || self.segment.as_ref().is_none_or(|open| open.bytes >= open.full_at)
    }

    /// Writes entries, and the ids of the calls that they begin, in one system call. `before` is the state that they
    /// follow, needed when [`Journal::wants_state`]; `missed` are ids of calls that earlier entries began, which could
    /// not be written. After an error the next append opens a new segment, whose opening state covers what was missed;
    /// [`io::ErrorKind::NotConnected`] says that it needs the state and wrote nothing.
    pub fn append(&mut self, before: Option<M>, missed: &IdLog, batch: &Batch<M>) -> io::Result<()> {
        self.ids.learn(missed);
        let rolled = before.map_or(Ok(()), |before| self.roll(before));
        self.ids.learn(&batch.ids);
        for call in batch.entries.iter().filter_map(M::ends_call) {
            self.ids.remove(call);
        }
        rolled?;
        self.buffer.clear();
        journal::write_batch(batch, &mut self.buffer);
        let Some(open) = &mut self.segment else {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "no segment is open"));
        };
        match disk::write(&mut open.file, &self.buffer) {
            Ok(()) => {
                open.bytes += self.buffer.len() as u64;
                Ok(())
            }
            Err(error) => {
                disk::tear(&open.file, open.bytes, self.config.say);
                self.segment = None;
                Err(error)
            }
        }
    }

    /// Forces what was written to the disk. After an error nobody knows what is there, so the next append opens a new
    /// segment.
    pub fn sync(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.segment else { return Ok(()) };
        let synced = open
            .file
            .sync_data()
            .and_then(|()| if open.listed { Ok(()) } else { File::open(&self.config.dir)?.sync_all() });
        match &synced {
            Ok(()) => open.listed = true,
            Err(_) => self.segment = None,
        }
        synced
    }

    /// Has what was written forced to the disk, without waiting for it.
    pub fn sync_soon(&self) -> io::Result<()> {
        let Some(open) = &self.segment else { return Ok(()) };
        let dir = self.config.dir.clone();
        open.file.try_clone().map(|file| self.keeper.give(Job::Sync { file, dir }))
    }

    /// Looks whether somebody took away or shortened what was written, says so, and writes anew what is gone. What was
    /// cut off a segment is covered by the state that the next append opens a segment with. Costs a few system calls;
    /// meant for once a second and before the end.
    pub fn check(&mut self) {
        if !self.has_home() {
            return;
        }
        let (bytes, say) = (self.segment.as_ref().map_or(0, |open| open.bytes), self.config.say);
        if let Some(open) = &mut self.segment {
            match disk::loss(&open.file, &open.path, bytes) {
                None => {}
                Some(loss @ Loss::Gone) => {
                    let segment = open.path.display().to_string();
                    say(Box::new(move || {
                        tracing::error!(segment, "the journal's segment {loss}: it is written anew");
                    }));
                    match disk::put_back(&open.file, &open.path, bytes) {
                        Ok(file) => (open.file, open.listed) = (file, false),
                        Err(error) => {
                            say(Box::new(
                                move || tracing::error!(%error, "the journal's segment cannot be written anew"),
                            ));
                            self.segment = None;
                        }
                    }
                }
                Some(loss @ Loss::Shorter) => {
                    let segment = open.path.display().to_string();
                    say(Box::new(move || tracing::error!(segment, "the journal's segment {loss}: another begins")));
                    self.segment = None;
                }
            }
        }
        self.keeper.give(Job::Check);
    }

    /// Whether the directory is there and its lock held. One that was deleted is created anew.
    fn has_home(&mut self) -> bool {
        if !self.lock.is_gone() {
            return true;
        }
        let (dir, say) = (self.config.dir.clone(), self.config.say);
        match lock::prepare(&dir) {
            Ok(lock) => {
                let told = "somebody deleted the journal's lock, or its directory: it is created anew";
                say(Box::new(move || tracing::error!(dir = %dir.display(), "{told}")));
                (self.lock, self.spare, self.is_homeless) = (lock, None, false);
                true
            }
            Err(error) => {
                if !self.is_homeless {
                    let told = "somebody deleted the journal's lock, or its directory";
                    say(Box::new(move || tracing::error!(%error, "{told}")));
                }
                self.is_homeless = true;
                false
            }
        }
    }

    /// Whether its directory was deleted and cannot be created anew, as far as that was noticed.
    #[must_use]
    pub const fn is_homeless(&self) -> bool {
        self.is_homeless
    }

    /// Opens a file, with the descriptor that is held back if there is no other. Somebody else may be faster to take
    /// that one too; then another is free in a moment, since connections come and go.
    #[expect(clippy::disallowed_methods, reason = "a descriptor is free in a moment, and nothing tells when")]
    fn with_spare(&mut self, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
        let mut opened = open();
        for _ in 0..TRIES {
            if !opened.as_ref().is_err_and(disk::lacks_descriptors) {
                break;
            }
            if self.spare.take().is_none() {
                thread::sleep(PAUSE);
            }
            opened = open();
        }
        self.spare = self.spare.take().or_else(|| self.lock.another_descriptor());
        opened
    }

    fn roll(&mut self, state: M) -> io::Result<()> {
        if self.config.sync == Sync::Always {
            self.sync()?;
        }
        if !self.has_home() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the journal's directory was deleted"));
        }
        self.keeper.forgive();
        let before = self.segment.take();
        let first = state.head().seq.next();
        let path = self.config.dir.join(directory::file_name(M::incarnation(&self.about), first));
        self.ids.retain(|call| state.has_call(call));
        let mut ids = IdLog::default();
        ids.extend(self.ids.iter());
        // Not in the buffer, which would keep the size of the largest state there ever was.
        let mut opening = Vec::new();
        journal::write_opening(&Opening { about: self.about, state }, &ids, &mut opening);
        // A segment that a failed write left at this place holds no entry: it may be replaced.
        let placed = self.with_spare(|| directory::place(&path, |file| disk::write(file, &opening)));
        let file = placed.inspect_err(|_| {
            if let Some(open) = &before {
                disk::tear(&open.file, open.bytes, self.config.say);
            }
        })?;
        let bytes = opening.len() as u64;
        // A large state must not be written more often than the entries it stands for.
        let full_at = self.config.segment_bytes.min(self.config.total_bytes / 4).max(4 * bytes);
        if let Some(Open { file, path, bytes, .. }) = before {
            self.keeper.give(Job::Close { file, path, bytes });
        }
        self.segment = Some(Open { file, path: path.clone(), bytes, full_at, listed: false });
        let total = self.config.total_bytes.saturating_sub(full_at);
        self.keeper.give(Job::Trim { current: path, total });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
