//! Callers: they call, wait, are declined and call again, hang up.

use super::calls::PLACE_AGAIN;
use super::queue::Event;
use super::{Who, World};
use crate::ledger::{Fate, NONE};
use crate::plan::{Kind, Message, SECOND};

/// How long a caller that was declined waits before it calls again.
const REDIAL: u64 = 3 * SECOND;

/// The latest time a caller called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    again: u32,
    at: u64,
}

impl World<'_> {
    /// A caller calls.
    pub(super) fn ring(&mut self, call: u32) {
        self.ledger.set(call, Fate::Waiting, None, self.now);
        self.place(call);
    }

    /// A caller that was declined calls again, unless it has given up.
    pub(super) fn redial(&mut self, call: u32) {
        if self.ledger.line(call).fate == Fate::Ahead {
            self.tell(Who::Caller, || format!("calls again: call {call}"));
            self.ring(call);
        }
    }

    /// No worker takes calls: the caller waits, is declined and calls again, or is declined for good.
    pub(super) fn wait(&mut self, call: u32) {
        let dial = self.redials.get(&call).copied().unwrap_or(Dial { again: 0, at: self.plan.calls[call as usize].at });
        if self.now < dial.at + self.plan.patience {
            self.queue.push(self.now + PLACE_AGAIN, Event::Place(call));
        } else if dial.again < self.plan.redials {
            let next = Dial { again: dial.again + 1, at: self.now + REDIAL };
            self.redials.insert(call, next);
            self.ledger.set(call, Fate::Ahead, None, self.now);
            self.queue.push(next.at, Event::Redial(call));
            self.tell(Who::Caller, || format!("is declined: call {call}"));
        } else {
            self.ledger.set(call, Fate::NoCapacity, None, self.now);
        }
    }

    /// A caller hangs up.
    pub(super) fn hang_up(&mut self, call: u32) {
        let line = *self.ledger.line(call);
        let fate = match line.fate {
            Fate::Active => Fate::Completed,
            Fate::Ahead | Fate::Waiting | Fate::Reserved => Fate::Abandoned,
            _ => return,
        };
        self.ledger.set(call, fate, None, self.now);
        self.tell(Who::Caller, || format!("hangs up call {call}"));
        let phantom = self.plan.calls[call as usize].kind == Kind::Phantom && fate == Fate::Completed;
        if line.attempt != NONE && !phantom {
            self.send(Message::End, line.attempt);
        }
    }
}
