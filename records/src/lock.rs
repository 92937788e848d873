//! A journal's lock: held for as long as a worker keeps its journal, and seen by whoever reads it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::journal::JournalError;

/// What the lock's file is called.
const NAME: &str = "lock";
/// Whoever reads a journal holds its lock for a moment, to see whether it is free. A worker that starts just then tries
/// again, so often and after this long each time.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);
/// No lock's file is longer, in bytes.
const LEN_MAX: u64 = 64;

/// Held for as long as a worker keeps its journal; the operating system releases it when the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// What can be seen of a journal's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// A process keeps a journal there.
    Held,
    /// Nobody does.
    Free,
    /// It cannot be told: there is no lock, it may not be opened, or it is a copy from elsewhere.
    Unseen,
}

/// Creates the directory if it is missing and locks it.
pub fn prepare(dir: &Path) -> Result<Lock, JournalError> {
    if fs::metadata(dir).is_ok_and(|found| !found.is_dir()) {
        return Err(JournalError::NotADirectory { dir: dir.to_owned() });
    }
    let io = |what| move |source| JournalError::Io { dir: dir.to_owned(), what, source };
    fs::create_dir_all(dir).map_err(io("create it"))?;
    let path = dir.join(NAME);
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(&path).map_err(io("create its lock file"))?;
    match acquire(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(io("lock it")(source)),
    }
    // A lock that cannot say which file it is counts as a copy: less can be told later, and nothing wrong.
    if let Some(mark) = mark(&file) {
        let _ = file.set_len(0).and_then(|()| file.write_all(mark.as_bytes()));
    }
    Ok(Lock { file, path })
}

#[expect(clippy::disallowed_methods, reason = "whoever looks at the lock lets go of it in a moment")]
fn acquire(file: &File) -> Result<(), TryLockError> {
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            done => return done,
        }
    }
    file.try_lock()
}

impl Lock {
    /// Whether its file is no longer where it was.
    pub(crate) fn is_gone(&self) -> bool {
        is_elsewhere(&self.file, &self.path)
    }

    /// Another descriptor of its file, if the process may have one more.
    pub(crate) fn another_descriptor(&self) -> Option<File> {
        self.file.try_clone().ok()
    }
}

/// Looks at the lock of the journal in `dir`, and leaves it as it is.
#[must_use]
pub fn lock_state(dir: &Path) -> LockState {
    look(&dir.join(NAME)).unwrap_or(LockState::Unseen)
}

fn look(path: &Path) -> io::Result<LockState> {
    let file = File::open(path)?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => return Ok(LockState::Held),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    let mut text = String::new();
    (&file).take(LEN_MAX).read_to_string(&mut text)?;
    // A copy is free wherever the worker is. It says which file it was copied from.
    Ok(if mark(&file).is_some_and(|mark| mark == text) { LockState::Free } else { LockState::Unseen })
}

/// What tells a file from a copy of it.
#[cfg(unix)]
fn mark(file: &File) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    Some(format!("inode {}\n", file.metadata().ok()?.ino()))
}

#[cfg(not(unix))]
fn mark(_: &File) -> Option<String> {
    None
}

/// Whether an open file is no longer the one at `path`: it was deleted, moved away or replaced.
#[cfg(unix)]
pub(crate) fn is_elsewhere(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |found: io::Result<fs::Metadata>| found.map(|found| (found.dev(), found.ino())).ok();
    let (open, there) = (id(file.metadata()), id(fs::symlink_metadata(path)));
    open.is_some() && there != open && (there.is_some() || !may_be_there(path))
}

#[cfg(not(unix))]
pub(crate) fn is_elsewhere(_: &File, path: &Path) -> bool {
    !may_be_there(path)
}

/// Whether a file may be there: what cannot be looked at may be. In what is no directory any more there is none.
fn may_be_there(path: &Path) -> bool {
    match path.try_exists() {
        Ok(is_there) => is_there,
        Err(error) => error.kind() != io::ErrorKind::NotADirectory,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_lock_is_seen_to_be_held_free_or_neither() {
        let dir = tempdir().expect("a directory");
        assert_eq!(lock_state(dir.path()), LockState::Unseen, "there is none");
        let lock = prepare(dir.path()).expect("nobody has it");
        assert_eq!(lock_state(dir.path()), LockState::Held);
        assert!(matches!(prepare(dir.path()), Err(JournalError::InUse { .. })));
        drop(lock);
        assert_eq!(lock_state(dir.path()), LockState::Free);

        let copy = tempdir().expect("a directory");
        fs::copy(dir.path().join(NAME), copy.path().join(NAME)).expect("copied");
        assert_eq!(lock_state(copy.path()), LockState::Unseen, "a copy is free wherever the worker is");
        fs::write(dir.path().join(NAME), "").expect("written");
        assert_eq!(lock_state(dir.path()), LockState::Unseen, "as builds before this one left it");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "stands for a look that takes a moment; it may take any time")]
    fn a_look_at_a_lock_keeps_no_worker_from_starting() {
        let dir = tempdir().expect("a directory");
        drop(prepare(dir.path()).expect("nobody has it"));
        let looking = File::open(dir.path().join(NAME)).expect("there");
        looking.lock_shared().expect("free");
        let release = thread::spawn(move || {
            thread::sleep(PAUSE);
            drop(looking);
        });
        prepare(dir.path()).expect("the look is over in a moment");
        release.join().expect("no panic");
    }
}
