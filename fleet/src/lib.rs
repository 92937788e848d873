//! What workers of a fleet talk to, and what runs a fleet.
//!
//! `manifest`: who may take calls, in a file. `registrar`, with the feature `http`: lets workers in for whoever hands
//! out calls. With the feature `process`, `shell` runs the fleet machine, and `child` starts programs and sees them to
//! their end. With the feature `coordinator`, `coordinator` carries out what the fleet machine decides on workers that
//! dial in.
#![deny(unsafe_code)]

#[cfg(feature = "process")]
pub mod child;
#[cfg(feature = "coordinator")]
pub mod coordinator;
pub mod manifest;
#[cfg(feature = "http")]
pub mod registrar;
#[cfg(any(feature = "coordinator", feature = "process"))]
pub mod shell;
