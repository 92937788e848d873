//! How a worker obeys a coordinator: from an order and the worker's state to a command.

use core::cmp::Ordering;

use super::{
    CallState, Cause, Command, Drain, DrainOrder, Event, Life, OnDeadline, Outcome, Refused, Rejection, Repeat, Terms,
};
use crate::id::Actor;
use crate::order::{Order, Stamp, Wish};
use crate::time::Instant;
use crate::word::Phase;

/// Who gave an order whose event does not tell.
const NOBODY: Actor = Actor::from_static("nobody");

impl Life {
    /// The command that an order comes to in this state; `None` if the order asks for nothing but to be noted.
    #[must_use]
    pub fn command_for(&self, at: Instant, order: &Order) -> Option<Command> {
        let actor = order.actor;
        let drain = |cause, terms| Command::BeginDrain(DrainOrder { cause, actor, terms });
        match order.wish {
            Wish::Join => None,
            Wish::Serve => Some(Command::Serve),
            Wish::Drain { within, on_deadline } => {
                // A coordinator checks its plans; one that did not gets a drain that waits.
                let terms = Terms::new(within.map(|within| at + within), on_deadline);
                Some(drain(Cause::Coordinator, terms.unwrap_or(Terms::PATIENT)))
            }
            Wish::CancelDrain => Some(Command::CancelDrain { actor }),
            Wish::ForceDrain => Some(Command::ForceDrain { actor }),
            Wish::Leave => Some(Command::Leave),
            Wish::Reject if self.phase() < Phase::Serving && self.word().in_flight() == 0 => Some(Command::Reject),
            // Somebody let it in before, so it may have calls.
            Wish::Reject => Some(drain(Cause::Fence, Terms::PATIENT)),
        }
    }

    /// An order counts as taken whatever comes of it: what the worker then reports tells the rest.
    pub(super) fn judge_order(&self, at: Instant, order: Order) -> Result<Event, Rejection> {
        self.judge_stamp(order.stamp)?;
        let changed = self.command_for(at, &order).map(|command| self.judge(at, command, |_| CallState::Never));
        let event = changed.and_then(Result::ok).and_then(|event| event.obeying(order.stamp));
        Ok(event.unwrap_or(Event::OrderTaken { stamp: order.stamp, actor: order.actor }))
    }

    fn judge_stamp(&self, stamp: Stamp) -> Result<(), Rejection> {
        if self.phase() == Phase::Exited {
            return Err(Repeat::AlreadyExited.into());
        }
        match stamp.cmp(&self.obeyed) {
            Ordering::Equal => Err(Repeat::AlreadyObeyed.into()),
            Ordering::Greater => Ok(()),
            Ordering::Less => Err(Refused::Overtaken { by: self.obeyed }.into()),
        }
    }
}

impl Event {
    /// The order that alone can have led to this event, with `stamp` on it, at `at`.
    pub(super) fn order_behind(&self, at: Instant, stamp: Stamp, drain: Option<&Drain>) -> Order {
        let (actor, wish) = match *self {
            Self::ServingBegan { .. } => (NOBODY, Wish::Serve),
            Self::DrainBegun { cause: Cause::Coordinator, actor, terms, .. } => {
                let within = terms.deadline.map(|deadline| deadline.since(at));
                (actor, Wish::Drain { within, on_deadline: terms.on_deadline() })
            }
            Self::DrainSealed { cause, actor, .. } if !cause.is_final() => (actor, Wish::Leave),
            Self::DrainBegun { actor, .. } | Self::DrainSealed { actor, .. } => (actor, Wish::Reject),
            Self::DrainTightened { actor, terms, .. } => (actor, tightening(at, terms, drain)),
            Self::DrainCancelled { actor, .. } => (actor, Wish::CancelDrain),
            Self::DrainForced { actor, .. } => (actor, Wish::ForceDrain),
            Self::Exited { outcome: Outcome::Rejected, .. } => (NOBODY, Wish::Reject),
            Self::OrderTaken { actor, .. } => (actor, Wish::Join),
            // No order leads to these, and they carry no stamp.
            Self::StoodBy
            | Self::CallReserved { .. }
            | Self::CallAdmitted { .. }
            | Self::CallAssigned { .. }
            | Self::CallProgressed { .. }
            | Self::CallStalled { .. }
            | Self::ReservationLapsed { .. }
            | Self::CallEnded { .. }
            | Self::CallsDeclined { .. }
            | Self::DrainExtended { .. }
            | Self::DrainOverdue { .. }
            | Self::Drained
            | Self::Exited { .. }
            | Self::CallTakenOver { .. }
            | Self::CallHandedOver { .. } => (NOBODY, Wish::Join),
        };
        Order { stamp, actor, wish }
    }
}

/// The order that alone can have made these terms of the drain's: what it asked for shows in what is different.
fn tightening(at: Instant, terms: Terms, drain: Option<&Drain>) -> Wish {
    let before = drain.map_or(Terms::PATIENT, |drain| drain.terms);
    let changed = |after: Option<Instant>, before| after.filter(|_| after != before);
    let (force, alert) = (changed(terms.force_at, before.force_at), changed(terms.alert_at, before.alert_at));
    let on_deadline = match (force, alert) {
        (Some(_), _) => OnDeadline::Force,
        (None, Some(_)) => OnDeadline::Alert,
        (None, None) => OnDeadline::Wait,
    };
    let due = force.or(alert).or(terms.deadline);
    Wish::Drain { within: due.map(|due| due.since(at)), on_deadline }
}
