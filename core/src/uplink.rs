//! The worker's half of its conversation with a coordinator, without I/O: what to say next, and what to do about an
//! answer. Both sides state levels: whatever was lost on the way, the next message makes good.

pub mod wire;

use crate::fleet::{Facts, Report, Run};
use crate::id::{Actor, Epoch, Seq, Version};
use crate::order::{Order, Stamp, Wish};
use crate::worker::Command;

/// Who lets a worker in, in its journal.
const COORDINATOR: Actor = Actor::from_static("coordinator");

/// What a worker says to a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Let me in. Sent with the worker's membership token.
    Register {
        /// The run that asks.
        run: Run,
        /// The version that it runs.
        version: Version,
    },
    /// This is how I am.
    Report(Report),
}

/// What a coordinator says to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The worker is in.
    Joined {
        /// The coordinator's term.
        epoch: Epoch,
    },
    /// The coordinator does not know the worker, or no longer: it is to register again.
    NotRegistered,
    /// An order.
    Order(Order),
}

/// The worker's half of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uplink {
    run: Run,
    version: Version,
    joined: bool,
}

impl Uplink {
    /// A conversation that has not begun. A new connection goes on with the old one.
    #[must_use]
    pub const fn new(run: Run, version: Version) -> Self {
        Self { run, version, joined: false }
    }

    /// Whether a coordinator has let the worker in, as far as it knows.
    #[must_use]
    pub const fn is_joined(&self) -> bool {
        self.joined
    }

    /// What a worker that is like this says now: upon every change, and every so often.
    #[must_use]
    pub const fn message(&self, facts: Facts) -> Message {
        let Self { run, version, joined } = *self;
        if joined { Message::Report(Report { run, version, facts }) } else { Message::Register { run, version } }
    }

    /// Takes an answer; the command that the worker must be given for it, if any. The machine judges whether an order
    /// is obeyed.
    pub fn hear(&mut self, answer: Answer) -> Option<Command> {
        match answer {
            Answer::Joined { epoch } => {
                self.joined = true;
                // Whoever lets the worker in is obeyed: nobody of an earlier term can turn it away any more.
                let stamp = Stamp { epoch, order: Seq::default() };
                Some(Command::Obey(Order { stamp, actor: COORDINATOR, wish: Wish::Join }))
            }
            Answer::NotRegistered => {
                self.joined = false;
                None
            }
            Answer::Order(order) => Some(Command::Obey(order)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, WorkerId};
    use crate::machine::Machine;
    use crate::time::Instant;
    use crate::word::Phase;
    use crate::worker::{Limits, OnDeadline, Worker};

    #[test]
    fn a_worker_registers_until_it_is_in_and_again_when_it_is_not() {
        let run = Run { worker: WorkerId::from_static("w1"), incarnation: Incarnation::new(7) };
        let version = Version::from_static("v2");
        let mut uplink = Uplink::new(run, version);
        let mut worker = Worker::new(Limits::default()).unwrap();
        let hear = |uplink: &mut Uplink, worker: &mut Worker, answer| {
            uplink.hear(answer).map(|command| worker.step(Instant::EPOCH, command).map(|entry| entry.event.stamp()))
        };
        let register = Message::Register { run, version };
        assert_eq!(uplink.message(Facts::of(worker.life())), register);

        let epoch = Epoch::new(3);
        let stamp = |order| Stamp { epoch, order: Seq::new(order) };
        assert_eq!(hear(&mut uplink, &mut worker, Answer::Joined { epoch }), Some(Ok(Some(stamp(0)))));
        let Message::Report(report) = uplink.message(Facts::of(worker.life())) else { panic!("it is in") };
        assert_eq!((report.facts.phase, report.facts.obeyed), (Phase::Starting, stamp(0)));

        let order = |wish| Answer::Order(Order { stamp: stamp(5), actor: COORDINATOR, wish });
        assert_eq!(hear(&mut uplink, &mut worker, order(Wish::Serve)), Some(Ok(Some(stamp(5)))));
        let drain = order(Wish::Drain { within: None, on_deadline: OnDeadline::Wait });
        assert!(hear(&mut uplink, &mut worker, drain).is_some_and(|done| done.is_err()), "no newer than the last");
        assert_eq!(worker.phase(), Phase::Serving);

        assert_eq!(hear(&mut uplink, &mut worker, Answer::NotRegistered), None);
        assert_eq!(uplink.message(Facts::of(worker.life())), register);
    }
}
