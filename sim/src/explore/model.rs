//! Callers, dispatcher and network of a small world: what can happen next, and what then does.

use std::sync::Arc;

use openrtc_core::id::Actor;
use openrtc_core::machine::Machine;
use openrtc_core::time::Span;
use openrtc_core::worker::{Cause, Command, DrainOrder, OnDeadline, Why};

use super::state::{Fate, Message, News, Say, State, Step};
use crate::bug::Bug;

const SIGTERM: Actor = Actor::from_static("SIGTERM");
pub(super) const PERSON: Actor = Actor::from_static("person");

/// How long a drain may take before it forces, in a scope in which it does.
const DRAIN_TIMEOUT: Span = Span::from_secs(15);

impl State {
    /// Everything that can happen next.
    pub fn steps(&self, steps: &mut Vec<Step>) {
        self.inner_steps(steps);
        // The dispatcher looks for a worker at once.
        if !matches!(steps.first(), Some(Step::Offer(..))) {
            self.outer_steps(steps);
        }
    }

    /// What the parts of the world owe each other: it happens sooner or later, whatever the people do.
    pub(super) fn inner_steps(&self, steps: &mut Vec<Step>) {
        if let Some(call) = self.calls.iter().position(|line| line.fate == Fate::Waiting) {
            let open = self.nodes.iter().enumerate().filter(|(_, node)| node.is_open);
            steps.extend(open.map(|(worker, _)| Step::Offer(narrow(call), narrow(worker))));
            if !steps.is_empty() {
                return;
            }
        }
        let in_order = (0..self.net.len()).filter(|at| !self.overtakes(*at));
        steps.extend(in_order.map(|at| Step::Deliver(narrow(at))));
        for (worker, node) in self.nodes.iter().enumerate() {
            steps.extend(node.news.map(|_| Step::Hear(narrow(worker))));
            if !node.is_up {
                continue;
            }
            if self.due(worker).is_some() {
                steps.push(Step::Wake(narrow(worker)));
            }
            if node.is_flushing {
                steps.push(Step::Flush(narrow(worker)));
            }
            if node.is_cutting {
                steps.extend((0..node.promises.len()).map(|at| Step::Goodbye(narrow(worker), narrow(at))));
            }
        }
    }

    /// What people and faults do, or never do.
    fn outer_steps(&self, steps: &mut Vec<Step>) {
        let left = &self.left;
        if self.calls.iter().any(|line| line.fate == Fate::Silent) {
            steps.push(Step::Ring);
        }
        for (call, line) in self.calls.iter().enumerate() {
            if !line.fate.is_over() && line.fate != Fate::Silent {
                steps.push(Step::HangUp(narrow(call)));
            }
            if line.fate == Fate::Talking && left.failures > 0 {
                steps.push(Step::Fail(narrow(call)));
            }
        }
        if self.nodes[0].is_up {
            let draining = self.nodes[0].machine.drain();
            steps.extend((left.signals > 0).then_some(Step::Signal));
            steps.extend((left.drains > 0 && draining.is_none()).then_some(Step::Drain));
            steps.extend(draining.is_some_and(|drain| !drain.sealed).then_some(Step::Cancel));
        }
        for (at, message) in self.net.iter().enumerate() {
            let (overtakes, at) = (self.overtakes(at), narrow(at));
            if overtakes {
                steps.extend((left.reorders > 0).then_some(Step::Deliver(at)));
                continue;
            }
            steps.extend((left.duplicates > 0 && !message.is_late).then_some(Step::Duplicate(at)));
            let alive = self.nodes[usize::from(message.worker)].is_up;
            steps.extend((left.crashes > 0 && alive && message.is_to_worker()).then_some(Step::CrashOn(at)));
        }
        if left.crashes > 0 {
            let up = self.nodes.iter().enumerate().filter(|(_, node)| node.is_up);
            steps.extend(up.map(|(worker, _)| Step::Kill(narrow(worker))));
        }
    }

    /// Whether the message at this place would overtake another of its link.
    fn overtakes(&self, at: usize) -> bool {
        at > 0 && !self.net[at].is_late && self.net[at - 1].link() == self.net[at].link()
    }

