//! The trail's files: append-only lines, continued where the run before left off.
//!
//! | what | where |
//! |---|---|
//! | the file that is written, and its rotation | [`TrailFile`] |
//! | the files that a trail is in | [`parts()`] |
//! | reading it on from any record | [`TrailReader`] |

mod file;
mod parts;
mod reader;

use std::io;
use std::path::PathBuf;

pub use file::{Disturbance, Reached, TrailFile};
pub use parts::{Part, Whose, lineage, owner_of, parts};
pub use reader::{Batch, TrailReader};

/// No record is longer, in bytes.
pub const LINE_MAX: u64 = 2_048;

/// Why a trail's file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// Another worker writes this trail.
    #[error("audit file {path:?} is in use by another worker: give each worker a file of its own")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened or read.
    #[error("audit file {path:?}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("audit file {path:?} does not end in an audit record: name another file, or move this one away")]
    NotATrail {
        /// The file.
        path: PathBuf,
    },
}
