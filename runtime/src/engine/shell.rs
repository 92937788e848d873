//! The control loop: takes what passed the gate, journals it, then performs what it obliges to. The only loop there is,
//! in production and in the simulator.

use openrtc_core::machine::Machine;
use openrtc_core::time::Span;
use openrtc_core::worker::{Effect, Entry, Outcome, Worker};

use super::gate::Gate;
use super::ports::Ports;

/// While calls flow the shell comes by this often, unasked; an entry is stamped at most this late.
pub const TICK: Span = Span::from_millis(1);

/// Runs until the worker has exited and says how. `record` is the state the gate started from; it is folded one
/// journaled entry at a time, so it is always the state the journal tells.
pub async fn run(gate: &Gate, mut record: Worker, ports: &mut impl Ports) -> Outcome {
    let _attendance = gate.attend();
    let mut batch = Vec::new();
    loop {
        // Deadlines before entries: what the last hang-up leads to is journaled together with it.
        gate.wake(ports.now(), &record);
        gate.take(ports.now(), &mut batch);
        let flowing = !batch.is_empty();
        if flowing {
            if let Some(outcome) = settle(&batch, &mut record, ports).await {
                return outcome;
            }
            // And after them: a call is flagged only by a record that lacks nothing.
            if gate.wake(ports.now(), &record) {
                continue;
            }
        }
        let now = ports.now();
        let sleeps = !flowing && gate.may_sleep();
        // A deadline that is still due could not be acted on: a call is just ending, and it depends on how.
        let deadline = gate.deadline(&record).map(|due| if due <= now { now + TICK } else { due });
        let tick = (!sleeps).then_some(now + TICK);
        ports.next(deadline.into_iter().chain(tick).min(), gate.work()).await;
    }
}

/// Journals entries, folds them into the record, and performs their effects; the outcome if the last was the exit.
async fn settle(batch: &[Entry], record: &mut Worker, ports: &mut impl Ports) -> Option<Outcome> {
    // A failed append shows in the journal's health; calls and drain go on.
    let _ = ports.append(record, batch).await;
    let mut effects = Vec::new();
    for entry in batch {
        record.apply(entry);
        record.react(entry, &mut |effect| effects.push(effect));
    }
    ports.publish(record.word().seq(), record);
    for effect in effects {
        ports.perform(effect).await;
        if let Effect::Exit(outcome) = effect {
            return Some(outcome);
        }
    }
    None
}
