//! What a worker's shell must do about an entry, and what it still owes in a state.

use super::{Alert, Availability, Effect, Event, Worker};
use crate::machine::Sink;
use crate::word::Phase;

impl Worker {
    pub(super) fn derive(&self, event: &Event, effects: &mut impl Sink<Effect>) {
        match *event {
            Event::CallAdmitted { .. } | Event::CallReserved { .. } => {
                if self.availability() == Availability::Full {
                    effects.emit(Effect::Announce(Availability::Full));
                }
            }
            Event::CallEnded { .. } | Event::CallHandedOver { .. } => self.derive_room(effects),
            Event::ReservationLapsed { call } => {
                effects.emit(Effect::Lapse(call));
                self.derive_room(effects);
            }
            Event::CallStalled { call } => effects.emit(Effect::Alert(Alert::Stalled(call))),
            Event::ServingBegan { .. } | Event::DrainCancelled { .. } => {
                effects.emit(Effect::Announce(self.availability()));
            }
            Event::DrainBegun { cause, .. } => {
                effects.emit(Effect::Announce(Availability::Closed));
                if cause.is_final() {
                    effects.emit(Effect::Stop);
                }
            }
            Event::DrainSealed { .. } => effects.emit(Effect::Stop),
            Event::DrainForced { .. } => self.owe_cancel(effects),
            Event::DrainOverdue { .. } => effects.emit(Effect::Alert(Alert::Overdue)),
            Event::Exited { outcome, .. } => effects.emit(Effect::Exit(outcome)),
            // Calls are taken over before the worker serves: it is closed then, and says how full it is when it opens.
            Event::CallTakenOver { .. }
            | Event::CallAssigned { .. }
            | Event::CallProgressed { .. }
            | Event::CallsDeclined { .. }
            | Event::DrainExtended { .. }
            | Event::DrainTightened { .. }
            | Event::Drained
            | Event::OrderTaken { .. }
            | Event::StoodBy => {}
        }
    }

    /// A call that leaves a full worker makes room: say so once, at the edge.
    fn derive_room(&self, effects: &mut impl Sink<Effect>) {
        if self.phase() == Phase::Serving && self.word().in_flight() + 1 == self.limits().capacity {
            effects.emit(Effect::Announce(Availability::Open));
        }
    }

    /// A lapse is not owed again: whoever held the reservation is gone with the process that crashed.
    pub(super) fn owe(&self, effects: &mut impl Sink<Effect>) {
        if let Some(outcome) = self.outcome() {
            effects.emit(Effect::Exit(outcome));
            return;
        }
        effects.emit(Effect::Announce(self.availability()));
        for (number, call) in self.calls.iter() {
            if call.stalled {
                effects.emit(Effect::Alert(Alert::Stalled(number)));
            }
        }
        let Some(drain) = self.drain() else { return };
        if drain.sealed {
            effects.emit(Effect::Stop);
        }
        if drain.overdue {
            effects.emit(Effect::Alert(Alert::Overdue));
        }
        self.owe_cancel(effects);
    }

    fn owe_cancel(&self, effects: &mut impl Sink<Effect>) {
        if let Some(forced) = self.drain().and_then(|drain| drain.forced) {
            effects.emit(Effect::CancelCalls { until: forced.until });
        }
    }
}
