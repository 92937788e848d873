//! Callers, dispatcher and network of a small world: what can happen next, and what then does.

use std::sync::Arc;

use openrtc_core::id::Actor;
use openrtc_core::time::Span;
use openrtc_core::worker::{Cause, Command, DrainOrder, OnDeadline, Terms};

use super::node::{News, Offer};
use super::state::{Caller, Context, FIRST, Fate, Letter, Message, Say, Slot, State, Step};

const SIGTERM: Actor = Actor::from_static("SIGTERM");
const PERSON: Actor = Actor::from_static("person");

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
        let net = &self.context.net;
        if let Some(call) = self.context.calls.iter().position(|line| line.fate == Fate::Waiting) {
            let open = self.workers().filter(|worker| self.nodes[*worker].pending.is_open);
            steps.extend(open.map(|worker| Step::Offer(Caller::at(call), worker)));
            if !steps.is_empty() {
                return;
            }
        }
        let in_order = (0..net.len()).filter(|at| !self.context.overtakes(*at));
        steps.extend(in_order.map(|at| Step::Deliver(Slot::at(at))));
        for worker in self.workers() {
            let node = &self.nodes[worker];
            steps.extend(node.pending.news.map(|_| Step::Hear(worker)));
            if !node.process.is_up() {
                continue;
            }
            if node.process.deadline().is_some() {
                steps.push(Step::Wake(worker));
            }
            if node.pending.is_flushing {
                steps.push(Step::Flush(worker));
            }
            if node.pending.is_cutting {
                let held = 0..node.process.live as usize;
                steps.extend(held.map(|at| Step::EndForced(worker, Slot::at(at))));
            }
        }
    }

    /// What people and faults do, or never do.
    fn outer_steps(&self, steps: &mut Vec<Step>) {
        let Context { left, calls, net, .. } = &self.context;
        if calls.iter().any(|line| line.fate == Fate::Silent) {
            steps.push(Step::Ring);
        }
        for (call, line) in calls.iter().enumerate() {
            if !line.fate.is_over() && line.fate != Fate::Silent {
                steps.push(Step::HangUp(Caller::at(call)));
            }
            if line.fate == Fate::Talking && left.failures > 0 {
                steps.push(Step::Fail(Caller::at(call)));
            }
        }
        let first = &self.nodes[FIRST].process;
        if first.is_up() {
            steps.extend((left.signals > 0).then_some(Step::Signal));
            steps.extend((left.drains > 0 && !first.drains()).then_some(Step::Drain));
            steps.extend((first.drains() && !first.is_sealed()).then_some(Step::Cancel));
        }
        for (at, message) in net.iter().enumerate() {
            let (overtakes, at) = (self.context.overtakes(at), Slot::at(at));
            if overtakes {
                steps.extend((left.reorders > 0).then_some(Step::Deliver(at)));
                continue;
            }
            steps.extend((left.duplicates > 0 && !message.is_late).then_some(Step::Duplicate(at)));
            let alive = self.nodes[message.worker].process.is_up();
            steps.extend((left.crashes > 0 && alive && message.is_to_worker()).then_some(Step::CrashOn(at)));
        }
        if left.crashes > 0 {
            let up = self.workers().filter(|worker| self.nodes[*worker].process.is_up());
            steps.extend(up.map(Step::Kill));
        }
    }

    /// Takes a step that can be taken; then the invariants are checked.
    pub fn take(&mut self, step: Step) {
        match step {
            Step::Ring => self.ring(),
            Step::Offer(call, worker) => self.offer(call, worker),
            Step::Hear(worker) => self.hear(worker),
            Step::Deliver(at) => {
                if self.context.overtakes(at.place()) {
                    self.context.left.reorders -= 1;
                    self.context.tell(|| "a message overtakes the one before it:".to_owned());
                }
                let message = self.context.net.remove(at.place());
                self.deliver(message);
            }
            Step::Duplicate(at) => {
                self.context.left.duplicates -= 1;
                self.context.tell(|| "a message arrives, and will arrive again:".to_owned());
                let message = self.context.net.remove(at.place());
                self.deliver(message);
                self.context.send(Message { is_late: true, ..message });
            }
            Step::CrashOn(at) => {
                self.context.left.crashes -= 1;
                let message = self.context.net.remove(at.place());
                self.node(message.worker).process.is_doomed = true;
                self.deliver(message);
                self.kill(message.worker);
            }
            Step::HangUp(call) => self.context.hang_up(call),
            Step::Fail(call) => {
                self.context.left.failures -= 1;
                self.fail(call);
            }
            Step::Signal => {
                self.context.left.signals -= 1;
                self.signal(DrainOrder { cause: Cause::Signal, actor: SIGTERM, ..self.order() });
            }
            Step::Drain => {
                self.context.left.drains -= 1;
                self.context.tell(|| format!("a person drains worker {FIRST}"));
                self.ask_first(Command::BeginDrain(self.order()));
            }
            Step::Cancel => {
                self.context.tell(|| format!("a person takes the drain of worker {FIRST} back"));
                self.ask_first(Command::CancelDrain { actor: PERSON });
            }
            Step::Wake(worker) => self.wake(worker),
            Step::Flush(worker) => self.flush(worker),
            Step::EndForced(worker, at) => self.end_forced(worker, at),
            Step::Kill(worker) => {
                self.context.left.crashes -= 1;
                self.context.tell(|| format!("worker {worker} is killed"));
                self.kill(worker);
            }
        }
        while let Some(at) = self.idle() {
            let message = self.context.net.remove(at);
            self.deliver(message);
        }
        self.forget();
        self.check();
    }

    /// A person asks something of the first worker.
    fn ask_first(&mut self, command: Command) {
        let _ = self.running(FIRST).give(command);
        self.settle(FIRST);
    }

    /// A message about a call that is over, to the dispatcher or to a worker that is gone: what follows from it, if
    /// anything, is the same whenever it arrives. So it arrives at once, and the orders it has are not told apart.
    fn idle(&self) -> Option<usize> {
        let over = |message: &Message| self.context.calls[message.call].fate.is_over();
        let gone = |message: &Message| !self.nodes[message.worker].process.is_up();
        let idle = |message: &Message| over(message) && (!message.is_to_worker() || gone(message));
        self.context.net.iter().position(idle)
    }

    /// An answer is remembered for as long as its offer may come again, and its worker runs.
    fn forget(&mut self) {
        let net = &self.context.net;
        for (place, node) in self.nodes.iter_mut().enumerate() {
            if node.process.promises.answered().next().is_none() {
                continue;
            }
            let worker = Letter::at(place);
            let is_up = node.process.is_up();
            let again = |offer| {
                let same = |sent: &Message| (sent.say, sent.worker, sent.offer()) == (Say::Offer, worker, offer);
                is_up && net.iter().any(same)
            };
            Arc::make_mut(node).process.promises.forget(again);
        }
    }

    fn order(&self) -> DrainOrder {
        let on_deadline = self.context.left.on_deadline;
        let now = self.nodes[FIRST].process.machine.now();
        let deadline = (on_deadline == OnDeadline::Force).then(|| now + DRAIN_TIMEOUT);
        let terms = Terms::new(deadline, on_deadline).expect("the deadline is given where it is needed");
        DrainOrder { cause: Cause::Api, actor: PERSON, terms }
    }

    fn ring(&mut self) {
        let mut calls = self.context.calls.iter();
        let call = calls.position(|line| line.fate == Fate::Silent).expect("a caller that has not called");
        self.context.calls[call].fate = Fate::Waiting;
        self.context.tell(|| format!("caller {call} calls"));
    }

    fn offer(&mut self, call: Caller, worker: Letter) {
        let line = &mut self.context.calls[call];
        (line.fate, line.worker, line.assigned) = (Fate::Placing, worker, false);
        line.round = line.round.next();
        let offer = Offer { call, round: line.round };
        self.context.tell(|| format!("the dispatcher offers call {call} to worker {worker}"));
        self.context.send(Message::new(Say::Offer, worker, offer));
    }

    fn deliver(&mut self, message: Message) {
        let Message { say, worker, call, .. } = message;
        if message.is_to_worker() && !self.nodes[worker].process.is_up() {
            self.context.tell(|| format!("worker {worker} is gone and takes nothing any more"));
            if say != Say::End {
                self.context.put_back(message.offer());
            }
            return;
        }
        match say {
            Say::Offer => self.take_offer(message),
            Say::Assign => self.take_assignment(message),
            Say::End => self.take_end(message),
            Say::Answer(yes) => self.context.take_answer(message, yes),
            Say::Gone => {
                self.context.tell(|| {
                    format!("the dispatcher hears that worker {worker} no longer keeps a place for call {call}")
                });
                self.context.put_back(message.offer());
            }
        }
    }

    /// Dispatcher: the news of a worker.
    fn hear(&mut self, worker: Letter) {
        let news = self.node(worker).pending.hear().expect("news to hear");
        let word = match news {
            News::Open => "takes calls",
            News::Closed => "takes no calls",
            News::Down => "is gone",
        };
        self.context.tell(|| format!("the dispatcher hears that worker {worker} {word}"));
        if news == News::Down {
            for call in (0..self.context.calls.len()).map(Caller::at) {
                let line = self.context.calls[call];
                if line.worker == worker {
                    self.context.put_back(Offer { call, round: line.round });
                }
            }
        }
    }
}

