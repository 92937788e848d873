//! What workers of a fleet talk to.
//!
//! [`registrar`]: lets workers in for whoever hands out calls.
#![forbid(unsafe_code)]

pub mod registrar;
