//! Whole blue-green rollouts in virtual time over the very machines that run in production.
//!
//! Read in this order: [`plan`] (what a run is given), [`subject`] (what it is a run of), [`world`] (who acts in it),
//! [`ledger`] (what became of every call), [`oracle`] (what must hold), [`run`] (from plan to verdict); then the
//! engines over them: [`generate`] (a seed or a fuzzer's bytes become a plan), [`swarm`] and [`shrink`]; and what a
//! person sees: [`report`], [`timeline`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bug;
pub mod choice;
pub mod explore;
pub mod generate;
pub mod ledger;
pub mod oracle;
pub mod plan;
pub mod records;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod subject;
pub mod swarm;
pub mod timeline;
pub mod world;
