//! How a process is told to leave, how it ends, and whether its books are right until then.

use openrtc_core::machine::Machine;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Availability, Command, DrainOrder, Outcome};

use super::{Death, Environment, Life, Process, Promises, Running, Stage};
use crate::bug::Bug;
use crate::oracle::Invariant;

impl<B: Promises, O: Environment<B>> Running<'_, B, O> {
    /// SIGTERM.
    pub(crate) fn sigterm(&mut self, order: DrainOrder) {
        self.process.signals += 1;
        if self.process.signals > 1 && self.process.has(Bug::SecondSignalKills) {
            return self.die(Death::Left);
        }
        if self.process.live > 0 && self.process.has(Bug::SignalSwallowed) {
            return;
        }
        if self.process.has(Bug::SignalKillsCalls) {
            self.cut_calls();
        }
        let _ = self.give(Command::BeginDrain(order));
    }

    /// The last record is written: the process goes.
    pub(crate) fn flushed(&mut self) {
        self.process.flushed = self.process.machine.head().seq;
        if let Some(outcome) = self.process.machine.outcome().filter(|_| !self.process.has(Bug::NeverExits)) {
            self.exit(outcome);
        }
    }

    /// It ends by itself.
    pub(super) fn exit(&mut self, outcome: Outcome) {
        let Self { process, env } = self;
        let forced = process.machine.drain().is_some_and(|drain| drain.forced.is_some());
        let dropped = u64::from(process.cut + process.live);
        let told = match outcome {
            Outcome::Clean | Outcome::Rejected => 0,
            Outcome::Forced { .. } if process.has(Bug::ForcedIsClean) => 0,
            Outcome::Forced { dropped } => dropped,
        };
        if dropped != told {
            let what = |name: &str| format!("{name} dropped {dropped} calls and said {told} when it left");
            env.violated(Invariant::AuditFaithful, what);
        }
        if outcome == Outcome::Clean && process.flushed < process.drained {
            env.violated(Invariant::AuditFaithful, |name| format!("{name} left before its records were flushed"));
        }
        env.exits(told);
        self.die(if forced { Death::Forced } else { Death::Left });
    }

    /// It is over; what it held goes with it.
    pub(crate) fn die(&mut self, death: Death) {
        let was_up = self.process.is_up();
        self.process.life = Life::Gone;
        if !was_up {
            return;
        }
        self.process.is_doomed = false;
        let held: Vec<_> = self.process.held().collect();
        for offer in held {
            let stage = self.process.stage(offer);
            self.turn(offer, Stage::Over);
            self.env.lost(offer, stage, death);
        }
        let (evidence, live) = (self.process.record().word().in_flight(), self.process.live);
        if !self.env.loses_journal_end(death) && evidence != live {
            self.env.violated(Invariant::AuditFaithful, |name| {
                format!("the journal of {name} shows {evidence} open calls where {live} were lost")
            });
        }
        self.env.died(self.process, death);
    }
}

impl<B: Promises> Process<B> {
    /// What is wrong with it: what the machine says, what it announced and what the world sees must be one.
    pub(crate) fn fault(&self) -> Option<(Invariant, String)> {
        if !self.is_up() {
            return None;
        }
        let (machine, live, counted) = (&self.machine, self.live, self.machine.word().in_flight());
        let reserved = machine.calls().reserved();
        let early = self.has(Bug::CountsFromActive) && machine.phase() == Phase::Draining;
        let availability = machine.availability();
        if early && reserved > 0 && reserved == machine.calls().len() {
            Some((Invariant::DrainedSound, format!("left as drained with {reserved} calls reserved")))
        } else if live > machine.limits().capacity {
            Some((Invariant::Capacity, format!("said yes to {live} calls, more than it may hold")))
        } else if live != counted {
            let what = format!("holds {live} calls by what it said and {counted} by its books");
            Some((Invariant::OfferConservation, what))
        } else if machine.word() != self.record().word() {
            Some((Invariant::AuditFaithful, "has a journal that does not give its state".to_owned()))
        } else if self.announced != availability {
            let (invariant, takes) = match availability {
                Availability::Closed => (Invariant::ShiftClosed, "takes no calls"),
                Availability::Full => (Invariant::CancelServes, "is full"),
                Availability::Open => (Invariant::CancelServes, "takes calls"),
            };
            Some((invariant, format!("{takes} and the dispatcher was not told")))
        } else {
            None
        }
    }
}
