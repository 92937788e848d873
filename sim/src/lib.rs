//! Whole blue-green rollouts in virtual time over the very machines that run in production.
//!
//! Read in this order: [`plan`] (what a run is given), [`subject`] (what it is a run of), `process` (the one model of
//! a worker's process), [`world`] (who acts in a run), [`ledger`] (what became of every call), [`oracle`] (what must
//! hold), [`run`] (from plan to verdict); then the engines over them: [`generate`] (a seed or a fuzzer's bytes become
//! a plan), [`swarm`], [`shrink`] and [`explore`] (every order of events in a small world); and what a person sees:
//! [`report`], [`timeline`]. Workers, calls and the like have types of their own in [`id`]; times are in [`clock`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bug;
pub mod choice;
pub mod clock;
pub mod explore;
pub mod generate;
pub mod id;
pub mod ledger;
pub mod oracle;
pub mod plan;
mod process;
pub mod records;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod subject;
pub mod swarm;
pub mod timeline;
pub mod world;
