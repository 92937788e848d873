//! The fleet machine: whole rollouts told as stories, and where any history leads.
#![allow(clippy::unwrap_used)]

mod checkers;
mod cordons;
mod faults;
mod gates;
mod laws;
mod restarts;
mod scale;
mod stories;
mod waits;
mod world;
