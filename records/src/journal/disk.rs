//! What is done with one segment's file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::directory::place;
use crate::lock::is_elsewhere;

/// What somebody else did to a file that was written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It is no longer where it was.
    Gone,
    /// Something of it was cut off.
    Shorter,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "was deleted, moved or replaced by somebody else",
            Self::Shorter => "was cut short by somebody else",
        })
    }
}

/// What somebody else did to an open file at `path` that has at least `bytes`.
pub(super) fn loss(file: &File, path: &Path, bytes: u64) -> Option<Loss> {
    if file.metadata().is_ok_and(|found| found.len() < bytes) {
        Some(Loss::Shorter)
    } else {
        is_elsewhere(file, path).then_some(Loss::Gone)
    }
}

/// Writes the first `bytes` of an open file to `path` again. The file that is returned ends there.
pub(super) fn put_back(file: &File, path: &Path, bytes: u64) -> io::Result<File> {
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    place(path, |new| match io::copy(&mut file.take(bytes), new)? {
        copied if copied == bytes => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was cut short too")),
    })
}

/// Whether an error says that the process, or the system, has no descriptor left.
#[cfg(unix)]
pub(super) fn lacks_descriptors(error: &io::Error) -> bool {
    /// ENFILE and EMFILE, which are the same on every Unix.
    const SHORT: [i32; 2] = [23, 24];
    error.raw_os_error().is_some_and(|errno| SHORT.contains(&errno))
}

#[cfg(not(unix))]
pub(super) fn lacks_descriptors(_: &io::Error) -> bool {
    false
}

/// Appends bytes; after an error nobody knows how many.
pub(super) fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    if faults::is_due() {
        file.write_all(&bytes[..bytes.len() / 2])?;
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all(bytes)
}

#[cfg(test)]
pub(super) mod faults {
    use std::cell::Cell;

    thread_local! {
        /// How many writes of this thread succeed before one fails half way.
        static COUNTDOWN: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// Lets the write after `count` others fail half way, once.
    pub(crate) fn fail_after(count: u32) {
        COUNTDOWN.set(Some(count));
    }

    /// Whether a write is still to fail.
    pub(crate) fn is_pending() -> bool {
        COUNTDOWN.get().is_some()
    }

    pub(super) fn is_due() -> bool {
        let left = COUNTDOWN.get();
        COUNTDOWN.set(left.and_then(|count| count.checked_sub(1)));
        left == Some(0)
    }
}
