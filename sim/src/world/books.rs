//! How a process ends and what it leaves: what it held, what it said, and whether the two are one.

use openrtc_core::machine::Machine;
use openrtc_core::time::Span;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Availability, Cause, Command, EndReason, Outcome, Why};

use super::calls::Stage;
use super::queue::Event;
use super::{Bug, Invariant, State, Who, World};
use crate::ledger::Fate;
use crate::plan::SECOND;

impl World<'_> {
    /// The planted bug that does not count what is only reserved.
    pub(super) fn leave_early(&mut self, worker: u32) {
        let node = &self.nodes[worker as usize];
        let draining = node.state == State::Up && node.machine.phase() == Phase::Draining;
        let reserved = node.machine.calls().reserved();
        if self.has(Bug::CountsFromActive) && draining && reserved > 0 && reserved == node.machine.calls().len() {
            let what = format!("{} left as drained with {reserved} calls reserved", self.name(worker));
            self.violate(Invariant::DrainedSound, Some(worker), what);
        }
    }

    /// Whether what the machine says, what it announced and what the world sees are one.
    pub(super) fn audit(&mut self, worker: u32) {
        let node = &self.nodes[worker as usize];
        if node.state != State::Up {
            return;
        }
        let (live, counted) = (node.live, node.machine.word().in_flight());
        let (availability, announced) = (node.machine.availability(), node.announced);
        let same = node.machine.word() == node.fold.word();
        if live > node.machine.limits().capacity {
            let what = format!("{} said yes to {live} calls, more than it may hold", self.name(worker));
            self.violate(Invariant::Capacity, Some(worker), what);
        } else if live != counted {
            let what = format!("{} holds {live} calls by what it said and {counted} by its books", self.name(worker));
            self.violate(Invariant::OfferConservation, Some(worker), what);
        } else if !same {
            let what = format!("the journal of {} does not give its state", self.name(worker));
            self.violate(Invariant::AuditFaithful, Some(worker), what);
        } else if announced != availability {
            let (invariant, takes) = match availability {
                Availability::Closed => (Invariant::ShiftClosed, "takes no calls"),
                Availability::Full => (Invariant::CancelServes, "is full"),
                Availability::Open => (Invariant::CancelServes, "takes calls"),
            };
            let what = format!("{} {takes} and the dispatcher was not told", self.name(worker));
            self.violate(invariant, Some(worker), what);
        }
    }

    /// The process ends by itself.
    pub(super) fn exit(&mut self, worker: u32, outcome: Outcome) {
        let node = &self.nodes[worker as usize];
        let forced = node.machine.drain().is_some_and(|drain| drain.forced.is_some());
        let truth = node.cut + u64::from(node.live);
        let told = match outcome {
            Outcome::Clean | Outcome::Rejected => 0,
            Outcome::Forced { .. } if self.has(Bug::ForcedIsClean) => 0,
            Outcome::Forced { dropped } => dropped,
        };
        let unflushed = outcome == Outcome::Clean && !node.is_flushed;
        if truth != told {
            let what = format!("{} dropped {truth} calls and said {told} when it left", self.name(worker));
            self.violate(Invariant::AuditFaithful, Some(worker), what);
        }
        if unflushed {
            let what = format!("{} left before its records were flushed", self.name(worker));
            self.violate(Invariant::AuditFaithful, Some(worker), what);
        }
        self.nodes[worker as usize].outcome = Some(outcome);
        self.die(worker, if forced { Fate::Forced } else { Fate::Lost });
    }

    /// The process is over; what it held goes with it.
    pub(super) fn die(&mut self, worker: u32, fate: Fate) {
        let node = &mut self.nodes[worker as usize];
        if node.state != State::Up {
            node.state = State::Gone;
            return;
        }
        node.state = State::Gone;
        if let Some(run) = node.runs.last_mut() {
            run.1 = Some(self.now);
        }
        let (incarnation, torn, live) = (node.incarnation, node.torn, node.live);
        let (evidence, held) = (node.fold.word().in_flight(), node.holding());
        node.doomed = false;
        node.process = None;
        for attempt in held {
            self.lose(attempt, fate);
        }
        if torn && fate == Fate::Killed {
            let name = self.name(worker);
            self.unknown.get_or_insert_with(|| {
                format!("{name} died and the end of its journal with it: what it held is not on record")
            });
        } else if evidence != live {
            let what =
                format!("the journal of {} shows {evidence} open calls where {live} were lost", self.name(worker));
            self.violate(Invariant::AuditFaithful, Some(worker), what);
        }
        let (gone_at, cut_off) = (self.now + SECOND / 2, self.now + SECOND / 5);
        self.queue.push(gone_at, Event::Gone(worker, incarnation));
        self.queue.push(cut_off, Event::Announced(worker, incarnation, false));
        let how = if fate == Fate::Killed { "is killed" } else { "ends" };
        self.tell(Who::Worker(worker), || format!("the process {how} with {live} calls"));
    }

    fn lose(&mut self, attempt: u32, fate: Fate) {
        let super::Attempt { call, worker, stage, .. } = self.attempts[attempt as usize];
        self.attempts[attempt as usize].stage = Stage::Over;
        let line = *self.ledger.line(call);
        if line.attempt != attempt {
            return;
        }
        if line.fate == Fate::Active && stage == Stage::Active {
            self.ledger.set(call, fate, None, self.now);
            if fate == Fate::Lost {
                let what = format!("call {call} was dropped by {} and nobody had forced it", self.name(worker));
                self.violate(Invariant::ZeroDrop, Some(worker), what);
            }
        } else {
            self.put_back(call, attempt);
        }
    }

    /// Ends every running call of a worker, as some planted bugs do.
    pub(super) fn cut_calls(&mut self, worker: u32, reason: EndReason) {
        for attempt in self.nodes[worker as usize].holding() {
            let super::Attempt { call, stage, .. } = self.attempts[attempt as usize];
            if stage == Stage::Active {
                if self.ledger.line(call).fate == Fate::Active {
                    self.ledger.set(call, Fate::Lost, None, self.now);
                    let what = format!("call {call} was cut on {} and nobody had forced it", self.name(worker));
                    self.violate(Invariant::ZeroDrop, Some(worker), what);
                }
                self.end(attempt, reason);
            }
        }
    }

    /// A call that a force cut has said goodbye.
    pub(super) fn say_goodbye(&mut self, attempt: u32) {
        let super::Attempt { call, worker, incarnation, stage, number, .. } = self.attempts[attempt as usize];
        if self.running(worker, incarnation).is_none() || !matches!(stage, Stage::Active | Stage::Reserved) {
            return;
        }
        let reason = match stage {
            Stage::Active if self.has(Bug::ForcedIsHangup) => EndReason::CallerHangup,
            Stage::Active => EndReason::DrainForced,
            _ => EndReason::Withdrawn,
        };
        if self.command(worker, Command::End { call: number, reason }).is_ok() {
            self.let_go(attempt);
            if stage == Stage::Active {
                self.nodes[worker as usize].cut += 1;
            }
            match self.ledger.line(call).fate {
                Fate::Active => self.ledger.set(call, Fate::Forced, None, self.now),
                _ => self.put_back(call, attempt),
            }
        }
        self.settle(worker);
    }

    /// A time-out owed for more than a second is one that will not come.
    pub(super) fn check_timers(&mut self, worker: u32) {
        let node = &self.nodes[worker as usize];
        let late = node.clock(self.now) - Span::from_secs(1);
        let Some((_, why)) = node.machine.deadline().filter(|(due, _)| *due < late) else { return };
        let (invariant, what) = match why {
            Why::Empty | Why::Lapse(_) => (Invariant::DrainEnds, "a drain or a reservation did not end"),
            Why::Overdue | Why::GraceOver => (Invariant::OverdueAlerts, "an overdue drain went unnoticed"),
            Why::Stall(_) => (Invariant::StallFlagged, "a stalled call went unnoticed"),
        };
        let what = format!("{}: {what}", self.name(worker));
        self.violate(invariant, Some(worker), what);
    }

    /// Whether the running drain came with a signal.
    pub(super) fn drains_by_signal(&self, worker: u32) -> bool {
        let drain = self.nodes[worker as usize].machine.drain();
        drain.is_some_and(|drain| drain.cause == Cause::Signal)
    }
}
