//! Accounts for every call of a rollout from its workers' records, and certifies the result.
//!
//! A worker's journal tells what it promised and how each promise ended. [`accounts`] reads that out of it, a
//! [`Certificate`] closes it over all workers of a rollout. [`issue`] writes a certificate, signed, and draws it as a
//! page; [`check`] needs nothing but the certificate and a public key. Whether a single journal is whole is told by
//! [`journal::runs`], and whether an audit trail says what its journal says by [`trail::compare`].
#![forbid(unsafe_code)]

mod account;
mod across_runs;
mod certificate;
pub mod dispatch;
mod end;
mod gap;
pub mod journal;
mod page;
mod seal;
mod select;
mod standing;
#[cfg(test)]
mod test_journals;
pub mod trail;

pub use account::{Account, accounts};
pub use certificate::{Call, Certificate, Drain, Format, Sums, Verdict, WorkerRun};
pub use end::{CallEnd, Meaning, RunEnd};
pub use gap::{Gap, Untold};
pub use seal::{CheckError, IssueError, ReadError, check, issue, read};
pub use select::{Role, Selection};
pub use standing::Standing;

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