    /// The worker's earliest time-out. What is due at once has happened already.
    pub(super) fn due(&self, worker: usize) -> Option<Why> {
        let due = self.nodes[worker].machine.deadline().map(|(_, why)| why);
        due.filter(|why| !self.has(Bug::NoTimers) || *why == Why::Empty)
    }

    /// Takes a step that can be taken; then the invariants are checked.
    pub fn take(&mut self, step: Step) {
        match step {
            Step::Ring => self.ring(),
            Step::Offer(call, worker) => self.offer(call, worker),
            Step::Hear(worker) => self.hear(worker),
            Step::Deliver(at) => {
                if self.overtakes(at.into()) {
                    self.left.reorders -= 1;
                    self.tell(|| "a message overtakes the one before it:".to_owned());
                }
                let message = self.net.remove(at.into());
                self.deliver(message);
            }
            Step::Duplicate(at) => {
                self.left.duplicates -= 1;
                self.tell(|| "a message arrives, and will arrive again:".to_owned());
                let message = self.net.remove(at.into());
                self.deliver(message);
                self.send(Message { is_late: true, ..message });
            }
            Step::CrashOn(at) => {
                self.left.crashes -= 1;
                let message = self.net.remove(at.into());
                self.node(usize::from(message.worker)).is_doomed = true;
                self.deliver(message);
                self.crash(message.worker.into());
            }
            Step::HangUp(call) => self.hang_up(call),
            Step::Fail(call) => {
                self.left.failures -= 1;
                self.fail(call);
            }
            Step::Signal => {
                self.left.signals -= 1;
                self.signal(DrainOrder { cause: Cause::Signal, actor: SIGTERM, ..self.order() });
            }
            Step::Drain => {
                self.left.drains -= 1;
                self.tell(|| "a person drains worker A".to_owned());
                let order = self.order();
                let _ = self.command(0, Command::BeginDrain(order));
            }
            Step::Cancel => {
                self.tell(|| "a person takes the drain of worker A back".to_owned());
                let _ = self.command(0, Command::CancelDrain { actor: PERSON });
            }
            Step::Wake(worker) => self.wake(worker.into()),
            Step::Flush(worker) => self.flush(worker.into()),
            Step::Goodbye(worker, at) => self.goodbye(worker.into(), at.into()),
            Step::Kill(worker) => {
                self.left.crashes -= 1;
                self.tell(|| format!("worker {} is killed", letter(worker)));
                self.die(worker.into(), Fate::Killed);
            }
        }
        while let Some(at) = self.idle() {
            let message = self.net.remove(at);
            self.deliver(message);
        }
        self.forget();
        self.check();
    }

    /// A message about a call that is over, to the dispatcher or to a worker that is gone: what follows from it, if
    /// anything, is the same whenever it arrives. So it arrives at once, and the orders it has are not told apart.
    fn idle(&self) -> Option<usize> {
        let over = |call: u8| self.calls[usize::from(call)].fate.is_over();
        let gone = |worker: u8| !self.nodes[usize::from(worker)].is_up;
        let idle = |message: &Message| over(message.call) && (!message.is_to_worker() || gone(message.worker));
        self.net.iter().position(idle)
    }

    /// An answer is remembered for as long as its offer may come again.
    fn forget(&mut self) {
        let net = &self.net;
        for (worker, node) in (0..).zip(&mut self.nodes).filter(|(_, node)| !node.answered.is_empty()) {
            Arc::make_mut(node).answered.retain(|answered| {
                let again = |sent: &Message| {
                    (sent.say, sent.worker, sent.call, sent.offer)
                        == (Say::Offer, worker, answered.call, answered.offer)
                };
                net.iter().any(again)
            });
        }
    }

    fn order(&self) -> DrainOrder {
        let on_deadline = self.left.on_deadline;
        let deadline = (on_deadline == OnDeadline::Force).then(|| self.nodes[0].machine.now() + DRAIN_TIMEOUT);
        DrainOrder { cause: Cause::Api, actor: PERSON, deadline, on_deadline }
    }

