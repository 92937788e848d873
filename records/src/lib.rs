//! The files that a run of a worker leaves behind, written and read in one place.
//!
//! | files | module |
//! |---|---|
//! | the journal's directory: its lock, its segments | [`journal`] writes, [`runs`] and [`Segment::replay`] read |
//! | the audit trail | [`trail`] |
//!
//! Everything here blocks on the disk and knows no thread but its own keeper: `openrtc-runtime` calls it from threads
//! of its own. The bytes themselves are `openrtc-core`'s.
#![forbid(unsafe_code)]

mod directory;
pub mod journal;
mod read;
pub mod trail;

pub use directory::{Lock, Segment, prepare, segments};
pub use read::{ReadError, Run, runs};
