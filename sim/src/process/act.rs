//! Commands in, entries to the journal, effects out.

use core::mem::take;

use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{
    Availability, Command, Decline, Effect, Entry, Event, Misfit, Outcome, Refused, Rejection, Terms,
};
use openrtc_runtime::gate::decline;

use super::{Environment, Process, Promises, Running};
use crate::bug::Bug;
use crate::oracle::Invariant;

/// How long declined offers are collected before they are counted into an entry.
const COUNT_EVERY: Span = Span::from_secs(1);

impl<B: Promises, O: Environment<B>> Running<'_, B, O> {
    /// A command: judged, numbered and in force at once; journaled and acted on when the process acts.
    pub(crate) fn give(&mut self, command: Command) -> Result<Entry, Rejection> {
        self.give_about(command, None)
    }

    /// [`Running::give`] for a command that reserves a place for an offer.
    pub(super) fn give_about(&mut self, command: Command, offer: Option<B::Offer>) -> Result<Entry, Rejection> {
        let at = self.env.now(self.process);
        let decided = self.claim(at, command);
        if let (Command::Reserve { .. }, Err(Rejection::Refused(Refused::Admission(refusal)))) = (command, &decided) {
            self.process.declined[decline(*refusal) as usize] += 1;
        }
        self.env.judged(at, command, offer, &decided);
        decided
    }

    /// The machine's part of a command. What was declined is counted before the worker leaves.
    fn claim(&mut self, at: Instant, command: Command) -> Result<Entry, Rejection> {
        let mut entry = self.process.machine.decide(at, command)?;
        if matches!(entry.event, Event::Exited { .. }) {
            self.count_declines(at);
            entry = self.process.machine.decide(at, command)?;
        }
        let process = &mut *self.process;
        process.is_doomed |= take(&mut process.crash_armed);
        if process.record.is_none() {
            check_fit(process.machine.fits(&entry), &mut self.env);
            // From here on the journal is not what the machine is.
            process.record = process.loses_entries().then(|| Box::new(process.machine.clone()));
        }
        process.machine.apply(&entry);
        process.claimed.push_back(entry);
        Ok(entry)
    }

    /// Claims an entry for each time-out reached.
    pub(crate) fn fall_due(&mut self) {
        let at = self.env.now(self.process);
        let Process { count_at, declined, .. } = &mut *self.process;
        if count_at.is_some_and(|due| due <= at) {
            self.count_declines(at);
        } else if count_at.is_none() && declined.iter().any(|count| *count > 0) {
            *count_at = Some(at + COUNT_EVERY);
        }
        // A clock that was set back must not hold up what is due at once.
        while let Some((due, _)) = self.process.deadline()
            && due <= at.max(self.process.machine.now())
            && self.wake(at).is_ok()
        {}
    }

    /// The machine's earliest time-out is reached.
    pub(crate) fn wake(&mut self, at: Instant) -> Result<Entry, Rejection> {
        let at = at.max(self.process.machine.now());
        self.claim(at, Command::Wake)
    }

    /// Declined offers are counted into the journal, a second's together.
    fn count_declines(&mut self, at: Instant) {
        self.process.count_at = None;
        for (reason, count) in Decline::ALL.into_iter().zip(take(&mut self.process.declined)) {
            if count > 0 {
                let _ = self.claim(at, Command::CountDeclines { reason, count: count.into() });
            }
        }
    }

    /// Journals what was claimed, then does what follows from it. Returns whether there was anything.
    pub(crate) fn act(&mut self) -> bool {
        let (claimed, mut effects) = (self.process.claimed.len(), Vec::new());
        for place in 0..claimed {
            let entry = self.process.claimed[place];
            self.journal(&entry);
            self.process.record().react(&entry, &mut |effect| effects.push(effect));
        }
        if self.process.is_doomed {
            self.process.claimed.clear();
            return claimed > 0;
        }
        // What is claimed meanwhile waits for the next time.
        for _ in 0..claimed {
            let Some(entry) = self.process.next_claimed() else { break };
            self.follow(&entry);
        }
        for effect in effects {
            self.perform(effect);
        }
        claimed > 0
    }

    /// An entry goes to the journal.
    pub(crate) fn journal(&mut self, entry: &Entry) {
        if self.process.loses_entries() {
            return;
        }
        if let Some(record) = &mut self.process.record {
            let fits = record.fits(entry);
            record.apply(entry);
            check_fit(fits, &mut self.env);
        }
        self.env.journaled(entry);
        match entry.event {
            Event::Drained => {
                self.process.drained = entry.seq;
                let live = self.process.live;
                if live > 0 {
                    let what = |name: &str| format!("{name} says it is drained and holds {live} calls");
                    self.env.violated(Invariant::DrainedSound, what);
                }
            }
            // A reservation that lapsed is gone whether or not anybody still hears of it.
            Event::ReservationLapsed { call } => {
                if let Some(offer) = self.process.promises.offer_of(call) {
                    self.let_go(offer);
                }
            }
            _ => {}
        }
    }

    /// What follows from an entry besides its effects: a change of the worker as a whole is reported at once.
    pub(crate) fn follow(&mut self, entry: &Entry) {
        if is_of_a_call(&entry.event) {
            return;
        }
        self.env.changed(self.process, entry);
        let zero_means_now = self.process.has(Bug::ZeroMeansNow)
            && matches!(entry.event, Event::DrainBegun { terms: Terms::PATIENT, .. });
        if zero_means_now {
            self.cut_calls();
        }
    }

    /// An effect leaves the process.
    pub(crate) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Announce(availability) => self.announce(availability),
            Effect::Lapse(number) => {
                if let Some(offer) = self.process.promises.offer_of(number) {
                    self.env.lapsed(offer);
                }
            }
            Effect::CancelCalls { .. } => self.env.cancel_calls(self.process),
            Effect::Exit(outcome) => self.finish(outcome),
            Effect::Alert(_) | Effect::Stop => {}
        }
    }

    fn announce(&mut self, availability: Availability) {
        let process = &mut *self.process;
        let silent = process.has(Bug::SilentDrain) && availability == Availability::Closed;
        let stuck =
            process.has(Bug::CancelStaysClosed) && process.announced == Availability::Closed && process.was_open;
        if !silent && !stuck {
            process.announced = availability;
            process.was_open |= availability == Availability::Open;
            self.env.announced(availability);
        }
    }

    /// The machine is over. A process that has lost nothing writes its last record before it goes.
    fn finish(&mut self, outcome: Outcome) {
        if self.process.has(Bug::ExitsUnflushed) || self.process.live > 0 {
            self.exit(outcome);
        } else {
            self.env.begin_flush();
        }
    }
}

impl<B: Promises> Process<B> {
    /// Whether it dies before its entries are on the disk.
    fn loses_entries(&self) -> bool {
        self.is_doomed && self.has(Bug::EffectsFirst)
    }
}

fn check_fit<B: Promises>(fits: Result<(), Misfit>, env: &mut impl Environment<B>) {
    if let Err(misfit) = fits {
        env.violated(Invariant::AuditFaithful, |_| format!("an entry cannot follow: {misfit}"));
    }
}

const fn is_of_a_call(event: &Event) -> bool {
    matches!(
        event,
        Event::CallsDeclined { .. }
            | Event::CallAdmitted { .. }
            | Event::CallReserved { .. }
            | Event::CallAssigned { .. }
            | Event::CallProgressed { .. }
            | Event::CallEnded { .. }
    )
}
