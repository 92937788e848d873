//! What workers of a fleet talk to.
//!
//! `manifest`: who may take calls, in a file. `registrar`, with the feature `http`: lets workers in for whoever hands
//! out calls.
#![forbid(unsafe_code)]

pub mod manifest;
#[cfg(feature = "http")]
pub mod registrar;