    fn ring(&mut self) {
        let call = self.calls.iter().position(|line| line.fate == Fate::Silent).expect("a caller that has not called");
        self.calls[call].fate = Fate::Waiting;
        self.tell(|| format!("caller {call} calls"));
    }

    fn offer(&mut self, call: u8, worker: u8) {
        let line = &mut self.calls[usize::from(call)];
        (line.fate, line.worker, line.assigned) = (Fate::Placing, worker, false);
        line.offer += 1;
        let offer = line.offer;
        self.tell(|| format!("the dispatcher offers call {call} to worker {}", letter(worker)));
        self.send(Message { call, worker, offer, say: Say::Offer, is_late: false });
    }

    fn deliver(&mut self, message: Message) {
        let Message { say, worker, call, .. } = message;
        let name = letter(worker);
        let alive = self.nodes[usize::from(worker)].is_up;
        if message.is_to_worker() && !alive {
            self.tell(|| format!("worker {name} is gone and takes nothing any more"));
            if say != Say::End {
                self.put_back(message.call, message.offer);
            }
            return;
        }
        match say {
            Say::Offer => self.take_offer(message),
            Say::Assign => self.take_assignment(message),
            Say::End => self.take_end(message),
            Say::Answer(yes) => self.take_answer(message, yes),
            Say::Gone => {
                self.tell(|| {
                    format!("the dispatcher hears that worker {name} no longer keeps a place for call {call}")
                });
                self.put_back(message.call, message.offer);
            }
        }
    }

    /// Dispatcher: the news of a worker.
    fn hear(&mut self, worker: u8) {
        let node = self.node(usize::from(worker));
        let news = node.news.take().expect("news to hear");
        node.is_open = news == News::Open;
        let word = match news {
            News::Open => "takes calls",
            News::Closed => "takes no calls",
            News::Down => "is gone",
        };
        self.tell(|| format!("the dispatcher hears that worker {} {word}", letter(worker)));
        if news == News::Down {
            for call in 0..self.calls.len() {
                if self.calls[call].worker == worker {
                    self.put_back(narrow(call), self.calls[call].offer);
                }
            }
        }
    }

    /// Dispatcher: an answer.
    fn take_answer(&mut self, message: Message, yes: bool) {
        let line = &mut self.calls[usize::from(message.call)];
        let ours = line.offer == message.offer && !line.fate.is_over();
        let word = if yes { "yes" } else { "no" };
        let say = match (yes, ours) {
            (true, true) if line.assigned => None,
            (true, true) => {
                line.assigned = true;
                Some(Say::Assign)
            }
            (true, false) => Some(Say::End),
            (false, _) => None,
        };
        let what =
            format!("the dispatcher hears {word} from worker {} to call {}", letter(message.worker), message.call);
        self.tell(|| match say {
            Some(Say::Assign) => format!("{what} and assigns it"),
            Some(_) => format!("{what}, which is no longer wanted there, and says so"),
            None => what,
        });
        if let Some(say) = say {
            self.send(Message { say, is_late: false, ..message });
        }
        if !yes {
            self.put_back(message.call, message.offer);
        }
    }

    /// A call that was not taken after all waits again, unless its offers are used up.
    pub(super) fn put_back(&mut self, call: u8, offer: u8) {
        let most = self.left.offers;
        let line = &mut self.calls[usize::from(call)];
        if line.offer == offer && line.fate == Fate::Placing {
            line.fate = if line.offer < most { Fate::Waiting } else { Fate::NoCapacity };
        }
    }

    fn hang_up(&mut self, call: u8) {
        let line = &mut self.calls[usize::from(call)];
        let placed = line.fate != Fate::Waiting;
        line.fate = if line.fate == Fate::Talking { Fate::Completed } else { Fate::Abandoned };
        let (worker, offer) = (line.worker, line.offer);
        self.tell(|| format!("caller {call} hangs up"));
        if placed {
            self.send(Message { call, worker, offer, say: Say::End, is_late: false });
        }
    }
}

/// The places of a scope fit a byte.
pub(super) fn narrow(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(u8::MAX)
}

/// A worker's name.
pub(super) fn letter(worker: u8) -> char {
    char::from(b'A' + worker)
}
