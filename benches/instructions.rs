//! Instructions on the hot path, counted under valgrind: exact on any machine, so that CI can hold them.
//!
//! `cargo bench -p benches --bench instructions`, with valgrind and `gungraun-runner` installed. A count more than 5 %
//! above the one checked in here fails, and so does any system call. When a count is meant to change, change it here.
#![allow(
    missing_docs,
    unused_qualifications,
    clippy::must_use_candidate,
    reason = "the benchmark macros write such code"
)]

use std::hint::black_box;

use benches::{CALL, gates};
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use openrtc_core::id::CallNo;
use openrtc_core::worker::{Class, EndReason};
use openrtc_runtime::gate::Gate;

/// Each operation is counted this often: fewer events than the ring holds.
const TIMES: u64 = 1_000;

/// Instructions of [`TIMES`] admissions.
const ADMIT: u64 = 115_200;
/// Instructions of [`TIMES`] hang-ups.
const HANG_UP: u64 = 67_400;
/// Instructions of [`TIMES`] refusals.
const REFUSE: u64 = 32_250;

library_benchmark_group!(name = gate, benchmarks = [admit, hang_up, refuse]);
main!(library_benchmark_groups = gate);

#[library_benchmark(config = at_most(ADMIT), setup = gates::serving)]
#[bench::gate()]
fn admit(gate: Gate) -> Gate {
    for _ in 0..TIMES {
        let _ = black_box(gate.admit(black_box(&CALL), Class::default()));
    }
    gate
}

#[library_benchmark(config = at_most(HANG_UP), setup = with_calls)]
#[bench::gate()]
fn hang_up((gate, calls): (Gate, Vec<CallNo>)) -> (Gate, Vec<CallNo>) {
    for call in &calls {
        black_box(gate.end(black_box(*call), EndReason::CallerHangup));
    }
    (gate, calls)
}

#[library_benchmark(config = at_most(REFUSE), setup = gates::draining)]
#[bench::gate()]
fn refuse(gate: Gate) -> Gate {
    for _ in 0..TIMES {
        let _ = black_box(gate.admit(black_box(&CALL), Class::default()));
    }
    gate
}

fn with_calls() -> (Gate, Vec<CallNo>) {
    let gate = gates::serving();
    let calls = (0..TIMES).map(|_| gate.admit(&CALL, Class::default()).expect("serving and not full")).collect();
    (gate, calls)
}

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--collect-systime=yes"]);
    callgrind.hard_limits([(EventKind::Ir, instructions + instructions / 20), (EventKind::SysCount, 0)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}
