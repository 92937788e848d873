//! The laws of [`openrtc_core::machine`], checked on every machine over scripts drawn at random from a fixed seed.

#[path = "../common/allocations.rs"]
mod allocations;
#[path = "../common/mod.rs"]
mod common;
mod fleet;
mod harness;
mod history;
mod subject;
mod worker;

use fleet::FleetSubject;
use worker::WorkerSubject;

#[test]
fn worker_keeps_every_law() {
    harness::check::<WorkerSubject>(600);
}

#[test]
fn fleet_keeps_every_law() {
    harness::check::<FleetSubject>(1_200);
}
