//! Callers: they call, wait, are declined and call again, hang up.

use std::collections::BTreeMap;

use openrtc_core::time::{Instant, Span};

use super::Context;
use super::network::Say;
use super::queue::Event;
use super::scene::Who;
use crate::id::CallIndex;
use crate::ledger::Fate;
use crate::plan::{Kind, Plan};

/// How long a caller that was declined waits before it calls again.
const REDIAL: Span = Span::from_secs(3);
/// How long a caller waits before a worker is looked for again.
const PLACE_AGAIN: Span = Span::from_millis(500);

/// Everybody who calls in a plan.
#[derive(Debug)]
pub(super) struct Callers {
    /// How many have called.
    called: usize,
    /// When each caller hangs up, unless the call ends before, in order; the last one first.
    hang_ups: Vec<(Instant, CallIndex)>,
    /// Callers that were declined and called again.
    redials: BTreeMap<CallIndex, Dial>,
}

/// The latest time a caller called.
#[derive(Clone, Copy, Debug)]
struct Dial {
    again: u32,
    at: Instant,
}

impl Callers {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut hang_ups: Vec<_> = plan.every_call().map(|call| (plan.calls[call].ends(), call)).collect();
        hang_ups.sort_unstable_by(|one, other| other.cmp(one));
        Self { called: 0, hang_ups, redials: BTreeMap::new() }
    }

    /// When the next caller calls.
    pub(super) fn next_call_at(&self, plan: &Plan) -> Option<Instant> {
        plan.calls.get(self.called).map(|call| call.at)
    }

    /// When the next caller hangs up.
    pub(super) fn next_hang_up_at(&self) -> Option<Instant> {
        self.hang_ups.last().map(|(at, _)| *at)
    }

    /// Whether every caller of the plan has called.
    pub(super) const fn all_have_called(&self, plan: &Plan) -> bool {
        self.called == plan.calls.len()
    }

    /// The next caller calls.
    pub(super) fn ring(&mut self, Context { scene, books, .. }: &mut Context<'_>) -> CallIndex {
        let call = CallIndex::at(self.called);
        self.called += 1;
        books.ledger.set(call, Fate::Waiting, None, scene.now);
        call
    }

    /// No worker takes calls: the caller waits, is declined and calls again, or is declined for good.
    pub(super) fn wait(&mut self, Context { scene, books, .. }: &mut Context<'_>, call: CallIndex) {
        let (plan, now) = (scene.plan, scene.now);
        let dial = self.redials.get(&call).copied().unwrap_or(Dial { again: 0, at: plan.calls[call].at });
        if now < dial.at + plan.patience {
            scene.after(PLACE_AGAIN, Event::Place(call));
        } else if dial.again < plan.redials {
            self.redials.insert(call, Dial { again: dial.again + 1, at: now + REDIAL });
            books.ledger.set(call, Fate::Ahead, None, now);
            scene.after(REDIAL, Event::Redial(call));
            scene.tell(Who::Caller, || format!("is declined: call {call}"));
        } else {
            books.ledger.set(call, Fate::NoCapacity, None, now);
        }
    }

    /// The next caller hangs up.
    pub(super) fn hang_up(&mut self, context: &mut Context<'_>) {
        let Some((_, call)) = self.hang_ups.pop() else { return };
        let Context { scene, books, .. } = context;
        let line = *books.ledger.line(call);
        let fate = match line.fate {
            Fate::Active => Fate::Completed,
            Fate::Ahead | Fate::Waiting | Fate::Reserved => Fate::Abandoned,
            _ => return,
        };
        books.ledger.set(call, fate, None, scene.now);
        scene.tell(Who::Caller, || format!("hangs up call {call}"));
        let phantom = scene.plan.calls[call].kind == Kind::Phantom && fate == Fate::Completed;
        if let Some(attempt) = line.attempt.filter(|_| !phantom) {
            context.send(Say::End, attempt);
        }
    }
}

/// A caller that was declined calls again, unless it has given up. Returns whether it does.
pub(super) fn redial(Context { scene, books, .. }: &mut Context<'_>, call: CallIndex) -> bool {
    let calls = books.ledger.line(call).fate == Fate::Ahead;
    if calls {
        scene.tell(Who::Caller, || format!("calls again: call {call}"));
        books.ledger.set(call, Fate::Waiting, None, scene.now);
    }
    calls
}
