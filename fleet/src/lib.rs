//! What workers of a fleet talk to.
//!
//! `registrar`, with the feature `http`: lets workers in for whoever hands out calls.
#![forbid(unsafe_code)]

#[cfg(feature = "http")]
pub mod registrar;
