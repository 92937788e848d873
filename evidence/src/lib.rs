//! Accounts for every call of a rollout from its workers' records, and certifies the result.
#![forbid(unsafe_code)]

pub mod certificate;
mod hex;
mod page;
#[cfg(test)]
mod scribe;
mod seal;

pub use seal::{CheckError, IssueError, ReadError, check, issue, read};
