//! Advice about a rollout before it happens: pure functions of what a user gives.
//!
//! So far it has the reader of [call records](records), which the demo and the simulator replay.
#![forbid(unsafe_code)]

pub mod records;

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
