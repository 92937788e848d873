//! The pure heart of OpenRTC: what a realtime-call worker may do, decided without I/O, clock or randomness.
//!
//! Read in this order: [`machine`] (the four verbs every state machine here has), [`word`] (admission, drain and
//! numbering as one packed integer), [`worker`] (the worker's life), [`fleet`] (a rollout over many of them), [`codec`]
//! and [`journal`] (how entries are stored), [`snapshot`] (what the outside sees), [`membership`] (who may take calls),
//! [`audit`] (what a person has to answer for).
//!
//! The same code runs in production under `openrtc-runtime` and in the simulator, over the same entries.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod audit;
mod checksum;
pub mod codec;
pub mod fleet;
pub mod hex;
pub mod id;
pub mod journal;
pub mod machine;
pub mod membership;
pub mod order;
mod pages;
pub mod prose;
pub mod snapshot;
pub mod time;
pub mod uplink;
pub mod word;
#[cfg(test)]
mod words;
pub mod worker;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
