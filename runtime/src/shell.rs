//! The control loop: takes what the gate queued, journals it, then performs what it obliges to. The only loop there is,
//! in production and in the simulator.

use openrtc_core::machine::Machine;
use openrtc_core::worker::{Effect, Outcome, Worker};

use crate::gate::Gate;
use crate::ports::Ports;

/// Runs until the worker has exited and says how. `follower` is the state the gate started from; it is folded one
/// journaled entry at a time, so it is always the state the journal tells.
pub async fn run(gate: &Gate, mut follower: Worker, ports: &mut impl Ports) -> Outcome {
    let mut batch = Vec::new();
    let mut effects = Vec::new();
    loop {
        gate.wake(ports.now());
        gate.take(&mut batch);
        if batch.is_empty() {
            ports.next(gate.deadline(), gate.work()).await;
            continue;
        }
        // A failed append shows in the journal's health; calls and drain go on.
        let _ = ports.append(&follower, &batch).await;
        for entry in &batch {
            follower.apply(entry);
            follower.react(entry, &mut |effect| effects.push(effect));
        }
        ports.publish(follower.word().seq(), &follower);
        for effect in effects.drain(..) {
            ports.perform(effect).await;
            if let Effect::Exit(outcome) = effect {
                return outcome;
            }
        }
    }
}
