//! The gate, for the machine's tests: core's own worker machine decides, so nothing here has a rule of its own.

use std::collections::BTreeMap;

use openrtc_core::id::{Actor, DigestKey};
use openrtc_core::machine::Machine as _;
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Cause, Class, Command, DrainOrder, EndReason, Event, Limits, Terms, Worker};
use openrtc_livekit::session::{End, Session, Standing};
use openrtc_runtime::{CallId, CallNo};

pub(crate) struct Gate {
    worker: Worker,
    calls: BTreeMap<CallId, CallNo>,
}

impl Gate {
    pub(crate) fn new(now: Instant, capacity: u32) -> Self {
        let mut worker = Worker::new(Limits { capacity, ..Limits::default() }).expect("valid limits");
        worker.step(now, Command::Serve).expect("a new worker serves");
        Self { worker, calls: BTreeMap::new() }
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing {
            availability: self.worker.availability(),
            in_flight: self.worker.word().in_flight(),
            capacity: self.worker.limits().capacity,
        }
    }

    pub(crate) fn has_left(&self) -> bool {
        self.worker.phase() == Phase::Exited
    }

    /// Whether it holds a call of this job, reserved or up.
    pub(crate) fn holds(&self, job: &CallId) -> bool {
        self.calls.contains_key(job)
    }

    pub(crate) fn reserve(&mut self, now: Instant, job: &CallId) -> bool {
        let reserve = Command::Reserve { id: job.digest(DigestKey::default()), class: Class::default() };
        let Ok(entry) = self.worker.step(now, reserve) else { return false };
        self.calls.insert(job.clone(), CallNo::new(entry.seq.get()));
        true
    }

    pub(crate) fn assign(&mut self, now: Instant, job: &CallId) -> bool {
        let assign = |call: &CallNo| self.worker.step(now, Command::Assign { call: *call }).is_ok();
        self.calls.get(job).is_some_and(assign)
    }

    pub(crate) fn withdraw(&mut self, now: Instant, job: &CallId) {
        if let Some(call) = self.calls.remove(job) {
            let withdraw = Command::Withdraw { call, reason: EndReason::Withdrawn };
            self.worker.step(now, withdraw).expect("a reservation that stands can be withdrawn");
        }
    }

    pub(crate) fn end(&mut self, now: Instant, job: &CallId) {
        if let Some(call) = self.calls.remove(job) {
            let end = Command::End { call, reason: EndReason::AgentHangup };
            self.worker.step(now, end).expect("a call that is up can end");
        }
    }

    pub(crate) fn drain(&mut self, now: Instant, cause: Cause) {
        let order = DrainOrder { cause, actor: Actor::from_static("test"), terms: Terms::PATIENT };
        // A repeat is refused, and changes nothing.
        let _ = self.worker.step(now, Command::BeginDrain(order));
    }

    pub(crate) fn cancel_drain(&mut self, now: Instant) -> bool {
        self.worker.step(now, Command::CancelDrain { actor: Actor::from_static("test") }).is_ok()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.worker.deadline().map(|(at, _)| at)
    }

    /// Does what is due, and tells the session of it and of where the gate stands.
    pub(crate) fn inform(&mut self, now: Instant, session: &mut Session) {
        for job in self.wake(now) {
            session.ended(now, &job, End::Lapsed);
        }
        if self.has_left() {
            session.leave(now);
        } else {
            session.stand(now, self.standing());
        }
    }

    /// Does what is due; returns the calls whose reservations lapsed.
    fn wake(&mut self, now: Instant) -> Vec<CallId> {
        let mut lapsed = Vec::new();
        while self.deadline().is_some_and(|at| at <= now) {
            let entry = self.worker.step(now, Command::Wake).expect("a wake-up at the deadline is accepted");
            if let Event::ReservationLapsed { call } = entry.event {
                let job = self.calls.iter().find(|(_, number)| **number == call).map(|(job, _)| job.clone());
                if let Some(job) = job {
                    self.calls.remove(&job);
                    lapsed.push(job);
                }
            }
        }
        lapsed
    }
}
