//! What is done with one segment's file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::Say;
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
    if let Some(halves) = faults::due() {
        file.write_all(&bytes[..bytes.len() * halves / 2])?;
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all(bytes)
}

/// Leaves the beginning of a frame behind the first `bytes` of a file: readers see by it that more happened. What a
/// write that failed left there may end with a whole frame, and would not show it. Makes the file longer, or shorter,
/// without writing, for which a full disk has room.
pub(super) fn tear(file: &File, bytes: u64, say: Say) {
    if let Err(error) = file.set_len(bytes + 1) {
        let told = "entries are missing at the end of the journal's segment, and nothing there says so";
        say(Box::new(move || tracing::warn!(%error, "{told}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_much_a_failed_write_left_there_one_byte_of_it_stays() {
        for left in 0..4 {
            let mut file = tempfile::tempfile().expect("a file");
            write(&mut file, &[1; 10]).expect("room");
            write(&mut file, &[1; 3][..left]).expect("room");
            tear(&file, 10, |line| line());
            assert_eq!(file.metadata().expect("open").len(), 11);
        }
    }
}

#[cfg(test)]
pub(super) mod faults {
    use std::cell::Cell;

    thread_local! {
        /// How many writes of this thread succeed before one fails.
        static COUNTDOWN: Cell<Option<u32>> = const { Cell::new(None) };
        /// How many halves of what it should write that one writes.
        static HALVES: Cell<usize> = const { Cell::new(1) };
    }

    /// Lets the write after `count` others fail once so many halves are written.
    pub(crate) fn fail_after(count: u32, halves: usize) {
        COUNTDOWN.set(Some(count));
        HALVES.set(halves);
    }

    /// Whether a write is still to fail.
    pub(crate) fn is_pending() -> bool {
        COUNTDOWN.get().is_some()
    }

    /// How many halves the write that is next writes, if it fails.
    pub(super) fn due() -> Option<usize> {
        let left = COUNTDOWN.get();
        COUNTDOWN.set(left.and_then(|count| count.checked_sub(1)));
        (left == Some(0)).then(|| HALVES.get())
    }
}