impl Context {
    /// Whether the message at this place would overtake another of its link.
    fn overtakes(&self, at: usize) -> bool {
        at > 0 && !self.net[at].is_late && self.net[at - 1].link() == self.net[at].link()
    }

    /// Dispatcher: an answer.
    fn take_answer(&mut self, message: Message, yes: bool) {
        let Message { call, worker, round, .. } = message;
        let line = &mut self.calls[call];
        let ours = line.round == round && !line.fate.is_over();
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
        self.tell(|| {
            let then = match say {
                Some(Say::Assign) => " and assigns it",
                Some(_) => ", which is no longer wanted there, and says so",
                None => "",
            };
            format!("the dispatcher hears {word} from worker {worker} to call {call}{then}")
        });
        if let Some(say) = say {
            self.send(Message::new(say, worker, message.offer()));
        }
        if !yes {
            self.put_back(message.offer());
        }
    }

    fn hang_up(&mut self, call: Caller) {
        let line = &mut self.calls[call];
        let placed = line.fate != Fate::Waiting;
        line.fate = if line.fate == Fate::Talking { Fate::Completed } else { Fate::Abandoned };
        let (worker, offer) = (line.worker, Offer { call, round: line.round });
        self.tell(|| format!("caller {call} hangs up"));
        if placed {
            self.send(Message::new(Say::End, worker, offer));
        }
    }
}
