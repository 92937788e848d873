//! The audit trail: what a person has to answer for, derived from the journal and chained so that nobody can quietly
//! change it.
//!
//! One record is one line of JSON. Each carries as `prev` the SHA-256 of the line before it, byte for byte, so the
//! chain can be checked with `sha256sum` (`docs/audit-events.md`). Records are derived from journal entries by a pure
//! function ([`derive()`]), never written by hand: whoever has the journal can derive them again and compare.

mod derive;
mod line;
mod verify;

pub use derive::{Draft, EventName, EventResult, Target, derive, derive_loss};
pub use line::{Chain, Head, body};
pub use verify::{Fault, FaultKind, Findings, bodies, number_of, verify};
