//! The worker's side of whoever hands out calls.

pub mod register;
