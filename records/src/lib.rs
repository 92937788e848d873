//! The files that a run of a worker leaves behind, written and read in one place.
//!
//! | files | module |
//! |---|---|
//! | the journal's directory: its lock, its segments | [`journal`] writes, [`runs`] and [`Segment::replay`] read |
//! | ledgers of the calls whose segments had to make room | [`journal`] writes, [`LedgerFile::read`] reads |
//! | the audit trail | [`trail`] |
//!
//! Everything here blocks on the disk and knows no thread but its own keeper: `openrtc-runtime` calls it from threads
//! of its own. The bytes themselves are `openrtc-core`'s.
#![forbid(unsafe_code)]

mod directory;
pub mod journal;
mod ledger;
mod lock;
mod read;
pub mod trail;

pub use directory::{LedgerFile, Segment, ledgers, segments};
pub use lock::{Lock, LockState, lock_state, prepare};
pub use read::{ReadError, Run, runs};
