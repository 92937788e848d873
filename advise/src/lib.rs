//! Advice about a rollout before it happens: pure functions of what a user gives.
//!
//! `lint` finds what in deployment files would cut calls. `plan` says what a rollout will take, from
//! [call records](records) or from the ages of calls that are up. The demo and the simulator replay such records
//! as well.
#![forbid(unsafe_code)]

#[cfg(feature = "lint")]
pub mod lint;
#[cfg(feature = "plan")]
pub mod plan;
pub mod records;

/// The README's example is a test.
#[cfg(all(doctest, feature = "plan"))]
#[doc = include_str!("../README.md")]
struct Readme;
