//! A journal to write and to read back.

use openrtc_core::id::{CallNo, Deployment, DigestKey, IdLog, Identity, Incarnation, Version, WorkerId};
use openrtc_core::journal::{Batch, Opening, Run, write_batch, write_opening};
use openrtc_core::machine::Machine;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Class, Command, EndReason, Limits, Worker};

use crate::{CALL, CAPACITY};

/// Calls in flight while the journal is written.
const IN_FLIGHT: usize = 200;

/// The state a journal opens with and `events` entries that follow it, in batches of so many: calls come and go, a
/// constant number in flight.
#[must_use]
pub fn life(events: usize, batch: usize) -> (Worker, Vec<Batch<Worker>>) {
    let start = Worker::new(Limits { capacity: CAPACITY, ..Limits::default() }).expect("limits are valid");
    let (mut worker, mut batches, id) = (start.clone(), Vec::new(), CALL.digest(DigestKey::default()));
    let (mut open, mut dice) = (Vec::new(), 1_u64);
    for event in 0..events {
        let next = CallNo::new(worker.word().seq().get() + 1);
        if event % batch == 0 {
            batches.push(Batch::default());
        }
        let batch = batches.last_mut().expect("one was pushed");
        let command = if event == 0 {
            Command::Serve
        } else if open.len() < IN_FLIGHT {
            open.push(next);
            batch.ids.push(next, CALL.as_str());
            Command::Admit { id, class: Class::default() }
        } else {
            // Calls last differently long: any of them may be the next to end, by a sequence that is always the same.
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let call = open.swap_remove((dice >> 33) as usize % IN_FLIGHT);
            Command::End { call, reason: EndReason::CallerHangup }
        };
        let at = Instant::from_micros(event as u64);
        batch.entries.push(worker.step(at, command).expect("the command is in order"));
    }
    (start, batches)
}

/// The bytes of a segment that opens with `state` and goes on with `batches`.
#[must_use]
pub fn segment(state: &Worker, batches: &[Batch<Worker>]) -> Vec<u8> {
    let identity = Identity {
        deployment: Deployment::from_static("benches"),
        version: Version::from_static("v1"),
        worker: WorkerId::from_static("w1"),
        incarnation: Incarnation::new(1),
    };
    let about = Run { identity, predecessor: None };
    let mut bytes = Vec::new();
    write_opening(&Opening { about, state: state.clone() }, &IdLog::default(), &mut bytes);
    for batch in batches {
        write_batch(batch, &mut bytes);
    }
    bytes
}
