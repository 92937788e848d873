//! The fleet machine: whole rollouts told as stories, and laws that hold for any history.
#![allow(clippy::unwrap_used)]

mod faults;
mod laws;
mod stories;
mod world;
