//! A journal to write and to read back.

use openrtc_core::id::{CallNo, Deployment, Identity, Incarnation, Version, WorkerId};
use openrtc_core::journal::{Opening, write_entry, write_opening};
use openrtc_core::machine::Machine;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Class, Command, EndReason, Entry, Limits, Worker};

use crate::{CALL, CAPACITY};

/// Calls in flight while the journal is written.
const IN_FLIGHT: usize = 200;

/// The state a journal opens with and `events` entries that follow it: calls come and go, a constant number in flight.
#[must_use]
pub fn life(events: usize) -> (Worker, Vec<Entry>) {
    let start = Worker::new(Limits { capacity: CAPACITY, ..Limits::default() }).expect("limits are valid");
    let (mut worker, mut entries) = (start.clone(), Vec::with_capacity(events));
    let mut step = |worker: &mut Worker, at, command| {
        entries.push(worker.step(at, command).expect("the command is in order"));
        entries.len() < events
    };
    let (mut at, mut open, mut dice) = (Instant::EPOCH, Vec::new(), 1_u64);
    step(&mut worker, at, Command::Serve);
    loop {
        at = Instant::from_micros(at.as_micros() + 1);
        let command = if open.len() < IN_FLIGHT {
            open.push(CallNo::new(worker.word().seq().get() + 1));
            Command::Admit { id: CALL, class: Class(0) }
        } else {
            // Calls last differently long: any of them may be the next to end, by a sequence that is always the same.
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let call = open.swap_remove((dice >> 33) as usize % IN_FLIGHT);
            Command::End { call, reason: EndReason::CallerHangup }
        };
        if !step(&mut worker, at, command) {
            return (start, entries);
        }
    }
}

/// The bytes of a segment that opens with `state` and goes on with `entries`.
#[must_use]
pub fn segment(state: &Worker, entries: &[Entry]) -> Vec<u8> {
    let identity = Identity {
        deployment: Deployment::from_static("benches"),
        version: Version::from_static("v1"),
        worker: WorkerId::from_static("w1"),
        incarnation: Incarnation::new(1),
    };
    let mut bytes = Vec::new();
    write_opening(Opening { identity, predecessor: None, state: state.clone() }, &mut bytes);
    append(entries, &mut bytes);
    bytes
}

/// Appends the frames of `entries`.
pub fn append(entries: &[Entry], bytes: &mut Vec<u8>) {
    for entry in entries {
        write_entry(entry, bytes);
    }
}
